//! Labs and the one-node topology against real servers: what they start, survive and leave behind.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::host::{Exec, Host, StopMode};
use rehearsal::engine::postgres::connect::connect;
use rehearsal::engine::postgres::server::{Server, software};
use rehearsal::engine::server::{Server as _, Wanted};
use rehearsal::lab::{self, Base, Lab, LabError, LabKind, LabState};
use rehearsal::scenario::{self, EngineKind, Scenario, Snapshot, SnapshotSource};
use rehearsal::settings::LabChoice;
use rehearsal::topology::{Topology, TopologyError, TopologyRequest};
use tokio_util::sync::CancellationToken;

use crate::support::{ci, server::programs};

const MINUTE: Duration = Duration::from_secs(60);

/// A base of the test's own, so that what is left in it is the test's.
struct Place {
    _folder: tempfile::TempDir,
    base: Base,
    logs: PathBuf,
    run: String,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::Builder::new().prefix("rl-").tempdir().expect("a temporary folder");
        // The servers' account passes through it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(folder.path(), open).expect("permissions set");
        let base = Base::at(&folder.path().join("base")).expect("a base");
        let run = format!("test-{}", folder.path().file_name().expect("a name").to_string_lossy());
        Place { base, logs: folder.path().join("logs"), run, _folder: folder }
    }

    async fn start(&self, scenario: &Scenario, lab: LabChoice) -> Result<Topology, TopologyError> {
        self.start_until(scenario, lab, &CancellationToken::new()).await
    }

    async fn start_until(
        &self,
        scenario: &Scenario,
        lab: LabChoice,
        cancel: &CancellationToken,
    ) -> Result<Topology, TopologyError> {
        let request =
            TopologyRequest { scenario, lab, base: &self.base, run: &self.run, logs: &self.logs, baseline: None };
        Topology::start(&request, cancel).await
    }

    /// Folders, processes, containers and images.
    async fn assert_nothing_left(&self) {
        assert_eq!(self.base.list().expect("listed"), []);
        let path = self.base.path().to_string_lossy().into_owned();
        let left: Vec<String> = command_lines().into_iter().filter(|line| line.contains(&path)).collect();
        assert_eq!(left, Vec::<String>::new(), "processes");
        assert_eq!(docker_objects(&self.run).await, Vec::<String>::new(), "containers and images");
    }
}

fn scenario(version: &str, settings: &[(&str, &str)]) -> Scenario {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let node = scenario::Node {
        shard: None,
        name: "primary".to_owned(),
        version: version.to_owned(),
        settings: settings.collect(),
        extensions: Vec::new(),
        packages: Vec::new(),
        replicates: None,
        peers: Vec::new(),
        subscribes: None,
    };
    Scenario {
        workloads: Vec::new(),
        name: "a lab".to_owned(),
        file: PathBuf::from("scenario.toml"),
        topology: scenario::Topology {
            engine: EngineKind::Postgres,
            version: version.to_owned(),
            nodes: vec![node],
            consumers: vec![],
        },
        snapshot: Snapshot {
            source: SnapshotSource::Empty,
            database: "my \"shop\"".to_owned(),
            roles: None,
            production_rows: BTreeMap::new(),
        },
        setup: Vec::new(),
        probes: scenario::Probes {
            auto: false,
            every: Duration::from_millis(20),
            budget_per_s: 200.0,
            down_after: Duration::from_millis(100),
            timeout: Duration::from_secs(5),
            run_as: None,
            open_transaction: None,
            custom: Vec::new(),
        },
        limits: scenario::Limits::default(),
        steps: Vec::new(),
        expect: scenario::Expect::default(),
        fail_on: rehearsal::finding::Severity::Error,
    }
}

/// The labs that this machine has; all of them with `CI=true`.
async fn labs() -> Vec<LabChoice> {
    let mut labs = Vec::new();
    if programs().is_some() {
        labs.push(LabChoice::Native);
    }
    if docker_here("15").await {
        labs.push(LabChoice::Docker);
    }
    assert!(!ci() || labs.len() == 2, "CI=true skips nothing, and only these labs are here: {labs:?}");
    labs
}

async fn docker_here(version: &str) -> bool {
    let here = lab::choose(LabChoice::Docker, &[software(version)]).await;
    assert!(!ci() || here.is_ok(), "CI=true skips nothing: {here:?}");
    here.is_ok()
}

async fn docker_objects(run: &str) -> Vec<String> {
    use bollard::query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder};
    let Ok(docker) = bollard::Docker::connect_with_defaults() else { return Vec::new() };
    if docker.ping().await.is_err() {
        return Vec::new();
    }
    let filters = HashMap::from([("label", vec![format!("rehearsal.run={run}")])]);
    let containers = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(containers)).await.expect("listed");
    let images = ListImagesOptionsBuilder::new().filters(&filters).build();
    let images = docker.list_images(Some(images)).await.expect("listed");
    containers.into_iter().filter_map(|found| found.id).chain(images.into_iter().map(|found| found.id)).collect()
}

fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

async fn wait_until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !there().await {
        assert!(began.elapsed() < MINUTE, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn value(endpoint: &Endpoint, sql: &str) -> String {
    let connection = connect(endpoint, Duration::from_secs(10)).await.expect("the server answers");
    connection.client.query_one(sql, &[]).await.expect("a row").get(0)
}

async fn run(endpoint: &Endpoint, sql: &str) {
    let connection = connect(endpoint, Duration::from_secs(10)).await.expect("the server answers");
    connection.client.batch_execute(sql).await.expect("it works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_restarts_and_is_kept_in_both_labs() {
    for lab in labs().await {
        let place = Place::new();
        let topology =
            place.start(&scenario("15", &[("work_mem", "5MB"), ("fsync", "off")]), lab).await.expect("started");
        let node = topology.node("primary").expect("the node");
        assert!(node.version().starts_with("15."), "{}", node.version());
        assert_eq!(topology.relaxed(), BTreeMap::from([("fsync".to_owned(), "off".to_owned())]));
        assert_eq!(value(&node.endpoint(), "SELECT current_database()::text").await, "my \"shop\"");
        assert_eq!(value(&node.endpoint(), "SHOW work_mem").await, "5MB");

        run(&node.endpoint(), "CREATE ROLE app LOGIN PASSWORD 'old' VALID UNTIL '2001-01-01'; CREATE ROLE nobody_logs_in; CREATE TABLE t AS SELECT 1 AS a")
            .await;
        let app = node.endpoint_as("app").await.expect("a login");
        assert_eq!(value(&app, "SELECT current_user::text").await, "app");
        assert_eq!(node.endpoint_as("app").await.expect("the same login"), app);
        assert!(node.endpoint_as("nobody_logs_in").await.is_err());
        let wrong = app.as_user("app", "wrong");
        assert!(connect(&wrong, Duration::from_secs(10)).await.is_err(), "a wrong password gets in");

        node.restart().await.expect("restarted");
        assert_eq!(value(&node.endpoint(), "SELECT a::text FROM t").await, "1");

        let kept = node.keep_before().await.expect("kept");
        assert!(kept.bytes > 1_000_000, "{kept:?}");
        run(&node.endpoint(), "UPDATE t SET a = 2").await;
        let before = node.start_before().await.expect("started from the copy");
        assert_eq!(value(&before.endpoint(), "SELECT a::text FROM t").await, "1");
        assert_eq!(value(&node.endpoint(), "SELECT a::text FROM t").await, "2");
        assert!(matches!(node.start_before().await, Err(TopologyError::NothingKept { .. })));

        let csv_log = format!("{}/log/postgres.csv", node.host().folder());
        let end = node.host().size(&csv_log).await.expect("a position");
        run(&node.endpoint(), "DO $$ BEGIN RAISE LOG 'for the csv log'; END $$").await;
        wait_until("the log line", async || {
            let text = node.host().read_from(&csv_log, end).await.expect("read");
            String::from_utf8_lossy(&text).contains("for the csv log")
        })
        .await;
        let tail = node.log_tail(50).await;
        assert!(tail.iter().any(|line| line.contains("ready to accept connections")), "{tail:?}");
        assert!(!tail.iter().any(|line| line.contains("for the csv log")), "what a session said: {tail:?}");
        let disk = node.disk().await.expect("disk");
        assert!(disk.free_bytes > 0 && disk.data_bytes.is_some_and(|bytes| bytes > 1_000_000), "{disk:?}");

        topology.shutdown().await.expect("shut down");
        drop(before);
        let log = std::fs::read_to_string(place.logs.join("primary.log")).expect("a log");
        assert!(log.contains("ready to accept connections"), "{log}");
        assert!(!log.contains("for the csv log"), "what a session said stays on the host: {log}");
        assert_eq!(std::fs::read_dir(&place.logs).expect("the logs").count(), 1);
        place.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_runs_in_docker() {
    for version in ["13", "17", "18"] {
        if !docker_here(version).await {
            continue;
        }
        let place = Place::new();
        let topology = place.start(&scenario(version, &[]), LabChoice::Docker).await.expect("started");
        let node = topology.node("primary").expect("the node");
        assert!(node.version().starts_with(&format!("{version}.")), "{}", node.version());
        run(&node.endpoint(), "CREATE TABLE t AS SELECT 1 AS a").await;
        node.keep_before().await.expect("kept");
        let before = node.start_before().await.expect("started from the copy");
        assert_eq!(value(&before.endpoint(), "SELECT a::text FROM t").await, "1");
        topology.shutdown().await.expect("shut down");
        drop(before);
        place.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_programs_go_in_and_out_of_both_labs() {
    for choice in labs().await {
        let place = Place::new();
        let kind = lab::choose(choice, &[software("15")]).await.expect("a lab");
        let lab = Lab::open(kind, &place.run, &place.base).await.expect("opened");
        let host = lab.handle().host("h", &software("15")).await.expect("a host");
        let local = place.logs.with_file_name("local");
        std::fs::create_dir_all(local.join("inner")).expect("made");
        std::fs::write(local.join("inner/file"), vec![b'x'; 3_000_000]).expect("written");
        let folder = host.folder();

        host.put(&local, &format!("{folder}/put")).await.expect("put");
        host.write(&format!("{folder}/w"), b"hello").await.expect("written");
        assert_eq!(host.read_from(&format!("{folder}/w"), 2).await.expect("read"), b"llo");
        assert_eq!(host.size(&format!("{folder}/put/inner/file")).await.expect("sized"), 3_000_000);
        assert!(host.read_from(&format!("{folder}/none"), 0).await.is_err());

        // As the server's account, which must be able to read what was put.
        let sh = |script: &str| Exec::new("/bin/sh").args(["-c", script]);
        let script = format!("id -u >&2; cat {folder}/put/inner/file | wc -c; cat; echo $WORD; exit 3");
        let mut input = tokio::fs::File::open(local.join("inner/file")).await.expect("there");
        let output = host.exec_reading(&sh(&script).env("WORD", "word"), &mut input, MINUTE).await.expect("run");
        assert_eq!(output.status, 3);
        assert_ne!(output.stderr.trim(), "0", "servers' programs never run as root");
        assert!(output.stdout.starts_with(b"3000000\nxxx") && output.stdout.ends_with(b"xxxword\n"));
        assert_eq!(output.stdout.len(), 8 + 3_000_000 + 5);

        // An input without an end, to a program that reads one line of it.
        let output = host.exec_reading(&sh("head -c 1; exit 4"), &mut tokio::io::repeat(b'y'), MINUTE).await;
        assert_eq!(output.map(|output| (output.status, output.stdout)).expect("run"), (4, b"y".to_vec()));
        let mut broken = tokio_util::io::StreamReader::new(futures::stream::iter([
            Ok(&b"first"[..]),
            Err(std::io::Error::other("the dump is damaged")),
        ]));
        let error = host.exec_reading(&sh("cat"), &mut broken, MINUTE).await.expect_err("half an input is none");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains("the dump is damaged"), "{cause}");

        // However long it takes there until a program begins.
        let too_long = sh("echo began >&2; sleep 6161 & wait");
        let mut deadline = Duration::from_secs(1);
        loop {
            let began = Instant::now();
            let error = host.exec(&too_long, deadline).await.expect_err("it takes hours").to_string();
            assert!(began.elapsed() < deadline + Duration::from_secs(19), "{:?}", began.elapsed());
            if error.contains("began") {
                break;
            }
            assert!(deadline < MINUTE / 2, "{error}");
            deadline *= 2;
        }
        assert!(host.program("pg_dump").await.expect("there").ends_with("/pg_dump"));
        assert!(host.program("no-such-program").await.is_err());
        wait_until("the killed program's child to go", async || {
            !command_lines().iter().any(|line| line.starts_with("sleep 6161"))
        })
        .await;
        lab.close().await.expect("closed");
        drop(host);
        place.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_news_and_one_that_is_stopped_is_not() {
    for lab in labs().await {
        let place = Place::new();
        let topology = place.start(&scenario("15", &[]), lab).await.expect("started");
        let node = topology.node("primary").expect("the node");
        {
            let mut ended = std::pin::pin!(node.exited());
            let calm = tokio::select! {
                ended = &mut ended => Err(ended),
                restarted = node.restart() => Ok(restarted),
            };
            calm.expect("a restart is no news").expect("restarted");
            let kill = format!("kill -9 $(head -1 {}/data/postmaster.pid)", node.host().folder());
            let killed = node.host().exec(&Exec::new("/bin/sh").args(["-c", &kill]), MINUTE).await.expect("run");
            assert_eq!(killed.status, 0, "{}", killed.stderr);
            let ended = tokio::time::timeout(MINUTE, ended).await.expect("it is told");
            assert_eq!(ended, "signal: 9 (SIGKILL)");
            let log = node.log_tail(20).await;
            assert!(log.iter().any(|line| line.contains("ready to accept connections")), "{log:?}");
        }
        node.start().await.expect("it can be started again");
        topology.shutdown().await.expect("shut down");
        place.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_left_to_whoever_has_it() {
    if programs().is_none() {
        return;
    }
    let place = Place::new();
    let lab = Lab::open(LabKind::Native, &place.run, &place.base).await.expect("opened");
    let host = lab.handle().host("h", &software("15")).await.expect("a host");
    let taken = host.listen().port;
    let _taker = TcpListener::bind(("127.0.0.1", taken)).expect("nobody has it yet");
    let wanted = Wanted {
        number: 1,
        version: "15".to_owned(),
        settings: BTreeMap::new(),
        database: "shop".to_owned(),
        in_pair: None,
        publishes: false,
    };
    let server = Server::init(Arc::clone(&host) as Arc<dyn Host>, wanted).await.expect("made");
    let running = server.start().await.expect("started on another port");
    assert_ne!(running.endpoint.port, taken);
    assert_eq!(value(&running.endpoint, "SELECT 'yes'").await, "yes");
    server.stop(StopMode::Fast).await.expect("stopped");
    lab.close().await.expect("closed");
    drop((server, host));
    place.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_here_is_told_with_what_is() {
    let place = Place::new();
    let error = place.start(&scenario("99.1", &[]), LabChoice::Native).await.err().expect("refused");
    assert!(matches!(error, TopologyError::Lab(LabError::NoServer { .. })), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("postgresql-99")), "{:?}", error.hint());
    if programs().is_some() {
        assert!(error.to_string().contains("15."), "{error}");
    }
    if docker_here("15").await {
        let error = place.start(&scenario("99.1", &[]), LabChoice::Docker).await.err().expect("refused");
        assert!(matches!(error, TopologyError::Lab(LabError::NoImage { .. })), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("postgres:99.1")), "{:?}", error.hint());
    }
    place.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_start_says_why() {
    for lab in labs().await {
        let place = Place::new();
        let error = place.start(&scenario("15", &[("work_mem", "nonsense")]), lab).await.err().expect("refused");
        let log = error.log().join("\n");
        assert!(log.contains("invalid value for parameter \"work_mem\""), "{log}");
        // This one fails only once the log was handed over to the server's own collector.
        let preload = [("shared_preload_libraries", "no_such_library")];
        let error = place.start(&scenario("15", &preload), lab).await.err().expect("refused");
        let log = error.log().join("\n");
        assert!(log.contains("no_such_library"), "{log}");
        let error = place.start(&scenario("15", &[("port", "1")]), lab).await.err().expect("refused");
        assert!(error.hint().is_some_and(|hint| hint.contains("port")));
        place.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_extension_is_told_beforehand() {
    let Some(lab) = labs().await.first().copied() else { return };
    let place = Place::new();
    let mut wanted = scenario("15", &[]);
    let extension = |name: &str, version: Option<&str>| scenario::Extension {
        name: name.to_owned(),
        version: version.map(str::to_owned),
    };
    wanted.topology.nodes[0].extensions = vec![extension("plpgsql", Some("1.0")), extension("plpgsql", Some("77"))];
    let error = place.start(&wanted, lab).await.err().expect("refused");
    assert_eq!(error.hint().as_deref(), Some("there is 1.0"));
    wanted.topology.nodes[0].extensions = vec![extension("no_such_extension", None)];
    let error = place.start(&wanted, lab).await.err().expect("refused");
    assert!(error.hint().is_some_and(|hint| hint.contains("postgresql-15-")));
    place.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_start_leaves_nothing() {
    /// How far the start has come when it is interrupted.
    async fn reached(place: &Place, stage: usize, lab: LabChoice) -> bool {
        let labs = place.base.list().expect("listed");
        let Some(folder) = labs.first().map(|lab| lab.folder.clone()) else { return false };
        match (stage, lab) {
            (0, _) => true,
            (1, LabChoice::Docker) => !docker_objects(&place.run).await.is_empty(),
            (1, _) => folder.join("primary/data").exists(),
            (_, LabChoice::Docker) => false,
            (_, _) => folder.join("primary/log").exists(),
        }
    }
    for lab in labs().await {
        for stage in 0..if lab == LabChoice::Docker { 2 } else { 3 } {
            let place = Place::new();
            let cancel = CancellationToken::new();
            let wanted = scenario("15", &[]);
            let start = place.start_until(&wanted, lab, &cancel);
            let interrupt = async {
                wait_until("the stage", async || reached(&place, stage, lab).await).await;
                cancel.cancel();
            };
            let (started, ()) = tokio::join!(start, interrupt);
            match started {
                Err(error) => assert!(matches!(error, TopologyError::Cancelled), "{error}"),
                // It was done before anybody looked.
                Ok(topology) => topology.shutdown().await.expect("shut down"),
            }
            place.assert_nothing_left().await;
        }
    }
}

#[expect(clippy::print_stdout, reason = "its parent reads it")]
/// Not a test: the process that the next tests kill or let end. Told by its environment what to do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a child process of other tests"]
async fn holder() {
    let base = Base::at(Path::new(&std::env::var("HOLDER_BASE").expect("set"))).expect("a base");
    let lab = match std::env::var("HOLDER_LAB").expect("set").as_str() {
        "docker" => LabChoice::Docker,
        _ => LabChoice::Native,
    };
    let (wanted, logs) = (scenario("15", &[]), base.path().join("logs"));
    let run = std::env::var("HOLDER_RUN").expect("set");
    let request = TopologyRequest { scenario: &wanted, lab, base: &base, run: &run, logs: &logs, baseline: None };
    let topology = Topology::start(&request, &CancellationToken::new()).await.expect("started");
    self::run(&topology.nodes()[0].endpoint(), "CREATE TABLE t AS SELECT 1 AS a").await;
    if std::env::var("HOLDER_RELEASE").is_ok() {
        let released = topology.release().await.expect("released");
        println!("\nheld {}", released.connect(&released.nodes[0]));
        return;
    }
    println!("\nheld");
    std::future::pending::<()>().await;
}

fn hold(place: &Place, lab: LabChoice, release: bool) -> (std::process::Child, String) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "lab::holder", "--ignored", "--nocapture"]);
    command.env("HOLDER_BASE", place.base.path()).env("HOLDER_RUN", &place.run);
    command.env("HOLDER_LAB", if lab == LabChoice::Docker { "docker" } else { "native" });
    if release {
        command.env("HOLDER_RELEASE", "1");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("spawned");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let held = lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("held").map(str::to_owned));
    // The test harness in there still has something to say, and fails if nobody listens.
    std::thread::spawn(move || lines.for_each(drop));
    (child, held.expect("it holds a lab"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kill_9_leaves_is_reaped() {
    for lab in labs().await {
        let place = Place::new();
        let (mut holder, _) = hold(&place, lab, false);
        assert_eq!(place.base.list().expect("listed")[0].state, LabState::Live);
        assert_eq!(lab::reap(&place.base).await.expect("reaped"), [], "a live lab is nobody else's");
        assert_eq!(place.base.list().expect("listed").len(), 1);

        holder.kill().expect("killed");
        holder.wait().expect("gone");
        assert_eq!(place.base.list().expect("listed")[0].state, LabState::Stale);
        if lab == LabChoice::Docker {
            // The leash: nobody has to reap for that.
            wait_until("the container to end", async || docker_objects(&place.run).await.is_empty()).await;
        }
        let reaped = lab::reap(&place.base).await.expect("reaped");
        assert!(reaped.iter().any(|reaped| reaped.what == "a folder" && reaped.run.as_ref() == Some(&place.run)));
        place.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_its_folder_is_reaped() {
    if !docker_here("15").await {
        return;
    }
    let place = Place::new();
    let topology = place.start(&scenario("15", &[]), LabChoice::Docker).await.expect("started");
    topology.nodes()[0].keep_before().await.expect("kept");
    std::fs::remove_dir_all(&place.base.list().expect("listed")[0].folder).expect("removed");
    let reaped = lab::reap(&place.base).await.expect("reaped");
    assert_eq!(reaped.iter().filter(|reaped| reaped.what.starts_with("container ")).count(), 1, "{reaped:?}");
    assert_eq!(reaped.iter().filter(|reaped| reaped.what.starts_with("volume ")).count(), 1, "{reaped:?}");
    let ended = tokio::time::timeout(MINUTE, topology.nodes()[0].exited()).await.expect("it is told");
    assert_eq!(ended, "its container is gone");
    topology.shutdown().await.expect("shut down");
    place.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_lab_outlives_its_run_until_it_is_removed() {
    for lab in labs().await {
        let place = Place::new();
        let (mut holder, connect) = hold(&place, lab, true);
        assert!(holder.wait().expect("ended").success());
        assert_eq!(place.base.list().expect("listed")[0].state, LabState::Kept);
        assert_eq!(lab::reap(&place.base).await.expect("reaped"), [], "kept on purpose");

        let psql = format!("{connect} -XAtc 'SELECT a FROM t'");
        let output = Command::new("sh").args(["-c", &psql]).output().expect("psql");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{}", String::from_utf8_lossy(&output.stderr));

        let removed = lab::remove(&place.base, &place.run).await.expect("removed");
        assert!(!removed.is_empty());
        place.assert_nothing_left().await;
    }
}
