//! What can go wrong with a snapshot, whose it is to mend, and how.

use std::io;
use std::path::PathBuf;

use super::{capture, store};
use crate::engine::mysql;
use crate::engine::postgres::dump::major;
use crate::engine::postgres::restore::{RestoreError, described};
use crate::engine::postgres::server;
use crate::engine::url::UrlError;
use crate::scenario::Extension;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("could not read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is damaged or cut short", path.display())]
    Damaged { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error("{}: {what}: {damage}", folder.display())]
    DamagedChunk { folder: PathBuf, what: String, damage: store::Damage },
    #[error("{} is a snapshot of {found}, and the scenario's engine is {wanted}", path.display())]
    OtherEngine { path: PathBuf, found: &'static str, wanted: &'static str },
    #[error("mydumper did not finish the dump in {}", path.display())]
    Unfinished { path: PathBuf },
    #[error("{} holds no database", path.display())]
    NoDatabase { path: PathBuf },
    #[error("the dump holds several databases: {}", found.join(", "))]
    SeveralDatabases { found: Vec<String> },
    #[error("{} holds rows that are not SQL, as mydumper writes them with {option}", path.display())]
    OtherForm { path: PathBuf, option: &'static str },
    #[error("{} has rows of a table that {wanted} would make, which is not there", path.display())]
    NoTableFile { path: PathBuf, wanted: String },
    #[error("{} is no file that mydumper is known to write", path.display())]
    StrangeFile { path: PathBuf },
    #[error("{} ends in the middle of a statement or of a table's rows", path.display())]
    CutShort { path: PathBuf },
    #[error("{} is an archive of pg_dump, not SQL", path.display())]
    ArchiveAsScript { path: PathBuf },
    #[error("{} is not an archive that pg_restore can read", path.display())]
    BadArchive { path: PathBuf, source: RestoreError },
    #[error("{variable} is not set")]
    NoVariable { variable: String },
    #[error("{variable} does not hold a database URL")]
    BadUrl { variable: String },
    #[error("{variable} holds {what}, which everybody on this machine could read on pg_dump's command line")]
    SecretInUrl { variable: String, what: &'static str },
    #[error("{variable} holds no URL that can be captured: {source}")]
    NotCaptured { variable: String, source: UrlError },
    #[error("the rules file {} is wrong", path.display())]
    BadRules { path: PathBuf },
    #[error(transparent)]
    Key(capture::KeyError),
    #[error(transparent)]
    Capture(Box<capture::CaptureError>),
    /// Nothing is wrong: a live server is dumped into a lab.
    #[error("a live server is dumped when there is a lab")]
    NeedsLab,
    #[error("no {program} on this machine")]
    NoClientProgram { program: &'static str },
    #[error("could not run a client program")]
    NoClient(#[source] io::Error),
    #[error("could not make a folder for the dump")]
    NoFolder(#[source] io::Error),
    #[error("the snapshot needs roles that do not exist: {}", roles.join(", "))]
    MissingRoles { roles: Vec<String> },
    /// `packages` holds Debian's likely package of each, in the same order.
    #[error("the server's installation lacks {}", extensions.iter().map(described).collect::<Vec<_>>().join(", "))]
    MissingExtensions { extensions: Vec<Extension>, packages: Vec<String> },
    #[error("the snapshot comes from PostgreSQL {dumped}, the node runs {node}")]
    NewerDump {
        dumped: String,
        node: String,
        /// The scenario's table that gives the version: "topology".
        table: String,
    },
    #[error("the snapshot makes roles and databases of its own: it is a dump of a whole cluster")]
    WholeCluster,
    #[error("the snapshot is restored into {}, not into {database}", found.join(", "))]
    OtherDatabase { found: Vec<String>, database: String },
    #[error("{name} keeps itself out of the binary log, by which replicas get everything")]
    NotLogged { name: String },
    #[error("could not run the roles file {}", path.display())]
    Roles { path: PathBuf, source: RestoreError },
    #[error("could not restore {name}")]
    Restore { name: String, source: RestoreError },
    #[error("could not restore {name}")]
    RestoreMysql { name: String, source: mysql::restore::RestoreError },
    #[error(transparent)]
    Engine(#[from] RestoreError),
    #[error(transparent)]
    EngineMysql(#[from] mysql::restore::RestoreError),
    #[error("cancelled")]
    Cancelled,
}

impl SnapshotError {
    /// What a server of that version lacks.
    pub fn missing_extensions(extensions: Vec<Extension>, version: &str) -> SnapshotError {
        let packages = extensions.iter().map(|extension| debian_package(major(version), &extension.name)).collect();
        SnapshotError::MissingExtensions { extensions, packages }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            SnapshotError::BadArchive { source: source @ RestoreError::TooNew { .. }, .. } => {
                return engine_hint(source);
            }
            SnapshotError::CutShort { .. }
            | SnapshotError::Damaged { .. }
            | SnapshotError::BadArchive { .. }
            | SnapshotError::Unfinished { .. }
            | SnapshotError::NoDatabase { .. }
            | SnapshotError::NoTableFile { .. } => "take the dump again, and see that its copy is whole".to_owned(),
            SnapshotError::Store(error) => return error.hint().map(str::to_owned),
            SnapshotError::DamagedChunk { .. } => {
                "`rehearsal snapshot verify` names all that is damaged; take the snapshot again, or see that its copy is whole"
                    .to_owned()
            }
            SnapshotError::OtherEngine { found, .. } => format!("set engine = \"{found}\" under [topology]"),
            SnapshotError::SeveralDatabases { found } => {
                let first = found.first().map_or("", String::as_str);
                format!("set database = \"{first}\" under [snapshot], or the other that is meant")
            }
            SnapshotError::OtherForm { option, .. } => format!("dump without {option}: rows are read as SQL"),
            SnapshotError::StrangeFile { .. } => {
                "move it out of the folder if it does not belong to the dump".to_owned()
            }
            SnapshotError::ArchiveAsScript { .. } => "name the file so that it does not end in .sql".to_owned(),
            SnapshotError::NoVariable { variable } => {
                format!("export {variable}=postgresql://user:password@host/database")
            }
            SnapshotError::BadUrl { .. } => "its form is postgresql://user:password@host:port/database".to_owned(),
            SnapshotError::NotCaptured { .. } => {
                "its form is postgresql://user:password@host/database or mysql://user:password@host/database".to_owned()
            }
            SnapshotError::BadRules { .. } => "`rehearsal check` says what is wrong with it".to_owned(),
            SnapshotError::Key(error) => error.hint(),
            SnapshotError::Capture(error) => return error.hint(),
            SnapshotError::SecretInUrl { what, .. } => {
                format!("move {what} into a service file, and name the service in the URL: ?service=NAME")
            }
            SnapshotError::NoClientProgram { .. } | SnapshotError::NoClient(_) => {
                "install PostgreSQL's client programs: apt-get install postgresql-client".to_owned()
            }
            SnapshotError::MissingRoles { .. } => {
                "give them with roles = \"roles.sql\" under [snapshot]; pg_dumpall --roles-only writes that file"
                    .to_owned()
            }
            SnapshotError::MissingExtensions { packages, extensions } => {
                let names: Vec<String> = extensions.iter().map(|extension| format!("\"{}\"", extension.name)).collect();
                let (packages, names) = (packages.join(" "), names.join(", "));
                format!("apt-get install {packages}; in the Docker lab, the node's `extensions = [{names}]` does it")
            }
            SnapshotError::NewerDump { dumped, table, .. } => {
                format!(
                    "set version = \"{}\" under [{table}]",
                    major(dumped).map_or(dumped.clone(), |major| major.to_string())
                )
            }
            SnapshotError::NotLogged { .. } => "dump with --set-gtid-purged=OFF, or leave the replicas out".to_owned(),
            SnapshotError::WholeCluster => {
                "dump the one database with pg_dump, and its roles with pg_dumpall --roles-only".to_owned()
            }
            SnapshotError::OtherDatabase { found, .. } => {
                format!(
                    "set database = \"{}\" under [snapshot], or dump without -C",
                    found.first().map_or("", String::as_str)
                )
            }
            SnapshotError::Roles { source, .. }
            | SnapshotError::Restore { source, .. }
            | SnapshotError::Engine(source) => {
                return engine_hint(source);
            }
            SnapshotError::RestoreMysql { source, .. } | SnapshotError::EngineMysql(source) => {
                return mysql_hint(source);
            }
            SnapshotError::Unreadable { .. }
            | SnapshotError::NoFolder(_)
            | SnapshotError::NeedsLab
            | SnapshotError::Cancelled => return None,
        })
    }

    /// Whether it shows in files and flags alone: the user's to mend, whatever the machine.
    pub fn is_usage(&self) -> bool {
        if let SnapshotError::Capture(error) = self {
            return error.is_usage();
        }
        matches!(
            self,
            SnapshotError::NotCaptured { .. }
                | SnapshotError::BadRules { .. }
                | SnapshotError::Key(_)
                | SnapshotError::Unreadable { .. }
                | SnapshotError::Store(_)
                | SnapshotError::DamagedChunk { .. }
                | SnapshotError::OtherEngine { .. }
                | SnapshotError::Damaged { .. }
                | SnapshotError::CutShort { .. }
                | SnapshotError::Unfinished { .. }
                | SnapshotError::NoDatabase { .. }
                | SnapshotError::SeveralDatabases { .. }
                | SnapshotError::OtherForm { .. }
                | SnapshotError::NoTableFile { .. }
                | SnapshotError::StrangeFile { .. }
                | SnapshotError::ArchiveAsScript { .. }
                | SnapshotError::BadArchive { .. }
                | SnapshotError::NoVariable { .. }
                | SnapshotError::BadUrl { .. }
                | SnapshotError::SecretInUrl { .. }
                | SnapshotError::MissingRoles { .. }
                | SnapshotError::NewerDump { .. }
                | SnapshotError::NotLogged { .. }
                | SnapshotError::WholeCluster
                | SnapshotError::OtherDatabase { .. }
        )
    }
}

/// `node`: its name, where the version is its own.
pub(super) fn newer_dump(dumped: String, version: &str, node: Option<&str>) -> SnapshotError {
    let table = node.map_or("topology".to_owned(), |node| format!("topology.nodes.{node}"));
    SnapshotError::NewerDump { dumped, node: version.to_owned(), table }
}

fn engine_hint(error: &RestoreError) -> Option<String> {
    Some(match error {
        RestoreError::DiskFull => "free some space where the lab keeps its data".to_owned(),
        RestoreError::TooNew { .. } => "install the client programs of that version, or of a newer one".to_owned(),
        RestoreError::NotRoles { .. } => "pg_dumpall --roles-only writes a roles file".to_owned(),
        RestoreError::NoExtension { extension } => format!("apt-get install {}", debian_package(None, &extension.name)),
        RestoreError::Refused { code: Some(code), .. } if code == "42704" || code == "58P02" => {
            "the snapshot names something that it does not bring; see roles and extensions".to_owned()
        }
        RestoreError::Client { program, .. } if program == "pg_dump" => {
            "see that the server at the URL answers, and that its role may read every table".to_owned()
        }
        _ => return None,
    })
}

fn mysql_hint(error: &mysql::restore::RestoreError) -> Option<String> {
    Some(match error {
        mysql::restore::RestoreError::DiskFull => "free some space where the lab keeps its data".to_owned(),
        // ER_DB_CREATE_EXISTS.
        mysql::restore::RestoreError::Refused { number: 1007, .. } => {
            "dump without --databases: the database is made by the lab".to_owned()
        }
        // CR_SERVER_GONE_ERROR, CR_SERVER_LOST, ER_NET_PACKET_TOO_LARGE.
        mysql::restore::RestoreError::Refused { number: 2006 | 2013 | 1153, .. } => {
            "a row may be larger than the node's setting max_allowed_packet".to_owned()
        }
        // ER_WRONG_VALUE_FOR_VAR: most often a mode that another engine or version had.
        mysql::restore::RestoreError::Refused { number: 1231, .. } => {
            "the dump sets what this server does not know: take it from a server of this engine and version".to_owned()
        }
        _ => return None,
    })
}

/// Debian names an extension's package after the server's major version, and spells it with hyphens.
fn debian_package(major: Option<u32>, extension: &str) -> String {
    let major = major.map_or("VERSION".to_owned(), |major| major.to_string());
    server::debian_package(&major, extension)
}
