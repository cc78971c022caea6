//! The observer: looks a few times a second at who waits for a lock behind whom, and tells it in the run's own terms.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::dispatcher::Events;
use super::observing::Observing;
use super::routes::{Routes, is_own};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::waits::{BackEnd, Waiting, Waits, without_literals};
use crate::event::{Event, Owner, Session};

/// Distance of two looks, at least.
const EVERY: Duration = Duration::from_millis(50);

/// A look takes at most one part in so many of the time, when nobody waits and when somebody does.
const REST: u32 = 100;
const REST_WHILE_WAITING: u32 = 20;

/// Looks of which the quickest says what a look costs: one that is dear is dear again, one that was held up is not.
const REMEMBERED: usize = 8;

/// Sessions told of that should not be on the node, each time that it is out.
const STRAYS: usize = 50;

/// After a connection was lost.
const RECONNECT: Duration = Duration::from_millis(250);

/// An observer at work, on a thread of its own.
#[derive(Debug)]
pub struct Observer {
    /// However it is let go of, the thread ends: it would hold on to the run's events.
    stop: DropGuard,
    thread: JoinHandle<()>,
}

impl Observer {
    /// # Errors
    /// When the system gives no thread or no timer.
    pub fn start(
        node: &str,
        superuser: &Endpoint,
        routes: &Routes,
        observing: &Observing,
        cancel: &CancellationToken,
    ) -> std::io::Result<Observer> {
        let stop = cancel.child_token();
        let (engine, node, routes) = (superuser.engine, node.to_owned(), routes.clone());
        let (waits, strays) = Default::default();
        let watch = Watch { node, routes, observing: observing.clone(), engine, waits, strays };
        let (superuser, until) = (superuser.clone(), stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let events = observing.events.clone();
        let thread = std::thread::Builder::new().name("observer".into()).spawn(move || {
            to_the_end(&events, &until, || runtime.block_on(async { watch.run(&superuser, &until).await }));
        })?;
        Ok(Observer { stop: stop.drop_guard(), thread })
    }

    /// Ends it; waits that were seen last are told as ended.
    pub async fn stop(self) {
        drop(self.stop);
        // What became of it, it has told itself.
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

/// Does the work. Where that ends before it was told to, nobody knows any more who waited for whom, and the run must not be judged.
fn to_the_end(events: &Events, until: &CancellationToken, work: impl FnOnce()) {
    let panicked = catch_unwind(AssertUnwindSafe(work)).is_err();
    if panicked || !until.is_cancelled() {
        let what = "the observer of locks ended too early".to_owned();
        events.send(Event::HarnessFailed { what, hint: None, log: Vec::new() });
    }
}

struct Watch {
    node: String,
    routes: Routes,
    observing: Observing,
    engine: EngineKind,
    /// By the waiter's number.
    waits: HashMap<i32, Wait>,
    /// Clients that were told of since the node was left by everybody who obeys.
    strays: HashSet<i32>,
}

/// A wait that has been told as begun.
struct Wait {
    number: u64,
    target: String,
    waited: Duration,
    /// When it had waited so long.
    seen: Instant,
}

impl Watch {
    async fn run(mut self, superuser: &Endpoint, stop: &CancellationToken) {
        let cost = self.observing.cost.thread();
        while !stop.is_cancelled() {
            let superuser = self.routes.at(&self.node, superuser);
            tokio::select! {
                () = stop.cancelled() => break,
                connected = Waits::connect(&superuser) => match connected {
                    Ok(waits) => tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.look_on(&waits, || cost.update()) => {}
                    },
                    Err(error) => tracing::debug!(%error, "the observer could not connect"),
                },
            }
            // While the server restarts there is nobody to wait.
            self.tell(&[], &[]);
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(RECONNECT) => {}
            }
        }
        self.tell(&[], &[]);
        cost.update();
    }

    /// Until the connection is lost.
    async fn look_on(&mut self, waits: &Waits, looked: impl Fn()) {
        let mut took = VecDeque::with_capacity(REMEMBERED);
        let mut looks = self.routes.looks();
        loop {
            let start = Instant::now();
            let rest = match look(waits).await {
                Ok((waiting, back_ends)) => {
                    self.tell(&waiting, &back_ends);
                    if waiting.is_empty() { REST } else { REST_WHILE_WAITING }
                }
                Err(_) if waits.is_closed() => return,
                // A catalog is locked: what cannot be seen now may be seen next time.
                Err(error) => {
                    tracing::debug!(%error, "the observer could not look");
                    REST
                }
            };
            looked();
            took.truncate(REMEMBERED - 1);
            took.push_front(start.elapsed());
            if self.routes.is_left(&self.node) {
                self.look_for_strays(waits).await;
                sleep(EVERY).await;
            } else {
                self.strays.clear();
                // A node that is left is looked at there and then.
                tokio::select! {
                    () = sleep(pause(&took, rest)) => {}
                    Ok(()) = looks.changed() => {}
                }
            }
        }
    }

    /// Who is on a node that everybody who obeys the list has left. Short sessions come and go between two looks; of who keeps coming, one
    /// is met sooner or later.
    async fn look_for_strays(&mut self, waits: &Waits) {
        let clients = match waits.clients().await {
            Ok(clients) => clients,
            Err(error) => return tracing::debug!(%error, "who is on a node could not be asked"),
        };
        // It may have been put back meanwhile.
        if !self.routes.is_left(&self.node) {
            return;
        }
        let there: Vec<i32> = clients.iter().map(|client| client.pid).collect();
        let behind = self.routes.behind(&self.node, &there);
        for client in clients {
            let owner = self.observing.owners.get(client.pid);
            let consumer = self.routes.consumer(&client.application, &client.user);
            let invited = || self.routes.is_invited(&self.node, &client.user) || behind.contains(&client.pid);
            let on_purpose = matches!(owner, Some(Owner::Step { .. })) || consumer.is_none() && invited();
            if on_purpose
                || is_own(&client.application)
                || self.strays.len() == STRAYS
                || !self.strays.insert(client.pid)
            {
                continue;
            }
            let consumer = consumer.map(|consumer| Owner::Consumer { consumer });
            let owner = owner.or(consumer).unwrap_or(Owner::Other { application: client.application });
            let session = Session { pid: client.pid, owner, sql: None };
            self.observing.events.send(Event::ConnectedToOut { node: self.node.clone(), session, user: client.user });
        }
        self.routes.looked(&self.node);
    }

    fn tell(&mut self, waiting: &[Waiting], back_ends: &[BackEnd]) {
        let now = Instant::now();
        let still: HashSet<i32> = waiting
            .iter()
            .filter(|each| self.waits.get(&each.pid).is_some_and(|wait| wait.is(each)))
            .map(|each| each.pid)
            .collect();
        for (_, wait) in self.waits.extract_if(|pid, _| !still.contains(pid)) {
            // It ended somewhere between the last look and this one.
            let elapsed = wait.waited + (now - wait.seen) / 2;
            self.observing
                .events
                .send(Event::LockWaitEnded { wait: wait.number, elapsed_ms: elapsed.as_secs_f64() * 1e3 });
        }
        for each in waiting {
            let Some(waiter) = self.session(each.pid, back_ends) else { continue };
            let chain: Vec<Session> =
                chain(each.pid, waiting).iter().filter_map(|&pid| self.session(pid, back_ends)).collect();
            if matches!(waiter.owner, Owner::Probe { .. }) {
                self.observing.blockers.saw(each.pid, &chain);
            }
            if let Some(wait) = self.waits.get_mut(&each.pid) {
                wait.waited = each.waited.unwrap_or(wait.waited + (now - wait.seen));
                wait.seen = now;
                continue;
            }
            let number = self.observing.numbers.wait();
            let waited = each.waited.unwrap_or_default();
            let wait = Wait { number, target: each.target.clone(), waited, seen: now };
            self.waits.insert(each.pid, wait);
            self.observing.events.send(Event::LockWaitStarted {
                wait: number,
                waiter,
                relation: each.relation.clone(),
                mode: each.mode.clone(),
                blockers: chain,
            });
        }
    }

    /// In the run's terms; none for a back end that has ended meanwhile.
    fn session(&self, pid: i32, back_ends: &[BackEnd]) -> Option<Session> {
        if pid == 0 {
            let owner = Owner::Server { what: "prepared transaction".into() };
            return Some(Session { pid, owner, sql: None });
        }
        let back_end = back_ends.iter().find(|back_end| back_end.pid == pid)?;
        let owner = self.observing.owners.get(pid).unwrap_or_else(|| match &back_end.server {
            None => match self.routes.consumer(&back_end.application, &back_end.application) {
                Some(consumer) => Owner::Consumer { consumer },
                None => Owner::Other { application: back_end.application.clone() },
            },
            Some(what) => Owner::Server { what: what.clone() },
        });
        let sql = match owner {
            Owner::Step { .. } => Some(back_end.sql.clone()),
            Owner::Other { .. } | Owner::Consumer { .. } => Some(without_literals(self.engine, &back_end.sql)),
            Owner::Probe { .. } | Owner::Workload { .. } | Owner::Reader { .. } | Owner::Server { .. } => None,
        };
        Some(Session { pid, owner, sql })
    }
}

impl Wait {
    /// Whether that is this wait going on, and not another one for the same thing.
    fn is(&self, seen: &Waiting) -> bool {
        self.target == seen.target && seen.waited.is_none_or(|waited| waited >= self.waited)
    }
}

/// Until the next look, after looks that took so long.
fn pause(took: &VecDeque<Duration>, rest: u32) -> Duration {
    let cost = took.iter().min().copied().unwrap_or_default();
    (cost * rest).clamp(EVERY, EVERY * 20)
}

async fn look(waits: &Waits) -> Result<(Vec<Waiting>, Vec<BackEnd>), BoxError> {
    let waiting = waits.look().await?;
    if waiting.is_empty() {
        return Ok((waiting, Vec::new()));
    }
    let pids: HashSet<i32> = waiting.iter().flat_map(|each| each.blockers.iter().copied().chain([each.pid])).collect();
    let back_ends = waits.back_ends(&pids.into_iter().collect::<Vec<i32>>()).await?;
    Ok((waiting, back_ends))
}

/// Everyone in the way of that session: those directly before it, then those before them, each once.
fn chain(pid: i32, waiting: &[Waiting]) -> Vec<i32> {
    let mut chain = vec![pid];
    let mut at = 0;
    while let Some(&next) = chain.get(at) {
        let before = waiting.iter().find(|each| each.pid == next).map_or(&[][..], |each| &each.blockers);
        for &blocker in before {
            if !chain.contains(&blocker) {
                chain.push(blocker);
            }
        }
        at += 1;
    }
    chain.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Recorded, ReportError, Reporter};
    use crate::rehearsal::clock::Clock;
    use crate::rehearsal::dispatcher;

    #[test]
    fn one_look_that_was_held_up_makes_nobody_blind() {
        let ms = |looks: &[u64]| looks.iter().map(|&ms| Duration::from_millis(ms)).collect();
        assert_eq!(pause(&ms(&[9, 1, 1]), REST), Duration::from_millis(100));
        assert_eq!(pause(&ms(&[9, 9, 9]), REST), Duration::from_millis(900));
        assert_eq!(pause(&ms(&[]), REST), EVERY);
    }

    #[tokio::test]
    async fn an_observer_that_ends_too_early_fails_the_harness() {
        struct Nowhere;
        impl Reporter for Nowhere {
            fn report(&mut self, _: &Recorded) -> Result<(), ReportError> {
                Ok(())
            }
        }
        let check = async |until: CancellationToken, work: fn(), expected: usize| {
            let stop = CancellationToken::new();
            let (events, told) = dispatcher::start(Clock::start(), Box::new(Nowhere), Vec::new(), stop);
            to_the_end(&events, &until, work);
            drop(events);
            let records = told.await.expect("the dispatcher ends").records;
            let failed = records.iter().filter(|each| matches!(each.event, Event::HarnessFailed { .. })).count();
            assert_eq!(failed, expected);
        };
        let told_to = CancellationToken::new();
        told_to.cancel();
        check(told_to.clone(), || {}, 0).await;
        check(told_to, || panic!("on purpose"), 1).await;
        check(CancellationToken::new(), || {}, 1).await;
    }

    #[test]
    fn the_chain_is_followed_to_its_end_and_through_circles() {
        let wait = |pid, blockers: &[i32]| Waiting {
            pid,
            target: "relation".into(),
            mode: "RowExclusive".into(),
            relation: None,
            waited: None,
            blockers: blockers.to_vec(),
        };
        let check = |pid, waiting: &[Waiting], expected: &[i32]| assert_eq!(chain(pid, waiting), expected);
        check(3, &[wait(3, &[2]), wait(2, &[1])], &[2, 1]);
        check(1, &[wait(1, &[2]), wait(2, &[1])], &[2]);
        check(9, &[wait(3, &[2])], &[]);
        check(4, &[wait(4, &[2, 3]), wait(3, &[1]), wait(2, &[1])], &[2, 3, 1]);
    }
}
