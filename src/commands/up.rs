//! `rehearsal up SCENARIO`: a rehearsal's beginning, left running.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::run::{Prepared, no_lab, prepare, run_id, started};
use super::{Error, signals, with_causes};
use crate::event::log::LogWriter;
use crate::event::{Event, Recorded};
use crate::lab::lease::LeasedNode;
use crate::lab::reap;
use crate::rehearsal::clock::Clock;
use crate::rehearsal::dispatcher::Dispatched;
use crate::rehearsal::run::Rehearsal;
use crate::rehearsal::{dispatcher, run};
use crate::scenario::{Node, Scenario, Topology};
use crate::settings::UpSettings;
use crate::topology::Released;

pub use crate::event::Reporter;

/// A scenario's nodes that were left running. Holds no password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Up {
    pub scenario: String,
    /// What `rehearsal down` takes it down by.
    pub run: String,
    /// "native" or "docker".
    pub lab: &'static str,
    /// The lab's folder.
    pub folder: PathBuf,
    /// A file that the engine's own client reads passwords from, readable by this user alone: libpq's, or an option file.
    pub passwords: PathBuf,
    /// A shell command that opens a session on the writer.
    pub connect: String,
    /// Each after the one that it replicates.
    pub nodes: Vec<UpNode>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpNode {
    pub name: String,
    #[serde(flatten)]
    pub role: Role,
    /// As the server says: "15.18 (Debian 15.18-0+deb12u1)".
    pub version: String,
    /// `postgresql://user@host:port/database`, `mysql://…`.
    pub url: String,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Role {
    Writer,
    /// The other of the writer's pair.
    Peer {
        of: String,
    },
    Replica {
        of: String,
    },
    /// Of some of the tables.
    Subscriber {
        of: String,
    },
}

/// Brings the scenario's nodes up, restores the snapshot, runs the setup, and leaves them running.
///
/// # Errors
/// A wrong scenario, a machine or lab that could not, a setup that failed, or a signal. Nothing runs then, and what was recorded of a
/// failure stays in a folder that the error names.
pub async fn run(settings: &UpSettings, displays: Vec<Box<dyn Reporter>>) -> Result<Up, Error> {
    let Prepared { scenario, lab, snapshot, touched, caching, base } =
        prepare(&settings.scenario, settings.lab, settings.cache_bytes).await?;
    let id = run_id();
    let folder = Path::new(".rehearsal/runs").join(&id);
    std::fs::create_dir_all(&folder).map_err(|error| no_folder(&folder, error.into()))?;
    let log = LogWriter::create(&folder).map_err(|error| no_folder(&folder, error.source.into()))?;

    let (clock, cancel) = (Clock::start(), CancellationToken::new());
    let (events, dispatched) = dispatcher::start(clock, Box::new(log), displays, cancel.clone());
    // Before the first server starts, so that no signal finds it unprepared.
    let signals = signals::watch(events.clone(), cancel.clone());
    events.send(started(&scenario, &id, lab, &base));
    let rehearsal = Rehearsal {
        scenario: &scenario,
        lab,
        base: &base,
        run: &id,
        folder: &folder,
        keep: true,
        show_values: false,
        snapshot,
        touched,
        caching,
    };
    let mut released = run::bring_up(&rehearsal, &events, &cancel).await;
    // First, so that no signal comes after the last event.
    signals.stop().await;
    if cancel.is_cancelled() && released.take().is_some() {
        // It came while the servers were let go, which is not given up half way.
        reap::remove(&base, &id).await.map_err(no_lab)?;
    }
    events.send(Event::RunEnded { elapsed_ms: clock.now_ms() });
    drop(events);
    let dispatched = dispatched.await.map_err(|error| Error::Inconclusive {
        what: "the dispatcher of events failed".into(),
        hint: None,
        source: Some(error.into()),
    })?;
    let result = match released {
        Some(released) => Ok(up(&scenario, id, lab.name(), released, &dispatched.records)),
        None => Err(failure(&dispatched, &folder)),
    };
    if matches!(result, Ok(_) | Err(Error::Interrupted { .. })) {
        forget(&folder);
    }
    result
}

fn no_folder(folder: &Path, source: super::Source) -> Error {
    Error::Usage {
        what: format!("could not write to {}", folder.display()),
        hint: Some("call it in a folder that can be written to".into()),
        source: Some(source),
    }
}

fn up(scenario: &Scenario, run: String, lab: &'static str, released: Released, records: &[Recorded]) -> Up {
    let connect = released.nodes.first().map(|writer| released.connect(writer)).unwrap_or_default();
    let nodes = released.nodes.into_iter().map(|node| described(node, scenario, records)).collect();
    let Released { folder, passwords, .. } = released;
    Up { scenario: scenario.name.clone(), run, lab, folder, passwords, connect, nodes }
}

fn described(node: LeasedNode, scenario: &Scenario, records: &[Recorded]) -> UpNode {
    let upstream = scenario.topology.nodes.iter().find(|known| known.name == node.name);
    let version = records.iter().find_map(|record| match &record.event {
        Event::NodeReady { node: name, version, .. } if *name == node.name => Some(version.clone()),
        _ => None,
    });
    UpNode {
        role: upstream.map_or(Role::Writer, |known| role(&scenario.topology, known)),
        version: version.unwrap_or_default(),
        url: node.url(),
        name: node.name,
        host: node.host,
        port: node.port,
        user: node.user,
        database: node.database,
    }
}

fn role(topology: &Topology, node: &Node) -> Role {
    match topology.upstream(node).map(str::to_owned) {
        None => Role::Writer,
        Some(of) if node.replicates.is_some() => Role::Replica { of },
        Some(of) if node.subscribes.is_some() => Role::Subscriber { of },
        Some(of) => Role::Peer { of },
    }
}

/// Why nothing is up.
fn failure(dispatched: &Dispatched, folder: &Path) -> Error {
    let events = || dispatched.records.iter().map(|record| &record.event);
    let signal = events().find_map(|event| match event {
        Event::Interrupted { signal } => Some(*signal),
        _ => None,
    });
    if let Some(signal) = signal {
        return Error::Interrupted { signal };
    }
    let told = events().find_map(|event| match event {
        Event::HarnessFailed { what, hint, log } => {
            let lines = log.iter().map(|line| format!("\n  | {line}"));
            Some((lines.fold(what.clone(), |all, line| all + &line), hint.clone()))
        }
        _ => None,
    });
    let lost = || dispatched.log_lost.as_ref().map(|error| (with_causes(error), None));
    // The lab was not let go in order.
    let warned = || {
        events().filter_map(|event| match event {
            Event::Warned { what } => Some((what.clone(), None)),
            _ => None,
        })
    };
    let (what, hint) = told
        .or_else(lost)
        .or_else(|| warned().next_back())
        .unwrap_or_else(|| ("the lab did not come up".to_owned(), None));
    let recorded = format!("what happened is recorded in {}", folder.display());
    let hint = hint.map_or_else(|| recorded.clone(), |hint| format!("{hint}\nhint: {recorded}"));
    Error::Inconclusive { what, hint: Some(hint), source: None }
}

/// Removes the folder of what is no evidence of anything, and those around it that are empty then.
fn forget(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "could not remove what was recorded");
    }
    // They hold other runs as often as not, and stay then.
    let _ = folder.ancestors().skip(1).take(2).try_for_each(std::fs::remove_dir);
}
