//! Everyone who watches the plan: probes, observer, readers; started and stopped together.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::current::Current;
use super::dispatcher::Events;
use super::observer::Observer;
use super::observing::Observing;
use super::owners::Owners;
use super::probes::{self, Preparation, ProbesHandle};
use super::readers::Readers;
use super::replication::Replication;
use super::run::Failure;
use crate::engine::probing;
use crate::event::Phase;
use crate::scenario::Probes;
use crate::topology::Node;

pub(super) struct Watching {
    /// Steps tell it where the plan is, one at a time.
    probes: Mutex<ProbesHandle>,
    observer: Observer,
    readers: Option<Readers>,
    replication: Option<Replication>,
    pub owners: Owners,
    pub current: Current,
}

impl Watching {
    /// Derives the probes and starts everyone. Readers are opened anew with each step.
    pub async fn start(
        node: &Node,
        replicas: &[&Node],
        config: &Probes,
        touched: Option<&BTreeSet<String>>,
        events: &Events,
        stop: &CancellationToken,
    ) -> Result<Watching, Failure> {
        let superuser = node.endpoint();
        let app = probing::log_in_as(&superuser, config.run_as.as_deref(), node.login_password())
            .await
            .map_err(|error| Failure::harness(&error, error.hint().map(str::to_owned)))?;
        let (owners, current) = (Owners::default(), Current::default());
        let observing = Observing::new(events.clone(), owners.clone(), current.clone());
        let observer = Observer::start(&superuser, &observing, stop).map_err(|error| Failure::harness(&error, None))?;
        let preparation = Preparation { node: node.name(), superuser: &superuser, app: &app, probes: config, touched };
        let prepared = probes::prepare(&preparation, stop).await.map_err(|error| Failure::harness(&error, None))?;
        let readers = match config.open_transaction {
            Some(hold) => Some(Readers::open(&app, prepared.readers(), hold, &observing, stop).await),
            None => None,
        };
        let probes = prepared.start(&observing, stop).map_err(|error| Failure::harness(&error, None))?;
        let replication = match replicas {
            [] => None,
            replicas => Some(
                Replication::start(node, replicas, &observing, stop).map_err(|error| Failure::harness(&error, None))?,
            ),
        };
        Ok(Watching { probes: Mutex::new(probes), observer, readers, replication, owners, current })
    }

    pub async fn control(&mut self, lasts: Duration) {
        self.probes.get_mut().control(lasts).await;
    }

    pub async fn enter_step(&self, step: usize) {
        self.current.set(step, None);
        if let Some(readers) = &self.readers {
            readers.freshen().await;
        }
        self.probes.lock().await.enter(Phase::Plan, Some(step)).await;
    }

    pub async fn leave_step(&self) {
        self.current.clear();
        self.probes.lock().await.enter(Phase::Plan, None).await;
    }

    pub async fn enter_after(&mut self) {
        if let Some(readers) = self.readers.take() {
            readers.close().await;
        }
        self.probes.get_mut().enter(Phase::After, None).await;
    }

    /// What the plan left behind: every probe runs once more, for that long at least.
    pub async fn settle(&mut self, lasts: Duration) {
        self.probes.get_mut().settle(lasts).await;
    }

    pub async fn stop(self) {
        if let Some(readers) = self.readers {
            readers.close().await;
        }
        self.probes.into_inner().stop().await;
        self.observer.stop().await;
        if let Some(replication) = self.replication {
            replication.stop().await;
        }
    }
}
