//! Why a rehearsal could not go on: this machine, its lab or the harness, and what befell a server meanwhile.

use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;

use crate::event::with_causes;
use crate::snapshot::SnapshotError;
use crate::topology::{Node, Topology, TopologyError, Trouble};

/// Of a server's log that tells why it ended, or came to a standstill.
pub(super) const LOG_LINES: usize = 20;

/// Within which it is known whether the whole server has gone with a connection.
pub(super) const SERVER_GONE: Duration = Duration::from_secs(1);

const FREE_SPACE: &str = "free some space, or set REHEARSAL_LAB_DIR to a folder on another disk";
const KILLED: &str = "its log in the run's folder says more; signal 9 is most often the machine's memory that ran out";
const CRASHED: &str = "its log in the run's folder says more";

/// Why a rehearsal did not come to its end.
pub(super) enum Failure {
    /// A signal, the lost log or the lost server; an event said so already.
    Stopped,
    /// This machine, lab or harness could not.
    Harness { what: String, hint: Option<String>, log: Vec<String> },
}

impl Failure {
    pub(super) fn harness(error: &dyn std::error::Error, hint: Option<String>) -> Failure {
        Failure::Harness { what: with_causes(error), hint, log: Vec::new() }
    }

    /// The same, with what failed before it.
    pub(super) fn of(self, subject: &str) -> Failure {
        match self {
            Failure::Stopped => Failure::Stopped,
            Failure::Harness { what, hint, log } => Failure::Harness { what: format!("{subject}: {what}"), hint, log },
        }
    }

    /// What failed for want of a whole server.
    pub(super) fn trouble(trouble: Trouble, node: &str, failed: &str, log: Vec<String>) -> Failure {
        let (what, hint) = match trouble {
            Trouble::DiskFull => (format!("the disk of node {node} is full: {failed}"), FREE_SPACE),
            Trouble::Killed(told) => (format!("the server of node {node} was hit: {told}: {failed}"), KILLED),
            Trouble::Crashed(told) => (format!("the server of node {node} crashed: {told}: {failed}"), CRASHED),
        };
        Failure::Harness { what, hint: Some(hint.to_owned()), log }
    }
}

/// A failure with what befell a writer's server meanwhile: whoever talks to one that goes sees no more than its connection end.
pub(super) async fn explained(failure: Failure, topology: &Topology) -> Failure {
    let Failure::Harness { what, hint, log } = failure else { return failure };
    let gone = select_all(topology.writers().map(|node| async move { (node, node.exited().await) }.boxed()));
    if let Ok(((node, how), ..)) = tokio::time::timeout(SERVER_GONE, gone).await {
        return died(node, how).await;
    }
    for node in topology.writers().filter(|_| hint.is_none()) {
        if let Some(trouble) = node.trouble().await {
            return Failure::trouble(trouble, node.name(), &what, log);
        }
    }
    Failure::Harness { what, hint, log }
}

pub(super) async fn died(node: &Node, how: String) -> Failure {
    let gone = format!("the server of node {} ended by itself: {how}", node.name());
    let (what, hint) = match node.trouble().await {
        Some(Trouble::DiskFull) => (format!("the disk is full: {gone}"), FREE_SPACE),
        _ => (gone, "its last log lines say why; what it said of itself before is in the run's folder"),
    };
    Failure::Harness { what, hint: Some(hint.to_owned()), log: node.log_tail(LOG_LINES).await }
}

impl From<TopologyError> for Failure {
    fn from(error: TopologyError) -> Failure {
        match error {
            TopologyError::Cancelled => Failure::Stopped,
            error => Failure::Harness { what: with_causes(&error), hint: error.hint(), log: error.log().to_vec() },
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Failure {
        match error {
            SnapshotError::Cancelled => Failure::Stopped,
            error => Failure::harness(&error, error.hint()),
        }
    }
}

/// What this machine did to a node's server, and no release did.
pub(super) async fn machines_trouble(node: &Node) -> Option<Trouble> {
    node.trouble().await.filter(|trouble| matches!(trouble, Trouble::DiskFull | Trouble::Killed(_)))
}
