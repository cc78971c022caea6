//! Probes on real MariaDBs and MySQLs: which operations can be probed, that nothing of them stays, and what they say of what a release broke.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::mysql::connect;
use rehearsal::engine::probing::{
    self, Derived, FailureKind, LoginError, Request, Script, Session, Stage, TableProbe, log_in_as,
};
use rehearsal::event::{Event, Operation, Phase, Recorded, ReportError, Reporter};
use rehearsal::rehearsal::clock::Clock;
use rehearsal::rehearsal::dispatcher;
use rehearsal::rehearsal::observing::{Numbers, Observing};
use rehearsal::rehearsal::probes::{self, Preparation};
use rehearsal::rehearsal::routes::{Lane, Routes};
use rehearsal::scenario::{Probes, Route, Routing};
use tokio_util::sync::CancellationToken;

use crate::mysql::{Server, servers};

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(1);
const PASSWORD: &str = "Secret-2 it's";

const SCHEMA: &[&str] = &[
    "SET sql_mode = ''",
    r"CREATE TABLE kinds (
        id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
        a tinyint, b tinyint unsigned, c smallint, d smallint unsigned, e mediumint, f mediumint unsigned,
        g int(8) unsigned zerofill, h bigint, i bigint unsigned, flag tinyint(1) NOT NULL, bits bit(12), one bit(1),
        price decimal(12,4), x float, y double, day date, at datetime(3), stamp timestamp NULL, took time(2), yr year,
        ch char(5), vc varchar(40) CHARACTER SET latin1, tx text CHARACTER SET ucs2, mb varchar(40) CHARACTER SET utf8mb4,
        bin binary(4), vbin varbinary(20), bl blob, en enum('a','it''s') NOT NULL, st set('x','y'), js json,
        pt point, geo geometry, twice int AS (a * 2) VIRTUAL, thrice int AS (a * 3) STORED,
        hidden int DEFAULT 7 INVISIBLE, changed timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)",
    r#"INSERT INTO kinds (a, b, c, d, e, f, g, h, i, flag, bits, one, price, x, y, day, at, stamp, took, yr, ch, vc, tx, mb,
        bin, vbin, bl, en, st, js, pt, geo)
        VALUES (-7, 200, -3000, 60000, -8000000, 16000000, 42, -9000000000, 18000000000000000000, 1, b'101010101010', b'1',
            -12.5, 1.5, 1e100, '2024-02-29', '2024-05-17 10:00:00.123', '2024-05-17 10:00:00', '-01:02:03.45', 1999,
            'abc', 'größer', 'naïve', 'it''s \\ 🙂 "x"', x'00ff5c27', x'', x'5c5c2700', 'it''s', 'x,y', '{"a": "b\\"c"}',
            ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('LINESTRING(0 0, 1 1)')),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, '0000-00-00',
            '0000-00-00 00:00:00', NULL, NULL, 0, '', '', '', '', x'00000000', x'00', '', 'a', '', NULL, NULL, NULL)"#,
    "INSERT INTO kinds (a, flag, en) VALUES (1, 1, 'a'), (2, 0, 'a'), (3, 1, 'a'), (4, 0, 'a')",
    "CREATE TABLE users (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, mail varchar(80) NOT NULL UNIQUE, name text)",
    "INSERT INTO users (mail, name) VALUES ('ann@example.com', 'Ann'), ('bob@example.com', 'Bob'),
        ('cy@example.com', 'Cy'), ('dee@example.com', 'Dee'), ('ed@example.com', 'Ed')",
    "CREATE TABLE orders (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id int NOT NULL, number int NOT NULL,
        UNIQUE (user_id, number), CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE)",
    "INSERT INTO orders (user_id, number) VALUES (1, 1), (1, 2), (2, 1), (3, 1)",
    "CREATE TABLE clubs (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, label varchar(200) NOT NULL, UNIQUE by_start (label(4)))",
    "INSERT INTO clubs (label) VALUES ('chess and more'), ('golf'), ('running late')",
    "CREATE TABLE members (user_id int NOT NULL, club_id int NOT NULL, since date NOT NULL, PRIMARY KEY (user_id, club_id),
        FOREIGN KEY (user_id) REFERENCES users (id), FOREIGN KEY (club_id) REFERENCES clubs (id))",
    "INSERT INTO members VALUES (1, 1, '2024-01-01'), (2, 2, '2024-01-02'), (3, 3, '2024-01-03'), (4, 1, '2024-01-04')",
    "CREATE TABLE notes (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id int NOT NULL, body text NOT NULL, extra json,
        FOREIGN KEY (user_id) REFERENCES users (id))",
    "CREATE TABLE nobody (id int PRIMARY KEY)",
    "CREATE TABLE of_nobody (id int PRIMARY KEY, nobody int NOT NULL, FOREIGN KEY (nobody) REFERENCES nobody (id))",
    "CREATE TABLE keyless (at datetime, what varchar(20))",
    "INSERT INTO keyless VALUES ('2024-05-17 10:00:00', 'x')",
    "CREATE TABLE tokens (id char(36) NOT NULL DEFAULT (UUID()) PRIMARY KEY, used int)",
    "CREATE TABLE bytes (id binary(16) NOT NULL PRIMARY KEY, n int)",
    "INSERT INTO bytes VALUES (x'000102030405060708090a0b0c0d0e0f', 1), (x'5c27', 2), (x'ff', 3)",
    "CREATE TABLE few (id tinyint NOT NULL AUTO_INCREMENT PRIMARY KEY, n int)",
    "INSERT INTO few (n) VALUES (1), (2), (3)",
    "CREATE TABLE parts (day date NOT NULL, id int NOT NULL, v int, PRIMARY KEY (day, id))
        PARTITION BY RANGE (YEAR(day)) (PARTITION p1 VALUES LESS THAN (2024), PARTITION p2 VALUES LESS THAN (2025))",
    "INSERT INTO parts VALUES ('2023-03-01', 1, 1), ('2024-03-01', 2, 1), ('2024-03-02', 2, 1)",
    "CREATE TABLE checked (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, price int NOT NULL, CONSTRAINT positive CHECK (price > 0))",
    "INSERT INTO checked (price) VALUES (1), (2), (3)",
    "CREATE TABLE kept (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int) ENGINE = MyISAM",
    "INSERT INTO kept (n) VALUES (1)",
    "CREATE TABLE memory (id int PRIMARY KEY) ENGINE = MEMORY",
    "CREATE TABLE noted (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int)",
    "INSERT INTO noted (n) VALUES (1)",
    "CREATE TRIGGER notes_it AFTER UPDATE ON noted FOR EACH ROW INSERT INTO kept (n) VALUES (NEW.n)",
    "CREATE TABLE unseen (id int PRIMARY KEY)",
    "INSERT INTO unseen VALUES (1)",
    "CREATE VIEW seen AS SELECT id FROM users",
];

/// An application's account: by a pattern, by table and by column.
const GRANTS: &[&str] = &[
    "CREATE USER app@'%' IDENTIFIED BY 'Before-1'",
    "GRANT SELECT ON `sho_`.* TO app@'%'",
    "GRANT UPDATE (n) ON shop.unseen TO app@'%'",
];

async fn execute(server: &Server, statements: &[impl AsRef<str>]) {
    let all = async |connection: &mut Conn| {
        for statement in statements {
            if let Err(error) = connection.query_drop(statement.as_ref()).await {
                panic!("{}: {error}", statement.as_ref());
            }
        }
        Ok(())
    };
    connect::with(&server.at, MINUTE, all).await.expect("it answers");
}

/// With the schema and the application's account.
async fn prepare(server: &Server) -> Endpoint {
    execute(server, SCHEMA).await;
    if server.engine == EngineKind::Mariadb {
        let own = [
            "ALTER TABLE kinds ADD i6 inet6, ADD u uuid",
            "UPDATE kinds SET i6 = 'fd00::1', u = UUID() WHERE id = 1",
            "CREATE SEQUENCE numbers MAXVALUE 5000",
            // It takes its values from the log a thousand at a time.
            "DO NEXTVAL(numbers)",
            "CREATE TABLE drawn (id int NOT NULL DEFAULT NEXTVAL(numbers) PRIMARY KEY, n int)",
            "CREATE TABLE versioned (id int NOT NULL PRIMARY KEY, n int) WITH SYSTEM VERSIONING",
            "INSERT INTO versioned VALUES (1, 1), (2, 2), (3, 3)",
        ];
        execute(server, &own).await;
    }
    let tables = server
        .ask("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop' AND table_type <> 'VIEW'")
        .await;
    let but_one = tables
        .iter()
        .filter(|table| *table != "unseen")
        .map(|table| format!("GRANT INSERT, UPDATE, DELETE ON shop.{table} TO app@'%'"));
    let alter = "ALTER TABLE unseen ADD n int".to_owned();
    let grants = std::iter::once(alter).chain(GRANTS.iter().map(|&grant| grant.to_owned())).chain(but_one);
    execute(server, &grants.collect::<Vec<_>>()).await;
    log_in_as(&server.at, Some("app"), PASSWORD).await.expect("it gets in")
}

async fn derive(server: &Server, app: &Endpoint) -> Derived {
    let request = Request { superuser: &server.at, app, timeout: TIMEOUT, touched: None };
    probing::derive(&request, &CancellationToken::new()).await.expect("derived")
}

async fn open(app: &Endpoint) -> Session {
    Session::open(app, TIMEOUT).await.unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn probe<'a>(derived: &'a mut Derived, table: &str, operation: Operation) -> &'a mut Script {
    let of = |probe: &&mut TableProbe| probe.table == table && probe.operation == operation;
    &mut derived.probes.iter_mut().find(of).unwrap_or_else(|| panic!("{table} {operation:?} is probed")).script
}

/// What is probed of each table, and why the rest is not.
fn told(derived: &Derived) -> BTreeMap<&str, BTreeSet<String>> {
    let mut told: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for probe in &derived.probes {
        told.entry(&probe.table).or_default().insert(probe.operation.name().to_owned());
    }
    for not in &derived.not_probed {
        let operation = not.operation.map_or("all", Operation::name);
        told.entry(&not.table).or_default().insert(format!("no {operation}: {}", not.reason));
    }
    told
}

/// Servers cost more than what is done on them.
#[tokio::test(flavor = "multi_thread")]
async fn what_probes_do() {
    futures::future::join_all(servers().await.into_iter().map(all_of_it)).await;
}

async fn all_of_it(server: Server) {
    the_login_is_the_application_s(&server).await;
    emptied(&server).await;
    what_can_be_probed_is_and_nothing_of_it_stays(&server).await;
    emptied(&server).await;
    a_release_is_followed_and_what_it_breaks_is_told(&server).await;
    emptied(&server).await;
    a_probe_gives_up_in_time_and_works_again(&server).await;
    emptied(&server).await;
    a_lock_is_a_window(&server).await;
    server.end().await;
}

async fn emptied(server: &Server) {
    execute(server, &["DROP DATABASE shop", "CREATE DATABASE shop"]).await;
}

async fn what_can_be_probed_is_and_nothing_of_it_stays(server: &Server) {
    let app = prepare(server).await;
    let before = state(server).await;
    let gtid = server.ask(gtid(server.engine)).await;
    let log = probing::log_position(&server.at).await.expect("it answers").expect("a binary log");
    let mut derived = derive(server, &app).await;
    let all = ["delete", "insert", "read", "update"];
    let kept = "what a probe wrote would stay";
    for (table, told) in told(&derived) {
        let not: Vec<&String> = told.iter().filter(|each| each.starts_with("no ")).collect();
        let expected: (&[&str], &[&str]) = match table {
            "keyless" => (&["insert", "read"], &["no delete: no primary key", "no update: no primary key"]),
            "of_nobody" => (&["read"], &["and so is nobody", "and so is nobody", "and so is nobody"]),
            "kept" | "memory" => (&["read"], &[kept, kept, kept]),
            "noted" => (&["read"], &["notes_it names kept", "notes_it names kept", "notes_it names kept"]),
            "unseen" => (&["read", "update"], &["denied", "denied"]),
            _ => (&all, &[]),
        };
        let probed: Vec<&str> = told.iter().filter(|each| !each.starts_with("no ")).map(String::as_str).collect();
        let explained =
            not.len() == expected.1.len() && not.iter().zip(expected.1).all(|(not, part)| not.contains(part));
        assert!(probed == expected.0 && explained, "{:?}: {table}: {told:?}", server.engine);
    }
    assert_eq!(told(&derived).len(), before.len(), "each table is told of, and no view");
    assert!(derived.connections > 10, "{}", derived.connections);

    let mut session = open(&app).await;
    let mut burnt: BTreeMap<String, u64> = BTreeMap::new();
    for probe in &mut derived.probes {
        for _ in 0..25 {
            let done = probe.script.run(&mut session, Stage::Alone).await;
            done.unwrap_or_else(|failure| panic!("{} {:?}: {failure:?}", probe.table, probe.operation));
        }
        *burnt.entry(probe.table.clone()).or_default() += probe.script.burns().map_or(0, |burns| burns.each * 100);
    }
    session.close().await;
    for ((table, (rows, next)), (_, (rows_before, next_before))) in state(server).await.into_iter().zip(before) {
        assert_eq!(rows, rows_before, "{:?}: {table}", server.engine);
        let most = next_before + burnt.get(&table).copied().unwrap_or(0);
        assert!((next_before..=most).contains(&next), "{:?}: {table}: {next_before} to {next}", server.engine);
    }
    assert_eq!(server.ask(self::gtid(server.engine)).await, gtid);
    let after = probing::log_position(&server.at).await.expect("it answers").expect("a binary log");
    assert!(after.saturating_sub(log) < 1000, "{log} to {after}");
}

fn gtid(engine: EngineKind) -> &'static str {
    if engine == EngineKind::Mysql { "SELECT @@GLOBAL.gtid_executed" } else { "SELECT @@GLOBAL.gtid_binlog_pos" }
}

/// Of each table: what is in it, and its next number.
async fn state(server: &Server) -> BTreeMap<String, (String, u64)> {
    let mut state = BTreeMap::new();
    let all = async |connection: &mut Conn| {
        if server.engine == EngineKind::Mysql {
            connection.query_drop("SET SESSION information_schema_stats_expiry = 0").await?;
        }
        let tables: Vec<(String, u64)> = connection
            .query(
                "SELECT table_name, COALESCE(auto_increment, 0) FROM information_schema.tables
                WHERE table_schema = 'shop' AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
            )
            .await?;
        for (table, next) in tables {
            let sum: Option<(String, Option<u64>)> = connection.query_first(format!("CHECKSUM TABLE {table}")).await?;
            let rows: Option<u64> = connection.query_first(format!("SELECT COUNT(*) FROM {table}")).await?;
            state.insert(table, (format!("{rows:?} {sum:?}"), next));
        }
        Ok(())
    };
    connect::with(&server.at, MINUTE, all).await.expect("it answers");
    state
}

/// Runs it until the server has something against it, at most so often.
async fn refused(script: &mut Script, session: &mut Session, times: usize) -> Option<String> {
    for _ in 0..times {
        if let Err(failure) = script.run(session, Stage::Release).await {
            assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
            return Some(failure.error.code);
        }
    }
    None
}

async fn a_release_is_followed_and_what_it_breaks_is_told(server: &Server) {
    let schema = [
        "CREATE TABLE carts (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, mail varchar(40) NOT NULL, note text, old int)",
        "INSERT INTO carts (mail, note, old) VALUES ('a@example.com', 'x', 1), ('b@example.com', 'y', 2),
            ('c@example.com', 'z', 3), ('d@example.com', 'w', 4)",
    ];
    execute(server, &schema).await;
    let app = log_in_as(&server.at, None, PASSWORD).await.expect("it gets in");
    let mut derived = derive(server, &app).await;
    let mut session = open(&app).await;
    let insert = probe(&mut derived, "carts", Operation::Insert);
    assert_eq!(refused(insert, &mut session, 5).await, None);
    execute(server, &["ALTER TABLE carts DROP old", "ALTER TABLE carts ADD UNIQUE by_mail (mail)"]).await;
    assert_eq!(refused(insert, &mut session, 20).await, None, "{:?}", server.engine);

    // In strict mode the first row has no key, in lax mode the second one has the first one's.
    let modes = server.ask("SELECT @@GLOBAL.sql_mode").await.remove(0);
    execute(server, &["ALTER TABLE carts MODIFY id int NOT NULL"]).await;
    assert_eq!(refused(insert, &mut session, 1).await.as_deref(), Some("1364"), "{:?}", server.engine);
    execute(server, &["SET GLOBAL sql_mode = ''"]).await;
    let mut lax = open(&app).await;
    for _ in 0..5 {
        assert_eq!(refused(insert, &mut lax, 1).await.as_deref(), Some("1062"), "{:?}", server.engine);
    }
    lax.close().await;
    let back = format!("SET GLOBAL sql_mode = '{modes}'");
    execute(server, &["ALTER TABLE carts MODIFY id int NOT NULL AUTO_INCREMENT", &back]).await;
    assert_eq!(refused(insert, &mut session, 5).await, None);

    if server.engine == EngineKind::Mariadb {
        // A check that was not there before is the release's doing.
        let unchecked = "SET check_constraint_checks = 0";
        let no_note = "ALTER TABLE carts ADD CONSTRAINT no_note CHECK (note IS NULL)";
        let mut before = derive(server, &app).await;
        execute(server, &[unchecked, no_note]).await;
        let update = probe(&mut before, "carts", Operation::Update);
        assert_eq!(refused(update, &mut session, 1).await.as_deref(), Some("4025"));
        execute(server, &["ALTER TABLE carts DROP CONSTRAINT no_note"]).await;
        assert_eq!(refused(update, &mut session, 5).await, None);
    }
    execute(server, &["ALTER TABLE carts CHANGE note remark text"]).await;
    assert_eq!(refused(insert, &mut session, 1).await.as_deref(), Some("1054"), "{:?}", server.engine);
    let read = probe(&mut derived, "carts", Operation::Read);
    assert_eq!(refused(read, &mut session, 1).await.as_deref(), Some("1054"));
    execute(server, &["REVOKE SELECT ON shop.* FROM rehearsal_probe@'%'"]).await;
    let mut after = open(&app).await;
    assert_eq!(refused(read, &mut after, 1).await.as_deref(), Some("1142"));
}

async fn a_probe_gives_up_in_time_and_works_again(server: &Server) {
    let schema = [
        "CREATE TABLE carts (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int NOT NULL)",
        "INSERT INTO carts (n) VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)",
    ];
    execute(server, &schema).await;
    let app = log_in_as(&server.at, None, PASSWORD).await.expect("it gets in");
    let mut derived = derive(server, &app).await;
    let mut session = open(&app).await;
    let mut slow = Script::custom(server.engine, "DELETE FROM carts WHERE SLEEP(3) = 1; -- all of them", false);
    gives_up(&mut slow, &mut session, server.engine).await;

    let mut holder = connect::opened(&server.at, "SET autocommit = 0", MINUTE).await.expect("it gets in");
    // A lock on the table, as DDL takes it, and one on its rows.
    let (table, rows) = (("LOCK TABLES carts WRITE", "UNLOCK TABLES"), ("UPDATE carts SET n = 0", "ROLLBACK"));
    for ((lock, unlock), operation) in [(table, Operation::Read), (table, Operation::Update), (rows, Operation::Delete)]
    {
        holder.query_drop(lock).await.expect("locked");
        let script = probe(&mut derived, "carts", operation);
        gives_up(script, &mut session, server.engine).await;
        holder.query_drop(unlock).await.expect("unlocked");
        script.run(&mut session, Stage::Release).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    }
    holder.disconnect().await.expect("it ends");

    // Whoever is killed is lost, and another session can be had.
    execute(server, &[format!("KILL {}", session.pid())]).await;
    let read = probe(&mut derived, "carts", Operation::Read);
    let failure = read.run(&mut session, Stage::Release).await.expect_err("it was killed");
    assert_eq!((failure.kind, failure.error.code.as_str()), (FailureKind::Lost, "08006"), "{failure:?}");
    read.run(&mut open(&app).await, Stage::Release).await.expect("it works");
}

struct Log;

impl Reporter for Log {
    fn report(&mut self, _: &Recorded) -> Result<(), ReportError> {
        Ok(())
    }
}

/// Probes at work all the while.
async fn a_lock_is_a_window(server: &Server) {
    let schema = [
        "CREATE TABLE carts (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int NOT NULL)",
        "INSERT INTO carts (n) VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)",
    ];
    execute(server, &schema).await;
    let app = log_in_as(&server.at, None, PASSWORD).await.expect("it gets in");
    let config = Probes {
        auto: true,
        every: Duration::from_millis(20),
        budget_per_s: 200.0,
        down_after: Duration::from_millis(200),
        timeout: Duration::from_secs(5),
        run_as: None,
        open_transaction: None,
        custom: Vec::new(),
    };
    let cancel = CancellationToken::new();
    let (shard, shards, numbers, touched) = (None, 1, &Numbers::default(), None);
    let (node, superuser, app, probes) = ("primary", &server.at, &app, &config);
    let what = Preparation { node, superuser, app, probes, touched, shard, shards, numbers };
    let prepared = probes::prepare(&what, &cancel).await.expect("probes can be derived");
    let (events, dispatched) = dispatcher::start(Clock::start(), Box::new(Log), Vec::new(), cancel.clone());
    let observing = Observing::new(events);
    let nodes = vec!["primary".to_owned()];
    let routes = Routes::new(Routing::new(vec![Route { masters: nodes.clone(), readers: Vec::new(), nodes }]));
    routes.let_in("primary", app, superuser, &observing);
    let lane = Lane { routes, shard: 0 };
    let specs = prepared.specs().to_vec();
    assert_eq!(specs.len(), 5, "{specs:?}");
    let mut probes = prepared.start(&lane, &observing, &cancel).expect("a thread");
    probes.control(Duration::from_millis(300)).await;
    probes.enter(Phase::Plan, Some(0)).await;
    execute(server, &["LOCK TABLES carts WRITE", "DO SLEEP(3)", "UNLOCK TABLES"]).await;
    probes.settle(Duration::from_millis(300)).await;
    probes.stop().await;
    drop((observing, cancel));
    let records = dispatched.await.expect("the dispatcher ends").records;
    for spec in &specs {
        let windows = records.iter().filter_map(|recorded| match &recorded.event {
            Event::DowntimeEnded { down, .. } if down.probe == spec.id => Some(down),
            _ => None,
        });
        let longest = windows.map(|down| down.elapsed_ms).fold(0.0, f64::max);
        let expected = spec.operation != Operation::Connect;
        // What a busy machine takes longer for is little beside that.
        assert_eq!(longest > 2100.0, expected, "{:?}: {}: {longest} ms", server.engine, spec.name);
    }
    let dropped: Vec<_> =
        records.iter().filter(|recorded| matches!(recorded.event, Event::ProbeDropped { .. })).collect();
    assert!(dropped.is_empty(), "{:?}: {dropped:?}", server.engine);
}

async fn gives_up(script: &mut Script, session: &mut Session, engine: EngineKind) {
    let began = Instant::now();
    let failure = script.run(session, Stage::Release).await.expect_err("it waits");
    assert_eq!(failure.kind, FailureKind::GaveUp, "{engine:?}: {failure:?}");
    let took = began.elapsed();
    assert!(took > TIMEOUT.mul_f64(0.9) && took < TIMEOUT + Duration::from_secs(3), "{engine:?}: {took:?}");
}

async fn the_login_is_the_application_s(server: &Server) {
    let gtid = gtid(server.engine);
    let schema = [
        "CREATE TABLE users (id int PRIMARY KEY)",
        "CREATE USER late@'%' IDENTIFIED BY 'Before-1' REQUIRE SSL PASSWORD EXPIRE ACCOUNT LOCK",
        "GRANT SELECT ON shop.users TO late@'%'",
        "CREATE USER far@'192.0.2.1' IDENTIFIED BY 'Before-1'",
        "CREATE USER two@'%' IDENTIFIED BY 'Before-1'",
        "CREATE USER two@'192.0.2.1' IDENTIFIED BY 'Before-1'",
        "GRANT SELECT ON shop.users TO two@'%'",
        "CREATE USER lord@'%' IDENTIFIED BY 'Before-1'",
        "GRANT ALL ON *.* TO lord@'%'",
        "CREATE ROLE clerk",
        "GRANT SELECT, INSERT ON shop.users TO clerk",
    ];
    execute(server, &schema).await;
    let position = server.ask(gtid).await;
    let who = async |role: Option<&str>| {
        let login = log_in_as(&server.at, role, PASSWORD).await.unwrap_or_else(|error| panic!("{error}"));
        let who = async |connection: &mut Conn| {
            let inserts = connection.query_drop("INSERT INTO users VALUES (1)").await.is_ok();
            let deletes = connection.query_drop("DELETE FROM users").await.is_ok();
            let makes = connection.query_drop("CREATE TABLE t (a int)").await.is_ok();
            let user: Option<String> = connection.query_first("SELECT CURRENT_USER()").await?;
            Ok((user.unwrap_or_default(), inserts, deletes, makes))
        };
        connect::with(&login, MINUTE, who).await.expect("it gets in")
    };
    assert_eq!(who(Some("late")).await, ("late@%".to_owned(), false, false, false));
    assert_eq!(who(Some("two")).await.0, "two@%");
    assert_eq!(who(Some("two@%")).await.0, "two@%");
    assert_eq!(server.ask(gtid).await, position);
    assert_eq!(who(Some("clerk")).await, ("rehearsal_probe@%".to_owned(), true, false, false));
    // What a role may do counts.
    let clerk = log_in_as(&server.at, Some("clerk"), PASSWORD).await.expect("it gets in");
    let derived = derive(server, &clerk).await;
    let of_users: Vec<String> = told(&derived).remove("users").into_iter().flatten().collect();
    let not =
        |operation: &str| of_users.iter().any(|each| each.starts_with(&format!("no {operation}: not allowed to")));
    assert!(of_users.len() == 4 && not("update") && not("delete"), "{:?}: {of_users:?}", server.engine);
    assert_eq!(who(None).await, ("rehearsal_probe@%".to_owned(), false, true, false));
    let failed = async |role| log_in_as(&server.at, Some(role), PASSWORD).await.expect_err("it may not");
    for away in ["far", "two@192.0.2.1"] {
        let error = failed(away).await;
        assert!(matches!(error, LoginError::Elsewhere { .. }), "{:?}: {away}: {error:?}", server.engine);
    }
    assert!(matches!(failed("lord").await, LoginError::Superuser { .. }));
    assert!(matches!(failed("nobody_here").await, LoginError::NoRole { .. }));
}
