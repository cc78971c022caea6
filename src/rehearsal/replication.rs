//! Replication watched: how far each replica is behind what was committed, and whether it has caught up in the end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::observing::Observing;
use super::routes::Routes;
use crate::engine::endpoint::Endpoint;
use crate::engine::replication::{self, Heart, Position, Pulse, Shown, Standing, Subscribed};
use crate::engine::server::BoxError;
use crate::event::{Event, LagSample, with_causes};
use crate::topology::Node;

/// Between two beats, and two looks at a replica.
const BEAT: Duration = Duration::from_millis(100);
/// Between two events.
const TELL: Duration = Duration::from_millis(500);
/// After a connection was lost.
const RECONNECT: Duration = Duration::from_millis(250);
/// Between two looks at a replica that is waited for.
const POLL: Duration = Duration::from_millis(50);
/// Of one look.
const LOOK: Duration = Duration::from_secs(2);
/// A replica that receives nothing for so long will not go on. A server looks again for whom it has lost after five seconds.
const STANDSTILL: Duration = Duration::from_secs(15);
/// One that receives the log may be at a long record of it, or behind a reader of its own; for so long it is waited for.
const PATIENCE: Duration = Duration::from_secs(600);
/// Beats held for a replica that sees none of them: an hour of them.
const BEATS_MAX: usize = 36_000;

/// Watchers at work, on a thread of their own.
#[derive(Debug)]
pub(super) struct Replication {
    /// However it is let go of, the thread ends: it would hold on to the run's events.
    stop: DropGuard,
    thread: JoinHandle<()>,
}

impl Replication {
    /// # Errors
    /// When the system gives no thread or no timer.
    pub fn start(
        writer: &Node,
        replicas: &[&Node],
        routes: &Routes,
        observing: &Observing,
        cancel: &CancellationToken,
    ) -> std::io::Result<Replication> {
        let stop = cancel.child_token();
        let to = |node: &Node| subscribed(node, writer);
        let replicas = replicas.iter().map(|node| Replica::new(node.name(), node.endpoint(), to(node))).collect();
        let (beats, beaten) = (RefCell::default(), Cell::new(Instant::now()));
        let (name, routes) = (writer.name().to_owned(), routes.clone());
        let watch = Watch { writer: name, routes, observing: observing.clone(), beats, beaten, replicas };
        let (writer, until) = (writer.endpoint(), stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("replication".into()).spawn(move || {
            runtime.block_on(async {
                let cost = watch.observing.cost.thread();
                tokio::select! {
                    () = until.cancelled() => {}
                    _ = watch.beat(&writer) => {}
                    _ = join_all(watch.replicas.iter().map(|replica| watch.follow(replica))) => {}
                    _ = watch.tell(|| cost.update()) => {}
                }
                watch.tell_once();
                cost.update();
            });
        })?;
        Ok(Replication { stop: stop.drop_guard(), thread })
    }

    /// Ends it; what was seen last is told.
    pub async fn stop(self) {
        drop(self.stop);
        if !matches!(tokio::task::spawn_blocking(move || self.thread.join()).await, Ok(Ok(()))) {
            tracing::warn!("the thread that watches replication panicked");
        }
    }
}

struct Watch {
    /// By name.
    writer: String,
    routes: Routes,
    observing: Observing,
    /// Those that some replica has not shown yet, oldest first, and the newest.
    beats: RefCell<VecDeque<Beat>>,
    /// When the newest was committed.
    beaten: Cell<Instant>,
    replicas: Vec<Replica>,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    number: i64,
    committed: Instant,
    /// Where the log ended, in bytes, where replicas have the same.
    written: Option<u64>,
}

struct Replica {
    name: String,
    endpoint: Endpoint,
    /// How it subscribes to the writer, where it does.
    to: Option<Subscribed>,
    /// The newest beat that it showed.
    shown: Cell<i64>,
    /// Since it was told last: for how long it was behind, and behind which commit.
    worst: Cell<(Duration, Option<Instant>)>,
    behind_bytes: Cell<Option<u64>>,
    /// When it answered last.
    looked: Cell<Instant>,
}

impl Replica {
    fn new(name: &str, endpoint: Endpoint, to: Option<Subscribed>) -> Replica {
        let (shown, worst, behind_bytes) = Default::default();
        Replica { name: name.to_owned(), endpoint, to, shown, worst, behind_bytes, looked: Cell::new(Instant::now()) }
    }
}

impl Watch {
    /// Commits a beat every now and then, whatever becomes of the server.
    async fn beat(&self, writer: &Endpoint) -> std::convert::Infallible {
        // Those that proved the topology went before.
        let mut number = 1000;
        loop {
            match Heart::connect(&self.routes.at(&self.writer, writer)).await {
                Ok(heart) => {
                    let mut tick = ticks(BEAT);
                    loop {
                        tick.tick().await;
                        number += 1;
                        match heart.beat(number).await {
                            Ok(written) => self.committed(Beat { number, committed: Instant::now(), written }),
                            Err(error) => {
                                tracing::debug!(%error, "a beat was not committed");
                                break;
                            }
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "no connection for the heartbeat"),
            }
            sleep(RECONNECT).await;
        }
    }

    fn committed(&self, beat: Beat) {
        self.beaten.set(beat.committed);
        let mut beats = self.beats.borrow_mut();
        beats.push_back(beat);
        let seen_by_all = self.replicas.iter().map(|replica| replica.shown.get()).min().unwrap_or(i64::MAX);
        while beats.len() > 1 && (beats[0].number <= seen_by_all || beats.len() > BEATS_MAX) {
            beats.pop_front();
        }
    }

    /// Looks every now and then what a replica shows.
    async fn follow(&self, replica: &Replica) -> std::convert::Infallible {
        loop {
            let endpoint = self.routes.at(&replica.name, &replica.endpoint);
            let to = replica.to.clone().map(|to| {
                let publisher = self.routes.at(&self.writer, &to.publisher);
                Subscribed { publisher, ..to }
            });
            match Pulse::connect(&endpoint, to.as_ref()).await {
                Ok(pulse) => {
                    let mut tick = ticks(BEAT);
                    loop {
                        tick.tick().await;
                        let asked = Instant::now();
                        match timeout(LOOK, pulse.read()).await {
                            Ok(Ok(shown)) => self.saw(replica, asked, Some(shown)),
                            Ok(Err(error)) => {
                                tracing::debug!(%error, replica = replica.name, "a replica could not be asked");
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, replica = replica.name, "no connection to a replica"),
            }
            self.saw(replica, Instant::now(), None);
            sleep(RECONNECT).await;
        }
    }

    /// What a replica showed when it was asked; none = it did not answer.
    fn saw(&self, replica: &Replica, asked: Instant, shown: Option<Shown>) {
        let beats = self.beats.borrow();
        if let Some(shown) = shown {
            let is_there = |beat: &&Beat| beat.written.is_some_and(|written| Some(written) <= shown.replayed);
            let by_position = || beats.iter().rev().find(is_there).map(|beat| beat.number);
            let number = shown.number.or_else(by_position).unwrap_or_default();
            replica.shown.set(number.max(replica.shown.get()));
            replica.looked.set(Instant::now());
        }
        let unseen = beats.iter().find(|beat| beat.number > replica.shown.get() && beat.committed <= asked);
        let behind = unseen.map_or(Duration::ZERO, |beat| asked - beat.committed);
        if behind > replica.worst.get().0 {
            replica.worst.set((behind, unseen.map(|beat| beat.committed)));
        }
        let written = beats.iter().rev().find(|beat| beat.committed <= asked).and_then(|beat| beat.written);
        let bytes = shown.and_then(|shown| Some(written?.saturating_sub(shown.replayed?)));
        replica.behind_bytes.set(bytes);
    }

    async fn tell(&self, told: impl Fn()) -> std::convert::Infallible {
        let mut tick = ticks(TELL);
        loop {
            tick.tick().await;
            self.tell_once();
            told();
        }
    }

    fn tell_once(&self) {
        let events = &self.observing.events;
        let samples = self.replicas.iter().map(|replica| {
            let (worst, since) = replica.worst.take();
            let unmeasured = self.beaten.get().elapsed().max(replica.looked.get().elapsed());
            LagSample {
                node: replica.name.clone(),
                max_ms: worst.as_secs_f64() * 1e3,
                since_ms: since.map(|since| events.clock.at_ms(since)),
                unmeasured_ms: unmeasured.as_secs_f64() * 1e3,
                behind_bytes: replica.behind_bytes.get(),
            }
        });
        self.observing.events.send(Event::Lag { samples: samples.collect() });
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// Why a replica has not caught up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    /// "it replays nothing any more: it is paused".
    pub what: String,
    /// None where it could not be asked.
    pub bytes: Option<u64>,
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It will not go on by itself.
    ForGood,
    /// The time was up.
    Late,
    /// The writer could not be asked.
    Unknown,
}

impl Behind {
    /// With how much is missing, where that is known.
    pub fn words(&self) -> String {
        match self.bytes {
            Some(bytes) => format!("{}, and {bytes} bytes of log are missing there", self.what),
            None => self.what.clone(),
        }
    }
}

/// Waits until the replica has replayed what the writer had written when this began; as long as it may yet, where no deadline is given.
///
/// # Errors
/// The deadline passed, it came to a standstill or its server ended; or the writer could not be asked.
pub(super) async fn caught_up(writer: &Node, replica: &Node, deadline: Option<Duration>) -> Result<(), Behind> {
    let written = written_by(writer, deadline.unwrap_or(STANDSTILL)).await?;
    let began = Instant::now();
    // When it last went on, or at least received something to go on with.
    let (mut progress, mut alive) = (0, began);
    let mut pulse = None;
    loop {
        if !replica.is_up().await {
            let what = "its server is not up".to_owned();
            return Err(Behind { what, bytes: None, why: Why::ForGood });
        }
        let (what, bytes, halted) = match timeout(LOOK, standing(&mut pulse, writer, replica, &written)).await {
            Ok(Ok(standing)) if standing.has_it => return Ok(()),
            Ok(Ok(standing)) => {
                if standing.receiving || standing.progress > progress {
                    (progress, alive) = (standing.progress, Instant::now());
                }
                (standing.words, standing.missing_bytes, standing.halted)
            }
            Ok(Err(error)) => {
                pulse = None;
                (with_causes(error.as_ref()), None, false)
            }
            Err(_) => {
                pulse = None;
                (format!("it does not answer within {LOOK:?}"), None, false)
            }
        };
        let standstill = halted || (deadline.is_none() && alive.elapsed() > STANDSTILL);
        if standstill {
            return Err(Behind { what, bytes, why: Why::ForGood });
        }
        if began.elapsed() > deadline.unwrap_or(PATIENCE) {
            return Err(Behind { what, bytes, why: Why::Late });
        }
        sleep(POLL).await;
    }
}

/// Where the writer's log ends; asked again until it answers, for so long.
async fn written_by(writer: &Node, patience: Duration) -> Result<Position, Behind> {
    let began = Instant::now();
    loop {
        let error = match timeout(LOOK, replication::written_by(&writer.endpoint())).await {
            Ok(Ok(written)) => return Ok(written),
            Ok(Err(error)) => with_causes(error.as_ref()),
            Err(_) => format!("no answer within {LOOK:?}"),
        };
        if began.elapsed() > patience {
            let what = format!("where {}'s log ends could not be asked: {error}", writer.name());
            return Err(Behind { what, bytes: None, why: Why::Unknown });
        }
        sleep(POLL).await;
    }
}

/// One connection serves until it fails.
async fn standing(
    pulse: &mut Option<Pulse>,
    writer: &Node,
    replica: &Node,
    to: &Position,
) -> Result<Standing, BoxError> {
    let open = match pulse.take() {
        Some(open) => open,
        None => Pulse::connect(&replica.endpoint(), subscribed(replica, writer).as_ref()).await?,
    };
    pulse.insert(open).standing(to).await
}

/// How a node subscribes to another, where it is its peer or a subscriber.
fn subscribed(node: &Node, writer: &Node) -> Option<Subscribed> {
    if node.peer() == Some(writer.name()) {
        return Some(Subscribed::of_pair(writer.endpoint()));
    }
    node.feed().map(|feed| Subscribed::of_feed(writer.endpoint(), &feed))
}
