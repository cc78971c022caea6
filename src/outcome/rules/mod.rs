//! The rules: what in a run becomes a finding. One file an idea; each rule is a pure function of the facts.

mod data;
mod drift;
mod expect;
mod feel;
pub mod replication;
mod routing;
mod schema;
mod statements;
pub mod steps;
mod traffic;

pub use expect::unmet;

use super::downtime::Judged;
use super::facts::{Diffed, Facts, StepRun};
use super::words::list;
use crate::finding::{Code, Finding, Severity};

/// At most this many events are named as evidence of one finding.
const EVIDENCE: usize = 20;

/// Every finding but an unmet expectation, errors first, in the order of the codes.
pub fn findings(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> Vec<Finding> {
    let mut found = steps::findings(facts);
    found.extend(feel::findings(facts, judged));
    found.extend(traffic::findings(facts));
    found.extend(replication::findings(facts));
    found.extend(drift::findings(facts));
    found.extend(routing::findings(facts));
    found.extend(schema::findings(facts, judged));
    found.extend(data::findings(facts));
    found.extend(once(statements::findings(facts)));
    // Stable: findings of one code stay in the order in which the plan brought them about.
    found.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.code.cmp(&b.code)));
    found
}

/// What a step did alike on several of its nodes, told once.
fn once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut told: Vec<(Finding, Vec<String>)> = Vec::new();
    for finding in findings {
        let same = |(known, _): &&mut (Finding, Vec<String>)| {
            (known.code, &known.condition, &known.step) == (finding.code, &finding.condition, &finding.step)
        };
        match told.iter_mut().find(same) {
            Some((known, nodes)) => {
                nodes.extend(finding.node);
                known.evidence.extend(finding.evidence);
            }
            None => {
                let nodes = finding.node.iter().cloned().collect();
                told.push((finding, nodes));
            }
        }
    }
    let told = told.into_iter().map(|(mut finding, nodes)| {
        finding.evidence.truncate(EVIDENCE);
        if nodes.iter().any(|node| *node != nodes[0]) {
            finding.node = None;
            finding.condition.push_str(&format!(" (on {})", list(&nodes, usize::MAX)));
        }
        finding
    });
    told.collect()
}

/// What a rule finds on each writer, told once where it finds the same on all of them; else each names its node.
fn on_writers(facts: &Facts<'_>, rule: impl Fn(&Diffed<'_>) -> Vec<Finding>) -> Vec<Finding> {
    let mut found: Vec<(Finding, Vec<&str>)> = Vec::new();
    for diffed in &facts.diffs {
        for finding in rule(diffed) {
            let same = |(known, _): &&mut (Finding, Vec<&str>)| {
                (known.code, &known.condition, &known.step) == (finding.code, &finding.condition, &finding.step)
            };
            match found.iter_mut().find(same) {
                Some((known, nodes)) => {
                    known.evidence.extend(finding.evidence);
                    nodes.push(diffed.node);
                }
                None => found.push((finding, vec![diffed.node])),
            }
        }
    }
    let all = facts.diffs.len();
    let told = found.into_iter().map(|(mut finding, nodes)| {
        finding.evidence.truncate(EVIDENCE);
        if let [_, _, ..] = &nodes[..] {
            finding.node = None;
        }
        if nodes.len() < all {
            finding.condition.push_str(&format!(" (on {})", list(&nodes, usize::MAX)));
        }
        finding
    });
    told.collect()
}

/// A finding of that code; effect and remedy as in the table of codes.
fn finding(code: Code, condition: String) -> Finding {
    let data = code.data();
    Finding {
        code,
        severity: data.severity,
        condition,
        effect: data.effect.into(),
        remedy: data.remedy.into(),
        evidence: Vec::new(),
        step: None,
        node: None,
    }
}

impl Finding {
    fn at(mut self, run: &StepRun<'_>) -> Finding {
        self.step = Some(run.name.into());
        self.node = Some(run.node.into());
        self
    }

    fn resting_on(mut self, events: impl IntoIterator<Item = u64>) -> Finding {
        self.evidence.extend(events);
        self.evidence.sort_unstable();
        self.evidence.dedup();
        self.evidence.truncate(EVIDENCE);
        self
    }

    fn weighing(mut self, severity: Severity) -> Finding {
        self.severity = severity;
        self
    }

    fn instead(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = remedy.into();
        self
    }
}
