//! `report.html`: the run as one page, without a network, for a browser and for print.

mod timeline;
mod view;

use askama::Template;

use self::timeline::Timeline;
use self::view::{Change, Fact, Figure, FindingView, ProbeRow, StepRow, WaitRow, WindowRow};
use crate::event::Recorded;
use crate::outcome::{Outcome, Why};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    css: &'static str,
    js: &'static str,
    outcome: &'a Outcome,
    verdict: &'static str,
    /// Colour of the verdict: "good", "bad" or "open".
    tone: &'static str,
    headline: String,
    facts: Vec<Fact>,
    figures: Vec<Figure>,
    why: &'a [Why],
    not_judged: Vec<(&'a str, Vec<String>)>,
    findings: Vec<FindingView<'a>>,
    severities: Vec<(&'static str, usize)>,
    timeline: Timeline,
    steps: Vec<StepRow<'a>>,
    windows: Vec<WindowRow>,
    waits: Vec<WaitRow>,
    probes: Vec<ProbeRow>,
    changes: Vec<Change>,
    data: Vec<view::DataRow>,
}

/// The page. The same records and outcome always give the same bytes.
///
/// # Errors
/// If the template cannot be rendered, which only a failing formatter could cause.
pub fn text(records: &[Recorded], outcome: &Outcome) -> Result<String, askama::Error> {
    let page = Page {
        css: include_str!("report.css"),
        js: include_str!("report.js"),
        outcome,
        verdict: outcome.outcome.words(),
        tone: view::tone(outcome.outcome),
        headline: view::headline(outcome),
        facts: view::facts(outcome),
        figures: view::figures(outcome),
        why: &outcome.why,
        not_judged: outcome.not_judged_by_reason(),
        findings: view::findings(outcome),
        severities: view::severities(outcome),
        timeline: Timeline::of(records, outcome),
        steps: view::steps(outcome),
        windows: view::windows(outcome),
        waits: view::waits(outcome),
        probes: view::probes(outcome),
        changes: view::changes(outcome),
        data: view::data(outcome),
    };
    page.render()
}
