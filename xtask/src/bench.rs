//! `cargo xtask bench`: what rehearsing costs, as ratios to the bare server doing the same.
//!
//! Five questions. How long until the first step runs, on an empty snapshot? How long until several servers are a topology? How long until
//! what was restored before is up again? How long do a capture and a restore take beside the engines' own programs? And how much slower is a plan that is watched than `psql -f` of the same file? Both sides run in turns, whichever went first going second the next time, and the median counts:
//! on a shared machine two blocks of the same work differ by more than what is looked for.

mod baselines;
mod container;
mod recorded;
mod server;
mod snapshots;
mod topologies;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};

use self::recorded::Run;
use self::server::Server;
use crate::cargo::build;
use crate::figures::Figures;
use crate::terminal::{say, tell};
use crate::{docker, setup};

#[derive(clap::Args)]
pub struct Args {
    /// Only these [default: all]
    #[arg(value_enum)]
    what: Vec<What>,
    /// How often each side runs
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Rows of the table that the watched plan rewrites
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Sizes of the databases that begin from a baseline, in MB
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 4000])]
    megabytes: Vec<u64>,
    /// Size of the databases that are captured and restored, in MB
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_megabytes: u64,
    /// Measure the unoptimised build
    #[arg(long)]
    dev: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// From the command to the first step
    FirstStep,
    /// From the command to servers that replicate, of MariaDB and Postgres
    Topologies,
    /// From the command to a database that was restored before
    Baselines,
    /// Captures and restores against pg_dump, pg_restore, mydumper, myloader
    Snapshots,
    /// A watched plan against the bare client
    Observing,
}

/// Both sides of the last question start from this.
const TABLE: &str = "CREATE TABLE items (id bigint PRIMARY KEY, n integer NOT NULL, note text NOT NULL);\n";

/// Between load and work, as in a rehearsal.
const REST: Duration = Duration::from_secs(3);

/// A rewrite, a build and a change of rows.
const WORK: &str = "ALTER TABLE items ALTER COLUMN n TYPE bigint;
CREATE INDEX items_note ON items (note);
UPDATE items SET n = n + 1 WHERE id % 4 = 0;
";

/// # Errors
/// Something is missing, or a run ended otherwise than it must.
pub fn run(args: &Args) -> anyhow::Result<()> {
    setup::provide(&[&setup::POSTGRES])?;
    let binary = build(!args.dev)?;
    let folder = tempfile::Builder::new().prefix("rehearsal-bench-").tempdir()?;
    let bench = Bench { binary, folder: folder.path().to_path_buf(), pairs: args.pairs };
    let wanted = |what| args.what.is_empty() || args.what.contains(&what);
    if wanted(What::FirstStep) {
        bench.first_step()?;
    }
    if wanted(What::Topologies) {
        // Servers under other accounts go through it.
        fs::set_permissions(&bench.folder, fs::Permissions::from_mode(0o755))?;
        topologies::run(&bench.binary, &bench.folder, args.pairs)?;
    }
    if wanted(What::Baselines) {
        fs::set_permissions(&bench.folder, fs::Permissions::from_mode(0o755))?;
        baselines::run(&bench.binary, &bench.folder, args.pairs, &args.megabytes)?;
    }
    if wanted(What::Snapshots) {
        fs::set_permissions(&bench.folder, fs::Permissions::from_mode(0o755))?;
        snapshots::run(&bench.binary, &bench.folder, args.pairs, args.snapshot_megabytes)?;
    }
    if wanted(What::Observing) {
        bench.observing(args.rows)?;
    }
    Ok(())
}

struct Bench {
    binary: PathBuf,
    folder: PathBuf,
    pairs: u32,
}

impl Bench {
    fn first_step(&self) -> anyhow::Result<()> {
        self.starts("native", "initdb and pg_ctl start", &|| {
            let began = Instant::now();
            let server = Server::start()?;
            server.query("SELECT 1")?;
            Ok(began.elapsed().as_secs_f64())
        })?;
        match docker::postgres_image()? {
            Some(image) if which::which("docker").is_ok() => {
                self.starts("docker", "docker run", &|| container::first_query(&image))?;
            }
            Some(_) => say("no docker on the path to compare with: the Docker lab is left out"),
            None => say("no Docker Engine answers, or it has no image: the Docker lab is left out"),
        }
        Ok(())
    }

    /// From the command to the first step, against a bare start to the first query.
    fn starts(&self, lab: &str, bare_name: &str, bare: &dyn Fn() -> anyhow::Result<f64>) -> anyhow::Result<()> {
        let scenario = self.write("empty", EMPTY, &[])?;
        let mut rehearsed = Figures::default();
        let mut plain = Figures::default();
        for pair in 0..self.pairs {
            say(&format!("first step, {lab}: pair {} of {}", pair + 1, self.pairs));
            let watched = || self.rehearse(&scenario, lab).and_then(|run| run.to_first_step_s());
            let (a, b) = in_turns(pair, watched, bare)?;
            rehearsed.add(a);
            plain.add(b);
        }
        tell(&format!("first step, {lab} lab: {rehearsed}"));
        tell(&format!("  {bare_name}: {plain}"));
        tell(&format!("  ratio: {:.2}", rehearsed.median() / plain.median()));
        Ok(())
    }

    /// A watched plan against `psql -f` of the same file.
    fn observing(&self, rows: u32) -> anyhow::Result<()> {
        let load = format!(
            "{TABLE}INSERT INTO items SELECT n, n % 1000, 'note ' || n FROM generate_series(1, {rows}) AS n;\n\
             GRANT SELECT, INSERT, UPDATE, DELETE ON items TO bench_app;\nVACUUM ANALYZE items;\nCHECKPOINT;\n"
        );
        let files = [("work.sql", WORK), ("load.sql", &load), ("roles.sql", "CREATE ROLE bench_app LOGIN;\n")];
        let scenario = self.write("watched", WATCHED, &files)?;
        let server = Server::start()?;
        server.file(&scenario.join("roles.sql"), "postgres")?;
        let (mut watched, mut plain, mut ratios) = (Figures::default(), Figures::default(), Figures::default());
        let (mut cpu_s, mut operations) = (Figures::default(), 0);
        for pair in 0..self.pairs {
            say(&format!("observing: pair {} of {}", pair + 1, self.pairs));
            let mut run = None;
            let watch = || {
                let finished = self.rehearse(&scenario, "native")?;
                let elapsed_s = finished.step_s()?;
                run = Some(finished);
                Ok(elapsed_s)
            };
            let (a, b) = in_turns(pair, watch, || plainly(&server, &scenario))?;
            watched.add(a);
            plain.add(b);
            ratios.add(a / b);
            let cost = run.context("nothing was rehearsed")?.observing()?;
            cpu_s.add(cost.cpu_s);
            operations += cost.operations;
        }
        tell(&format!("plan of {rows} rows, watched: {watched}"));
        tell(&format!("  psql -f: {plain}"));
        tell(&format!("  ratio, pair by pair: {}", ratios.plain()));
        tell(&format!(
            "  CPU of probes and observer: {cpu_s} a run, for {} probe operations",
            operations / u64::from(self.pairs)
        ));
        Ok(())
    }

    /// Writes a scenario's folder.
    fn write(&self, name: &str, scenario: &str, files: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        for (file, content) in std::iter::once(&("scenario.toml", scenario)).chain(files) {
            fs::write(folder.join(file), content)?;
        }
        Ok(folder)
    }

    fn rehearse(&self, scenario: &Path, lab: &str) -> anyhow::Result<Run> {
        let out = self.folder.join("out");
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        let spawned = SystemTime::now();
        let output = Command::new(&self.binary)
            .arg("run")
            .arg(scenario)
            .args(["--lab", lab, "--quiet", "--out"])
            .arg(&out)
            // The bare server begins anew as well.
            .env("REHEARSAL_NO_CACHE", "1")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("could not run {}", self.binary.display()))?;
        ensure!(
            output.status.success(),
            "the rehearsal of {} ended with {}\n{}",
            scenario.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Run::read(&out, spawned)
    }
}

/// `psql -f` on a fresh copy of the data: seconds from psql's start to its end.
fn plainly(server: &Server, scenario: &Path) -> anyhow::Result<f64> {
    server.query("DROP DATABASE IF EXISTS bench")?;
    server.query("CREATE DATABASE bench")?;
    server.file(&scenario.join("load.sql"), "bench")?;
    // A rehearsal stops and starts its server to keep the state before, and its control run is a rest: work that begins while the
    // load is still being written out is another work.
    server.restart()?;
    std::thread::sleep(REST);
    let began = Instant::now();
    server.file(&scenario.join("work.sql"), "bench")?;
    Ok(began.elapsed().as_secs_f64())
}

/// Runs both, the second first in every other pair.
fn in_turns<A, B>(
    pair: u32,
    first: impl FnOnce() -> anyhow::Result<A>,
    second: impl FnOnce() -> anyhow::Result<B>,
) -> anyhow::Result<(A, B)> {
    if pair.is_multiple_of(2) {
        let a = first()?;
        Ok((a, second()?))
    } else {
        let b = second()?;
        Ok((first()?, b))
    }
}

const EMPTY: &str = r#"name = "empty"

[topology]
engine = "postgres"
version = "15"

[snapshot]
from = "empty"

[[step]]
name = "nothing"
sql = "SELECT 1"
"#;

const WATCHED: &str = r#"name = "watched"

[topology]
engine = "postgres"
version = "15"
[topology.nodes.primary]
settings = { max_wal_size = "4GB" }

[snapshot]
from = "empty"
roles = "roles.sql"

[[setup]]
name = "load"
file = "load.sql"

[probes]
as = "bench_app"

[[step]]
name = "work"
file = "work.sql"
"#;
