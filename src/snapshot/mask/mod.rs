//! Masking: what the rules file's transformers do to the values of a snapshot's rows. No server, no file.
//!
//! Values come and go in the text form of COPY, unescaped. The same key, rules and tables give the same masked values, whoever asks and
//! in whatever order.

mod address;
mod cycle;
mod format;
mod letters;
mod lists;
mod nested;
mod number;
mod plan;
mod shape;
mod transformer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub(super) use self::address::{is_ip, is_mac};
use self::format::Scratch;
pub(super) use self::letters::without_accents;
pub(super) use self::lists::is_name;
pub(super) use self::plan::{EXACT, domains, rule};
pub(super) use self::shape::{is_iban, luhn};
use self::transformer::Transformer;
use crate::scenario::rules::Rules;

/// Shorter keys could be found by trying.
pub const KEY_BYTES_MIN: usize = 16;

/// A table, as far as masking has to know it.
#[derive(Debug, Clone)]
pub struct Table {
    pub schema: String,
    pub name: String,
    /// In the order of a row's fields.
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// As the server calls it, for rules by `type`.
    pub type_name: String,
    /// The most characters that it takes.
    pub length: Option<usize>,
    pub nullable: bool,
    /// In a primary key, or in a constraint or index that keeps values unique.
    pub unique: bool,
    pub equality: Equality,
    /// The columns that its foreign keys lead to.
    pub references: Vec<ColumnName>,
}

/// When two texts are the same to the column's collation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Equality {
    /// Byte by byte, or but for their case.
    #[default]
    Letters,
    /// But for accents as well, as in MySQL's and MariaDB's `_ai_ci` and `_general_ci`.
    Accents,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnName {
    pub schema: String,
    pub table: String,
    pub column: String,
}

impl fmt::Display for ColumnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

/// What a column holds, whatever the engine calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer {
        bytes: u8,
        unsigned: bool,
    },
    /// Exact, with a scale or without.
    Numeric,
    Float,
    Boolean,
    Date,
    /// With or without a zone.
    Timestamp,
    /// MySQL's and MariaDB's TIMESTAMP, from 1970 to 2038.
    UnixTimestamp,
    Time,
    Uuid,
    Ip,
    Mac,
    Json,
    Bytes,
    /// One of these.
    Enum(Vec<String>),
    /// As Postgres writes it.
    Array(Box<Kind>),
    /// Ranges, XML, geometry, search vectors and whatever else.
    Other,
}

impl Kind {
    fn described(&self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer { .. } => "whole numbers",
            Kind::Numeric => "exact numbers",
            Kind::Float => "floating-point numbers",
            Kind::Boolean => "booleans",
            Kind::Date => "dates",
            Kind::Timestamp | Kind::UnixTimestamp => "timestamps",
            Kind::Time => "times of day",
            Kind::Uuid => "UUIDs",
            Kind::Ip => "network addresses",
            Kind::Mac => "hardware addresses",
            Kind::Json => "JSON",
            Kind::Bytes => "binary data",
            Kind::Enum(_) => "values of a fixed list",
            Kind::Array(_) => "arrays",
            Kind::Other => "values of a type without transformers",
        }
    }
}

/// One thing for which rules and tables do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskProblem {
    #[error("the masking key has fewer than {KEY_BYTES_MIN} bytes")]
    ShortKey,
    #[error("no column is called {pattern}, which a {what} on line {line} of the rules file names")]
    NoColumn { pattern: String, what: &'static str, line: usize },
    #[error("no {what} {pattern}, which line {line} of the rules file names")]
    NothingMet { what: &'static str, pattern: String, line: usize },
    #[error("{column} holds {kind}, and `{transformer}` on line {line} of the rules file does not make them")]
    NotForKind { column: ColumnName, kind: &'static str, transformer: &'static str, line: usize },
    #[error("{column} {why}, and `{transformer}` on line {line} of the rules file can make one value of two")]
    NotUnique { column: ColumnName, why: &'static str, transformer: &'static str, line: usize },
    #[error("{column} takes no NULL, which `null` on line {line} of the rules file makes")]
    NotNullable { column: ColumnName, line: usize },
    #[error("{column} does not take the value that `fixed` on line {line} of the rules file gives it")]
    FixedRefused { column: ColumnName, line: usize },
    #[error("{table} has no column {per}, by which line {line} of the rules file moves dates")]
    NoEntity { table: String, per: String, line: usize },
    #[error(
        "{first} and {second} hold the same things, and lines {first_line} and {second_line} of the rules file mask them differently"
    )]
    Apart { first: ColumnName, second: ColumnName, first_line: usize, second_line: usize },
}

impl MaskProblem {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            MaskProblem::ShortKey => {
                "take a long random text, and keep it: the same key gives the same values".to_owned()
            }
            MaskProblem::NoColumn { .. } => {
                "write \"table.column\" or \"schema.table.column\"; `*` stands for any characters".to_owned()
            }
            MaskProblem::NothingMet { .. } => {
                "leave it out, or write it as the database does; `*` stands for any characters".to_owned()
            }
            MaskProblem::NotForKind { kind, .. } => plan::for_kind(kind).to_owned(),
            MaskProblem::NotUnique { .. } => {
                "take one that keeps values apart, as `format`, `email` or `integer`".to_owned()
            }
            MaskProblem::NotNullable { .. } => "take `fixed` with a value of your own".to_owned(),
            MaskProblem::Apart { .. } => {
                "name them all in the `column` of one mask, or leave a mask to one of them: the others follow"
                    .to_owned()
            }
            MaskProblem::FixedRefused { .. } | MaskProblem::NoEntity { .. } => return None,
        };
        Some(hint)
    }
}

/// Everything for which rules and tables do not go together; at least one problem.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the rules do not fit the tables: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct MaskErrors {
    pub problems: Vec<MaskProblem>,
}

/// The rules, ready for the tables that they were checked against. Workers share one.
#[derive(Clone)]
pub struct Masker {
    tables: Arc<Vec<TableMask>>,
}

/// What is done to one table's rows; at least to one field.
struct TableMask {
    schema: String,
    table: String,
    masks: Arc<Vec<ColumnMask>>,
}

/// What is done to one field of each row.
struct ColumnMask {
    field: usize,
    /// Of the transformer, in the rules file.
    name: &'static str,
    /// The field by which dates are moved.
    entity: Option<usize>,
    transformer: Transformer,
}

impl Masker {
    /// `key` is the masking key itself.
    ///
    /// # Errors
    /// Every rule that meets no column, makes what a column does not take, or could make one value of two where they have to differ.
    pub fn new(rules: &Rules, key: &str, tables: &[Table]) -> Result<Masker, MaskErrors> {
        let masks = plan::plan(rules, key, tables).map_err(|problems| MaskErrors { problems })?;
        let masks = tables.iter().zip(masks).filter(|(_, masks)| !masks.is_empty());
        let tables = masks.map(|(table, masks)| TableMask {
            schema: table.schema.clone(),
            table: table.name.clone(),
            masks: Arc::new(masks),
        });
        Ok(Masker { tables: Arc::new(tables.collect()) })
    }

    /// For one worker. None where nothing is to be done to the table's rows.
    pub fn table(&self, schema: &str, table: &str) -> Option<TableMasker> {
        let found = self.tables.iter().find(|found| found.schema == schema && found.table == table)?;
        Some(TableMasker { masks: Arc::clone(&found.masks), scratch: Scratch::default(), entity: Vec::new() })
    }
}

/// Masks one table's rows.
pub struct TableMasker {
    masks: Arc<Vec<ColumnMask>>,
    scratch: Scratch,
    entity: Vec<u8>,
}

impl TableMasker {
    /// Masks a row in place: as many fields as the table has columns, unescaped, `None` for NULL. Their memory is used again.
    pub fn row(&mut self, fields: &mut [Option<Vec<u8>>]) {
        // What moves dates may itself be masked: such columns come first, in the order of the plan.
        for mask in self.masks.iter() {
            let entity = match mask.entity {
                Some(at) => {
                    self.entity.clear();
                    self.entity.extend_from_slice(fields[at].as_deref().unwrap_or_default());
                    Some(self.entity.as_slice())
                }
                None => None,
            };
            mask.transformer.field(&mut fields[mask.field], entity, &mut self.scratch);
        }
    }

    /// The fields that [`TableMasker::row`] reads or changes, some of them more than once.
    pub fn looks_at(&self) -> impl Iterator<Item = usize> + '_ {
        self.masks.iter().flat_map(|mask| std::iter::once(mask.field).chain(mask.entity))
    }

    /// The fields that [`TableMasker::row`] changes, each with its transformer's name, in no order.
    pub fn masked(&self) -> impl Iterator<Item = (usize, &'static str)> + '_ {
        self.masks.iter().map(|mask| (mask.field, mask.name))
    }
}
