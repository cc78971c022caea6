//! What a capture reads of a database, whatever the engine: tables and columns as the server describes them, their rows in parts, and
//! what else a snapshot tells of its source.
//!
//! Rows have one text form on all engines, that of Postgres' COPY: a tab between fields, a newline after each row, `\N` for NULL,
//! backslash escapes, in UTF-8.

mod sampling;
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::reading::{Canceller, ReadError};
use super::server::BoxError;
use super::{EngineKind, mysql, postgres};

pub use sampling::{CUT, ForeignKey, Wanted, Whole, WholeColumn, WholePart, lengths};
pub(super) use sampling::{integer, is_number, threshold};
pub use shape::{ColumnShape, SomeRows, TableName, TableShape};

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the role may not read {}", what.join(", "))]
    NotReadable { what: Vec<String> },
    #[error("somebody held a lock on {table} for longer than {waited}")]
    Locked { table: String, waited: &'static str },
    /// A reader of that moment would miss what the tables held.
    #[error("{} was emptied or rewritten just as the capture began", tables.join(", "))]
    Changed { tables: Vec<String> },
    /// Whoever read it by its name read two tables.
    #[error("{} was replaced, rebuilt or lost a partition during the capture", tables.join(", "))]
    Replaced { tables: Vec<String> },
    #[error("the database holds {count} large objects, which no snapshot holds")]
    LargeObjects { count: u64 },
    #[error("no {program} on this machine")]
    NoProgram { program: &'static str },
    #[error("the server is {server}, and this machine's {program} is too old for it")]
    OldProgram { program: &'static str, server: String },
    /// The source holds no row values.
    #[error("could not take the schema")]
    Schema { source: BoxError },
    #[error("the disk is full at {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("cancelled")]
    Cancelled,
}

impl SourceError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            SourceError::NotReadable { .. } => "GRANT pg_read_all_data (from 14 on), or SELECT on what is named",
            SourceError::Locked { .. } => "try again once that has ended, or capture a replica",
            SourceError::Changed { .. } => "start it again",
            SourceError::Replaced { .. } => "start it again, and let no release change tables meanwhile",
            SourceError::LargeObjects { .. } => "take an archive with pg_dump -Fd, which a scenario restores as well",
            SourceError::NoProgram { .. } | SourceError::OldProgram { .. } => {
                "install PostgreSQL's client programs of the server's version or a newer one"
            }
            SourceError::Schema { .. } => {
                "see that the server at the URL answers this machine's pg_dump, and that its role may read every table"
            }
            SourceError::DiskFull { .. } => "make room, or give a folder on another disk with --out",
            SourceError::Read(ReadError::Connect { .. }) => {
                "see that the server at the URL answers, and lets the role in"
            }
            SourceError::Read(ReadError::TooOld { .. }) => "restore a dump of that server's own programs instead",
            SourceError::Read(ReadError::Query { .. }) => {
                "see the server's log, that its role may read it, and that no release changes it meanwhile; then start it again"
            }
            SourceError::Read(ReadError::Form { .. }) => {
                "see that the URL leads to the server itself, and not to what stands in for it"
            }
            SourceError::Cancelled => return None,
        })
    }
}

/// A database as it is captured: what the server says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Database {
    pub engine: EngineKind,
    /// "15.18 (Debian 15.18-0+deb12u1)".
    pub version: String,
    pub name: String,
    pub encoding: String,
    pub collation: String,
    /// Settings under which its sessions work, by name.
    pub settings: BTreeMap<String, String>,
    /// Of its log: "0/3A0028B8".
    pub position: Option<String>,
    pub is_standby: bool,
    pub extensions: Vec<Extension>,
    /// Those who own or may do something here, those whom they are members of, and their members. Without passwords.
    pub roles: Vec<Role>,
    pub sequences: Vec<Sequence>,
    /// What is there and is not captured.
    pub left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    pub name: String,
    pub version: String,
    pub schema: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    /// "LOGIN", "NOINHERIT", "CONNECTION LIMIT 5": whatever is not as CREATE ROLE has it.
    pub attributes: Vec<String>,
    /// "search_path=app, public".
    pub settings: Vec<String>,
    pub member_of: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    pub schema: String,
    pub name: String,
    pub last_value: i64,
    /// Whether that value was given out already.
    pub is_called: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub what: String,
    pub why: String,
}

/// One table whose rows are its own: a partition and not the partitioned table, a parent without its children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Empty on MySQL and MariaDB, where a database has none.
    pub schema: String,
    pub name: String,
    /// The partitioned table that it is a part of, the topmost, as it prints.
    pub part_of: Option<String>,
    pub columns: Vec<Column>,
    /// As the server last counted or estimated them; none where it never did.
    pub estimated_rows: Option<u64>,
    /// What it takes on the server, without its indexes.
    pub stored_bytes: u64,
    /// Who may do what with it, in the server's own words.
    pub privileges: Vec<String>,
    /// Only these of its rows, as a condition in SQL: the rest comes with an extension.
    pub condition: Option<String>,
}

impl Table {
    /// "orders" in the usual schema, else "sales.orders".
    pub fn shown(&self) -> String {
        match self.schema.as_str() {
            "public" | "" => self.name.clone(),
            schema => format!("{schema}.{}", self.name),
        }
    }

    /// Those that rows hold fields of, in that order: what is generated is not stored.
    pub fn stored_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.is_generated)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// As the server says it: "character varying(40)".
    #[serde(rename = "type")]
    pub type_name: String,
    pub kind: Kind,
    pub is_nullable: bool,
    pub is_generated: bool,
    /// Rows hold its bytes as hexadecimal digits, which the engine itself does not take for them.
    pub is_hex: bool,
    /// Distinct values, negative as a part of the rows: -1 where each row has its own.
    pub distinct: Option<f64>,
    pub null_fraction: Option<f64>,
    /// Of the values' order and the rows', from -1 to 1.
    pub correlation: Option<f64>,
}

/// What a column holds, in the words of no engine. A domain is what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Boolean,
    Integer,
    /// With a scale.
    Number,
    Float,
    Text,
    /// As hexadecimal digits.
    Binary,
    Date,
    Time,
    Timestamp,
    Interval,
    Json,
    Xml,
    Uuid,
    /// Addresses of hosts, networks and cards.
    Network,
    Bits,
    Enum,
    Array,
    Composite,
    Range,
    Geometry,
    Other,
}

/// A part of a table's rows, all of which together are the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// In SQL; none = all rows.
    pub condition: Option<String>,
}

/// A table, and how it is read.
#[derive(Debug, Clone)]
pub struct Planned {
    pub table: Table,
    /// One at least.
    pub parts: Vec<Part>,
}

/// Rows in the text form, whole ones in each piece.
pub type Rows<'a> = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send + 'a>>;

/// Sessions that all see one moment of one database, for as long as the first one lives. Nothing can be emptied or change its shape
/// meanwhile.
pub enum Source {
    Postgres(Box<postgres::capture::Source>),
    Mysql(Box<mysql::capture::Source>),
}

impl Source {
    /// Connects with as many sessions as asked for; with fewer, but one at least, where the server cannot give more that see one moment.
    ///
    /// # Errors
    /// The server is out of reach, or a table is locked, or was changed just then.
    pub async fn open(endpoint: &Endpoint, sessions: usize) -> Result<Source, SourceError> {
        match endpoint.engine {
            EngineKind::Postgres => {
                Ok(Source::Postgres(Box::new(postgres::capture::Source::open(endpoint, sessions).await?)))
            }
            EngineKind::Mysql | EngineKind::Mariadb => {
                Ok(Source::Mysql(Box::new(mysql::capture::Source::open(endpoint, sessions).await?)))
            }
        }
    }

    /// What is there, and how it is read in parts of about `part_bytes` on the server.
    ///
    /// # Errors
    /// The role may not read something, or something is there that no snapshot holds.
    pub async fn describe(&self, part_bytes: u64) -> Result<(Database, Vec<Planned>), SourceError> {
        match self {
            Source::Postgres(source) => source.describe(part_bytes).await,
            Source::Mysql(source) => source.describe(part_bytes).await,
        }
    }

    /// Takes the schema into an empty folder, which then holds the files of it.
    ///
    /// # Errors
    /// The program that takes it is missing or fails.
    pub async fn schema(&self, version: &str, folder: &Path, cancel: &CancellationToken) -> Result<(), SourceError> {
        match self {
            Source::Postgres(source) => source.schema(version, folder, cancel).await,
            Source::Mysql(source) => source.schema(folder).await,
        }
    }

    pub fn sessions(&self) -> usize {
        match self {
            Source::Postgres(source) => source.sessions(),
            Source::Mysql(source) => source.sessions(),
        }
    }

    /// Why there are fewer sessions than this, where there are.
    pub fn lack_of_sessions(&self, wanted: usize) -> Option<String> {
        let found = self.sessions();
        (found < wanted).then(|| {
            format!(
                "{found} session read instead of {wanted}: that several see one moment is told by the binary log alone, and it is off, \
                 without GTIDs on MySQL, or somebody always commits"
            )
        })
    }

    /// One part's rows, read by that session, from 0. A session reads one part at a time.
    ///
    /// # Errors
    /// The server refuses; in the stream, it ends before the rows do.
    pub async fn rows<'a>(&'a self, session: usize, table: &'a Table, part: &Part) -> Result<Rows<'a>, SourceError> {
        match self {
            Source::Postgres(source) => source.rows(session, table, part).await.map(|rows| rows as Rows<'a>),
            Source::Mysql(source) => Ok(source.rows(session, table, part)),
        }
    }

    /// Sees, once all rows were read, that each table is still the one that was described.
    ///
    /// # Errors
    /// One was replaced meanwhile, so that what was read by its name may be of both.
    pub async fn unchanged(&self) -> Result<(), SourceError> {
        match self {
            // Its tables are locked against that.
            Source::Postgres(_) => Ok(()),
            Source::Mysql(source) => source.unchanged().await,
        }
    }

    /// For [`super::reading::cancel`].
    pub fn cancellers(&self) -> Vec<Canceller> {
        match self {
            Source::Postgres(source) => source.cancellers(),
            Source::Mysql(source) => source.cancellers(),
        }
    }

    /// Takes its leave.
    pub async fn end(self) {
        match self {
            // Its server says nothing of sessions that only end.
            Source::Postgres(_) => {}
            Source::Mysql(source) => source.end().await,
        }
    }
}

/// Text as a field of the text form. Only what would end a field or a row, or begin an escape, is escaped: that reads the same on all
/// engines.
pub fn escape(text: &[u8], to: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r')) {
        to.extend_from_slice(&rest[..at]);
        to.push(b'\\');
        to.push(match rest[at] {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    to.extend_from_slice(rest);
}
