//! What probes need of MySQL and MariaDB: their tables, sessions, errors, a login.

mod login;
mod now;
mod outside;
mod read;
mod sample;
mod session;
mod shape;
mod text;
mod written;

pub(in crate::engine) use login::{identified, log_in_as};
pub(in crate::engine) use now::{dropped_now, made_since, unique_now};
pub(in crate::engine) use read::read;
pub(in crate::engine) use sample::sample;
pub use session::Session;
pub(in crate::engine) use session::log_position;
pub use shape::Origin;
pub(in crate::engine) use text::{literal, statements};
pub(in crate::engine) use written::written;
