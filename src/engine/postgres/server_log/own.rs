//! The server's own lines of its log, apart from those of its sessions, which hold statements and row values.

use std::borrow::Cow;

use crate::engine::postgres::blot;
use crate::engine::server;

/// The prefix by which the two are told apart. Manual: "Error Reporting and Logging", `log_line_prefix`.
pub const PREFIX: &str = "%m [%p] %q%u@%d ";

/// Levels that follow a line about somebody's statement.
const ABOUT_STATEMENTS: [&str; 4] = ["DETAIL", "STATEMENT", "CONTEXT", "QUERY"];

/// Keeps what the server says of itself. Lines are given one by one; an entry's further lines follow its first.
#[derive(Debug, Default)]
pub struct OwnLines {
    inside: bool,
}

impl server::OwnLines for OwnLines {
    fn keep<'l>(&mut self, line: &'l str) -> Option<Cow<'l, str>> {
        // Further lines of an entry begin with a tab.
        if !line.starts_with('\t') {
            self.inside = is_own(line);
        }
        self.inside.then(|| without_values(line))
    }
}

/// What stands before the log collector takes over has no prefix, and no session has begun by then.
fn is_own(line: &str) -> bool {
    let Some((_, rest)) = line.split_once("] ").filter(|(prefix, _)| prefix.contains(" [")) else { return true };
    match rest.split_once(':') {
        Some((level, _)) => !level.contains('@') && !ABOUT_STATEMENTS.contains(&level),
        None => false,
    }
}

/// Of errors that are nobody's session's, those of a worker that applies what a subscription receives may be about rows.
fn without_values(line: &str) -> Cow<'_, str> {
    let Some((before, text)) = line.split_once(" ERROR:  ") else { return Cow::Borrowed(line) };
    let of_names = ["logical replication ", "could not "].iter().any(|words| text.starts_with(words));
    let blotted = blot::message(None, text);
    if of_names || blotted == text { Cow::Borrowed(line) } else { Cow::Owned(format!("{before} ERROR:  {blotted}")) }
}

#[cfg(test)]
mod tests {
    use super::OwnLines;
    use crate::engine::server::OwnLines as _;

    #[test]
    fn sessions_and_statements_are_left_out() {
        let log = "\
postgres: could not access the server configuration file
2026-01-02 03:04:05.678 UTC [46] LOG:  database system is ready to accept connections
2026-01-02 03:04:06.000 UTC [57] app@shop ERROR:  null value in column \"id\"
2026-01-02 03:04:06.000 UTC [57] app@shop DETAIL:  Failing row contains (null, secret).
2026-01-02 03:04:06.000 UTC [57] app@shop STATEMENT:  INSERT INTO t
\tVALUES ('secret')
2026-01-02 03:04:07.000 UTC [46] LOG:  server process (PID 57) was terminated by signal 9: Killed
2026-01-02 03:04:07.000 UTC [46] DETAIL:  Failed process was running: UPDATE t SET a = 'secret'
\tWHERE b
2026-01-02 03:04:07.500 UTC [61] ERROR:  invalid input syntax for type integer: \"secret\"
2026-01-02 03:04:07.500 UTC [61] CONTEXT:  processing remote data for \"INSERT\" of column \"id\", secret
2026-01-02 03:04:07.700 UTC [62] ERROR:  logical replication target relation \"public.t\" is missing replicated column: \"b\"
2026-01-02 03:04:07.800 UTC [63] ERROR:  duplicate key value violates unique constraint \"t_pkey\"
2026-01-02 03:04:08.000 UTC [46] FATAL:  could not write lock file: No space left on device
";
        let mut own = OwnLines::default();
        let kept: Vec<_> = log.lines().filter_map(|line| own.keep(line)).collect();
        assert_eq!(kept.len(), 7, "{kept:?}");
        assert!(kept[3].ends_with("ERROR:  invalid input syntax for type integer: \"…\""), "{kept:?}");
        assert!(kept[4].ends_with("missing replicated column: \"b\""), "{kept:?}");
        assert!(!kept.concat().contains("secret"), "{kept:?}");
    }
}
