//! Programs that are kept running beside the nodes, as the consumer of a feed is: from before the control run until the probes have ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::command::{self, CommandRequest, End};
use super::dispatcher::Events;
use super::failure::Failure;
use super::routes::consumer_application;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::event::Event;
use crate::scenario::Command;

/// The kernel's, when memory runs out.
const KILL: i32 = 9;

/// One to be started.
pub(super) struct Planned {
    pub name: String,
    pub node: String,
    /// Addresses of the nodes are put in.
    pub command: Command,
    /// The node, as the consumer's role.
    pub endpoint: Endpoint,
}

/// What all of them are started with.
#[derive(Clone)]
pub(super) struct Around {
    /// Of all nodes.
    pub passwords: Vec<String>,
    /// Where files for their clients are made.
    pub scratch: PathBuf,
    /// The run's, for their output.
    pub folder: PathBuf,
    pub events: Events,
    /// Set once the plan began: from then on an end is the release's doing.
    pub released: Arc<AtomicBool>,
    /// Told to stop where one ends before that.
    pub stop: CancellationToken,
}

/// The consumers at work. Dropped, they are killed with all that they started.
pub(super) struct Consumers {
    tasks: JoinSet<()>,
    ask: CancellationToken,
}

impl Consumers {
    pub fn start(planned: Vec<Planned>, around: &Around) -> Consumers {
        let (mut tasks, ask) = (JoinSet::new(), CancellationToken::new());
        for consumer in planned {
            tasks.spawn(keep(consumer, around.clone(), ask.clone()));
        }
        Consumers { tasks, ask }
    }

    /// Asks them to end, kills those that do not within the time that programs have, and waits for all.
    pub async fn stop(mut self) {
        self.ask.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::warn!(%error, "the task of a consumer failed");
            }
        }
    }
}

/// Runs one until it is asked to end, or ends by itself, and tells of it.
async fn keep(consumer: Planned, around: Around, ask: CancellationToken) {
    let Planned { name, node, mut command, endpoint } = consumer;
    let output = format!("consumer-{name}.log");
    if endpoint.engine == EngineKind::Postgres {
        // What it runs is not taken for what a program of the plan runs meanwhile.
        command.env.entry("PGAPPNAME".to_owned()).or_insert_with(|| consumer_application(&name));
    }
    around.events.send(Event::ConsumerStarted { consumer: name.clone(), node, output: output.clone() });
    let request = CommandRequest {
        command: &command,
        endpoint: &endpoint,
        passwords: &around.passwords,
        scratch: &around.scratch,
        output: &around.folder.join(&output),
        cancel: &ask,
    };
    let ended = command::run(&request).await;
    let asked = ask.is_cancelled() || around.stop.is_cancelled();
    let (exit, signal) = match &ended {
        Ok(ended) => match ended.end {
            End::Exited(status) => (Some(status), None),
            End::Killed(signal) => (None, Some(signal)),
            End::Cancelled => (None, None),
        },
        Err(_) => (None, None),
    };
    around.events.send(Event::ConsumerEnded { consumer: name.clone(), asked, exit, signal });
    if let Err(error) = &ended {
        around.fail(Failure::harness(error, error.hint()).of(&format!("consumer \"{name}\"")));
    } else if !asked && (signal == Some(KILL) || !around.released.load(Ordering::Relaxed)) {
        let when = if around.released.load(Ordering::Relaxed) { "was killed" } else { "ended before the plan" };
        let how = match (exit, signal) {
            (Some(status), _) => format!("exit status {status}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        around.fail(Failure::Harness {
            what: format!("consumer \"{name}\" {when}: {how}"),
            hint: Some(format!("its output is in {output}, in the run's folder")),
            log: Vec::new(),
        });
    }
}

impl Around {
    /// Nobody can say what the release did to it.
    fn fail(&self, failure: Failure) {
        if let Failure::Harness { what, hint, log } = failure
            && !self.stop.is_cancelled()
        {
            self.events.send(Event::HarnessFailed { what, hint, log });
            self.stop.cancel();
        }
    }
}
