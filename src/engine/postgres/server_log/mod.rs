//! The server's log as CSV, and the statements of one role in it.
//!
//! Columns are those of chapter "Error Reporting and Logging" of the manual; 13 to 18 agree on the first 23, and later ones only add.

pub mod own;

use std::collections::HashMap;
use std::io::Read;

use jiff::civil::DateTime;

use super::blot;
use super::describe::{self, Kind};
use super::script_stream::words;
use crate::engine::recover::{MAX_SQL, MAX_STATEMENTS, Recovered};
use crate::event::{SqlError, Statement, Work};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the server's log is not CSV")]
    NotCsv(#[from] csv::Error),
    #[error("line {line} of the server's log has {what}")]
    BadEntry { line: u64, what: String },
}

/// One entry, of the columns used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In the server's `log_timezone`, to the millisecond.
    pub at: DateTime,
    pub user: String,
    pub session: String,
    /// "ALTER TABLE"
    pub command: String,
    /// "LOG", "ERROR"
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    /// Of an error: the statement.
    pub query: String,
    pub query_pos: Option<u32>,
    pub application: String,
}

/// The entries of a log; one that the server has not written to its end yet is the reader's to leave out.
pub fn entries(log: impl Read) -> impl Iterator<Item = Result<Entry, LogError>> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(log).into_byte_records().map(|record| {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = |column: usize| {
            record
                .get(column)
                .map(|field| String::from_utf8_lossy(field).into_owned())
                .ok_or_else(|| LogError::BadEntry { line, what: format!("{} columns", record.len()) })
        };
        let at = text(0)?;
        // "2024-11-22 00:49:00.123 UTC"
        let civil = at.rsplit_once(' ').map_or(&*at, |(civil, _)| civil);
        Ok(Entry {
            at: civil.parse().map_err(|_| LogError::BadEntry { line, what: format!("no time but {at}") })?,
            user: text(1)?,
            session: text(5)?,
            command: text(7)?,
            severity: text(11)?,
            sqlstate: text(12)?,
            message: text(13)?,
            query: text(19)?,
            query_pos: text(20)?.parse().ok(),
            application: text(22)?,
        })
    })
}

/// Whose statements are sought, between which two marks.
pub struct Sought<'a> {
    pub role: &'a str,
    /// Whether an application name is one of this program's own sessions.
    pub ours: &'a (dyn Fn(&str) -> bool + Sync),
    /// Found in the message of the entries that begin and end the time.
    pub begin: &'a str,
    pub end: &'a str,
    /// When the first mark was written, on the run's clock.
    pub begin_ms: f64,
    /// Literals stay in the statements.
    pub show_values: bool,
}

/// Reads the statements off a log. Of the extended protocol's three entries, parse and bind count to the time of their execute.
///
/// # Errors
/// Where the log is not what the server's manual says.
pub fn statements(log: impl Read, sought: &Sought<'_>) -> Result<Recovered, LogError> {
    let mut found = Recovered::default();
    let mut begun: Option<DateTime> = None;
    let mut sessions: HashMap<String, SessionState> = HashMap::new();
    for entry in entries(log) {
        let entry = entry?;
        let Some(start) = begun else {
            begun = entry.message.contains(sought.begin).then_some(entry.at);
            continue;
        };
        if entry.message.contains(sought.end) {
            break;
        }
        if entry.user != sought.role || (sought.ours)(&entry.application) {
            continue;
        }
        let at_ms = sought.begin_ms + entry.at.duration_since(start).as_secs_f64() * 1e3;
        let session = sessions.entry(entry.session.clone()).or_default();
        let Some(mut statement) = session.statement(&entry, at_ms) else { continue };
        let room = if statement.error.is_some() { MAX_STATEMENTS + 100 } else { MAX_STATEMENTS };
        if found.statements.len() >= room {
            found.left_out += 1;
            continue;
        }
        statement.index = found.statements.len();
        if !sought.show_values {
            statement.sql = blot::sql(&statement.sql);
            if let Some(error) = &mut statement.error {
                // The position is in the text as it was sent.
                error.position = None;
                error.message = blot::message(Some(&error.code), &error.message);
            }
        }
        if let Some((end, _)) = statement.sql.char_indices().nth(MAX_SQL) {
            statement.sql.truncate(end);
            statement.sql.push_str(blot::BLOT);
        }
        found.statements.push(statement);
    }
    Ok(found)
}

/// What earlier entries of a session say about later ones.
#[derive(Debug, Default)]
struct SessionState {
    /// Of parse and bind, until their execute.
    prepared_ms: f64,
    in_transaction: bool,
}

impl SessionState {
    /// The statement that an entry ends, if it ends one.
    fn statement(&mut self, entry: &Entry, at_ms: f64) -> Option<Statement> {
        if matches!(entry.severity.as_str(), "ERROR" | "FATAL") && !entry.query.is_empty() {
            self.prepared_ms = 0.0;
            let error = SqlError {
                code: entry.sqlstate.clone(),
                message: entry.message.clone(),
                table: None,
                column: None,
                constraint: None,
                position: entry.query_pos,
            };
            return Some(Statement { error: Some(error), ..self.begun(&entry.query, entry, at_ms, 0.0) });
        }
        if entry.severity != "LOG" {
            return None;
        }
        let (took_ms, what) = duration(&entry.message)?;
        if what.starts_with("parse ") || what.starts_with("bind ") {
            self.prepared_ms += took_ms;
            return None;
        }
        let sql = match what.strip_prefix("statement: ") {
            Some(sql) => sql,
            // "execute NAME: SQL"; a further fetch from an open portal says "execute fetch from".
            None => what.strip_prefix("execute ")?.split_once(": ")?.1,
        };
        let took_ms = took_ms + std::mem::take(&mut self.prepared_ms);
        let statement = self.begun(sql, entry, at_ms, took_ms);
        self.follow(sql);
        Some(statement)
    }

    fn begun(&self, sql: &str, entry: &Entry, at_ms: f64, elapsed_ms: f64) -> Statement {
        Statement {
            sql: sql.to_owned(),
            command: entry.command.clone(),
            started_ms: at_ms - elapsed_ms,
            elapsed_ms,
            attempts: 1,
            work: work(sql),
            in_transaction: self.in_transaction,
            recovered: true,
            ..Statement::default()
        }
    }

    /// Whether a transaction block of the program's own is open from here on: as the last of the statements sent together says.
    fn follow(&mut self, sql: &str) {
        for statement in words(sql).split(|word| word.is_sign(";")) {
            let has = |keyword: &str| statement.iter().any(|word| word.is(keyword));
            let starts = |keywords: &[&str]| {
                statement.first().is_some_and(|first| keywords.iter().any(|keyword| first.is(keyword)))
            };
            if starts(&["begin", "start"]) {
                self.in_transaction = true;
            } else if starts(&["rollback"]) && has("to") || has("chain") && !has("no") {
                // Back to a savepoint, or on into the next block.
            } else if starts(&["commit", "end", "rollback", "abort"]) && !has("prepared") {
                self.in_transaction = false;
            }
        }
    }
}

/// What is sure of it from its kind alone: nothing was measured. Several statements in one text are of no kind.
fn work(sql: &str) -> Work {
    match describe::kind(sql) {
        Kind::Begin | Kind::End | Kind::RollbackTo | Kind::Session | Kind::Lock | Kind::Analyze | Kind::Apart => {
            Work::Constant
        }
        _ => Work::Unknown,
    }
}

/// `duration: 0.123 ms  statement: SELECT 1`
fn duration(message: &str) -> Option<(f64, &str)> {
    let (ms, what) = message.strip_prefix("duration: ")?.split_once(" ms  ")?;
    Some((ms.parse().ok()?, what))
}

#[cfg(test)]
mod tests;
