//! MariaDB and MySQL as their own clients meet them: what a script sends, in which session, and what becomes of it.

mod watching;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::host::{Exec, Host};
use rehearsal::engine::mysql::client::Script;
use rehearsal::engine::mysql::connect;
use rehearsal::engine::release::{self, ReleaseSession, RunOptions, ScriptError, SessionError, Watch};
use rehearsal::engine::script::Source;
use rehearsal::engine::server::{self, Wanted};
use rehearsal::event::{Place, Statement};
use rehearsal::lab::{self, Base, Lab, LabHost, LabKind};
use rehearsal::scenario::Retry;
use rehearsal::settings::LabChoice;
use tokio_util::sync::CancellationToken;

use crate::support::ci;

const MINUTE: Duration = Duration::from_secs(60);

/// A server in a lab of its own.
pub struct Server {
    pub engine: EngineKind,
    lab: Lab,
    pub host: Arc<dyn LabHost>,
    /// As superuser.
    pub at: Endpoint,
    _server: Box<dyn server::Server>,
    _folder: tempfile::TempDir,
}

/// Those that this machine has; all of them with `CI=true`.
pub async fn servers() -> Vec<Server> {
    let mut servers = Vec::new();
    for (engine, version, kind) in [
        (EngineKind::Mariadb, "10.11", LabKind::Native),
        (EngineKind::Mariadb, "11.8", LabKind::Docker),
        (EngineKind::Mysql, "9.7", LabKind::Docker),
    ] {
        servers.extend(server(engine, version, kind).await);
    }
    assert!(!ci() || servers.len() == 3, "CI=true skips nothing");
    servers
}

/// One of its own; nothing if this machine does not have it and `CI` is not set.
pub async fn server(engine: EngineKind, version: &str, kind: LabKind) -> Option<Server> {
    let choice = if kind == LabKind::Native { LabChoice::Native } else { LabChoice::Docker };
    let software = server::software(engine, version);
    if lab::choose(choice, std::slice::from_ref(&software)).await.is_err() && !ci() {
        return None;
    }
    let folder = tempfile::Builder::new().prefix("rm-").tempdir().expect("a temporary folder");
    // The servers' account passes through it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(folder.path(), open).expect("permissions set");
    let base = Base::at(&folder.path().join("base")).expect("a base");
    let lab = Lab::open(kind, "test-mysql", &base).await.expect("opened");
    let host = lab.handle().host("h", &software).await.expect("a host");
    let wanted = Wanted {
        number: 1,
        version: version.to_owned(),
        settings: BTreeMap::new(),
        database: "shop".to_owned(),
        in_pair: None,
        publishes: false,
    };
    let server = server::init(engine, Arc::clone(&host) as Arc<dyn Host>, wanted).await.expect("made");
    let at = server.start().await.expect("started").endpoint;
    Some(Server { engine, lab, host, at, _server: server, _folder: folder })
}

impl Server {
    pub async fn ask(&self, sql: &str) -> Vec<String> {
        let ask = async |connection: &mut Conn| connection.query::<String, _>(sql).await;
        connect::with(&self.at, MINUTE, ask).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Feeds a script to the engine's own client on the server's host; answers what it wrote.
    pub async fn client(&self, script: &str) -> String {
        let name = if self.engine == EngineKind::Mysql { "mysql" } else { "mariadb" };
        let listen = self.host.listen();
        let exec = Exec::new(self.host.program(name).await.expect("the client is there")).args([
            "--no-defaults".to_owned(),
            "--protocol=socket".to_owned(),
            format!("--socket={}/{}", listen.socket_dir, listen.port),
            format!("--user={}", self.at.user),
            format!("--password={}", self.at.password),
            "--default-character-set=utf8mb4".to_owned(),
            "--skip-column-names".to_owned(),
            "--batch".to_owned(),
            self.at.database.clone(),
        ]);
        let output = self.host.exec_reading(&exec, &mut script.as_bytes(), MINUTE).await.expect("the client runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// All of a database as the engine's own program tells it, rows in the order of their keys.
    pub async fn dump(&self, database: &str) -> String {
        let (client, name) = match self.engine {
            EngineKind::Mysql => ("mysql", "mysqldump"),
            _ => ("mariadb", "mariadb-dump"),
        };
        // It lies beside the client.
        let client = self.host.program(client).await.expect("the client is there");
        let program = client.strip_suffix(client.rsplit('/').next().unwrap_or_default()).unwrap_or_default();
        let program = format!("{program}{name}");
        let listen = self.host.listen();
        let mut options = vec!["--no-defaults".to_owned(), "--protocol=socket".to_owned()];
        options.push(format!("--socket={}/{}", listen.socket_dir, listen.port));
        options.extend([format!("--user={}", self.at.user), format!("--password={}", self.at.password)]);
        let more = [
            "--routines",
            "--triggers",
            "--events",
            "--hex-blob",
            "--order-by-primary",
            "--skip-extended-insert",
            "--skip-comments",
        ];
        options.extend(more.map(str::to_owned));
        options.push(database.to_owned());
        let exec = Exec::new(program).args(options);
        let output = self.host.exec_reading(&exec, &mut "".as_bytes(), MINUTE).await.expect("the client runs");
        assert!(!output.stdout.is_empty(), "{}", output.stderr);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn session(&self) -> ReleaseSession {
        let connecting = ReleaseSession::connect(&self.at, &self.at, Default::default(), false, MINUTE);
        connecting.await.expect("it connects")
    }

    pub async fn end(self) {
        self.lab.close().await.expect("closed");
    }
}

/// What a script gives, as long as the server says nothing of backslashes.
fn given(engine: EngineKind, text: &str) -> Vec<String> {
    let source = Source::Text { text: text.to_owned(), file: "s.sql".to_owned(), line: 1 };
    let mut script = Script::open(engine, source, Path::new("/nonexistent")).expect("text can be read");
    let mut statements = Vec::new();
    while let Some(statement) = script.next(true).expect("understood") {
        statements.push(statement.text);
    }
    statements
}

/// Each is sent whole by both: no statement of it fails.
const SCRIPTS: [&str; 13] = [
    "SELECT 1;SELECT 2;\n\n  SELECT\n 3\n;\nSELECT 4",
    ";;\n ; SELECT 1;",
    "SELECT 'a;b', \"c;\"\"d\", 'it''s', 'x\\';y', 'two\n lines;';",
    "SELECT 1 AS `e;f`, 'größer;';",
    "DELIMITER $$\nCREATE PROCEDURE p()\nBEGIN\n  -- said;\n\n  SELECT 1; /* and; */\n  SELECT ';';\nEND$$\ndelimiter ;\nCALL p();\nDROP PROCEDURE p;",
    "delimiter //\nSELECT 1//\n delimiter ;\nSELECT 3;",
    "DELIMITER \"$$\"\nSELECT 1$$",
    "-- one; two\n# three;\nSELECT 1 /* a;b */ + 1 -- c;\n, 2 # d;\n, 3\n;\n/* e;\nf; */ SELECT 3--1;",
    "/*!40101 SET @a = ';' */;\nSELECT '-- no', '/* no */', '# no';\n--\nSELECT 5;",
    "SELECT 1\n--1\n;\n--\nSELECT 2;",
    "SELECT /*+ NO_INDEX_MERGE(t) */ 1; SELECT 1 -- tail",
    "SELECT 'a\r\nb';\r\nSELECT/*c*/1, 2 /* d */;\r\n",
    "USE `shop`;\nSELECT 1 ; use shop;\nSELECT 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_script_sends_what_the_client_sends() {
    for server in servers().await {
        server.ask("SET GLOBAL log_output = 'TABLE'").await;
        for text in SCRIPTS {
            server.ask("SET GLOBAL general_log = ON").await;
            server.client(text).await;
            server.ask("SET GLOBAL general_log = OFF").await;
            let sent = "SELECT CONCAT(IF(command_type = 'Init DB', 'USE ', ''), CONVERT(argument USING utf8mb4))
                FROM mysql.general_log WHERE command_type IN ('Query', 'Init DB') ORDER BY event_time, thread_id";
            let mut sent = server.ask(sent).await;
            // What this test and the client say for themselves.
            sent.retain(|sql| {
                !sql.starts_with("SET GLOBAL")
                    && !sql.starts_with("/* rehearsal */ SET SESSION")
                    && sql != "SELECT DATABASE()"
                    && !sql.contains("@@version_comment")
            });
            // Comments by themselves have no effect.
            sent.retain(|sql| !sql.starts_with("-- ") && !sql.starts_with("# ") && sql != "--" && sql != "--x");
            let plain = |sql: &String| sql.trim_end().replace(['`'], "").replace("use ", "USE ");
            let (sent, given): (Vec<_>, Vec<_>) =
                (sent.iter().map(plain).collect(), given(server.engine, text).iter().map(plain).collect());
            assert_eq!(given, sent, "{:?}: {text}", server.engine);
            server.ask("TRUNCATE mysql.general_log").await;
        }
        server.end().await;
    }
}

/// A routine keeps the modes and collations of the session that made it, and a statement may mean something else under another.
#[tokio::test(flavor = "multi_thread")]
async fn the_session_is_the_client_s() {
    for server in servers().await {
        let variables = "SHOW SESSION VARIABLES";
        let theirs = server.client(&format!("{variables};")).await;
        let mut session = server.session().await;
        let ours = session.rows_as_text(variables, None, &CancellationToken::new()).await.expect("rows");
        session.close().await;
        let ours: Vec<String> =
            ours.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join("\t")).collect();
        // What is another in every session.
        let own = [
            "pseudo_thread_id",
            "statement_id",
            "timestamp",
            "rand_seed",
            "error_count",
            "warning_count",
            "last_gtid",
            "in_transaction",
            "identity",
            "last_insert_id",
        ];
        let keep = |line: &&str| !own.iter().any(|name| line.starts_with(name));
        let theirs: Vec<&str> = theirs.lines().filter(keep).collect();
        let ours: Vec<&str> = ours.iter().map(String::as_str).filter(keep).collect();
        assert!(ours.len() > 300 && ours.iter().any(|line| line.starts_with("sql_mode\t")), "{ours:?}");
        let differ: Vec<_> = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).collect();
        assert_eq!((ours.len(), differ), (theirs.len(), vec![]), "{:?}", server.engine);
        server.end().await;
    }
}

#[derive(Default)]
struct Watched {
    started: Vec<(usize, Place)>,
    ended: Vec<Statement>,
    said: Vec<String>,
}

impl Watch for Watched {
    fn started(&mut self, index: usize, _: &str, place: &Place) {
        self.started.push((index, place.clone()));
    }
    fn ended(&mut self, statement: Statement) {
        self.ended.push(statement);
    }
    fn retried(&mut self, _: usize, _: u32, _: u32, _: Duration) {}
    fn said(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
}

fn options() -> RunOptions {
    RunOptions { origin: Instant::now(), retry: None, timeout: None, show_values: false }
}

async fn run(server: &Server, text: &str, cancel: &CancellationToken) -> (Result<(), ScriptError>, Watched) {
    let source = Source::Text { text: text.to_owned(), file: "s.sql".to_owned(), line: 1 };
    let mut script = release::Script::open(server.engine, source, Path::new("/nonexistent")).expect("text can be read");
    let (mut session, mut watched) = (server.session().await, Watched::default());
    let result = session.run(&mut script, &options(), &mut watched, cancel).await;
    session.close().await;
    (result, watched)
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_one_by_one() {
    for server in servers().await {
        let never = CancellationToken::new();
        let text = "CREATE TABLE t (a int PRIMARY KEY, b varchar(20));\nINSERT INTO t VALUES (1, 'x'), (2, 'y');
SELECT * FROM t;\nSET sql_mode = 'NO_BACKSLASH_ESCAPES'; INSERT INTO t VALUES (3, 'z\\'); SELECT 1;
DELIMITER $$
CREATE PROCEDURE p()
BEGIN
  SELECT a FROM t;
  UPDATE t SET b = 'all';
END$$
DELIMITER ;
CALL p();
BEGIN; DELETE FROM t;";
        let (result, watched) = run(&server, text, &never).await;
        result.unwrap_or_else(|error| panic!("{:?}: {error:?}: {:?}", server.engine, watched.ended.last()));
        let told: Vec<_> =
            watched.ended.iter().map(|each| (each.command.as_str(), each.rows, each.in_transaction)).collect();
        assert_eq!(
            told,
            [
                ("CREATE TABLE", Some(0), false),
                ("INSERT", Some(2), false),
                ("SELECT", Some(2), false),
                ("SET", Some(0), false),
                ("INSERT", Some(1), false),
                ("SELECT", Some(1), false),
                ("CREATE PROCEDURE", Some(0), false),
                ("CALL", Some(3), false),
                ("BEGIN", Some(0), false),
                ("DELETE", Some(3), true),
            ]
        );
        assert_eq!(watched.said, ["the script ended inside a transaction, which is rolled back"]);
        assert_eq!(server.ask("SELECT CONCAT(COUNT(*), MIN(b)) FROM t").await, ["3all"]);
        let stored = "SELECT sql_mode FROM information_schema.routines WHERE routine_name = 'p'";
        assert_eq!(server.ask(stored).await, ["NO_BACKSLASH_ESCAPES"]);

        // The first error ends it, and what went before stands, as with the client.
        let (result, watched) = run(
            &server,
            "INSERT INTO t VALUES (4, 'w');\n\nINSERT INTO t VALUES (5, 'secret'), (4, 'w');\nDROP TABLE t;",
            &never,
        )
        .await;
        let Err(ScriptError::Statement { place, error }) = result else { panic!("{result:?}") };
        assert_eq!((place.line, error.code.as_str()), (3, "1062"));
        assert!(!error.message.contains('4') && !error.message.contains("secret"), "{}", error.message);
        assert_eq!(watched.ended.last().and_then(|last| last.error.as_ref()), Some(&*error));
        assert_eq!(server.ask("SELECT COUNT(*) FROM t").await, ["4"]);

        let mut session = server.session().await;
        let rows = session.rows_as_text("SELECT 1.50, NULL, 'ä', TRUE", None, &never).await.expect("rows");
        assert_eq!(rows, [[Some("1.50".to_owned()), None, Some("ä".to_owned()), Some("1".to_owned())]]);
        let refused = session.rows_as_text("SELECT nothing", None, &never).await;
        assert!(matches!(&refused, Err(SessionError::Refused(error)) if error.code == "1054"), "{refused:?}");
        session.wait_until("SELECT COUNT(*) > 0 FROM t", MINUTE, &never).await.expect("it is true");
        let late = session.wait_until("SELECT FALSE", Duration::from_secs(1), &never).await;
        assert_eq!(
            late.expect_err("never true").to_string(),
            "no row with a true first column within 1s; last seen: false"
        );
        session.close().await;
        server.end().await;
    }
}

/// A login that the tool is given, and whose password stands in no log.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_s_password() {
    for server in servers().await {
        server.ask("CREATE USER app@'%' IDENTIFIED BY 'Before-1'").await;
        server::set_password(&server.at, "app", "Secret-2 it's").await.expect("it is there");
        let app = Endpoint { database: String::new(), ..server.at.as_user("app", "Secret-2 it's") };
        let who = async |connection: &mut Conn| connection.query_first::<String, _>("SELECT CURRENT_USER()").await;
        assert_eq!(connect::with(&app, MINUTE, who).await.expect("it gets in").as_deref(), Some("app@%"));
        assert!(connect::opened(&app.as_user("app", "Before-1"), "SELECT 1", MINUTE).await.is_err());
        let log = format!("{}/data/binlog.000001", server.host.folder());
        let log = String::from_utf8_lossy(&server.host.read_from(&log, 0).await.expect("a binary log")).into_owned();
        assert!(
            log.contains("ALTER USER") && !log.contains("Secret-2"),
            "{:?}: the password is in the binary log",
            server.engine
        );
        let nobody = server::set_password(&server.at, "nobody", "x").await;
        assert!(matches!(nobody, Err(server::ServerError::NoLogin { .. })), "{nobody:?}");
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_ended_on_the_server() {
    for server in servers().await {
        let cancel = CancellationToken::new();
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(600%'";
        let ((result, watched), ()) = tokio::join!(run(&server, "SELECT SLEEP(600);\nSELECT 1;", &cancel), async {
            let began = Instant::now();
            while server.ask(waiting).await != ["1"] {
                assert!(began.elapsed() < MINUTE, "nobody sleeps");
            }
            cancel.cancel();
        });
        assert!(matches!(result, Err(ScriptError::Cancelled)), "{result:?}");
        assert_eq!(watched.started.len(), 1);
        assert_eq!(server.ask(waiting).await, ["0"]);

        // A session that is killed is lost, and no statement of it was wrong.
        let never = CancellationToken::new();
        let ((result, _), ()) = tokio::join!(run(&server, "SELECT SLEEP(600);", &never), async {
            let began = Instant::now();
            let id = "SELECT CAST(id AS CHAR) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(600%'";
            loop {
                if let [id] = &server.ask(id).await[..] {
                    server.ask(&format!("KILL {id}")).await;
                    return;
                }
                assert!(began.elapsed() < MINUTE, "nobody sleeps");
            }
        });
        assert!(matches!(&result, Err(ScriptError::Lost { error, .. }) if error.code == "08006"), "{result:?}");
        server.end().await;
    }
}

/// Command, algorithm, work, what it grows with, and the locks that it held for longer than a moment.
fn told(statement: &Statement) -> (&str, Option<&str>, &'static str, String, String) {
    let held: Vec<String> = statement
        .locks
        .iter()
        .filter(|lock| !lock.brief)
        .map(|lock| format!("{} {}", lock.relation, lock.mode))
        .collect();
    let grows = statement.grows_with.join(" ");
    (&statement.command, statement.algorithm.as_deref(), statement.work.name(), grows, held.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_statements_do_is_measured() {
    for server in servers().await {
        let never = CancellationToken::new();
        let rows =
            "CREATE TABLE carts (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, b INT, c VARCHAR(50)) ENGINE=InnoDB;
            CREATE TABLE users (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB;
            INSERT INTO carts (b, c) VALUES (1, 'x'), (2, 'y'), (3, 'z'), (4, 'w');";
        let doubled = "INSERT INTO carts (b, c) SELECT b, c FROM carts;\n".repeat(8);
        run(
            &server,
            &format!("{rows}{doubled}INSERT INTO users SELECT id FROM carts; ANALYZE TABLE carts, users;"),
            &never,
        )
        .await
        .0
        .expect("rows");
        let text = "ALTER TABLE carts ADD d INT;
ALTER TABLE carts ADD INDEX by_b (b);
ALTER TABLE carts DROP INDEX by_b;
ALTER TABLE carts FORCE;
ALTER TABLE carts ENGINE=InnoDB, ALGORITHM=COPY, LOCK=SHARED;
ALTER TABLE carts MODIFY id BIGINT NOT NULL;
ALTER TABLE carts MODIFY id BIGINT NOT NULL AUTO_INCREMENT;
UPDATE carts SET d = 1 WHERE id = 3;
UPDATE carts SET d = 2;
SELECT COUNT(*) FROM users WHERE id + 1 = 5;
TRUNCATE users;
CREATE TABLE copy AS SELECT * FROM carts;
LOCK TABLES carts READ;
UNLOCK TABLES;
RENAME TABLE copy TO copied;
OPTIMIZE TABLE copied;
BEGIN;
DELETE FROM carts WHERE id = 1;
COMMIT;";
        let (result, watched) = run(&server, text, &never).await;
        result.unwrap_or_else(|error| panic!("{:?}: {error:?}: {:?}", server.engine, watched.ended.last()));
        let told: Vec<_> = watched.ended.iter().map(told).collect();
        let is_mysql = server.engine == EngineKind::Mysql;
        // In MariaDB from 11.2 on, a copy lets others write where nothing stands against it; MySQL copies for every change of a type.
        let copies = "carts SHARED_NO_WRITE";
        let online = if server.ask("SELECT VERSION()").await[0].starts_with("11.") { "" } else { copies };
        let numbers = ("ALTER TABLE", Some("COPY"), "rewrites", "carts".to_owned(), copies.to_owned());
        let lost = if is_mysql {
            numbers.clone()
        } else {
            ("ALTER TABLE", Some("INSTANT"), "constant", String::new(), "carts EXCLUSIVE".to_owned())
        };
        let plain = |command, work, grows: &str, locks: &str| (command, None, work, grows.to_owned(), locks.to_owned());
        let expected = [
            ("ALTER TABLE", Some("INSTANT"), "constant", String::new(), "carts EXCLUSIVE".to_owned()),
            ("ALTER TABLE", Some("INPLACE"), "builds", "carts".to_owned(), String::new()),
            ("ALTER TABLE", Some("INPLACE"), "constant", String::new(), "carts EXCLUSIVE".to_owned()),
            ("ALTER TABLE", Some("INPLACE"), "rewrites", "carts".to_owned(), String::new()),
            ("ALTER TABLE", Some("COPY"), "rewrites", "carts".to_owned(), copies.to_owned()),
            // No change of the type any more where an INT went before.
            ("ALTER TABLE", Some("COPY"), "rewrites", "carts".to_owned(), online.to_owned()),
            numbers.clone(),
            plain("UPDATE", "changes_rows", "", ""),
            plain("UPDATE", "changes_rows", "carts", ""),
            plain("SELECT", "scans", "users", ""),
            plain("TRUNCATE USERS", "constant", "", "users EXCLUSIVE"),
            plain("CREATE TABLE", "builds", "carts", ""),
            plain("LOCK TABLES", "constant", "", if is_mysql { "carts SHARED_READ_ONLY" } else { "carts SHARED_READ" }),
            plain("UNLOCK", "constant", "", ""),
            plain("RENAME TABLE", "constant", "", "copy EXCLUSIVE"),
            ("OPTIMIZE TABLE", Some("INPLACE"), "rewrites", "carts copied".to_owned(), String::new()),
            plain("BEGIN", "constant", "", ""),
            plain("DELETE", "changes_rows", "", "carts SHARED_WRITE"),
            plain("COMMIT", "constant", "", ""),
        ];
        let mut told = told;
        // What a short statement held is only seen where a look fell into it.
        told[14].4 = told[14].4.trim_end_matches(", copied EXCLUSIVE").to_owned();
        for at in [7, 8, 9, 11] {
            told[at].4.clear();
        }
        for (told, expected) in told.iter().zip(&expected) {
            assert_eq!(told, expected, "{:?}", server.at.engine);
        }
        assert_eq!(told.len(), expected.len());
        assert!(watched.ended[12].locks[0].stops_writes, "{:?}", watched.ended[12].locks);
        assert!(watched.ended.iter().all(|each| !each.lock_timeout), "nobody set one");
        assert!(watched.ended[8].wal_bytes > Some(100), "{:?}", watched.ended[8].wal_bytes);
        let (_, again) = run(&server, "ALTER TABLE carts MODIFY id BIGINT NOT NULL;", &never).await;
        assert_eq!((again.ended[0].algorithm.as_deref(), lost.1), (lost.1, lost.1), "{:?}", again.ended[0]);
        let (_, timed) = run(&server, "SET SESSION lock_wait_timeout = 3; DROP TABLE copied;", &never).await;
        assert_eq!((timed.ended[0].lock_timeout, timed.ended[1].lock_timeout), (true, true));
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_to_be_had_is_asked_for_again() {
    for server in servers().await {
        server.ask("CREATE TABLE t (a INT PRIMARY KEY)").await;
        server.ask("CREATE TABLE u (a INT PRIMARY KEY)").await;
        let mut reader = connect::opened(&server.at, "START TRANSACTION", MINUTE).await.expect("a reader");
        reader.query_drop("SELECT * FROM t").await.expect("it reads");
        let retry = Retry { lock_timeout: Duration::from_secs(1), times: 3, pause: Duration::from_millis(50) };
        let source = "BEGIN; INSERT INTO u VALUES (1); COMMIT; ALTER TABLE t ADD b INT;";
        let source = Source::Text { text: source.to_owned(), file: "s.sql".to_owned(), line: 1 };
        let script = || release::Script::open(server.engine, source.clone(), Path::new("/nonexistent")).expect("text");
        let never = CancellationToken::new();
        let options = RunOptions { retry: Some(retry), ..options() };
        let (mut session, mut watched) = (server.session().await, Watched::default());
        let result = session.run(&mut script(), &options, &mut watched, &never).await;
        session.close().await;
        let Err(ScriptError::Statement { error, .. }) = result else { panic!("{result:?}") };
        assert_eq!((error.code.as_str(), watched.ended[3].attempts), ("1205", 3), "{error:?}");
        assert!(watched.ended[3].lock_timeout);
        server.ask("DELETE FROM u").await;

        let (mut session, mut watched) = (server.session().await, Watched::default());
        let mut script = script();
        let run = session.run(&mut script, &options, &mut watched, &never);
        let (result, ()) = tokio::join!(run, async {
            let waits =
                "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata%'";
            let began = Instant::now();
            while server.ask(waits).await == ["0"] {
                assert!(began.elapsed() < MINUTE, "it never waits");
            }
            reader.query_drop("COMMIT").await.expect("the reader ends");
        });
        result.expect("it has the lock in the end");
        session.close().await;
        assert_eq!(server.ask("SELECT COUNT(*) FROM u").await, ["1"]);
        server.end().await;
    }
}
