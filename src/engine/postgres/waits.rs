//! Who waits for a lock, and behind whom: read from `pg_locks` and `pg_stat_activity`, which lock no user's table.

use std::time::Duration;

use squawk_lexer::TokenKind;
use tokio_postgres::{Error, Statement};

use super::connect::{Connection, config};
use crate::engine::endpoint::Endpoint;
use crate::engine::waits::{BackEnd, Client, Waiting};

/// `pg_locks.waitstart` came with this version.
const WAITSTART: i32 = 140_000;

/// A session of the observer's own. Its statements end by themselves within a second.
pub struct Waits {
    connection: Connection,
    any: Statement,
    waiting: Statement,
    back_ends: Statement,
    clients: Statement,
}

impl Waits {
    /// # Errors
    /// The driver's.
    pub async fn connect(superuser: &Endpoint) -> Result<Waits, Error> {
        let mut config = config(&superuser.named("rehearsal observer"), Duration::from_secs(5));
        // A catalog that the plan has locked must not hold the observer for long.
        config.options("-c statement_timeout=1000 -c lock_timeout=100");
        let connection = Connection::start(&config).await?;
        let client = &connection.client;
        let version = client.query_one("SELECT pg_catalog.current_setting('server_version_num')::int4", &[]).await?;
        let waited = match version.get::<_, i32>(0) >= WAITSTART {
            true => "extract(epoch FROM pg_catalog.clock_timestamp() - l.waitstart)::float8",
            false => "NULL::float8",
        };
        let any = client.prepare("SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE NOT granted)").await?;
        let waiting = client.prepare(&WAITING.replace("WAITED", waited)).await?;
        let back_ends = client.prepare(BACK_ENDS).await?;
        let clients = client.prepare(CLIENTS).await?;
        Ok(Waits { connection, any, waiting, back_ends, clients })
    }

    /// Everyone in this database who waits now. Costs one cheap query when nobody does.
    ///
    /// # Errors
    /// The driver's; a closed connection stays closed.
    pub async fn look(&self) -> Result<Vec<Waiting>, Error> {
        let client = &self.connection.client;
        if !client.query_one(&self.any, &[]).await?.get::<_, bool>(0) {
            return Ok(Vec::new());
        }
        let rows = client.query(&self.waiting, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let mode: String = row.get("mode");
                let mut blockers: Vec<i32> = row.get("blockers");
                blockers.sort_unstable();
                blockers.dedup();
                Waiting {
                    pid: row.get("pid"),
                    target: row.get("target"),
                    mode: mode.trim_end_matches("Lock").to_owned(),
                    relation: row.get("relation"),
                    waited: row.get::<_, Option<f64>>("waited").and_then(|s| Duration::try_from_secs_f64(s).ok()),
                    blockers,
                }
            })
            .collect())
    }

    /// What those back ends are; one that has ended meanwhile is missing.
    ///
    /// # Errors
    /// As of [`Waits::look`].
    pub async fn back_ends(&self, pids: &[i32]) -> Result<Vec<BackEnd>, Error> {
        let rows = self.connection.client.query(&self.back_ends, &[&pids]).await?;
        Ok(rows
            .iter()
            .map(|row| BackEnd { pid: row.get(0), application: row.get(1), server: own(row.get(2)), sql: row.get(3) })
            .collect())
    }

    /// Everyone who is on the server now, but this session and replicas.
    ///
    /// # Errors
    /// As of [`Waits::look`].
    pub async fn clients(&self) -> Result<Vec<Client>, Error> {
        let rows = self.connection.client.query(&self.clients, &[]).await?;
        let client = |row: &tokio_postgres::Row| {
            let user: String = row.get(2);
            let application = Some(row.get::<_, String>(1)).filter(|name| !name.is_empty());
            Client { pid: row.get(0), application: application.unwrap_or_else(|| user.clone()), user }
        };
        Ok(rows.iter().map(client).collect())
    }

    pub fn is_closed(&self) -> bool {
        self.connection.client.is_closed()
    }
}

/// What a back end of that type is of the server's own.
fn own(kind: &str) -> Option<String> {
    match kind {
        "client backend" | "parallel worker" => None,
        "autovacuum worker" => Some("autovacuum".to_owned()),
        kind => Some(kind.to_owned()),
    }
}

/// A row lock is waited for as a transaction; which table it is about shows in the tuple lock that the waiter holds meanwhile.
const WAITING: &str = "
SELECT DISTINCT ON (l.pid) l.pid, l.mode, WAITED AS waited, pg_catalog.pg_blocking_pids(l.pid) AS blockers,
    pg_catalog.concat_ws(' ', l.locktype, l.relation, l.page, l.tuple, l.transactionid, l.virtualxid, l.classid, l.objid) AS target,
    (SELECT CASE n.nspname WHEN 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = coalesce(l.relation, (SELECT t.relation FROM pg_catalog.pg_locks t
            WHERE t.pid = l.pid AND t.locktype = 'tuple' AND t.granted LIMIT 1))) AS relation
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND a.datname = pg_catalog.current_database() AND l.pid <> pg_catalog.pg_backend_pid()";

const BACK_ENDS: &str = "
SELECT pid, coalesce(application_name, ''), coalesce(backend_type, ''), coalesce(query, '')
FROM pg_catalog.pg_stat_activity WHERE pid = ANY ($1)";

/// Those that replicate logically are walsenders, as physical replicas are.
const CLIENTS: &str = "
SELECT pid, coalesce(application_name, ''), coalesce(usename::text, '')
FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()";

/// The statement with every string and number in it replaced by "…": programs write values into their SQL.
pub fn without_literals(sql: &str) -> String {
    let (mut out, mut at) = (String::with_capacity(sql.len()), 0);
    for token in squawk_lexer::tokenize(sql) {
        let end = at + token.len as usize;
        match token.kind {
            TokenKind::Literal { .. } => out.push('…'),
            TokenKind::LineComment | TokenKind::BlockComment { .. } => out.push(' '),
            _ => out.push_str(&sql[at..end]),
        }
        at = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_left_out() {
        let check = |sql: &str, expected: &str| assert_eq!(without_literals(sql), expected);
        check("UPDATE t SET a = 'Ann''s', b = 17 WHERE c1 = $1", "UPDATE t SET a = …, b = … WHERE c1 = $1");
        check("SELECT $$secret$$, 'cut of", "SELECT …, …");
        check("SELECT 1 -- of Ann\n", "SELECT …  \n");
    }
}
