//! The session that runs a release, whatever the engine: the very one that the engine's own client would have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
pub use crate::engine::lineage::Lineage;
use crate::engine::script::{ScriptProblem, Source};
use crate::engine::server::BoxError;
use crate::engine::{mysql, postgres};
use crate::event::{Place, SqlError, Statement};
use crate::scenario::Retry;

/// Between two answers of a statement that is asked until it is true.
const POLL: Duration = Duration::from_millis(50);

/// How a script is to be run.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// The instant from which `started_ms` counts.
    pub origin: Instant,
    /// Sets the session's lock timeout, and tries again what it ends: a statement alone, or a transaction block from its BEGIN.
    pub retry: Option<Retry>,
    /// For the script as a whole, from when it is started.
    pub timeout: Option<Duration>,
    /// Whether errors and notices may show row values.
    pub show_values: bool,
}

/// Told of what happens, as it happens.
pub trait Watch: Send {
    fn started(&mut self, index: usize, sql: &str, place: &Place);
    fn ended(&mut self, statement: Statement);
    /// A lock timeout ended the attempt of that number, of `of`; the next comes after `pause`.
    fn retried(&mut self, index: usize, attempt: u32, of: u32, pause: Duration);
    /// A notice of the server, or a line that the script says.
    fn said(&mut self, line: &str);
    /// What the server is at, in its own words, and how far: of how many rows or pages, where it counts them.
    fn progressed(&mut self, _stage: &str, _done: Option<u64>, _total: Option<u64>) {}
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// `refused` is the server's own word, where it gave one.
    #[error("could not open the release's session")]
    Connect {
        refused: Option<Box<SqlError>>,
        #[source]
        source: BoxError,
    },
    /// The connection ended or failed.
    #[error("{}", .0.message)]
    Lost(Box<SqlError>),
    /// The server refused a query of a check or a wait.
    #[error("{}", .0.message)]
    Refused(Box<SqlError>),
    #[error("more than {most} rows")]
    TooManyRows { most: usize },
    #[error("no row with a true first column within {deadline:?}; last seen: {last}")]
    Deadline { deadline: Duration, last: String },
    #[error("its time was up")]
    TimedOut,
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    Harness(BoxError),
}

/// Why a script did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The server refused a statement. The script stops there, as the client does.
    #[error("{}:{}: {}", place.file, place.line, error.message)]
    Statement { place: Place, error: Box<SqlError> },
    /// A command that is not understood, or a file that cannot be read.
    #[error(transparent)]
    Script(#[from] ScriptProblem),
    /// Its time was up, or the run was given up.
    #[error("cancelled")]
    Cancelled,
    /// The connection ended or failed; of a server that ended by itself.
    #[error("the connection was lost: {}", error.message)]
    Lost { place: Option<Place>, error: Box<SqlError> },
    #[error(transparent)]
    NoSession(BoxError),
    /// The harness failed, not the release.
    #[error("could not measure")]
    Harness(#[source] BoxError),
}

/// What can be known of a script without running it.
#[derive(Debug, Default)]
pub struct Checked {
    pub problems: Vec<ScriptProblem>,
    /// Identifiers in its statements, in lower case; none where nobody can tell them from other words.
    pub identifiers: Option<BTreeSet<String>>,
    /// The script's files, with those that it includes, whatever its conditions say.
    pub files: BTreeSet<PathBuf>,
    /// It includes a file of which only a run knows the name.
    pub is_open: bool,
}

/// A script, read as the engine's own client reads it.
pub enum Script {
    Postgres(Box<postgres::psql::Script>),
    Mysql(Box<mysql::client::Script>),
}

impl Script {
    /// Files that it includes are looked for in `folder`, the scenario's.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn open(engine: EngineKind, source: Source, folder: &Path) -> Result<Script, ScriptProblem> {
        Ok(match engine {
            EngineKind::Postgres => Script::Postgres(Box::new(postgres::psql::Script::open(source, folder)?)),
            EngineKind::Mysql | EngineKind::Mariadb => {
                Script::Mysql(Box::new(mysql::client::Script::open(engine, source, folder)?))
            }
        })
    }

    /// Reads it from its beginning without running it.
    pub fn check(&self) -> Checked {
        match self {
            Script::Postgres(script) => {
                let checked = script.check();
                Checked {
                    problems: checked.problems,
                    identifiers: Some(checked.identifiers),
                    files: checked.files,
                    is_open: checked.is_open,
                }
            }
            Script::Mysql(script) => {
                let checked = script.check();
                Checked {
                    problems: checked.problems,
                    identifiers: checked.identifiers,
                    files: checked.files,
                    is_open: false,
                }
            }
        }
    }
}

/// A step's session.
pub enum ReleaseSession {
    Postgres(Box<postgres::session::ReleaseSession>),
    Mysql(Box<mysql::session::ReleaseSession>),
}

impl ReleaseSession {
    /// Opens the session as `release`; where its statements are measured from outside, as `superuser`. `show_values` is whether errors may
    /// show row values.
    ///
    /// # Errors
    /// If the server refuses either, or does not answer within `deadline`.
    pub async fn connect(
        release: &Endpoint,
        superuser: &Endpoint,
        lineage: Lineage,
        show_values: bool,
        deadline: Duration,
    ) -> Result<ReleaseSession, SessionError> {
        match release.engine {
            EngineKind::Postgres => {
                let connected = postgres::session::ReleaseSession::connect(release, superuser, lineage, deadline).await;
                let mut session = connected.map_err(|error| of_postgres(error, show_values))?;
                session.show_values = show_values;
                Ok(ReleaseSession::Postgres(Box::new(session)))
            }
            EngineKind::Mysql | EngineKind::Mariadb => {
                let session =
                    mysql::session::ReleaseSession::connect(release, superuser, lineage, show_values, deadline).await?;
                Ok(ReleaseSession::Mysql(Box::new(session)))
            }
        }
    }

    /// The server's number for it.
    pub fn id(&self) -> i32 {
        match self {
            ReleaseSession::Postgres(session) => session.backend_pid(),
            ReleaseSession::Mysql(session) => session.id(),
        }
    }

    /// Keeps what the session writes from here on out of the binary log; `superuser` looks whether it does.
    ///
    /// # Errors
    /// If the server refuses it; also where there is no such log to stay out of.
    pub async fn stay_out_of_log(&mut self, superuser: &Endpoint) -> Result<(), SessionError> {
        match self {
            ReleaseSession::Postgres(_) => Err(SessionError::Harness("what is written is always in the log".into())),
            ReleaseSession::Mysql(session) => session.stay_out_of_log(superuser).await,
        }
    }

    /// What the session has written into the binary log although it was to stay out of it, by its GTID; none if it has not.
    ///
    /// # Errors
    /// If nobody can tell.
    pub async fn last_in_log(&mut self) -> Result<Option<String>, SessionError> {
        match self {
            ReleaseSession::Postgres(_) => Ok(None),
            ReleaseSession::Mysql(session) => session.last_in_log().await,
        }
    }

    /// Runs the script, which is of the same engine, to its end or its first error.
    ///
    /// # Errors
    /// The first thing that stopped it; every statement that was started has been told to `watch` as ended, save where the connection was
    /// lost or the run was given up.
    pub async fn run(
        &mut self,
        script: &mut Script,
        options: &RunOptions,
        watch: &mut dyn Watch,
        cancel: &CancellationToken,
    ) -> Result<(), ScriptError> {
        match (self, script) {
            (ReleaseSession::Postgres(session), Script::Postgres(script)) => {
                let ran = postgres::run::run(session, script, options, watch, cancel).await;
                ran.map(|_| ()).map_err(of_script)
            }
            (ReleaseSession::Mysql(session), Script::Mysql(script)) => {
                mysql::run::run(session, script, options, watch, cancel).await
            }
            _ => Err(ScriptError::Harness("the script is of another engine".into())),
        }
    }

    /// The rows that the statement answers, as text; its last result if there are several.
    ///
    /// # Errors
    /// If the server refuses it, it answers more than ten thousand rows, or it is given up.
    pub async fn rows_as_text(
        &mut self,
        sql: &str,
        deadline: Option<Instant>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Vec<Option<String>>>, SessionError> {
        match self {
            ReleaseSession::Postgres(session) => {
                let show_values = session.show_values;
                session.rows_as_text(sql, deadline, cancel).await.map_err(|error| of_postgres(error, show_values))
            }
            ReleaseSession::Mysql(session) => session.rows_as_text(sql, deadline, cancel).await,
        }
    }

    /// Asks until the statement answers one row whose first column is true.
    ///
    /// # Errors
    /// If the server refuses it, or `deadline` passes; with what was last seen.
    pub async fn wait_until(
        &mut self,
        sql: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), SessionError> {
        let end = Instant::now() + deadline;
        let mut last = "nothing".to_owned();
        loop {
            match self.rows_as_text(sql, Some(end), cancel).await {
                Ok(rows) => match rows.as_slice() {
                    [row] => match row.first().and_then(|value| self.truth(value.as_deref()?)) {
                        Some(true) => return Ok(()),
                        Some(false) => last = "false".to_owned(),
                        None => last = "a row whose first column is no boolean".to_owned(),
                    },
                    rows => last = format!("{} rows", rows.len()),
                },
                Err(SessionError::TimedOut) => return Err(SessionError::Deadline { deadline, last }),
                Err(error) => return Err(error),
            }
            if let ReleaseSession::Mysql(session) = self {
                session.roll_back(cancel).await?;
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(SessionError::Cancelled),
                () = tokio::time::sleep_until(end.min(Instant::now() + POLL).into()) => {}
            }
            if Instant::now() >= end {
                return Err(SessionError::Deadline { deadline, last });
            }
        }
    }

    /// A boolean as text: MySQL and MariaDB have numbers for them, and any but 0 is true.
    fn truth(&self, text: &str) -> Option<bool> {
        match (self, text) {
            (ReleaseSession::Postgres(_), "t") => Some(true),
            (ReleaseSession::Postgres(_), "f") => Some(false),
            (ReleaseSession::Postgres(_), _) => None,
            (ReleaseSession::Mysql(_), number) => number.parse::<f64>().ok().map(|number| number != 0.0),
        }
    }

    /// Ends the session.
    pub async fn close(self) {
        match self {
            ReleaseSession::Postgres(session) => session.close().await,
            ReleaseSession::Mysql(session) => session.close().await,
        }
    }
}

fn of_postgres(error: postgres::session::SessionError, show_values: bool) -> SessionError {
    use postgres::session::SessionError as Theirs;
    match error {
        Theirs::Connect(source) => {
            let refused = match &source {
                postgres::wire::WireError::Refused(said) => Some(Box::new(said.to_sql_error(show_values))),
                _ => None,
            };
            SessionError::Connect { refused, source: source.into() }
        }
        Theirs::Lost(error) => SessionError::Lost(error),
        Theirs::Refused(error) => SessionError::Refused(error),
        Theirs::TooManyRows => SessionError::TooManyRows { most: postgres::session::MOST_ROWS },
        Theirs::TimedOut => SessionError::TimedOut,
        Theirs::Cancelled => SessionError::Cancelled,
        other => SessionError::Harness(other.into()),
    }
}

fn of_script(error: postgres::run::ScriptError) -> ScriptError {
    use postgres::run::ScriptError as Theirs;
    match error {
        Theirs::Statement { place, error, .. } => ScriptError::Statement { place, error },
        Theirs::Script(problem) => ScriptError::Script(problem),
        Theirs::TimedOut { .. } | Theirs::Cancelled => ScriptError::Cancelled,
        Theirs::Lost { place, error, .. } => ScriptError::Lost { place, error },
        Theirs::Harness(error @ postgres::session::SessionError::Connect(_)) => ScriptError::NoSession(error.into()),
        Theirs::Harness(error) => ScriptError::Harness(error.into()),
    }
}
