//! MySQL and MariaDB: two engines of one descent, which share a protocol and most of their language. Where they part, [`EngineKind`]
//! decides.
//!
//! [`EngineKind`]: crate::engine::EngineKind

pub mod catalog;
pub mod client;
pub mod connect;
pub mod content;
pub mod error;
pub mod log;
pub mod measure;
pub mod names;
pub mod reading;
pub mod replication;
pub mod restore;
pub mod run;
pub mod server;
mod server_log;
pub mod session;
pub mod url;
mod watch;
