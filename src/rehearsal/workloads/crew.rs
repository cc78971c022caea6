//! The thread of the workloads: told when the run enters another phase, it lets each of them run or rest.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::worker::Worker;
use crate::event::Phase;
use crate::rehearsal::observing::Observing;
use crate::rehearsal::probes::recorder::When;
use crate::rehearsal::routes::Lane;

/// Distance of two [`crate::event::Event::WorkloadSummary`]s of one workload in one step, at most.
const TICK: Duration = Duration::from_secs(1);

/// For iterations under way, when the control run, the run after the plan or all of it ends.
const UNDER_WAY: Duration = Duration::from_secs(5);

pub(super) enum Command {
    Control { lasts: Duration, done: oneshot::Sender<()> },
    Enter(When),
    Settle { lasts: Duration, done: oneshot::Sender<()> },
    Stop { done: oneshot::Sender<()> },
}

/// What the thread runs them with.
pub(super) struct Crew {
    pub lane: Lane,
    pub observing: Observing,
    pub cancel: CancellationToken,
}

/// What all workloads share.
pub(super) struct Shared {
    pub lane: Lane,
    pub observing: Observing,
    /// None before the control run.
    pub when: Cell<Option<When>>,
    /// The run entered another phase or step, or a workload is to begin at once.
    pub changed: Notify,
    /// Some iteration ended.
    pub answered: Notify,
}

impl Crew {
    pub async fn conduct(self, workers: Vec<Worker>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let cost = self.observing.cost.thread();
        let shared = Rc::new(Shared {
            lane: self.lane,
            observing: self.observing,
            when: Cell::new(None),
            changed: Notify::new(),
            answered: Notify::new(),
        });
        let workers: Rc<Vec<Rc<Worker>>> = Rc::new(workers.into_iter().map(Rc::new).collect());
        let mut tasks = JoinSet::new();
        for worker in workers.iter() {
            tasks.spawn_local(Rc::clone(worker).run(Rc::clone(&shared)));
        }
        let mut changes = shared.lane.changes();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopped = loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = tick.tick() => {
                    cost.update();
                    workers.iter().for_each(|worker| worker.flush(&shared));
                    continue;
                }
                Ok(()) = changes.changed() => {
                    // Who is sent elsewhere leaves at once, though nothing is to be sent.
                    futures::future::join_all(workers.iter().map(|worker| worker.leave(&shared))).await;
                    continue;
                }
                () = self.cancel.cancelled() => None,
            };
            match command {
                Some(Command::Control { lasts, done }) => {
                    tasks.spawn_local(control(Rc::clone(&workers), Rc::clone(&shared), lasts, done));
                }
                Some(Command::Settle { lasts, done }) => {
                    tasks.spawn_local(settle(Rc::clone(&workers), Rc::clone(&shared), lasts, done));
                }
                Some(Command::Enter(when)) => enter(&workers, &shared, Some(when)),
                Some(Command::Stop { done }) => break Some(done),
                None => break None,
            }
        };
        if stopped.is_some() {
            enter(&workers, &shared, None);
            rest(&workers, &shared, Instant::now() + UNDER_WAY).await;
            workers.iter().for_each(|worker| worker.give_up(&shared));
        }
        tasks.abort_all();
        workers.iter().for_each(|worker| worker.flush(&shared));
        cost.update();
        if let Some(done) = stopped {
            let _ = done.send(());
        }
    }
}

fn enter(workers: &[Rc<Worker>], shared: &Shared, when: Option<When>) {
    workers.iter().for_each(|worker| worker.enter(when, shared));
    shared.when.set(when);
    shared.changed.notify_waiters();
}

async fn control(workers: Rc<Vec<Rc<Worker>>>, shared: Rc<Shared>, lasts: Duration, done: oneshot::Sender<()>) {
    futures::future::join_all(workers.iter().map(|worker| worker.open(&shared))).await;
    let when = When { phase: Phase::Control, step: None };
    enter(&workers, &shared, Some(when));
    once_each(&workers, &shared, lasts).await;
    for worker in workers.iter() {
        worker.conclude(&shared);
    }
    let _ = done.send(());
}

async fn settle(workers: Rc<Vec<Rc<Worker>>>, shared: Rc<Shared>, lasts: Duration, done: oneshot::Sender<()>) {
    once_each(&workers, &shared, lasts).await;
    let _ = done.send(());
}

/// Runs for that long at least, and until each that is to run now has done so once.
async fn once_each(workers: &[Rc<Worker>], shared: &Shared, lasts: Duration) {
    let begin = Instant::now();
    workers.iter().for_each(|worker| worker.at_once());
    shared.changed.notify_waiters();
    let all = async {
        while workers.iter().any(|worker| worker.is_due(shared) && !worker.ran_since(begin)) {
            shared.answered.notified().await;
        }
    };
    if timeout_at((begin + lasts + UNDER_WAY).into(), all).await.is_err() {
        tracing::debug!("not every workload had an answer");
    }
    sleep_until((begin + lasts).into()).await;
}

/// Until nothing is under way.
async fn rest(workers: &[Rc<Worker>], shared: &Shared, until: Instant) {
    let all = async {
        while workers.iter().any(|worker| worker.is_busy()) {
            shared.answered.notified().await;
        }
    };
    if timeout_at(until.into(), all).await.is_err() {
        tracing::debug!("iterations under way are given up");
    }
}
