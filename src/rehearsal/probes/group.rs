//! Probes on a thread of their own, so that nothing else in this program can make them late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::lag::{self, Lag};
use super::pace::{self, Grid};
use super::probe::{Probe, Seat, Shared, Work};
use super::recorder::When;
use crate::event::{Event, Phase};
use crate::rehearsal::observing::Observing;
use crate::rehearsal::routes::Lane;
use crate::scenario::Address;

/// Distance of [`Event::ProbeTick`]s.
const TICK: Duration = Duration::from_millis(250);

/// Ticks between two [`Event::HarnessLag`]s.
const TICKS_A_LAG: u32 = 4;

/// One probe to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub id: u32,
    pub work: Work,
    pub writes: bool,
    pub seat: Seat,
    pub every: Duration,
    pub allowance: Option<u64>,
    pub on: Address,
}

/// What a thread needs to run its probes.
pub(super) struct Setting {
    pub name: &'static str,
    pub lane: Lane,
    pub down_after: Duration,
    pub timeout: Duration,
    pub every: Duration,
    /// Shared sessions.
    pub shared: usize,
    pub observing: Observing,
    pub cancel: CancellationToken,
}

/// Operations since the thread began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub operations: u64,
    pub writes: u64,
}

enum Command {
    Control { lasts: Duration, done: oneshot::Sender<Counted> },
    Enter(When),
    Settle { lasts: Duration, done: oneshot::Sender<Counted> },
    Count { done: oneshot::Sender<Counted> },
    Stop { done: oneshot::Sender<Counted> },
}

/// A running thread of probes.
#[derive(Debug)]
pub(super) struct Group {
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Group {
    /// # Errors
    /// When the system gives no thread or no timer.
    pub fn start(setting: Setting, plans: Vec<Plan>) -> std::io::Result<Group> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(setting.name.to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, conduct(setting, plans, received));
        })?;
        Ok(Group { commands, thread: Some(thread) })
    }

    /// Once all sessions are open, runs for that long; then gives up the probes that failed, and returns the counts at both ends.
    pub async fn control(&self, lasts: Duration) -> Counted {
        self.ask(|done| Command::Control { lasts, done }).await
    }

    /// Runs for that long, and until every probe had an answer to an operation that began in it.
    pub async fn settle(&self, lasts: Duration) -> Counted {
        self.ask(|done| Command::Settle { lasts, done }).await
    }

    pub fn enter(&self, when: When) {
        // The thread ends early only when the run is cancelled.
        let _ = self.commands.send(Command::Enter(when));
    }

    pub async fn counted(&self) -> Counted {
        self.ask(|done| Command::Count { done }).await
    }

    pub async fn stop(mut self) -> Counted {
        let counted = self.ask(|done| Command::Stop { done }).await;
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::warn!("a thread of probes panicked");
            }
        }
        counted
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Counted>) -> Command) -> Counted {
        let (done, answer) = oneshot::channel();
        let _ = self.commands.send(command(done));
        answer.await.unwrap_or_default()
    }
}

/// The thread's own task.
async fn conduct(setting: Setting, plans: Vec<Plan>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let cost = setting.observing.cost.thread();
    let begin = Instant::now();
    let shared = Rc::new(Shared {
        observing: setting.observing,
        lane: setting.lane,
        rerouted: Notify::new(),
        reroutings: Cell::new(0),
        down_after: setting.down_after,
        timeout: setting.timeout,
        every_when_down: setting.every,
        when: Cell::new(When { phase: Phase::Control, step: None }),
        plan_began: Cell::new(None),
        begins: Notify::new(),
        lag: RefCell::new(Lag::default()),
        idle: RefCell::default(),
        may_open: Cell::new(setting.shared),
        opening: Cell::new(plans.len()),
        opened: Notify::new(),
        round: Cell::new(None),
        hurry: Notify::new(),
        answered: Notify::new(),
    });
    let mut changes = shared.lane.changes();
    open_shared(&shared).await;
    let probes: Rc<Vec<Rc<Probe>>> = Rc::new(
        plans
            .into_iter()
            .enumerate()
            .map(|(nth, plan)| {
                let grid = Grid::new(begin, plan.every, nth);
                Rc::new(Probe::new(plan, grid))
            })
            .collect(),
    );
    let mut tasks = JoinSet::new();
    for probe in probes.iter() {
        tasks.spawn_local(Rc::clone(probe).run(Rc::clone(&shared)));
    }
    tasks.spawn_local(watch_lag(Rc::clone(&shared)));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0;
    let stopped = loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            _ = tick.tick() => {
                ticks += 1;
                cost.update();
                flush(&probes, &shared, false, ticks % TICKS_A_LAG == 0);
                continue;
            }
            Ok(()) = changes.changed() => {
                shared.reroute();
                continue;
            }
            () = setting.cancel.cancelled() => None,
        };
        match command {
            Some(Command::Control { lasts, done }) => {
                tasks.spawn_local(control(Rc::clone(&probes), Rc::clone(&shared), lasts, done));
            }
            Some(Command::Settle { lasts, done }) => {
                tasks.spawn_local(settle(Rc::clone(&probes), Rc::clone(&shared), lasts, done));
            }
            Some(Command::Enter(when)) => shared.enter(when),
            Some(Command::Count { done }) => drop(done.send(counted(&probes))),
            Some(Command::Stop { done }) => break Some(done),
            None => break None,
        }
    };
    tasks.abort_all();
    let now = Instant::now();
    for probe in probes.iter() {
        probe.finish(now, &shared);
    }
    flush(&probes, &shared, true, true);
    cost.update();
    if let Some(done) = stopped {
        let _ = done.send(counted(&probes));
    }
}

/// Opened beforehand: opening is not what they measure.
async fn open_shared(shared: &Shared) {
    while shared.may_open.get() > 0 {
        let Ok(open) = shared.open(&Address::Writer, 0).await else { return };
        shared.idle.borrow_mut().push(open);
        shared.may_open.set(shared.may_open.get() - 1);
    }
}

async fn watch_lag(shared: Rc<Shared>) {
    loop {
        let intended = Instant::now() + lag::EVERY;
        sleep_until(intended.into()).await;
        shared.lag.borrow_mut().woke(intended, intended.elapsed());
    }
}

async fn control(probes: Rc<Vec<Rc<Probe>>>, shared: Rc<Shared>, lasts: Duration, done: oneshot::Sender<Counted>) {
    while shared.opening.get() > 0 {
        shared.opened.notified().await;
    }
    let begin = Instant::now();
    once_each(&probes, &shared, lasts).await;
    for probe in probes.iter().filter(|probe| !probe.dropped.get() && !probe.ran_since(begin)) {
        probe.drop_for("no answer in the control run".to_owned(), &shared);
    }
    for probe in probes.iter().filter(|probe| !probe.dropped.get()) {
        conclude(probe, &shared);
    }
    let _ = done.send(counted(&probes));
}

async fn settle(probes: Rc<Vec<Rc<Probe>>>, shared: Rc<Shared>, lasts: Duration, done: oneshot::Sender<Counted>) {
    once_each(&probes, &shared, lasts).await;
    let _ = done.send(counted(&probes));
}

/// Runs for that long at least. However long its interval, each probe begins once within it, evenly spread, and has the time that an
/// answer may take; one that waits longer is down, and says so by itself.
async fn once_each(probes: &[Rc<Probe>], shared: &Shared, lasts: Duration) {
    let begin = Instant::now();
    let live = || probes.iter().filter(|probe| !probe.dropped.get());
    let spread = lasts.max(pace::round(live().count()));
    for (nth, probe) in live().enumerate() {
        probe.early.set(Some(begin + spread.mul_f64(nth as f64 / probes.len() as f64)));
    }
    shared.round.set(Some(begin));
    shared.hurry.notify_waiters();
    let until = begin + spread + shared.timeout;
    let all = async {
        while !live().all(|probe| probe.ran_since(begin)) {
            shared.answered.notified().await;
        }
    };
    if timeout_at(until.into(), all).await.is_err() {
        tracing::debug!("not every probe had an answer");
    }
    shared.round.set(None);
    sleep_until((begin + lasts).into()).await;
}

/// What the control run says of a probe: that it is of no use, or how long its interval must be.
fn conclude(probe: &Probe, shared: &Shared) {
    if let Some(refused) = probe.refused.borrow().as_ref() {
        return probe.drop_for(refused.clone(), shared);
    }
    let alone = probe.alone.borrow();
    if alone.is_empty() {
        return;
    }
    let median = Duration::from_micros(alone.value_at_quantile(0.5));
    if median > shared.down_after {
        let (median, down_after) = (median.as_millis(), shared.down_after.as_millis());
        return probe
            .drop_for(format!("it takes {median} ms by itself, and slower than {down_after} ms is down"), shared);
    }
    let grid = probe.grid.get();
    let rested = pace::rested(median);
    if rested > grid.every() {
        probe.grid.set(Grid::new(Instant::now(), rested, probe.id as usize));
    }
}

fn flush(probes: &[Rc<Probe>], shared: &Shared, all: bool, lag: bool) {
    let events = &shared.observing.events;
    let samples: Vec<_> = probes.iter().filter_map(|probe| probe.recorder.borrow_mut().sample(probe.id)).collect();
    if !samples.is_empty() {
        events.send(Event::ProbeTick { samples });
    }
    for probe in probes {
        probe.flush(shared, all);
    }
    if lag && let Some(event) = shared.lag.borrow_mut().take() {
        events.send(event);
    }
}

fn counted(probes: &[Rc<Probe>]) -> Counted {
    Counted {
        operations: probes.iter().map(|probe| probe.operations.get()).sum(),
        writes: probes.iter().filter(|probe| probe.writes).map(|probe| probe.operations.get()).sum(),
    }
}
