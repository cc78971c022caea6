//! SIGINT and SIGTERM: the first asks for a stop in order, the second ends the program at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::event::Event;
use crate::rehearsal::dispatcher::Events;

/// The task that waits for signals.
pub struct Watch {
    task: JoinHandle<()>,
    done: CancellationToken,
}

impl Watch {
    pub async fn stop(self) {
        self.done.cancel();
        // It only ever returns, so there is no result to lose.
        let _ = self.task.await;
    }
}

/// Starts to wait. Where the system refuses a handler, that signal keeps its usual effect.
pub fn watch(events: Events, cancel: CancellationToken) -> Watch {
    let handlers = handlers();
    let done = CancellationToken::new();
    let stop = done.clone();
    let task = tokio::spawn(async move {
        let (mut interrupt, mut terminate) = handlers;
        let Some(number) = stop.run_until_cancelled(next(&mut interrupt, &mut terminate)).await else { return };
        events.send(Event::Interrupted { signal: number });
        cancel.cancel();
        if let Some(number) = stop.run_until_cancelled(next(&mut interrupt, &mut terminate)).await {
            std::process::exit(128 + number);
        }
    });
    Watch { task, done }
}

/// Work that leaves nothing behind on anybody's server: a signal cancels its token, and the work is awaited to its end.
///
/// # Errors
/// The work's own, or [`Error::Interrupted`].
pub async fn interruptible<T, E: Into<Error>>(
    cancel: CancellationToken,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let (mut interrupt, mut terminate) = handlers();
    let mut work = std::pin::pin!(work);
    let signal = tokio::select! {
        done = &mut work => return done.map_err(Into::into),
        number = next(&mut interrupt, &mut terminate) => number,
    };
    cancel.cancel();
    tokio::select! {
        // Whatever it came to, nobody waits for it any more.
        _ = work => Err(Error::Interrupted { signal }),
        number = next(&mut interrupt, &mut terminate) => std::process::exit(128 + number),
    }
}

/// Of SIGINT and SIGTERM.
fn handlers() -> (Option<Signal>, Option<Signal>) {
    (signal(SignalKind::interrupt()).ok(), signal(SignalKind::terminate()).ok())
}

/// The number of the next one.
async fn next(interrupt: &mut Option<Signal>, terminate: &mut Option<Signal>) -> i32 {
    tokio::select! {
        () = received(interrupt) => SignalKind::interrupt().as_raw_value(),
        () = received(terminate) => SignalKind::terminate().as_raw_value(),
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
