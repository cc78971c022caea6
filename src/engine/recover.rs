//! The statements that somebody else's program ran, recovered from the server, whatever the engine: on Postgres from its log, on MySQL and
//! MariaDB from the performance schema.

use std::time::Duration;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::{mysql, postgres};
use crate::event::Statement;

/// Statements kept of one program: a loop over a million rows is told by its first ones.
pub const MAX_STATEMENTS: usize = 2_000;

/// Characters kept of one statement.
pub const MAX_SQL: usize = 16 * 1024;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// In the order in which they ended, each marked as recovered. What a statement that failed took is not in Postgres's log: its
    /// `elapsed_ms` is 0 there and it starts when it failed.
    pub statements: Vec<Statement>,
    /// Beyond [`MAX_STATEMENTS`].
    pub left_out: u64,
}

/// An open recording. [`Recording::finish`] must follow, whatever became of the program: it puts the server's settings back.
pub struct Recording {
    ours: fn(&str) -> bool,
    of: Of,
}

enum Of {
    /// One a role.
    Postgres(Vec<postgres::recover::Recording>),
    Mysql(Box<mysql::recover::Recording>),
}

/// Makes new sessions of these roles in the endpoint's database tell what they run; on MySQL and MariaDB, in any database. Sessions for
/// which `ours` says yes by application name are left out. `now_ms` is the run's clock.
///
/// # Errors
/// The server's; or there would be nothing to read later.
pub async fn begin(
    superuser: &Endpoint,
    roles: &[String],
    ours: fn(&str) -> bool,
    now_ms: &(dyn Fn() -> f64 + Sync),
) -> Result<Recording, BoxError> {
    let of = match superuser.engine {
        EngineKind::Postgres => Of::Postgres(begin_on_postgres(superuser, roles, now_ms).await?),
        EngineKind::Mysql | EngineKind::Mariadb => {
            Of::Mysql(Box::new(mysql::recover::begin(superuser, roles, ours, now_ms).await?))
        }
    };
    Ok(Recording { ours, of })
}

async fn begin_on_postgres(
    superuser: &Endpoint,
    roles: &[String],
    now_ms: &(dyn Fn() -> f64 + Sync),
) -> Result<Vec<postgres::recover::Recording>, postgres::recover::RecoverError> {
    let mut recordings = Vec::new();
    for role in roles {
        match postgres::recover::begin(superuser, role, now_ms).await {
            Ok(recording) => recordings.push(recording),
            Err(error) => {
                for recording in recordings {
                    recording.put_back_alone().await?;
                }
                return Err(error);
            }
        }
    }
    Ok(recordings)
}

impl Recording {
    /// Does the work, and meanwhile what the recording asks for.
    pub async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        match &mut self.of {
            Of::Postgres(_) => work.await,
            Of::Mysql(recording) => recording.beside(work).await,
        }
    }

    /// Puts the settings back and tells what the sessions ran, in the order in which it ended, whichever role ran it. Waits at most
    /// `deadline` until the server can tell all of it.
    ///
    /// # Errors
    /// The server's; or not all of it is known.
    pub async fn finish(self, show_values: bool, deadline: Duration) -> Result<Recovered, BoxError> {
        let recordings = match self.of {
            Of::Postgres(recordings) => recordings,
            Of::Mysql(recording) => return Ok(recording.finish(show_values, deadline).await?),
        };
        let mut all = Recovered::default();
        let mut failed = None;
        // Each of them puts a role's settings back, whatever became of the others.
        for recording in recordings {
            match recording.finish(&self.ours, show_values, deadline).await {
                Ok(recovered) => {
                    all.statements.extend(recovered.statements);
                    all.left_out += recovered.left_out;
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        all.statements.sort_by(|a, b| (a.started_ms + a.elapsed_ms).total_cmp(&(b.started_ms + b.elapsed_ms)));
        for (index, statement) in all.statements.iter_mut().enumerate() {
            statement.index = index;
        }
        Ok(all)
    }
}
