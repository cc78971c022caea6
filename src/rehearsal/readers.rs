//! Readers: a transaction kept open on each table that the plan touches, as reports and sessions left idle keep them in production. DDL
//! queues behind them there, so it queues here.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::observing::Observing;
use super::owners::Owners;
use super::routes::{Lane, READER};
use crate::engine::probing::TableName;
use crate::engine::reader::ReaderSession;
use crate::event::{Event, Owner};
use crate::scenario::Address;

/// Between two transactions, at least: statements that retry must be able to get in between.
const REST: Duration = Duration::from_millis(1500);

/// A reader that gets no lock for so long leaves it for now.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// After which a reader that does not answer is not waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// One reader a table.
#[derive(Debug)]
pub struct Readers {
    tables: Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Readers {
    /// Opens a reader on each of these tables where the writer is, as the application's role; each holds its transaction for `hold`, rests,
    /// and opens it again.
    pub async fn open(
        lane: &Lane,
        tables: &[TableName],
        hold: Duration,
        observing: &Observing,
        cancel: &CancellationToken,
    ) -> Readers {
        let stop = cancel.child_token();
        let mut readers = Readers { tables: Vec::new(), tasks: JoinSet::new(), stop: stop.clone() };
        for table in tables {
            let (to, asked) = mpsc::unbounded_channel();
            let reader =
                Reader { lane: lane.clone(), table: table.clone(), hold, observing: observing.clone(), session: None };
            let stop = stop.clone();
            readers.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = reader.run(asked) => {}
                }
            });
            readers.tables.push(to);
        }
        readers.freshen().await;
        readers
    }

    /// Opens every transaction anew, so that what comes next meets each with all of its time left. Returns when all are open, or have
    /// found that theirs cannot be.
    pub async fn freshen(&self) {
        let answers: Vec<oneshot::Receiver<()>> = self
            .tables
            .iter()
            .filter_map(|table| {
                let (done, answer) = oneshot::channel();
                table.send(done).is_ok().then_some(answer)
            })
            .collect();
        if timeout(DEADLINE, futures::future::join_all(answers)).await.is_err() {
            tracing::warn!("not all readers could be opened in time");
        }
    }

    /// Ends all transactions.
    pub async fn close(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Reader {
    lane: Lane,
    table: TableName,
    hold: Duration,
    observing: Observing,
    session: Option<Held>,
}

/// A session, and where it is.
struct Held {
    session: ReaderSession,
    node: String,
    owners: Owners,
}

impl Reader {
    /// Until nobody can ask any more.
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
        let mut warned = false;
        let mut changes = self.lane.changes();
        // The first transaction is asked for.
        let mut next = None;
        loop {
            let done = tokio::select! {
                done = asked.recv() => match done {
                    Some(done) => Some(done),
                    None => return,
                },
                () = at(next) => None,
                // Who sits in a transaction stays to its end, as a report would.
                Ok(()) = changes.changed() => {
                    if !self.is_reading() {
                        self.leave_node();
                    }
                    continue;
                }
            };
            let holding = self.is_reading();
            if holding {
                self.end().await;
                self.leave_node();
            }
            if holding && done.is_none() {
                next = Some(Instant::now() + REST.max(self.hold / 2));
                continue;
            }
            let opened = self.begin().await;
            if let Err(what) = &opened
                && !warned
            {
                warned = true;
                let what = format!("no reader could be kept open on {}: {what}", self.table.name);
                self.observing.events.send(Event::Warned { what });
            }
            next = Some(Instant::now() + if opened.is_ok() { self.hold } else { REST });
            if let Some(done) = done {
                let _ = done.send(());
            }
        }
    }

    async fn begin(&mut self) -> Result<(), String> {
        let table = self.table.quoted.clone();
        let held = self.seated().await?;
        held.session.read(&table).await.map_err(|error| error.message)?;
        let for_ms = self.hold.as_secs_f64() * 1e3;
        self.observing.events.send(Event::ReaderOpened { table: self.table.name.clone(), for_ms });
        Ok(())
    }

    /// The session that it has, or a new one. Where users are sent elsewhere meanwhile it is opened anew: nobody begins on a node that was
    /// taken out.
    async fn seated(&mut self) -> Result<&mut Held, String> {
        loop {
            // It may not have heard of that yet.
            self.leave_node();
            if self.session.as_ref().is_some_and(|held| !held.session.is_closed()) {
                break;
            }
            self.forget();
            let target = self.lane.target(&Address::Writer, 0).ok_or("nobody is let in where the writer is")?;
            let login = target.login.named(READER);
            let session = ReaderSession::open(&login, LOCK_TIMEOUT).await.map_err(|error| error.message)?;
            target.owners.set(session.id(), Owner::Reader { table: self.table.name.clone() });
            self.session = Some(Held { session, node: target.node, owners: target.owners });
        }
        Ok(self.session.as_mut().expect("the loop ends with one"))
    }

    async fn end(&mut self) {
        let ended = match &mut self.session {
            Some(held) => held.session.end().await.is_ok(),
            None => true,
        };
        if !ended {
            self.forget();
        }
    }

    fn is_reading(&self) -> bool {
        self.session.as_ref().is_some_and(|held| held.session.is_reading())
    }

    /// Where the writer is no longer.
    fn leave_node(&mut self) {
        if self.session.as_ref().is_some_and(|held| !self.lane.leads_to(&Address::Writer, &held.node)) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some(held) = self.session.take() {
            held.owners.remove(held.session.id());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Then, or never.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}
