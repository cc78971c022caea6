//! `cargo xtask soak`: eight nodes up and down again, many times in a row, through the command line. Nothing may be left of a round.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bollard::query_parameters::ListVolumesOptionsBuilder;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use crate::cargo::build;
use crate::figures::Figures;
use crate::terminal::{say, tell};
use crate::{docker, leftovers, setup};

const IMAGE: &str = "rehearsal/mariadb:10.11";

/// For `up` or `down`, whatever else the machine does.
const DEADLINE: Duration = Duration::from_secs(180);

/// For what the kernel or Docker ends on their own after `down` has.
const GONE_DEADLINE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// How many rounds in each lab
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Only in this lab [default: every lab that this machine has]
    #[arg(long, value_enum)]
    lab: Option<Lab>,
    /// A `rehearsal` that is built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Lab {
    Native,
    Docker,
}

/// What the nodes begin with. Rounds take turns.
#[derive(Debug, Clone, Copy)]
enum Snapshot {
    Empty,
    Dump,
}

/// Seconds of a round that left nothing.
struct Took {
    up_s: f64,
    down_s: f64,
}

/// Why there is no further round.
enum Over {
    Left(Vec<String>),
    Interrupted(Signal),
}

/// # Errors
/// A lab is missing, or a round ended otherwise than it must.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let labs = labs(args.lab)?;
    let program = match &args.program {
        Some(program) => fs::canonicalize(program).with_context(|| format!("no program {}", program.display()))?,
        None => build(false)?,
    };
    let mut soak = Soak::new(program)?;
    let rounds = labs.into_iter().try_for_each(|lab| match soak.lab(lab, args.times) {
        Ok(None) => Ok(()),
        Ok(Some(over)) => Err(Ok(over)),
        Err(error) => Err(Err(error)),
    });
    let failed = match rounds {
        Ok(()) => return Ok(ExitCode::SUCCESS),
        Err(Ok(Over::Interrupted(signal))) => {
            say("interrupted; nothing is left");
            return Ok(ExitCode::from(128 + u8::try_from(signal.as_raw()).unwrap_or(0)));
        }
        Err(Ok(Over::Left(left))) => {
            say(&format!("left behind:\n{}", left.join("\n")));
            Ok(ExitCode::FAILURE)
        }
        Err(Err(error)) => Err(error),
    };
    say(&format!("it is kept as it is, for a look: {}", soak.folder.keep().display()));
    failed
}

fn labs(wanted: Option<Lab>) -> anyhow::Result<Vec<Lab>> {
    let has_image = wanted != Some(Lab::Native) && docker::has_image(IMAGE)?;
    match wanted {
        Some(Lab::Native) => setup::provide(&[&setup::MARIADB])?,
        Some(Lab::Docker) => ensure!(
            has_image,
            "no Docker Engine answers, or it has no {IMAGE}: `cargo xtask images --only mariadb-10.11` builds it"
        ),
        None => {}
    }
    let has = |lab| if lab == Lab::Native { setup::MARIADB.is_here() } else { has_image };
    let labs: Vec<Lab> = [Lab::Native, Lab::Docker]
        .into_iter()
        .filter(|lab| wanted.is_none_or(|only| only == *lab) && has(*lab))
        .collect();
    ensure!(!labs.is_empty(), "neither MariaDB 10.11 nor a Docker Engine with {IMAGE} is here");
    Ok(labs)
}

/// A folder in which the program runs, as `leftovers` counts it.
struct Soak {
    program: PathBuf,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl Soak {
    fn new(program: PathBuf) -> anyhow::Result<Soak> {
        let folder =
            tempfile::Builder::new().prefix("rehearsal-soak-").permissions(Permissions::from_mode(0o755)).tempdir()?;
        for name in ["tmp", "work"] {
            fs::create_dir(folder.path().join(name))?;
        }
        // Servers under other accounts put their files there as well.
        fs::set_permissions(folder.path().join("tmp"), Permissions::from_mode(0o1777))?;
        fs::write(folder.path().join("work/dump.sql"), DUMP)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = runtime.block_on(async { Signals::new() })?;
        Ok(Soak { program, folder, runtime, signals })
    }

    /// All rounds in one lab, or why not all.
    fn lab(&mut self, lab: Lab, times: u32) -> anyhow::Result<Option<Over>> {
        let name = lab.name();
        let [mut ups, mut downs] = [(); 2].map(|()| [Figures::default(), Figures::default()]);
        for number in 0..times {
            let snapshot = if number.is_multiple_of(2) { Snapshot::Empty } else { Snapshot::Dump };
            match self.round(lab, snapshot)? {
                Ok(Took { up_s, down_s }) => {
                    let told = snapshot.name();
                    say(&format!(
                        "{name}, round {} of {times}, {told}: up {up_s:.2} s, down {down_s:.2} s",
                        number + 1
                    ));
                    ups[snapshot as usize].add(up_s);
                    downs[snapshot as usize].add(down_s);
                }
                Err(over) => return Ok(Some(over)),
            }
        }
        for snapshot in [Snapshot::Empty, Snapshot::Dump] {
            let (up, down) = (&ups[snapshot as usize], &downs[snapshot as usize]);
            tell(&format!("{name} lab, eight nodes, {}: up {up}, down {down}", snapshot.name()));
        }
        Ok(None)
    }

    fn round(&mut self, lab: Lab, snapshot: Snapshot) -> anyhow::Result<Result<Took, Over>> {
        let work = self.folder.path().join("work");
        fs::write(work.join("scenario.toml"), scenario(snapshot))?;
        let volumes = volumes_of_nobody(lab)?;

        let up = self.call(&["up", "scenario.toml", "--quiet", "--format", "json", "--lab", lab.name()], true)?;
        let mut signal = up.signal;
        let mut took = None;
        // A signal may have come too late for it.
        if signal.is_none() || up.status.success() {
            let told: serde_json::Value = serde_json::from_str(up.succeeded("up")?).context("`up` told no JSON")?;
            let nodes = told["nodes"].as_array().map_or(0, Vec::len);
            ensure!(nodes == NODES, "{nodes} nodes are up, not {NODES}");
            let run = told["run"].as_str().context("`up` told no run")?;
            let down = self.call(&["down", run], false)?;
            down.succeeded("down")?;
            signal = signal.or(down.signal);
            took = Some(Took { up_s: up.elapsed_s, down_s: down.elapsed_s });
        }
        let left = leftovers::within(GONE_DEADLINE, || self.left(lab, &volumes))?;
        Ok(match (signal, took) {
            _ if !left.is_empty() => Err(Over::Left(left)),
            (Some(signal), _) => Err(Over::Interrupted(signal)),
            (None, Some(took)) => Ok(took),
            (None, None) => bail!("`up` neither succeeded nor failed"),
        })
    }

    fn left(&self, lab: Lab, volumes: &[String]) -> anyhow::Result<Vec<String>> {
        let mut left = leftovers::left(self.folder.path(), lab == Lab::Docker)?;
        let recorded = leftovers::entries(&self.folder.path().join("work"));
        let recorded = recorded.into_iter().filter(|name| !["scenario.toml", "dump.sql"].contains(&name.as_str()));
        left.extend(recorded.map(|name| format!("file work/{name}")));
        let new = volumes_of_nobody(lab)?.into_iter().filter(|volume| !volumes.contains(volume));
        left.extend(new.map(|volume| format!("volume {volume}")));
        Ok(left)
    }

    /// The program to its end. A signal to this task is handed on to it, or else waits until it has ended.
    fn call(&mut self, arguments: &[&str], hand_on: bool) -> anyhow::Result<Called> {
        let folder = self.folder.path();
        // Files, not pipes: a server that held a pipe would be waited for, and not be told by its name.
        let files = ["stdout", "stderr"].map(|name| folder.join(name));
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("REHEARSAL_LAB_DIR", folder.join("lab"))
            .env("TMPDIR", folder.join("tmp"))
            // Each round makes all of it anew, and nothing may be left.
            .env("REHEARSAL_NO_CACHE", "1")
            .env_remove("REHEARSAL_LAB")
            .env_remove("RUST_LOG")
            .current_dir(folder.join("work"))
            .stdin(Stdio::null())
            .stdout(File::create(&files[0])?)
            .stderr(File::create(&files[1])?)
            // A terminal's own signal would reach it twice, and the second one forces its exit.
            .process_group(0);
        let began = Instant::now();
        let signals = &mut self.signals;
        let (status, signal) = self.runtime.block_on(async {
            let child = command.spawn().with_context(|| format!("could not run {}", self.program.display()))?;
            ended(child, signals, hand_on).await.with_context(|| format!("rehearsal {}", arguments.join(" ")))
        })?;
        let elapsed_s = began.elapsed().as_secs_f64();
        let [stdout, stderr] = files.map(|path| fs::read_to_string(path).unwrap_or_default());
        Ok(Called { status, signal, elapsed_s, stdout, stderr })
    }
}

async fn ended(mut child: Child, signals: &mut Signals, hand_on: bool) -> anyhow::Result<(ExitStatus, Option<Signal>)> {
    let mut deadline = std::pin::pin!(tokio::time::sleep(DEADLINE));
    let mut came = None;
    loop {
        tokio::select! {
            status = child.wait() => return Ok((status?, came)),
            signal = signals.next() => {
                came = Some(signal);
                let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
                if let Some(pid) = pid.filter(|_| hand_on) {
                    kill_process(pid, signal)?;
                }
            }
            () = &mut deadline => {
                child.kill().await?;
                bail!("not ended within {} s", DEADLINE.as_secs());
            }
        }
    }
}

struct Called {
    status: ExitStatus,
    /// That came to this task meanwhile.
    signal: Option<Signal>,
    elapsed_s: f64,
    stdout: String,
    stderr: String,
}

impl Called {
    fn succeeded(&self, command: &str) -> anyhow::Result<&str> {
        ensure!(self.status.success(), "rehearsal {command}: {}\n{}", self.status, self.stderr.trim_end());
        Ok(&self.stdout)
    }
}

struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Signals> {
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(unix::signal);
        Ok(Signals { interrupt: interrupt?, terminate: terminate? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
        }
    }
}

/// Volumes that no container has: those without a name of their own carry no label.
fn volumes_of_nobody(lab: Lab) -> anyhow::Result<Vec<String>> {
    if lab == Lab::Native {
        return Ok(Vec::new());
    }
    let filters = HashMap::from([("dangling".to_owned(), vec!["true".to_owned()])]);
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let found = leftovers::ask(async |docker| docker.list_volumes(Some(options)).await)?;
    Ok(found.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
}

impl Lab {
    fn name(self) -> &'static str {
        match self {
            Lab::Native => "native",
            Lab::Docker => "docker",
        }
    }
}

impl Snapshot {
    fn name(self) -> &'static str {
        match self {
            Snapshot::Empty => "empty",
            Snapshot::Dump => "with a dump",
        }
    }
}

fn scenario(snapshot: Snapshot) -> String {
    let (from, setup) = match snapshot {
        Snapshot::Empty => {
            ("empty", "[[setup]]\nsql = \"CREATE TABLE orders (id int PRIMARY KEY, note varchar(40))\"\n")
        }
        Snapshot::Dump => ("dump.sql", ""),
    };
    format!("{TOPOLOGY}[snapshot]\nfrom = \"{from}\"\n{setup}{PROOF}")
}

const NODES: usize = 8;

const TOPOLOGY: &str = r#"name = "soak"

[topology]
engine = "mariadb"
version = "10.11"
shards = 4
[topology.nodes.a]
peers = ["b"]
[topology.nodes.b]
peers = ["a"]

"#;

const DUMP: &str =
    "CREATE TABLE orders (id int PRIMARY KEY, note varchar(40));\nINSERT INTO orders VALUES (1, 'one'), (2, 'two');\n";

/// Of each pair, a row of each comes to both.
const PROOF: &str = r#"
[[setup]]
sql = "INSERT INTO orders VALUES (101, 'of a')"
[[setup]]
wait = { for = "caught_up", deadline = "60s" }
[[setup]]
on = "side:b"
sql = "INSERT INTO orders VALUES (102, 'of b')"
[[setup]]
on = "all"
wait = { sql = "SELECT COUNT(*) = 2 FROM orders WHERE id > 100", deadline = "60s" }

[[step]]
name = "nothing"
sql = "SELECT 1"
"#;
