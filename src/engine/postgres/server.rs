//! The life of one Postgres server on a host: made, started, stopped, with its log.

mod extensions;
mod pair;
mod replica;
mod subscriber;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Exec, Host, HostError};
use crate::engine::postgres::connect::{DriverError, connect};
use crate::engine::postgres::names::quote;
use crate::engine::postgres::server_log::own::{self, OwnLines};
use crate::engine::server::coming_up::{ATTEMPT_DEADLINE, ComingUp, come_up};
use crate::engine::server::{self, OwnLines as _, Running, Server as _, ServerError, Trouble, Wanted};
use crate::engine::software::{Place, Software, StopSignal, StopSignals};
use crate::engine::subscription::Feed;
use crate::scenario::{EngineKind, Extension};

pub use extensions::{debian_package, parts, require_extensions};
use pair::Followed;
pub use pair::without_identity;
use replica::Upstream;
pub use replica::slot;
use trouble::{is_disk_full, trouble};

/// The superuser of every server that is made here.
pub const SUPERUSER: &str = "postgres";

/// Seen by people who look at the server's sessions.
const APPLICATION: &str = "rehearsal";

const INITDB_DEADLINE: Duration = Duration::from_secs(120);
/// Of a few statements that touch catalogs only.
const CATALOG_DEADLINE: Duration = Duration::from_secs(60);
/// What a server says where another's processes are at its shared memory still.
const STILL_ENDING: &str = "pre-existing shared memory block";

/// Settings without which the tool could not reach the server or read its log: not a scenario's to change.
const RESERVED: &[&str] = &[
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "log_destination",
    "log_directory",
    "log_file_mode",
    "log_filename",
    "log_line_prefix",
    "log_rotation_age",
    "log_rotation_size",
    "log_truncate_on_rotation",
    "logging_collector",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "unix_socket_directories",
];

/// Where Debian, Red Hat, Homebrew and Postgres.app put each major version.
const PLACES: &[Place] = &[
    Place::Series { before: "/usr/lib/postgresql/", after: "/bin" },
    Place::Series { before: "/usr/pgsql-", after: "/bin" },
    Place::Series { before: "/opt/homebrew/opt/postgresql@", after: "/bin" },
    Place::Series { before: "/usr/local/opt/postgresql@", after: "/bin" },
    Place::Series { before: "/Applications/Postgres.app/Contents/Versions/", after: "/bin" },
];

/// Versions of which `cargo xtask images` builds an image.
const BUILT: &[&str] = &["13", "15", "17", "18"];

/// What a lab must find to run Postgres `version`: "15", or "15.8" to have that release and no other.
pub fn software(version: &str) -> Software {
    let series = version.split('.').next().unwrap_or(version);
    Software {
        engine: EngineKind::Postgres,
        version: version.to_owned(),
        server: "postgres",
        places: PLACES,
        user: "postgres",
        // Of shutdowns: "fast" and "immediate".
        signals: StopSignals { fast: StopSignal::Int, immediate: StopSignal::Quit, death: StopSignal::Quit },
        port: 5432,
        images: vec![format!("rehearsal/postgres:{version}"), format!("postgres:{version}")],
        pull: format!("postgres:{version}"),
        built: BUILT.contains(&version),
        install: format!("install the server, on Debian the package postgresql-{series}"),
        parse_version,
        packages: Vec::new(),
        parts: Vec::new(),
    }
}

/// One server on its host. Not a process: it can be stopped and started.
pub struct Server {
    host: Arc<dyn Host>,
    wanted: Wanted,
    password: String,
    /// The host of the server that it replicates.
    upstream: Option<Upstream>,
    /// The other of its pair, or the server that it subscribes to, once it does.
    followed: OnceLock<Followed>,
}

impl Server {
    /// Makes a fresh cluster in the host's folder: UTF-8, C.UTF-8, passwords by SCRAM.
    ///
    /// # Errors
    /// A setting is reserved, initdb is missing or fails, or the disk is full.
    pub async fn init(host: Arc<dyn Host>, wanted: Wanted) -> Result<Server, ServerError> {
        use rand::distr::{Alphanumeric, SampleString};
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let server = Server::on_existing(host, wanted, password)?;
        server.initdb().await?;
        server.write_hba().await?;
        Ok(server)
    }

    /// The server of a cluster that was copied into the host's folder, whose superuser has that password.
    ///
    /// # Errors
    /// A setting is reserved.
    pub fn on_existing(host: Arc<dyn Host>, wanted: Wanted, password: String) -> Result<Server, ServerError> {
        match wanted.settings.keys().find(|name| RESERVED.contains(&name.to_ascii_lowercase().as_str())) {
            Some(name) => Err(ServerError::Reserved { name: name.clone() }),
            None => Ok(Server { host, wanted, password, upstream: None, followed: OnceLock::new() }),
        }
    }

    /// As [`Server::on_existing`], of a copy: one of a pair would take what the other has for the server that it is a copy of.
    ///
    /// # Errors
    /// As there.
    pub fn on_copy(host: Arc<dyn Host>, mut wanted: Wanted, password: String) -> Result<Server, ServerError> {
        if wanted.in_pair.take().is_some() {
            wanted.settings.insert("max_logical_replication_workers".to_owned(), "0".to_owned());
            wanted.settings.insert("wal_level".to_owned(), "logical".to_owned());
        }
        Server::on_existing(host, wanted, password)
    }

    /// Of what it wrote to its output before it had a log, and of its log.
    async fn tails(&self, lines: usize) -> [Vec<String>; 2] {
        let mut tails = [self.host.log_tail(lines).await, Vec::new()];
        let path = self.log_file();
        if let Ok(size) = self.host.size(&path).await {
            let text = self.host.read_from(&path, size.saturating_sub(64 * 1024)).await.unwrap_or_default();
            tails[1] = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        }
        for tail in &mut tails {
            tail.retain(|line| !is_about_log_itself(line));
        }
        tails
    }

    async fn initdb(&self) -> Result<(), ServerError> {
        let program = self.host.program("initdb").await?;
        let password_file = format!("{}/password", self.host.folder());
        self.host.write(&password_file, self.password.as_bytes()).await?;
        let run = |locale: &'static str| {
            let exec = Exec::new(&program).args([
                "--no-sync",
                "--encoding=UTF8",
                &format!("--locale={locale}"),
                &format!("--username={SUPERUSER}"),
                "--auth=scram-sha-256",
                &format!("--pwfile={password_file}"),
                &format!("--pgdata={}", self.data()),
            ]);
            async move { self.host.exec(&exec, INITDB_DEADLINE).await }
        };
        let mut output = run("C.UTF-8").await?;
        if output.status != 0 && output.stderr.contains("invalid locale") {
            // macOS has had this locale only of late; C sorts alike.
            output = run("C").await?;
        }
        self.host.write(&password_file, b"").await?;
        if output.status == 0 {
            return Ok(());
        }
        if is_disk_full(&output.stderr) {
            return Err(HostError::DiskFull { at: self.data() }.into());
        }
        Err(ServerError::NotMade { program: "initdb", log: output.stderr.lines().map(str::to_owned).collect() })
    }

    async fn write_hba(&self) -> Result<(), ServerError> {
        // In a container, the port that is published on loopback is reached from the bridge's address.
        let from: &[&str] =
            if self.host.listen().address == "127.0.0.1" { &["127.0.0.1/32", "::1/128"] } else { &["all"] };
        let mut text = "local all all scram-sha-256\n".to_owned();
        for from in from {
            text.push_str(&format!("host all all {from} scram-sha-256\nhost replication all {from} scram-sha-256\n"));
        }
        Ok(self.host.write(&format!("{}/pg_hba.conf", self.data()), text.as_bytes()).await?)
    }

    async fn arguments(&self) -> Result<Vec<String>, ServerError> {
        let listen = self.host.listen();
        let port = listen.port.to_string();
        let log = format!("{}/log", self.host.folder());
        let own = [
            ("listen_addresses", listen.address.as_str()),
            ("port", &port),
            ("unix_socket_directories", &listen.socket_dir),
            ("logging_collector", "on"),
            ("log_destination", "stderr,csvlog"),
            ("log_directory", &log),
            ("log_filename", "postgres.log"),
            ("log_rotation_age", "0"),
            ("log_rotation_size", "0"),
            ("log_line_prefix", own::PREFIX),
        ];
        // A scenario may have it otherwise.
        let usual = [("lc_messages", "C")];
        let replica = self.replica_settings().await?;
        let replica = replica.iter().map(|(name, value)| (*name, value.as_str()));
        let mut arguments = vec!["-D".to_owned(), self.data()];
        let usual = usual.into_iter().filter(|(name, _)| !self.wanted.settings.contains_key(*name));
        let wanted = self.wanted.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let logical = (self.wanted.in_pair.is_some() || self.wanted.publishes).then_some(("wal_level", "logical"));
        for (name, value) in own.into_iter().chain(replica).chain(logical).chain(usual).chain(wanted) {
            arguments.push("-c".to_owned());
            arguments.push(format!("{name}={value}"));
        }
        Ok(arguments)
    }

    async fn make_database(&self) -> Result<(), ServerError> {
        let what = "create the database";
        let endpoint = self.endpoint().await?;
        within(what, async {
            let connection = connect(&endpoint, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
            let there = connection
                .client
                .query_opt("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", &[&self.wanted.database])
                .await
                .map_err(sql(what))?;
            if there.is_some() {
                return Ok(());
            }
            // A standby that commits wait for may not be there yet.
            connection.client.batch_execute("SET synchronous_commit = local").await.map_err(sql(what))?;
            let create = format!("CREATE DATABASE {} TEMPLATE template0", quote(&self.wanted.database));
            connection.client.batch_execute(&create).await.map_err(sql(what))
        })
        .await
    }
}

#[async_trait]
impl server::Server for Server {
    async fn start(&self) -> Result<Running, ServerError> {
        let running = come_up(self).await?;
        // A replica's comes from where it replicates.
        if self.upstream.is_none() {
            self.make_database().await?;
        }
        if let Some(followed) = self.followed.get() {
            self.find_followed(followed).await?;
        }
        Ok(running)
    }

    async fn follow_peer(&self, peer: &dyn server::Server) -> Result<(), ServerError> {
        self.subscribe(peer).await
    }

    async fn subscribe_to(
        &self,
        publisher: &dyn server::Server,
        feed: &Feed,
        extensions: &[Extension],
    ) -> Result<Vec<String>, ServerError> {
        // Of the same name, and found before that of the trait.
        Server::subscribe_to(self, publisher, feed, extensions).await
    }

    async fn rest(&self) -> Result<(), ServerError> {
        self.disable_subscription().await
    }

    async fn follow_again(&self, other: &dyn server::Server, feed: Option<&Feed>) -> Result<(), ServerError> {
        self.enable_subscription(other, feed).await
    }

    async fn address(&self) -> Result<Endpoint, ServerError> {
        Ok(self.endpoint().await?.in_database(&self.wanted.database))
    }

    fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    fn password(&self) -> &str {
        &self.password
    }

    fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    fn data(&self) -> String {
        data(self.host.as_ref())
    }

    fn log_file(&self) -> String {
        format!("{}/log/postgres.log", self.host.folder())
    }

    fn own_lines(&self) -> Box<dyn server::OwnLines> {
        Box::<OwnLines>::default()
    }

    async fn log_tail(&self, lines: usize) -> Vec<String> {
        let [output, log] = self.tails(lines).await;
        own(lines, [output, log].concat())
    }

    async fn trouble(&self, lines: usize) -> Option<Trouble> {
        let tail = self.tails(lines).await.concat();
        trouble(&tail[tail.len().saturating_sub(lines)..])
    }
}

#[async_trait]
impl ComingUp for Server {
    async fn command(&self) -> Result<Exec, ServerError> {
        let program = self.host.program("postgres").await?;
        Ok(Exec::new(&program).args(self.arguments().await?))
    }

    /// The maintenance database.
    async fn endpoint(&self) -> Result<Endpoint, ServerError> {
        let (host, port) = self.host.address().await?;
        Ok(Endpoint {
            engine: EngineKind::Postgres,
            host,
            port,
            database: "postgres".to_owned(),
            user: SUPERUSER.to_owned(),
            password: self.password.clone(),
            application: APPLICATION.to_owned(),
        })
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<Running, ServerError> {
        let (version, relaxed) = ask(endpoint).await?;
        Ok(Running { version, relaxed, endpoint: endpoint.in_database(&self.wanted.database) })
    }

    /// It had not come to its log again, and its output is what it said last.
    async fn log_tail_of_start(&self, lines: usize) -> Vec<String> {
        let [output, log] = self.tails(lines).await;
        own(lines, [log, output].concat())
    }

    /// Processes of the one before, which was killed, have yet to notice.
    fn will_pass(&self, log: &[String]) -> bool {
        log.iter().any(|line| line.contains(STILL_ENDING))
    }

    fn says_disk_full(&self, line: &str) -> bool {
        is_disk_full(line)
    }
}

/// The server's version, and what of its settings makes the lab quicker than production (chapter "Write Ahead Log" of the manual).
async fn ask(endpoint: &Endpoint) -> Result<(String, BTreeMap<String, String>), ServerError> {
    let connection = connect(endpoint, ATTEMPT_DEADLINE).await.map_err(sql("connect"))?;
    let rows = connection
        .client
        .query(
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = 'server_version'
             OR name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum') AND setting = 'off'",
            &[],
        )
        .await
        .map_err(sql("ask for settings"))?;
    let mut settings: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let version = settings.remove("server_version").unwrap_or_default();
    Ok((version, settings))
}

/// The last lines that the server said of itself.
fn own(lines: usize, tail: Vec<String>) -> Vec<String> {
    let mut own = OwnLines::default();
    let mut tail: Vec<String> = tail.iter().filter_map(|line| Some(own.keep(line)?.into_owned())).collect();
    tail.split_off(tail.len().saturating_sub(lines))
}

pub(in crate::engine::postgres) fn sql(what: &str) -> impl FnOnce(tokio_postgres::Error) -> ServerError {
    let what = what.to_owned();
    move |source| ServerError::Sql { what, source: source.into() }
}

pub(in crate::engine::postgres) async fn within<T>(
    what: &str,
    work: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    match tokio::time::timeout(CATALOG_DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => Err(ServerError::Deadline { what: what.to_owned(), deadline: CATALOG_DEADLINE }),
    }
}

/// The folder with the cluster on a host.
pub fn data(host: &dyn Host) -> String {
    format!("{}/data", host.folder())
}

/// Gives a login role a password that does not expire, as a verifier, so that no log holds it.
///
/// # Errors
/// There is no such role or it may not log in; or the server's error.
pub async fn set_password(superuser: &Endpoint, role: &str, password: &str) -> Result<(), ServerError> {
    let what = format!("give role {role} a password");
    within(&what, async {
        let connection = connect(superuser, ATTEMPT_DEADLINE).await.map_err(sql(&what))?;
        let login = connection
            .client
            .query_opt("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin", &[&role])
            .await
            .map_err(sql(&what))?;
        if login.is_none() {
            return Err(ServerError::NoLogin { role: role.to_owned() });
        }
        let alter = format!("ALTER ROLE {} {}", quote(role), password_clauses(password));
        // Whatever the database's own settings say.
        connection.client.batch_execute("SET default_transaction_read_only = off").await.map_err(sql(&what))?;
        connection.client.batch_execute(&alter).await.map_err(sql(&what))
    })
    .await
}

/// As [`crate::engine::server::takes_writes`].
///
/// # Errors
/// As there.
pub async fn takes_writes(superuser: &Endpoint) -> Result<bool, DriverError> {
    let connection = connect(superuser, ATTEMPT_DEADLINE).await?;
    let asked = "SELECT NOT pg_catalog.pg_is_in_recovery() AND NOT pg_catalog.current_setting('default_transaction_read_only')::bool";
    Ok(connection.client.query_one(asked, &[]).await?.get(0))
}

/// Clauses of `ALTER ROLE` for a password that may stand in a log, and that serves whenever production's ran out.
pub(super) fn password_clauses(password: &str) -> String {
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    format!("PASSWORD '{verifier}' VALID UNTIL 'infinity'")
}

/// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" to "15.18".
fn parse_version(text: &str) -> Option<String> {
    let version = text.trim().strip_prefix("postgres (PostgreSQL) ")?.split_ascii_whitespace().next()?;
    Some(version.to_owned())
}

/// The two lines with which the server hands over from its standard error to its log.
fn is_about_log_itself(line: &str) -> bool {
    line.contains("redirecting log output to logging collector process")
        || line.contains("Future log output will appear in")
}

#[cfg(test)]
mod tests;
