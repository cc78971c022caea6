//! What Postgres, MySQL and MariaDB are: their server command lines, sessions, catalogs, locks. The only user of database drivers.

pub use crate::scenario::EngineKind;

pub mod capture;
pub mod catalog;
pub mod child;
pub mod client_environment;
pub mod client_login;
pub mod client_programs;
pub mod content;
pub mod endpoint;
pub mod files;
pub mod host;
pub mod lineage;
pub mod mysql;
pub mod postgres;
pub mod probing;
pub mod reader;
pub mod reading;
pub mod recover;
pub mod release;
pub mod replication;
pub mod said;
pub mod script;
pub mod server;
pub mod software;
pub mod statistics;
pub mod subscription;
pub mod url;
pub mod waits;
pub mod workload;
