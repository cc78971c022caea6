//! What a snapshot is, as one text: a digest of its content, and of what else goes into a restore.
//!
//! Digests of large files are remembered with what the file system says of the file, as `git` does in its index.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{SnapshotError, store};
use crate::scenario::{Snapshot, SnapshotSource};

/// Files that are remembered.
const REMEMBERED: usize = 100_000;
/// What was written so lately may be written again within the file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

/// The digest of what a restore takes; none of a live server, which is another at each moment.
///
/// # Errors
/// A file cannot be read.
pub fn of(snapshot: &Snapshot, memory: &Path) -> Result<Option<String>, SnapshotError> {
    let mut known = Known::read(memory);
    let mut parts = vec![snapshot.database.clone()];
    match &snapshot.source {
        SnapshotSource::Empty => parts.push("empty".to_owned()),
        SnapshotSource::Url { .. } => return Ok(None),
        SnapshotSource::Sql { path, .. } => parts.extend(["sql".to_owned(), known.file(path)?]),
        SnapshotSource::Custom { path } => parts.extend(["archive".to_owned(), known.file(path)?]),
        SnapshotSource::Directory { path } => parts.extend(["directory".to_owned(), known.folder(path)?]),
        // It holds the digest of every other file, and its own seal.
        SnapshotSource::Folder { path } => {
            parts.extend(["snapshot".to_owned(), known.file(&path.join(store::MANIFEST))?]);
        }
        SnapshotSource::Mydumper { path } => parts.extend(["mydumper".to_owned(), known.folder(path)?]),
    }
    if let Some(roles) = &snapshot.roles {
        parts.push(known.file(roles)?);
    }
    known.write(memory);
    Ok(Some(digest(&parts)))
}

/// Of a text in parts, told apart.
pub fn digest(parts: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Of a file's content.
///
/// # Errors
/// It cannot be read.
pub fn of_file(path: &Path) -> Result<String, SnapshotError> {
    let read = || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    read().map_err(|source| unreadable(path, source))
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    files: BTreeMap<PathBuf, Remembered>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Remembered {
    stamp: Stamp,
    digest: String,
}

/// A file changes one of these when its content changes: nobody can set the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Stamp {
        Stamp {
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Known {
    /// What cannot be read is not known.
    fn read(path: &Path) -> Known {
        fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Only time is lost where it cannot be written.
    fn write(&mut self, path: &Path) {
        while self.files.len() > REMEMBERED {
            self.files.pop_first();
        }
        let written = || {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&file, self)?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        let written: io::Result<()> = written();
        if let Err(error) = written {
            tracing::debug!(%error, "digests are not remembered");
        }
    }

    fn file(&mut self, path: &Path) -> Result<String, SnapshotError> {
        let path = &path.canonicalize().map_err(|source| unreadable(path, source))?;
        let stamp = || fs::metadata(path).map(|found| Stamp::of(&found)).map_err(|source| unreadable(path, source));
        let before = stamp()?;
        if let Some(known) = self.files.get(path).filter(|known| known.stamp == before) {
            return Ok(known.digest.clone());
        }
        let digest = of_file(path)?;
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(before.changed.0.try_into().unwrap_or_default());
        let is_settled = changed.elapsed().is_ok_and(|since| since > SETTLED);
        if is_settled && stamp()? == before {
            self.files.insert(path.clone(), Remembered { stamp: before, digest: digest.clone() });
        }
        Ok(digest)
    }

    /// All of its files, by name.
    fn folder(&mut self, path: &Path) -> Result<String, SnapshotError> {
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut paths: Vec<PathBuf> =
            entries.map_err(|source| unreadable(path, source))?.into_iter().map(|entry| entry.path()).collect();
        paths.sort_unstable();
        let mut parts = Vec::new();
        for path in paths.iter().filter(|path| path.is_file()) {
            parts.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            parts.push(self.file(path)?);
        }
        Ok(digest(&parts))
    }
}

fn unreadable(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Unreadable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(known: &mut Known, path: &Path) -> String {
        known.file(path).expect("it can be read")
    }

    #[test]
    fn a_file_that_was_replaced_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.sql");
        fs::write(&path, "one").expect("written");
        let mut known = Known::default();
        let one = digest_of(&mut known, &path);
        assert!(known.files.is_empty(), "it has only just been written");
        // As if it had been read long ago.
        let stamp = Stamp::of(&fs::metadata(&path).expect("there"));
        known.files.insert(path.canonicalize().expect("there"), Remembered { stamp, digest: "of old".into() });
        assert_eq!(digest_of(&mut known, &path), "of old");
        // Of the same size, and with the same time as before.
        let modified = fs::metadata(&path).expect("there").modified().expect("a time");
        let other = folder.path().join("other");
        fs::write(&other, "two").expect("written");
        File::options().write(true).open(&other).expect("opened").set_modified(modified).expect("set");
        fs::rename(&other, &path).expect("moved");
        let two = digest_of(&mut known, &path);
        assert_ne!(two, "of old");
        assert_ne!(two, one);
    }

    #[test]
    fn parts_are_told_apart() {
        let of = |parts: &[&str]| digest(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["", "a"]), of(&["a", ""]));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
    }
}
