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
    let placed = findings.into_iter().map(|finding| (finding.node.clone().unwrap_or_default(), finding));
    let named = |finding: &mut Finding, nodes: &[String]| {
        if nodes.iter().any(|node| *node != nodes[0]) {
            finding.node = None;
            finding.condition.push_str(&on(nodes));
        }
    };
    gathered(placed, named)
}

/// What a rule finds on each writer, told once where it finds the same on all of them; else each names its node.
fn on_writers(facts: &Facts<'_>, rule: impl Fn(&Diffed<'_>) -> Vec<Finding>) -> Vec<Finding> {
    let of_one = |diffed| rule(diffed).into_iter().map(|finding| (diffed.node.to_owned(), finding));
    let named = |finding: &mut Finding, nodes: &[String]| {
        if nodes.len() > 1 {
            finding.node = None;
        }
        if nodes.len() < facts.scenario.topology.shards() {
            finding.condition.push_str(&on(nodes));
        }
    };
    gathered(facts.diffs.iter().flat_map(of_one), named)
}

/// " (on a.1 and a.2)".
fn on(nodes: &[String]) -> String {
    format!(" (on {})", list(nodes, usize::MAX))
}

/// Findings that differ in their nodes alone as one each, with the evidence of all; `named` says on which nodes it is.
fn gathered(placed: impl Iterator<Item = (String, Finding)>, named: impl Fn(&mut Finding, &[String])) -> Vec<Finding> {
    let mut told: Vec<(Finding, Vec<String>)> = Vec::new();
    for (node, finding) in placed {
        let same = |(known, _): &&mut (Finding, Vec<String>)| {
            (known.code, &known.condition, &known.step) == (finding.code, &finding.condition, &finding.step)
        };
        match told.iter_mut().find(same) {
            Some((known, nodes)) => {
                known.evidence.extend(finding.evidence);
                nodes.push(node);
            }
            None => told.push((finding, vec![node])),
        }
    }
    let told = told.into_iter().map(|(mut finding, nodes)| {
        finding.evidence.truncate(EVIDENCE);
        named(&mut finding, &nodes);
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
