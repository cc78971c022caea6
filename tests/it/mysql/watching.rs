//! Who waits for whom, what readers hold, what a program ran, and statistics.

use rehearsal::engine::reader::ReaderSession;
use rehearsal::engine::statistics::{self, Analysis, Gathering};
use rehearsal::engine::waits::{Waiting, Waits};
use rehearsal::engine::{recover, release};
use rehearsal::event::Work;

use rehearsal::rehearsal::clock::Clock;
use rehearsal::rehearsal::command::{self, CommandRequest, End};
use rehearsal::scenario::{Command, Invocation};
use tokio::task::JoinHandle;

use super::*;

impl Server {
    /// A session that is like any other's.
    async fn opened(&self, first: &str) -> Conn {
        connect::opened(&self.at, first, MINUTE).await.unwrap_or_else(|error| panic!("{first}: {error}"))
    }

    /// Makes an account of the application's.
    async fn app(&self) -> Endpoint {
        self.ask("CREATE USER app@'%' IDENTIFIED BY 'Secret-1'").await;
        self.ask("GRANT ALL ON shop.* TO app@'%'").await;
        self.at.as_user("app", "Secret-1")
    }
}

/// Its number, and its end.
fn sent(mut session: Conn, sql: &'static str) -> (i32, JoinHandle<Conn>) {
    let id = id(&session);
    let task = tokio::spawn(async move {
        session.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        session
    });
    (id, task)
}

fn id(session: &Conn) -> i32 {
    i32::try_from(session.id()).expect("small")
}

/// Looks until these sessions wait, and gives their waits in the same order.
async fn seen<const N: usize>(waits: &Waits, waiters: [i32; N]) -> [Waiting; N] {
    let until = Instant::now() + MINUTE;
    loop {
        let waiting = waits.look().await.expect("it looks");
        let found = waiters.map(|pid| waiting.iter().find(|each| each.pid == pid).cloned());
        if found.iter().all(Option::is_some) {
            assert_eq!(waiting.len(), N, "somebody else waits: {waiting:?}");
            return found.map(|each| each.expect("just looked"));
        }
        assert!(Instant::now() < until, "{waiters:?} do not wait: {waiting:?}");
    }
}

async fn nobody(waits: &Waits) {
    let until = Instant::now() + MINUTE;
    // What InnoDB tells may be a moment old.
    while !waits.look().await.expect("it looks").is_empty() {
        assert!(Instant::now() < until, "somebody waits for ever");
    }
}

fn told(wait: &Waiting) -> (&str, Option<&str>, &[i32]) {
    (&wait.mode, wait.relation.as_deref(), &wait.blockers)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_behind_whom() {
    for server in servers().await {
        server.ask("CREATE TABLE t (id int PRIMARY KEY, v varchar(20))").await;
        server.ask("INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
        let app = server.app().await;
        let waits = Waits::connect(&server.at).await.expect("it connects");
        assert_eq!(waits.look().await.expect("it looks"), []);

        behind_a_reader(&server, &app, &waits).await;
        for_a_row(&server, &waits).await;
        for_the_whole_server(&server, &waits).await;
        for_a_whole_table(&server, &waits).await;

        // Nobody waits, and that costs next to nothing.
        let mut took = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            assert_eq!(waits.look().await.expect("it looks"), []);
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let mut plain = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            server.ask("SELECT 1").await;
            plain.push(began.elapsed());
        }
        plain.sort_unstable();
        // A session is opened for each of the others.
        assert!(took[10] < plain[10] * 10, "{took:?} {plain:?}");
        server.end().await;
    }
}

async fn behind_a_reader(server: &Server, app: &Endpoint, waits: &Waits) {
    let mut reader = ReaderSession::open(&app.named("rehearsal reader"), MINUTE).await.expect("it logs in");
    reader.read("`t`").await.expect("it reads");
    assert!(reader.is_reading());
    let (alter, altered) = sent(server.opened("SET lock_wait_timeout = 60").await, "ALTER TABLE t ADD COLUMN n int");
    seen(waits, [alter]).await;
    let (read, was_read) = sent(server.opened("DO 1").await, "SELECT v FROM t WHERE v = 'Ann'");
    let [altering, reading] = seen(waits, [alter, read]).await;
    assert_eq!(told(&altering), ("EXCLUSIVE", Some("t"), &[reader.id()][..]));
    assert_eq!(told(&reading), ("SHARED_READ", Some("t"), &[alter][..]));

    // The same waits go on, and their time with them.
    let [later, _] = seen(waits, [alter, read]).await;
    assert_eq!(later.target, altering.target);
    assert!(later.waited > altering.waited, "{later:?} {altering:?}");

    let mut back_ends = waits.back_ends(&[reader.id(), alter, read]).await.expect("they are there");
    back_ends.sort_by_key(|each| each.pid);
    let described: Vec<_> =
        back_ends.iter().map(|each| (each.application.as_str(), each.server.as_deref(), each.sql.as_str())).collect();
    // An idle session is known by its last statement.
    assert_eq!(
        described,
        [
            ("rehearsal reader", None, "SELECT 1 FROM `t` LIMIT 1"),
            ("root", None, "ALTER TABLE t ADD COLUMN n int"),
            ("root", None, "SELECT v FROM t WHERE v = 'Ann'"),
        ]
    );

    // A reader that gets no lock leaves it, and can try again.
    let mut late = ReaderSession::open(app, Duration::from_millis(100)).await.expect("it logs in");
    let began = Instant::now();
    let refused = late.read("`t`").await.expect_err("the ALTER is in the way");
    assert!(!late.is_reading() && !late.is_closed(), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{refused:?}");

    reader.end().await.expect("it ends");
    assert!(!reader.is_reading() && !reader.is_closed());
    altered.await.expect("it was altered");
    was_read.await.expect("it was read");
    nobody(waits).await;
    late.read("`t`").await.expect("nothing is in the way");
    late.end().await.expect("it ends");
    let refused = late.read("`nothing`").await.expect_err("there is no such table");
    assert_eq!(refused.code, "1146");
}

async fn for_a_row(server: &Server, waits: &Waits) {
    let mut holder = server.opened("BEGIN").await;
    holder.query_drop("UPDATE t SET v = 'held' WHERE id = 1").await.expect("nobody else has it");
    let (waiter, updated) = sent(server.opened("DO 1").await, "UPDATE t SET v = 'mine' WHERE id = 1");
    let [waiting] = seen(waits, [waiter]).await;
    assert_eq!(told(&waiting), ("row X", Some("t"), &[id(&holder)][..]));
    // Another database's tables are told with it.
    let elsewhere = Waits::connect(&server.at.in_database("mysql")).await.expect("it connects");
    let [waiting] = seen(&elsewhere, [waiter]).await;
    assert_eq!(waiting.relation.as_deref(), Some("shop.t"));
    holder.query_drop("ROLLBACK").await.expect("it is rolled back");
    updated.await.expect("it was updated");
    nobody(waits).await;
}

async fn for_the_whole_server(server: &Server, waits: &Waits) {
    let mut holder = server.opened("FLUSH TABLES WITH READ LOCK").await;
    let (waiter, inserted) = sent(server.opened("DO 1").await, "INSERT INTO t (id) VALUES (7)");
    let [waiting] = seen(waits, [waiter]).await;
    let mode = if server.engine == EngineKind::Mysql { "INTENTION_EXCLUSIVE" } else { "BACKUP_TRANS_DML" };
    assert_eq!(told(&waiting), (mode, None, &[id(&holder)][..]));
    holder.query_drop("UNLOCK TABLES").await.expect("it lets go");
    inserted.await.expect("it was inserted");
    holder.query_drop("DO GET_LOCK('deploy', 0)").await.expect("nobody has it");
    let (waiter, got) = sent(server.opened("DO 1").await, "DO GET_LOCK('deploy', 60)");
    let [waiting] = seen(waits, [waiter]).await;
    assert_eq!((waiting.relation.as_deref(), &waiting.blockers[..]), (None, &[id(&holder)][..]));
    holder.query_drop("DO RELEASE_LOCK('deploy')").await.expect("it lets go");
    got.await.expect("it was got");
    nobody(waits).await;
}

/// Of an engine without transactions: its readers and writers wait when they have their metadata locks.
async fn for_a_whole_table(server: &Server, waits: &Waits) {
    server.ask("CREATE TABLE m (id int, v varchar(20)) ENGINE = MyISAM").await;
    server.ask("INSERT INTO m VALUES (1, 'a')").await;
    let mut gate = server.opened("DO GET_LOCK('gate', 0)").await;
    let (writer, written) = sent(server.opened("DO 1").await, "UPDATE m SET v = GET_LOCK('gate', 60)");
    seen(waits, [writer]).await;
    // Longer than what the server keeps, which ends within a character.
    let text = format!("SELECT v FROM m  WHERE v <> '{}'", "€".repeat(2000));
    let (reader, was_read) = sent(server.opened("SET NAMES utf8mb4").await, text.leak());
    let [_, reading] = seen(waits, [writer, reader]).await;
    assert_eq!(told(&reading), ("table level lock", Some("m"), &[writer][..]));
    let back_ends = waits.back_ends(&[reader]).await.expect("it is there");
    assert!(back_ends[0].sql.starts_with("SELECT v FROM m  WHERE v <> '€€"), "{back_ends:?}");
    gate.query_drop("DO RELEASE_LOCK('gate')").await.expect("it lets go");
    drop((written.await.expect("it was written"), was_read.await.expect("it was read")));
    nobody(waits).await;

    gate.query_drop("DO GET_LOCK('gate', 60)").await.expect("it is free");
    let (user, used) = sent(server.opened("DO 1").await, "DO (SELECT GET_LOCK('gate', 60) FROM m)");
    seen(waits, [user]).await;
    let (flush, flushed) = sent(server.opened("DO 1").await, "FLUSH TABLES m");
    seen(waits, [user, flush]).await;
    let (reader, was_read) = sent(server.opened("DO 1").await, "SELECT v FROM m");
    let [_, flushing, reading] = seen(waits, [user, flush, reader]).await;
    match server.engine {
        EngineKind::Mysql => {
            assert_eq!(told(&flushing), ("table flush", None, &[user][..]));
            assert_eq!(told(&reading), ("table flush", Some("m"), &[user, flush][..]));
        }
        _ => assert_eq!(told(&reading), ("SHARED_READ", Some("m"), &[flush][..])),
    }
    gate.query_drop("DO RELEASE_LOCK('gate')").await.expect("it lets go");
    drop((
        used.await.expect("it was used"),
        flushed.await.expect("it was flushed"),
        was_read.await.expect("it was read"),
    ));
    nobody(waits).await;
}

fn ours(application: &str) -> bool {
    application.starts_with("rehearsal")
}

fn shell(line: String, dir: &Path) -> Command {
    Command { run: Invocation::Shell(line), dir: dir.into(), env: BTreeMap::from([("HOME".into(), "/nowhere".into())]) }
}

/// A program of three statements, one of which fails; sessions of the same account run beside it, and are not in it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_ran() {
    if !ci() && !std::process::Command::new("mysql").arg("--version").output().is_ok_and(|run| run.status.success()) {
        return;
    }
    for server in servers().await {
        server.ask("CREATE TABLE t (id int PRIMARY KEY, v varchar(20)); CREATE TABLE u (a int)").await;
        let app = server.app().await;
        let (clock, folder) = (Clock::start(), tempfile::tempdir().expect("a folder"));
        let kept = "SELECT CONCAT_WS(' ', HOST, USER, ENABLED, HISTORY) FROM performance_schema.setup_actors";
        let before = server.ask(kept).await;
        let mut old =
            connect::opened(&app.named("rehearsal probe"), "DO 'opened before'", MINUTE).await.expect("it logs in");
        let users = [app.user.clone(), server.at.user.clone()];
        let mut recording = recover::begin(&server.at, &users, ours, &|| clock.now_ms()).await.expect("it records");

        // The environment alone says where the server is.
        let sql = "INSERT INTO t VALUES (1, 'Ann'), (2, 'Bea');\nDO SLEEP(0.3);\nINSERT INTO t VALUES (2, 'Cay');\n";
        std::fs::write(folder.path().join("a.sql"), sql).expect("a file");
        let line = "mysql --force <a.sql; mysql -e 'ALTER TABLE t ADD COLUMN n int'; exit 3";
        let command = shell(line.to_owned(), folder.path());
        let (output, never) = (folder.path().join("output.log"), CancellationToken::new());
        let request = CommandRequest {
            command: &command,
            endpoint: &app,
            passwords: &[],
            scratch: folder.path(),
            output: &output,
            cancel: &never,
        };
        let began_ms = clock.now_ms();
        let beside = async {
            let mut fresh =
                connect::opened(&app.named("rehearsal probe"), "DO 'opened beside'", MINUTE).await.expect("it logs in");
            fresh.exec_drop("SELECT * FROM t WHERE id = ?", (1,)).await.expect("it reads");
            old.query_drop("SELECT COUNT(*) FROM t").await.expect("it reads");
            server.ask("DO 'the superuser''s own'").await;
        };
        let (ended, ()) = tokio::join!(recording.beside(command::run(&request)), beside);
        let ended_ms = clock.now_ms();
        let said = std::fs::read_to_string(&output).expect("it wrote");
        assert_eq!(ended.expect("it ran").end, End::Exited(3), "{said}");
        assert!(said.contains("ERROR 1062 (23000)"), "{said}");
        let recovered = recording.finish(false, MINUTE).await.expect("all of it is known");

        // What either client says for itself depends on its version.
        let mut statements = recovered.statements;
        statements.retain(|each| !each.sql.contains("@@version_comment"));
        let told: Vec<_> =
            statements.iter().map(|each| (each.command.as_str(), each.sql.as_str(), each.rows)).collect();
        assert_eq!(
            told,
            [
                ("INSERT", "INSERT INTO t VALUES (…, '…'), (…, '…')", Some(2)),
                ("DO", "DO SLEEP(…)", Some(0)),
                ("INSERT", "INSERT INTO t VALUES (…, '…')", None),
                ("ALTER TABLE", "ALTER TABLE t ADD COLUMN n int", Some(0)),
            ],
            "{:?}",
            server.engine
        );
        let failed = statements[2].error.as_ref().expect("it failed");
        assert!(failed.code == "1062" && failed.message.starts_with("Duplicate entry … for key"), "{failed:?}");
        let slept = &statements[1];
        assert!(slept.recovered && slept.elapsed_ms >= 300.0 && slept.elapsed_ms < 5000.0, "{slept:?}");
        assert!(slept.started_ms > began_ms && slept.started_ms + slept.elapsed_ms < ended_ms, "{slept:?}");
        assert_eq!(server.ask(kept).await, before);

        others_ways(&server, &app).await;
        what_is_lost_is_noticed(&server, &app).await;
        server.end().await;
    }
}

/// Prepared statements, several statements in one text, a routine, a long statement, many statements.
async fn others_ways(server: &Server, app: &Endpoint) {
    let users = [app.user.clone()];
    let mut recording = recover::begin(&server.at, &users, ours, &|| 0.0).await.expect("it records");
    let long = format!("DO '{}' = 'Ann'", "x".repeat(20_000));
    let program = async {
        let mut session = connect::opened(app, "DO 0", MINUTE).await.expect("it logs in");
        session.exec_drop("UPDATE u SET a = ? WHERE a = 12", (7,)).await.expect("it updates");
        session.exec_drop("INSERT INTO u SELECT SLEEP(?)", (0.5,)).await.expect("it sleeps");
        session.query_drop("INSERT INTO u VALUES (1); DELETE FROM u").await.expect("it does both");
        session
            .query_drop("CREATE PROCEDURE p() BEGIN INSERT INTO u VALUES (1); DELETE FROM u; END")
            .await
            .expect("made");
        session.query_drop("CALL p()").await.expect("it is called");
        session.query_drop(&long).await.expect("it does nothing");
        session.query_drop("BEGIN").await.expect("begun");
        for number in 0..3000 {
            session.query_drop(format!("INSERT INTO u VALUES ({number})")).await.expect("it inserts");
        }
        session.query_drop("this is no SQL").await.expect_err("it is none");
        // Killed while it runs something, it is known all the same once that has ended.
        let killed = async {
            let ended = session.query_drop("DO SLEEP(0.2)").await;
            drop(session);
            ended
        };
        let _ = tokio::time::timeout(Duration::from_millis(50), killed).await;
    };
    recording.beside(program).await;
    let recovered = recording.finish(false, MINUTE).await.expect("all of it is known");
    // MariaDB fills in what was bound, and keeps no text of what is over in a moment.
    let prepared = match server.engine {
        EngineKind::Mysql => ["UPDATE u SET a = ? WHERE a = …", "INSERT INTO u SELECT SLEEP(?)"],
        _ => ["EXECUTE /* a prepared statement whose text the server did not keep */", "INSERT INTO u SELECT SLEEP(…)"],
    };
    let sql: Vec<&str> = recovered.statements.iter().map(|each| each.sql.as_str()).collect();
    assert_eq!(
        sql[..7],
        [
            "DO …",
            prepared[0],
            prepared[1],
            "INSERT INTO u VALUES (…)",
            "DELETE FROM u",
            "CREATE PROCEDURE p() BEGIN INSERT INTO u VALUES (…); DELETE FROM u; END",
            "CALL p()",
        ],
        "{:?}",
        server.engine
    );
    assert!(sql[7].starts_with("DO '…") && !sql[7].contains("xx"), "{}", sql[7]);
    assert_eq!((sql[8], sql[9]), ("BEGIN", "INSERT INTO u VALUES (…)"));
    assert!(recovered.statements[9].in_transaction);
    let last = recovered.statements.last().expect("there are some");
    assert_eq!(last.error.as_ref().map(|error| error.code.as_str()), Some("1064"));
    // Up to the limit, then errors alone; DO SLEEP is among those left out.
    assert_eq!((sql.len(), recovered.left_out), (recover::MAX_STATEMENTS + 1, 9 + 3000 + 1 - 2000));
}

/// More statements than the server keeps, and nobody who reads them meanwhile.
async fn what_is_lost_is_noticed(server: &Server, app: &Endpoint) {
    let kept = server.ask("SELECT @@GLOBAL.performance_schema_events_statements_history_long_size").await;
    let kept: usize = kept[0].parse().expect("a number");
    let recording =
        recover::begin(&server.at, std::slice::from_ref(&app.user), ours, &|| 0.0).await.expect("it records");
    let mut session = connect::opened(app, "DO 0", MINUTE).await.expect("it logs in");
    for _ in 0..kept {
        session.query_drop("DO 1").await.expect("it does nothing");
    }
    let lost = recording.finish(false, MINUTE).await.expect_err("not all of it is known");
    assert!(lost.to_string().contains("were lost"), "{lost}");
    // The next one begins anew.
    let recording =
        recover::begin(&server.at, std::slice::from_ref(&app.user), ours, &|| 0.0).await.expect("it records");
    assert_eq!(recording.finish(false, MINUTE).await.expect("nothing ran").statements, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_of_tables() {
    for server in servers().await {
        server.ask("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE `a.b` (id int); CREATE VIEW v AS SELECT 1").await;
        let all = statistics::gathering(&server.at, &[], false).await.expect("they are there");
        let Gathering::Statements(all) = all else { panic!("{all:?}") };
        let sql: Vec<&str> = all.iter().map(|each| each.sql.as_str()).collect();
        assert_eq!(sql, ["ANALYZE TABLE `a.b`", "ANALYZE TABLE `t`"]);
        let (result, watched) = gathered(&server, &all).await;
        result.expect("all is well");
        assert!(
            watched.ended.iter().all(|each| each.work == Work::Constant && each.locks.is_empty()),
            "{:?}",
            watched.ended
        );
        read_whole(&server).await;
        let wrong = ["t".to_owned(), "shop.nothing".to_owned(), "a.b".to_owned()];
        let Ok(Gathering::Statements(wrong)) = statistics::gathering(&server.at, &wrong, false).await else {
            panic!("they are asked for")
        };
        let (result, watched) = gathered(&server, &wrong).await;
        let Err(ScriptError::Statement { error, .. }) = result else { panic!("{result:?}") };
        assert_eq!(error.message, "Table 'shop.nothing' doesn't exist");
        assert_eq!(watched.ended.len(), 2);
        server.end().await;
    }
}

/// Where no sample of pages is enough.
async fn read_whole(server: &Server) {
    server.ask("CREATE TABLE m (id int) ENGINE = MyISAM").await;
    let mut wanted = vec!["m".to_owned()];
    if server.engine == EngineKind::Mariadb {
        server.ask("CREATE TABLE versioned (id int) WITH SYSTEM VERSIONING").await;
        server.ask("SET GLOBAL use_stat_tables = 'preferably'").await;
        wanted.push("shop.versioned".to_owned());
    }
    let all = statistics::gathering(&server.at, &[], false).await;
    let Ok(Gathering::Statements(all)) = all else { panic!("{all:?}") };
    assert_eq!(all.len(), wanted.len() + 2, "{all:?}");
    let found = statistics::gathering(&server.at, &wanted, false).await;
    let Ok(Gathering::Statements(found)) = found else { panic!("{found:?}") };
    let (result, watched) = gathered(server, &found).await;
    result.expect("all is well");
    for (statement, table) in watched.ended.iter().zip(["m", "versioned"]) {
        assert_eq!((statement.work, &statement.grows_with[..]), (Work::Scans, &[table.to_owned()][..]));
        assert_eq!(statement.locks.iter().any(|lock| lock.stops_writes), table == "m", "{statement:?}");
    }
}

async fn gathered(server: &Server, statements: &[Analysis]) -> (Result<(), release::ScriptError>, Watched) {
    let (mut session, mut watched) = (server.session().await, Watched::default());
    let place = Place { file: "scenario.toml".into(), line: 3 };
    let never = CancellationToken::new();
    let result = statistics::gather(&mut session, statements, &options(), &place, &mut watched, &never).await;
    session.close().await;
    (result, watched)
}
