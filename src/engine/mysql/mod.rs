//! MySQL and MariaDB: two engines of one descent, which share a protocol and most of their language. Where they part, [`EngineKind`]
//! decides.
//!
//! [`EngineKind`]: crate::engine::EngineKind

pub mod blot;
pub mod capture;
pub mod catalog;
pub mod client;
pub mod client_environment;
pub mod connect;
pub mod content;
pub mod error;
pub mod files;
pub mod load;
mod locks;
pub mod log;
pub mod measure;
pub mod names;
pub mod probing;
pub mod reader;
pub mod reading;
pub mod recover;
pub mod replication;
pub mod restore;
pub mod run;
pub mod said;
pub mod server;
mod server_log;
pub mod session;
pub mod statistics;
pub mod tokens;
mod unlogged;
pub mod url;
pub mod waits;
mod watch;
