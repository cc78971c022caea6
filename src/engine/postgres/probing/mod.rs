//! What probes need of Postgres: its tables, its sessions, its errors, a login.

mod login;
mod now;
mod outside;
mod sample;
mod session;
mod shape;
mod written;

pub(in crate::engine) use login::log_in_as;
pub(in crate::engine) use now::{dropped_now, made_since, unique_now};
pub(in crate::engine) use sample::{PLAIN_TEXTS, sample};
pub use session::Session;
pub(in crate::engine) use session::wal_position;
pub use shape::Origin;
pub(in crate::engine) use shape::read;
pub(in crate::engine) use written::written;
