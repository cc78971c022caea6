//! A host for parts that are tested without a lab: this machine's own programs, beside the shared server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::host::{Exec, ExecOutput, Host, HostError, Listen, StopMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

pub struct LocalHost {
    pub port: u16,
    pub folder: tempfile::TempDir,
}

impl LocalHost {
    pub fn beside(endpoint: &Endpoint) -> LocalHost {
        LocalHost { port: endpoint.port, folder: tempfile::tempdir().expect("a temporary folder") }
    }
}

fn failed(source: std::io::Error) -> HostError {
    HostError::Failed { what: "the test's host failed".into(), source: Some(Box::new(source)) }
}

#[async_trait]
impl Host for LocalHost {
    async fn program(&self, name: &str) -> Result<String, HostError> {
        Ok(super::server::programs().expect("checked by the test").join(name).to_string_lossy().into_owned())
    }

    async fn exec_reading(
        &self,
        exec: &Exec,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        deadline: Duration,
    ) -> Result<ExecOutput, HostError> {
        let mut child = tokio::process::Command::new(&exec.program)
            .args(&exec.args)
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")])
            .envs(exec.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut input = child.stdin.take().expect("piped");
        let feed = async move {
            // A program that ended early is told by its status.
            let _ = tokio::io::copy(stdin, &mut input).await;
            let _ = input.shutdown().await;
        };
        let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let all = async {
            let (_, out, err) = tokio::join!(feed, out.read_to_end(&mut stdout), err.read_to_end(&mut stderr));
            out.and(err).and(Ok(child.wait().await?))
        };
        let status = tokio::time::timeout(deadline, all).await.expect("within its deadline").map_err(failed)?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ok(ExecOutput { status: status.code().unwrap_or(-1), stdout, stderr })
    }

    async fn start_server(&self, _: &Exec) -> Result<(), HostError> {
        unreachable!("the shared server runs already")
    }

    async fn stop_server(&self, _: StopMode, _: Duration) -> Result<(), HostError> {
        unreachable!("the shared server runs on")
    }

    async fn server_exit(&self) -> Option<String> {
        None
    }

    async fn put(&self, local: &Path, path: &str) -> Result<(), HostError> {
        let copied = tokio::process::Command::new("cp").arg("-r").arg(local).arg(path).status().await;
        assert!(copied.map_err(failed)?.success(), "cp");
        Ok(())
    }

    async fn write(&self, path: &str, content: &[u8]) -> Result<(), HostError> {
        tokio::fs::write(path, content).await.map_err(failed)
    }

    async fn read_from(&self, path: &str, offset: u64) -> Result<Vec<u8>, HostError> {
        let content = tokio::fs::read(path).await.map_err(failed)?;
        Ok(content[usize::try_from(offset).expect("small")..].to_vec())
    }

    async fn log_tail(&self, _: usize) -> Vec<String> {
        Vec::new()
    }

    fn folder(&self) -> String {
        self.folder.path().to_string_lossy().into_owned()
    }

    fn listen(&self) -> Listen {
        Listen { address: "127.0.0.1".into(), port: self.port, socket_dir: "127.0.0.1".into() }
    }

    async fn address(&self) -> Result<(String, u16), HostError> {
        Ok(("127.0.0.1".into(), self.port))
    }

    async fn peer_address(&self) -> Result<(String, u16), HostError> {
        self.address().await
    }

    async fn free_bytes(&self) -> Result<u64, HostError> {
        Ok(u64::MAX)
    }
}
