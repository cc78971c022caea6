//! Deriving the probes of a database: read the tables, take a sample of each, and try what could be sent until something is taken.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::recipes::{self, Rows};
use super::script::{Insert, Operate, Script, Stage, Values};
use super::session::{Class, Failure, FailureKind, Session};
use super::sql::Sql;
use super::table::{Catalog, Table};
use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::{mysql, postgres};
use crate::event::{NotProbed, Operation};

/// Sessions that try things out at the same time.
const TRIERS: usize = 3;

/// Rows tried of one way to write, and how many of them must be refused before it is left for the next way.
const ROWS_TRIED: usize = 12;
const ROWS_REFUSED: usize = 3;

/// A sequence with fewer values left is not drawn from: trying alone would use up a good part.
const SCARCE: u64 = 2000;

/// Why nothing is inserted that takes a number of those.
pub const HARDLY_ANY_LEFT: &str = "hardly any numbers are left that its key is given, and each try uses some up";

/// Operations timed once a way has been found.
const TIMED: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    #[error("the tables could not be read")]
    Catalog(#[source] BoxError),
    #[error("no session as {user}: {what}")]
    NoSession { user: String, what: String },
    #[error("interrupted")]
    Cancelled,
}

/// What to derive probes from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub superuser: &'a Endpoint,
    /// The application's login, never a superuser.
    pub app: &'a Endpoint,
    /// A single statement's.
    pub timeout: Duration,
    /// Identifiers in the plan's text; none = it may touch any table.
    pub touched: Option<&'a BTreeSet<String>>,
}

/// A table by both its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// "orders" in schema public, else "billing.orders".
    pub name: String,
    /// With its schema, quoted where it must be.
    pub quoted: String,
}

#[derive(Debug)]
pub struct Derived {
    /// Of touched tables first.
    pub probes: Vec<TableProbe>,
    pub not_probed: Vec<NotProbed>,
    /// Tables that the plan touches and whose rows are all on this server.
    pub touched: Vec<TableName>,
    /// Connections that the server, the database and the role leave to the application's role.
    pub connections: usize,
}

#[derive(Debug)]
pub struct TableProbe {
    pub table: String,
    pub operation: Operation,
    pub touched: bool,
    pub script: Script,
    /// Of one operation in the trial, by the server's clock.
    pub median: Duration,
}

/// Derives the probes of every user table: ordinary ones and the roots of partitioned ones.
///
/// Tries each once against the server, so nothing else should be writing there. Tries are rolled back.
///
/// # Errors
/// When the catalogs cannot be read or the application's role cannot log in.
pub async fn derive(request: &Request<'_>, cancel: &CancellationToken) -> Result<Derived, DeriveError> {
    let mut sessions = vec![open(request.app, request.timeout).await?];
    let Catalog { tables, role, connections } = catalog(request, &mut sessions[0]).await?;

    let named: Option<BTreeSet<String>> =
        request.touched.map(|names| names.iter().map(|name| name.to_lowercase()).collect());
    let touched = |table: &Table| named.as_ref().is_none_or(|names| !table.known_as.is_disjoint(names));
    let mut left: Vec<(bool, Arc<Table>)> =
        tables.into_iter().map(|table| (touched(&table), Arc::new(table))).collect();
    left.sort_by_key(|(touched, _)| !touched);
    let touched = left
        .iter()
        .filter(|(touched, table)| *touched && table.elsewhere.is_none())
        .map(|(_, table)| TableName { name: table.name.clone(), quoted: table.quoted.clone() })
        .collect();

    for _ in 1..TRIERS.min(left.len()) {
        sessions.push(open(request.app, request.timeout).await?);
    }
    let queue = Mutex::new(left.into_iter().enumerate().collect::<VecDeque<_>>());
    let workers = sessions.into_iter().map(|session| {
        let trier = Trier { request, session, role: &role };
        work(trier, &queue, cancel)
    });
    let mut tried: Vec<(usize, Tried)> = Vec::new();
    for done in futures::future::join_all(workers).await {
        tried.extend(done?);
    }
    tried.sort_by_key(|(nth, _)| *nth);
    let mut derived = Derived { probes: Vec::new(), not_probed: Vec::new(), touched, connections };
    for (_, tried) in tried {
        derived.probes.extend(tried.probes);
        derived.not_probed.extend(tried.not_probed);
    }
    Ok(derived)
}

type Queue = Mutex<VecDeque<(usize, (bool, Arc<Table>))>>;

async fn work(
    mut trier: Trier<'_>,
    queue: &Queue,
    cancel: &CancellationToken,
) -> Result<Vec<(usize, Tried)>, DeriveError> {
    let mut superuser = open(trier.request.superuser, trier.request.timeout).await?;
    if let Session::Postgres(session) = &mut superuser {
        let plain = session.send(postgres::probing::PLAIN_TEXTS).await;
        plain.map_err(|failure| no_session(trier.request.superuser, &failure))?;
    }
    let mut done = Vec::new();
    loop {
        if cancel.is_cancelled() {
            return Err(DeriveError::Cancelled);
        }
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((nth, (touched, table))) = next else { break };
        done.push((nth, trier.table(&table, touched, &mut superuser).await?));
    }
    superuser.close().await;
    trier.session.close().await;
    Ok(done)
}

/// What the catalogs say; the application's session, where only that says what it may do.
pub(super) async fn catalog(request: &Request<'_>, app: &mut Session) -> Result<Catalog, DeriveError> {
    let catalog = match app {
        Session::Postgres(app) => {
            let role = app.role().await.map_err(|failure| no_session(request.app, &failure))?;
            postgres::probing::read(request.superuser, request.app, role, request.timeout).await
        }
        Session::Mysql(app) => mysql::probing::read(request.superuser, app).await,
    };
    catalog.map_err(DeriveError::Catalog)
}

/// A way that the server takes, with its median; or why there is none.
type Found = Result<(Script, Duration), String>;

struct Tried {
    probes: Vec<TableProbe>,
    not_probed: Vec<NotProbed>,
}

/// Tries operations in a session of the application's.
struct Trier<'a> {
    request: &'a Request<'a>,
    session: Session,
    role: &'a str,
}

impl Trier<'_> {
    async fn table(
        &mut self,
        table: &Arc<Table>,
        touched: bool,
        superuser: &mut Session,
    ) -> Result<Tried, DeriveError> {
        let mut outcome: Vec<(Operation, Found)> = Vec::new();
        if let Some(reason) = table.elsewhere.clone() {
            let none = NotProbed { table: table.name.clone(), operation: None, reason };
            return Ok(Tried { probes: Vec::new(), not_probed: vec![none] });
        }
        let rows = self.rows(table, superuser).await?;
        let (rows, no_rows) = match rows {
            Ok(rows) => (rows, None),
            Err(reason) => (Rows { values: Arc::default(), exist: false }, Some(reason)),
        };
        let read = self.first_taken(table, vec![recipes::read(table, &rows)], String::new()).await?;
        outcome.push((Operation::Read, read));
        if let Some(reason) = table.kept.clone().or_else(|| no_rows.clone()) {
            outcome.extend(WRITES.map(|operation| (operation, Err(reason.clone()))));
            return Ok(tried(table, touched, outcome));
        }
        let no_insert = "no way to make such a row was found".to_owned();
        let insert = self.first_taken(table, recipes::inserts(table, &rows), no_insert).await?;
        let taken = insert.as_ref().ok().and_then(|(script, _)| as_insert(script));
        // Without rows, what is to be changed must be inserted first.
        let no_change = match &insert {
            Err(reason) if !rows.exist => reason.clone(),
            _ => format!("not allowed to {} before the plan", self.role),
        };
        outcome.push((Operation::Insert, insert));
        for (operation, recipes) in [
            (Operation::Update, recipes::updates(table, &rows, taken.as_ref())),
            (Operation::Delete, recipes::deletes(table, &rows, taken.as_ref())),
        ] {
            let result = if table.key.is_none() {
                Err("no primary key, nor a unique index over NOT NULL columns".to_owned())
            } else {
                self.first_taken(table, recipes, no_change.clone()).await?
            };
            outcome.push((operation, result));
        }
        Ok(tried(table, touched, outcome))
    }

    /// A sample of the table's rows, as the application sees them if it does; made-up ones where it has none.
    async fn rows(&mut self, table: &Table, superuser: &mut Session) -> Result<Result<Rows, String>, DeriveError> {
        let mut values = Vec::new();
        if table.columns.iter().all(|column| column.may_select) {
            values = match self.session.sample(table).await {
                Ok(rows) => rows,
                Err(failure) => self.after(&failure).await.map(|()| Vec::new())?,
            };
        }
        if values.is_empty() {
            values = superuser.sample(table).await.unwrap_or_default();
        }
        if !values.is_empty() {
            return Ok(Ok(Rows { values: Arc::new(values), exist: true }));
        }
        let mut parents = Vec::new();
        for reference in &table.references {
            let mut sql = Sql::to_send(table.engine);
            sql.push("SELECT ").list(reference.to_columns.iter().map(String::as_str));
            sql.push(" FROM ").push(&reference.to_quoted).push(" LIMIT 16");
            parents.push(superuser.send(&sql.finish()).await.unwrap_or_default());
        }
        let made: Result<Vec<Values>, String> = recipes::made_up(table, &parents, &mut rand::rng());
        Ok(made.map(|values| Rows { values: Arc::new(values), exist: false }))
    }

    /// The first of these operations that the server takes, with the rows that it takes it for, timed; or why it takes none. `none` is
    /// why there are no operations, where there are none.
    async fn first_taken(
        &mut self,
        table: &Arc<Table>,
        operates: Vec<Operate>,
        none: String,
    ) -> Result<Found, DeriveError> {
        let mut reason = none;
        let mut first = true;
        for operate in operates {
            let mut script = Script::new(table, operate);
            if script.burns().is_some_and(|burns| burns.left < SCARCE) {
                if std::mem::take(&mut first) {
                    reason = HARDLY_ANY_LEFT.to_owned();
                }
                continue;
            }
            match self.taken(&mut script).await? {
                Ok(()) => match self.timed(&mut script).await? {
                    Ok(median) => return Ok(Ok((script, median))),
                    Err(failure) => reason = self.reason(&failure),
                },
                // The most application-like way tells most.
                Err(failure) if std::mem::take(&mut first) => reason = self.reason(&failure),
                Err(failure) if failure.kind == FailureKind::GaveUp => return Ok(Err(self.reason(&failure))),
                Err(_) => {}
            }
        }
        Ok(Err(reason))
    }

    /// Tries the script's rows and leaves it those that are taken.
    async fn taken(&mut self, script: &mut Script) -> Result<Result<(), Failure>, DeriveError> {
        if script.rows.is_empty() {
            let once = script.once(&mut self.session, 0, None, false).await.map(drop);
            return self.settled(once).await;
        }
        let (mut good, mut last) = (Vec::new(), None);
        let step = script.rows.len().div_ceil(ROWS_TRIED);
        for (tried, row) in script.rows.clone().into_iter().step_by(step).enumerate() {
            if good.is_empty() && tried >= ROWS_REFUSED && all_alike(&last) {
                break;
            }
            let mut once = script.once(&mut self.session, row, None, false).await.map(drop);
            if once.as_ref().is_err_and(|failure| script.may_collide(failure, row)) {
                once = script.once(&mut self.session, row, None, false).await.map(drop);
            }
            match self.settled(once).await? {
                Ok(()) => good.push(row),
                Err(failure) if failure.kind != FailureKind::Refused => return Ok(Err(failure)),
                Err(failure) => last = Some(failure),
            }
        }
        script.taken.extend(&good);
        match (good.is_empty(), last) {
            (true, Some(failure)) => Ok(Err(failure)),
            // Where none was refused, those that were not tried are as good.
            (false, None) => Ok(Ok(())),
            _ => {
                script.rows = good;
                Ok(Ok(()))
            }
        }
    }

    async fn timed(&mut self, script: &mut Script) -> Result<Result<Duration, Failure>, DeriveError> {
        let mut times = Vec::with_capacity(TIMED);
        for _ in 0..TIMED {
            match script.run(&mut self.session, Stage::Alone).await {
                Ok(took) => times.push(took.unwrap_or_default()),
                Err(failure) => {
                    self.after(&failure).await?;
                    return Ok(Err(failure));
                }
            }
        }
        times.sort();
        Ok(Ok(times[TIMED / 2]))
    }

    async fn settled(&mut self, once: Result<(), Failure>) -> Result<Result<(), Failure>, DeriveError> {
        if let Err(failure) = &once {
            self.after(failure).await?;
        }
        Ok(once)
    }

    /// A new session where the failure cost the old one.
    async fn after(&mut self, failure: &Failure) -> Result<(), DeriveError> {
        if failure.kind == FailureKind::Lost {
            self.session = open(self.request.app, self.request.timeout).await?;
        }
        Ok(())
    }

    fn reason(&self, failure: &Failure) -> String {
        match (failure.kind, failure.class) {
            (FailureKind::GaveUp, _) => {
                format!("it took longer than {} ms before the plan", self.request.timeout.as_millis())
            }
            (_, Class::Privilege) => format!("not allowed to {} before the plan: {}", self.role, failure.error.message),
            _ => format!("refused before the plan: {}", failure.error.message),
        }
    }
}

const WRITES: [Operation; 3] = [Operation::Insert, Operation::Update, Operation::Delete];

/// Errors about the statement and not about what a row holds: the next row would fare no better.
fn all_alike(last: &Option<Failure>) -> bool {
    last.as_ref().is_some_and(|failure| failure.class.is_of_every_row())
}

fn as_insert(script: &Script) -> Option<Insert> {
    match &script.operate {
        Operate::Insert(insert) => {
            // Only the rows that were taken.
            let rows = script.rows.iter().map(|&row| insert.rows[row].clone()).collect();
            Some(Insert { rows: Arc::new(rows), ..insert.clone() })
        }
        _ => None,
    }
}

fn tried(table: &Table, touched: bool, outcome: Vec<(Operation, Found)>) -> Tried {
    let (mut probes, mut not_probed) = (Vec::new(), Vec::new());
    for (operation, result) in outcome {
        match result {
            Ok((script, median)) => {
                probes.push(TableProbe { table: table.name.clone(), operation, touched, script, median });
            }
            Err(reason) => not_probed.push(NotProbed { table: table.name.clone(), operation: Some(operation), reason }),
        }
    }
    if probes.is_empty() && not_probed.iter().all(|each| each.reason == not_probed[0].reason) {
        not_probed.truncate(1);
        not_probed.iter_mut().for_each(|each| each.operation = None);
    }
    Tried { probes, not_probed }
}

pub(super) async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Session, DeriveError> {
    Session::open(endpoint, timeout).await.map_err(|failure| no_session(endpoint, &failure))
}

fn no_session(endpoint: &Endpoint, failure: &Failure) -> DeriveError {
    DeriveError::NoSession { user: endpoint.user.clone(), what: failure.error.message.clone() }
}
