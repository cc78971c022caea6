//! One iteration after the other: a row of each table drawn, its values put in, the statements sent in order, and committed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::part::Part;
use super::template::{Piece, Reference, Statement, Template};
use crate::engine::endpoint::Endpoint;
use crate::engine::probing::{self, Class, DeriveError, Failure, FailureKind, Request, Session, Table, Values};
use crate::engine::{EngineKind, mysql, postgres};
use crate::event::{Place, with_causes};

/// How often an iteration is tried that was undone for others' sake.
const TRIES: usize = 3;

/// A savepoint of this name is there as long as the transaction in which it was set.
const MARK: &str = "rehearsal_look";

/// invalid_transaction_termination: what commits by itself was sent in a transaction.
const TERMINATES: &str = "2D000";

/// ER_CANT_CHANGE_TX_CHARACTERISTICS: so was what is for the next one.
const TOO_LATE: &str = "1568";

/// invalid_savepoint_specification, no_active_sql_transaction, ER_SP_DOES_NOT_EXIST
const UNMARKED: [&str; 3] = ["3B001", "25P01", "1305"];

#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    #[error("{}:{}: there is no table {table}", place.file, place.line)]
    NoTable { place: Place, table: String },
    #[error("{}:{}: table {table} has no column {column}", place.file, place.line)]
    NoColumn { place: Place, table: String, column: String },
    #[error("{}:{}: table {table} is empty: no row can be drawn from it", place.file, place.line)]
    Empty { place: Place, table: String },
    #[error("{}:{}: the rows of {table} could not be read: {what}", place.file, place.line)]
    Unreadable { place: Place, table: String, what: String },
    #[error(transparent)]
    Derive(#[from] DeriveError),
}

impl WorkloadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            WorkloadError::NoTable { .. } => {
                Some("a table outside of the usual schema has that before its name: ${billing.orders.id}")
            }
            WorkloadError::NoColumn { .. } => Some("references are to the tables as they are before the plan"),
            WorkloadError::Empty { .. } => Some("give the snapshot rows, or insert some in [[setup]]"),
            WorkloadError::Unreadable { .. } | WorkloadError::Derive(_) => None,
        }
    }
}

/// Why an iteration went no further.
#[derive(Debug)]
pub struct Stopped {
    /// The statement, from 0, and where it stands.
    pub statement: usize,
    pub place: Place,
    pub failure: Box<Failure>,
}

/// What the first iteration wrote to.
#[derive(Debug)]
pub struct Looked {
    /// Tables on which the server saw it hold locks of writers.
    pub tables: BTreeSet<String>,
    /// Why there may be others, where that is so.
    pub unseen: Option<String>,
    pub result: Result<(), Stopped>,
}

/// A workload that is ready to be run over and over.
#[derive(Debug)]
pub struct Workload {
    template: Template,
    /// Of each reference: the table it is to, by position, and its value in each of the table's rows as it stands in SQL.
    values: Vec<(usize, Vec<String>)>,
    /// How many rows each table has.
    rows: Vec<usize>,
    rng: SmallRng,
    /// Connections that the server has left for the application.
    pub connections: usize,
}

impl Workload {
    /// Draws the sample. Tables are looked for as they are now.
    ///
    /// # Errors
    /// A table or column is not there, a table is empty, or the server could not be asked.
    pub async fn prepare(template: Template, request: &Request<'_>) -> Result<Workload, WorkloadError> {
        let (catalog, mut sessions) = probing::sampling(request).await?;
        let mut tables: Vec<(String, Vec<Values>)> = Vec::new();
        let mut values = Vec::new();
        for reference in &template.references {
            let table = found(&catalog.tables, &reference.table).ok_or_else(|| WorkloadError::NoTable {
                place: reference.place.clone(),
                table: reference.table.clone(),
            })?;
            let column = column(table, reference)?;
            let at = match tables.iter().position(|(name, _)| *name == table.name) {
                Some(at) => at,
                None => {
                    let sampled = sessions.sample(table).await.map_err(|failure| WorkloadError::Unreadable {
                        place: reference.place.clone(),
                        table: table.name.clone(),
                        what: failure.error.message,
                    })?;
                    tables.push((table.name.clone(), sampled));
                    tables.len() - 1
                }
            };
            let rows = &tables[at].1;
            if rows.is_empty() {
                return Err(WorkloadError::Empty { place: reference.place.clone(), table: table.name.clone() });
            }
            values.push((
                at,
                rows.iter().map(|row| table.columns[column].standing(table.engine, row[column].as_deref())).collect(),
            ));
        }
        sessions.close().await;
        let rows = tables.iter().map(|(_, rows)| rows.len()).collect();
        Ok(Workload { template, values, rows, rng: rand::make_rng(), connections: catalog.connections })
    }

    /// The statements of one iteration, with the values of rows drawn now.
    fn draw(&mut self) -> Vec<String> {
        let drawn: Vec<usize> = self.rows.iter().map(|count| self.rng.random_range(0..*count)).collect();
        let statements = self.template.statements.iter();
        statements.map(|statement| statement.pieces.iter().map(|piece| self.written(piece, &drawn)).collect()).collect()
    }

    fn written(&self, piece: &Piece, drawn: &[usize]) -> String {
        match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value(reference) => {
                let (table, values) = &self.values[*reference];
                // Apart from what stands beside it: two texts side by side would be one.
                format!(" {} ", values[drawn[*table]])
            }
        }
    }

    /// The statements of one iteration, to be sent by [`Iteration::run`]; drawn beforehand, so that several may be under way.
    pub fn iteration(&mut self) -> Iteration {
        let drawn = self.draw().into_iter().zip(&self.template.statements);
        let sent = |(sql, statement): (String, &Statement)| {
            let Statement { place, part, open, .. } = statement;
            Sent { sql, place: place.clone(), part: *part, open: *open }
        };
        let (engine, ending) = (self.template.engine, self.template.state.ending());
        Iteration { engine, statements: drawn.map(sent).collect(), ending, at: Cell::new(0) }
    }
}

/// One iteration's statements, values put in.
#[derive(Debug)]
pub struct Iteration {
    engine: EngineKind,
    statements: Vec<Sent>,
    /// Sent behind them.
    ending: Option<&'static str>,
    /// The statement that is under way.
    at: Cell<usize>,
}

#[derive(Debug)]
struct Sent {
    sql: String,
    place: Place,
    part: Part,
    /// Whether a transaction is open once it is done.
    open: bool,
}

impl Iteration {
    /// Sends it. What was undone for others' sake is sent again, as an application does, and nothing that was committed.
    ///
    /// # Errors
    /// The statement that failed. Nothing is left open.
    pub async fn run(&self, session: &mut Session) -> Result<(), Stopped> {
        self.tried(session, None).await
    }

    /// As [`Iteration::run`], each statement in a transaction, at whose end is looked what it has locked to write to.
    pub async fn looked_at(&self, session: &mut Session, superuser: &Endpoint) -> Looked {
        let mut written = Written::new(superuser, self.engine);
        let result = self.tried(session, Some(&mut written)).await;
        Looked { tables: written.tables, unseen: written.unseen, result }
    }

    async fn tried(&self, session: &mut Session, mut look: Option<&mut Written<'_>>) -> Result<(), Stopped> {
        let (mut from, mut left) = (0, TRIES);
        loop {
            left -= 1;
            match self.once(session, &mut from, look.as_deref_mut()).await {
                Err(stopped) if left > 0 && is_for_others(&stopped.failure) => {}
                Err(mut stopped) => {
                    let set = self.statements.iter().any(|sent| matches!(sent.part, Part::Autocommit(_)));
                    // The next iteration is to begin as this one did.
                    if set
                        && stopped.failure.kind != FailureKind::Lost
                        && session.send("SET autocommit = 1").await.is_err()
                    {
                        stopped.failure.kind = FailureKind::Lost;
                    }
                    return Err(stopped);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// `from` is the first statement whose work would be undone with the transaction.
    async fn once(
        &self,
        session: &mut Session,
        from: &mut usize,
        mut look: Option<&mut Written<'_>>,
    ) -> Result<(), Stopped> {
        let before = from.checked_sub(1).map(|before| &self.statements[before]);
        let mut open = before.is_some_and(|before| before.open);
        if before.is_some_and(|before| before.part == Part::Chains) {
            session.send("START TRANSACTION").await.map_err(|failure| self.stopped(failure))?;
        }
        for (nth, sent) in self.statements.iter().enumerate().skip(*from) {
            self.at.set(nth);
            match (&mut look, sent.part) {
                (Some(look), Part::Within | Part::Routine) => self.seen(session, sent, open, look).await,
                _ => session.send(&sent.sql).await.map(|_| ()),
            }
            .map_err(|failure| self.stopped(failure))?;
            match sent.part {
                Part::Ends | Part::Chains => *from = nth + 1,
                // Only a warning on Postgres, a commit elsewhere.
                Part::Begins if open && self.engine != EngineKind::Postgres => *from = nth,
                // What is set may be for the next transaction alone.
                Part::Begins | Part::Apart => {}
                _ if !sent.open => *from = nth + 1,
                _ => {}
            }
            open = sent.open;
        }
        if let Some(ending) = self.ending {
            session.send(ending).await.map_err(|failure| self.stopped(failure))?;
        }
        Ok(())
    }

    /// Sends a statement, in a transaction of its own where none is open, and looks before its end.
    async fn seen(
        &self,
        session: &mut Session,
        sent: &Sent,
        open: bool,
        look: &mut Written<'_>,
    ) -> Result<(), Failure> {
        let by_itself = || format!("{}:{} commits by itself", sent.place.file, sent.place.line);
        if !open {
            session.send("START TRANSACTION").await?;
        }
        // It lasts as long as the transaction does.
        if self.engine != EngineKind::Postgres {
            session.send(&format!("SAVEPOINT {MARK}")).await?;
        }
        match session.send(&sent.sql).await {
            Err(failure) if sent.part == Part::Routine && !open && failure.error.code == TERMINATES => {
                look.unseen.get_or_insert_with(by_itself);
                return session.send(&sent.sql).await.map(|_| ());
            }
            done => done?,
        };
        if let Err(error) = look.by(session.pid(), &sent.sql).await {
            look.unseen.get_or_insert_with(|| format!("the server could not be asked: {error}"));
        }
        if self.engine != EngineKind::Postgres && !is_marked(session).await? {
            look.unseen.get_or_insert_with(by_itself);
            return Ok(());
        }
        if !open {
            session.send("COMMIT").await?;
        }
        Ok(())
    }

    /// There was no session for it.
    pub fn not_begun(&self, failure: Failure) -> Stopped {
        self.stopped(failure)
    }

    /// The run ends, and the statement under way has had no answer for that long.
    pub fn given_up(&self, waited: Duration) -> Stopped {
        let message = format!("no answer within {} ms, when the run ended", waited.as_millis());
        let error = postgres::error::connection_failure(message);
        self.stopped(Failure { error, kind: FailureKind::GaveUp, class: Class::Other })
    }

    fn stopped(&self, failure: Failure) -> Stopped {
        let statement = self.at.get();
        Stopped { statement, place: self.statements[statement].place.clone(), failure: Box::new(failure) }
    }
}

/// A deadlock, or a serialisation failure: done again, it is done.
fn is_for_others(failure: &Failure) -> bool {
    let by_code = ["40001", "40P01"].contains(&failure.error.code.as_str());
    failure.kind == FailureKind::Refused && (failure.class == Class::Deadlock || by_code)
}

/// Whether the transaction goes on in which the mark was set; else nothing is left open.
async fn is_marked(session: &mut Session) -> Result<bool, Failure> {
    match session.send(&format!("RELEASE SAVEPOINT {MARK}")).await {
        Ok(_) => Ok(true),
        Err(failure) if UNMARKED.contains(&failure.error.code.as_str()) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// What was seen to be written to.
struct Written<'a> {
    superuser: &'a Endpoint,
    engine: EngineKind,
    tables: BTreeSet<String>,
    /// Why that is not all, where it may not be.
    unseen: Option<String>,
    /// Locked as writers do, by statements that only read.
    locked: BTreeSet<String>,
}

impl Written<'_> {
    fn new(superuser: &Endpoint, engine: EngineKind) -> Written<'_> {
        let (tables, unseen, locked) = Default::default();
        Written { superuser, engine, tables, unseen, locked }
    }

    async fn by(&mut self, session: i32, sql: &str) -> Result<(), String> {
        let seen = match self.engine {
            EngineKind::Postgres => {
                let seen = postgres::probing::written(self.superuser, session).await;
                seen.map_err(|error| with_causes(&error))?
            }
            EngineKind::Mysql | EngineKind::Mariadb => {
                let seen = mysql::probing::written(self.superuser, session).await;
                seen.map_err(|error| with_causes(&error))?
            }
        };
        let words = match self.engine {
            EngineKind::Postgres => None,
            EngineKind::Mysql | EngineKind::Mariadb => Some(mysql::client::words::words(sql, self.engine)),
        };
        for table in seen {
            let name = table.rsplit('.').next().unwrap_or(&table).to_lowercase();
            // `SELECT … FOR UPDATE` takes the same lock there.
            let only_locks = words.as_ref().is_some_and(|words| words.begin(&["SELECT"]) && words.has("UPDATE"));
            let names_it = words.as_ref().is_some_and(|words| words.names.contains(&name));
            if only_locks && !self.tables.contains(&table) {
                self.locked.insert(table);
            } else if !only_locks && (names_it || !self.locked.contains(&table)) {
                self.tables.insert(table);
            }
        }
        Ok(())
    }
}

/// What statements write to that are committed in one message, as those of a custom probe are: tried once, and rolled back. The second is
/// why that may not be all.
///
/// # Errors
/// What the server said.
pub async fn written_by(
    session: &mut Session,
    superuser: &Endpoint,
    sql: &str,
    engine: EngineKind,
) -> Result<(BTreeSet<String>, Option<String>), String> {
    let mut written = Written::new(superuser, engine);
    let said = |failure: Failure| failure.error.message;
    match session.send(&format!("START TRANSACTION;\nSAVEPOINT {MARK};\n{sql}")).await {
        Ok(_) => {}
        Err(failure) if [TERMINATES, TOO_LATE].contains(&failure.error.code.as_str()) => {
            return Ok((written.tables, Some("it is refused in a transaction".to_owned())));
        }
        Err(failure) => return Err(said(failure)),
    }
    if let Err(error) = written.by(session.pid(), sql).await {
        written.unseen = Some(format!("the server could not be asked: {error}"));
    }
    if !is_marked(session).await.map_err(said)? {
        written.unseen = Some("it commits by itself".to_owned());
    }
    session.send("ROLLBACK").await.map_err(said)?;
    Ok((written.tables, written.unseen))
}

fn found<'t>(tables: &'t [Table], name: &str) -> Option<&'t Table> {
    let exactly = tables.iter().find(|table| table.name == name || table.name == format!("public.{name}"));
    exactly.or_else(|| tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)))
}

fn column(table: &Table, reference: &Reference) -> Result<usize, WorkloadError> {
    let plain: Vec<String> = table.columns.iter().map(|column| column.plain()).collect();
    let exactly = plain.iter().position(|name| *name == reference.column);
    exactly.or_else(|| plain.iter().position(|name| name.eq_ignore_ascii_case(&reference.column))).ok_or_else(|| {
        let (table, column) = (table.name.clone(), reference.column.clone());
        WorkloadError::NoColumn { place: reference.place.clone(), table, column }
    })
}

/// For a workload's session: an application waits longer than a probe.
pub const TIMEOUT: Duration = Duration::from_secs(60);
