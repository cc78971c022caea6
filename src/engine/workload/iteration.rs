//! One iteration after the other: a row of each table drawn, its values put in, the statements sent in order, and committed.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::template::{Part, Piece, Reference, Template};
use crate::engine::endpoint::Endpoint;
use crate::engine::probing::{self, Class, DeriveError, Failure, FailureKind, Request, Session, Table, Values};
use crate::engine::{EngineKind, mysql, postgres};
use crate::event::{Place, with_causes};

/// How often an iteration is tried that was undone for others' sake.
const TRIES: usize = 3;

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
    /// Why nobody can say, where that is so.
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

    /// The statements of one iteration, to be sent by [`send`]; drawn beforehand, so that several may be under way.
    pub fn iteration(&mut self) -> Iteration {
        let drawn = self.draw().into_iter().zip(&self.template.statements);
        let statements = drawn.map(|(sql, statement)| (sql, statement.place.clone(), statement.part)).collect();
        Iteration { engine: self.template.engine, statements, leaves_open: self.template.leaves_open }
    }
}

/// One iteration's statements, values put in.
#[derive(Debug)]
pub struct Iteration {
    engine: EngineKind,
    statements: Vec<(String, Place, Part)>,
    leaves_open: bool,
}

impl Iteration {
    /// Sends it; again where it was undone for others' sake, as an application does.
    ///
    /// # Errors
    /// The statement that failed. Nothing is left open.
    pub async fn run(&self, session: &mut Session) -> Result<(), Stopped> {
        for _ in 1..TRIES {
            match self.once(session).await {
                Err(stopped) if is_for_others(&stopped.failure) => {}
                done => return done,
            }
        }
        self.once(session).await
    }

    async fn once(&self, session: &mut Session) -> Result<(), Stopped> {
        for (nth, (sql, ..)) in self.statements.iter().enumerate() {
            session.send(sql).await.map_err(|failure| self.stopped(nth, failure))?;
        }
        if self.leaves_open {
            session.send("COMMIT").await.map_err(|failure| self.stopped(self.statements.len() - 1, failure))?;
        }
        Ok(())
    }

    /// Sends it once, each statement in a transaction, and looks before the end of each what it has locked to write to.
    pub async fn looked_at(&self, session: &mut Session, superuser: &Endpoint) -> Looked {
        let mut written = Written { superuser, engine: self.engine, tables: BTreeSet::new(), locked: BTreeSet::new() };
        let mut unseen = None;
        let result = self.look(session, &mut written, &mut unseen).await;
        Looked { tables: written.tables, unseen, result }
    }

    async fn look(
        &self,
        session: &mut Session,
        written: &mut Written<'_>,
        unseen: &mut Option<String>,
    ) -> Result<(), Stopped> {
        let mut open = false;
        for (nth, (sql, _, part)) in self.statements.iter().enumerate() {
            let failed = |failure| self.stopped(nth, failure);
            let wrapped = *part == Part::Within && !open;
            if wrapped {
                session.send("START TRANSACTION").await.map_err(failed)?;
            }
            session.send(sql).await.map_err(failed)?;
            if *part == Part::Within
                && let Err(error) = written.by(session.pid(), sql).await
            {
                unseen.get_or_insert(error);
            }
            if wrapped {
                session.send("COMMIT").await.map_err(failed)?;
            }
            open = match part {
                Part::Begins => true,
                Part::Ends => false,
                Part::Within => open,
            };
        }
        if self.leaves_open {
            session.send("COMMIT").await.map_err(|failure| self.stopped(self.statements.len() - 1, failure))?;
        }
        Ok(())
    }

    /// There was no session for it.
    pub fn not_begun(&self, failure: Failure) -> Stopped {
        self.stopped(0, failure)
    }

    fn stopped(&self, statement: usize, failure: Failure) -> Stopped {
        Stopped { statement, place: self.statements[statement].1.clone(), failure: Box::new(failure) }
    }
}

/// A deadlock, or a serialisation failure: done again, it is done.
fn is_for_others(failure: &Failure) -> bool {
    let by_code = ["40001", "40P01"].contains(&failure.error.code.as_str());
    failure.kind == FailureKind::Refused && (failure.class == Class::Deadlock || by_code)
}

/// What was seen to be written to.
struct Written<'a> {
    superuser: &'a Endpoint,
    engine: EngineKind,
    tables: BTreeSet<String>,
    /// Locked as writers do, by statements that only read.
    locked: BTreeSet<String>,
}

impl Written<'_> {
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

/// Tables that statements write to which are committed in one message, as those of a custom probe are: tried once, and rolled back.
///
/// # Errors
/// What the server said.
pub async fn written_by(
    session: &mut Session,
    superuser: &Endpoint,
    sql: &str,
    engine: EngineKind,
) -> Result<BTreeSet<String>, String> {
    let mut written = Written { superuser, engine, tables: BTreeSet::new(), locked: BTreeSet::new() };
    let said = |failure: Failure| failure.error.message;
    session.send(&format!("START TRANSACTION;\n{sql}")).await.map_err(said)?;
    let looked = written.by(session.pid(), sql).await;
    session.send("ROLLBACK").await.map_err(said)?;
    looked.map(|()| written.tables)
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
