//! Probes of a database, whatever its engine: which operations its tables take, derived from the catalogs and tried once before the plan.
//!
//! A probe sends what an application would: it names its columns, leaves out those that the database fills in, and works on rows that
//! exist or are like them. Every write ends in a rollback, after constraints that wait for the end were checked.

mod derive;
mod dialect;
mod follow;
mod login;
mod recipes;
mod sampling;
mod script;
mod session;
mod sql;
mod statements;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub use derive::{DeriveError, Derived, HARDLY_ANY_LEFT, Request, TableName, TableProbe, derive};
pub use login::{LoginError, log_in_as};
pub use sampling::{Sampling, sampling};
pub use script::{Burns, Script, Stage};
pub use session::{Class, Failure, FailureKind, Session, log_position};

/// Rows of a table that are held as its sample.
pub(in crate::engine) const SAMPLE: usize = 96;

/// Wider rows are not copied, in bytes: a hundred of them would be megabytes, sent over and over.
pub(in crate::engine) const WIDEST_ROW: usize = 16 * 1024;

pub(in crate::engine) use dialect::Form;
pub(in crate::engine) use script::Values;
pub(in crate::engine) use sql::Sql;
pub(in crate::engine) use table::{Catalog, Column, Identity, Origin, Reference, Sequence, Table, Unique};
pub(in crate::engine) use values::ValueKind;
