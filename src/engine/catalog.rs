//! A database's schema as plain data: what the catalogs of one database say, in words that two servers of one engine can be compared by.
//!
//! Objects of the server's own and of this tool's own are left out. Names print as `orders` where they lie in the database's usual
//! schema and as `other.orders` elsewhere.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::reading::{ReadError, Reading};
use super::{mysql, postgres};

/// How much of a catalog is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What tables look like, with whatever else comes along.
    Tables,
    Whole,
}

/// Reads the catalog. Takes no lock on a table but what a plain SELECT takes.
///
/// # Errors
/// [`ReadError`] if a query fails or a lock is held against it for half a minute.
pub async fn read(reading: &Reading, extent: Extent) -> Result<Catalog, ReadError> {
    match reading {
        Reading::Postgres(reading) => postgres::catalog::read(reading).await,
        Reading::Mysql(reading) => mysql::catalog::read(reading, extent).await,
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// Where names print without a schema before them; empty where that is not known.
    pub usual_schema: String,
    /// Privileges on the database itself.
    pub database: Vec<Grant>,
    pub schemas: BTreeMap<String, Schema>,
    /// Tables and views of every kind.
    pub relations: BTreeMap<String, Relation>,
    pub sequences: BTreeMap<String, Sequence>,
    /// Functions, procedures and aggregates, by name and input types: "total(integer, text)".
    pub functions: BTreeMap<String, Function>,
    /// MySQL's and MariaDB's procedures, which share no names with functions.
    pub procedures: BTreeMap<String, Function>,
    /// What MySQL and MariaDB run by the clock.
    pub events: BTreeMap<String, Trigger>,
    /// Enums, domains, composites, ranges and base types.
    pub types: BTreeMap<String, Type>,
    pub extensions: BTreeMap<String, Extension>,
    pub event_triggers: BTreeMap<String, Trigger>,
    pub publications: BTreeMap<String, Publication>,
    /// By what they apply to: "TABLES IN SCHEMA sales BY app".
    pub default_privileges: BTreeMap<String, Vec<Grant>>,
}

/// A privilege as somebody holds it, whoever granted it. What an owner holds by ownership is listed like the rest; superusers' are not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Grant {
    /// A role, or "PUBLIC".
    pub grantee: String,
    /// "SELECT", "EXECUTE".
    pub privilege: String,
    /// Only on this column.
    #[serde(default)]
    pub column: Option<String>,
    pub grantable: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Schema {
    /// Empty on MySQL and MariaDB, where nothing has an owner.
    pub owner: String,
    /// What new tables get, on MySQL and MariaDB.
    pub collation: Option<String>,
    pub comment: Option<String>,
    pub privileges: Vec<Grant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum RelationKind {
    #[serde(rename = "r")]
    Table,
    #[serde(rename = "p")]
    PartitionedTable,
    #[serde(rename = "f")]
    ForeignTable,
    #[serde(rename = "v")]
    View,
    #[serde(rename = "m")]
    MaterializedView,
}

impl RelationKind {
    pub fn name(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::PartitionedTable => "partitioned table",
            RelationKind::ForeignTable => "foreign table",
            RelationKind::View => "view",
            RelationKind::MaterializedView => "materialized view",
        }
    }

    pub fn is_view(self) -> bool {
        matches!(self, RelationKind::View | RelationKind::MaterializedView)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    pub schema: String,
    pub name: String,
    pub kind: RelationKind,
    /// "permanent" or "unlogged".
    pub persistence: String,
    /// "InnoDB", on MySQL and MariaDB.
    pub storage_engine: Option<String>,
    /// What new columns get, on MySQL and MariaDB.
    pub collation: Option<String>,
    /// Key, bound and parents: "PARTITION BY RANGE (at)", "PARTITION OF orders FOR VALUES IN (1)", "INHERITS (base)".
    pub partition: Option<String>,
    /// Of a partition or an inheriting table, as they print.
    pub parents: Vec<String>,
    pub is_partition: bool,
    /// Storage parameters and what else is set on the whole table: "fillfactor=70, replica identity full".
    pub options: Option<String>,
    /// "enabled" or "forced"; none = off.
    pub row_security: Option<String>,
    pub owner: String,
    pub comment: Option<String>,
    /// Of a view, its query.
    pub definition: Option<String>,
    /// False for a materialized view without data.
    pub populated: bool,
    /// False for a view that no longer works, where the engine lets what it reads go.
    pub valid: bool,
    /// The planner's estimate; negative when it never looked.
    pub estimated_rows: f64,
    /// Empty for plain views, whose query says it all.
    pub columns: BTreeMap<String, Column>,
    pub constraints: BTreeMap<String, Constraint>,
    pub indexes: BTreeMap<String, Index>,
    pub triggers: BTreeMap<String, Trigger>,
    pub policies: BTreeMap<String, Policy>,
    /// Without the rule that makes a view.
    pub rules: BTreeMap<String, Trigger>,
    /// Extended statistics.
    pub statistics: BTreeMap<String, Statistics>,
    pub privileges: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Column {
    /// From 1, without gaps.
    pub position: u32,
    #[serde(rename = "type")]
    pub type_name: String,
    pub default: Option<String>,
    /// "NULL", "NOT NULL", or from 18 on "NOT NULL NOT VALID".
    pub nullable: String,
    /// "always" or "by default"; on MySQL and MariaDB "auto_increment".
    pub identity: Option<String>,
    /// "(price * 2) STORED".
    pub generated: Option<String>,
    /// Where it is not the type's own; on MySQL and MariaDB always, of text.
    pub collation: Option<String>,
    /// Storage, compression, statistics target and the like, where set.
    pub options: Option<String>,
    pub comment: Option<String>,
    /// "FIRST" or "AFTER id", of columns that can be put there and are not the last.
    pub place: Option<String>,
    /// Comes from a parent and from nowhere else.
    pub inherited: bool,
}

/// A primary key, unique, exclusion, check or foreign key constraint. NOT NULL is told by [`Column::nullable`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Constraint {
    /// Without its name and without NOT VALID: "FOREIGN KEY (a) REFERENCES b(id)".
    pub definition: String,
    /// Validated, and the index under it valid.
    pub valid: bool,
    pub comment: Option<String>,
    pub inherited: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Index {
    /// Without its name: "CREATE UNIQUE INDEX ON public.orders USING btree (code)".
    pub definition: String,
    pub valid: bool,
    pub unique: bool,
    pub primary: bool,
    /// The access method: "btree".
    pub method: String,
    /// The columns that it is unique on; empty where it holds expressions or covers a part of the table only.
    pub columns: Vec<String>,
    /// The constraint that it serves.
    pub constraint: Option<String>,
    pub options: Option<String>,
    pub comment: Option<String>,
    pub inherited: bool,
}

/// A trigger, an event trigger, a rule, or an event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Trigger {
    pub definition: String,
    /// "origin", "replica", "always" or "disabled", as `session_replication_role` goes; of an event, its status.
    pub enabled: String,
    /// With what it runs, on MySQL and MariaDB: "definer app@%, sql_mode STRICT_TRANS_TABLES, …".
    pub options: Option<String>,
    pub comment: Option<String>,
    pub inherited: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Policy {
    /// "PERMISSIVE FOR SELECT TO app USING (…)".
    pub definition: String,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Statistics {
    pub definition: String,
    pub options: Option<String>,
    pub comment: Option<String>,
}

/// A sequence, without the value it stands at: probes and a plan's own trials burn values.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sequence {
    #[serde(rename = "type")]
    pub type_name: String,
    /// "start 1, increment 1, minimum 1, maximum 2147483647, cache 1, no cycle".
    pub options: String,
    /// "orders.id".
    pub owned_by: Option<String>,
    /// The table in [`Sequence::owned_by`].
    pub owning_table: Option<String>,
    /// Made by an identity column.
    pub identity: bool,
    pub owner: String,
    pub persistence: String,
    pub comment: Option<String>,
    pub privileges: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Function {
    /// "function", "procedure", "aggregate" or "window function".
    pub kind: String,
    pub definition: String,
    /// With what it runs, as [`Trigger::options`].
    pub options: Option<String>,
    pub owner: String,
    pub comment: Option<String>,
    pub privileges: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Type {
    /// "ENUM ('a', 'b')", "DOMAIN AS text CONSTRAINT …", "COMPOSITE (x integer)".
    pub definition: String,
    pub owner: String,
    pub comment: Option<String>,
    pub privileges: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Extension {
    pub version: String,
    pub schema: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Publication {
    pub definition: String,
    pub owner: String,
    pub comment: Option<String>,
}
