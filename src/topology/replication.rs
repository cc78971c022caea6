//! Proof that nodes replicate: a row that was committed on one arrives on the others.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::{Node, TopologyError};
use crate::engine::replication::{self, Heart, Pulse};
use crate::engine::server::BoxError;
use crate::event::with_causes;

/// For a row to arrive on a replica that has just been made.
const ARRIVES: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Of one look at a replica.
const LOOK: Duration = Duration::from_secs(10);

/// Lines of a replica's log that an error carries.
const LOG_LINES: usize = 20;

/// The beat that proves replicas; those that prove a pair go before it.
const OF_REPLICAS: i64 = 3;
/// Those that prove clones, which hold the others: a pair's, and their replicas'.
const OF_CLONED_PAIR: i32 = 4;
const OF_CLONES: i64 = 6;

/// Commits a row on the writer and waits until each replica shows it.
pub(super) async fn prove(writer: &Node, replicas: Vec<&Node>) -> Result<(), TopologyError> {
    Heart::make(&writer.endpoint()).await.map_err(could_not(writer))?;
    prove_by(OF_REPLICAS, writer, replicas).await
}

/// As [`prove`], of clones.
pub(super) async fn prove_again(writer: &Node, replicas: Vec<&Node>) -> Result<(), TopologyError> {
    prove_by(OF_CLONES, writer, replicas).await
}

async fn prove_by(number: i64, writer: &Node, replicas: Vec<&Node>) -> Result<(), TopologyError> {
    let heart = Heart::connect(&writer.endpoint()).await.map_err(could_not(writer))?;
    heart.beat(number).await.map_err(could_not(writer))?;
    let shows = async |replica: &Node| {
        let shown = Pulse::connect(&replica.endpoint(), None).await?.read().await?;
        Ok(shown.number.is_some_and(|shown| shown >= number))
    };
    try_join_all(replicas.iter().map(|replica| arrives(replica, || shows(replica)))).await.map(|_| ())
}

/// A row of each of a cloned pair arrives on the other, where its replication carries the heartbeat; else each has written something that
/// the other's position has to pass.
pub(super) async fn prove_pair_again(pair: [&Node; 2]) -> Result<(), TopologyError> {
    let [one, other] = pair;
    for (number, [from, to]) in (OF_CLONED_PAIR..).zip([[one, other], [other, one]]) {
        let heart = Heart::connect(&from.endpoint()).await.map_err(could_not(from))?;
        heart.beat(number.into()).await.map_err(could_not(from))?;
        if matches!(heart, Heart::Mysql(_)) {
            arrives(to, async || replication::has_proof(&to.endpoint(), number).await).await?;
        }
    }
    Ok(())
}

/// Makes two nodes follow each other, and waits until a row of each arrives on the other.
pub(super) async fn join(pair: [&Node; 2]) -> Result<(), TopologyError> {
    let [one, other] = pair;
    for node in pair {
        replication::prepare_proof(&node.endpoint()).await.map_err(could_not(node))?;
    }
    // One after the other: each may have to wait until nothing is under way on the node that it is to follow.
    other.follow_peer(one).await?;
    one.follow_peer(other).await?;
    for (number, [from, to]) in (1..).zip([[one, other], [other, one]]) {
        replication::put_proof(&from.endpoint(), number).await.map_err(could_not(from))?;
        arrives(to, async || replication::has_proof(&to.endpoint(), number).await).await?;
    }
    for node in pair {
        replication::remove_proof(&node.endpoint()).await.map_err(could_not(node))?;
    }
    Ok(())
}

pub(super) async fn arrives<F: Future<Output = Result<bool, BoxError>>>(
    replica: &Node,
    shows: impl Fn() -> F,
) -> Result<(), TopologyError> {
    let began = Instant::now();
    loop {
        let silent = || Err(format!("no answer within {LOOK:?}").into());
        let shown = tokio::time::timeout(LOOK, shows()).await.unwrap_or_else(|_| silent());
        let last = match shown {
            Ok(true) => return Ok(()),
            Ok(false) => "an older row".to_owned(),
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

/// Takes back what made replicas quicker than production's while everything was made ready.
pub(super) async fn as_in_production(replicas: &[&Node]) -> Result<(), TopologyError> {
    try_join_all(
        replicas.iter().map(|replica| async {
            replication::as_in_production(&replica.endpoint()).await.map_err(could_not(replica))
        }),
    )
    .await
    .map(|_| ())
}

pub(super) fn could_not(node: &Node) -> impl Fn(BoxError) -> TopologyError {
    let node = node.name().to_owned();
    move |source| TopologyError::Replication { node: node.clone(), source }
}
