//! `junit.xml`: a test case a step, findings as failures, for what shows tests in CI. Where the run says nothing of the release, what
//! did not work is an error and no failure.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::event::StepRole;
use crate::finding::Finding;
use crate::outcome::{Outcome, Step, StepState, Verdict};

/// The outcome as JUnit XML.
///
/// # Errors
/// If the XML cannot be written into memory.
pub fn text(outcome: &Outcome) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(outcome.scenario.as_str());
    suite.set_time(time(outcome.totals.elapsed_ms));
    for (name, value) in [
        ("outcome", outcome.outcome.name()),
        ("run", outcome.run.as_str()),
        ("lab", outcome.lab.as_str()),
        ("started", outcome.started.as_str()),
    ] {
        suite.add_property((name, value));
    }
    let steps = outcome.steps.iter().filter(|step| step.role != StepRole::Setup || failed(step));
    suite.add_test_cases(steps.map(|step| of_step(outcome, step)));
    suite.add_test_case(whole_run(outcome));
    let mut report = Report::new("rehearsal");
    report.set_time(time(outcome.totals.elapsed_ms));
    report.add_test_suite(suite);
    report.to_string()
}

fn time(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

fn failed(step: &Step) -> bool {
    matches!(step.result, StepState::Failed | StepState::TimedOut)
}

fn of_step(outcome: &Outcome, step: &Step) -> TestCase {
    let failures: Vec<&Finding> = outcome
        .findings
        .iter()
        .filter(|finding| finding.severity >= outcome.fail_on && is_of(outcome, finding, step))
        .collect();
    let status = match step.result {
        _ if !failures.is_empty() => unsuccessful(outcome, &failures),
        StepState::Done => TestCaseStatus::success(),
        StepState::Failed | StepState::TimedOut => unsuccessful(outcome, &[]),
        StepState::Skipped | StepState::NotReached | StepState::Interrupted | StepState::Unfinished => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(step.result.words());
            skipped
        }
    };
    let mut case = TestCase::new(outcome.step_name(step), status);
    case.set_classname(outcome.scenario.as_str());
    case.set_time(time(step.elapsed_ms.unwrap_or(0.0)));
    case
}

/// Of a step on several nodes, what is of another of them is not of this one.
fn is_of(outcome: &Outcome, finding: &Finding, step: &Step) -> bool {
    let elsewhere = |other: &Step| {
        (&other.name, other.role) == (&step.name, step.role) && Some(&other.node) == finding.node.as_ref()
    };
    let named = finding.step.as_deref() == Some(&step.name);
    named && (finding.node.as_ref() == Some(&step.node) || !outcome.steps.iter().any(elsewhere))
}

/// What belongs to no step: the other findings, the verdict, and what it does not prove.
fn whole_run(outcome: &Outcome) -> TestCase {
    let failures: Vec<&Finding> = outcome
        .findings
        .iter()
        .filter(|finding| finding.severity >= outcome.fail_on)
        .filter(|finding| !outcome.steps.iter().any(|step| finding.step.as_deref() == Some(&step.name)))
        .collect();
    let status = match outcome.outcome {
        Verdict::Inconclusive | Verdict::Interrupted => {
            let mut error = TestCaseStatus::non_success(NonSuccessKind::Error);
            let why: Vec<&str> = outcome.why.iter().map(|why| why.what.as_str()).collect();
            error.set_message(format!("{}: {}", outcome.outcome.words(), why.join("; ")));
            error.set_type(outcome.outcome.name());
            error
        }
        _ if !failures.is_empty() => unsuccessful(outcome, &failures),
        _ => TestCaseStatus::success(),
    };
    let mut case = TestCase::new("the run as a whole", status);
    case.set_classname(outcome.scenario.as_str());
    let mut lines = vec![format!("Verdict: {}", outcome.outcome.words())];
    lines.extend(outcome.not_judged.iter().map(|entry| format!("Not judged: {}: {}", entry.subject(), entry.reason)));
    lines.extend(outcome.not_rehearsed.iter().map(|gap| format!("Not rehearsed: {}", gap.what)));
    case.set_system_out(lines.join("\n"));
    case
}

fn unsuccessful(outcome: &Outcome, findings: &[&Finding]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(match outcome.outcome {
        Verdict::Inconclusive | Verdict::Interrupted => NonSuccessKind::Error,
        Verdict::Passed | Verdict::PassedInPart | Verdict::Failed => NonSuccessKind::Failure,
    });
    if let Some(first) = findings.first() {
        status.set_type(first.code.name());
        status.set_message(first.condition.as_str());
    }
    let told: Vec<String> = findings
        .iter()
        .map(|finding| {
            format!(
                "{}: {}\n  effect: {}\n  instead: {}",
                finding.code.name(),
                finding.condition,
                finding.effect,
                finding.remedy
            )
        })
        .collect();
    status.set_description(told.join("\n"));
    status
}
