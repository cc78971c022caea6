//! What masking has to know of a database's columns, beyond what a snapshot tells of them; and some of their values.

use super::{Kind, Planned, Source, Table};
use crate::engine::reading::ReadError;

/// One table, by the name that [`Table`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    pub schema: String,
    pub name: String,
    /// The partitioned table that it is a part of, the topmost; else its own.
    pub whole: TableName,
    /// In no order; generated ones may be among them.
    pub columns: Vec<ColumnShape>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnShape {
    pub name: String,
    /// Of an array, what its elements are.
    pub kind: Kind,
    /// The type's bare name, under domains and arrays: "varchar", "int4", "tinyint".
    pub base: String,
    /// The most characters that it takes.
    pub length: Option<usize>,
    /// Of an enum.
    pub labels: Vec<String>,
    /// In a key, or in whatever else keeps values apart.
    pub is_unique: bool,
    /// Its collation takes letters with and without accents for the same.
    pub folds_accents: bool,
    /// The columns that its foreign keys lead to, of whole tables.
    pub references: Vec<(TableName, String)>,
}

/// Some rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SomeRows {
    /// Their values, of the columns that were asked for.
    pub rows: Vec<Vec<Option<String>>>,
    /// There are no others.
    pub is_whole: bool,
}

impl Source {
    /// What is there, as the first session sees it.
    ///
    /// # Errors
    /// A query fails.
    pub async fn shapes(&self) -> Result<Vec<TableShape>, ReadError> {
        match self {
            Source::Postgres(source) => source.shapes().await,
            Source::Mysql(source) => source.shapes().await,
        }
    }

    /// About `rows` of a table's rows, of a few of its pages: these columns' values, each cut at `characters`.
    ///
    /// # Errors
    /// A query fails.
    pub async fn some_rows(
        &self,
        planned: &Planned,
        columns: &[&str],
        (rows, characters): (usize, usize),
    ) -> Result<SomeRows, ReadError> {
        let table: &Table = &planned.table;
        match self {
            Source::Postgres(source) => source.some_rows(table, columns, (rows, characters)).await,
            Source::Mysql(source) => source.some_rows(planned, columns, (rows, characters)).await,
        }
    }
}
