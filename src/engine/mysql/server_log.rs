//! The server's error log, of which nothing is kept that could hold a row's values (chapter "The Error Log" of the manuals).

use std::borrow::Cow;

use crate::engine::server::{OwnLines, Trouble};

/// The words with which an applier, a routine or an event tells an error of a statement, values and all.
const OF_STATEMENTS: [&str; 9] = [
    "Slave SQL",
    "Slave worker",
    "Replica SQL",
    "Worker ",
    "Event Scheduler",
    "Duplicate entry",
    "Query (",
    "Unsafe statement",
    "Statement: ",
];

/// Keeps what the server says of itself. Whatever has no time at its beginning is left out: what follows an entry are rows of a deadlock,
/// or the statement at which a server crashed.
#[derive(Debug, Default)]
pub(super) struct Lines;

impl OwnLines for Lines {
    fn keep<'l>(&mut self, line: &'l str) -> Option<Cow<'l, str>> {
        (is_dated(line) && !OF_STATEMENTS.iter().any(|words| line.contains(words))).then_some(Cow::Borrowed(line))
    }
}

/// "2026-01-02  3:04:05", "2026-01-02T03:04:05", "260102  3:04:05".
fn is_dated(line: &str) -> bool {
    let like = |form: &str| {
        line.len() > form.len()
            && form.chars().zip(line.chars()).all(|(form, found)| match form {
                '9' => found.is_ascii_digit(),
                form => form == found,
            })
    };
    let rest = |length: usize| line[length..].starts_with([' ', 'T']);
    (like("9999-99-99") && rest(10)) || (like("999999") && rest(6))
}

/// The last trouble that the lines of a log speak of.
pub(super) fn trouble(log: &[String]) -> Option<Trouble> {
    log.iter().rev().find_map(|line| {
        if is_disk_full(line) {
            return Some(Trouble::DiskFull);
        }
        let (_, signal) = line.split_once(" got signal ")?;
        Some(Trouble::Crashed(format!("the server got signal {}", signal.trim_end_matches([' ', ';']))))
    })
}

/// The operating system's words or its number, and those with which the servers wait for space.
pub(super) fn is_disk_full(text: &str) -> bool {
    let words = ["No space left on device", "Disk is full", "Disk full"];
    let numbered = ["failed with error 28", "rror number 28", "rrno: 28", "rrcode: 28"];
    words.iter().chain(&numbered).any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_applier_says_of_rows_is_left_out() {
        let log = "\
2026-01-02  3:04:05 0 [Note] /usr/sbin/mariadbd: ready for connections.
Version: '10.11.6-MariaDB'  socket: 's'  port: 3306
2026-01-02  3:04:06 9 [ERROR] Slave SQL: Could not execute Write_rows_v1 event on table shop.t; Duplicate entry 'secret'
 and more of 'secret'
5 Main St, of a 'secret'
Query (0x7f0001): INSERT INTO t VALUES ('secret')
2026-01-02T03:04:06.000Z 9 [ERROR] [MY-010584] [Repl] Replica SQL for channel '': Worker 1 failed, 'secret'
2026-01-02  3:04:06 9 [Warning] Unsafe statement written to the binary log using statement format. Statement: INSERT 'secret'
2026-01-02  3:04:07 0 [Note] /usr/sbin/mariadbd: Normal shutdown
";
        let mut own = Lines;
        let kept: Vec<&str> = log.lines().filter(|line| own.keep(line).is_some()).collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(!kept.concat().contains("secret"), "{kept:?}");
    }

    #[test]
    fn trouble_in_a_log() {
        let check = |line: &str, expected: Option<Trouble>| assert_eq!(trouble(&[line.to_owned()]), expected, "{line}");
        check("2026-01-02  3:04:05 0 [Note] ready for connections.", None);
        check(
            "2026-01-02  3:04:05 0 [ERROR] InnoDB: preallocating 8388608 bytes for file ./a/b.ibd failed with error 28",
            Some(Trouble::DiskFull),
        );
        check(
            "2026-01-02  3:04:05 0 [ERROR] InnoDB: Write to file failed, No space left on device",
            Some(Trouble::DiskFull),
        );
        let crashed = Some(Trouble::Crashed("the server got signal 11".to_owned()));
        check("260102  3:04:05 [ERROR] mysqld got signal 11 ;", crashed.clone());
        check("2026-01-02T03:04:05Z UTC - mysqld got signal 11 ;", crashed);
    }
}
