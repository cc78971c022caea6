//! Dumps of mydumper's: what it wrote comes back the same, and what is missing is told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::mysql::connect::with;
use rehearsal::lab::LabKind;
use rehearsal::scenario::{Snapshot, SnapshotSource};
use rehearsal::snapshot::{self, RestoreRequest, Restored, SnapshotError};
use tokio_util::sync::CancellationToken;

use crate::mysql::{Server, server};
use crate::support::ci;

const MINUTE: Duration = Duration::from_secs(60);

/// Rows in several files, and of each kind of object one; texts and bytes that have to be quoted.
const SHOP: &str = r#"
CREATE DATABASE source CHARACTER SET latin1;
USE source;
CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL, raw BLOB) CHARACTER SET utf8mb4;
INSERT INTO users (name, raw) SELECT CONCAT('größe ', seq, ';\n''"\\'), UNHEX('00ff2722') FROM seq_1_to_5000;
CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT NOT NULL, at TIMESTAMP NULL, note TEXT,
    words INT GENERATED ALWAYS AS (CHAR_LENGTH(note)) STORED, CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id));
INSERT INTO orders (user_id, at, note) SELECT id, '2026-03-04 05:06:07', IF(id % 2, name, NULL) FROM users;
CREATE TABLE nothing (id INT PRIMARY KEY);
CREATE TABLE `od d.1` (id INT PRIMARY KEY, `a``b` VARCHAR(3));
INSERT INTO `od d.1` VALUES (1, 'x');
CREATE SEQUENCE numbers START 7;
CREATE FUNCTION three() RETURNS INT DETERMINISTIC RETURN 3;
CREATE VIEW later AS SELECT id, three() AS three FROM users;
CREATE VIEW earlier AS SELECT id FROM later;
CREATE PROCEDURE p() BEGIN SELECT 1; SELECT ';'; END;
CREATE TRIGGER before_orders BEFORE INSERT ON orders FOR EACH ROW BEGIN SET NEW.note = CONCAT('t;', NEW.note); END;
CREATE TRIGGER after_orders AFTER DELETE ON orders FOR EACH ROW DELETE FROM nothing;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO BEGIN DELETE FROM nothing; END;
"#;

async fn execute(at: &Endpoint, sql: &str) {
    let work = async |connection: &mut Conn| connection.query_drop(sql).await;
    with(at, MINUTE, work).await.unwrap_or_else(|error| panic!("{}: {error}", &sql[..sql.len().min(200)]));
}

/// A MariaDB with the database `source`; nothing if this machine has none, or no mydumper, and `CI` is not set.
async fn filled() -> Option<Server> {
    let has_mydumper = which::which("mydumper").is_ok();
    assert!(!ci() || has_mydumper, "no mydumper on this machine, and CI=true skips nothing");
    let server = server(EngineKind::Mariadb, "10.11", LabKind::Native).await.filter(|_| has_mydumper)?;
    execute(&server.at.in_database(""), SHOP).await;
    Some(server)
}

fn dump(server: &Server, to: &Path, options: &[&str]) {
    let Endpoint { host, port, user, password, .. } = &server.at;
    let output = Command::new("mydumper")
        .args(["--host", host, "--port", &port.to_string(), "--user", user, "--password", password])
        .args(["--triggers", "--routines", "--events", "--outputdir"])
        .arg(to)
        .args(options)
        .output()
        .expect("mydumper runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn restore(server: &Server, from: &Path, into: &str) -> Result<(Restored, Vec<String>), SnapshotError> {
    execute(&server.at.in_database(""), &format!("DROP DATABASE IF EXISTS `{into}`; CREATE DATABASE `{into}`")).await;
    let endpoint = server.at.in_database(into);
    let wanted = Snapshot {
        source: SnapshotSource::Mydumper { path: from.to_owned() },
        database: into.to_owned(),
        roles: None,
        production_rows: Default::default(),
    };
    let never = CancellationToken::new();
    let snapshot = snapshot::prepare(server.engine, &wanted, None, &never).await?;
    let request = RestoreRequest {
        host: server.host.as_ref(),
        endpoint: &endpoint,
        snapshot: &snapshot,
        extensions: &[],
        cancel: &never,
        deadline: MINUTE,
    };
    let mut told = Vec::new();
    let restored = snapshot::restore(&request, &mut |what, _, _| told.push(what.to_owned())).await?;
    Ok((restored, told))
}

/// What `rehearsal diff` says, and its exit code.
fn differences(one: &Endpoint, other: &Endpoint) -> (i32, String) {
    let url = |Endpoint { host, port, user, password, database, .. }: &Endpoint| {
        format!("mariadb://{user}:{password}@{host}:{port}/{database}")
    };
    let output =
        Command::new(env!("CARGO_BIN_EXE_rehearsal")).args(["diff", &url(one), &url(other)]).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dumped_comes_back() {
    let Some(server) = filled().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let source = server.at.in_database("source");
    // One file a table, several, and compressed.
    for (name, options) in
        [("whole", &[][..]), ("rows", &["--rows", "1000"]), ("gz", &["--compress", "--rows", "1000"])]
    {
        let path = folder.path().join(name);
        dump(&server, &path, &[&["--database", "source"], options].concat());
        let (restored, told) =
            restore(&server, &path, "shop").await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let rows: Vec<_> = restored.tables.iter().map(|table| (table.table.as_str(), table.rows)).collect();
        assert_eq!(rows, [("nothing", 0), ("od d.1", 1), ("orders", 5000), ("users", 5000)], "{name}");
        assert!(told.iter().any(|what| what.starts_with("restored source.users.")), "{told:?}");
        let (exit, said) = differences(&source, &server.at.in_database("shop"));
        assert_eq!(exit, 0, "{name}: {said}");
        let next = "SELECT CONCAT(NEXTVAL(shop.numbers), ' ', (SELECT default_character_set_name FROM information_schema.schemata
            WHERE schema_name = 'shop'))";
        assert_eq!(server.ask(next).await, ["7 latin1"], "{name}");
    }
    // The comparison can tell.
    execute(&server.at, "UPDATE shop.users SET name = 'x' WHERE id = 7").await;
    assert_eq!(differences(&source, &server.at.in_database("shop")).0, 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_with_file_and_line() {
    let Some(server) = filled().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dump");
    dump(&server, &path, &["--database", "source", "--compress"]);
    let files = |ending: &str| -> PathBuf {
        let found = std::fs::read_dir(&path).expect("there").flatten().map(|entry| entry.path());
        found.into_iter().find(|path| path.to_string_lossy().ends_with(ending)).expect("a file")
    };

    let rows = files("source.users.sql.gz");
    let whole = std::fs::read(&rows).expect("read");
    std::fs::write(&rows, &whole[..whole.len() / 2]).expect("written");
    let error = restore(&server, &path, "shop").await.expect_err("half a file");
    let said = rehearsal::event::with_causes(&error);
    assert!(said.contains("source.users.sql.gz"), "{said}");
    assert!(!said.contains("größe"), "a row's value: {said}");
    std::fs::write(&rows, whole).expect("written");

    std::fs::remove_file(files("source-schema-post.sql.gz")).expect("removed");
    let routines = path.join("source-schema-post.sql");
    std::fs::write(
        &routines,
        "SET @a = 1;\nCREATE PROCEDURE q()\nBEGIN\n  SELECT 1; \nEND;\nCREATE PROCEDURE r() SELEC 1;\n",
    )
    .expect("written");
    let error = restore(&server, &path, "shop").await.expect_err("no routine");
    let said = rehearsal::event::with_causes(&error);
    assert!(said.starts_with("could not restore source-schema-post.sql: line 6: "), "{said}");

    std::fs::remove_file(files("source.orders-schema.sql.gz")).expect("removed");
    let error = restore(&server, &path, "shop").await.expect_err("a table is missing");
    assert!(matches!(error, SnapshotError::NoTableFile { .. }), "{error:?}");
    server.end().await;
}

/// As plain dumps, those of MariaDB are read by MySQL as far as it knows what they say.
#[tokio::test(flavor = "multi_thread")]
async fn from_mariadb_into_mysql() {
    let Some(from) = filled().await else { return };
    let Some(into) = server(EngineKind::Mysql, "9.7", LabKind::Docker).await else { return from.end().await };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dump");
    execute(&from.at, "DROP SEQUENCE source.numbers").await;
    dump(&from, &path, &["--database", "source", "--rows", "1000"]);
    let (restored, _) = restore(&into, &path, "shop").await.unwrap_or_else(|error| panic!("{error:?}"));
    let rows: Vec<_> = restored.tables.iter().map(|table| (table.table.as_str(), table.rows)).collect();
    assert_eq!(rows, [("nothing", 0), ("od d.1", 1), ("orders", 5000), ("users", 5000)]);
    let whole = "SELECT CONCAT_WS(' ', SUM(CRC32(name)), SUM(CRC32(raw)), COUNT(*)) FROM users";
    let source = async |sql: &str| {
        let ask = async |connection: &mut Conn| connection.query::<String, _>(sql).await;
        with(&from.at.in_database("source"), MINUTE, ask).await.expect("it answers")
    };
    assert_eq!(into.ask(whole).await, source(whole).await);
    into.end().await;
    from.end().await;
}
