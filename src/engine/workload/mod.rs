//! Committed traffic: a file of the application's own statements, run over and over with values of rows that exist.
//!
//! The file is read as the engine's own client reads it. `${TABLE.COLUMN}` stands for a value of a row drawn at random from a bounded
//! sample, taken once; all references to one table within one iteration are to one row.

mod iteration;
mod lexeme;
mod part;
mod template;
#[cfg(test)]
mod tests;

pub use iteration::{Iteration, Looked, Stopped, TIMEOUT, Workload, WorkloadError, written_by};
pub(in crate::engine) use lexeme::Lexeme;
pub use template::{NodeNames, Template};
