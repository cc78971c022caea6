//! The plan: its steps in order, and what happens when one fails.

use super::run::Failure;
use super::step::{Runner, StepEnd};
use crate::event::{Event, StepResult, StepRole};
use crate::scenario::{Step, WhenFailed};

/// Runs all steps. A failed one is an event, not a failure: the release failed, the rehearsal went on.
///
/// # Errors
/// When the run was told to stop, or a step could not be tried at all.
pub(super) async fn run(runner: &Runner<'_>, steps: &[Step]) -> Result<(), Failure> {
    let mut done = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let end = match runner.run(index, step, StepRole::Plan).await {
            Ok(end) => end,
            Err(failure) => {
                skip(runner, steps, index + 1);
                return Err(failure);
            }
        };
        if end == StepEnd::Done {
            done.push((index, step));
            continue;
        }
        match step.when_failed {
            WhenFailed::Continue => continue,
            WhenFailed::Stop => {}
            WhenFailed::Undo => undo(runner, &[(index, step)]).await?,
            WhenFailed::UndoAll => {
                done.push((index, step));
                undo(runner, &done).await?;
            }
        }
        skip(runner, steps, index + 1);
        return Ok(());
    }
    Ok(())
}

/// Takes steps back, the last one first, which is the one that failed. An undo that fails ends the undoing, and so does a point of no
/// return that was passed.
async fn undo(runner: &Runner<'_>, steps: &[(usize, &Step)]) -> Result<(), Failure> {
    for (nth, (index, step)) in steps.iter().rev().enumerate() {
        if nth > 0 && step.point_of_no_return {
            let what = format!("step \"{}\" is a point of no return: it and what went before it stand", step.name);
            runner.events.send(Event::Warned { what });
            return Ok(());
        }
        for part in &step.undo {
            if runner.run(*index, part, StepRole::Undo).await? == StepEnd::Failed {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn skip(runner: &Runner<'_>, steps: &[Step], from: usize) {
    for (index, step) in steps.iter().enumerate().skip(from) {
        runner.events.send(Event::StepStarted {
            step: index,
            name: step.name.clone(),
            node: step.on.clone(),
            action: step.action.name().to_owned(),
            role: StepRole::Plan,
            statements: None,
        });
        runner.events.send(Event::StepEnded {
            step: index,
            role: StepRole::Plan,
            result: StepResult::Skipped,
            elapsed_ms: 0.0,
            error: None,
            output: None,
            rows: None,
        });
    }
}
