//! A room: a folder of its own for scenario, lab and temporary files, in which the program runs, and which knows what is left of it.

use std::convert::Infallible;
use std::fs::{self, File, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use crate::leftovers::entries;
use crate::{docker, leftovers};

pub const LABS: [&str; 2] = ["native", "docker"];

/// A snapshot of nothing and one table, as most tests want it. Steps come behind it.
pub const SCENARIO: &str = "\
name = \"ugly\"
[topology]
engine = \"postgres\"
version = \"15\"
[snapshot]
from = \"empty\"
[[setup]]
sql = \"CREATE TABLE orders (id int PRIMARY KEY, note text)\"
";

/// For what the kernel or Docker ends on their own once the program is gone.
const GONE_DEADLINE: Duration = Duration::from_secs(20);

/// How long a run may take here, whatever happens in it.
const RUN_DEADLINE: Duration = Duration::from_secs(120);

pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this machine has the lab at all. With `CI=true` every lab is there, or the test fails in it.
pub fn has(lab: &str) -> bool {
    in_ci()
        || match lab {
            "native" => Path::new("/usr/lib/postgresql/15/bin/postgres").exists(),
            _ => docker::answers(),
        }
}

/// Tries every case, and fails with the names of those that failed.
#[track_caller]
#[expect(clippy::print_stderr, reason = "what is said after it belongs to that case")]
pub fn each<C>(cases: impl IntoIterator<Item = C>, name: impl Fn(&C) -> String, check: impl Fn(C)) {
    let mut failed = Vec::new();
    for case in cases {
        let name = name(&case);
        eprintln!("case: {name}");
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case))).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}

pub struct Room {
    folder: tempfile::TempDir,
    mounts: Mutex<Vec<PathBuf>>,
    _share: Share,
}

/// What a test has of the machine, as long as its room is open.
#[expect(dead_code, reason = "held, not looked at")]
enum Share {
    Some(RwLockReadGuard<'static, ()>),
    All(RwLockWriteGuard<'static, ()>),
}

static MACHINE: RwLock<()> = RwLock::new(());

impl Room {
    /// What is left over is known by the room that it is of, so others may be open beside it.
    pub fn new() -> Room {
        Room::with(Share::Some(MACHINE.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// For what is changed or looked at on the whole machine, and for what has to be done in a short time.
    pub fn alone() -> Room {
        Room::with(Share::All(MACHINE.write().unwrap_or_else(PoisonError::into_inner)))
    }

    fn with(share: Share) -> Room {
        let folder = tempfile::Builder::new()
            .prefix("ugly")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary folder");
        let room = Room { folder, mounts: Mutex::default(), _share: share };
        for name in ["tmp", "work"] {
            fs::create_dir(room.path(name)).expect("a folder");
        }
        // Programs of the plan and servers under other accounts put their files there as well.
        fs::set_permissions(room.path("tmp"), Permissions::from_mode(0o1777)).expect("a mode");
        room
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(&format!("work/{name}"));
        fs::write(&path, content).expect("the folder can be written to");
        path
    }

    /// [`SCENARIO`] with these steps.
    pub fn scenario(&self, steps: &str) -> PathBuf {
        self.write("scenario.toml", format!("{SCENARIO}{steps}"))
    }

    /// The program, in this room.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rehearsal"));
        command
            .env("REHEARSAL_LAB_DIR", self.path("lab"))
            .env("TMPDIR", self.path("tmp"))
            // What is left of a run is looked at in most rooms, and a baseline is meant to be left.
            .env("REHEARSAL_NO_CACHE", "1")
            .env_remove("REHEARSAL_LAB")
            .env_remove("RUST_LOG")
            .current_dir(self.path("work"))
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        let mut command = self.command();
        command.args(args);
        self.start(command).end()
    }

    /// `rehearsal run work/scenario.toml` into `work/out`.
    pub fn rehearse(&self, lab: &str) -> Ended {
        self.begin(lab).end()
    }

    pub fn begin(&self, lab: &str) -> Going {
        let mut command = self.command();
        command.args(["run", "scenario.toml", "--out", "out", "--lab", lab]);
        self.start(command)
    }

    /// A run that is dumping a live server, which never says a word: the dump goes on until somebody ends it.
    pub fn begin_dumping(&self) -> (Going, TcpStream) {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        server.set_nonblocking(true).expect("it can be asked without waiting");
        let text = SCENARIO.replace("\"empty\"", "\"env:SOURCE\"\nunmasked = true");
        self.write("scenario.toml", format!("{text}[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n"));
        let mut command = self.command();
        let url = format!("postgresql://app@{}/shop?password=of-production", server.local_addr().expect("bound"));
        command.args(["run", "scenario.toml", "--out", "out", "--lab", "native"]).env("SOURCE", url);
        let mut run = self.start(command);
        loop {
            match server.accept() {
                Ok((connection, _)) => return (run, connection),
                Err(_) => assert!(!run.has_ended(), "nobody connected; {}", run.told()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As [`Room::start`], for what is recorded under `.rehearsal`.
    pub fn start_recorded(&self, command: Command) -> Going {
        let runs = self.path("work/.rehearsal/runs");
        let mut going = self.start(command);
        loop {
            if let Some(run) = entries(&runs).first() {
                going.out = runs.join(run);
            }
            if going.out.starts_with(&runs) || going.has_ended() {
                return going;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn start(&self, command: Command) -> Going {
        self.start_saying(command, "out", ["stdout", "stderr"].map(|name| self.path(name)))
    }

    /// Of a run into `work/NAME`: others may go on beside it.
    pub fn start_as(&self, command: Command, name: &str) -> Going {
        self.start_saying(command, name, ["stdout", "stderr"].map(|stream| self.path(&format!("work/{name}.{stream}"))))
    }

    fn start_saying(&self, mut command: Command, out: &str, said: [PathBuf; 2]) -> Going {
        let [stdout, stderr] = said.each_ref().map(|path| File::create(path).expect("a file"));
        let child = command.stdout(stdout).stderr(stderr).spawn().expect("the program starts");
        Going { child, out: self.path("work").join(out), said, began: Instant::now() }
    }

    /// A small file system of its own at `name`. False where this user may not mount; with `CI=true` that is a failure.
    pub fn mount(&self, name: &str, size: &str) -> bool {
        if !is_root() && !in_ci() {
            return false;
        }
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder");
        let options = format!("size={size},mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        assert!(mounted.expect("mount runs").success(), "could not mount a small file system");
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        true
    }

    /// No server, program, container, image, network, lab folder or temporary file is left.
    #[track_caller]
    pub fn assert_clean(&self) {
        let left = leftovers::within(GONE_DEADLINE, || leftovers::left(self.folder.path(), has("docker")))
            .expect("Docker answers");
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// Of those natively; those in containers are the engine's.
    #[track_caller]
    pub fn assert_no_overlay(&self) {
        let folder = self.folder.path().to_str().expect("paths here are text");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let left: Vec<&str> =
            mounts.lines().filter(|line| line.contains(folder) && line.contains(" overlay ")).collect();
        assert!(left.is_empty(), "still mounted:\n{}", left.join("\n"));
    }

    /// As [`Room::assert_clean`], but for the lab's folder, which waits for the next run.
    #[track_caller]
    pub fn assert_nothing_runs(&self) {
        let count = || Ok::<_, Infallible>([self.processes(), self.containers()].concat());
        let left = leftovers::within(GONE_DEADLINE, count).expect("it does not fail");
        assert!(left.is_empty(), "still running:\n{}", left.join("\n"));
    }

    pub fn labs(&self) -> Vec<String> {
        leftovers::labs(self.folder.path())
    }

    pub fn processes(&self) -> Vec<String> {
        leftovers::processes(self.folder.path())
    }

    pub fn pids(&self) -> Vec<i32> {
        leftovers::pids(self.folder.path())
    }

    /// The main process of the native server, once it has written its pid.
    pub fn server(&self) -> Option<i32> {
        self.server_of("primary")
    }

    pub fn server_of(&self, node: &str) -> Option<i32> {
        let lab = self.path("lab");
        let ids = entries(&lab);
        ids.iter().find_map(|id| {
            let text = fs::read_to_string(lab.join(id).join(node).join("data/postmaster.pid")).ok()?;
            text.lines().next()?.trim().parse().ok()
        })
    }

    /// The process of this room whose arguments hold this text.
    pub fn process_in(&self, text: &str) -> Option<i32> {
        self.pids().into_iter().find(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(text)
        })
    }

    pub fn containers(&self) -> Vec<String> {
        let label = leftovers::label(self.folder.path()).filter(|_| has("docker"));
        label.map(|label| leftovers::containers(&label).expect("Docker answers")).unwrap_or_default()
    }

    /// Until a container of this room is held by its run.
    #[track_caller]
    pub fn wait_for_leash(&self) {
        let began = Instant::now();
        let held = || {
            let container = self.containers().pop().filter(|container| docker::runs(container));
            container.is_some_and(|container| docker::shell(&container, "ls /tmp").contains("leash-"))
        };
        while !held() {
            assert!(began.elapsed() < RUN_DEADLINE, "no container that is held");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Every file that was recorded under `.rehearsal`, and everything that the last program said.
    pub fn records(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for name in ["work/.rehearsal", "stdout", "stderr"] {
            collect(&self.path(name), &mut found);
        }
        found
    }

    /// Every file of the room's own: scenarios, what runs left, and what those said that have a name.
    pub fn works(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        collect(&self.path("work"), &mut found);
        found
    }

    /// Every file that the run left and everything that it said.
    pub fn texts(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        collect(&self.path("work/out"), &mut found);
        for name in ["stdout", "stderr"] {
            collect(&self.path(name), &mut found);
        }
        found
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for path in self.mounts.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
        if std::thread::panicking() {
            // So that one failed test does not fail those after it.
            for pid in self.pids() {
                kill(pid, rustix::process::Signal::KILL);
            }
            for id in self.containers() {
                docker::remove_container(&id);
            }
        }
    }
}

/// A run under way.
pub struct Going {
    child: Child,
    out: PathBuf,
    said: [PathBuf; 2],
    began: Instant,
}

impl Going {
    /// Waits until the log holds an event that `wanted` takes; false if the run ended first.
    pub fn reaches(&mut self, wanted: impl Fn(&Value) -> bool) -> bool {
        loop {
            let ended = self.child.try_wait().expect("it can be asked").is_some();
            if events(&self.out).iter().any(&wanted) {
                return true;
            }
            if ended {
                return false;
            }
            assert!(self.began.elapsed() < RUN_DEADLINE, "not reached; {}", self.told());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn reaches_phase(&mut self, phase: &str) -> bool {
        self.reaches(|event| event["event"] == "phase-started" && event["phase"] == phase)
    }

    /// Waits until the first step of the plan runs its statement or program.
    #[track_caller]
    pub fn reaches_step(&mut self) {
        let reached = self.reaches(|event| event["event"] == "step-started" && event["role"] == "plan");
        assert!(reached, "it ended before the first step; {}", self.told());
    }

    /// Waits until the program of the first step runs: until it has said "up".
    #[track_caller]
    pub fn reaches_program(&mut self) {
        let said = self.out.join("step-1.log");
        while !fs::read_to_string(&said).is_ok_and(|said| said.contains("up\n")) {
            assert!(!self.has_ended(), "it ended before its program began; {}", self.told());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until that is found; false if the program ended first.
    pub fn comes_to<T>(&mut self, wanted: impl Fn() -> Option<T>) -> bool {
        while wanted().is_none() {
            if self.has_ended() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn has_ended(&mut self) -> bool {
        assert!(self.began.elapsed() < RUN_DEADLINE, "it hangs; {}", self.told());
        self.child.try_wait().expect("it can be asked").is_some()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        kill(i32::try_from(self.child.id()).expect("an id"), signal);
    }

    pub fn end(mut self) -> Ended {
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return Ended {
                    exit: code(status),
                    elapsed: self.began.elapsed(),
                    stdout: fs::read_to_string(&self.said[0]).unwrap_or_default(),
                    stderr: fs::read_to_string(&self.said[1]).unwrap_or_default(),
                    out: self.out.clone(),
                };
            }
            assert!(self.began.elapsed() < RUN_DEADLINE, "it hangs; {}", self.told());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn told(&self) -> String {
        self.said.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Ended {
    /// Of a program that a signal ended, the signal's number below zero.
    pub exit: i32,
    pub elapsed: Duration,
    pub stdout: String,
    pub stderr: String,
    pub out: PathBuf,
}

impl Ended {
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Ended {
        assert_eq!(self.exit, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Standard error has each of these, whatever the width of its lines.
    #[track_caller]
    pub fn says(&self, what: &[&str]) -> &Ended {
        has_all(&self.stderr, what);
        self
    }

    /// The verdict on standard output has each of these.
    #[track_caller]
    pub fn tells(&self, what: &[&str]) -> &Ended {
        has_all(&self.stdout, what);
        self
    }

    pub fn events(&self) -> Vec<Value> {
        events(&self.out)
    }

    pub fn report(&self) -> Value {
        let text = fs::read(self.out.join("report.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or(Value::Null)
    }

    /// All reports are there and agree with the log.
    #[track_caller]
    pub fn assert_reports(&self, room: &Room, outcome: &str) -> &Ended {
        for name in ["events.jsonl", "report.json", "report.md", "report.html", "junit.xml"] {
            let size = fs::metadata(self.out.join(name)).map_or(0, |found| found.len());
            assert!(size > 0, "no {name}\n{}", self.stderr);
        }
        assert_eq!(self.report()["outcome"], outcome, "{}\n{}", self.stdout, self.stderr);
        let written = fs::read_to_string(self.out.join("report.json")).expect("a report");
        let again = room.run(&["report", self.out.to_str().expect("a path"), "--format", "json"]);
        again.exits(0);
        assert_eq!(again.stdout, written, "`rehearsal report` tells another story");
        self
    }
}

#[track_caller]
fn has_all(text: &str, what: &[&str]) {
    // A frame's lines begin with a bar.
    let flat = |text: &str| text.replace(['│', '╰', '╭'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let found = flat(text);
    for wanted in what {
        assert!(found.contains(&flat(wanted)), "nothing says {wanted:?}:\n{text}");
    }
}

/// The events in a log that may still be written to.
pub fn events(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("events.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub fn kill(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended just now.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn collect(path: &Path, found: &mut Vec<(PathBuf, String)>) {
    if path.is_dir() {
        entries(path).iter().for_each(|name| collect(&path.join(name), found));
    } else if let Ok(bytes) = fs::read(path) {
        found.push((path.to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
}
