//! A dump into a server's database: psql and pg_restore run on the host, roles and extensions made first, statistics gathered last.

mod database;
mod messages;

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio_postgres::error::SqlState;

use self::database::OfDatabase;
pub use self::messages::speaks_of_full_disk;
use super::connect::{Connection, config};
use super::dump::created_role;
use super::foreign::REACHES_OUT;
use super::names::quote;
use super::script_stream::{Part, Scanner, Word, words};
use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Exec, ExecOutput, Host, HostError};
use crate::event::TableSize;
use crate::scenario::Extension;

const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the disk is full")]
    DiskFull,
    /// The server refused something in the dump. `object` is what pg_restore or COPY was at.
    #[error("{}{message}{}", place(.line, .object), code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused { line: Option<u64>, object: Option<String>, message: String, code: Option<String> },
    #[error("{program}: {message}")]
    Client { program: String, message: String },
    /// The client program is older than the dump or the server that it was to read.
    #[error("{program} is too old: {message}")]
    TooNew { program: String, message: String },
    #[error("the server ended meanwhile")]
    ServerLost,
    #[error("a roles file holds {found}, which is not SQL")]
    NotRoles { found: String, line: u64 },
    #[error("the server has no extension {}", described(.extension))]
    NoExtension { extension: Extension },
    #[error("{what}: {}", server_words(source))]
    Database { what: String, source: tokio_postgres::Error },
    #[error("could not read {path}")]
    Unreadable { path: String, source: std::io::Error },
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The database that is restored into, and the host that its server and client programs are on.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub host: &'a dyn Host,
    /// As superuser.
    pub endpoint: &'a Endpoint,
    /// For each program that is run.
    pub deadline: Duration,
}

impl Target<'_> {
    /// Feeds a plain script to the host's psql, stopping at its first error. `database` is the one to begin in.
    ///
    /// # Errors
    /// [`RestoreError::Refused`] with the script's line, [`RestoreError::DiskFull`], or what the host could not do.
    pub async fn psql(&self, database: &str, script: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), RestoreError> {
        let exec = self.client("psql", database).await?.args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=verbose",
            "-o",
            "/dev/null",
            "-f",
            "-",
        ]);
        let output = self.host.exec_reading(&exec, script, self.deadline).await?;
        self.judge("psql", &output).await
    }

    /// Gives the database what an archive on the host says of it: owner, privileges, settings. What the server refuses is returned
    /// as notes: most often it names a role that nothing in the database needs.
    ///
    /// # Errors
    /// [`RestoreError::Client`] where the archive is damaged, and the server's.
    pub async fn set_database(&self, archive: &str) -> Result<Vec<String>, RestoreError> {
        let script = schema(self.host, &["--create"], archive, self.deadline).await?;
        let connection = open(self.endpoint).await?;
        let mut notes = Vec::new();
        for found in database::statements(&script, &self.endpoint.database) {
            let result = set_database(&connection, &found).await;
            match result {
                Err(error) if error.as_db_error().is_some() => {
                    notes.push(format!("the database is without {}: {}", found.about, server_words(&error)));
                }
                other => other.map_err(|source| RestoreError::Database {
                    what: format!("could not give the database {}", found.about),
                    source,
                })?,
            }
        }
        Ok(notes)
    }

    /// Restores an archive that lies on the host, owners and privileges included.
    ///
    /// # Errors
    /// [`RestoreError::Refused`] with the object, [`RestoreError::Client`] where the archive is damaged, [`RestoreError::DiskFull`].
    pub async fn pg_restore(&self, archive: &str, jobs: usize) -> Result<(), RestoreError> {
        let database = &self.endpoint.database;
        let exec = self.client("pg_restore", database).await?.args([
            "--exit-on-error".to_owned(),
            format!("--jobs={jobs}"),
            format!("--dbname={database}"),
            archive.to_owned(),
        ]);
        let output = self.host.exec(&exec, self.deadline).await?;
        self.judge("pg_restore", &output).await
    }

    /// Makes one section of an archive on the host, "pre-data" or "post-data", owners and privileges included and tablespaces left out.
    ///
    /// # Errors
    /// As [`Target::pg_restore`].
    pub async fn pg_restore_section(&self, archive: &str, section: &str, jobs: usize) -> Result<(), RestoreError> {
        let database = &self.endpoint.database;
        let exec = self.client("pg_restore", database).await?.args([
            "--exit-on-error".to_owned(),
            "--no-tablespaces".to_owned(),
            format!("--section={section}"),
            format!("--jobs={jobs}"),
            format!("--dbname={database}"),
            archive.to_owned(),
        ]);
        let output = self.host.exec(&exec, self.deadline).await?;
        self.judge("pg_restore", &output).await
    }

    /// The SQL of an archive on the host, without its rows.
    ///
    /// # Errors
    /// As [`Target::pg_restore`].
    pub async fn archive_schema(host: &dyn Host, archive: &str, deadline: Duration) -> Result<Vec<u8>, RestoreError> {
        schema(host, &[], archive, deadline).await
    }

    /// Takes the database away that a dump made with `pg_dump -C` makes itself.
    ///
    /// # Errors
    /// The server's.
    pub async fn make_way(&self) -> Result<(), RestoreError> {
        let maintenance = self.endpoint.in_database("postgres");
        let connection = open(&maintenance).await?;
        let name = quote(&self.endpoint.database);
        run(
            &connection,
            &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            "could not make way for the dump's database",
        )
        .await
    }

    /// Takes the empty schema away that a dump of the schema `public` makes itself.
    ///
    /// # Errors
    /// The server's, when something is in it.
    pub async fn make_way_for_public(&self) -> Result<(), RestoreError> {
        let connection = open(self.endpoint).await?;
        run(&connection, "DROP SCHEMA IF EXISTS public", "could not make way for the dump's schema public").await
    }

    /// Connects over the host's own socket: a container cannot reach itself at the address that this machine uses.
    async fn client(&self, program: &str, database: &str) -> Result<Exec, RestoreError> {
        let listen = self.host.listen();
        Ok(Exec::new(self.host.program(program).await?)
            .env("PGHOST", &listen.socket_dir)
            .env("PGPORT", &listen.port.to_string())
            .env("PGUSER", &self.endpoint.user)
            .env("PGPASSWORD", &self.endpoint.password)
            .env("PGDATABASE", database)
            .env("PGAPPNAME", &self.endpoint.application)
            // Messages are taken apart, so they must be in one language; and a restore writes, whatever the database's settings.
            .env("PGOPTIONS", "-c lc_messages=C -c default_transaction_read_only=off"))
    }

    async fn judge(&self, program: &str, output: &ExecOutput) -> Result<(), RestoreError> {
        if output.status == 0 {
            return Ok(());
        }
        let error = failed(program, output.status, &output.stderr);
        // A server that cannot write its log ends: the client only sees the connection go.
        let full = matches!(error, RestoreError::ServerLost) && speaks_of_full_disk(&self.host.log_tail(50).await);
        Err(if full { RestoreError::DiskFull } else { error })
    }
}

async fn schema(host: &dyn Host, more: &[&str], archive: &str, deadline: Duration) -> Result<Vec<u8>, RestoreError> {
    let exec = Exec::new(host.program("pg_restore").await?).args(more.iter().copied()).args([
        "--schema-only",
        "-f",
        "-",
        archive,
    ]);
    let output = host.exec(&exec, deadline).await?;
    if output.status == 0 { Ok(output.stdout) } else { Err(failed("pg_restore", output.status, &output.stderr)) }
}

async fn set_database(connection: &Connection, wanted: &OfDatabase) -> Result<(), tokio_postgres::Error> {
    let Some(grantor) = &wanted.grantor else { return connection.client.batch_execute(&wanted.sql).await };
    connection.client.batch_execute(grantor).await?;
    let granted = connection.client.batch_execute(&wanted.sql).await;
    connection.client.batch_execute("RESET SESSION AUTHORIZATION").await?;
    granted
}

/// What a client program said on its standard error.
pub fn failed(program: &str, status: i32, stderr: &str) -> RestoreError {
    messages::failed(program, status, stderr)
}

/// Runs a roles file as superuser. A role that exists stays as it is when the file makes it again, and the tool's own superuser keeps
/// its password.
///
/// # Errors
/// [`RestoreError::NotRoles`] where the file is a script of another kind, or the server's, with the line.
pub async fn roles(endpoint: &Endpoint, file: &Path) -> Result<(), RestoreError> {
    let unreadable = |source| RestoreError::Unreadable { path: file.display().to_string(), source };
    let connection = open(endpoint).await?;
    let mut scanner = Scanner::new(std::io::BufReader::new(std::fs::File::open(file).map_err(unreadable)?));
    while let Some(part) = scanner.next_part().map_err(unreadable)? {
        match part {
            Part::Comment { .. } => {}
            Part::Meta { text, .. } if text.starts_with("\\restrict") || text.starts_with("\\unrestrict") => {}
            Part::Meta { text, line } => {
                let found = text.split_whitespace().next().unwrap_or_default().to_owned();
                return Err(RestoreError::NotRoles { found, line });
            }
            Part::Statement { text, line, .. } => role_statement(&connection, endpoint, &text, line).await?,
        }
    }
    Ok(())
}

async fn role_statement(
    connection: &Connection,
    superuser: &Endpoint,
    sql: &str,
    line: u64,
) -> Result<(), RestoreError> {
    let parsed = words(sql);
    let alters_us = matches!(&parsed[..], [alter, role, name, ..]
        if alter.is("alter") && (role.is("role") || role.is("user")) && name.name() == Some(&superuser.user));
    if alters_us || sets_encoding(&parsed) {
        return Ok(());
    }
    if let Some(role) = created_role(&parsed) {
        let found = connection.client.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&role]).await;
        if found.map_err(|source| refused(line, source))?.is_some() {
            return Ok(());
        }
    }
    connection.client.batch_execute(sql).await.map_err(|source| refused(line, source))
}

/// The driver speaks UTF-8, whatever the file would like.
fn sets_encoding(words: &[Word]) -> bool {
    matches!(words, [set, name, ..] if set.is("set") && name.is("client_encoding"))
}

fn refused(line: u64, source: tokio_postgres::Error) -> RestoreError {
    match source.as_db_error() {
        Some(error) if *error.code() == SqlState::DISK_FULL => RestoreError::DiskFull,
        Some(error) => RestoreError::Refused {
            line: Some(line),
            object: None,
            message: super::blot::message(Some(error.code().code()), error.message()),
            code: Some(error.code().code().to_owned()),
        },
        None => RestoreError::Database { what: format!("could not run line {line}"), source },
    }
}

/// Makes extensions that are not there yet, with all they need.
///
/// # Errors
/// [`RestoreError::NoExtension`] where the server has no such extension or no such version of it.
pub async fn create_extensions(endpoint: &Endpoint, extensions: &[Extension]) -> Result<(), RestoreError> {
    if extensions.is_empty() {
        return Ok(());
    }
    let connection = open(endpoint).await?;
    for extension in extensions {
        let version =
            extension.version.as_ref().map(|version| format!(" VERSION {}", quote(version))).unwrap_or_default();
        let sql = format!("CREATE EXTENSION IF NOT EXISTS {}{version} CASCADE", quote(&extension.name));
        if let Err(source) = connection.client.batch_execute(&sql).await {
            let absent = [SqlState::UNDEFINED_FILE, SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_PARAMETER_VALUE];
            return Err(match source.code() {
                Some(code) if absent.contains(code) => RestoreError::NoExtension { extension: extension.clone() },
                _ => RestoreError::Database { what: format!("could not create extension {}", extension.name), source },
            });
        }
    }
    Ok(())
}

/// Whether the installation on the host has the extension, by its control files; needs no server. Versions that only an update
/// reaches are the server's to judge.
///
/// # Errors
/// The host's, where it cannot say.
pub async fn has_extension(host: &dyn Host, extension: &Extension, deadline: Duration) -> Result<bool, HostError> {
    let exec = Exec::new(host.program("pg_config").await?).args(["--sharedir"]);
    let output = host.exec(&exec, deadline).await?;
    if output.status != 0 {
        return Err(HostError::Failed { what: "pg_config --sharedir failed".to_owned(), source: None });
    }
    let folder = format!("{}/extension", String::from_utf8_lossy(&output.stdout).trim());
    Ok(host.read_from(&format!("{folder}/{}.control", extension.name), 0).await.is_ok())
}

/// Statistics and a checkpoint, so that the plan meets a server at rest. What stood in the way of the statistics is returned as notes:
/// an index expression can fail there without the dump being wrong, and no sample is drawn from another server.
///
/// # Errors
/// The server's, when it cannot write a checkpoint.
pub async fn settle(endpoint: &Endpoint) -> Result<Vec<String>, RestoreError> {
    let connection = open(endpoint).await?;
    let mut notes = Vec::new();
    match analyze(&connection).await {
        Ok(left_out) if left_out.is_empty() => {}
        Ok(left_out) => notes.push(format!(
            "no statistics of {} as a whole: some of the rows are on another server, in foreign tables",
            left_out.join(", ")
        )),
        Err(error) => notes.push(format!("no statistics after the restore: {}", server_words(&error))),
    }
    run(&connection, "CHECKPOINT", "could not write a checkpoint").await?;
    Ok(notes)
}

/// ANALYZE, save of what reaches other servers; gives the names of that. Only 18 has a way to leave out the children of one table.
async fn analyze(connection: &Connection) -> Result<Vec<String>, tokio_postgres::Error> {
    // A partitioned table brings its partitions with it.
    let tables = format!(
        "WITH RECURSIVE {REACHES_OUT}
         SELECT format('%I.%I', n.nspname, c.relname), c.oid IN (SELECT oid FROM reaches_out),
                CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
            AND NOT (c.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_inherits h
                      WHERE h.inhrelid = c.oid AND h.inhparent NOT IN (SELECT oid FROM reaches_out)))
          ORDER BY 1"
    );
    let rows = connection.client.query(&tables, &[]).await?;
    let (left_out, targets): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get(1));
    let left_out: Vec<String> = left_out.iter().map(|row| row.get(2)).collect();
    let targets: Vec<&str> = targets.iter().map(|row| row.get(0)).collect();
    let targets = if left_out.is_empty() { String::new() } else { format!(" {}", targets.join(", ")) };
    connection.client.batch_execute(&format!("ANALYZE{targets}")).await?;
    Ok(left_out)
}

/// Rows, counted, and bytes of every table of the application's; a partitioned table is one. Tables outside `public` carry their
/// schema's name. Rows on other servers are not counted: that would connect there.
///
/// # Errors
/// The server's.
pub async fn table_sizes(endpoint: &Endpoint) -> Result<Vec<TableSize>, RestoreError> {
    // Manual, "System Catalogs": relispartition leaves out children of partitioned tables, deptype 'e' members of extensions.
    let tables = format!(
        "WITH RECURSIVE {REACHES_OUT}
        SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,
               CASE WHEN c.relkind = 'r' THEN ARRAY[format('ONLY %I.%I', n.nspname, c.relname)]
                    WHEN c.oid NOT IN (SELECT oid FROM reaches_out) THEN ARRAY[format('%I.%I', n.nspname, c.relname)]
                    ELSE ARRAY(SELECT format('ONLY %I.%I', ln.nspname, l.relname)
                                 FROM pg_catalog.pg_partition_tree(c.oid) tree JOIN pg_catalog.pg_class l ON l.oid = tree.relid
                                 JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
                                WHERE l.relkind = 'r') END,
               (SELECT coalesce(sum(pg_catalog.pg_total_relation_size(coalesce(tree.relid, c.oid))), 0)::bigint
                  FROM (SELECT) one LEFT JOIN pg_catalog.pg_partition_tree(c.oid) tree ON true)
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
           AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
         ORDER BY 1"
    );
    let connection = open(endpoint).await?;
    let failed = |source| RestoreError::Database { what: "could not list the tables".to_owned(), source };
    let mut sizes = Vec::new();
    for row in connection.client.query(&tables, &[]).await.map_err(failed)? {
        let (table, parts, bytes): (String, Vec<String>, i64) = (row.get(0), row.get(1), row.get(2));
        let mut rows = 0;
        for part in parts {
            let count = connection.client.query_one(&format!("SELECT count(*) FROM {part}"), &[]).await;
            let count = count.map_err(|source| RestoreError::Database {
                what: format!("could not count the rows of {table}"),
                source,
            })?;
            rows += u64::try_from(count.get::<_, i64>(0)).expect("a count is not negative");
        }
        sizes.push(TableSize { table, rows, bytes: u64::try_from(bytes).expect("a size is not negative") });
    }
    Ok(sizes)
}

/// Bytes of the database so far: how far a restore is that says nothing itself.
///
/// # Errors
/// The driver's.
pub async fn database_bytes(connection: &Connection) -> Result<u64, tokio_postgres::Error> {
    let row =
        connection.client.query_one("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())", &[]).await?;
    Ok(u64::try_from(row.get::<_, i64>(0)).expect("a size is not negative"))
}

pub(super) async fn open(endpoint: &Endpoint) -> Result<Connection, RestoreError> {
    let mut config = config(endpoint, CONNECT_DEADLINE);
    // Whatever the database's own settings say.
    config.options("-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off");
    Connection::start(&config).await.map_err(|source| RestoreError::Database {
        what: format!("could not connect to {}", endpoint.database),
        source,
    })
}

async fn run(connection: &Connection, sql: &str, what: &str) -> Result<(), RestoreError> {
    connection.client.batch_execute(sql).await.map_err(|source| match source.code() {
        Some(code) if *code == SqlState::DISK_FULL => RestoreError::DiskFull,
        _ => RestoreError::Database { what: what.to_owned(), source },
    })
}

fn place(line: &Option<u64>, object: &Option<String>) -> String {
    let line = line.map(|line| format!("line {line}"));
    let parts: Vec<String> = line.into_iter().chain(object.clone()).collect();
    if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(", ")) }
}

/// `unit 7`, or `unit`.
pub fn described(extension: &Extension) -> String {
    match &extension.version {
        Some(version) => format!("{} {version}", extension.name),
        None => extension.name.clone(),
    }
}

/// The server's own words where the driver's error holds them.
fn server_words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => super::blot::message(Some(error.code().code()), error.message()),
        None => error.to_string(),
    }
}
