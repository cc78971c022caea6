//! One Postgres for all tests of this process that need any server and not a lab, and further ones for those that hurt theirs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::connect::connect;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

/// Beginning of the names of the servers' folders.
const PREFIX: &str = "rehearsal-test-";

pub struct Server {
    port: u16,
    child: Child,
    _folder: tempfile::TempDir,
    /// Locked as long as this process lives: a folder whose lock is free is nobody's any more.
    _lock: File,
}

/// A fresh, empty database on the shared Postgres 15, as superuser; nothing if this machine has none and `CI` is not set.
pub async fn database() -> Option<Endpoint> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start_on_own_thread))
        .await
        .expect("starting does not panic")
        .as_ref()?;
    let maintenance = server.endpoint("postgres");
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let connection = connect(&maintenance, Duration::from_secs(10)).await.expect("the server answers");
    connection.client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database can be made");
    Some(maintenance.in_database(&name))
}

/// A server that nobody else uses, and that ends with what this returns; nothing as for [`database`].
pub async fn alone() -> Option<Server> {
    tokio::task::spawn_blocking(start_on_own_thread).await.expect("starting does not panic")
}

/// Folder of Postgres 15's programs, in Debian's place.
pub fn programs() -> Option<PathBuf> {
    let folder = PathBuf::from("/usr/lib/postgresql/15/bin");
    folder.join("postgres").exists().then_some(folder)
}

/// The death signal follows the thread that spawned, so that thread lives as long as the process.
fn start_on_own_thread() -> Option<Server> {
    let (to, from) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        to.send(start()).expect("the test waits");
        loop {
            std::thread::park();
        }
    });
    from.recv().expect("the server could be started")
}

fn start() -> Option<Server> {
    let Some(programs) = programs() else {
        assert!(!super::ci(), "no Postgres 15 on this machine, and CI=true skips nothing");
        return None;
    };
    sweep();
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a temporary folder");
    let lock = File::create(folder.path().join("lock")).expect("a lock file");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("nobody else has it");
    let data = folder.path().join("data");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    if rustix::process::geteuid().is_root() {
        assert!(run(Command::new("chown").arg("postgres").arg(folder.path())), "chown");
    }
    assert!(
        run(as_server_user(&programs.join("initdb"))
            .args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)),
        "initdb"
    );
    let child = as_server_user(&programs.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
            "-c",
            "wal_level=logical",
            "-c",
            "logging_collector=on",
            "-c",
            "log_destination=csvlog",
            "-p",
            &port.to_string(),
            "-k",
        ])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("postgres starts");
    let ready = programs.join("pg_isready");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !run(Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])) {
        assert!(Instant::now() < deadline, "Postgres not ready within 20 s");
        std::thread::yield_now();
    }
    Some(Server { port, child, _folder: folder, _lock: lock })
}

/// Removes the folders of processes that ended: what is in a static is never dropped.
fn sweep() {
    let entries = std::fs::read_dir(std::env::temp_dir()).expect("the temporary folder can be read");
    for folder in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(lock) = File::open(folder.path().join("lock")) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Another process may be sweeping as well.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

impl Server {
    /// As superuser.
    pub fn endpoint(&self, database: &str) -> Endpoint {
        Endpoint {
            engine: EngineKind::Postgres,
            host: "127.0.0.1".into(),
            port: self.port,
            database: database.into(),
            user: "postgres".into(),
            password: String::new(),
            application: "rehearsal test".into(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once: it has nothing that is worth a checkpoint. Killed, it would leave its shared memory behind.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill_process(Pid::from_raw(pid).expect("a process has an id"), Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

/// Servers refuse root; and they end with this process, for which `setpriv` asks the kernel.
fn as_server_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
