//! What the engines write differently in the statements that probes send.

use crate::engine::{EngineKind, mysql, postgres};

/// How a column's values are read as text, and stand in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In quotes; the server reads it by the column's type.
    Quoted,
    /// A number as it is.
    Number,
    /// Read as hexadecimal digits: bytes, and types that have no other form which loses nothing.
    Hex,
    /// Read as binary digits.
    Bits,
}

/// A value as it stands in SQL.
pub(super) fn literal(engine: EngineKind, form: Form, value: &str) -> String {
    match engine {
        EngineKind::Postgres => postgres::names::literal(value),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::probing::literal(form, value),
    }
}

/// An expression that gives a column's value as [`literal`] takes it.
pub(super) fn as_text(form: Form, quoted: &str) -> String {
    match form {
        Form::Quoted | Form::Number => quoted.to_owned(),
        Form::Hex => format!("HEX({quoted})"),
        Form::Bits => format!("BIN({quoted} + 0)"),
    }
}

/// Begins every write.
pub(super) fn begin(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => "BEGIN",
        // The other word begins a block, where `sql_mode` is ORACLE.
        EngineKind::Mysql | EngineKind::Mariadb => "START TRANSACTION",
    }
}

/// Ends every write: what is only checked at a commit is checked, and nothing stays.
pub(super) fn checked_and_undone(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => "; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK",
        // Constraints are checked row by row.
        EngineKind::Mysql | EngineKind::Mariadb => "; ROLLBACK",
    }
}

/// Behind the table's name, for a row of defaults alone.
pub(super) fn all_defaults(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => " DEFAULT VALUES",
        EngineKind::Mysql | EngineKind::Mariadb => " () VALUES ()",
    }
}

/// Whether an INSERT can say what it inserted.
pub(super) fn has_returning(engine: EngineKind) -> bool {
    engine != EngineKind::Mysql
}

/// Whether an UPDATE that changes nothing is left undone: nothing of the row is checked then.
pub(super) fn skips_unchanged(engine: EngineKind) -> bool {
    engine != EngineKind::Postgres
}

/// Somebody's own statements as they stand between others, without what ends the last.
pub(super) fn statements(engine: EngineKind, sql: &str) -> String {
    match engine {
        EngineKind::Postgres => sql.to_owned(),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::probing::statements(engine, sql),
    }
}
