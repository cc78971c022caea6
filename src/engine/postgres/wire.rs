//! The frontend/backend protocol as psql speaks it, over one TCP connection without TLS: a lab's servers are on loopback.
//!
//! The driver hides what a release's session is judged by: command tags, the transaction's status, and COPY within a simple query.
//! So the release has this connection, and the driver's own serves everything else. Messages and authentication are
//! `postgres-protocol`'s; the chapter is "Frontend/Backend Protocol" in the manual.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::fallible_iterator::FallibleIterator;

use super::error::{ServerMessage, connection_error};
use crate::engine::endpoint::Endpoint;
use crate::event::SqlError;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("could not reach {host}:{port}")]
    Unreachable { host: String, port: u16, source: io::Error },
    #[error("no answer from {host}:{port} within {deadline:?}")]
    Deadline { host: String, port: u16, deadline: Duration },
    #[error("the server refused the connection: {}", .0.shown(false))]
    Refused(Box<ServerMessage>),
    #[error("the server asks for an authentication that is not supported: {0}")]
    Authentication(String),
    /// With the server's last error, where it gave one.
    #[error("the server closed the connection{}", .0.as_ref().map(|last| format!(": {}", last.shown(false))).unwrap_or_default())]
    Closed(Option<Box<ServerMessage>>),
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

impl WireError {
    /// As an SQL error: the server's own where it gave one, else a connection failure.
    pub fn to_sql_error(&self, show_values: bool) -> SqlError {
        match self {
            WireError::Refused(message) | WireError::Closed(Some(message)) => message.to_sql_error(show_values),
            other => connection_error(other),
        }
    }
}

/// What the server says of the session's transaction when it is ready for the next query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransactionStatus {
    #[default]
    Idle,
    Open,
    /// Open, and refusing everything but its end.
    Failed,
}

/// An open session.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    incoming: BytesMut,
    outgoing: BytesMut,
    pub parameters: BTreeMap<String, String>,
    pub process_id: i32,
    secret_key: i32,
    address: (String, u16),
}

/// Sends a cancel request for one session from anywhere.
#[derive(Debug, Clone)]
pub struct Canceller {
    process_id: i32,
    secret_key: i32,
    address: (String, u16),
}

impl Canceller {
    /// Asks the server to cancel what the session runs; that it was asked says nothing about whether it did.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn cancel(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process_id, self.secret_key, &mut request);
        stream.write_all(&request).await?;
        stream.shutdown().await
    }
}

impl Wire {
    /// Connects and sends user, database and `application` only, as psql does when its output is no terminal.
    ///
    /// # Errors
    /// When the server is not there, refuses, or does not answer within `deadline`.
    pub async fn connect(endpoint: &Endpoint, application: &str, deadline: Duration) -> Result<Wire, WireError> {
        let late = |_| WireError::Deadline { host: endpoint.host.clone(), port: endpoint.port, deadline };
        timeout(deadline, Wire::start(endpoint, application)).await.map_err(late)?
    }

    async fn start(endpoint: &Endpoint, application: &str) -> Result<Wire, WireError> {
        let address = (endpoint.host.clone(), endpoint.port);
        let stream = TcpStream::connect(&address).await.map_err(|source| WireError::Unreachable {
            host: address.0.clone(),
            port: address.1,
            source,
        })?;
        stream.set_nodelay(true)?;
        let mut wire = Wire {
            stream,
            incoming: BytesMut::with_capacity(16 * 1024),
            outgoing: BytesMut::new(),
            parameters: BTreeMap::new(),
            process_id: 0,
            secret_key: 0,
            address,
        };
        let parameters =
            [("user", endpoint.user.as_str()), ("database", &endpoint.database), ("application_name", application)];
        frontend::startup_message(parameters, &mut wire.outgoing)?;
        wire.flush().await?;
        wire.authenticate(endpoint).await?;
        wire.settle().await?;
        Ok(wire)
    }

    async fn authenticate(&mut self, endpoint: &Endpoint) -> Result<(), WireError> {
        let password = endpoint.password.as_bytes();
        loop {
            match self.receive().await? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword => frontend::password_message(password, &mut self.outgoing)?,
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(endpoint.user.as_bytes(), password, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut self.outgoing)?;
                }
                Message::AuthenticationSasl(body) => self.authenticate_scram(password, &body).await?,
                Message::ErrorResponse(body) => {
                    return Err(WireError::Refused(Box::new(ServerMessage::read(body.fields())?)));
                }
                _ => return Err(WireError::Authentication("neither a password nor SCRAM".into())),
            }
            self.flush().await?;
        }
    }

    async fn authenticate_scram(&mut self, password: &[u8], body: &AuthenticationSaslBody) -> Result<(), WireError> {
        let offered: Vec<&str> = body.mechanisms().collect()?;
        if !offered.contains(&sasl::SCRAM_SHA_256) {
            return Err(WireError::Authentication(offered.join(", ")));
        }
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), &mut self.outgoing)?;
        self.flush().await?;
        loop {
            match self.receive().await? {
                Message::AuthenticationSaslContinue(body) => {
                    scram.update(body.data())?;
                    frontend::sasl_response(scram.message(), &mut self.outgoing)?;
                    self.flush().await?;
                }
                Message::AuthenticationSaslFinal(body) => return Ok(scram.finish(body.data())?),
                Message::ErrorResponse(body) => {
                    return Err(WireError::Refused(Box::new(ServerMessage::read(body.fields())?)));
                }
                _ => return Err(WireError::Authentication("SCRAM ended early".into())),
            }
        }
    }

    /// Reads on to the first ReadyForQuery.
    async fn settle(&mut self) -> Result<(), WireError> {
        loop {
            match self.receive().await? {
                Message::BackendKeyData(body) => {
                    self.process_id = body.process_id();
                    self.secret_key = body.secret_key();
                }
                Message::ErrorResponse(body) => {
                    return Err(WireError::Refused(Box::new(ServerMessage::read(body.fields())?)));
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    pub fn canceller(&self) -> Canceller {
        Canceller { process_id: self.process_id, secret_key: self.secret_key, address: self.address.clone() }
    }

    /// The buffer that [`Wire::flush`] sends.
    pub fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    /// Sends what was written, reading meanwhile: a server that waits for us to take its notices would never take our rows. May be
    /// dropped while it waits: [`Wire::receive`] sends the rest.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        let (mut reader, mut writer) = self.stream.split();
        while !self.outgoing.is_empty() {
            tokio::select! {
                written = writer.write_buf(&mut self.outgoing) => {
                    written?;
                }
                read = reader.read_buf(&mut self.incoming) => if read? == 0 {
                    return Err(self.closed());
                },
            }
        }
        Ok(())
    }

    /// The next message; sends meanwhile what was written and not sent. May be dropped while it waits, losing nothing. Parameter changes
    /// are also kept in `parameters`.
    ///
    /// # Errors
    /// When the connection ends or fails.
    pub async fn receive(&mut self) -> Result<Message, WireError> {
        loop {
            if let Some(message) = self.received()? {
                return Ok(message);
            }
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                read = reader.read_buf(&mut self.incoming) => if read? == 0 {
                    return Err(self.closed());
                },
                written = writer.write_buf(&mut self.outgoing), if !self.outgoing.is_empty() => {
                    written?;
                }
            }
        }
    }

    /// The next message if it is here already.
    ///
    /// # Errors
    /// If what came is no message.
    pub fn received(&mut self) -> Result<Option<Message>, WireError> {
        let message = Message::parse(&mut self.incoming)?;
        if let Some(Message::ParameterStatus(body)) = &message {
            self.parameters.insert(body.name()?.to_owned(), body.value()?.to_owned());
        }
        Ok(message)
    }

    /// The end of the connection, with the last error still unread.
    fn closed(&mut self) -> WireError {
        let mut last = None;
        while let Ok(Some(message)) = self.received() {
            if let Message::ErrorResponse(body) = message {
                last = ServerMessage::read(body.fields()).ok().map(Box::new);
            }
        }
        WireError::Closed(last)
    }

    /// Says goodbye, so that the server ends the session at once.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.outgoing);
        // A connection that is gone already is closed as well.
        let _ = self.flush().await;
        let _ = self.stream.shutdown().await;
    }
}
