mod feel;
mod lost;
mod nodes;
mod plan;
mod replicas;
mod routing;
mod traffic;
mod verdict;
mod words;

use super::sample::Log;
use super::{Outcome, Verdict};
use crate::finding::{Code, Finding};

/// The codes of all findings but not-probed, each once, in the order of the report.
fn codes(log: &mut Log) -> Vec<&'static str> {
    let outcome = Outcome::from_records(&log.ended());
    let mut codes: Vec<&str> = outcome.findings.iter().map(|finding| finding.code.name()).collect();
    codes.dedup();
    codes
}

/// The findings of a log are of exactly these codes.
fn check(log: &mut Log, expected: &[&str]) {
    assert_eq!(codes(log), expected);
}

/// The only finding of that code.
fn only(log: &mut Log, code: Code) -> Finding {
    let outcome = Outcome::from_records(&log.ended());
    let mut found: Vec<Finding> = outcome.findings.into_iter().filter(|finding| finding.code == code).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn verdict(log: &mut Log) -> (Verdict, u8) {
    let outcome = Outcome::from_records(&log.ended());
    (outcome.outcome, outcome.exit_code)
}
