//! The plan: its steps in order, each on its nodes, and what happens when one fails.

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::failure::Failure;
use super::step::{Runner, StepEnd};
use crate::event::{Event, StepResult, StepRole};
use crate::scenario::{Step, WhenFailed};

/// How a step ended.
pub(super) struct Ran {
    pub end: StepEnd,
    /// The nodes on which it began, in the step's order: whatever it did is there.
    pub nodes: Vec<String>,
    /// Those on which it ended as it should.
    done: Vec<String>,
}

/// Runs all steps. A failed one is an event, not a failure: the release failed, the rehearsal went on.
///
/// # Errors
/// When the run was told to stop, or a step could not be tried at all.
pub(super) async fn run(runner: &Runner<'_>, steps: &[Step]) -> Result<(), Failure> {
    let mut done = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let ran = match run_step(runner, index, step, StepRole::Plan).await {
            Ok(ran) => ran,
            Err(failure) => {
                skip(runner, steps, index + 1);
                return Err(failure);
            }
        };
        let end = ran.end;
        let goes_on = end == StepEnd::Failed && step.when_failed == WhenFailed::Continue;
        // Where it failed there is nothing to take back later; where it did not, there is.
        let nodes = if goes_on { ran.done } else { ran.nodes };
        if !nodes.is_empty() {
            done.push(Taken { index, step, nodes });
        }
        if end == StepEnd::Done || goes_on {
            continue;
        }
        match step.when_failed {
            WhenFailed::Stop | WhenFailed::Continue => {}
            WhenFailed::Undo => undo(runner, &done[done.len() - 1..]).await?,
            WhenFailed::UndoAll => undo(runner, &done).await?,
        }
        skip(runner, steps, index + 1);
        return Ok(());
    }
    Ok(())
}

/// Runs a step on its nodes, in their order, as many at a time as it says. Once it failed on one, no other is begun, save where it takes
/// something back: each node is better off without.
///
/// # Errors
/// When the run was told to stop, or the step could not be tried at all; of what went on at the same time, the end was waited for.
pub(super) async fn run_step(runner: &Runner<'_>, index: usize, step: &Step, role: StepRole) -> Result<Ran, Failure> {
    if let Some(watching) = runner.watching {
        watching.enter_step(index).await;
    }
    let on = nodes(runner, step);
    let mut waiting = on.iter();
    let mut running = FuturesUnordered::new();
    let mut ran = Ran { end: StepEnd::Done, nodes: Vec::new(), done: Vec::new() };
    let mut failure = None;
    loop {
        let goes_on = (ran.end == StepEnd::Done || role == StepRole::Undo) && failure.is_none();
        while goes_on && running.len() < step.at_once {
            let Some(name) = waiting.next() else { break };
            ran.nodes.push(name.clone());
            running.push(async move { (name, runner.run(index, step, runner.node(name), role).await) });
        }
        match running.next().await {
            Some((name, Ok(StepEnd::Done))) => ran.done.push(name.clone()),
            Some((_, Ok(StepEnd::Failed))) => ran.end = StepEnd::Failed,
            Some((_, Err(error))) => failure = failure.or(Some(error)),
            None => break,
        }
    }
    for node in waiting {
        skip_on(runner, index, step, node, role);
    }
    drop(running);
    if let Some(watching) = runner.watching {
        watching.leave_step().await;
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(ran),
    }
}

/// Where it runs at this moment.
fn nodes(runner: &Runner<'_>, step: &Step) -> Vec<String> {
    match runner.routes().filter(|_| step.routed) {
        Some(routes) => routes.routing().writers().map(str::to_owned).collect(),
        None => step.on.clone(),
    }
}

/// A step that began, and where.
struct Taken<'p> {
    index: usize,
    step: &'p Step,
    nodes: Vec<String>,
}

/// Takes steps back, the last one first, which is the one that failed, and each on the nodes where it began. An undo that fails ends the
/// undoing, and so does a point of no return that was passed.
async fn undo(runner: &Runner<'_>, steps: &[Taken<'_>]) -> Result<(), Failure> {
    for (nth, Taken { index, step, nodes }) in steps.iter().rev().enumerate() {
        if nth > 0 && step.point_of_no_return {
            let what = format!("step \"{}\" is a point of no return: it and what went before it stand", step.name);
            runner.events.send(Event::Warned { what });
            return Ok(());
        }
        for part in &step.undo {
            let same = part.on == step.on;
            let on = if same { nodes.iter().rev().cloned().collect() } else { part.on.clone() };
            let part = Step { on, routed: part.routed && !same, ..part.clone() };
            if run_step(runner, *index, &part, StepRole::Undo).await?.end == StepEnd::Failed {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn skip(runner: &Runner<'_>, steps: &[Step], from: usize) {
    for (index, step) in steps.iter().enumerate().skip(from) {
        for node in &step.on {
            skip_on(runner, index, step, node, StepRole::Plan);
        }
    }
}

fn skip_on(runner: &Runner<'_>, index: usize, step: &Step, node: &str, role: StepRole) {
    runner.events.send(Event::StepStarted {
        step: index,
        name: step.name.clone(),
        node: node.to_owned(),
        action: step.action.name().to_owned(),
        role,
        statements: None,
    });
    runner.events.send(Event::StepEnded {
        step: index,
        role,
        node: node.to_owned(),
        result: StepResult::Skipped,
        elapsed_ms: 0.0,
        error: None,
        output: None,
        rows: None,
    });
}
