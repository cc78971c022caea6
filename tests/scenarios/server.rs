//! A bare Postgres of this machine, to make dumps with and to take snapshots from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// Runs until dropped; anybody on this machine may log in as `postgres`.
pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub fn start() -> Server {
        let folder = tempfile::Builder::new().prefix("rehearsal-test-").tempdir().expect("a temporary folder");
        if rustix::process::geteuid().is_root() {
            done(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let server = Server { folder, port: free.expect("a free port").port() };
        done(
            server
                .as_server_user("initdb")
                .args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
                .arg(server.data()),
        );
        let options = format!(
            "-k {} -p {} -c listen_addresses=127.0.0.1 -c fsync=off",
            server.folder.path().display(),
            server.port
        );
        done(
            server
                .as_server_user("pg_ctl")
                .args(["-s", "-w", "-o", &options, "-l"])
                .arg(server.folder.path().join("log"))
                .arg("-D")
                .arg(server.data())
                .arg("start"),
        );
        server
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// One of Postgres's programs, told where this server is.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Servers refuse root.
    fn as_server_user(&self, program: &str) -> Command {
        let program = Path::new(PROGRAMS).join(program);
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
        let mut stop = self.as_server_user("pg_ctl");
        stop.args(["-s", "-w", "-m", "immediate", "-D"]).arg(self.data()).arg("stop");
        // A test that panicked already says more than this could.
        let _ = stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Runs to the end. What it says goes to a file: a server that `pg_ctl` leaves behind inherits the streams.
#[track_caller]
pub fn done(command: &mut Command) {
    let said = tempfile::NamedTempFile::new().expect("a temporary file");
    let stderr = said.reopen().expect("the file is there");
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).status();
    let said = std::fs::read_to_string(said.path()).unwrap_or_default();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{command:?}: {status:?}\n{said}");
}
