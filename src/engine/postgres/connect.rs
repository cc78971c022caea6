//! Connections: one driver that sets nothing in a session but what it is told.
//!
//! tokio-postgres sends `client_encoding` and no other setting, so a session starts as psql's does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config, NoTls};

use crate::engine::endpoint::Endpoint;

/// What the driver reports, for those who only pass it on.
pub type DriverError = tokio_postgres::Error;

/// An open connection; closed when dropped.
pub struct Connection {
    pub client: Client,
    driver: AbortHandle,
}

impl Connection {
    /// Connects as configured, with notices left to the log. The configured time holds for the whole of it: whatever has the port may
    /// accept a connection and never say anything.
    ///
    /// # Errors
    /// The driver's, when the server refuses or does not answer in the configured time.
    pub async fn start(config: &Config) -> Result<Connection, tokio_postgres::Error> {
        let Some(&deadline) = config.get_connect_timeout() else {
            return Ok(Connection::driven(config.connect(NoTls).await?));
        };
        match tokio::time::timeout(deadline, config.connect(NoTls)).await {
            Ok(connected) => Ok(Connection::driven(connected?)),
            Err(_) => Ok(Connection::driven(config.connect_raw(Silent { deadline }, NoTls).await?)),
        }
    }

    fn driven<S, T>((client, driver): (Client, tokio_postgres::Connection<S, T>)) -> Connection
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Connection { client, driver: driver.abort_handle() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A stream on which nothing comes in time: the driver makes its own error of that, which nobody else can make.
struct Silent {
    deadline: Duration,
}

impl Silent {
    fn failed<T>(&self) -> Poll<io::Result<T>> {
        let said = format!("no answer within {:?}", self.deadline);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, said)))
    }
}

impl AsyncRead for Silent {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.failed()
    }
}

impl AsyncWrite for Silent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.failed()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.failed()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.failed()
    }
}

/// The driver's configuration for an endpoint, connecting within `deadline`.
pub fn config(endpoint: &Endpoint, deadline: Duration) -> Config {
    let mut config = Config::new();
    config
        .host(&endpoint.host)
        .port(endpoint.port)
        .dbname(&endpoint.database)
        .user(&endpoint.user)
        .password(&endpoint.password)
        .connect_timeout(deadline);
    // Whoever looks who is on the server knows the tool's own sessions by it.
    config.application_name(if endpoint.application.is_empty() { "rehearsal" } else { &endpoint.application });
    config
}

/// Connects, with notices left to the log.
///
/// # Errors
/// The driver's, when the server refuses or does not answer within `deadline`.
pub async fn connect(endpoint: &Endpoint, deadline: Duration) -> Result<Connection, tokio_postgres::Error> {
    Connection::start(&config(endpoint, deadline)).await
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::engine::EngineKind;

    #[tokio::test]
    async fn an_open_port_that_says_nothing_is_given_up() {
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let endpoint = Endpoint {
            engine: EngineKind::Postgres,
            host: "127.0.0.1".into(),
            port: silent.local_addr().expect("bound").port(),
            database: "shop".into(),
            user: "ann".into(),
            password: "secret".into(),
            application: String::new(),
        };
        let connecting = connect(&endpoint, Duration::from_millis(50));
        let result = tokio::time::timeout(Duration::from_secs(10), connecting).await.expect("it ends by itself");
        let error = result.err().expect("nobody answered");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no answer within 50ms"));
    }
}
