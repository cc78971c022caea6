//! `rehearsal explain CODE`.

use super::Error;
pub use crate::finding::Code;

/// The codes asked for: one, or all of them.
///
/// # Errors
/// A code that is not in the table.
pub fn run(code: &Option<String>) -> Result<Vec<Code>, Error> {
    let Some(name) = code else { return Ok(Code::ALL.to_vec()) };
    match Code::parse(name) {
        Some(code) => Ok(vec![code]),
        None => Err(Error::usage(
            format!("no finding has the code `{name}`"),
            "`rehearsal explain` without a code lists them all",
        )),
    }
}
