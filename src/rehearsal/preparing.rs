//! What comes before the plan: the snapshot in and the setup done, or a clone of a baseline; and the state before the plan kept.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::baseline::{self, Facts, Restored};
use super::failure::{Failure, LOG_LINES};
use super::plan;
use super::replication;
use super::run::{Caching, Rehearsal, Stages, millis, offer, own_version, tell_disk};
use super::step::StepEnd;
use crate::event::{CloneKind, Event, StepRole};
use crate::snapshot::{self, Bench, RestoreRequest};
use crate::topology::{self, Began, Keeping, Node};

/// How long one program of a restore may take.
const RESTORE: Duration = Duration::from_secs(24 * 3600);

impl Stages<'_> {
    /// Everything up to where the plan's state is kept: from a baseline, or else restored and set up, with what to keep beside that.
    pub async fn ready(&self) -> Result<Option<Facts>, Failure> {
        let facts = match self.topology.began() {
            None => Some(self.restore().await?),
            Some(began) => {
                self.tell_again(began)?;
                None
            }
        };
        self.replicas_ready("the snapshot").await?;
        Ok(facts)
    }

    /// What was told when the baseline was made.
    fn tell_again(&self, began: &Began) -> Result<(), Failure> {
        let facts: Facts =
            serde_json::from_value(began.facts.clone()).map_err(|error| Failure::harness(&error, None))?;
        for what in facts.notes {
            self.events.send(Event::Warned { what });
        }
        for Restored { node, kind, tables } in facts.restored {
            self.events.send(Event::Restored { node, kind, tables, elapsed_ms: 0.0 });
        }
        Ok(())
    }

    async fn restore(&self) -> Result<Facts, Failure> {
        let Rehearsal { scenario, .. } = self.rehearsal;
        let started = Instant::now();
        let prepared;
        let snapshot = match &self.rehearsal.snapshot {
            Some(snapshot) => snapshot,
            None => {
                self.events.send(Event::Progress { what: "reading the snapshot".into(), done: None, total: None });
                let (version, node) = (scenario.version(), own_version(scenario));
                let writer = self.writer();
                let bench = Bench { host: writer.host(), folder: writer.lab_folder(), version, node };
                prepared =
                    snapshot::prepare(scenario.topology.engine, &scenario.snapshot, Some(bench), self.stop).await?;
                &prepared
            }
        };
        let extensions = &scenario.writer().extensions;
        snapshot::check(snapshot, &offer(scenario, Some(self.writer()))).await?;
        let mut facts = Facts::default();
        let mut tables = Vec::new();
        let several = self.topology.filled().count() > 1;
        for node in self.topology.filled() {
            let of_node = if several { format!("node {}: ", node.name()) } else { String::new() };
            let endpoint = node.endpoint();
            let request = RestoreRequest {
                host: node.host(),
                endpoint: &endpoint,
                snapshot,
                extensions,
                cancel: self.stop,
                deadline: RESTORE,
            };
            let mut progress = |what: &str, done, total| {
                self.events.send(Event::Progress { what: format!("{of_node}{what}"), done, total });
            };
            let restored = snapshot::restore(&request, &mut progress).await.map_err(Failure::from);
            let restored = match restored {
                Err(failure) if several => return Err(failure.of(&format!("node {}", node.name()))),
                other => other?,
            };
            for note in restored.notes {
                self.note(&mut facts, format!("{of_node}{note}"));
            }
            tables.push((node, restored.tables));
        }
        self.set_up().await?;
        for (node, restored) in tables {
            let of_setup = !scenario.setup.is_empty();
            let tables = if of_setup { snapshot::sizes(&node.endpoint()).await? } else { restored };
            let (node, kind) = (node.name().to_owned(), snapshot.kind.to_owned());
            facts.restored.push(Restored { node: node.clone(), kind: kind.clone(), tables: tables.clone() });
            self.events.send(Event::Restored { node, kind, tables, elapsed_ms: millis(started.elapsed()) });
        }
        for table in self.unless_stopped(async { Ok(self.topology.join_peers().await?) }).await? {
            let what = format!(
                "pair: table {table} has no key: updates and deletes of it are refused while it is published, as in \
                 production with FOR ALL TABLES"
            );
            self.note(&mut facts, what);
        }
        for what in self.unless_stopped(async { Ok(self.topology.subscribe().await?) }).await? {
            self.note(&mut facts, what);
        }
        Ok(facts)
    }

    fn note(&self, facts: &mut Facts, what: String) {
        facts.notes.push(what.clone());
        self.events.send(Event::Warned { what });
    }

    /// Until every replica has what was written so far. Before the plan, one that does not is nothing of the release's.
    async fn replicas_ready(&self, what: &str) -> Result<(), Failure> {
        let waits = self.topology.links().map(|(from, replica)| async move {
            let caught_up = replication::caught_up(from, replica, None).await;
            caught_up.map_err(|behind| (replica, behind))
        });
        let waited = tokio::select! {
            waited = try_join_all(waits) => waited,
            () = self.stop.cancelled() => return Err(Failure::Stopped),
        };
        match waited {
            Ok(_) => Ok(()),
            Err((replica, behind)) => Err(Failure::Harness {
                what: format!("{what} did not arrive on node {}: {}", replica.name(), behind.words()),
                hint: Some("its last log lines say why".to_owned()),
                log: replica.log_tail(LOG_LINES).await,
            }),
        }
    }

    /// What was merged since the snapshot. It is not the release's doing, so where it fails there is nothing to rehearse on.
    async fn set_up(&self) -> Result<(), Failure> {
        let runner = self.runner(None);
        for (index, step) in self.rehearsal.scenario.setup.iter().enumerate() {
            if plan::run_step(&runner, index, step, StepRole::Setup).await?.end == StepEnd::Failed {
                return Err(Failure::Harness {
                    what: format!("the setup step \"{}\" failed", step.name),
                    hint: Some("setup brings the snapshot to where the release begins; mend it first".into()),
                    log: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// Sees to it that there is the state before the plan: the baseline that the nodes began with, one that is made of them now, or a copy of
    /// each writer.
    pub async fn keep(&self, facts: Option<&Facts>) -> Result<(), Failure> {
        let is_kept = match (&self.rehearsal.caching, facts) {
            (_, None) => {
                self.topology.own_files().await?;
                true
            }
            (Some(caching), Some(facts)) => self.keep_baseline(caching, facts).await?,
            (None, Some(_)) => false,
        };
        if !is_kept {
            // One after the other: each copies all of its data.
            for node in self.topology.writers() {
                let kept = node.keep_before().await?;
                self.kept(node, kept.clone, kept.bytes, kept.elapsed);
            }
        }
        for node in self.topology.writers() {
            tell_disk(node, self.events).await;
        }
        self.replicas_ready("what was written since").await?;
        self.topology.as_in_production().await?;
        Ok(())
    }

    /// Whether there was room for it.
    pub async fn keep_baseline(&self, caching: &Caching, facts: &Facts) -> Result<bool, Failure> {
        let began = Instant::now();
        let Caching { key, most_bytes, setup_files } = caching;
        let (scenario, most_bytes) = (self.rehearsal.scenario, *most_bytes);
        let lab = self.rehearsal.lab;
        // Somebody may have written to the files since they were looked at.
        if baseline::key(scenario, setup_files, lab, self.rehearsal.base.path()).await.as_ref() != Ok(key) {
            let what = "no baseline is kept: what went into it has changed meanwhile".to_owned();
            self.events.send(Event::Warned { what });
            return Ok(false);
        }
        let facts = serde_json::to_value(facts).expect("plain data with text for keys");
        let keeping = Keeping { key, what: baseline::what(scenario), facts, most_bytes };
        let copied = match self.topology.keep(keeping).await? {
            Ok(copied) => copied,
            Err(why) => {
                let what = format!("no baseline is kept: {why}");
                self.events.send(Event::Warned { what });
                return Ok(false);
            }
        };
        for (node, (clone, bytes)) in self.topology.nodes().iter().zip(copied).filter(|(node, _)| node.is_writer()) {
            self.kept(node, clone, bytes, began.elapsed());
        }
        if let Err(error) = topology::prune_baselines(self.rehearsal.base, most_bytes).await {
            tracing::warn!(%error, "baselines that are too many could not be removed");
        }
        Ok(true)
    }

    fn kept(&self, node: &Node, clone: CloneKind, bytes: u64, elapsed: Duration) {
        let (node, elapsed_ms) = (node.name().to_owned(), millis(elapsed));
        self.events.send(Event::BeforeKept { node, clone, bytes, elapsed_ms });
    }
}
