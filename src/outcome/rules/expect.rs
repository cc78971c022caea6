//! Whether the run ended as the scenario says that it does.

use std::collections::BTreeSet;

use super::finding;
use crate::finding::{Code, Finding, Severity};
use crate::outcome::facts::Facts;
use crate::outcome::model::Verdict;
use crate::outcome::words::list;
use crate::scenario::ExpectedOutcome;

/// What `[expect]` says of outcome and findings, held against a verdict that does not know of it. A run that came to no
/// verdict disproves nothing.
pub fn unmet(facts: &Facts<'_>, verdict: Verdict, findings: &[Finding]) -> Option<Finding> {
    let expect = &facts.scenario.expect;
    if matches!(verdict, Verdict::Inconclusive | Verdict::Interrupted) {
        return None;
    }
    let mut unmet = Vec::new();
    if let Some(expected) = expect.outcome.filter(|expected| !meets(verdict, *expected)) {
        unmet.push(format!("the scenario expects the run to be {}, and it {}", words(expected), went(verdict)));
    }
    if let Some(expected) = &expect.findings {
        let expected: BTreeSet<Code> = expected.iter().copied().collect();
        let found: BTreeSet<Code> =
            findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.code).collect();
        let named = |codes: Vec<Code>| list(&codes.iter().map(|code| code.name()).collect::<Vec<_>>(), usize::MAX);
        let missing = expected.difference(&found).copied().collect::<Vec<_>>();
        let surplus = found.difference(&expected).copied().collect::<Vec<_>>();
        if !missing.is_empty() {
            unmet.push(format!("expected and not found: {}", named(missing)));
        }
        if !surplus.is_empty() {
            unmet.push(format!("found and not expected: {}", named(surplus)));
        }
    }
    (!unmet.is_empty()).then(|| finding(Code::ExpectationUnmet, unmet.join("; ")))
}

fn meets(verdict: Verdict, expected: ExpectedOutcome) -> bool {
    match expected {
        ExpectedOutcome::Passed => matches!(verdict, Verdict::Passed | Verdict::PassedInPart),
        ExpectedOutcome::Failed => verdict == Verdict::Failed,
        ExpectedOutcome::Inconclusive => verdict == Verdict::Inconclusive,
    }
}

fn words(expected: ExpectedOutcome) -> &'static str {
    match expected {
        ExpectedOutcome::Passed => "passed",
        ExpectedOutcome::Failed => "failed",
        ExpectedOutcome::Inconclusive => "inconclusive",
    }
}

fn went(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::PassedInPart => "passed in part",
        Verdict::Failed => "failed",
        Verdict::Inconclusive => "was inconclusive",
        Verdict::Interrupted => "was interrupted",
    }
}
