//! Statistics for the planner, whatever the engine.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
pub use crate::engine::mysql::statistics::Analysis;
use crate::engine::release::{ReleaseSession, RunOptions, ScriptError, SessionError, Watch};
use crate::engine::server::BoxError;
use crate::engine::{mysql, postgres};
use crate::event::{Lock, Place, SqlError, Statement, Work};

/// ER_UNKNOWN_ERROR: what a row of an answer tells has no number.
const UNNUMBERED: &str = "1105";

/// What gathers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gathering {
    /// For the session that runs a release.
    Script(String),
    /// For [`gather`]: each tells of a failure in what it answers.
    Statements(Vec<Analysis>),
}

/// For these tables, or for all when there are none; in stages on Postgres alone.
///
/// # Errors
/// The driver's, when tables are looked for.
pub async fn gathering(superuser: &Endpoint, tables: &[String], stages: bool) -> Result<Gathering, BoxError> {
    Ok(match superuser.engine {
        EngineKind::Postgres => Gathering::Script(postgres::statistics::script(tables, stages)),
        EngineKind::Mysql | EngineKind::Mariadb => {
            Gathering::Statements(mysql::statistics::statements(superuser, tables).await?)
        }
    })
}

/// Runs the statements one after the other, up to the first that fails, as itself or in what it answers. `place` is where they come from.
///
/// # Errors
/// As [`ReleaseSession::run`].
pub async fn gather(
    session: &mut ReleaseSession,
    statements: &[Analysis],
    options: &RunOptions,
    place: &Place,
    watch: &mut dyn Watch,
    cancel: &CancellationToken,
) -> Result<(), ScriptError> {
    for (index, analysis) in statements.iter().enumerate() {
        let sql = &analysis.sql;
        watch.started(index, sql, place);
        let started = Instant::now();
        let error = match session.rows_as_text(sql, None, cancel).await {
            Ok(rows) => mysql::statistics::failure(&rows).map(|said| {
                let (code, message) = (UNNUMBERED.to_owned(), said.to_owned());
                Box::new(SqlError { code, message, table: None, column: None, constraint: None, position: None })
            }),
            Err(SessionError::Refused(error)) => Some(error),
            Err(SessionError::Lost(error)) => return Err(ScriptError::Lost { place: Some(place.clone()), error }),
            Err(SessionError::Cancelled | SessionError::TimedOut) => return Err(ScriptError::Cancelled),
            Err(error) => return Err(ScriptError::Harness(error.into())),
        };
        watch.ended(Statement {
            index,
            sql: sql.clone(),
            place: Some(place.clone()),
            command: "ANALYZE TABLE".to_owned(),
            started_ms: started.saturating_duration_since(options.origin).as_secs_f64() * 1e3,
            elapsed_ms: started.elapsed().as_secs_f64() * 1e3,
            // A sample of pages, however large the table; or all of it.
            work: if analysis.reads_all { Work::Scans } else { Work::Constant },
            grows_with: analysis.reads_all.then(|| analysis.table.clone()).into_iter().collect(),
            locks: analysis.stops_writes.then(|| read_lock(&analysis.table)).into_iter().collect(),
            attempts: 1,
            error: error.as_deref().cloned(),
            ..Statement::default()
        });
        if let Some(error) = error {
            return Err(ScriptError::Statement { place: place.clone(), error });
        }
    }
    Ok(())
}

/// What ANALYZE TABLE holds on a table that is locked whole.
fn read_lock(table: &str) -> Lock {
    let (relation, mode) = (table.to_owned(), "SHARED_READ".to_owned());
    Lock { relation, mode, stops_reads: false, stops_writes: true, brief: false }
}
