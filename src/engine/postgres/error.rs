//! The server's errors, as they may be kept and shown: without row values and literals, unless those were asked for.
//!
//! Fields and classes are those of "Error and Notice Message Fields" and "PostgreSQL Error Codes" in the manual.

use std::collections::HashSet;

use postgres_protocol::message::backend::ErrorFields;
use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::fallible_iterator::FallibleIterator;

use crate::event::{SqlError, with_causes};

/// SQLSTATE of a connection that could not be made or that ended: `connection_failure`.
pub const CONNECTION_FAILURE: &str = "08006";
/// SQLSTATE of a lock not had within `lock_timeout`, or with `NOWAIT`.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";
/// SQLSTATE of a statement that ended because others waited for its locks and it for theirs.
pub const DEADLOCK_DETECTED: &str = "40P01";
/// SQLSTATE of a statement that was cancelled, by request or by `statement_timeout`.
pub const QUERY_CANCELED: &str = "57014";

/// What stands for a value that is left out.
const LEFT_OUT: &str = "…";

/// Classes whose messages name objects and settings, never a row's values.
const CLASSES_OF_NAMES: [&str; 22] = [
    "03", "08", "0A", "0L", "0P", "25", "26", "28", "2B", "2D", "34", "3B", "3D", "3F", "40", "42", "53", "54", "55",
    "57", "58", "72",
];

/// An error or a notice, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// "ERROR", "FATAL", "NOTICE"; never translated.
    pub severity: String,
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    /// Characters into the statement, from 1.
    pub position: Option<u32>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub datatype: Option<String>,
    pub constraint: Option<String>,
    /// The server's own function that raised it.
    pub routine: Option<String>,
}

/// The functions that raise for a `RAISE` and an `ASSERT` in PL/pgSQL, which may choose any code and say anything.
const RAISING: [&str; 2] = ["exec_stmt_raise", "exec_stmt_assert"];

/// What stands for the words of such a one.
pub const RAISED: &str = "a function or a DO block raised it; its words are left out";

impl ServerMessage {
    /// Reads the fields of an ErrorResponse or NoticeResponse.
    ///
    /// # Errors
    /// If the message is cut short.
    pub fn read(mut fields: ErrorFields<'_>) -> std::io::Result<ServerMessage> {
        let mut read = ServerMessage::default();
        let mut localised = String::new();
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' => localised = value,
                b'V' => read.severity = value,
                b'C' => read.code = value,
                b'M' => read.message = value,
                b'D' => read.detail = Some(value),
                b'P' => read.position = value.parse().ok(),
                b's' => read.schema = Some(value),
                b't' => read.table = Some(value),
                b'c' => read.column = Some(value),
                b'd' => read.datatype = Some(value),
                b'n' => read.constraint = Some(value),
                b'R' => read.routine = Some(value),
                _ => {}
            }
        }
        if read.severity.is_empty() {
            read.severity = localised;
        }
        Ok(read)
    }

    /// The error as it may be recorded.
    pub fn to_sql_error(&self, show_values: bool) -> SqlError {
        SqlError {
            code: self.code.clone(),
            message: self.shown(show_values),
            table: self.table.as_deref().map(|table| match self.schema.as_deref() {
                Some("public") | None => table.to_owned(),
                Some(schema) => format!("{schema}.{table}"),
            }),
            column: self.column.clone(),
            constraint: self.constraint.clone(),
            position: self.position,
        }
    }

    /// The message; with `show_values` whole and with its detail, else with row values and literals left out.
    pub fn shown(&self, show_values: bool) -> String {
        match (&self.detail, show_values) {
            (Some(detail), true) => format!("{} ({detail})", self.message),
            (None, true) => self.message.clone(),
            (_, false) => self.redacted(),
        }
    }

    /// As [`ServerMessage::to_sql_error`], of a statement whose text is known to whoever sees it.
    pub fn to_sql_error_of(&self, sql: &str, show_values: bool) -> SqlError {
        SqlError { message: self.shown_of(sql, show_values), ..self.to_sql_error(show_values) }
    }

    /// As [`ServerMessage::shown`]: of what a block raises, the words that stand in the statement itself are shown as well.
    pub fn shown_of(&self, sql: &str, show_values: bool) -> String {
        if show_values || !self.is_raised() { self.shown(show_values) } else { words_of(sql, &self.message) }
    }

    fn is_raised(&self) -> bool {
        self.routine.as_deref().is_some_and(|routine| RAISING.contains(&routine))
    }

    fn redacted(&self) -> String {
        if self.is_raised() {
            return RAISED.to_owned();
        }
        let class = self.code.get(..2).unwrap_or_default();
        if self.code == "42601" {
            // A syntax error quotes a token of the statement, which may be a literal.
            return quoted_parts(&self.message, |_, token| is_identifier(token));
        }
        if CLASSES_OF_NAMES.contains(&class) {
            return self.message.clone();
        }
        match class {
            // Notices: the server's own name objects, those of RAISE may hold anything.
            "00" => numbers(&quoted_parts(&self.message, |before, _| follows_object_word(before))),
            "23" => quoted_parts(&self.message, |before, part| self.names(part) || follows_object_word(before)),
            _ => numbers(&widest_quotes(&self.message, |part| self.names(part))),
        }
    }

    /// Whether the text is one of the names that the error itself gives.
    fn names(&self, text: &str) -> bool {
        [&self.schema, &self.table, &self.column, &self.datatype, &self.constraint]
            .into_iter()
            .any(|name| name.as_deref() == Some(text))
    }
}

impl From<&DbError> for ServerMessage {
    fn from(error: &DbError) -> ServerMessage {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        ServerMessage {
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: owned(error.detail()),
            position: match error.position() {
                Some(ErrorPosition::Original(position)) => Some(*position),
                _ => None,
            },
            schema: owned(error.schema()),
            table: owned(error.table()),
            column: owned(error.column()),
            datatype: owned(error.datatype()),
            constraint: owned(error.constraint()),
            routine: owned(error.routine()),
        }
    }
}

/// The driver's error as it may be recorded: values left out unless `show_values`. Anything that is not the server's own answer is a
/// connection error, code [`CONNECTION_FAILURE`].
pub fn sql_error(error: &tokio_postgres::Error, show_values: bool) -> SqlError {
    match error.as_db_error() {
        Some(error) => ServerMessage::from(error).to_sql_error(show_values),
        None => connection_error(error),
    }
}

/// The driver's error without row values, for those who pass it on as a cause: the driver's own text gives the server's detail too.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(String);

impl From<&tokio_postgres::Error> for Told {
    fn from(error: &tokio_postgres::Error) -> Told {
        Told(match error.as_db_error() {
            Some(error) => format!("{}: {}", error.severity(), ServerMessage::from(error).shown(false)),
            None => with_causes(error),
        })
    }
}

/// A connection that failed or ended, with its causes.
pub fn connection_error(error: &dyn std::error::Error) -> SqlError {
    connection_failure(with_causes(error))
}

/// A connection that failed or ended, as `message` says.
pub fn connection_failure(message: String) -> SqlError {
    SqlError {
        code: CONNECTION_FAILURE.to_owned(),
        message,
        table: None,
        column: None,
        constraint: None,
        position: None,
    }
}

/// The text with each part in double quotes kept or left out; `keep` gets the text before the part, and the part.
fn quoted_parts(text: &str, keep: impl Fn(&str, &str) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let mut at = 0;
    while let Some((start, end)) = quoted_span(rest) {
        let part = &rest[start + 1..end];
        shown.push_str(&rest[..=start]);
        shown.push_str(if keep(&text[..at + start], part) { part } else { LEFT_OUT });
        shown.push('"');
        rest = &rest[end + 1..];
        at += end + 1;
    }
    shown.push_str(rest);
    shown
}

/// Byte positions of the first opening double quote and of the next one.
fn quoted_span(text: &str) -> Option<(usize, usize)> {
    let start = text.find('"')?;
    let length = text[start + 1..].find('"')?;
    Some((start, start + 1 + length))
}

/// The text with everything from the first quote to the last one left out: a value may hold quotes itself.
fn widest_quotes(text: &str, is_name: impl Fn(&str) -> bool) -> String {
    let Some(start) = text.find(is_quote) else { return text.to_owned() };
    let end = text.rfind(is_quote).unwrap_or(start);
    let (open, after) = text[start..].split_at(1);
    if end == start {
        // An apostrophe in a word, or a quote that never ends.
        let in_word = text[..start].ends_with(char::is_alphabetic) && after.starts_with(char::is_alphabetic);
        return if in_word { text.to_owned() } else { format!("{}{open}{LEFT_OUT}", &text[..start]) };
    }
    let part = &text[start + 1..end];
    let part = if is_name(part) { part } else { LEFT_OUT };
    format!("{}{open}{part}{}", &text[..start], &text[end..])
}

/// The message without the words that are not in the statement: those came from rows, or from functions whose text nobody sees here.
fn words_of(sql: &str, message: &str) -> String {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_';
    let known: HashSet<&str> = sql.split(|c| !is_inside(c)).filter(|word| !word.is_empty()).collect();
    let mut shown = String::with_capacity(message.len());
    let (mut kept, mut rest) = (false, message);
    while !rest.is_empty() {
        let word = &rest[..rest.find(|c| !is_inside(c)).unwrap_or(rest.len())];
        let after = &rest[word.len()..];
        let between = &after[..after.find(is_inside).unwrap_or(after.len())];
        if known.contains(word) {
            kept = true;
            shown.push_str(word);
        } else if !word.is_empty() {
            // What joins the parts of one value goes with them: an address, a time.
            let cut = shown.rfind(LEFT_OUT).filter(|at| !shown[at + LEFT_OUT.len()..].contains(char::is_alphanumeric));
            shown.truncate(cut.unwrap_or(shown.len()));
            shown.push_str(LEFT_OUT);
        }
        shown.push_str(between);
        rest = &after[between.len()..];
    }
    if kept { shown } else { RAISED.to_owned() }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// The text with numbers left out, but for those inside a name.
fn numbers(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut in_name = false;
    let mut in_number = false;
    for c in text.chars() {
        let continues = in_number && matches!(c, '.' | ',' | ':' | '-' | '_' | 'e' | 'E' | '+');
        if in_name || !(c.is_ascii_digit() || continues) {
            shown.push(c);
            in_number = false;
        } else if !in_number {
            shown.push_str(LEFT_OUT);
            in_number = true;
        }
        in_name = (c.is_alphabetic() && !in_number) || (in_name && (c.is_alphanumeric() || c == '_'));
    }
    shown
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_' || c.is_ascii_punctuation() && text.len() == 1)
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// Whether the text ends with the word for what is quoted next: `… of relation `.
fn follows_object_word(before: &str) -> bool {
    const WORDS: [&str; 15] = [
        "table",
        "relation",
        "column",
        "constraint",
        "index",
        "partition",
        "domain",
        "view",
        "sequence",
        "schema",
        "type",
        "trigger",
        "role",
        "extension",
        "database",
    ];
    let word = before.trim_end().rsplit(' ').next().unwrap_or_default();
    WORDS.contains(&word)
}

#[cfg(test)]
mod tests;
