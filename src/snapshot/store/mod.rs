//! A snapshot as a folder: the manifest, chunks of rows, and what says that it is whole. Knows no server.
//!
//! ```text
//! manifest.json            written last: without it the folder is not a snapshot
//! capture.json             only while a capture goes on, which holds its lock
//! schema/…                 the engine's own form
//! data/000001/000001.zst   a folder a table, numbered as in the manifest; a file a chunk
//! ```

mod chunk;
mod folder;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use chunk::{ChunkReader, ChunkWriter};
pub use folder::{Begun, Places, begin};

use crate::engine::capture::{Database, Table};

/// Version of the folder's form; raised when an old reader would misread a new folder.
pub const FORMAT: u32 = 1;

pub const MANIFEST: &str = "manifest.json";
/// There as long as a capture goes on, and after one that was killed.
pub const UNFINISHED: &str = "capture.json";
pub const SCHEMA: &str = "schema";
pub const DATA: &str = "data";

/// Stands where the seal will be, while it is counted.
const NO_SEAL: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no folder {}", path.display())]
    NoFolder { path: PathBuf },
    #[error("{} holds no snapshot", path.display())]
    NoSnapshot { path: PathBuf },
    #[error("{} holds a snapshot already", path.display())]
    Taken { path: PathBuf },
    #[error("{} holds other files", path.display())]
    NotEmpty { path: PathBuf },
    #[error("another capture writes to {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} cannot be written to", path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("the disk is full at {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {damage}", path.display())]
    Damaged { path: PathBuf, damage: Damage },
}

impl StoreError {
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            StoreError::NoFolder { .. } | StoreError::NoSnapshot { .. } => {
                "name the folder that `rehearsal snapshot capture --out` was given"
            }
            StoreError::Taken { .. } | StoreError::NotEmpty { .. } => {
                "give another folder with --out, or empty that one"
            }
            StoreError::InUse { .. } => "wait for it to end, or give another folder with --out",
            StoreError::NotWritable { .. } => "give a folder that can be written to with --out",
            StoreError::DiskFull { .. } => "make room, or give a folder on another disk with --out",
            StoreError::Damaged { damage: Damage::Format { .. }, .. } => {
                "read it with the version that took it, or a newer one"
            }
            StoreError::Damaged { .. } => "take the snapshot again, or see that its copy is whole",
            StoreError::Write { .. } => return None,
        })
    }

    /// The user's to mend, by flags and files alone.
    pub fn is_usage(&self) -> bool {
        !matches!(self, StoreError::DiskFull { .. } | StoreError::Write { .. })
    }

    pub(in crate::snapshot) fn of_write(path: &Path, source: io::Error) -> StoreError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
            _ => StoreError::Write { path, source },
        }
    }
}

/// What is wrong with a file of a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("the capture was not finished")]
    Unfinished,
    #[error("it is missing")]
    Missing,
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("it is of format {found}, and {FORMAT} is what can be read here")]
    Format { found: u64 },
    #[error("it is no manifest of a snapshot")]
    NoManifest(#[source] serde_json::Error),
    #[error("it was changed after it was written")]
    Changed,
    #[error("it has {found} bytes instead of {expected}")]
    Size { expected: u64, found: u64 },
    #[error("it does not hold the {counted} that were written: {found} instead of {expected}")]
    Count { counted: &'static str, expected: u64, found: u64 },
    #[error("its chunks have {found} rows, and it says {expected}")]
    Sum { expected: u64, found: u64 },
    #[error("nothing in the manifest speaks of it")]
    Stray,
    #[error("it names a file outside of its folder")]
    Outside,
}

/// What a snapshot's folder holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version that took it.
    pub taken_by: String,
    /// The moment that all of it is of, by this machine's clock.
    pub captured: jiff::Timestamp,
    /// By rules; else rows are as they were.
    pub is_masked: bool,
    pub is_sampled: bool,
    /// What was taken, where not all rows were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<StoredSample>,
    pub database: Database,
    /// In the order of their folders.
    pub tables: Vec<StoredTable>,
    pub schema: Vec<StoredFile>,
    /// Of this file, with zeros in this place. The last field.
    seal: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredTable {
    #[serde(flatten)]
    pub table: Table,
    pub rows: u64,
    /// At that moment.
    pub production_rows: u64,
    /// In the text form.
    pub bytes: u64,
    /// What was done to its rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<StoredMask>,
    pub chunks: Vec<Chunk>,
}

/// A column that was masked, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMask {
    pub column: String,
    /// As the rules file calls it: "email".
    pub transformer: String,
}

/// How rows were sampled, and what of production's variety is not among them. Holds no values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSample {
    pub seed: u64,
    pub tables: Vec<StoredSampledTable>,
    /// What production's rows refer to and does not exist.
    pub orphans: Vec<StoredOrphans>,
}

/// A table with all its partitions. The figures are there where it was looked at what its rows have: values of short lists and pairs of them,
/// extremes, shapes of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSampledTable {
    pub table: String,
    /// As the rules file has it: "1%".
    pub rows: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// Of these, what fewer than ten rows have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rare: Option<u64>,
    /// What a plain sample had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<u64>,
    /// Rows that were added for the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<StoredMissed>,
}

/// What no row of the sample has, of a column or of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMissed {
    pub columns: Vec<String>,
    /// "values", "shapes", "extremes", "pairs of values".
    pub what: String,
    pub count: u64,
}

/// Keys of a table that rows refer to, and that no row of it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOrphans {
    pub table: String,
    pub columns: Vec<String>,
    pub keys: u64,
}

/// One file of rows: a zstd frame of the text form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Below the data folder: "000001/000001.zst".
    pub file: String,
    pub rows: u64,
    /// Of the rows.
    pub bytes: u64,
    /// Of the file.
    pub stored_bytes: u64,
    /// Of the file's bytes.
    pub blake3: String,
    /// Of the rows'.
    pub rows_blake3: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Below the schema folder.
    pub file: String,
    pub bytes: u64,
    pub blake3: String,
}

/// What a capture knows of a snapshot before it is sealed.
pub struct Contents {
    pub captured: jiff::Timestamp,
    pub is_masked: bool,
    pub is_sampled: bool,
    pub sample: Option<StoredSample>,
    pub database: Database,
    pub tables: Vec<StoredTable>,
}

impl Manifest {
    /// Reads a folder's manifest and holds it against its seal.
    ///
    /// # Errors
    /// There is no folder or no snapshot in it, or the manifest is not as it was written.
    pub fn read(folder: &Path) -> Result<Manifest, StoreError> {
        if !folder.is_dir() {
            return Err(StoreError::NoFolder { path: folder.to_owned() });
        }
        let path = folder.join(MANIFEST);
        let damaged = |damage| StoreError::Damaged { path: path.clone(), damage };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(match folder.join(UNFINISHED).exists() {
                    true => StoreError::Damaged { path: folder.to_owned(), damage: Damage::Unfinished },
                    false if folder.join(DATA).is_dir() => damaged(Damage::Missing),
                    false => StoreError::NoSnapshot { path: folder.to_owned() },
                });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(damaged(Damage::Changed)),
            Err(error) => return Err(damaged(Damage::Unreadable(error))),
        };
        // Before the rest, which another format may have in another form.
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| damaged(Damage::NoManifest(error)))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(found) => return Err(damaged(Damage::Format { found })),
            None => return Err(damaged(Damage::Changed)),
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| damaged(Damage::NoManifest(error)))?;
        if seal_of(&text, &manifest.seal).as_deref() != Some(&manifest.seal) {
            return Err(damaged(Damage::Changed));
        }
        Ok(manifest)
    }

    /// The files' text, sealed.
    fn sealed(contents: Contents, schema: Vec<StoredFile>) -> (Manifest, String) {
        let Contents { captured, is_masked, is_sampled, sample, database, tables } = contents;
        let mut manifest = Manifest {
            format: FORMAT,
            taken_by: env!("CARGO_PKG_VERSION").to_owned(),
            captured,
            is_masked,
            is_sampled,
            sample,
            database,
            tables,
            schema,
            seal: NO_SEAL.to_owned(),
        };
        let open = serde_json::to_string_pretty(&manifest).expect("plain data of strings and numbers") + "\n";
        manifest.seal = seal_of(&open, NO_SEAL).expect("the seal is its last field");
        let (before, after) = open.rsplit_once(NO_SEAL).expect("the seal is its last field");
        let text = format!("{before}{}{after}", manifest.seal);
        (manifest, text)
    }

    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Of all rows, in the text form.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    pub fn stored_bytes(&self) -> u64 {
        self.chunks().map(|(_, chunk)| chunk.stored_bytes).sum()
    }

    pub fn chunks(&self) -> impl Iterator<Item = (&StoredTable, &Chunk)> {
        self.tables.iter().flat_map(|table| table.chunks.iter().map(move |chunk| (table, chunk)))
    }

    /// Rows that production held, by table as its size prints; those of partitions are their table's.
    pub fn production_rows(&self) -> std::collections::BTreeMap<String, u64> {
        let mut rows = std::collections::BTreeMap::new();
        for StoredTable { table, production_rows, .. } in &self.tables {
            let name = table.part_of.clone().unwrap_or_else(|| table.shown());
            *rows.entry(name).or_insert(0) += production_rows;
        }
        rows
    }
}

/// What the text's seal should be, its own taken out; none where that is not the last thing in it.
fn seal_of(text: &str, seal: &str) -> Option<String> {
    let (before, after) = text.rsplit_once(seal)?;
    if seal.len() != NO_SEAL.len() || after != "\"\n}\n" {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(NO_SEAL.as_bytes()).update(after.as_bytes());
    Some(hasher.finalize().to_hex().to_string())
}

impl Chunk {
    /// Where it lies. A manifest may come from anywhere, and names no file outside of its folder.
    ///
    /// # Errors
    /// [`Damage::Outside`].
    pub fn path(&self, folder: &Path) -> Result<PathBuf, Damage> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self.file.split_once('/') {
            Some((table, file)) if is_number(table) && file.strip_suffix(".zst").is_some_and(is_number) => {
                Ok(folder.join(DATA).join(&self.file))
            }
            _ => Err(Damage::Outside),
        }
    }
}

impl StoredFile {
    /// As [`Chunk::path`].
    ///
    /// # Errors
    /// As there.
    pub fn path(&self, folder: &Path) -> Result<PathBuf, Damage> {
        let mut parts = Path::new(&self.file).components();
        match (parts.next(), parts.next()) {
            (Some(std::path::Component::Normal(_)), None) => Ok(folder.join(SCHEMA).join(&self.file)),
            _ => Err(Damage::Outside),
        }
    }

    /// Holds the file against what was written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, folder: &Path) -> Result<(), Damage> {
        let found = stored_file(&self.path(folder)?, &self.file).map_err(Damage::of_open)?;
        if found.bytes != self.bytes {
            return Err(Damage::Size { expected: self.bytes, found: found.bytes });
        }
        if found.blake3 == self.blake3 { Ok(()) } else { Err(Damage::Changed) }
    }
}

impl Damage {
    fn of_open(error: io::Error) -> Damage {
        match error.kind() {
            io::ErrorKind::NotFound => Damage::Missing,
            _ => Damage::Unreadable(error),
        }
    }
}

fn stored_file(path: &Path, file: &str) -> io::Result<StoredFile> {
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(StoredFile { file: file.to_owned(), bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// A chunk as messages name it.
pub struct Named<'a>(pub &'a StoredTable, pub &'a Chunk);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, chunk {}", self.0.table.shown(), self.1.file)
    }
}

#[cfg(test)]
mod tests;
