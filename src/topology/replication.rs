//! Proof that nodes replicate: a row that was committed on one arrives on the others.

use std::time::{Duration, Instant};

use super::{Node, TopologyError};
use crate::engine::replication::{self, Heart, Pulse};
use crate::event::with_causes;

/// For a row to arrive on a replica that has just been made.
const ARRIVES: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Of one look at a replica.
const LOOK: Duration = Duration::from_secs(10);

/// Commits a row on the writer and waits until each replica shows it.
pub(super) async fn prove(writer: &Node, replicas: &[&Node]) -> Result<(), TopologyError> {
    let could_not = |source| TopologyError::Replication { node: writer.name().to_owned(), source };
    Heart::make(&writer.endpoint()).await.map_err(could_not)?;
    let heart = Heart::connect(&writer.endpoint()).await.map_err(could_not)?;
    heart.beat(1).await.map_err(could_not)?;
    futures::future::try_join_all(replicas.iter().map(|replica| arrives(replica))).await.map(|_| ())
}

async fn arrives(replica: &Node) -> Result<(), TopologyError> {
    let began = Instant::now();
    loop {
        let look = async { Pulse::connect(&replica.endpoint()).await?.read().await };
        let silent = || Err(format!("no answer within {LOOK:?}").into());
        let shown = tokio::time::timeout(LOOK, look).await.unwrap_or_else(|_| silent());
        let last = match shown {
            Ok(shown) if shown.number >= 1 => return Ok(()),
            Ok(_) => "an older row".to_owned(),
            Err(error) => with_causes(error.as_ref()),
        };
        let last = match tokio::time::timeout(LOOK, replication::ailment(&replica.endpoint())).await {
            Ok(Ok(Some(ailment))) => ailment,
            _ => last,
        };
        if began.elapsed() > ARRIVES {
            let log = replica.log_tail(LOG_LINES).await;
            return Err(TopologyError::NotReplicated { node: replica.name().to_owned(), deadline: ARRIVES, last, log });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Lines of a replica's log that an error carries.
const LOG_LINES: usize = 20;

/// Takes back what made replicas quicker than production's while everything was made ready.
pub(super) async fn as_in_production(replicas: &[&Node]) -> Result<(), TopologyError> {
    futures::future::try_join_all(replicas.iter().map(|replica| async {
        let could_not = |source| TopologyError::Replication { node: replica.name().to_owned(), source };
        replication::as_in_production(&replica.endpoint()).await.map_err(could_not)
    }))
    .await
    .map(|_| ())
}
