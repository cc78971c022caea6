//! One workload at work: starts on its grid whether or not the last iteration has ended, as long as one of its sessions is free.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::crew::Shared;
use crate::engine::endpoint::Endpoint;
use crate::engine::probing::{Failure, FailureKind, Session};
use crate::engine::workload::{Iteration, Looked, Stopped, TIMEOUT, Workload};
use crate::event::{Event, Owner, Phase, Traffic, WorkloadFailed, WorkloadSummary};
use crate::rehearsal::owners::Owners;
use crate::rehearsal::probes::pace::Grid;
use crate::rehearsal::probes::recorder::{Figures, Recorder, When};
use crate::rehearsal::routes::Target;
use crate::scenario::{self, Address, During};

/// Starts that are no later than this are made, however many came due at once: timers are no finer. Others are let go by.
const DUE: Duration = Duration::from_millis(5);

/// Kinds of failures that are told of one workload.
const FAILURES: usize = 100;

/// A session, and where it is.
struct Seated {
    session: Session,
    node: String,
    /// Asks that node's server what the session wrote to.
    superuser: Endpoint,
    owners: Owners,
}

impl Seated {
    async fn leave(self) {
        self.owners.remove(self.session.pid());
        self.session.close().await;
    }
}

/// An iteration that was begun.
struct Begun {
    iteration: Iteration,
    intended: Instant,
    when: When,
    /// Empty before it has a session.
    node: RefCell<String>,
}

/// Why there is no session, and on which node.
struct NoSession {
    node: String,
    failure: Failure,
}

pub(super) struct Worker {
    id: usize,
    on: Address,
    during: During,
    grid: Grid,
    workload: RefCell<Workload>,
    idle: RefCell<Vec<Seated>>,
    /// Sessions that may still be opened.
    may_open: Cell<usize>,
    recorder: RefCell<Recorder>,
    /// How long it was to run, by phase and step, as far as that was not told.
    ran: RefCell<BTreeMap<When, Duration>>,
    entered: Cell<Option<Instant>>,
    /// Begin at once, whatever the grid says.
    early: Cell<bool>,
    under_way: RefCell<Vec<Rc<Begun>>>,
    /// The intended start of the last iteration that was answered.
    last: Cell<Option<Instant>>,
    /// What an iteration writes to was seen to its end.
    looked: Cell<bool>,
    /// It is being looked at.
    looking: Cell<bool>,
    /// What was told of that: tables, and that there may be others.
    written: RefCell<(BTreeSet<String>, bool)>,
    /// Failures that were told: the statement's place, its code, when.
    told: RefCell<BTreeSet<(usize, String, When)>>,
    /// What the control run first had against it, and on which node.
    refused: RefCell<Option<(String, String)>>,
    dropped: Cell<bool>,
}

impl Worker {
    pub fn new(id: usize, planned: &scenario::Workload, workload: Workload, sessions: usize) -> Worker {
        Worker {
            id,
            on: planned.on.clone(),
            during: planned.during,
            grid: Grid::new(Instant::now(), Duration::from_secs_f64(1.0 / planned.rate_per_s), id),
            workload: RefCell::new(workload),
            idle: RefCell::default(),
            may_open: Cell::new(sessions),
            recorder: RefCell::default(),
            ran: RefCell::default(),
            entered: Cell::new(None),
            early: Cell::new(false),
            under_way: RefCell::default(),
            last: Cell::new(None),
            looked: Cell::new(false),
            looking: Cell::new(false),
            written: RefCell::default(),
            told: RefCell::default(),
            refused: RefCell::default(),
            dropped: Cell::new(false),
        }
    }

    /// Opens its sessions beforehand, as a pool does.
    pub async fn open(&self, shared: &Shared) {
        while self.may_open.get() > 0 {
            let Some(Ok(seated)) = self.seat(shared).await else { return };
            self.idle.borrow_mut().push(seated);
            self.may_open.set(self.may_open.get() - 1);
        }
    }

    /// A session where its address leads now; none where that is nowhere.
    async fn seat(&self, shared: &Shared) -> Option<Result<Seated, NoSession>> {
        loop {
            let Target { node, login, superuser, owners, .. } = shared.lane.target(&self.on, self.id)?;
            let session = match Session::open(&login, TIMEOUT).await {
                Ok(session) => session,
                Err(failure) => return Some(Err(NoSession { node, failure })),
            };
            let seated = Seated { session, node, superuser, owners };
            // Users may have been sent elsewhere meanwhile.
            if self.may_stay(&seated, shared) {
                return Some(Ok(seated));
            }
            seated.leave().await;
        }
    }

    fn may_stay(&self, seated: &Seated, shared: &Shared) -> bool {
        shared.lane.leads_to(&self.on, &seated.node)
    }

    /// Closes free sessions on nodes to which its address no longer leads.
    pub async fn leave(&self, shared: &Shared) {
        let (stay, go): (Vec<_>, Vec<_>) =
            self.idle.take().into_iter().partition(|seated| self.may_stay(seated, shared));
        self.idle.borrow_mut().extend(stay);
        for seated in go {
            self.close(seated).await;
        }
    }

    async fn close(&self, seated: Seated) {
        seated.leave().await;
        self.may_open.set(self.may_open.get() + 1);
    }

    /// Whether it runs at that time. One that is for the plan alone is tried once before it.
    fn is_for(&self, when: Option<When>) -> bool {
        let Some(when) = when.filter(|_| !self.dropped.get()) else { return false };
        match (self.during, when.phase) {
            (During::All, _) | (During::Before, Phase::Control) | (During::After, Phase::After) => true,
            (During::During, Phase::Plan) => true,
            (During::During, Phase::Control) => self.last.get().is_none() && !self.is_busy(),
            _ => false,
        }
    }

    /// Whether it is to run once in what goes on now.
    pub fn is_due(&self, shared: &Shared) -> bool {
        self.is_for(shared.when.get()) || (self.is_busy() && !self.dropped.get())
    }

    pub fn is_busy(&self) -> bool {
        !self.under_way.borrow().is_empty()
    }

    pub fn at_once(&self) {
        self.early.set(true);
    }

    pub fn ran_since(&self, then: Instant) -> bool {
        self.last.get().is_some_and(|last| last >= then)
    }

    /// The run leaves what it was at.
    pub fn enter(&self, next: Option<When>, shared: &Shared) {
        let now = Instant::now();
        if let (Some(entered), Some(when)) = (self.entered.get(), shared.when.get()) {
            *self.ran.borrow_mut().entry(when).or_default() += now - entered;
        }
        self.entered.set(self.is_for(next).then_some(now));
    }

    /// What the control run says of it.
    pub fn conclude(&self, shared: &Shared) {
        let refused = self.refused.borrow().clone();
        let due = matches!(self.during, During::All | During::Before | During::During);
        let node = || shared.lane.target(&self.on, self.id).map(|target| target.node).unwrap_or_default();
        let silent = || (due && self.last.get().is_none()).then(|| (node(), "no answer in the control run".to_owned()));
        if let Some((node, reason)) = refused.or_else(silent) {
            self.dropped.set(true);
            shared.observing.events.send(Event::WorkloadDropped { workload: self.id, node, reason });
        }
    }

    /// Runs until its task is ended.
    pub async fn run(self: Rc<Self>, shared: Rc<Shared>) {
        let mut iterations = JoinSet::new();
        let mut past = Instant::now();
        loop {
            while iterations.try_join_next().is_some() {}
            let Some(when) = shared.when.get().filter(|when| self.is_for(Some(*when))) else {
                shared.changed.notified().await;
                past = Instant::now();
                continue;
            };
            let intended = if self.early.get() { Instant::now() } else { self.grid.after(past) };
            tokio::select! {
                biased;
                () = sleep_until(intended.into()) => {}
                () = shared.changed.notified() => continue,
            }
            self.early.set(false);
            let (starts, late) = due(&self.grid, intended, Instant::now());
            self.recorder.borrow_mut().missed(when, late);
            for intended in starts {
                past = behind(&self.grid, intended);
                match self.take() {
                    Some(seated) => {
                        let iteration = self.workload.borrow_mut().iteration();
                        let begun = Rc::new(Begun { iteration, intended, when, node: RefCell::default() });
                        self.under_way.borrow_mut().push(Rc::clone(&begun));
                        let (this, shared) = (Rc::clone(&self), Rc::clone(&shared));
                        iterations.spawn_local(async move {
                            this.iterate(seated, &begun, &shared).await;
                        });
                    }
                    None => self.recorder.borrow_mut().missed(when, 1),
                }
            }
        }
    }

    /// A free session, or leave to open one; none where all are busy.
    fn take(&self) -> Option<Option<Seated>> {
        if let Some(seated) = self.idle.borrow_mut().pop() {
            return Some(Some(seated));
        }
        let left = self.may_open.get();
        (left > 0).then(|| {
            self.may_open.set(left - 1);
            None
        })
    }

    async fn iterate(&self, seated: Option<Seated>, begun: &Begun, shared: &Shared) {
        let seated = match seated {
            Some(seated) if self.may_stay(&seated, shared) => Some(Ok(seated)),
            left => {
                if let Some(left) = left {
                    left.leave().await;
                }
                self.seat(shared).await
            }
        };
        let stopped = match seated {
            Some(Ok(seated)) => {
                begun.node.borrow_mut().clone_from(&seated.node);
                self.send(seated, &begun.iteration, shared).await
            }
            Some(Err(NoSession { node, failure })) => {
                self.may_open.set(self.may_open.get() + 1);
                begun.node.replace(node);
                Err(begun.iteration.not_begun(failure))
            }
            // There is nobody to ask.
            None => {
                self.may_open.set(self.may_open.get() + 1);
                self.over(begun);
                return self.recorder.borrow_mut().missed(begun.when, 1);
            }
        };
        self.record(begun, stopped, shared);
        self.last.set(Some(begun.intended));
        self.over(begun);
        shared.answered.notify_waiters();
    }

    fn over(&self, begun: &Begun) {
        self.under_way.borrow_mut().retain(|other| !std::ptr::eq(&raw const **other, begun));
    }

    fn record(&self, begun: &Begun, result: Result<(), Stopped>, shared: &Shared) {
        let (latency, failed) = (begun.intended.elapsed(), result.is_err());
        self.recorder.borrow_mut().record(begun.when, Figures { latency, failed, missed: 0, every: self.grid.every() });
        if let Err(stopped) = result {
            self.tell(&stopped, begun, shared);
        }
    }

    /// The run ends: whatever is under way failed, for nobody waits for it any longer.
    pub fn give_up(&self, shared: &Shared) {
        for begun in self.under_way.take() {
            self.record(&begun, Err(begun.iteration.given_up(begun.intended.elapsed())), shared);
        }
    }

    async fn send(&self, mut seated: Seated, iteration: &Iteration, shared: &Shared) -> Result<(), Stopped> {
        seated.owners.set(seated.session.pid(), Owner::Workload { workload: self.id });
        let result = if self.looked.get() || self.looking.replace(true) {
            iteration.run(&mut seated.session).await
        } else {
            let looked = iteration.looked_at(&mut seated.session, &seated.superuser).await;
            self.looking.set(false);
            self.looked.set(looked.result.is_ok());
            self.tell_written(looked, shared)
        };
        if matches!(&result, Err(stopped) if stopped.failure.kind == FailureKind::Lost) {
            seated.owners.remove(seated.session.pid());
            self.may_open.set(self.may_open.get() + 1);
        } else if self.may_stay(&seated, shared) {
            self.idle.borrow_mut().push(seated);
        } else {
            self.close(seated).await;
        }
        result
    }

    fn tell_written(&self, looked: Looked, shared: &Shared) -> Result<(), Stopped> {
        let (known, told) = &mut *self.written.borrow_mut();
        let tables: Vec<String> = looked.tables.difference(known).cloned().collect();
        let unseen = looked.unseen.filter(|_| !*told);
        known.extend(looked.tables);
        *told |= unseen.is_some();
        if !tables.is_empty() || unseen.is_some() {
            let by = Traffic::Workload { workload: self.id };
            shared.observing.events.send(Event::TrafficWrites { by, tables, unseen });
        }
        looked.result
    }

    /// Under what goes on when the answer comes: what began before the plan may well fail by it.
    fn tell(&self, stopped: &Stopped, begun: &Begun, shared: &Shared) {
        let (when, node) = (shared.when.get().unwrap_or(begun.when), begun.node.borrow().clone());
        let gave_up = stopped.failure.kind == FailureKind::GaveUp;
        if when.phase == Phase::Control {
            let place = &stopped.place;
            let reason =
                format!("refused in the control run: {}:{}: {}", place.file, place.line, stopped.failure.error.message);
            self.refused.borrow_mut().get_or_insert((node.clone(), reason));
        }
        let key = (stopped.statement, stopped.failure.error.code.clone(), when);
        let mut told = self.told.borrow_mut();
        if told.len() < FAILURES && told.insert(key) {
            shared.observing.events.send(Event::WorkloadFailed(Box::new(WorkloadFailed {
                workload: self.id,
                node,
                phase: when.phase,
                step: shared.observing.current.get().map(|running| running.step),
                place: stopped.place.clone(),
                error: stopped.failure.error.clone(),
                gave_up,
            })));
        }
    }

    /// Sends what came in since the last time.
    pub fn flush(&self, shared: &Shared) {
        if let (Some(entered), Some(when)) = (self.entered.get(), shared.when.get()) {
            let now = Instant::now();
            *self.ran.borrow_mut().entry(when).or_default() += now - entered;
            self.entered.set(Some(now));
        }
        let mut recorder = self.recorder.borrow_mut();
        let mut ran = std::mem::take(&mut *self.ran.borrow_mut());
        // Each has its line, if only to say that nothing came of it.
        ran.keys().for_each(|when| recorder.missed(*when, 0));
        for told in recorder.summaries(0, None) {
            let when = When { phase: told.phase, step: told.step };
            shared.observing.events.send(Event::WorkloadSummary(Box::new(WorkloadSummary {
                workload: self.id,
                shard: shared.lane.number(),
                phase: told.phase,
                step: told.step,
                ran_ms: ran.remove(&when).unwrap_or_default().as_secs_f64() * 1e3,
                count: told.count,
                errors: told.errors,
                missed: told.missed,
                histogram: told.histogram,
            })));
        }
    }
}

/// The starts to be made now, from the intended one on; and how many it is too late for. One is made at any rate: it tells how late it was.
fn due(grid: &Grid, intended: Instant, now: Instant) -> (Vec<Instant>, u64) {
    let mut starts = vec![intended];
    let mut next = grid.after(behind(grid, intended));
    while next <= now {
        starts.push(next);
        next = grid.after(behind(grid, next));
    }
    let late = starts.iter().filter(|start| now.saturating_duration_since(**start) > DUE).count();
    let late = late.min(starts.len() - 1);
    (starts.split_off(late), late as u64)
}

/// A moment after a start, so that rounding does not give the same start again.
fn behind(grid: &Grid, start: Instant) -> Instant {
    start + grid.every().mul_f64(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_made_once_each_and_never_as_a_burst() {
        let begin = Instant::now();
        // Intervals that are no whole number of nanoseconds, where rounding goes either way.
        for rate in [3.0, 7.0, 20.0, 50.0, 333.0, 3000.0] {
            let grid = Grid::new(begin, Duration::from_secs_f64(1.0 / rate), 0);
            let mut last = begin;
            for nth in 0..500 {
                let next = grid.after(behind(&grid, last));
                assert!(next > last, "{rate}/s: the same start again at {nth}");
                let apart = (next - last).as_secs_f64() * rate;
                assert!((apart - 1.0).abs() < 0.01, "{rate}/s: {apart} intervals between two starts");
                last = next;
            }
        }
        let grid = Grid::new(begin, Duration::from_millis(1), 0);
        let at = |ms| begin + Duration::from_millis(ms);
        // Within what timers are good for, all; what is later is let go by.
        let (starts, late) = due(&grid, at(10), at(13) + Duration::from_micros(100));
        assert_eq!((starts.len(), late), (4, 0));
        let (starts, late) = due(&grid, at(10), at(100) + Duration::from_micros(100));
        assert_eq!((starts.len(), late), (5, 86));
        let grid = Grid::new(begin, Duration::from_millis(100), 0);
        let (starts, late) = due(&grid, at(100), at(150));
        assert_eq!((starts, late), (vec![at(100)], 0));
    }
}
