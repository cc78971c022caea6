//! A server brought up: started, asked until it answers, started again where the reason why it ended will pass.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Running, Server, ServerError};
use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Exec, HostError};
use crate::event::with_causes;

const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Of one attempt to connect while the server comes up.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(15);
/// Times that a port is found taken before it is said.
const PORTS_MAX: usize = 5;
/// Lines of the server's log that an error carries.
const LOG_LINES: usize = 20;

/// What differs between the engines.
#[async_trait]
pub trait ComingUp: Server {
    /// The server's command line.
    ///
    /// # Errors
    /// Its program is not there, or the host cannot be asked.
    async fn command(&self) -> Result<Exec, ServerError>;

    /// Where it will answer, as superuser, in a database that is always there.
    ///
    /// # Errors
    /// The host cannot be asked.
    async fn endpoint(&self) -> Result<Endpoint, ServerError>;

    /// Asks it once who it is.
    ///
    /// # Errors
    /// It does not answer yet.
    async fn ask(&self, endpoint: &Endpoint) -> Result<Running, ServerError>;

    /// As [`Server::log_tail`], of a server that ended while it was starting.
    async fn log_tail_of_start(&self, lines: usize) -> Vec<String>;

    /// Whether the log says of something that will pass that it kept the server from starting.
    fn will_pass(&self, log: &[String]) -> bool;

    fn says_disk_full(&self, line: &str) -> bool;
}

/// Starts a server; it has answered when this returns.
///
/// # Errors
/// It ended, with its last log lines, or did not answer in time; or the host could not start it.
pub async fn come_up(server: &impl ComingUp) -> Result<Running, ServerError> {
    let (began, mut ports) = (Instant::now(), 1);
    loop {
        server.host().start_server(&server.command().await?).await?;
        match wait_until_ready(server).await {
            Err(ServerError::DiedStarting { log, .. })
                if began.elapsed() < READY_DEADLINE && server.will_pass(&log) =>
            {
                tokio::time::sleep(POLL).await;
            }
            // Somebody else took the port between its choice and now.
            Err(ServerError::DiedStarting { .. }) if ports < PORTS_MAX && server.host().move_port() => ports += 1,
            ended => return ended,
        }
    }
}

async fn wait_until_ready(server: &impl ComingUp) -> Result<Running, ServerError> {
    let began = Instant::now();
    let endpoint = server.endpoint().await?;
    loop {
        let last = tokio::select! {
            // Whoever has taken the port may accept a connection and never say anything.
            attempt = tokio::time::timeout(ATTEMPT_DEADLINE, server.ask(&endpoint)) => match attempt {
                Ok(Ok(running)) => return Ok(running),
                Ok(Err(error)) => with_causes(&error),
                Err(_) => "an open port and no answer".to_owned(),
            },
            how = exit(server) => {
                let log = server.log_tail_of_start(LOG_LINES).await;
                if log.iter().any(|line| server.says_disk_full(line)) {
                    return Err(HostError::DiskFull { at: server.data() }.into());
                }
                return Err(ServerError::DiedStarting { how, log });
            }
        };
        if began.elapsed() > READY_DEADLINE {
            let log = server.log_tail(LOG_LINES).await;
            return Err(ServerError::NotReady { deadline: READY_DEADLINE, last, log });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Resolves once the server has ended.
async fn exit(server: &impl ComingUp) -> String {
    loop {
        if let Some(how) = server.host().server_exit().await {
            return how;
        }
        tokio::time::sleep(POLL).await;
    }
}
