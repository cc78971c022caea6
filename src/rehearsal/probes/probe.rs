//! One probe at work: starts on its grid whether or not the last answer came, judges each answer, keeps the figures.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::group::Plan;
use super::lag::Lag;
use super::pace::Grid;
use super::recorder::{Figures, Recorder, When, micros};
use super::windows::{Ended, Went, Window, Windows};
use crate::engine::probing::{Class, Failure, FailureKind, Script, Session, Stage};
use crate::event::{DownCause, Downtime, Event, Owner, Phase, Session as Seen, SqlError};
use crate::rehearsal::blockers::Blockers;
use crate::rehearsal::current::Running;
use crate::rehearsal::observing::Observing;
use crate::rehearsal::owners::Owners;
use crate::rehearsal::routes::{Lane, Target};
use crate::scenario::Address;

/// What a probe does.
#[derive(Debug)]
pub(super) enum Work {
    Script(Box<Script>),
    /// A fresh connection, and a first answer on it.
    Connect,
}

/// Whose session a probe uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    Own,
    /// One of the shared ones, while it operates and as long as it is down.
    Shared,
}

/// What all probes of one thread share.
pub(super) struct Shared {
    pub observing: Observing,
    /// Where users are sent.
    pub lane: Lane,
    /// That has changed, so often.
    pub rerouted: Notify,
    pub reroutings: Cell<u64>,
    pub down_after: Duration,
    pub timeout: Duration,
    /// Interval of a shared probe while it is down.
    pub every_when_down: Duration,
    pub when: Cell<When>,
    /// What came after the control run began then.
    pub plan_began: Cell<Option<Instant>>,
    pub begins: Notify,
    pub lag: RefCell<Lag>,
    pub idle: RefCell<Vec<Open>>,
    /// Shared sessions that may still be opened.
    pub may_open: Cell<usize>,
    /// Probes whose first session is not open yet.
    pub opening: Cell<usize>,
    pub opened: Notify,
    /// Since when every probe is to run once, while that is so.
    pub round: Cell<Option<Instant>>,
    /// Such a round begins.
    pub hurry: Notify,
    /// Some probe had its answer.
    pub answered: Notify,
}

/// A session, and where it is.
pub(super) struct Open {
    session: Session,
    node: String,
    owners: Owners,
    blockers: Blockers,
}

pub(super) struct Probe {
    pub id: u32,
    /// Whom it asks for.
    on: Address,
    pub seat: Seat,
    pub writes: bool,
    pub work: RefCell<Option<Work>>,
    pub grid: Cell<Grid>,
    /// Operations it may still do before it has used up its share of a sequence.
    pub allowance: Cell<Option<u64>>,
    pub recorder: RefCell<Recorder>,
    pub windows: RefCell<Windows>,
    window: Cell<u64>,
    /// Begin by then, whatever the grid says.
    pub early: Cell<Option<Instant>>,
    /// The intended start of the last operation that was answered.
    last: Cell<Option<Instant>>,
    /// The operation under way: its intended start, and whether its answer counts for windows.
    under_way: Cell<Option<(Instant, bool)>>,
    /// The back end that it went to, where it got that far, and who is in whose way there.
    went_to: RefCell<Option<(Blockers, i32)>>,
    /// The changes of where users are sent that it has taken note of.
    reroutings: Cell<u64>,
    /// Time that the server took, in microseconds, over the control run.
    pub alone: RefCell<Histogram<u32>>,
    /// What the control run first had against it.
    pub refused: RefCell<Option<String>>,
    pub dropped: Cell<bool>,
    pub operations: Cell<u64>,
}

impl Probe {
    pub fn new(plan: Plan, grid: Grid) -> Probe {
        let Plan { id, work, writes, seat, allowance, on, .. } = plan;
        Probe {
            id,
            on,
            seat,
            writes,
            work: RefCell::new(Some(work)),
            grid: Cell::new(grid),
            allowance: Cell::new(allowance),
            recorder: RefCell::default(),
            windows: RefCell::default(),
            window: Cell::new(0),
            early: Cell::new(None),
            last: Cell::new(None),
            under_way: Cell::new(None),
            went_to: RefCell::default(),
            reroutings: Cell::new(0),
            alone: RefCell::new(Histogram::new(3).expect("three digits are allowed")),
            refused: RefCell::default(),
            dropped: Cell::new(false),
            operations: Cell::new(0),
        }
    }

    /// Gives the probe up, for this reason.
    pub fn drop_for(&self, reason: String, shared: &Shared) {
        self.dropped.set(true);
        shared.observing.events.send(Event::ProbeDropped { probe: self.id, reason });
    }

    /// Runs until its task is ended or the probe is dropped.
    pub async fn run(self: Rc<Self>, shared: Rc<Shared>) {
        let Some(mut work) = self.work.borrow_mut().take() else { return };
        // One at most, but for whoever asks for one of several nodes.
        let mut held = Vec::new();
        if matches!((&work, self.seat), (Work::Script(_), Seat::Own)) {
            held.extend(shared.open(&self.on, 0).await);
        }
        shared.opening.set(shared.opening.get() - 1);
        shared.opened.notify_waiters();
        let mut intended = self.grid.get().after(Instant::now());
        loop {
            intended = self.wait(intended, &mut held, &shared).await;
            if self.dropped.get() {
                return;
            }
            if self.seat == Seat::Shared && held.is_empty() {
                match shared.seat() {
                    Taken::Session(idle) => held.push(idle),
                    Taken::Leave => {}
                    Taken::None => {
                        // All are held by probes that wait: this start is not made, and says nothing.
                        let now = Instant::now();
                        intended = match shared.round.get() {
                            Some(round) if !self.ran_since(round) => now + shared.every_when_down,
                            _ => self.grid.get().after(now),
                        };
                        continue;
                    }
                }
            }
            let went = self.operate(&mut work, &mut held, intended, &shared).await;
            if self.used_up() {
                self.drop_for("its share of the numbers that its key is given is used up".into(), &shared);
                return;
            }
            let now = Instant::now();
            let down = self.windows.borrow().open_since().is_some();
            intended = match went {
                Went::GaveUp => now,
                _ if down && self.seat == Seat::Shared => now + shared.every_when_down,
                _ => self.grid.get().after(now),
            };
            // A lost session leaves its place to whoever opens one next; the others are kept as long as the probe is down.
            if self.seat == Seat::Shared && (held.is_empty() || !down) {
                shared.leave(held.pop());
            }
        }
    }

    /// Whether an operation that began then or later had its answer.
    pub fn ran_since(&self, then: Instant) -> bool {
        self.last.get().is_some_and(|last| last >= then)
    }

    /// Until the intended start, or an earlier one that was asked for meanwhile; returns which.
    async fn wait(&self, mut intended: Instant, held: &mut Vec<Open>, shared: &Shared) -> Instant {
        loop {
            self.leave_nodes(held, shared);
            intended = self.early.take().map_or(intended, |early| early.min(intended));
            // What is due already, since the last one was given up, says nothing of how late timers are.
            if intended <= Instant::now() {
                return intended;
            }
            tokio::select! {
                biased;
                () = sleep_until(intended.into()) => {
                    shared.lag.borrow_mut().woke(intended, intended.elapsed());
                    return intended;
                }
                () = shared.hurry.notified() => {}
                () = shared.rerouted.notified() => {}
            }
        }
    }

    /// Leaves nodes that its address no longer leads to, as soon as it hears of that: a session that only sits there is on them as well.
    fn leave_nodes(&self, held: &mut Vec<Open>, shared: &Shared) {
        if self.reroutings.replace(shared.reroutings.get()) == shared.reroutings.get() {
            return;
        }
        for open in held.extract_if(.., |open| !shared.lane.leads_to(&self.on, &open.node)) {
            open.leave();
            if self.seat == Seat::Shared {
                shared.may_open.set(shared.may_open.get() + 1);
            }
        }
    }

    async fn operate(&self, work: &mut Work, held: &mut Vec<Open>, intended: Instant, shared: &Shared) -> Went {
        let when = shared.when.get();
        let judged = when.phase != Phase::Control;
        let during = shared.observing.current.get();
        self.under_way.set(Some((intended, judged)));
        self.went_to.take();
        let result = {
            let stage = if judged { Stage::Release } else { Stage::Alone };
            let attempt = self.attempt(work, held, stage, shared);
            tokio::pin!(attempt);
            let late = async {
                // What began before the plan waits for the plan from the plan's beginning on.
                let since = if judged { intended } else { shared.plan_begins().await.max(intended) };
                sleep_until((since + shared.down_after).into()).await;
                since
            };
            tokio::select! {
                biased;
                result = &mut attempt => result,
                since = late => {
                    let during = if judged { during } else { shared.observing.current.get() };
                    if self.windows.borrow_mut().late_so_far(since, during) {
                        self.announce(since, DownCause::Late, shared);
                    }
                    attempt.await
                }
            }
        };
        let answered = Instant::now();
        self.under_way.set(None);
        self.last.set(Some(intended));
        let kept_waiting = |since: &Instant| answered.saturating_duration_since(*since) > shared.down_after;
        let (when, intended, judged) = match shared.plan_began.get().map(|began| began.max(intended)) {
            Some(since) if !judged && kept_waiting(&since) => (shared.when.get(), since, true),
            _ => (when, intended, judged),
        };
        let latency = answered.saturating_duration_since(intended);
        let went = match result {
            Ok(took) => {
                if let (false, Some(took)) = (judged, took) {
                    self.alone.borrow_mut().record(micros(took)).expect("it grows as it must");
                }
                if latency <= shared.down_after { Went::Good } else { Went::Late }
            }
            Err(Failure { kind: FailureKind::GaveUp, .. }) => Went::GaveUp,
            Err(Failure { kind: FailureKind::Unfit, error, .. }) => {
                let reason = format!("the table's new shape leaves no way to do it: {}", error.message);
                self.drop_for(reason, shared);
                Went::Good
            }
            Err(failure) => Went::Failed(failure.error),
        };
        self.keep(when, &went, intended, answered);
        shared.answered.notify_waiters();
        if judged {
            let blocked_by = self.blockers();
            self.judge(&Ended { intended, answered, went: went.clone(), during, blocked_by }, shared);
        }
        went
    }

    /// Returns how long the server was at it, before the plan; of a connection, how long it took.
    async fn attempt(
        &self,
        work: &mut Work,
        held: &mut Vec<Open>,
        stage: Stage,
        shared: &Shared,
    ) -> Result<Option<Duration>, Failure> {
        let script = match work {
            Work::Script(script) => script,
            Work::Connect => {
                let sent = Instant::now();
                let opened = shared.open(&self.on, 0).await?;
                let took = sent.elapsed();
                opened.session.close().await;
                return Ok(Some(took));
            }
        };
        // Whoever asks for one of several goes round.
        let turn = usize::try_from(self.operations.get()).unwrap_or_default();
        let node = shared.lane.target(&self.on, turn).map(|target| target.node);
        let mut open = match held.iter().position(|open| Some(&open.node) == node.as_ref()) {
            Some(at) => held.swap_remove(at),
            None => shared.open(&self.on, turn).await?,
        };
        let pid = open.session.pid();
        self.went_to.replace(Some((open.blockers.clone(), pid)));
        open.owners.set(pid, Owner::Probe { probe: self.id });
        let result = script.run(&mut open.session, stage).await;
        if matches!(&result, Err(failure) if failure.kind == FailureKind::Lost) {
            open.owners.remove(pid);
        } else {
            held.push(open);
        }
        result
    }

    fn keep(&self, when: When, went: &Went, intended: Instant, answered: Instant) {
        self.operations.set(self.operations.get() + 1);
        let grid = self.grid.get();
        let failed = matches!(went, Went::Failed(_) | Went::GaveUp);
        let missed = grid.missed(intended, answered);
        let latency = answered.saturating_duration_since(intended);
        self.recorder.borrow_mut().record(when, Figures { latency, failed, missed, every: grid.every() });
        let refused = match went {
            Went::Failed(error) => format!("refused in the control run: {}", error.message),
            Went::GaveUp => "no answer in the control run".to_owned(),
            Went::Good | Went::Late => return,
        };
        if when.phase == Phase::Control {
            self.refused.borrow_mut().get_or_insert(refused);
        }
    }

    fn judge(&self, ended: &Ended, shared: &Shared) {
        let (over, began) = self.windows.borrow_mut().ended(ended);
        if let Some(window) = over {
            self.report(window, shared);
        }
        if let Some(cause) = began {
            self.announce(ended.intended, cause, shared);
        }
    }

    /// Who was seen in the way of the operation under way. Asked for after good operations too: what was seen of a short wait has no
    /// part in a later window.
    fn blockers(&self) -> Vec<Seen> {
        self.went_to.borrow().as_ref().map(|(blockers, pid)| blockers.take(*pid)).unwrap_or_default()
    }

    fn announce(&self, started: Instant, cause: DownCause, shared: &Shared) {
        self.window.set(shared.observing.numbers.window());
        let events = &shared.observing.events;
        let started_ms = events.clock.at_ms(started);
        events.send(Event::DowntimeStarted { window: self.window.get(), probe: self.id, started_ms, cause });
    }

    fn report(&self, window: Window, shared: &Shared) {
        let lag = shared.lag.borrow().between(window.started, window.started + window.elapsed);
        let down = Downtime {
            probe: self.id,
            started_ms: shared.observing.events.clock.at_ms(window.started),
            elapsed_ms: window.elapsed.as_secs_f64() * 1e3,
            cause: window.cause,
            error: window.error,
            first_error_ms: window.refused.map(|refused| shared.observing.events.clock.at_ms(refused)),
            bad: window.bad,
            to_the_end: window.to_the_end,
            step: window.during.map(|Running { step, .. }| step),
            statement: window.during.and_then(|running| running.statement),
            blocked_by: window.blocked_by,
            harness_lag_ms: lag.as_secs_f64() * 1e3,
        };
        shared.observing.events.send(Event::DowntimeEnded { window: self.window.get(), down: Box::new(down) });
    }

    /// Closes what is open, when the probes end.
    pub fn finish(&self, now: Instant, shared: &Shared) {
        let late = |(intended, judged): (Instant, bool)| {
            let since = if judged { Some(intended) } else { shared.plan_began.get().map(|began| began.max(intended)) };
            since.is_some_and(|since| now.saturating_duration_since(since) > shared.down_after)
        };
        let waiting = self.under_way.get().is_some_and(late);
        let mut windows = self.windows.borrow_mut();
        windows.blocked_by(&self.blockers());
        let over = windows.finish(now, waiting);
        if let Some(window) = over {
            self.report(window, shared);
        }
    }

    /// Sends what came in since the last tick, and what is complete of earlier phases and steps.
    pub fn flush(&self, shared: &Shared, all: bool) {
        let keep = (!all).then(|| shared.when.get());
        // An operation under way may belong to an earlier step, which is complete only with it.
        if all || self.under_way.get().is_none() {
            for summary in self.recorder.borrow_mut().summaries(self.id, keep) {
                shared.observing.events.send(Event::ProbeSummary(Box::new(summary)));
            }
        }
    }

    fn used_up(&self) -> bool {
        let Some(left) = self.allowance.get() else { return false };
        self.allowance.set(Some(left.saturating_sub(1)));
        left <= 1
    }
}

impl Open {
    /// Takes its leave while the probe goes on: a server that is slow with it holds nobody up.
    fn leave(self) {
        self.owners.remove(self.session.pid());
        tokio::task::spawn_local(self.session.close());
    }
}

enum Taken {
    Session(Open),
    /// To open one.
    Leave,
    None,
}

impl Shared {
    /// What begins from now on is of this phase and step.
    pub fn enter(&self, when: When) {
        self.when.set(when);
        if when.phase != Phase::Control && self.plan_began.get().is_none() {
            self.plan_began.set(Some(Instant::now()));
            self.begins.notify_waiters();
        }
    }

    /// Once the control run is over: when that was.
    async fn plan_begins(&self) -> Instant {
        loop {
            if let Some(began) = self.plan_began.get() {
                return began;
            }
            self.begins.notified().await;
        }
    }

    /// Opens a session where the address leads, of several nodes on the `nth`. Where that changes meanwhile it is opened anew: nobody
    /// begins on a node that was taken out.
    ///
    /// # Errors
    /// A failure of kind [`FailureKind::Lost`].
    pub async fn open(&self, on: &Address, nth: usize) -> Result<Open, Failure> {
        loop {
            let Some(Target { node, login, owners, blockers, .. }) = self.lane.target(on, nth) else {
                return Err(led_nowhere(on));
            };
            let session = Session::open(&login, self.timeout).await?;
            let open = Open { session, node, owners, blockers };
            if self.lane.leads_to(on, &open.node) {
                return Ok(open);
            }
            open.leave();
        }
    }

    /// Users are sent elsewhere.
    pub fn reroute(&self) {
        self.reroutings.set(self.reroutings.get() + 1);
        for open in self.idle.borrow_mut().extract_if(.., |open| !self.lane.leads_to(&Address::Writer, &open.node)) {
            open.leave();
            self.may_open.set(self.may_open.get() + 1);
        }
        self.rerouted.notify_waiters();
    }

    fn seat(&self) -> Taken {
        if let Some(idle) = self.idle.borrow_mut().pop() {
            return Taken::Session(idle);
        }
        match self.may_open.get() {
            0 => Taken::None,
            left => {
                self.may_open.set(left - 1);
                Taken::Leave
            }
        }
    }

    /// Gives a shared session back; one that was lost may be opened again.
    fn leave(&self, open: Option<Open>) {
        match open {
            Some(open) if self.lane.leads_to(&Address::Writer, &open.node) => {
                open.owners.remove(open.session.pid());
                self.idle.borrow_mut().push(open);
            }
            open => {
                if let Some(open) = open {
                    open.leave();
                }
                self.may_open.set(self.may_open.get() + 1);
            }
        }
    }
}

/// No node of the shard that users may be sent to.
fn led_nowhere(on: &Address) -> Failure {
    let message = format!("nobody is let in at {}", on.words());
    let (code, table, column, constraint, position) = Default::default();
    let error = SqlError { code, message, table, column, constraint, position };
    Failure { error, kind: FailureKind::Lost, class: Class::Other }
}
