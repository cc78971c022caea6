//! Committed traffic beside the plan: workloads of the scenario, each at its own steady rate, whatever the plan does.
//!
//! As probes do, they live on a thread of their own, start on fixed grids in time, and wait for nobody in this program.

mod crew;
mod worker;

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::crew::{Command, Crew};
use self::worker::Worker;
use super::failure::Failure;
use super::observing::Observing;
use super::probes::recorder::When;
use super::routes::{Lane, Target};
use crate::engine::endpoint::Endpoint;
use crate::engine::probing::Request;
use crate::engine::workload::{NodeNames, TIMEOUT, Template, Workload};
use crate::event::{Event, Phase, ProbeSpec, Traffic};
use crate::scenario::{self, Scenario};

/// Sessions of one workload, where the server has them to spare.
const SESSIONS: usize = 8;

/// Of the connections that the server leaves to the application, all workloads take one in so many.
const SHARE: usize = 4;

/// Against which node workloads run, and as whom.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    pub superuser: &'a Endpoint,
    /// The application's login.
    pub app: &'a Endpoint,
    pub nodes: &'a NodeNames<'a>,
    /// Where users of its shard are sent.
    pub lane: &'a Lane,
    /// Those on that node.
    pub probes: &'a [ProbeSpec],
}

/// The workloads at work.
pub struct Workloads {
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Workloads {
    /// Reads the scenario's workloads, draws their samples, and starts them, at rest until the control run; none where it has none.
    ///
    /// # Errors
    /// A file that is wrong, a table or column that is not there, an empty table; or the system gives no thread.
    pub async fn start(
        scenario: &Scenario,
        against: &Against<'_>,
        observing: &Observing,
        stop: &CancellationToken,
    ) -> Result<Option<Workloads>, Failure> {
        committing_probes(scenario, against, observing).await?;
        let routing = against.lane.routes.routing();
        let leads = |planned: &scenario::Workload, shard| routing.target(&planned.on, shard, 0).is_some();
        let of_shard = |(_, planned): &(usize, &scenario::Workload)| leads(planned, against.lane.shard);
        if !scenario.workloads.iter().enumerate().any(|planned| of_shard(&planned)) {
            return Ok(None);
        }
        let (superuser, app) = (against.superuser.named("rehearsal"), against.app.named("rehearsal workload"));
        let request = Request { superuser: &superuser, app: &app, timeout: TIMEOUT, touched: None };
        let folder = scenario.file.parent().unwrap_or(Path::new("."));
        let mut ready = Vec::new();
        for (nth, planned) in scenario.workloads.iter().enumerate().filter(of_shard) {
            let template = Template::read(scenario.topology.engine, &planned.file, folder, against.nodes)
                .map_err(|problems| Failure::harness(&problems[0], problems[0].hint().map(str::to_owned)))?;
            let prepared = Workload::prepare(template, &request).await.map_err(|error| {
                let failure = Failure::harness(&error, error.hint().map(str::to_owned));
                failure.of(&format!("workload \"{}\"", planned.name))
            })?;
            let sessions = (prepared.connections / SHARE / scenario.workloads.len()).clamp(1, SESSIONS);
            // Of several shards each has its part.
            let shards = (0..scenario.topology.shards()).filter(|shard| leads(planned, *shard)).count();
            let rate_per_s = planned.rate_per_s / shards as f64;
            let planned = scenario::Workload { rate_per_s, ..planned.clone() };
            ready.push((nth, planned, prepared, sessions));
        }
        let (commands, received) = mpsc::unbounded_channel();
        let (lane, observing, cancel) = (against.lane.clone(), observing.clone(), stop.clone());
        let crew = Crew { lane, observing, cancel };
        let no_thread = |error: std::io::Error| Failure::harness(&error, None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let thread = std::thread::Builder::new().name("workloads".to_owned()).spawn(move || {
            let worker = |(nth, planned, prepared, sessions)| Worker::new(nth, &planned, prepared, sessions);
            let workers = ready.into_iter().map(worker).collect();
            tokio::task::LocalSet::new().block_on(&runtime, crew.conduct(workers, received));
        });
        Ok(Some(Workloads { commands, thread: Some(thread.map_err(no_thread)?) }))
    }

    /// The control run: opens all sessions, runs for that long, and until each workload that is for it has run once. What fails in it is
    /// given up.
    pub async fn control(&self, lasts: Duration) {
        self.ask(|done| Command::Control { lasts, done }).await;
    }

    /// What begins from now on is kept under this phase, and within the plan this step; workloads rest and begin as they are to.
    pub fn enter(&self, phase: Phase, step: Option<usize>) {
        // The thread ends early only when the run is cancelled.
        let _ = self.commands.send(Command::Enter(When { phase, step }));
    }

    /// Goes on for that long, and until each workload that is for it has run once more.
    pub async fn settle(&self, lasts: Duration) {
        self.ask(|done| Command::Settle { lasts, done }).await;
    }

    /// Ends them, with a moment for what is under way.
    pub async fn stop(mut self) {
        self.ask(|done| Command::Stop { done }).await;
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::warn!("the thread of the workloads panicked");
            }
        }
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, answer) = oneshot::channel();
        let _ = self.commands.send(command(done));
        // None comes from a thread that was cancelled.
        let _ = answer.await;
    }
}

/// What custom probes commit is traffic too: what it writes to is told.
async fn committing_probes(scenario: &Scenario, against: &Against<'_>, observing: &Observing) -> Result<(), Failure> {
    use crate::engine::probing::{Script, Session};
    use crate::engine::workload::written_by;
    let ids = against.probes.iter().filter(|spec| spec.custom).map(|spec| spec.id);
    // As they were derived: in the scenario's order, those of this shard.
    let (routing, shard) = (against.lane.routes.routing(), against.lane.shard);
    let of_shard = scenario.probes.custom.iter().filter(|probe| routing.target(&probe.on, shard, 0).is_some());
    for (id, probe) in ids.zip(of_shard).filter(|(_, probe)| probe.commit) {
        let Some(Target { login, superuser, .. }) = against.lane.target(&probe.on, 0) else { continue };
        let Ok(mut session) = Session::open(&login.named("rehearsal workload"), TIMEOUT).await else { continue };
        let engine = scenario.topology.engine;
        let sql = Script::statements(engine, &probe.sql);
        let written = written_by(&mut session, &superuser, &sql, engine).await;
        session.close().await;
        match written {
            Ok((tables, None)) if tables.is_empty() => {}
            Ok((tables, unseen)) => {
                let (by, tables) = (Traffic::Probe { probe: id }, tables.into_iter().collect());
                observing.events.send(Event::TrafficWrites { by, tables, unseen });
            }
            // The probe itself says what is wrong with it.
            Err(what) => tracing::debug!(what, probe = probe.name, "what a probe writes to could not be seen"),
        }
    }
    Ok(())
}
