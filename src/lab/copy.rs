//! Copies of whole folders: blocks shared where the file system can, else copied; never some of each.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{Copied, CopyKind, LabError, Place};

/// How links to what is copied beside a copy are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Absolute,
    /// The copy and what lies beside it will be moved together.
    Relative,
}

/// Copies `from` to `to`, which must not exist, with owners and modes. Links to folders elsewhere are followed: their content is
/// copied beside `to`, since two servers must not share it. `stop` ends it before the next file.
///
/// # Errors
/// A file cannot be read or written; what was copied so far stays.
pub(super) fn tree(from: &Path, to: &Path, links: Links, stop: &CancellationToken) -> Result<Copied, LabError> {
    let kind =
        if can_reflink(from, to).map_err(|source| failed(to, source))? { CopyKind::Reflink } else { CopyKind::Files };
    let (from, to) = (&from.canonicalize().map_err(|source| failed(from, source))?, to);
    let mut copy = Copy { kind, bytes: 0, linked: 0, from, to, beside: beside(to), links, stop };
    copy.folder(from, to)?;
    Ok(Copied { kind, bytes: copy.bytes, place: Place::Folder(to.to_owned()) })
}

/// Where the content of links goes.
pub(super) fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".linked");
    to.with_file_name(name)
}

/// Gives a file or folder, and all in it, to an account.
pub(super) fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    chown(path, Some(uid), Some(gid))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}

/// Copies a file or folder without owners, blocks shared where that works.
pub(super) fn plain(from: &Path, to: &Path) -> io::Result<()> {
    if !fs::metadata(from)?.is_dir() {
        return reflink_copy::reflink_or_copy(from, to).map(|_| ());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        plain(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

struct Copy<'a> {
    kind: CopyKind,
    bytes: u64,
    linked: usize,
    from: &'a Path,
    to: &'a Path,
    beside: PathBuf,
    links: Links,
    stop: &'a CancellationToken,
}

impl Copy<'_> {
    fn folder(&mut self, from: &Path, to: &Path) -> Result<(), LabError> {
        let found = fs::metadata(from).map_err(|source| failed(from, source))?;
        fs::create_dir(to).map_err(|source| failed(to, source))?;
        for entry in fs::read_dir(from).map_err(|source| failed(from, source))? {
            let entry = entry.map_err(|source| failed(from, source))?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().map_err(|source| failed(&from, source))?;
            if kind.is_symlink() {
                self.link(&from, &to)?;
            } else if kind.is_dir() {
                self.folder(&from, &to)?;
            } else if kind.is_file() {
                self.file(&from, &to).map_err(|source| failed(&to, source))?;
            }
        }
        like(&found, to).map_err(|source| failed(to, source))
    }

    fn link(&mut self, from: &Path, to: &Path) -> Result<(), LabError> {
        let mut target = fs::read_link(from).map_err(|source| failed(from, source))?;
        if let Some(elsewhere) = self.elsewhere(from) {
            if self.linked == 0 {
                fs::create_dir(&self.beside).map_err(|source| failed(&self.beside, source))?;
                let found = fs::metadata(&elsewhere).map_err(|source| failed(&elsewhere, source))?;
                like(&found, &self.beside).map_err(|source| failed(&self.beside, source))?;
            }
            self.linked += 1;
            let copied = self.beside.join(self.linked.to_string());
            self.folder(&elsewhere, &copied)?;
            target = match self.links {
                Links::Absolute => copied,
                Links::Relative => self.as_seen_from(to, &copied),
            };
        }
        symlink(&target, to).map_err(|source| failed(to, source))
    }

    /// The folder that a link leads to, if that is not part of what is copied.
    fn elsewhere(&self, link: &Path) -> Option<PathBuf> {
        let target = link.canonicalize().ok()?;
        (target.is_dir() && !target.starts_with(self.from)).then_some(target)
    }

    /// A path beside the copy, from a link in it.
    fn as_seen_from(&self, link: &Path, beside: &Path) -> PathBuf {
        let top = self.to.parent().unwrap_or(self.to);
        // One up for each folder between the link and the top.
        let depth = link.strip_prefix(top).map_or(1, |below| below.components().count()) - 1;
        let up = std::iter::repeat_n("..", depth).collect::<PathBuf>();
        up.join(beside.strip_prefix(top).unwrap_or(beside))
    }

    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.stop.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let found = fs::metadata(from)?;
        match self.kind {
            CopyKind::Reflink => reflink_copy::reflink(from, to)?,
            CopyKind::Files | CopyKind::Overlay => fs::copy(from, to).map(|_| ())?,
        }
        self.bytes += found.len();
        like(&found, to)
    }
}

/// Tries it on a file of one byte: whether blocks can be shared is the file system's to say, not its name's.
pub(super) fn can_reflink(from: &Path, to: &Path) -> io::Result<bool> {
    // Others may try it at the same time.
    let beside = |path: &Path| tempfile::Builder::new().prefix(".reflink").tempdir_in(path.parent().unwrap_or(path));
    let (one, other) = (beside(from)?, beside(to)?);
    let original = one.path().join("x");
    fs::write(&original, b"x")?;
    Ok(reflink_copy::reflink(&original, other.path().join("x")).is_ok())
}

pub(super) fn like(found: &fs::Metadata, path: &Path) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(found.uid()), Some(found.gid()))?;
    }
    fs::set_permissions(path, Permissions::from_mode(found.mode() & 0o7777))
}

fn failed(path: &Path, source: io::Error) -> LabError {
    LabError::io(format!("copy {}", path.display()), source)
}

#[cfg(test)]
mod tests;
