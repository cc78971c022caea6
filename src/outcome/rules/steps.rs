//! Steps that failed, and steps that took too long.

use std::collections::BTreeMap;

use super::finding;
use crate::event::{StepError, StepResult, StepRole};
use crate::finding::{Code, Finding, Severity};
use crate::outcome::facts::{Facts, StepEnd, StepRun};
use crate::outcome::words::{duration, list, one_line};

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts.steps.iter().filter_map(|run| failed(facts, run)).collect();
    found.extend(facts.felt().filter_map(|run| over_budget(facts, run)));
    found.extend(over_window(facts));
    found
}

fn failed(facts: &Facts<'_>, run: &StepRun<'_>) -> Option<Finding> {
    let end = run.ended.as_ref()?;
    if !matches!(end.result, StepResult::Failed | StepResult::TimedOut) {
        return None;
    }
    // What differs is told by itself.
    if facts.comparisons.iter().any(|found| (found.step, found.role) == (run.step, run.role) && !found.diff.is_equal())
    {
        return None;
    }
    if facts.refused.iter().any(|refused| (refused.step, refused.role) == (run.step, run.role)) {
        return None;
    }
    let of_server = end.error.is_some_and(|error| error.sql.is_some());
    let code = if run.action == "check" && end.result == StepResult::Failed && !of_server {
        Code::CheckFailed
    } else {
        Code::StepFailed
    };
    let subject = match run.role {
        StepRole::Setup => format!("setup step \"{}\"", run.name),
        StepRole::Plan => format!("step \"{}\"", run.name),
        StepRole::Undo => format!("undo step \"{}\"", run.name),
    };
    let statements = run.statements.iter().filter(|(_, statement)| statement.error.is_some()).map(|(seq, _)| *seq);
    let found = finding(code, format!("{subject} {}{}", how(end), elsewhere(facts, run)))
        .at(run)
        .resting_on(statements.chain([end.seq]));
    let undone = run.role == StepRole::Plan && facts.planned(run).is_some_and(|planned| !planned.undo.is_empty());
    Some(match (code, undone) {
        (Code::StepFailed, true) => {
            found.instead("mend the statement or program that failed; the step's undo takes it back")
        }
        _ => found,
    })
}

/// Of a step on several nodes, which of them hold what: "; it was done on a, failed on b, and did not come to c".
fn elsewhere(facts: &Facts<'_>, run: &StepRun<'_>) -> String {
    let nodes = |is: fn(StepResult) -> bool| -> Vec<&str> {
        let ended = |run: &StepRun<'_>| run.ended.as_ref().map(|end| end.result);
        facts.siblings(run).filter(|other| ended(other).is_some_and(is)).map(|other| other.node).collect()
    };
    if facts.siblings(run).count() < 2 {
        return String::new();
    }
    let parts = [
        ("was done on", nodes(|result| result == StepResult::Done)),
        ("failed on", nodes(|result| matches!(result, StepResult::Failed | StepResult::TimedOut))),
        ("did not come to", nodes(|result| result == StepResult::Skipped)),
    ];
    let told = parts.iter().filter(|(_, nodes)| !nodes.is_empty());
    let told: Vec<String> = told.map(|(what, nodes)| format!("{what} {}", list(nodes, 5))).collect();
    format!("; it {}", list(&told, 3))
}

/// "failed after 1.2 s: column "foo" does not exist (42703), at patch.sql:12, in `ALTER …`".
fn how(end: &StepEnd<'_>) -> String {
    let verb = if end.result == StepResult::TimedOut { "was cancelled by its timeout" } else { "failed" };
    let mut text = format!("{verb} after {}", duration(end.elapsed_ms));
    if let Some(error) = end.error {
        text.push_str(": ");
        text.push_str(&error_words(error));
    }
    text
}

fn error_words(error: &StepError) -> String {
    let mut text = match &error.sql {
        Some(sql) => format!("{} ({})", sql.message, sql.code),
        None => error.what.clone(),
    };
    if let Some(exit) = error.exit.filter(|_| !error.what.contains("exit")) {
        text.push_str(&format!(", exit status {exit}"));
    }
    if let Some(place) = &error.place {
        text.push_str(&format!(", at {}:{}", place.file, place.line));
    }
    text
}

fn over_budget(facts: &Facts<'_>, run: &StepRun<'_>) -> Option<Finding> {
    let (planned, end) = (facts.planned(run)?, run.ended.as_ref()?);
    let budget_ms = planned.budget?.as_secs_f64() * 1e3;
    if end.result == StepResult::Skipped || end.elapsed_ms <= budget_ms {
        return None;
    }
    let slowest = run.statements.iter().max_by(|a, b| a.1.elapsed_ms.total_cmp(&b.1.elapsed_ms));
    let mut condition =
        format!("step \"{}\" took {}, and its budget is {}", run.name, duration(end.elapsed_ms), duration(budget_ms));
    if let Some((_, statement)) = slowest {
        let work = statement.work.name().replace('_', " ");
        condition.push_str(&format!(
            "; {} of it in `{}` ({work})",
            duration(statement.elapsed_ms),
            one_line(&statement.sql, 80)
        ));
    }
    if let Some(name) = &planned.sign_off {
        condition.push_str(&format!("; signed off by {name}"));
    }
    let found = finding(Code::BudgetExceeded, condition)
        .at(run)
        .resting_on(slowest.map(|(seq, _)| *seq).into_iter().chain([end.seq]));
    Some(if planned.sign_off.is_some() { found.weighing(Severity::Warning) } else { found })
}

/// Sum of the plan's steps that are not outside the window; production's known time replaces a step's own.
pub fn window_ms(facts: &Facts<'_>) -> f64 {
    let counts = |run: &StepRun<'_>| {
        let ran = run.ended.as_ref().is_some_and(|end| end.result != StepResult::Skipped);
        ran && facts.planned(run).is_some_and(|planned| !planned.outside_window)
    };
    let known_ms = |run: &StepRun<'_>| Some(facts.planned(run)?.takes?.as_secs_f64() * 1e3);
    // However many nodes it was on: what is known is of the step as a whole.
    let known: BTreeMap<usize, f64> =
        facts.plan().filter(|run| counts(run)).filter_map(|run| Some((run.step, known_ms(run)?))).collect();
    facts.taken_ms(|run| counts(run) && known_ms(run).is_none()) + known.into_values().sum::<f64>()
}

fn over_window(facts: &Facts<'_>) -> Option<Finding> {
    let limit_ms = facts.scenario.limits.window?.as_secs_f64() * 1e3;
    let sum_ms = window_ms(facts);
    let ends = facts.plan().filter_map(|run| run.ended.as_ref()).map(|end| end.seq);
    (sum_ms > limit_ms).then(|| {
        let condition = format!(
            "the steps of the window took {} together, and the window is {}",
            duration(sum_ms),
            duration(limit_ms)
        );
        finding(Code::BudgetExceeded, condition).resting_on(ends)
    })
}
