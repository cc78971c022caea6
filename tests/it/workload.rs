//! What a workload writes to, on real servers: seen whatever the statements do to their transactions, or told that it was not.

use std::path::Path;
use std::time::Duration;

use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::probing::{Request, Session};
use rehearsal::engine::workload::{Looked, Template, Workload, written_by};

use crate::mysql::servers;
use crate::support::server::database;

const TIMEOUT: Duration = Duration::from_secs(10);

/// One file, and what is seen of its first iteration: tables, and why that may not be all.
async fn looked(at: &Endpoint, file: &str, text: &str) -> Looked {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(file);
    std::fs::write(&path, text).expect("the folder can be written to");
    let template = Template::read(at.engine, &path, Path::new(folder.path()), &|_, _| None)
        .unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let request = Request { superuser: at, app: at, timeout: TIMEOUT, touched: None };
    let mut workload = Workload::prepare(template, &request).await.expect("it needs no rows");
    let mut session = Session::open(at, TIMEOUT).await.expect("the server answers");
    let looked = workload.iteration().looked_at(&mut session, at).await;
    // As it is run from then on.
    workload.iteration().run(&mut session).await.unwrap_or_else(|stopped| panic!("{text}: {stopped:?}"));
    session.close().await;
    looked
}

async fn check(at: &Endpoint, text: &str, tables: &[&str], unseen: Option<&str>) {
    let looked = looked(at, "buy.sql", text).await;
    let engine = at.engine;
    looked.result.unwrap_or_else(|stopped| panic!("{engine:?}: {text}: {stopped:?}"));
    assert_eq!(looked.tables.iter().map(String::as_str).collect::<Vec<_>>(), tables, "{engine:?}: {text}");
    assert_eq!(looked.unseen.as_deref(), unseen, "{engine:?}: {text}");
}

async fn count(session: &mut Session, table: &str) -> String {
    let rows = session.send(&format!("SELECT COUNT(*) FROM {table}")).await.expect("it can be counted");
    rows[0][0].clone().expect("a number")
}

#[tokio::test]
async fn what_is_committed_on_the_way_is_seen_or_told_on_mysql() {
    for server in servers().await {
        let at = &server.at;
        let mut session = Session::open(at, TIMEOUT).await.expect("the server answers");
        for sql in [
            "CREATE TABLE a (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int)",
            "CREATE TABLE b (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int)",
            "CREATE TABLE c (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int)",
            "CREATE PROCEDURE plain() INSERT INTO a (n) VALUES (1)",
            "CREATE PROCEDURE commits() BEGIN INSERT INTO a (n) VALUES (1); COMMIT; END",
            "CREATE PROCEDURE whole() BEGIN START TRANSACTION; INSERT INTO b (n) VALUES (1); COMMIT; END",
        ] {
            session.send(sql).await.unwrap_or_else(|failure| panic!("{sql}: {failure:?}"));
        }
        let by_itself = |line: usize| format!("buy.sql:{line} commits by itself");
        check(at, "INSERT INTO a (n) VALUES (1);\n", &["a"], None).await;
        check(at, "CALL plain();\n", &["a"], None).await;
        check(at, "CALL commits();\n", &[], Some(&by_itself(1))).await;
        check(at, "INSERT INTO c (n) VALUES (1);\nCALL whole();\n", &["c"], Some(&by_itself(2))).await;
        check(at, "BEGIN;\nINSERT INTO a (n) VALUES (1);\nTRUNCATE b;\nCOMMIT;\n", &["a"], Some(&by_itself(3))).await;
        let isolated =
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSTART TRANSACTION;\nUPDATE a SET n = 2;\nCOMMIT;\n";
        check(at, isolated, &["a"], None).await;
        let kept = "SET autocommit = 0;\nINSERT INTO a (n) VALUES (1);\nCOMMIT;\nINSERT INTO b (n) VALUES (1);\n";
        check(at, kept, &["a", "b"], None).await;
        check(
            at,
            "BEGIN;\nINSERT INTO a (n) VALUES (1);\nCOMMIT AND CHAIN;\nINSERT INTO b (n) VALUES (1);\n",
            &["a", "b"],
            None,
        )
        .await;
        check(at, "BEGIN;\nSAVEPOINT s;\nINSERT INTO a (n) VALUES (1);\nROLLBACK TO s;\nCOMMIT;\n", &["a"], None).await;
        if server.engine == EngineKind::Mariadb {
            let block =
                "DELIMITER //\nBEGIN NOT ATOMIC INSERT INTO a (n) VALUES (1); INSERT INTO b (n) VALUES (1); END//\n";
            check(at, block, &["a", "b"], None).await;
        }
        // What the last statement leaves open is committed, and seen by others.
        let before: usize = count(&mut session, "b").await.parse().expect("a number");
        check(at, kept, &["a", "b"], None).await;
        assert_eq!(count(&mut session, "b").await, (before + 2).to_string());
        let mut probing = Session::open(at, TIMEOUT).await.expect("the server answers");
        let of_probe = async |probing: &mut Session, sql: &str| written_by(probing, at, sql, server.engine).await;
        let (tables, unseen) = of_probe(&mut probing, "INSERT INTO a (n) VALUES (1)").await.expect("it is taken");
        assert_eq!((tables.len(), unseen), (1, None));
        let (tables, unseen) =
            of_probe(&mut probing, "INSERT INTO a (n) VALUES (1); COMMIT").await.expect("it is taken");
        assert_eq!((tables.len(), unseen.as_deref()), (0, Some("it commits by itself")));
    }
}

#[tokio::test]
async fn what_is_committed_on_the_way_is_seen_or_told_on_postgres() {
    let Some(at) = &database().await else { return };
    let mut session = Session::open(at, TIMEOUT).await.expect("the server answers");
    let schema = r#"
CREATE SCHEMA billing;
CREATE TABLE billing."my table" (n int);
CREATE TABLE a (n int);
CREATE TABLE parts (n int) PARTITION BY RANGE (n);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (n);
CREATE TABLE part_1_1 PARTITION OF part_1 FOR VALUES FROM (0) TO (10);
CREATE PROCEDURE plain() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a VALUES (1); END $$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$;
"#;
    session.send(schema).await.expect("the schema is right");
    check(at, "INSERT INTO billing.\"my table\" VALUES (1);\n", &["billing.\"my table\""], None).await;
    check(at, "INSERT INTO part_1_1 VALUES (1);\n", &["part_1", "part_1_1", "parts"], None).await;
    check(at, "CALL plain();\n", &["a"], None).await;
    check(at, "CALL commits();\n", &[], Some("buy.sql:1 commits by itself")).await;
    check(at, "DO $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$;\n", &[], Some("buy.sql:1 commits by itself"))
        .await;
    let isolated = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nUPDATE a SET n = 2;\n";
    check(at, isolated, &["a"], None).await;
    let chained = "BEGIN;\nINSERT INTO a VALUES (1);\nCOMMIT AND CHAIN;\nINSERT INTO part_1_1 VALUES (1);\n";
    let before: usize = count(&mut session, "parts").await.parse().expect("a number");
    check(at, chained, &["a", "part_1", "part_1_1", "parts"], None).await;
    assert_eq!(count(&mut session, "parts").await, (before + 2).to_string());
    let mut probing = Session::open(at, TIMEOUT).await.expect("the server answers");
    let (tables, unseen) =
        written_by(&mut probing, at, "INSERT INTO a VALUES (1)", at.engine).await.expect("it is taken");
    assert_eq!((tables.len(), unseen), (1, None));
    let (tables, unseen) = written_by(&mut probing, at, "CALL commits()", at.engine).await.expect("it is told");
    assert_eq!((tables.len(), unseen.as_deref()), (0, Some("it is refused in a transaction")));
}

/// What was committed before a serialization failure is not sent again, and what was undone is; the look goes on meanwhile.
#[tokio::test]
async fn what_was_committed_is_not_sent_again() {
    let Some(at) = &database().await else { return };
    let mut session = Session::open(at, TIMEOUT).await.expect("the server answers");
    // It fails for others' sake the first two times.
    let schema = "
CREATE TABLE first (n int);
CREATE TABLE second (n int);
CREATE SEQUENCE tries;
CREATE FUNCTION twice() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('tries') % 3 <> 0 THEN RAISE serialization_failure; END IF;
  RETURN 1;
END $$;
";
    session.send(schema).await.expect("the schema is right");
    for text in [
        "INSERT INTO first VALUES (1);\nBEGIN;\nINSERT INTO second VALUES (1);\nINSERT INTO second VALUES (twice());\nCOMMIT;\n",
        "BEGIN;\nINSERT INTO first VALUES (1);\nCOMMIT AND CHAIN;\nINSERT INTO second VALUES (1), (twice());\n",
        "INSERT INTO first VALUES (1);\nINSERT INTO second VALUES (1), (twice());\n",
    ] {
        check(at, text, &["first", "second"], None).await;
        assert_eq!((count(&mut session, "first").await, count(&mut session, "second").await), ("2".into(), "4".into()));
        session.send("TRUNCATE first, second").await.expect("nobody is in the way");
    }
}
