//! Overlay mounts: a folder that begins as another, of which a file is copied when it is first written (Linux, documentation of overlayfs).

use std::io;
use std::path::Path;

/// Makes `to`, with the owner and mode of `from`, which nobody may change from here on. What is written lies in folders beside `to`.
///
/// # Errors
/// This user or kernel cannot, or a path is one that a mount's options cannot hold. Nothing is left of it.
#[cfg(target_os = "linux")]
pub fn mount(from: &Path, to: &Path) -> io::Result<()> {
    use std::fs;

    use rustix::mount::{MountFlags, mount};

    use crate::lab::copy::like;

    let beside = |ending: &str| {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        to.with_file_name(name)
    };
    let (upper, work) = (beside(".upper"), beside(".work"));
    let named = [from, &upper, &work].map(|path| path.to_str().filter(|path| !path.contains([',', ':', '\\', '"'])));
    let [Some(lower), Some(above), Some(scratch)] = named else { return Err(io::ErrorKind::InvalidInput.into()) };
    let options = format!("lowerdir={lower},upperdir={above},workdir={scratch}");
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    let made = || {
        for folder in [to, &upper, &work] {
            fs::create_dir(folder)?;
        }
        // The mount's own are the upper folder's.
        like(&fs::metadata(from)?, &upper)?;
        Ok(mount("overlay", to, "overlay", MountFlags::NOSUID | MountFlags::NODEV, Some(&*options))?)
    };
    made().inspect_err(|_| {
        for folder in [to, &upper, &work] {
            let _ = fs::remove_dir_all(folder);
        }
    })
}

#[cfg(not(target_os = "linux"))]
pub fn mount(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Takes away the overlays that are mounted below a folder, whoever mounted them.
#[cfg(target_os = "linux")]
pub fn unmount_below(folder: &Path) {
    use std::os::unix::ffi::OsStringExt;

    use rustix::mount::{UnmountFlags, unmount};

    let Ok(folder) = folder.canonicalize() else { return };
    // Lines as in proc(5): "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw".
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    for line in mounts.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let Some(place) = fields.nth(4) else { continue };
        let is_overlay = fields.skip_while(|field| *field != b"-").nth(1) == Some(b"overlay".as_slice());
        let place = std::ffi::OsString::from_vec(unescaped(place));
        if is_overlay
            && Path::new(&place).starts_with(&folder)
            && let Err(error) = unmount(Path::new(&place), UnmountFlags::DETACH)
        {
            tracing::warn!(%error, place = %Path::new(&place).display(), "could not unmount a clone");
        }
    }
}

/// Blanks and their like are written as three octal digits.
#[cfg(target_os = "linux")]
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, more @ ..] = rest {
        let digits = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[3..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    bytes
}

#[cfg(not(target_os = "linux"))]
pub fn unmount_below(_folder: &Path) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn places_with_blanks() {
        assert_eq!(unescaped(br"/tmp/a\040b\134c"), b"/tmp/a b\\c");
        assert_eq!(unescaped(br"/tmp/\04"), br"/tmp/\04");
    }
}
