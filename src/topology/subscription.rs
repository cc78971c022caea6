//! Nodes that take some tables of the writer by logical replication: made to, filled, and proven by a row that arrives.

use std::time::{Duration, Instant};

use super::replication::{arrives, could_not};
use super::{Node, TopologyError};
use crate::engine::replication;
use crate::engine::subscription::{Copies, Feed};

/// For the rows that are there to be copied, however many.
const COPIED: Duration = Duration::from_secs(6 * 3600);
const POLL: Duration = Duration::from_millis(10);

/// Lines of a subscriber's log that an error carries.
const LOG_LINES: usize = 20;

/// The number of the row that proves it.
const NUMBER: i32 = 1;

/// Makes nodes subscribe to another, and waits until each has what was there and what came since. Gives what to tell of them.
///
/// One row proves all of them: whoever already subscribes gets what proves the others, and would look for its table.
pub(super) async fn subscribe(publisher: &Node, subscribers: &[(&Node, Feed)]) -> Result<Vec<String>, TopologyError> {
    let mut told = Vec::new();
    // One after the other: each takes several of the sessions that a server has for replicas, while it copies.
    for (subscriber, feed) in subscribers {
        let notes = subscriber.subscribe_to(publisher, feed).await?;
        told.extend(notes.into_iter().map(|note| format!("subscriber {}: {note}", subscriber.name())));
        copied(subscriber, feed).await?;
    }
    replication::put_proof(&publisher.endpoint(), NUMBER).await.map_err(could_not(publisher))?;
    for (subscriber, _) in subscribers {
        arrives(subscriber, async || replication::has_proof(&subscriber.endpoint(), NUMBER).await).await?;
    }
    // The publisher's first: what is no longer published there is missed nowhere.
    for node in std::iter::once(publisher).chain(subscribers.iter().map(|(subscriber, _)| *subscriber)) {
        replication::remove_proof(&node.endpoint()).await.map_err(could_not(node))?;
    }
    Ok(told)
}

async fn copied(subscriber: &Node, feed: &Feed) -> Result<(), TopologyError> {
    let began = Instant::now();
    let mut copies = Copies::connect(&subscriber.endpoint(), &feed.publication).await.map_err(could_not(subscriber))?;
    loop {
        let missing = copies.missing().await.map_err(could_not(subscriber))?;
        if missing.tables.is_empty() {
            return Ok(());
        }
        if missing.failing || began.elapsed() > COPIED {
            let log = subscriber.log_tail(LOG_LINES).await;
            return Err(TopologyError::NotCopied { node: subscriber.name().to_owned(), tables: missing.tables, log });
        }
        tokio::time::sleep(POLL).await;
    }
}
