//! What a server's log says of what befell it.

use crate::engine::server::Trouble;

/// The last trouble that the lines of a log speak of.
pub(super) fn trouble(log: &[String]) -> Option<Trouble> {
    let last = log.iter().rev().find_map(|line| {
        if is_disk_full(line) {
            return Some(Trouble::DiskFull);
        }
        // "server process", and those of the server's own, as a standby's "startup process".
        let process = line.find(" process (PID ")?;
        let told = &line[line[..process].rfind(":  ").map_or(0, |colon| colon + 3)..];
        let (_, signal) = told.split_once(") was terminated by signal ")?;
        Some(if signal.starts_with("9:") {
            Trouble::Killed(told.to_owned())
        } else {
            Trouble::Crashed(told.to_owned())
        })
    });
    // A full disk makes a process abort itself, and says so before.
    match last {
        Some(Trouble::Crashed(_)) if log.iter().any(|line| is_disk_full(line)) => Some(Trouble::DiskFull),
        last => last,
    }
}

pub(super) fn is_disk_full(text: &str) -> bool {
    text.contains("No space left on device")
}
