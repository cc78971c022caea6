//! The life of one MySQL or MariaDB server on a host: made, started, stopped, with its log.

mod replica;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Exec, Host, HostError};
use crate::engine::mysql::connect::{DriverError, in_time, with};
use crate::engine::mysql::names::{account, literal, quote};
use crate::engine::mysql::probing::identified;
use crate::engine::mysql::server_log::{self, Lines, is_disk_full};
use crate::engine::server::coming_up::{ATTEMPT_DEADLINE, ComingUp, come_up};
use crate::engine::server::{self, OwnLines, Running, Server as _, ServerError, Trouble, Wanted};
use crate::engine::software::{Place, Software, StopSignal, StopSignals};
use crate::engine::subscription::Feed;
use crate::scenario::OPTIONS_OF_THE_LAB;

use replica::Upstream;

/// The superuser of every server that is made here.
pub const SUPERUSER: &str = "root";

/// Settings that hold for a server's files from the first: with others than they were made with, it does not start.
const OF_FILES: &[&str] = &[
    "innodb-data-file-path",
    "innodb-data-home-dir",
    "innodb-page-size",
    "innodb-undo-tablespaces",
    "lower-case-table-names",
];

/// Where the project's own images have the files of a fresh server, a folder each engine and version.
const TEMPLATES: &str = "/var/lib/rehearsal";

const INSTRUMENT: &str = "performance-schema-instrument";

/// What `watch`, `waits` and `recover` read (chapter "Performance Schema Startup Configuration" of the manuals): who holds and awaits
/// metadata locks and since when, the stages of a statement, and statements whole enough to be known again. What a routine runs inside is
/// not counted one by one.
const OBSERVED: &[(&str, &str)] = &[
    ("performance-schema", "ON"),
    (INSTRUMENT, "wait/lock/metadata/sql/mdl=ON"),
    (INSTRUMENT, "stage/%=ON"),
    (INSTRUMENT, "statement/sp/%=OFF"),
    ("performance-schema-consumer-events-statements-current", "ON"),
    ("performance-schema-consumer-events-stages-current", "ON"),
    ("performance-schema-max-sql-text-length", "4096"),
    ("performance-schema-events-statements-history-long-size", "5000"),
];

/// MySQL makes its system tables with the whole server.
const INIT_DEADLINE: Duration = Duration::from_secs(300);
/// Of a few statements that touch catalogs only.
const CATALOG_DEADLINE: Duration = Duration::from_secs(60);

/// Where packages put the servers.
const PLACES_OF_MARIADB: &[Place] = &[
    Place::Only("/usr/sbin"),
    Place::Only("/usr/libexec"),
    Place::Series { before: "/opt/homebrew/opt/mariadb@", after: "/bin" },
    Place::Only("/opt/homebrew/opt/mariadb/bin"),
    Place::Series { before: "/usr/local/opt/mariadb@", after: "/bin" },
    Place::Only("/usr/local/opt/mariadb/bin"),
    Place::Only("/usr/local/mysql/bin"),
];
const PLACES_OF_MYSQL: &[Place] = &[
    Place::Only("/usr/sbin"),
    Place::Only("/usr/libexec"),
    Place::Series { before: "/opt/homebrew/opt/mysql@", after: "/bin" },
    Place::Only("/opt/homebrew/opt/mysql/bin"),
    Place::Series { before: "/usr/local/opt/mysql@", after: "/bin" },
    Place::Only("/usr/local/opt/mysql/bin"),
    Place::Only("/usr/local/mysql/bin"),
];

/// What a lab must find to run a server: version "10.11", or "10.11.6" to have that release and no other.
pub fn software(engine: EngineKind, version: &str) -> Software {
    let is_mariadb = engine == EngineKind::Mariadb;
    let name = engine.name();
    Software {
        engine,
        version: version.to_owned(),
        server: if is_mariadb { "mariadbd" } else { "mysqld" },
        places: if is_mariadb { PLACES_OF_MARIADB } else { PLACES_OF_MYSQL },
        user: "mysql",
        // SIGTERM is a shutdown; a killed server recovers from its log, and leaves nothing in shared memory.
        signals: StopSignals { fast: StopSignal::Term, immediate: StopSignal::Kill, death: StopSignal::Kill },
        port: 3306,
        images: vec![format!("rehearsal/{name}:{version}"), format!("{name}:{version}")],
        pull: format!("{name}:{version}"),
        // Of every version that the tool knows.
        built: engine.versions().contains(&version),
        install: if is_mariadb {
            "install the server, on Debian the packages mariadb-server-core and mariadb-client-core".to_owned()
        } else {
            "install the server, on Debian the packages mysql-server-core and mysql-client-core".to_owned()
        },
        parse_version: if is_mariadb { parse_mariadb_version } else { parse_mysql_version },
        packages: Vec::new(),
        parts: Vec::new(),
    }
}

/// "mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)" to "10.11.6".
fn parse_mariadb_version(text: &str) -> Option<String> {
    text.contains("MariaDB").then(|| number_of(text)).flatten()
}

/// "/usr/sbin/mysqld  Ver 9.7.0 for Linux on x86_64 ((Debian))" to "9.7.0". MariaDB's program may go by the same name.
fn parse_mysql_version(text: &str) -> Option<String> {
    (!text.contains("MariaDB")).then(|| number_of(text)).flatten()
}

fn number_of(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(" Ver ")?;
    Some(rest.split([' ', '-']).next()?.to_owned())
}

/// One server on its host. Not a process: it can be stopped and started.
pub struct Server {
    engine: EngineKind,
    host: Arc<dyn Host>,
    wanted: Wanted,
    password: String,
    /// Its superuser has no password yet.
    is_new: AtomicBool,
    /// What it replicates; of a pair, once both run.
    upstream: OnceLock<Upstream>,
}

impl Server {
    /// Makes a fresh server in the host's folder.
    ///
    /// # Errors
    /// A setting is reserved, the program that makes it is missing or fails, or the disk is full.
    pub async fn init(engine: EngineKind, host: Arc<dyn Host>, wanted: Wanted) -> Result<Server, ServerError> {
        use rand::distr::{Alphanumeric, SampleString};
        // A plugin may want letters of both kinds, a digit and another sign.
        let password = format!("{}-aA1", Alphanumeric.sample_string(&mut rand::rng(), 28));
        let server = Server::on_existing(engine, host, wanted, password)?;
        server.make().await?;
        Ok(server)
    }

    /// The server whose data was copied into the host's folder, and whose superuser has that password.
    ///
    /// # Errors
    /// A setting is reserved.
    pub fn on_existing(
        engine: EngineKind,
        host: Arc<dyn Host>,
        wanted: Wanted,
        password: String,
    ) -> Result<Server, ServerError> {
        let is_the_labs = |name: &&String| OPTIONS_OF_THE_LAB.contains(&option(name).replace('-', "_").as_str());
        match wanted.settings.keys().find(is_the_labs) {
            Some(name) => Err(ServerError::Reserved { name: name.clone() }),
            None => {
                let (is_new, upstream) = (AtomicBool::new(false), OnceLock::new());
                Ok(Server { engine, host, wanted, password, is_new, upstream })
            }
        }
    }

    async fn make(&self) -> Result<(), ServerError> {
        let settings = self.settings_of_files();
        if !settings.is_empty() || !self.copy_template().await? {
            self.initialise(settings).await?;
        }
        // Read before the server takes the first connection. Nothing of it is for a replica.
        let accounts = match self.engine {
            EngineKind::Mysql => Vec::new(),
            // Those without a password that it makes beside the one of this machine.
            _ => vec![
                "DELETE FROM mysql.global_priv WHERE user IN ('root', '') AND host <> 'localhost'".to_owned(),
                "FLUSH PRIVILEGES".to_owned(),
            ],
        };
        let password = literal(&self.password);
        let own = [
            format!("ALTER USER {} IDENTIFIED BY {password}", account(SUPERUSER, "localhost")),
            format!("CREATE USER {} IDENTIFIED BY {password}", account(SUPERUSER, "%")),
            format!("GRANT ALL PRIVILEGES ON *.* TO {} WITH GRANT OPTION", account(SUPERUSER, "%")),
        ];
        let lines = [vec!["SET sql_log_bin = 0".to_owned()], accounts, own.to_vec()].concat();
        self.host.write(&self.init_file(), format!("{};\n", lines.join(";\n")).as_bytes()).await?;
        self.is_new.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Options of its own that a server's files are made by, and must be made by.
    fn settings_of_files(&self) -> Vec<String> {
        let given = self.wanted.settings.iter().map(|(name, value)| (option(name), value));
        given
            .filter(|(name, _)| OF_FILES.contains(&name.as_str()))
            .map(|(name, value)| format!("--{name}={value}"))
            .collect()
    }

    /// Takes the files of a fresh server that came with the image; false where there are none.
    async fn copy_template(&self) -> Result<bool, ServerError> {
        let template = format!("{TEMPLATES}/{}-{}", self.engine.name(), self.wanted.version);
        let copy = Exec::new("/bin/cp").args(["--archive", "--reflink=auto", &template, &self.data()]);
        let output = self.host.exec(&copy, INIT_DEADLINE).await?;
        if output.status != 0 && is_disk_full(&output.stderr) {
            return Err(HostError::DiskFull { at: self.data() }.into());
        }
        Ok(output.status == 0)
    }

    /// Chapters "Initializing the Data Directory" (MySQL) and "mariadb-install-db" (MariaDB).
    async fn initialise(&self, settings: Vec<String>) -> Result<(), ServerError> {
        let (program, exec) = match self.engine {
            EngineKind::Mysql => {
                let exec = Exec::new(self.host.program("mysqld").await?);
                (
                    "mysqld --initialize-insecure",
                    exec.args(["--no-defaults", "--initialize-insecure", "--skip-log-bin"]),
                )
            }
            _ => {
                let program = "mariadb-install-db";
                let exec = Exec::new(self.host.program(program).await?);
                // The last is for a machine whose own name has no address.
                let options = [
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    "--skip-name-resolve",
                    "--force",
                ];
                (program, exec.args(options))
            }
        };
        // A starting server removes what it takes for temporary tables left behind: another's, where both have one folder for them.
        let folders = [format!("--datadir={}", self.data()), format!("--tmpdir={}", self.host.listen().socket_dir)];
        let output = self.host.exec(&exec.args(folders).args(settings), INIT_DEADLINE).await?;
        if output.status == 0 {
            return Ok(());
        }
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), output.stderr);
        if is_disk_full(&said) {
            return Err(HostError::DiskFull { at: self.data() }.into());
        }
        Err(ServerError::NotMade { program, log: said.lines().map(str::to_owned).collect() })
    }

    fn init_file(&self) -> String {
        format!("{}/init.sql", self.host.folder())
    }

    fn arguments(&self) -> Vec<String> {
        let listen = self.host.listen();
        let mut own = vec![
            ("datadir", self.data()),
            ("port", listen.port.to_string()),
            ("bind-address", listen.address),
            ("socket", format!("{}/{}", listen.socket_dir, listen.port)),
            ("pid-file", format!("{}/pid", self.host.folder())),
            // Private, and removed with the lab: a server that is killed leaves its temporary files, and one that starts removes others'.
            ("tmpdir", listen.socket_dir.clone()),
            ("server-id", self.wanted.number.to_string()),
            ("log-bin", "binlog".to_owned()),
        ];
        if self.is_new.load(Ordering::Relaxed) {
            own.push(("init-file", self.init_file()));
        }
        let of_engine: &[(&str, &str)] = match self.engine {
            EngineKind::Mysql => &[
                ("mysqlx", "OFF"),
                ("gtid-mode", "ON"),
                ("enforce-gtid-consistency", "ON"),
                ("skip-replica-start", "ON"),
            ],
            _ => &[("skip-slave-start", "ON")],
        };
        own.extend(of_engine.iter().map(|(name, value)| (*name, (*value).to_owned())));
        // A scenario may have it otherwise.
        let usual: &[(&str, &str)] = match self.engine {
            EngineKind::Mysql => &[],
            _ => &[("log-slave-updates", "ON")],
        };
        // By default they are named after the host, and a clone has another.
        let common = [("skip-name-resolve", "ON"), ("lc-messages", "en_US"), ("relay-log", "relay")];
        let of_pair = self.wanted.in_pair.map(|place| of_pair(self.engine, place)).unwrap_or_default();
        let given: BTreeMap<String, &str> =
            self.wanted.settings.iter().map(|(name, value)| (option(name), value.as_str())).collect();
        let usual = usual.iter().chain(&common).chain(OBSERVED);
        let usual = usual.map(|(name, value)| (*name, (*value).to_owned())).chain(of_pair);
        // Of instruments, one option more takes none away.
        let usual = usual.filter(|(name, _)| *name == INSTRUMENT || !given.contains_key(*name));
        let mut arguments = vec!["--no-defaults".to_owned()];
        arguments.extend(usual.map(|(name, value)| format!("--{name}={value}")));
        arguments.extend(given.iter().map(|(name, value)| format!("--{name}={value}")));
        arguments.extend(own.into_iter().map(|(name, value)| format!("--{name}={value}")));
        arguments
    }

    async fn make_database(&self, endpoint: &Endpoint) -> Result<(), ServerError> {
        let what = "create the database";
        within(what, async {
            with(&endpoint.in_database(""), ATTEMPT_DEADLINE, async |connection| {
                // It may have been made before, on a server that is read only now.
                let there = "SELECT 1 FROM information_schema.schemata WHERE schema_name = ?";
                match connection.exec_first::<u8, _, _>(there, (&endpoint.database,)).await? {
                    Some(_) => Ok(()),
                    None => connection.query_drop(format!("CREATE DATABASE {}", quote(&endpoint.database))).await,
                }
            })
            .await
            .map_err(sql(what))
        })
        .await
    }
}

/// What makes a server one of two that write to each other: rows and no statements in the log, which each tells on, and keys that do not
/// meet (chapters "Replication and AUTO_INCREMENT" of MySQL's manual and "Multi-Source Replication" of MariaDB's).
fn of_pair(engine: EngineKind, place: u32) -> Vec<(&'static str, String)> {
    let mut options = vec![
        ("binlog-format", "ROW".to_owned()),
        ("auto-increment-increment", "2".to_owned()),
        ("auto-increment-offset", place.to_string()),
    ];
    if engine == EngineKind::Mariadb {
        // Each numbers its own transactions.
        options.extend([("gtid-domain-id", place.to_string()), ("gtid-strict-mode", "ON".to_owned())]);
    }
    options
}

/// A setting's name as an option has it: the servers take both spellings.
fn option(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[async_trait]
impl server::Server for Server {
    async fn start(&self) -> Result<Running, ServerError> {
        let running = come_up(self).await?;
        if self.is_new.swap(false, Ordering::Relaxed) {
            self.host.write(&self.init_file(), b"").await?;
        }
        match (self.upstream.get(), self.wanted.in_pair) {
            (Some(upstream), _) => self.follow(upstream, &running.endpoint).await?,
            // It comes from where it replicates, and so does the second's of a pair.
            (None, Some(2)) => {}
            (None, _) => self.make_database(&running.endpoint).await?,
        }
        Ok(running)
    }

    async fn follow_peer(&self, peer: &dyn server::Server) -> Result<(), ServerError> {
        let superuser = self.address().await?;
        let peer = Upstream::of(peer);
        self.follow(self.upstream.get_or_init(|| peer), &superuser).await
    }

    async fn follow_again(&self, other: &dyn server::Server, _feed: Option<&Feed>) -> Result<(), ServerError> {
        // Whom it knew of when it was started, it follows since.
        if self.upstream.get().is_some() { Ok(()) } else { self.follow_peer(other).await }
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
        format!("{}/data", self.host.folder())
    }

    /// What it writes to its standard error, which is what it does by default.
    fn log_file(&self) -> String {
        format!("{}/server.log", self.host.folder())
    }

    fn own_lines(&self) -> Box<dyn OwnLines> {
        Box::new(Lines)
    }

    async fn log_tail(&self, lines: usize) -> Vec<String> {
        let mut own = Lines;
        // More than asked for, since some are left out.
        let mut tail = self.host.log_tail(lines * 4).await;
        tail.retain(|line| own.keep(line).is_some());
        tail.split_off(tail.len().saturating_sub(lines))
    }

    async fn trouble(&self, lines: usize) -> Option<Trouble> {
        server_log::trouble(&self.host.log_tail(lines).await)
    }
}

#[async_trait]
impl ComingUp for Server {
    async fn command(&self) -> Result<Exec, ServerError> {
        let program = if self.engine == EngineKind::Mysql { "mysqld" } else { "mariadbd" };
        Ok(Exec::new(self.host.program(program).await?).args(self.arguments()))
    }

    /// No database at all.
    async fn endpoint(&self) -> Result<Endpoint, ServerError> {
        let (host, port) = self.host.address().await?;
        Ok(Endpoint {
            engine: self.engine,
            host,
            port,
            database: String::new(),
            user: SUPERUSER.to_owned(),
            password: self.password.clone(),
            application: String::new(),
        })
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<Running, ServerError> {
        let (version, relaxed) = ask(endpoint).await.map_err(sql("ask for settings"))?;
        Ok(Running { version, relaxed, endpoint: endpoint.in_database(&self.wanted.database) })
    }

    async fn log_tail_of_start(&self, lines: usize) -> Vec<String> {
        self.log_tail(lines).await
    }

    /// One before, which was killed, has yet to let go of its files.
    fn will_pass(&self, log: &[String]) -> bool {
        let held = ["Unable to lock ./ibdata1", "Can't lock aria control file"];
        log.iter().any(|line| held.iter().any(|words| line.contains(words)))
    }

    fn says_disk_full(&self, line: &str) -> bool {
        is_disk_full(line)
    }
}

/// The server's version, and what of its settings makes the lab quicker than production (chapter "InnoDB Startup Options and System
/// Variables" of the manuals).
async fn ask(endpoint: &Endpoint) -> Result<(String, BTreeMap<String, String>), DriverError> {
    let asked = "SELECT VERSION(), @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite";
    let (version, flush, doublewrite): (String, String, String) = in_time(
        CATALOG_DEADLINE,
        with(endpoint, ATTEMPT_DEADLINE, async |connection| connection.query_first(asked).await),
    )
    .await?
    .unwrap_or_default();
    let mut relaxed = BTreeMap::new();
    if flush != "1" {
        relaxed.insert("innodb_flush_log_at_trx_commit".to_owned(), flush);
    }
    if ["0", "OFF"].contains(&doublewrite.as_str()) {
        relaxed.insert("innodb_doublewrite".to_owned(), "OFF".to_owned());
    }
    let number = version.split('-').next().unwrap_or(&version);
    Ok((if number == version { version } else { format!("{number} ({version})") }, relaxed))
}

/// As [`server::takes_writes`].
///
/// # Errors
/// As there.
pub async fn takes_writes(superuser: &Endpoint) -> Result<bool, DriverError> {
    let asked = with(superuser, ATTEMPT_DEADLINE, async |connection| {
        connection.query_first::<bool, _>("SELECT @@GLOBAL.read_only = 0").await
    });
    Ok(in_time(ATTEMPT_DEADLINE, asked).await?.unwrap_or_default())
}

/// Makes an account anew that may do whatever this one may. Nothing of it is in the binary log.
///
/// # Errors
/// The server's.
pub async fn make_superuser(superuser: &Endpoint, user: &str, password: &str) -> Result<(), ServerError> {
    let what = format!("make user {user}");
    within(&what, async {
        let made = with(superuser, ATTEMPT_DEADLINE, async |connection| {
            let name = account(user, "%");
            let statements = [
                "SET SESSION sql_log_bin = 0".to_owned(),
                format!("DROP USER IF EXISTS {name}"),
                format!("CREATE USER {name} {}", identified(superuser.engine, password)),
                format!("GRANT ALL PRIVILEGES ON *.* TO {name} WITH GRANT OPTION"),
            ];
            for statement in statements {
                connection.query_drop(statement).await?;
            }
            Ok(())
        });
        made.await.map_err(sql(&what))
    })
    .await
}

/// Gives every account of that user name a password (chapters "ALTER USER" of the manuals). The binary log has it hashed: MySQL writes it
/// so, and MariaDB is given the hash.
///
/// # Errors
/// There is no such user; or the server's error.
pub async fn set_password(superuser: &Endpoint, user: &str, password: &str) -> Result<(), ServerError> {
    let what = format!("give user {user} a password");
    within(&what, async {
        let changed = with(superuser, ATTEMPT_DEADLINE, async |connection| {
            let hosts: Vec<String> = connection.exec("SELECT host FROM mysql.user WHERE user = ?", (user,)).await?;
            let by = match superuser.engine {
                EngineKind::Mysql => literal(password),
                _ => {
                    let hash: Option<String> = connection.exec_first("SELECT PASSWORD(?)", (password,)).await?;
                    format!("PASSWORD {}", literal(&hash.unwrap_or_default()))
                }
            };
            for host in &hosts {
                let alter = format!("ALTER USER {} IDENTIFIED BY {by}", account(user, host));
                connection.query_drop(alter).await?;
            }
            Ok(hosts.len())
        });
        match changed.await.map_err(sql(&what))? {
            0 => Err(ServerError::NoLogin { role: user.to_owned() }),
            _ => Ok(()),
        }
    })
    .await
}

fn sql(what: &str) -> impl FnOnce(DriverError) -> ServerError {
    let what = what.to_owned();
    move |source| ServerError::Sql { what, source: source.into() }
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T, ServerError>>) -> Result<T, ServerError> {
    match tokio::time::timeout(CATALOG_DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => Err(ServerError::Deadline { what: what.to_owned(), deadline: CATALOG_DEADLINE }),
    }
}

#[cfg(test)]
mod tests;
