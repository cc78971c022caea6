//! A folder that mydumper wrote: one database, its files in the order in which they have to be read.
//!
//! What a file holds stands in its name: `shop.orders-schema.sql` makes a table, `shop.orders.00000.sql` has rows of it. Of mydumper's
//! manual the chapter "Files".

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{SnapshotError, source};
use crate::scenario::Compression;

/// Written last: what makes a folder one of mydumper's, and in it this when all else is there.
const METADATA: &str = "metadata";
const FINISHED: &str = "Finished dump at";

/// Rows that are not SQL, and the options with which mydumper writes them.
const OTHER_FORMS: [(&str, &str); 3] = [("dat", "--load-data"), ("csv", "--csv"), ("json", "--format JSON")];

/// How much of a file's end is looked at.
const TAIL_BYTES: u64 = 64;

/// The files of one database.
#[derive(Debug)]
pub struct Dump {
    /// The database's name in the dump; it is restored into the scenario's.
    pub database: String,
    /// In the order of their stages, in each by name.
    pub files: Vec<DumpFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpFile {
    pub path: PathBuf,
    /// "shop.orders.00000.sql.gz".
    pub name: String,
    pub compression: Compression,
    pub stage: Stage,
    /// As it lies there.
    pub bytes: u64,
}

/// What a file is for. Routines come before views, which may call them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Database,
    Sequences,
    /// A view begins as a table, so that others can be made of it.
    Tables,
    Rows,
    Routines,
    Views,
    Triggers,
}

impl Dump {
    /// Reads the folder. Of several databases that of this name is taken; a single one, whatever its name.
    ///
    /// # Errors
    /// The dump was not finished, a file is missing, cut short or of another kind, or nobody says which database is meant.
    pub fn read(folder: &Path, wanted: &str) -> Result<Dump, SnapshotError> {
        let unreadable = |source| SnapshotError::Unreadable { path: folder.to_owned(), source };
        let metadata = fs::read_to_string(folder.join(METADATA)).map_err(unreadable)?;
        if !metadata.contains(FINISHED) {
            return Err(SnapshotError::Unfinished { path: folder.to_owned() });
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let mut databases = sorted(folder, &names)?;
        let database = match databases.len() {
            0 => return Err(SnapshotError::NoDatabase { path: folder.to_owned() }),
            1 => databases.keys().next().cloned().unwrap_or_default(),
            _ if databases.contains_key(wanted) => wanted.to_owned(),
            _ => return Err(SnapshotError::SeveralDatabases { found: databases.into_keys().collect() }),
        };
        let mut files = databases.remove(&database).unwrap_or_default();
        files.sort_by(|one, other| (one.stage, &one.name).cmp(&(other.stage, &other.name)));
        files.iter().try_for_each(is_whole)?;
        Ok(Dump { database, files })
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// What a name says: of which database, for which stage; of rows, what stands behind the database: "orders.00000".
struct Named<'n> {
    database: &'n str,
    stage: Stage,
    rows_of: Option<&'n str>,
}

/// The files of each database.
fn sorted(folder: &Path, names: &[String]) -> Result<BTreeMap<String, Vec<DumpFile>>, SnapshotError> {
    let stem = |name: &str| plain_name(name).0.strip_suffix(".sql").map(str::to_owned);
    let stems: BTreeSet<String> = names.iter().filter_map(|name| stem(name)).collect();
    let known: Vec<&str> = stems.iter().filter_map(|stem| stem.strip_suffix("-schema-create")).collect();
    let mut databases: BTreeMap<String, Vec<DumpFile>> = BTreeMap::new();
    for name in names {
        let path = folder.join(name);
        let (plain, compression) = plain_name(name);
        // Checksums of what the dump holds have a file each.
        if plain == METADATA || plain.ends_with("checksum") {
            continue;
        }
        if let Some((_, option)) = OTHER_FORMS.iter().find(|(ending, _)| plain.ends_with(&format!(".{ending}"))) {
            return Err(SnapshotError::OtherForm { path, option });
        }
        let stem = plain.strip_suffix(".sql").filter(|_| path.is_file());
        let Some(found) = stem.and_then(|stem| named(stem, &known)) else {
            return Err(SnapshotError::StrangeFile { path });
        };
        if let Some(rows_of) = found.rows_of
            && !makers(found.database, rows_of).iter().any(|maker| stems.contains(maker))
        {
            let table = makers(found.database, rows_of).pop().unwrap_or_default();
            return Err(SnapshotError::NoTableFile { path, wanted: format!("{table}.sql") });
        }
        let bytes =
            fs::metadata(&path).map_err(|source| SnapshotError::Unreadable { path: path.clone(), source })?.len();
        let stage = found.stage;
        let files = databases.entry(found.database.to_owned()).or_default();
        files.push(DumpFile { path, name: name.clone(), compression, stage, bytes });
    }
    Ok(databases)
}

/// The name without what its compression adds.
fn plain_name(name: &str) -> (&str, Compression) {
    if let Some(plain) = name.strip_suffix(".gz") {
        (plain, Compression::Gzip)
    } else if let Some(plain) = name.strip_suffix(".zst") {
        (plain, Compression::Zstd)
    } else {
        (name, Compression::None)
    }
}

fn named<'n>(stem: &'n str, known: &[&str]) -> Option<Named<'n>> {
    let of_database =
        [("-schema-create", Stage::Database), ("-schema-post", Stage::Routines), ("-schema-triggers", Stage::Triggers)];
    let of_table = [
        ("-schema-sequence", Stage::Sequences),
        ("-schema-triggers", Stage::Triggers),
        ("-schema-view", Stage::Views),
        ("-schema", Stage::Tables),
    ];
    let whole = of_database.iter().find_map(|(ending, stage)| Some((stem.strip_suffix(ending)?, *stage)));
    if let Some((database, stage)) = whole.filter(|(database, _)| known.contains(database)) {
        return Some(Named { database, stage, rows_of: None });
    }
    // The longest: a database's name may hold a dot, and begin as another's.
    let database = known.iter().filter(|known| stem.strip_prefix(**known).is_some_and(|rest| rest.starts_with('.')));
    let database = match database.max_by_key(|known| known.len()) {
        Some(known) => &stem[..known.len()],
        None => {
            if let Some((ending, stage)) = of_database.iter().find(|(ending, _)| stem.ends_with(ending)) {
                let database = &stem[..stem.len() - ending.len()];
                if *stage != Stage::Triggers || !database.contains('.') {
                    return Some(Named { database, stage: *stage, rows_of: None });
                }
            }
            stem.split_once('.')?.0
        }
    };
    let rest = &stem[database.len() + 1..];
    if let Some((_, stage)) = of_table.iter().find(|(ending, _)| rest.ends_with(ending)) {
        return Some(Named { database, stage: *stage, rows_of: None });
    }
    (!rest.is_empty()).then_some(Named { database, stage: Stage::Rows, rows_of: Some(rest) })
}

/// The files of which one has to make the table whose rows these are, without their ending: `orders.00000` may be a part of `orders`, and
/// `orders.00000.00001` a part of that part. The likeliest last.
fn makers(database: &str, rows_of: &str) -> Vec<String> {
    let mut tables = vec![rows_of];
    while let Some((table, part)) = tables[tables.len() - 1].rsplit_once('.')
        && !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_digit())
    {
        tables.push(table);
    }
    let files = |table: &&str| ["-schema-sequence", "-schema"].map(|ending| format!("{database}.{table}{ending}"));
    tables.iter().flat_map(files).collect()
}

/// Whether a file ends where a statement does. Of a compressed one, its reader tells.
fn is_whole(file: &DumpFile) -> Result<(), SnapshotError> {
    if file.compression != Compression::None {
        return Ok(());
    }
    let unreadable = |source| SnapshotError::Unreadable { path: file.path.clone(), source };
    let tail = tail(&file.path, file.bytes).map_err(unreadable)?;
    if tail.trim_ascii_end().ends_with(b";") {
        Ok(())
    } else {
        Err(SnapshotError::CutShort { path: file.path.clone() })
    }
}

fn tail(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail)
}

/// A file that is small, decompressed.
pub fn text(file: &DumpFile) -> Result<Vec<u8>, SnapshotError> {
    let mut text = Vec::new();
    source::open(&file.path, file.compression, Default::default())?
        .read_to_end(&mut text)
        .map_err(|source| SnapshotError::Damaged { path: file.path.clone(), source })?;
    Ok(text)
}

#[cfg(test)]
mod tests;
