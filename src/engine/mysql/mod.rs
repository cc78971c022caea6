//! MySQL and MariaDB: two engines of one descent, which share a protocol and most of their language. Where they part, [`EngineKind`]
//! decides.
//!
//! [`EngineKind`]: crate::engine::EngineKind

pub mod client;
pub mod connect;
pub mod error;
pub mod names;
pub mod replication;
pub mod restore;
pub mod server;
mod server_log;
pub mod session;
