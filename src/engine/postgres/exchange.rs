//! One round with the server: from what was sent to the next ReadyForQuery, with COPY, notices, deadline and cancellation.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend::{self, BindError, CopyData};
use tokio_postgres::fallible_iterator::FallibleIterator;
use tokio_util::sync::CancellationToken;

use super::error::ServerMessage;
use super::psql::Script;
use super::wire::{TransactionStatus, Wire, WireError};
use crate::engine::script::ScriptProblem;

/// COPY data is sent in pieces of about this size.
const COPY_CHUNK: usize = 64 * 1024;
/// What COPY is told where there is nothing to read its rows from; the server's error then tells.
const NO_ROWS: &str = "no rows follow in the script: only COPY in text or CSV format can read them there";
/// What it is told where the rest of its rows is not sent.
const GIVEN_UP: &str = "the statement was given up";
/// How long a cancelled statement may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// When a round is to be given up.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    pub deadline: Option<Instant>,
    pub cancel: &'a CancellationToken,
}

/// Why a round was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    TimedOut,
    Cancelled,
}

impl Limits<'_> {
    /// Resolves when the round is to be given up.
    pub async fn passed(&self) -> Interruption {
        let late = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => Interruption::Cancelled,
            () = late => Interruption::TimedOut,
        }
    }
}

/// Which rows are kept; the others are counted and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// At most so many of each result; one more tells that there were more.
    Up(usize),
    /// At most so many of the first result, and all of the later ones.
    FirstUpAndRest(usize),
}

impl Keep {
    fn wants(self, result: usize, kept: usize) -> bool {
        match self {
            Keep::Up(most) => kept < most,
            Keep::FirstUpAndRest(most) => result > 0 || kept < most,
        }
    }
}

/// What one command of the round answered.
#[derive(Debug, Clone, Default)]
pub struct ResultSet {
    /// The command tag; empty while the command has not ended, and for an empty statement.
    pub tag: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

impl ResultSet {
    /// The tag without its counts, "INSERT".
    pub fn command(&self) -> &str {
        self.tag.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ')
    }

    /// The count at the tag's end.
    pub fn count(&self) -> Option<u64> {
        self.tag.rsplit(' ').next()?.parse().ok()
    }
}

/// All that came back.
#[derive(Debug, Default)]
pub struct Reply {
    /// Of the commands that ended.
    pub results: Vec<ResultSet>,
    pub error: Option<ServerMessage>,
    pub status: TransactionStatus,
    /// The round was to be given up, and the server was asked to cancel.
    pub interrupted: Option<Interruption>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Script(#[from] ScriptProblem),
    #[error("the server did not end a cancelled statement within {GRACE:?}")]
    Stuck(Interruption),
}

impl From<std::io::Error> for ExchangeError {
    fn from(error: std::io::Error) -> ExchangeError {
        ExchangeError::Wire(WireError::Io(error))
    }
}

/// Writes a simple query.
pub fn write_query(sql: &str, out: &mut BytesMut) -> std::io::Result<()> {
    frontend::query(sql, out)
}

/// Writes the statements as a pipeline of the extended protocol: one transaction, in which the first is the top-level statement that it
/// would be alone, and in which each is known to the server by its own text only.
pub fn write_pipeline(statements: &[&str], describe_first: bool, out: &mut BytesMut) -> std::io::Result<()> {
    for (at, sql) in statements.iter().enumerate() {
        frontend::parse("", sql, [], out)?;
        frontend::bind("", "", [], std::iter::empty::<()>(), |(), _| Ok(IsNull::Yes), [], out).map_err(|error| {
            match error {
                BindError::Serialization(error) => error,
                BindError::Conversion(error) => std::io::Error::other(error),
            }
        })?;
        if at == 0 && describe_first {
            frontend::describe(b'P', "", out)?;
        }
        frontend::execute("", 0, out)?;
    }
    frontend::sync(out);
    Ok(())
}

/// Sends what was written and reads to the end of the round. `script` gives COPY its rows.
///
/// # Errors
/// If the connection ends, the script's rows cannot be read, or a cancelled statement does not end. The server's refusals are no
/// errors here: they are in the reply.
pub async fn exchange(
    wire: &mut Wire,
    limits: &Limits<'_>,
    keep: Keep,
    mut script: Option<&mut Script>,
    notice: &mut (dyn FnMut(ServerMessage) + Send),
) -> Result<Reply, ExchangeError> {
    let mut round = Round { reply: Reply::default(), current: ResultSet::default(), keep };
    let mut give_up = None;
    loop {
        if round.reply.interrupted.is_some() && give_up.is_none() {
            give_up = Some(tokio::time::Instant::now() + GRACE);
            // Whether it was heard shows in what comes next.
            if let Err(error) = wire.canceller().cancel().await {
                tracing::warn!(%error, "could not ask the server to cancel");
            }
        }
        let message = tokio::select! {
            message = wire.receive() => message.map_err(|error| round.ended_by(error))?,
            reason = limits.passed(), if round.reply.interrupted.is_none() => {
                round.reply.interrupted = Some(reason);
                continue;
            }
            () = tokio::time::sleep_until(give_up.unwrap_or_else(tokio::time::Instant::now)), if give_up.is_some() => {
                return Err(ExchangeError::Stuck(round.reply.interrupted.unwrap_or(Interruption::Cancelled)));
            }
        };
        match message {
            Message::CopyInResponse(body) => {
                let binary = body.format() != 0;
                let script = script.as_deref_mut().filter(|_| !binary);
                match script {
                    None => frontend::copy_fail(NO_ROWS, wire.outgoing())?,
                    Some(_) if round.reply.interrupted.is_some() => frontend::copy_fail(GIVEN_UP, wire.outgoing())?,
                    Some(script) => tokio::select! {
                        sent = send_copy(wire, script) => sent?,
                        // A server that waits for a lock takes no rows, however long.
                        reason = limits.passed() => {
                            round.reply.interrupted = Some(reason);
                            frontend::copy_fail(GIVEN_UP, wire.outgoing())?;
                        }
                    },
                }
            }
            Message::NoticeResponse(body) => notice(ServerMessage::read(body.fields())?),
            Message::ReadyForQuery(body) => {
                round.reply.status = match body.status() {
                    b'T' => TransactionStatus::Open,
                    b'E' => TransactionStatus::Failed,
                    _ => TransactionStatus::Idle,
                };
                return Ok(round.reply);
            }
            message => round.take(&message)?,
        }
    }
}

struct Round {
    reply: Reply,
    current: ResultSet,
    keep: Keep,
}

impl Round {
    /// The connection's end, with the server's last word if that came just before it.
    fn ended_by(&mut self, error: WireError) -> WireError {
        match (error, self.reply.error.take()) {
            (WireError::Closed(None) | WireError::Io(_), Some(last)) => WireError::Closed(Some(Box::new(last))),
            (error, _) => error,
        }
    }

    fn take(&mut self, message: &Message) -> Result<(), ExchangeError> {
        match message {
            Message::RowDescription(body) => {
                self.current.columns = body.fields().map(|field| Ok(field.name().to_owned())).collect()?;
            }
            Message::DataRow(body) if self.keep.wants(self.reply.results.len(), self.current.rows.len()) => {
                self.current.rows.push(columns(body)?);
            }
            Message::CommandComplete(body) => {
                self.current.tag = body.tag()?.to_owned();
                self.reply.results.push(std::mem::take(&mut self.current));
            }
            Message::EmptyQueryResponse => self.reply.results.push(std::mem::take(&mut self.current)),
            Message::ErrorResponse(body) => self.reply.error = Some(ServerMessage::read(body.fields())?),
            _ => {}
        }
        Ok(())
    }
}

fn columns(row: &DataRowBody) -> std::io::Result<Vec<Option<String>>> {
    let buffer = row.buffer();
    row.ranges().map(|range| Ok(range.map(|range| String::from_utf8_lossy(&buffer[range]).into_owned()))).collect()
}

/// Sends the script's rows. Dropped on its way, it leaves whole messages to be sent.
async fn send_copy(wire: &mut Wire, script: &mut Script) -> Result<(), ExchangeError> {
    let mut chunk = Vec::with_capacity(COPY_CHUNK);
    while let Some(line) = script.copy_line()? {
        chunk.extend_from_slice(line.as_bytes());
        if chunk.len() >= COPY_CHUNK {
            CopyData::new(chunk.as_slice())?.write(wire.outgoing());
            chunk.clear();
            wire.flush().await?;
        }
    }
    if !chunk.is_empty() {
        CopyData::new(chunk.as_slice())?.write(wire.outgoing());
    }
    frontend::copy_done(wire.outgoing());
    Ok(wire.flush().await?)
}
