//! The life of one server on a host, whatever its engine: made, started, stopped, with its log.

pub(super) mod coming_up;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Host, HostError, StopMode};
use crate::engine::mysql::server as mysql;
use crate::engine::postgres::installation;
use crate::engine::postgres::replication::pair::PUBLICATION;
use crate::engine::postgres::server as postgres;
use crate::engine::software::{Part, Software};
use crate::engine::subscription::Feed;
use crate::scenario::{self, EngineKind, Extension};

/// What a large restore left in memory takes its time to write on a slow disk.
const FAST_STOP_DEADLINE: Duration = Duration::from_secs(300);
const IMMEDIATE_STOP_DEADLINE: Duration = Duration::from_secs(30);

/// A driver's error, whichever driver it is of.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("setting {name} is this tool's own")]
    Reserved { name: String },
    /// A program that makes a server's files: initdb, pg_basebackup.
    #[error("{program} failed: {}", .log.last().map_or("it wrote nothing", String::as_str))]
    NotMade { program: &'static str, log: Vec<String> },
    #[error("the server ended while it was starting: {how}")]
    DiedStarting { how: String, log: Vec<String> },
    #[error("the server answered no query within {deadline:?}; last seen: {last}")]
    NotReady { deadline: Duration, last: String, log: Vec<String> },
    #[error("could not {what}")]
    Sql {
        what: String,
        #[source]
        source: BoxError,
    },
    #[error("could not {what} within {deadline:?}")]
    Deadline { what: String, deadline: Duration },
    /// What is published cannot be subscribed to.
    #[error("{what}")]
    Subscription { what: String, hint: Option<String> },
    #[error("role {role} is not there, or may not log in")]
    NoLogin { role: String },
    #[error("the server has no extension {name}{}", .version.as_ref().map(|v| format!(" {v}")).unwrap_or_default())]
    NoExtension { name: String, version: Option<String>, hint: String },
    #[error(transparent)]
    Host(#[from] HostError),
}

impl ServerError {
    /// The server's last log lines, where they tell more.
    pub fn log(&self) -> &[String] {
        match self {
            ServerError::NotMade { log, .. }
            | ServerError::DiedStarting { log, .. }
            | ServerError::NotReady { log, .. } => log,
            _ => &[],
        }
    }

    /// The server's own no, to a role or to its settings: whoever changed those brought it about.
    pub fn is_refusal(&self) -> bool {
        match self {
            // A signal comes from elsewhere.
            ServerError::DiedStarting { how, .. } => how.starts_with("exit status"),
            ServerError::NoLogin { .. } => true,
            _ => false,
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            ServerError::Reserved { name } => Some(format!("leave {name} out of the node's settings")),
            ServerError::NoExtension { hint, .. } | ServerError::Host(HostError::NoProgram { hint, .. }) => {
                Some(hint.clone())
            }
            ServerError::Subscription { hint, .. } => hint.clone(),
            ServerError::NoLogin { role } => {
                Some(format!("give the snapshot's roles, or CREATE ROLE {role} LOGIN in [[setup]]"))
            }
            ServerError::DiedStarting { log, .. } if log.iter().any(|line| is_about_a_setting(line)) => {
                Some("mend the node's settings".to_owned())
            }
            ServerError::DiedStarting { .. } => Some("its last log lines say why".to_owned()),
            ServerError::Host(HostError::DiskFull { .. }) => Some("free some space".to_owned()),
            _ => None,
        }
    }
}

/// In the words of any engine.
fn is_about_a_setting(line: &str) -> bool {
    ["parameter", "unknown variable", "unknown option"].iter().any(|words| line.contains(words))
}

/// How one server is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which of the topology's servers it is, from 1: servers that replicate tell each other by that.
    pub number: u32,
    /// As the scenario has it: "10.11".
    pub version: String,
    /// The node's own settings, for the command line.
    pub settings: BTreeMap<String, String>,
    /// Made when it is not there.
    pub database: String,
    /// Its place in a master-master pair, 1 or 2; none where it is in none.
    pub in_pair: Option<u32>,
    /// Others subscribe to it.
    pub publishes: bool,
}

/// When two servers can become a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// While they are empty: everything that is written on one of them comes to the other.
    Empty,
    /// Once both hold the same: rows alone go over, and no DDL.
    Alike,
}

/// What a server said once it ran.
#[derive(Debug, Clone)]
pub struct Running {
    /// "15.18 (Debian 15.18-0+deb12u1)".
    pub version: String,
    /// Settings that make the lab unlike production, name to value.
    pub relaxed: BTreeMap<String, String>,
    /// The wanted database, as superuser.
    pub endpoint: Endpoint,
}

/// What befell a server, whatever was told of the statement that met it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    DiskFull,
    /// One of its processes was killed, and with it every session; in the server's words. Nothing that a process does ends it so.
    Killed(String),
    /// One of its processes crashed, and with it every session; in the server's words. A statement can bring that about.
    Crashed(String),
}

/// Tells what a server says of itself from what it says of its sessions, which holds row values. Lines are given one by one, for an
/// entry's further lines follow its first.
pub trait OwnLines: Send {
    /// This line, the next of the log, as it is to be kept: without a row's values; none where it is not.
    fn keep<'l>(&mut self, line: &'l str) -> Option<Cow<'l, str>>;
}

/// One server on its host. Not a process: it can be stopped and started.
#[async_trait]
pub trait Server: Send + Sync {
    /// Starts it; it has answered a query when this returns, and its database is there.
    ///
    /// # Errors
    /// With its last log lines: it ended, or did not answer in time.
    async fn start(&self) -> Result<Running, ServerError>;

    /// Ends it: fast, with everybody disconnected and everything written, or at once.
    ///
    /// # Errors
    /// It did not end in time and was killed.
    async fn stop(&self, mode: StopMode) -> Result<(), ServerError> {
        let deadline = match mode {
            StopMode::Fast => FAST_STOP_DEADLINE,
            StopMode::Immediate => IMMEDIATE_STOP_DEADLINE,
        };
        Ok(self.host().stop_server(mode, deadline).await?)
    }

    /// Makes it follow the other of its pair from here on, and after every start; both run, and are as [`Pairing`] asks.
    ///
    /// # Errors
    /// Either server refuses.
    async fn follow_peer(&self, peer: &dyn Server) -> Result<(), ServerError>;

    /// Makes it subscribe to what another server of its engine publishes, from here on and after every start. These extensions are made
    /// first, and so is what it lacks of publication and tables; rows are on their way when this returns. Gives what to tell of it,
    /// lowercase fragments.
    ///
    /// # Errors
    /// It cannot hold what is published, or either server refuses; or the engine has no subscriptions.
    async fn subscribe_to(
        &self,
        _publisher: &dyn Server,
        _feed: &Feed,
        _extensions: &[Extension],
    ) -> Result<Vec<String>, ServerError> {
        // A scenario cannot ask for it.
        Err(ServerError::Subscription { what: "the engine has no subscriptions".to_owned(), hint: None })
    }

    /// From its next start on it follows nobody by what its data says, until [`Server::follow_again`]; it runs. What its data says may be the
    /// address of a server of somebody else by then.
    ///
    /// # Errors
    /// It refuses.
    async fn rest(&self) -> Result<(), ServerError> {
        Ok(())
    }

    /// Goes on following the other of its pair or, with a feed, whom it subscribes to, from where it was when both were stopped; both run.
    ///
    /// # Errors
    /// It refuses.
    async fn follow_again(&self, other: &dyn Server, feed: Option<&Feed>) -> Result<(), ServerError>;

    /// The wanted database, as superuser.
    ///
    /// # Errors
    /// The host cannot be asked for the server's address.
    async fn address(&self) -> Result<Endpoint, ServerError>;

    fn host(&self) -> &Arc<dyn Host>;

    /// The superuser's password.
    fn password(&self) -> &str;

    fn wanted(&self) -> &Wanted;

    /// The folder with its data, on the host.
    fn data(&self) -> String;

    /// The log for people, on the host.
    fn log_file(&self) -> String;

    fn own_lines(&self) -> Box<dyn OwnLines>;

    /// The last lines of what the server said of itself; what it said to sessions is left out.
    async fn log_tail(&self, lines: usize) -> Vec<String>;

    /// The last trouble that its log speaks of, in as many of its last lines.
    async fn trouble(&self, lines: usize) -> Option<Trouble>;
}

/// The superuser of every server that is made here.
pub fn superuser(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => postgres::SUPERUSER,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::SUPERUSER,
    }
}

/// What a lab must find to run a server of this engine: version "15", or "15.8" to have that release and no other.
pub fn software(engine: EngineKind, version: &str) -> Software {
    match engine {
        EngineKind::Postgres => postgres::software(version),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::software(engine, version),
    }
}

/// As [`software`], with all that a scenario's node asks for beside the server.
pub fn software_of(engine: EngineKind, node: &scenario::Node) -> Software {
    let software = software(engine, &node.version);
    let parts = parts(&software, &node.extensions);
    Software { packages: node.packages.clone(), parts, ..software }
}

/// Extensions as parts of a server's installation.
pub fn parts(software: &Software, extensions: &[Extension]) -> Vec<Part> {
    match software.engine {
        EngineKind::Postgres => postgres::parts(software.series(), extensions),
        // A scenario cannot ask for them.
        EngineKind::Mysql | EngineKind::Mariadb => Vec::new(),
    }
}

/// Makes a fresh server in the host's folder. It is not started yet.
///
/// # Errors
/// A setting is reserved, the program that makes it is missing or fails, or the disk is full.
pub async fn init(engine: EngineKind, host: Arc<dyn Host>, wanted: Wanted) -> Result<Box<dyn Server>, ServerError> {
    Ok(match engine {
        EngineKind::Postgres => Box::new(postgres::Server::init(host, wanted).await?),
        EngineKind::Mysql | EngineKind::Mariadb => Box::new(mysql::Server::init(engine, host, wanted).await?),
    })
}

/// Makes a replica, called `name`, of a server of the same engine that runs. It is not started yet.
///
/// # Errors
/// As [`init`]; or the other server refuses.
pub async fn replicate(
    engine: EngineKind,
    host: Arc<dyn Host>,
    wanted: Wanted,
    name: &str,
    upstream: &dyn Server,
) -> Result<Box<dyn Server>, ServerError> {
    Ok(match engine {
        EngineKind::Postgres => Box::new(postgres::Server::replicate(host, wanted, name, upstream).await?),
        EngineKind::Mysql | EngineKind::Mariadb => {
            Box::new(mysql::Server::replicate(engine, host, wanted, upstream).await?)
        }
    })
}

/// When servers of this engine become a pair.
pub fn pairing(engine: EngineKind) -> Pairing {
    match engine {
        EngineKind::Postgres => Pairing::Alike,
        EngineKind::Mysql | EngineKind::Mariadb => Pairing::Empty,
    }
}

/// Tables of a joined pair whose rows cannot be updated or deleted, for want of a key by which the other would find them: "orders" in the
/// usual schema, else "billing.orders".
///
/// # Errors
/// The server refuses.
pub async fn without_identity(superuser: &Endpoint) -> Result<Vec<String>, ServerError> {
    match superuser.engine {
        EngineKind::Postgres => postgres::without_identity(superuser, PUBLICATION).await,
        // Row events hold whole rows.
        EngineKind::Mysql | EngineKind::Mariadb => Ok(Vec::new()),
    }
}

/// The server whose data was copied into the host's folder, and whose superuser has that password. It replicates nobody, whoever it
/// replicated when it was copied.
///
/// # Errors
/// A setting is reserved.
pub fn on_existing(
    engine: EngineKind,
    host: Arc<dyn Host>,
    wanted: Wanted,
    password: String,
) -> Result<Box<dyn Server>, ServerError> {
    Ok(match engine {
        EngineKind::Postgres => Box::new(postgres::Server::on_copy(host, wanted, password)?),
        EngineKind::Mysql | EngineKind::Mariadb => {
            Box::new(mysql::Server::on_existing(engine, host, wanted, password)?)
        }
    })
}

/// The server of a clone in the host's folder, whose superuser has that password; of a replica, with its name and a clone of whom it
/// replicates, which has a host already. It is not started yet.
///
/// # Errors
/// The host cannot be written to.
pub async fn on_clone(
    engine: EngineKind,
    host: Arc<dyn Host>,
    wanted: Wanted,
    password: String,
    replicates: Option<(&str, &dyn Server)>,
) -> Result<Box<dyn Server>, ServerError> {
    Ok(match engine {
        EngineKind::Postgres => Box::new(postgres::Server::on_clone(host, wanted, password, replicates).await?),
        EngineKind::Mysql | EngineKind::Mariadb => {
            let upstream = replicates.map(|(_, upstream)| upstream);
            Box::new(mysql::Server::on_clone(engine, host, wanted, password, upstream)?)
        }
    })
}

/// Checks that the server can create these extensions, each at its version where one is asked for.
///
/// # Errors
/// The first that it cannot, with what there is, or where it would come from.
pub async fn require_extensions(superuser: &Endpoint, wanted: &[Extension], version: &str) -> Result<(), ServerError> {
    match superuser.engine {
        EngineKind::Postgres => postgres::require_extensions(superuser, wanted, version).await,
        // A scenario cannot ask for them.
        EngineKind::Mysql | EngineKind::Mariadb => Ok(()),
    }
}

/// Of these extensions, those that an installation with its programs in this folder does not have, or not in that version. Starts no
/// server.
///
/// # Errors
/// The installation does not say where they lie.
pub async fn lacking_extensions(
    engine: EngineKind,
    programs: &Path,
    wanted: &[Extension],
) -> io::Result<Vec<Extension>> {
    match engine {
        EngineKind::Postgres => installation::lacking(programs, wanted).await,
        // A scenario cannot ask for them.
        EngineKind::Mysql | EngineKind::Mariadb => Ok(Vec::new()),
    }
}

/// What an installation with its programs in this folder brings that a server's data may come to hold, beside the server's own release.
///
/// # Errors
/// The installation does not say.
pub async fn brought_along(engine: EngineKind, programs: &Path) -> io::Result<BTreeMap<String, String>> {
    match engine {
        EngineKind::Postgres => installation::controls(programs).await,
        EngineKind::Mysql | EngineKind::Mariadb => Ok(BTreeMap::new()),
    }
}

/// Whether a node takes writes, as far as its own settings say: it is no standby, nor read-only.
///
/// # Errors
/// The driver's, or no answer in time.
pub async fn takes_writes(superuser: &Endpoint) -> Result<bool, BoxError> {
    match superuser.engine {
        EngineKind::Postgres => Ok(postgres::takes_writes(superuser).await?),
        EngineKind::Mysql | EngineKind::Mariadb => Ok(mysql::takes_writes(superuser).await?),
    }
}

/// Makes another superuser, on this server alone, where a program's environment cannot say how its sessions call themselves. Gives whether it
/// did.
///
/// # Errors
/// The server's.
pub async fn make_superuser(superuser: &Endpoint, login: &str, password: &str) -> Result<bool, ServerError> {
    match superuser.engine {
        EngineKind::Postgres => Ok(false),
        EngineKind::Mysql | EngineKind::Mariadb => {
            mysql::make_superuser(superuser, login, password).await.map(|()| true)
        }
    }
}

/// Gives a role that may log in a password that does not expire, so that no log holds it.
///
/// # Errors
/// There is no such role or it may not log in; or the server's error.
pub async fn set_password(superuser: &Endpoint, role: &str, password: &str) -> Result<(), ServerError> {
    match superuser.engine {
        EngineKind::Postgres => postgres::set_password(superuser, role, password).await,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::set_password(superuser, role, password).await,
    }
}
