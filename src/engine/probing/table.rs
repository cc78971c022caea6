//! Tables as probes need them: columns, keys, what must be unique, what refers to what, and what the application's login may do.

use std::collections::BTreeSet;

use super::dialect::{self, Form};
use super::values::ValueKind;
use crate::engine::{EngineKind, mysql, postgres};

/// What the catalogs say before the plan.
#[derive(Debug)]
pub struct Catalog {
    /// Every table that users see, by name.
    pub tables: Vec<Table>,
    /// Whose privileges count.
    pub role: String,
    /// Connections that the server, the database and the login leave to the application.
    pub connections: usize,
}

/// A table that users see: partitions are felt through it.
#[derive(Debug, Clone)]
pub struct Table {
    pub engine: EngineKind,
    /// "orders" in the usual schema, else "billing.orders".
    pub name: String,
    /// As it stands in SQL, with its schema.
    pub quoted: String,
    /// Why nothing may be read from it, if its rows lie on another server: a read connects there.
    pub elsewhere: Option<String>,
    /// Why no write to it may be tried: a rollback would not undo all of it.
    pub kept: Option<String>,
    pub columns: Vec<Column>,
    /// Columns of the primary key, or else of the smallest unique index whose columns are all NOT NULL.
    pub key: Option<Vec<usize>>,
    pub unique: Vec<Unique>,
    pub references: Vec<Reference>,
    /// Another table refers to it, or it to itself.
    pub referenced: bool,
    /// Names in a plan's text that mean this table: its own, its indexes', constraints', triggers', sequences'.
    pub known_as: BTreeSet<String>,
    pub origin: Origin,
}

/// What its own engine knows of a table beside that.
#[derive(Debug, Clone)]
pub enum Origin {
    Postgres(postgres::probing::Origin),
    Mysql(mysql::probing::Origin),
}

#[derive(Debug, Clone)]
pub struct Column {
    /// As it stands in SQL.
    pub quoted: String,
    pub kind: ValueKind,
    /// How its values are read as text, and stand in SQL.
    pub form: Form,
    /// Its values may be long.
    pub variable: bool,
    pub not_null: bool,
    /// Of its own, or its domain's.
    pub default: bool,
    pub identity: Identity,
    /// Generated columns are never named.
    pub generated: bool,
    pub sequence: Option<Sequence>,
    pub in_partition_key: bool,
    pub may_select: bool,
    pub may_insert: bool,
    pub may_update: bool,
}

impl Column {
    /// Left out, it gets a value that no other row has.
    pub fn gives_itself(&self) -> bool {
        let random = matches!(self.kind, ValueKind::Uuid | ValueKind::Text { .. } | ValueKind::Bytes { .. });
        self.identity != Identity::No || self.sequence.is_some() || (self.default && random)
    }

    /// An expression that gives its value as text, in its form.
    pub fn as_text(&self) -> String {
        self.read_as(&self.quoted)
    }

    /// The same of another column of its type, such as one that it refers to.
    pub fn read_as(&self, quoted: &str) -> String {
        dialect::as_text(self.form, quoted)
    }

    /// An application leaves it out.
    pub fn is_left_out(&self) -> bool {
        self.generated || self.default || self.identity != Identity::No
    }
}

/// A column that the server numbers: an identity column, AUTO_INCREMENT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    No,
    Always,
    ByDefault,
}

/// What a column's default draws from: a sequence, AUTO_INCREMENT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Values it still has, or the column still takes, whichever is fewer.
    pub left: u64,
}

/// A unique index, exclusion constraints among them.
#[derive(Debug, Clone)]
pub struct Unique {
    /// By which a refusal names it, where that tells more than the refusal's class.
    pub name: Option<String>,
    /// Columns that make up its entries, those inside expressions too.
    pub columns: Vec<usize>,
    /// Compares by equality, so that one other value makes a row new.
    pub equality: bool,
}

impl Unique {
    /// Whether it keeps apart what the other does, under whichever name.
    pub fn is_alike(&self, other: &Unique) -> bool {
        self.columns == other.columns && self.equality == other.equality
    }
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct Reference {
    pub columns: Vec<usize>,
    /// As it stands behind FROM.
    pub to_quoted: String,
    pub to_name: String,
    /// Columns referred to, as they are read, in the order of `columns`.
    pub to_columns: Vec<String>,
    /// A change over there changes rows here: `ON DELETE CASCADE` and its like.
    pub acts: bool,
}
