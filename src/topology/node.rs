//! One node: a server on a host of the lab, and the copy of its state before the plan.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::distr::{Alphanumeric, SampleString};

use super::TopologyError;
use crate::engine::endpoint::Endpoint;
use crate::engine::files;
use crate::engine::host::{Exec, Host, HostError, StopMode};
use crate::engine::server::{self, OwnLines, Running, Server, ServerError, Trouble, Wanted};
use crate::engine::software::Software;
use crate::engine::subscription::Feed;
use crate::event::CloneKind;
use crate::lab::baseline::{Baseline, Draft, Stored};
use crate::lab::{Copied, CopyKind, LabHandle, LabHost};
use crate::scenario::{self, EngineKind, Extension};

/// How often a node is looked at for whether its server still runs.
const WATCH_EVERY: Duration = Duration::from_millis(200);
/// Of lines that are looked through for what befell the server: while it recovers, each attempt to connect is one.
const TROUBLE_LINES: usize = 2000;
/// Opens files for writing, and writes nothing: a table's, and what is named after it.
const OWN: &str = r#"
cd "$1" || exit 1; shift
for name; do
for file in "$name" "$name".* "$name"_*; do [ ! -f "$file" ] || : >>"$file" || exit 1; done
done
"#;
const FILES_AT_ONCE: usize = 200;
const OWN_DEADLINE: Duration = Duration::from_secs(3600);
/// With less than this, nothing of a server's can be written any more, its log neither.
const FULL_BYTES: u64 = 64 * 1024;

/// A server, its host and its name in the scenario.
pub struct Node {
    name: String,
    shard: Option<u32>,
    is_writer: bool,
    replicates: Option<String>,
    peer: Option<String>,
    subscribes: Option<scenario::Subscribes>,
    /// Its own list.
    extensions: Vec<Extension>,
    software: Software,
    lab: LabHandle,
    host: Arc<dyn LabHost>,
    server: Box<dyn Server>,
    running: Mutex<Running>,
    /// The password of every login that this program uses, but the superuser's.
    login_password: String,
    /// Roles that have it.
    logins: tokio::sync::Mutex<HashSet<String>>,
    /// Held while the server is asked to stop or start, so that nobody takes that for an end of its own.
    wanted_up: tokio::sync::Mutex<bool>,
    kept: Mutex<Option<Before>>,
    /// The topology is being shut down on purpose.
    forgotten: AtomicBool,
    gone: AtomicBool,
}

/// Where a node's state before the plan is.
enum Before {
    /// Its own, which becomes the server's that is started from it.
    Copied(Copied),
    /// To be cloned.
    Stored(StoredAt),
}

/// A node's cluster in a baseline.
pub(super) struct StoredAt {
    pub baseline: Baseline,
    pub stored: Stored,
    /// Its superuser's.
    pub password: String,
}

/// A copy that was made, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    pub clone: CloneKind,
    pub bytes: u64,
    /// The copying alone.
    pub copy_elapsed: Duration,
    /// With the server's stop and start.
    pub elapsed: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that the cluster takes.
    pub data_bytes: Option<u64>,
    pub free_bytes: u64,
}

/// Where a node stands in its topology.
pub(super) struct Place<'a> {
    pub node: &'a scenario::Node,
    pub is_writer: bool,
    /// What it is a replica of.
    pub upstream: Option<&'a Node>,
    /// [`Node::login_password`].
    pub login_password: &'a str,
    /// What its host is a clone of.
    pub stored: Option<StoredAt>,
}

impl Node {
    /// A server on a new host, started: with a fresh cluster, as a replica, or with the clone that the host holds. What a server wrote that
    /// did not come up is collected into `logs`.
    pub(super) async fn launch(
        lab: LabHandle,
        host: Arc<dyn LabHost>,
        engine: EngineKind,
        place: Place<'_>,
        wanted: Wanted,
        logs: &Path,
    ) -> Result<Node, TopologyError> {
        let Place { node, is_writer, upstream, login_password, stored } = place;
        let software = server::software_of(engine, node);
        let made = match (upstream, &stored) {
            (None, None) => server::init(engine, as_host(&host), wanted).await,
            (Some(upstream), None) => {
                server::replicate(engine, as_host(&host), wanted, &node.name, upstream.server.as_ref()).await
            }
            (upstream, Some(StoredAt { password, .. })) => {
                let replicates = upstream.map(|upstream| (node.name.as_str(), upstream.server.as_ref()));
                server::on_clone(engine, as_host(&host), wanted, password.clone(), replicates).await
            }
        };
        let server = made.map_err(|source| failed(&node.name, source))?;
        let started = async {
            let running = server.start().await?;
            server::require_extensions(&running.endpoint, &node.extensions, &running.version).await?;
            Ok(running)
        };
        match started.await {
            Ok(running) => {
                let started = Node::on(lab, &node.name, software, host, server, running);
                let replicates = upstream.map(|upstream| upstream.name.clone());
                let (peer, subscribes) = (node.peers.first().cloned(), node.subscribes.clone());
                let (shard, extensions, login_password) =
                    (node.shard, node.extensions.clone(), login_password.to_owned());
                let kept = Mutex::new(stored.map(Before::Stored));
                Ok(Node { shard, is_writer, replicates, peer, subscribes, extensions, login_password, kept, ..started })
            }
            Err(source) => {
                collect_logs(&node.name, host.as_ref(), server.as_ref(), logs).await?;
                Err(failed(&node.name, source))
            }
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// From 1; none where the topology has no shards.
    pub fn shard(&self) -> Option<u32> {
        self.shard
    }

    /// Whether it takes its shard's snapshot and release.
    pub fn is_writer(&self) -> bool {
        self.is_writer
    }

    /// The node that it is a replica of.
    pub fn replicates(&self) -> Option<&str> {
        self.replicates.as_deref()
    }

    /// Whether it gets what another publishes, by a subscription.
    pub fn is_subscriber(&self) -> bool {
        self.subscribes.is_some()
    }

    /// The other of its pair.
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    /// What it subscribes to.
    pub fn feed(&self) -> Option<Feed> {
        let scenario::Subscribes { publication, tables, .. } = self.subscribes.clone()?;
        Some(Feed { publication, tables, subscriber: self.name.clone() })
    }

    /// As the server says: "15.18 (Debian 15.18-0+deb12u1)".
    pub fn version(&self) -> String {
        self.running().version
    }

    /// Settings that make it unlike production, name to value, as the server says.
    pub fn relaxed(&self) -> BTreeMap<String, String> {
        self.running().relaxed
    }

    /// The scenario's database, as superuser. Asked for anew after a restart: the port may have changed.
    pub fn endpoint(&self) -> Endpoint {
        self.running().endpoint
    }

    /// The scenario's database as a login role, which is given a password of its own for this.
    ///
    /// # Errors
    /// There is no such role, or it may not log in.
    pub async fn endpoint_as(&self, role: &str) -> Result<Endpoint, TopologyError> {
        let superuser = self.endpoint();
        if role == superuser.user {
            return Ok(superuser);
        }
        let mut logins = self.logins.lock().await;
        let endpoint = superuser.as_user(role, &self.login_password);
        if !logins.contains(role) {
            let set = server::set_password(&self.endpoint(), role, &self.login_password).await;
            set.map_err(|source| self.failed(source))?;
            logins.insert(role.to_owned());
        }
        Ok(endpoint)
    }

    /// As superuser, for a program whose sessions are to be told from others': by that login where a program's environment does not say
    /// how its sessions call themselves.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn endpoint_of_program(&self, login: &str) -> Result<Endpoint, TopologyError> {
        let superuser = self.endpoint();
        let made = server::make_superuser(&superuser, login, &self.login_password).await;
        let made = made.map_err(|source| self.failed(source))?;
        Ok(if made { superuser.as_user(login, &self.login_password) } else { superuser })
    }

    /// For whoever makes a login of its own on this node: one password on all nodes of a topology, so that nobody's login is changed under
    /// another's hands, nor by what a peer replicates.
    pub fn login_password(&self) -> &str {
        &self.login_password
    }

    /// The lab's own folder on this machine, which goes with the lab, and with the next run where this one is killed.
    pub fn lab_folder(&self) -> &Path {
        self.lab.folder()
    }

    pub fn host(&self) -> &dyn Host {
        self.host.as_ref()
    }

    /// Whether it was last told to be up, and came up.
    pub async fn is_up(&self) -> bool {
        *self.wanted_up.lock().await
    }

    /// Starts the server; it has answered a query when this returns.
    ///
    /// # Errors
    /// It ended or did not answer in time, with its last log lines.
    pub async fn start(&self) -> Result<(), TopologyError> {
        let mut up = self.wanted_up.lock().await;
        self.start_locked(&mut up).await
    }

    /// Disconnects everybody, writes a checkpoint, ends.
    ///
    /// # Errors
    /// It did not end in time and was killed.
    pub async fn stop(&self) -> Result<(), TopologyError> {
        self.stop_with(StopMode::Fast).await
    }

    /// Stop and start.
    ///
    /// # Errors
    /// As there.
    pub async fn restart(&self) -> Result<(), TopologyError> {
        let mut up = self.wanted_up.lock().await;
        self.stop_locked(&mut up, StopMode::Fast).await?;
        self.start_locked(&mut up).await
    }

    /// Stops the server, copies its cluster, starts it again.
    ///
    /// # Errors
    /// The disk is full, or the server does not come back.
    pub async fn keep_before(&self) -> Result<Kept, TopologyError> {
        let began = Instant::now();
        let mut up = self.wanted_up.lock().await;
        self.stop_locked(&mut up, StopMode::Fast).await?;
        let copying = Instant::now();
        let copied = self.lab.copy(&self.host, &self.server.data()).await?;
        let copy_elapsed = copying.elapsed();
        self.start_locked(&mut up).await?;
        let kept = Kept { clone: clone_kind(copied.kind), bytes: copied.bytes, copy_elapsed, elapsed: began.elapsed() };
        self.set_before(Before::Copied(copied));
        Ok(kept)
    }

    /// Starts a second server from its state before the plan, which becomes its own: this works once.
    ///
    /// # Errors
    /// There is no copy, or the server does not start.
    pub async fn start_before(&self) -> Result<Node, TopologyError> {
        let before = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let name = format!("{}-before", self.name);
        let host = match &before {
            Some(Before::Copied(copied)) => self.lab.host_from(&name, &self.software, copied).await?,
            Some(Before::Stored(at)) => self.lab.host_of(&name, &self.software, &at.baseline, &at.stored).await?,
            None => return Err(TopologyError::NothingKept { node: self.name.clone() }),
        };
        let (wanted, password) = (self.server.wanted().clone(), self.server.password().to_owned());
        let server = server::on_existing(self.software.engine, as_host(&host), wanted, password);
        let server = server.map_err(|source| failed(&name, source))?;
        let running = server.start().await.map_err(|source| failed(&name, source))?;
        Ok(Node::on(self.lab.clone(), &name, self.software.clone(), host, server, running))
    }

    /// The last lines of the server's log.
    pub async fn log_tail(&self, lines: usize) -> Vec<String> {
        self.server.log_tail(lines).await
    }

    /// Resolves when the server ended without being asked to, at once: how it ended, "signal: 9 (SIGKILL)".
    pub async fn exited(&self) -> String {
        let mut tick = tokio::time::interval(WATCH_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Some(how) = self.exit().await {
                return how;
            }
        }
    }

    /// How the server ended, if it has without being asked to.
    pub async fn exit(&self) -> Option<String> {
        let up = self.wanted_up.lock().await;
        if !*up || self.forgotten.load(Ordering::Relaxed) {
            return None;
        }
        self.host.server_exit().await
    }

    /// Its server ended, and that was told: it is not up until it is started again.
    pub async fn gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
        *self.wanted_up.lock().await = false;
    }

    /// Whether [`Node::gone`] was called.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// What befell the server of late that this machine is to blame for: asked when something failed, to tell whose fault it was.
    pub async fn trouble(&self) -> Option<Trouble> {
        let told = self.server.trouble(TROUBLE_LINES).await;
        if !matches!(told, Some(Trouble::DiskFull | Trouble::Killed(_)))
            && self.host.free_bytes().await.is_ok_and(|free| free < FULL_BYTES)
        {
            return Some(Trouble::DiskFull);
        }
        told
    }

    /// What the cluster takes, and what is free beside it. Asks the file system, never the server.
    ///
    /// # Errors
    /// The host cannot be asked.
    pub async fn disk(&self) -> Result<Disk, TopologyError> {
        let free_bytes = self.host.free_bytes().await.map_err(|source| self.failed(source.into()))?;
        // Files come and go meanwhile, for which it has a complaint and an exit code; its sum stands.
        let measure = Exec::new("/usr/bin/du").args(["-sk", &self.server.data()]);
        let data_bytes = self.host.exec(&measure, Duration::from_secs(10)).await.ok().and_then(|output| {
            let kilobytes: u64 =
                String::from_utf8(output.stdout).ok()?.split_ascii_whitespace().next()?.parse().ok()?;
            kilobytes.checked_mul(1024)
        });
        Ok(Disk { data_bytes, free_bytes })
    }

    pub(super) async fn stop_with(&self, mode: StopMode) -> Result<(), TopologyError> {
        let mut up = self.wanted_up.lock().await;
        self.stop_locked(&mut up, mode).await
    }

    /// Makes the server outlive this process.
    pub(super) async fn outlive(&self) -> Result<(), TopologyError> {
        let again = self.host.outlive().await.map_err(|source| self.failed(source.into()))?;
        if again { self.restart().await } else { Ok(()) }
    }

    /// Makes it follow the other of its pair.
    pub(super) async fn follow_peer(&self, peer: &Node) -> Result<(), TopologyError> {
        self.server.follow_peer(peer.server.as_ref()).await.map_err(|source| self.failed(source))
    }

    /// How it was cloned from a baseline, if it was.
    pub(super) fn cloned(&self) -> Option<CloneKind> {
        self.host.cloned().map(|cloned| clone_kind(cloned.kind))
    }

    /// The superuser's.
    pub(super) fn password(&self) -> &str {
        self.server.password()
    }

    /// Copies its cluster for a baseline; its server is stopped.
    pub(super) async fn store(&self, draft: &Draft) -> Result<(CloneKind, Stored), TopologyError> {
        let (kind, stored) = draft.store(&self.host, &self.name, &self.server.data()).await?;
        Ok((clone_kind(kind), stored))
    }

    /// Sees to it that the files of its tables and of its log are its own: one that it shares is copied as a whole when it is first opened
    /// for writing, which Postgres does to read as well.
    pub(super) async fn own(&self) -> Result<(), TopologyError> {
        let found = files::written(&self.endpoint()).await;
        let could_not = |source| self.failed(ServerError::Sql { what: "ask where tables lie".to_owned(), source });
        for some in found.map_err(could_not)?.chunks(FILES_AT_ONCE) {
            let exec = Exec::new("/bin/sh").args(["-c", OWN, "sh", &self.server.data()]).args(some.iter().cloned());
            let done = self.host.exec(&exec, OWN_DEADLINE).await.map_err(|source| self.failed(source.into()))?;
            if done.status != 0 {
                let what = format!("could not make a clone's files its own: {}", done.stderr.trim_end());
                return Err(self.failed(HostError::Failed { what, source: None }.into()));
            }
        }
        Ok(())
    }

    /// Its state before the plan is that one.
    pub(super) fn begins_with(&self, stored: StoredAt) {
        self.set_before(Before::Stored(stored));
    }

    /// See [`Server::rest`].
    pub(super) async fn rest(&self) -> Result<(), TopologyError> {
        if self.peer.is_none() && self.subscribes.is_none() {
            return Ok(());
        }
        self.server.rest().await.map_err(|source| self.failed(source))
    }

    /// See [`Server::follow_again`].
    pub(super) async fn follow_again(&self, other: &Node, feed: Option<&Feed>) -> Result<(), TopologyError> {
        self.server.follow_again(other.server.as_ref(), feed).await.map_err(|source| self.failed(source))
    }

    /// Makes it subscribe to what another publishes. Gives what to tell of it.
    pub(super) async fn subscribe_to(&self, publisher: &Node, feed: &Feed) -> Result<Vec<String>, TopologyError> {
        let subscribed = self.server.subscribe_to(publisher.server.as_ref(), feed, &self.extensions).await;
        subscribed.map_err(|source| self.failed(source))
    }

    /// Tables whose rows cannot be updated or deleted, for the other of its pair could not tell which are meant.
    pub(super) async fn without_identity(&self) -> Result<Vec<String>, TopologyError> {
        server::without_identity(&self.endpoint()).await.map_err(|source| self.failed(source))
    }

    /// Nothing that happens to the server from here on is news.
    pub(super) fn forget(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
    }

    pub(super) fn lab_host(&self) -> Arc<dyn LabHost> {
        Arc::clone(&self.host)
    }

    pub(super) async fn collect_logs(&self, to: &Path) -> Result<(), TopologyError> {
        collect_logs(&self.name, self.host.as_ref(), self.server.as_ref(), to).await
    }

    fn on(
        lab: LabHandle,
        name: &str,
        software: Software,
        host: Arc<dyn LabHost>,
        server: Box<dyn Server>,
        running: Running,
    ) -> Node {
        Node {
            name: name.to_owned(),
            shard: None,
            is_writer: false,
            replicates: None,
            peer: None,
            subscribes: None,
            extensions: Vec::new(),
            software,
            lab,
            host,
            server,
            running: Mutex::new(running),
            login_password: login_password(),
            logins: tokio::sync::Mutex::default(),
            wanted_up: tokio::sync::Mutex::new(true),
            kept: Mutex::new(None),
            forgotten: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    fn set_before(&self, before: Before) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    }

    async fn start_locked(&self, up: &mut bool) -> Result<(), TopologyError> {
        let running = self.server.start().await.map_err(|source| self.failed(source))?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
        *up = true;
        Ok(())
    }

    async fn stop_locked(&self, up: &mut bool, mode: StopMode) -> Result<(), TopologyError> {
        *up = false;
        self.server.stop(mode).await.map_err(|source| self.failed(source))
    }

    fn running(&self) -> Running {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, source: ServerError) -> TopologyError {
        failed(&self.name, source)
    }
}

/// A new one.
pub(super) fn login_password() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 32)
}

async fn collect_logs(node: &str, host: &dyn LabHost, server: &dyn Server, to: &Path) -> Result<(), TopologyError> {
    let unwritable = |source| TopologyError::Unwritable { path: to.to_owned(), source };
    tokio::fs::create_dir_all(to).await.map_err(unwritable)?;
    let (file, whole) = (server.log_file(), to.join(format!("{node}.log.whole")));
    match host.fetch(&file, &whole).await {
        Ok(()) => {
            let own = to.join(format!("{node}.log"));
            let (from, lines) = (whole.clone(), server.own_lines());
            let copied = tokio::task::spawn_blocking(move || copy_own_lines(lines, &from, &own)).await;
            copied.map_err(std::io::Error::other).and_then(|copied| copied).map_err(unwritable)?;
        }
        // A server that never came up has no log yet; what it said is in the error.
        Err(error) => tracing::debug!(%error, file, "no log to collect"),
    }
    let _ = tokio::fs::remove_file(&whole).await;
    Ok(())
}

/// What sessions said holds row values, and stays on the host.
fn copy_own_lines(mut own: Box<dyn OwnLines>, from: &Path, to: &Path) -> std::io::Result<()> {
    let mut to = std::io::BufWriter::new(std::fs::File::create(to)?);
    for line in std::io::BufReader::new(std::fs::File::open(from)?).split(b'\n') {
        let line = line?;
        match own.keep(&String::from_utf8_lossy(&line)) {
            None => continue,
            Some(Cow::Borrowed(_)) => to.write_all(&line)?,
            Some(Cow::Owned(kept)) => to.write_all(kept.as_bytes())?,
        }
        to.write_all(b"\n")?;
    }
    to.flush()
}

fn failed(node: &str, source: ServerError) -> TopologyError {
    TopologyError::Server { node: node.to_owned(), source }
}

fn clone_kind(kind: CopyKind) -> CloneKind {
    match kind {
        CopyKind::Reflink => CloneKind::Reflink,
        CopyKind::Overlay => CloneKind::Overlay,
        CopyKind::Files => CloneKind::Copy,
    }
}

fn as_host(host: &Arc<dyn LabHost>) -> Arc<dyn Host> {
    Arc::clone(host) as Arc<dyn Host>
}
