//! A bare Postgres of this machine: initdb, pg_ctl, psql, and nothing of ours.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::setup::postgres_programs;
use crate::terminal::say;

/// Runs until dropped. Reached by its socket alone.
pub struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
}

impl Server {
    /// # Errors
    /// It does not come up.
    pub fn start() -> anyhow::Result<Server> {
        let programs = postgres_programs().context("no Postgres 15 on this machine")?;
        // Short: a socket's path has to fit into 108 bytes.
        let folder = tempfile::Builder::new().prefix("rehearsal-bench-pg-").tempdir()?;
        if rustix::process::geteuid().is_root() {
            done(Command::new("chown").arg("postgres").arg(folder.path()))?;
        }
        let server = Server { programs, folder };
        done(
            server
                .program("initdb")
                .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
                .arg(server.data()),
        )?;
        server.control(&["start"])?;
        Ok(server)
    }

    /// # Errors
    /// It does not come back.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.control(&["-m", "fast", "restart"])
    }

    /// # Errors
    /// The server refuses it.
    pub fn query(&self, sql: &str) -> anyhow::Result<()> {
        done(self.psql("postgres").args(["-c", sql]))
    }

    /// # Errors
    /// The server refuses a statement of it.
    pub fn file(&self, path: &Path, database: &str) -> anyhow::Result<()> {
        done(self.psql(database).arg("-f").arg(path))
    }

    fn control(&self, what: &[&str]) -> anyhow::Result<()> {
        let options = format!("-k {} -c listen_addresses= -c max_wal_size=4GB", self.folder.path().display());
        let mut command = self.program("pg_ctl");
        command.args(["-s", "-w", "-o", &options, "-l"]).arg(self.folder.path().join("log"));
        done(command.arg("-D").arg(self.data()).args(what))
    }

    fn psql(&self, database: &str) -> Command {
        // As the caller: the file may lie where only the caller reads.
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
            .arg(self.folder.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Servers refuse root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !rustix::process::geteuid().is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped =
            done(self.program("pg_ctl").args(["-s", "-w", "-m", "immediate", "-D"]).arg(self.data()).arg("stop"));
        if let Err(error) = stopped {
            say(&format!("a server in {} may still run: {error:#}", self.folder.path().display()));
        }
    }
}

/// Runs to the end, with what it said on standard error as the error's text. A server that pg_ctl leaves behind inherits the
/// streams, so standard error goes to a file, which nobody has to wait for the end of.
fn done(command: &mut Command) -> anyhow::Result<()> {
    let mut said = tempfile::tempfile()?;
    let name = command.get_program().to_os_string();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        .status()
        .with_context(|| format!("could not run {}", name.display()))?;
    if !status.success() {
        let mut text = String::new();
        // What it said only explains the failure; without it, the failure stands.
        let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
        bail!("{}: {status}\n{}", name.display(), text.trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Server;
    use crate::setup::postgres_programs;
    use crate::terminal::ci;

    #[test]
    fn a_bare_server_answers_and_refuses() {
        if postgres_programs().is_none() {
            assert!(!ci(), "no Postgres 15 on this machine, and CI=true skips nothing");
            return;
        }
        let server = Server::start().unwrap();
        server.query("SELECT 1").unwrap();
        let refused = server.query("SELECT 1 / 0").unwrap_err().to_string();
        assert!(refused.contains("division by zero"), "{refused}");
    }
}
