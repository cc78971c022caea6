//! Probes of a Postgres database: which operations its tables take, derived from the catalogs and tried once before the plan.
//!
//! A probe sends what an application would: it names its columns, leaves out those that the database fills in, and works on rows that
//! exist or are like them. Every write ends in a rollback after deferred constraints were checked.

mod derive;
mod follow;
mod login;
mod outside;
mod recipes;
mod script;
mod session;
mod shape;
mod sql;
#[cfg(test)]
mod tests;
mod values;

pub use derive::{DeriveError, Derived, Request, TableName, TableProbe, derive};
pub use login::{LoginError, log_in_as};
pub use script::{Burns, Script, Stage};
pub use session::{Failure, FailureKind, Session, wal_position};
