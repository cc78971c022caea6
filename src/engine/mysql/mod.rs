//! MySQL and MariaDB: two engines of one descent, which share a protocol and most of their language. Where they part, [`EngineKind`]
//! decides.
//!
//! [`EngineKind`]: crate::engine::EngineKind

pub mod client;
pub mod connect;
pub mod error;
pub mod log;
pub mod measure;
pub mod names;
pub mod replication;
pub mod restore;
pub mod run;
pub mod server;
mod server_log;
pub mod session;
mod watch;
