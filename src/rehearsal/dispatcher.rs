//! The one place where events get their number and time, and every reporter is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use crate::engine::endpoint;
use crate::event::{Event, Recorded, ReportError, Reporter};

/// Sends events to the dispatcher; never waits. Copies send to the same one.
#[derive(Debug, Clone)]
pub struct Events {
    /// With the time at which it happened: whoever tells of it may be late, as on a terminal that does not take its lines.
    to: mpsc::UnboundedSender<(f64, Event)>,
    pub clock: Clock,
    secrets: Arc<Mutex<Vec<String>>>,
}

impl Events {
    pub fn send(&self, event: Event) {
        // After the dispatcher ended, by losing its log, there is nobody left to tell.
        let _ = self.to.send((self.clock.now_ms(), event));
    }

    /// Whatever event holds this from now on, as it is or as it stands in a URL, nobody is told of it: a scenario may well put a node's
    /// URL into its SQL.
    pub fn hide(&self, password: &str) {
        if !password.is_empty() {
            self.secrets.lock().unwrap_or_else(PoisonError::into_inner).extend(endpoint::forms_of(password));
        }
    }
}

/// Everything recorded, and whether the evidence is whole.
pub struct Dispatched {
    pub records: Vec<Recorded>,
    /// The log could not be written: the run is inconclusive.
    pub log_lost: Option<ReportError>,
}

/// Starts the dispatcher. `log` is told first of every event; losing it cancels the run. Ends with
/// [`Event::RunEnded`], or when every [`Events`] is dropped.
pub fn start(
    clock: Clock,
    mut log: Box<dyn Reporter>,
    mut displays: Vec<Box<dyn Reporter>>,
    cancel: CancellationToken,
) -> (Events, JoinHandle<Dispatched>) {
    let (to, mut from) = mpsc::unbounded_channel();
    let secrets = Arc::<Mutex<Vec<String>>>::default();
    let hidden = Arc::clone(&secrets);
    let task = tokio::spawn(async move {
        let mut dispatched = Dispatched { records: Vec::new(), log_lost: None };
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = from.recv() => event,
                _ = tick.tick() => {
                    displays.iter_mut().for_each(|display| display.tick());
                    continue;
                }
            };
            let Some((at_ms, event)) = event else { break };
            let event = without(&hidden.lock().unwrap_or_else(PoisonError::into_inner), event);
            let recorded = Recorded { seq: dispatched.records.len() as u64 + 1, at_ms, event };
            if dispatched.log_lost.is_none()
                && let Err(error) = log.report(&recorded)
            {
                dispatched.log_lost = Some(error);
                cancel.cancel();
            }
            displays.retain_mut(|display| tell(display.as_mut(), &recorded));
            let ended = matches!(recorded.event, Event::RunEnded { .. });
            dispatched.records.push(recorded);
            // Whoever still holds on to the run's events has nothing to add to a run that is over.
            if ended {
                break;
            }
        }
        if let Err(error) = log.finish() {
            dispatched.log_lost.get_or_insert(error);
        }
        for display in &mut displays {
            if let Err(error) = display.finish() {
                tracing::warn!(%error, "a display was lost");
            }
        }
        dispatched
    });
    (Events { to, clock, secrets }, task)
}

/// The event with an ellipsis wherever it holds a secret. Passwords are letters, digits and hyphens, and percent signs in a URL, so that
/// they stand in JSON as they are.
fn without(secrets: &[String], event: Event) -> Event {
    let Ok(mut text) = serde_json::to_string(&event) else { return event };
    if !secrets.iter().any(|secret| text.contains(secret.as_str())) {
        return event;
    }
    for secret in secrets {
        text = text.replace(secret.as_str(), "…");
    }
    serde_json::from_str(&text).unwrap_or(Event::Warned { what: "an event that held a password was left out".into() })
}

/// Whether the display is still there: losing one is a warning.
fn tell(display: &mut dyn Reporter, recorded: &Recorded) -> bool {
    match display.report(recorded) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "a display was lost");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Reporter for Silent {
        fn report(&mut self, _: &Recorded) -> Result<(), ReportError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn passwords_are_hidden_as_they_are_and_in_urls() {
        let (events, dispatched) = start(Clock::start(), Box::new(Silent), Vec::new(), CancellationToken::new());
        events.hide("");
        events.hide("q7Zk-aA1");
        events.send(Event::Warned { what: "q7Zk-aA1 at mysql://root:q7Zk%2DaA1@localhost:3306/shop".into() });
        drop(events);
        let dispatched = dispatched.await.expect("it ends");
        let [Recorded { event: Event::Warned { what }, .. }] = &dispatched.records[..] else {
            panic!("not one warning: {:?}", dispatched.records)
        };
        assert_eq!(what, "… at mysql://root:…@localhost:3306/shop");
    }
}
