//! The host a server runs on, as engine code sees it: run a command, move files, start and stop one server, give an address.
//!
//! `lab` implements it for plain processes and for containers. Engine code must not assume that the host's paths are this machine's,
//! nor that its address is.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncRead;

/// A program to run on the host, as the server's own user (never root).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    /// Absolute on the host; [`Host::program`] finds it.
    pub program: String,
    pub args: Vec<String>,
    /// Added to a minimal environment (`PATH`, `LANG=C.UTF-8`).
    pub env: Vec<(String, String)>,
}

impl Exec {
    pub fn new(program: impl Into<String>) -> Exec {
        Exec { program: program.into(), ..Exec::default() }
    }

    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Exec {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn arg(self, arg: impl Into<String>) -> Exec {
        self.args([arg])
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Exec {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    pub status: i32,
    pub stdout: Vec<u8>,
    /// At most its last 64 KiB.
    pub stderr: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnect everybody, write everything, end.
    Fast,
    /// End at once; the next start recovers.
    Immediate,
}

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("no {program} for {engine} {version} here")]
    NoProgram { program: String, engine: String, version: String, hint: String },
    #[error("could not run {program}")]
    CouldNotRun {
        program: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{what} did not end within {deadline:?}; last seen: {last}")]
    Deadline { what: String, deadline: Duration, last: String },
    #[error("the disk is full at {at}")]
    DiskFull { at: String },
    #[error("{what}")]
    Failed {
        what: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// Where the server on this host should listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// "127.0.0.1" natively; "0.0.0.0" inside a container, whose port is published on loopback only.
    pub address: String,
    pub port: u16,
    /// Private folder for a Unix socket, on the host.
    pub socket_dir: String,
}

#[async_trait]
pub trait Host: Send + Sync {
    /// Absolute path, on the host, of a program of the server's installation: "initdb", "pg_restore".
    async fn program(&self, name: &str) -> Result<String, HostError>;

    /// Runs a program to its end, with nothing to read. A deadline kills it with all its children.
    async fn exec(&self, exec: &Exec, deadline: Duration) -> Result<ExecOutput, HostError> {
        self.exec_reading(exec, &mut tokio::io::empty(), deadline).await
    }

    /// As [`Host::exec`], with a stream of this machine for standard input, passed on as it comes. That the program ends before it has
    /// read everything is not an error by itself: its exit status and messages say what happened.
    async fn exec_reading(
        &self,
        exec: &Exec,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        deadline: Duration,
    ) -> Result<ExecOutput, HostError>;

    /// Starts the host's one server; its standard output and error go to [`Host::log_tail`]'s log.
    async fn start_server(&self, exec: &Exec) -> Result<(), HostError>;

    /// Asks the server to end and waits for it; past the deadline it is killed and an error says so.
    async fn stop_server(&self, mode: StopMode, deadline: Duration) -> Result<(), HostError>;

    /// How the server ended, if it has: "exit status: 1", "signal: 9 (SIGKILL)".
    async fn server_exit(&self) -> Option<String>;

    /// Copies a file or folder of this machine to `path` on the host, readable by the server's user.
    async fn put(&self, local: &Path, path: &str) -> Result<(), HostError>;

    async fn write(&self, path: &str, content: &[u8]) -> Result<(), HostError>;

    /// Reads a file from byte `offset` to its end.
    async fn read_from(&self, path: &str, offset: u64) -> Result<Vec<u8>, HostError>;

    /// Bytes in a file.
    async fn size(&self, path: &str) -> Result<u64, HostError> {
        Ok(self.read_from(path, 0).await?.len() as u64)
    }

    /// The last lines of what the server wrote to its standard error.
    async fn log_tail(&self, lines: usize) -> Vec<String>;

    /// A private folder on the host that the server's user may write.
    fn folder(&self) -> String;

    fn listen(&self) -> Listen;

    /// Takes another port where somebody else has taken ours since. Whether it did: then starting again is worth while.
    fn move_port(&self) -> bool {
        false
    }

    /// Host and port as reached from this machine, now: a container's port changes when it is restarted.
    async fn address(&self) -> Result<(String, u16), HostError>;

    /// Host and port as reached from another host of the same lab.
    async fn peer_address(&self) -> Result<(String, u16), HostError>;

    /// Free bytes where [`Host::folder`] lies.
    async fn free_bytes(&self) -> Result<u64, HostError>;
}
