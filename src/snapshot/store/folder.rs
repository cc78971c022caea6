//! A folder while a capture fills it: begun under a lock, sealed at the end, or taken away again. What it holds is its owner's alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use super::{Contents, DATA, FORMAT, MANIFEST, Manifest, SCHEMA, StoreError, UNFINISHED, stored_file};

/// Where the manifest is written before it gets its name.
const TEMPORARY: &str = "manifest.json.new";

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// A folder that is being filled. Nobody else writes to it as long as this lives.
pub struct Begun {
    folder: PathBuf,
    /// The folder was made for it.
    is_ours: bool,
    /// What a killed capture had left was taken away.
    pub started_over: bool,
    _lock: File,
}

/// What is known of a capture while it goes on.
#[derive(Serialize)]
struct Unfinished<'a> {
    format: u32,
    started: jiff::Timestamp,
    source: &'a str,
}

/// Begins a snapshot in a folder that is not there, is empty, or holds what a killed capture left: chunks of one moment cannot be joined
/// with those of another, so that goes. `source` holds no password.
///
/// # Errors
/// The folder holds something else, or cannot be written to.
pub fn begin(folder: &Path, source: &str) -> Result<Begun, StoreError> {
    let not_writable = |error: io::Error| match StoreError::of_write(folder, error) {
        StoreError::Write { path, source } => StoreError::NotWritable { path, source },
        other => other,
    };
    let is_ours = !folder.exists();
    if is_ours {
        folder.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| make_private(folder)).map_err(not_writable)?;
    }
    if folder.join(MANIFEST).exists() {
        return Err(StoreError::Taken { path: folder.to_owned() });
    }
    let unfinished = folder.join(UNFINISHED);
    let started_over = unfinished.exists();
    if !started_over && fs::read_dir(folder).map_err(not_writable)?.next().is_some() {
        return Err(StoreError::NotEmpty { path: folder.to_owned() });
    }
    let mut lock = private_file().create(true).truncate(false).open(&unfinished).map_err(not_writable)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(StoreError::InUse { path: folder.to_owned() });
    }
    // The other may have finished between the two looks.
    if folder.join(MANIFEST).exists() {
        return Err(StoreError::Taken { path: folder.to_owned() });
    }
    clear(folder).map_err(not_writable)?;
    let text = Unfinished { format: FORMAT, started: jiff::Timestamp::now(), source };
    let text = serde_json::to_string_pretty(&text).expect("plain data of strings and numbers") + "\n";
    let written = lock.set_len(0).and_then(|()| lock.write_all(text.as_bytes())).and_then(|()| {
        // A killed capture of an older version may have left it readable by others.
        lock.set_permissions(Permissions::from_mode(FILE))?;
        make_private(&folder.join(SCHEMA))?;
        make_private(&folder.join(DATA))
    });
    let begun = Begun { folder: folder.to_owned(), is_ours, started_over, _lock: lock };
    match written {
        Ok(()) => Ok(begun),
        Err(error) => {
            begun.abandon();
            Err(not_writable(error))
        }
    }
}

/// Where a snapshot's chunks go.
#[derive(Debug, Clone)]
pub struct Places {
    data: PathBuf,
}

impl Places {
    /// As [`Begun::chunk`].
    pub fn chunk(&self, table: usize, chunk: usize) -> (PathBuf, String) {
        let file = format!("{}/{}.zst", number(table), number(chunk));
        (self.data.join(&file), file)
    }
}

impl Begun {
    pub fn schema(&self) -> PathBuf {
        self.folder.join(SCHEMA)
    }

    /// Makes the folder of a table, from 0.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_table(&self, table: usize) -> Result<(), StoreError> {
        let path = self.folder.join(DATA).join(number(table));
        make_private(&path).map_err(|error| StoreError::of_write(&path, error))
    }

    /// Where a chunk goes, and its name in the manifest; both from 0.
    pub fn chunk(&self, table: usize, chunk: usize) -> (PathBuf, String) {
        self.places().chunk(table, chunk)
    }

    /// For whoever writes elsewhere.
    pub fn places(&self) -> Places {
        Places { data: self.folder.join(DATA) }
    }

    /// Writes the manifest: from here on the folder is a snapshot.
    ///
    /// # Errors
    /// Something cannot be written.
    pub fn finish(self, contents: Contents) -> Result<Manifest, StoreError> {
        let finished = self.seal(contents);
        if finished.is_err() {
            self.abandon();
        }
        finished
    }

    fn seal(&self, contents: Contents) -> Result<Manifest, StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::of_write(&path, error)
        };
        let schema = self.schema();
        let mut files = Vec::new();
        for entry in fs::read_dir(&schema).map_err(failed(&schema))? {
            let path = entry.map_err(failed(&schema))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Programs that write here give what the umask leaves.
            fs::set_permissions(&path, Permissions::from_mode(FILE)).map_err(failed(&path))?;
            sync(&path).map_err(failed(&path))?;
            files.push(stored_file(&path, &name).map_err(failed(&path))?);
        }
        files.sort_by(|one, other| one.file.cmp(&other.file));
        sync(&schema).map_err(failed(&schema))?;
        let data = self.folder.join(DATA);
        for at in 0..contents.tables.len() {
            let table = data.join(number(at));
            sync(&table).map_err(failed(&table))?;
        }
        sync(&data).map_err(failed(&data))?;
        let (manifest, text) = Manifest::sealed(contents, files);
        let (temporary, path) = (self.folder.join(TEMPORARY), self.folder.join(MANIFEST));
        let written = private_file().create(true).truncate(true).open(&temporary).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(failed(&temporary))?;
        // What it speaks of has its names on the disk before it has its own.
        sync(&self.folder).map_err(failed(&self.folder))?;
        fs::rename(&temporary, &path).map_err(failed(&path))?;
        // With the manifest in place it says nothing any more.
        let _ = fs::remove_file(self.folder.join(UNFINISHED));
        sync(&self.folder).map_err(failed(&self.folder))?;
        Ok(manifest)
    }

    /// Takes away what was written: half a snapshot is of no use, and holds rows.
    pub fn abandon(&self) {
        let removed = clear(&self.folder).and_then(|()| fs::remove_file(self.folder.join(UNFINISHED)));
        let removed = removed.and_then(|()| if self.is_ours { fs::remove_dir(&self.folder) } else { Ok(()) });
        if let Err(error) = removed {
            tracing::warn!(%error, folder = %self.folder.display(), "could not remove an unfinished snapshot");
        }
    }
}

/// Removes all that a capture writes, save what says that it goes on.
fn clear(folder: &Path) -> io::Result<()> {
    for name in [DATA, SCHEMA] {
        match fs::remove_dir_all(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_file(folder.join(TEMPORARY)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER).create(folder)
}

/// To be written.
pub(super) fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(FILE);
    options
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Counted from 0, named from 1.
fn number(at: usize) -> String {
    format!("{:06}", at + 1)
}
