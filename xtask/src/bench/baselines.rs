//! How long until a database of some size is up that was restored before: `rehearsal up` from its baseline, against restoring it again,
//! `CREATE DATABASE … TEMPLATE` on a server that runs, and `cp -r` of the cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::server::Server;
use crate::docker;
use crate::figures::Figures;
use crate::terminal::{say, tell};

const IMAGE: &str = "rehearsal/postgres:15";

/// Bytes of a row with its share of the index, about.
const ROW_BYTES: u64 = 150;

/// Each size in each lab that this machine has.
///
/// # Errors
/// One does not come up.
pub fn run(binary: &Path, folder: &Path, pairs: u32, megabytes: &[u64]) -> anyhow::Result<()> {
    for size in megabytes {
        let sized = Sized { binary, folder: folder.join(format!("baseline-{size}")), megabytes: *size };
        sized.write()?;
        let (template_s, copied_s) = sized.measure("native", pairs, true)?;
        tell(&format!("  CREATE DATABASE … TEMPLATE: {template_s}"));
        tell(&format!("  cp -r of the cluster: {copied_s}"));
        if which::which("docker").is_ok() && docker::has_image(IMAGE)? {
            sized.measure("docker", pairs, false)?;
        } else {
            say(&format!("no docker on the path, or no {IMAGE}: the Docker lab is left out"));
        }
        fs::remove_dir_all(&sized.folder)?;
    }
    Ok(())
}

struct Sized<'a> {
    binary: &'a Path,
    folder: PathBuf,
    megabytes: u64,
}

impl Sized<'_> {
    fn write(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let rows = self.megabytes * 1_000_000 / ROW_BYTES;
        let load = format!(
            "CREATE TABLE items (id bigint PRIMARY KEY, note text NOT NULL);\n\
             INSERT INTO items SELECT n, repeat('x', 90) FROM generate_series(1, {rows}) AS n;\nVACUUM ANALYZE items;\n"
        );
        fs::write(self.folder.join("load.sql"), load)?;
        Ok(fs::write(self.folder.join("scenario.toml"), SCENARIO)?)
    }

    /// Tells how long a first and later runs take. Gives what the peers take natively.
    fn measure(&self, lab: &str, pairs: u32, peers: bool) -> anyhow::Result<(Figures, Figures)> {
        say(&format!("{} MB, {lab}: restored once", self.megabytes));
        let restored_s = self.up_and_down(lab)?;
        let server = if peers { Some(self.loaded()?) } else { None };
        let (mut warm, mut template, mut copied) = (Figures::default(), Figures::default(), Figures::default());
        for pair in 0..pairs {
            say(&format!("{} MB, {lab}: {} of {pairs}", self.megabytes, pair + 1));
            warm.add(self.up_and_down(lab)?);
            if let Some(server) = &server {
                template.add(timed(|| server.query("CREATE DATABASE copy TEMPLATE bench"))?);
                server.query("DROP DATABASE copy")?;
                copied.add(self.copied()?);
            }
        }
        self.call(&["cache", "prune"])?;
        tell(&format!("{} MB up from its baseline, {lab} lab: {warm}", self.megabytes));
        tell(&format!("  restored: {restored_s:.2} s, {:.1} times as long", restored_s / warm.median()));
        Ok((template, copied))
    }

    /// A server that runs and has the same in a database.
    fn loaded(&self) -> anyhow::Result<Server> {
        let server = Server::start()?;
        server.query("CREATE DATABASE bench")?;
        server.file(&self.folder.join("load.sql"), "bench")?;
        Ok(server)
    }

    /// Seconds until `up` ended; `down` is not counted.
    fn up_and_down(&self, lab: &str) -> anyhow::Result<f64> {
        let elapsed_s = timed(|| self.call(&["up", "scenario.toml", "--lab", lab, "--cache-size", "100GB"]))?;
        self.call(&["down"])?;
        Ok(elapsed_s)
    }

    /// Seconds for a copy of the baseline's cluster.
    fn copied(&self) -> anyhow::Result<f64> {
        let mut keys = fs::read_dir(self.folder.join("lab/cache"))?.flatten();
        let cluster = keys.find(|entry| entry.path().is_dir()).context("no baseline was kept")?.path().join("primary");
        let to = self.folder.join("copied");
        let elapsed_s = timed(|| {
            let status = Command::new("cp").arg("-r").arg(&cluster).arg(&to).status()?;
            ensure!(status.success(), "cp ended with {status}");
            Ok(())
        })?;
        fs::remove_dir_all(&to)?;
        Ok(elapsed_s)
    }

    fn call(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let said = tempfile::NamedTempFile::new()?;
        // A file, so that nobody waits for a server that inherited it.
        let status = Command::new(self.binary)
            .args(arguments)
            .current_dir(&self.folder)
            .env("REHEARSAL_LAB_DIR", self.folder.join("lab"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.reopen()?)
            .status()?;
        let told = fs::read_to_string(said.path()).unwrap_or_default();
        ensure!(status.success(), "rehearsal {}: {status}\n{}", arguments.join(" "), told.trim_end());
        Ok(())
    }
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

const SCENARIO: &str = r#"name = "sized"

[topology]
engine = "postgres"
version = "15"

[snapshot]
from = "empty"

[[setup]]
name = "load"
file = "load.sql"

[[step]]
name = "nothing"
sql = "SELECT 1"
"#;
