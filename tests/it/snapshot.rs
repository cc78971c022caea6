//! Dumps in every form that pg_dump writes, restored for real.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::connect::connect;
use rehearsal::engine::postgres::measure::Lineage;
use rehearsal::engine::postgres::restore::RestoreError;
use rehearsal::engine::postgres::session::ReleaseSession;
use rehearsal::scenario::{Compression, Extension, Snapshot, SnapshotSource};
use rehearsal::snapshot::{Bench, Offer, RestoreRequest, Restored, SnapshotError, check, prepare, restore};
use tokio_util::sync::CancellationToken;

use crate::support::elsewhere::Elsewhere;
use crate::support::local_host::LocalHost;
use crate::support::server::{self, database, programs};

/// Quotes, nulls, backslashes, a partitioned table, an owner, a grant, a function with semicolons in it.
const SHOP: &str = r"
    CREATE TABLE orders (id serial PRIMARY KEY, note text, amount numeric(12,2) NOT NULL DEFAULT 0 CHECK (amount >= 0));
    INSERT INTO orders (note, amount) SELECT CASE g % 3 WHEN 0 THEN NULL WHEN 1 THEN E'tab\tand \\. and ''quote''' ELSE E'\\.\n;' END, g
      FROM generate_series(1, 500) g;
    CREATE SCHEMA log;
    CREATE TABLE log.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
    CREATE TABLE log.events_2024 PARTITION OF log.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    INSERT INTO log.events SELECT '2024-03-01', 'x' FROM generate_series(1, 20);
    CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE plpgsql AS $f$ BEGIN RETURN $1 * 2; -- ';
      END; $f$;
";

async fn run(endpoint: &Endpoint, sql: &str) {
    connect(endpoint, Duration::from_secs(10))
        .await
        .expect("it answers")
        .client
        .batch_execute(sql)
        .await
        .expect("the SQL is right");
}

async fn shop() -> Option<Endpoint> {
    let endpoint = database().await?;
    run(&endpoint, SHOP).await;
    Some(endpoint)
}

fn dump(from: &Endpoint, to: &Path, args: &[&str]) {
    let status = Command::new(programs().expect("checked by database()").join("pg_dump"))
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &from.port.to_string(), "-f"])
        .arg(to)
        .args(args)
        .arg(&from.database)
        .status();
    assert!(status.expect("pg_dump runs").success());
}

fn snapshot(source: SnapshotSource) -> Snapshot {
    Snapshot { source, database: "rehearsal".into(), roles: None, production_rows: BTreeMap::new() }
}

fn sql(path: PathBuf, compression: Compression) -> Snapshot {
    snapshot(SnapshotSource::Sql { path, compression })
}

async fn restored(snapshot: &Snapshot, into: &Endpoint, extensions: &[Extension]) -> Result<Restored, SnapshotError> {
    let host = LocalHost::beside(into);
    let cancel = CancellationToken::new();
    let bench = Bench { host: &host, folder: host.folder.path(), version: "15", node: None };
    let prepared = prepare(EngineKind::Postgres, snapshot, Some(bench), &cancel).await?;
    let (superuser, database) = ("postgres", into.database.as_str());
    let offer =
        Offer { version: "15", node: None, superuser, database, extensions, replicated: false, host: Some(&host) };
    check(&prepared, &offer).await?;
    let deadline = Duration::from_secs(120);
    let request =
        RestoreRequest { host: &host, endpoint: into, snapshot: &prepared, extensions, cancel: &cancel, deadline };
    let restored = restore(&request, &mut |_, _, _| {}).await;
    assert!(!host.folder.path().join("snapshot").exists(), "the copy on the host is removed");
    restored
}

/// Its schema and rows as pg_dump tells them, less what differs from dump to dump.
fn told(endpoint: &Endpoint) -> String {
    let folder = tempfile::tempdir().expect("the test's own files can be written");
    let path = folder.path().join("told.sql");
    dump(endpoint, &path, &[]);
    let text = std::fs::read_to_string(path).expect("the test's own files can be written");
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn write_compressed(path: &Path, compression: Compression, content: &[u8]) {
    let file = std::fs::File::create(path).expect("the test's own files can be written");
    match compression {
        Compression::None => (&file).write_all(content).expect("the test's own files can be written"),
        Compression::Gzip => {
            let mut to = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            to.write_all(content).expect("the test's own files can be written");
            to.finish().expect("the test's own files can be written");
        }
        Compression::Zstd => zstd::stream::copy_encode(content, file, 1).expect("the test's own files can be written"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_dump_comes_back_as_it_was() {
    let Some(from) = shop().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    dump(&from, &at("shop.sql"), &[]);
    let text = std::fs::read(at("shop.sql")).unwrap();
    write_compressed(&at("shop.sql.gz"), Compression::Gzip, &text);
    write_compressed(&at("shop.sql.zst"), Compression::Zstd, &text);
    dump(&from, &at("shop.custom"), &["-Fc"]);
    dump(&from, &at("shop.folder"), &["-Fd", "-j2"]);
    let forms = [
        sql(at("shop.sql"), Compression::None),
        sql(at("shop.sql.gz"), Compression::Gzip),
        sql(at("shop.sql.zst"), Compression::Zstd),
        snapshot(SnapshotSource::Custom { path: at("shop.custom") }),
        snapshot(SnapshotSource::Directory { path: at("shop.folder") }),
    ];
    let expected = told(&from);
    for form in forms {
        let into = database().await.unwrap();
        let restored = restored(&form, &into, &[]).await.unwrap();
        let rows: Vec<_> = restored.tables.iter().map(|table| (table.table.as_str(), table.rows)).collect();
        assert_eq!(rows, [("log.events", 20), ("orders", 500)], "{form:?}");
        assert!(restored.tables.iter().all(|table| table.bytes >= 8192), "{restored:?}");
        assert_eq!(restored.notes, Vec::<String>::new());
        assert_eq!(told(&into), expected, "{form:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_makes_its_database_is_restored_into_it() {
    let Some(from) = shop().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sql");
    dump(&from, &path, &["-C"]);
    let expected = told(&from);
    let form = sql(path, Compression::None);
    let elsewhere = restored(&form, &database().await.unwrap(), &[]).await.unwrap_err();
    assert!(
        matches!(&elsewhere, SnapshotError::OtherDatabase { found, .. } if *found == [from.database.clone()]),
        "{elsewhere}"
    );
    // Into the very name it came from; what stood there makes way.
    run(&from, "DROP TABLE orders").await;
    restored(&form, &from, &[]).await.unwrap();
    assert_eq!(told(&from), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_the_schema_public_makes_it_itself() {
    let Some(from) = shop().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (script, archive) = (folder.path().join("shop.sql"), folder.path().join("shop.dump"));
    dump(&from, &script, &["--schema=public"]);
    dump(&from, &archive, &["--schema=public", "-Fc"]);
    for form in [sql(script, Compression::None), snapshot(SnapshotSource::Custom { path: archive })] {
        let into = database().await.unwrap();
        let restored = restored(&form, &into, &[]).await.unwrap();
        assert_eq!(restored.tables.iter().map(|table| table.table.as_str()).collect::<Vec<_>>(), ["orders"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_server_is_dumped_and_left_alone() {
    let Some(from) = shop().await else { return };
    set_database(&from, "snapshot_live").await;
    let into = database().await.unwrap();
    // A process cannot safely change its own environment: the test runs itself once more, with the variable set.
    let variable = "REHEARSAL_TEST_SOURCE_URL";
    if std::env::var_os(variable).is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "snapshot::a_live_server_is_dumped_and_left_alone", "--nocapture"])
            .env(variable, format!("postgresql://postgres:secret@127.0.0.1:{}/{}", from.port, from.database))
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let expected =
        restored(&snapshot(SnapshotSource::Url { variable: variable.into(), rules: None }), &into, &[]).await.unwrap();
    let rows: Vec<_> = expected.tables.iter().map(|table| (table.table.as_str(), table.rows)).collect();
    assert_eq!(rows, [("log.events", 20), ("orders", 500)]);
    assert_eq!(of_database(&into).await, of_database(&from).await);
}

/// Settings, an owner and privileges of the database itself. Roles are the server's, so each test names its own.
async fn set_database(at: &Endpoint, role: &str) {
    let name = &at.database;
    run(at, &format!("DROP ROLE IF EXISTS {role}, {role}_owner; CREATE ROLE {role}; CREATE ROLE {role}_owner")).await;
    run(
        at,
        &format!(
            "ALTER DATABASE {name} OWNER TO {role}_owner; ALTER DATABASE {name} SET search_path = log, public;
             ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'; ALTER DATABASE {name} SET default_transaction_read_only = on;
             ALTER DATABASE {name} SET statement_timeout = '7s'; ALTER DATABASE {name} CONNECTION LIMIT 17;
             ALTER ROLE {role} IN DATABASE {name} SET statement_timeout = '5s';
             REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {role} WITH GRANT OPTION;
             SET ROLE {role}; GRANT CONNECT ON DATABASE {name} TO pg_monitor"
        ),
    )
    .await;
}

/// What a step's session begins with, and what the catalogs hold.
async fn of_database(at: &Endpoint) -> Vec<String> {
    let connecting = ReleaseSession::connect(at, at, Lineage::default(), Duration::from_secs(10));
    let mut session = connecting.await.expect("the server answers");
    let mut told = Vec::new();
    for question in [
        "SHOW search_path",
        "SHOW timezone",
        "SHOW statement_timeout",
        "SHOW default_transaction_read_only",
        "SELECT datdba::regrole || ' ' || datconnlimit || ' ' || datacl::text FROM pg_database WHERE datname = current_database()",
        "SELECT string_agg(setrole::regrole || ' ' || setconfig::text, '; ' ORDER BY setrole)
           FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()",
    ] {
        let rows = session.rows_as_text(question, None, &CancellationToken::new()).await.expect("the SQL is right");
        told.push(rows[0][0].clone().unwrap_or_default());
    }
    session.close().await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_privileges_of_the_database_come_with_an_archive() {
    let Some(from) = shop().await else { return };
    set_database(&from, "snapshot_set").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.dump");
    dump(&from, &path, &["-Fc"]);
    let form = snapshot(SnapshotSource::Custom { path });
    let into = database().await.unwrap();
    let restored_into = restored(&form, &into, &[]).await.unwrap();
    assert_eq!(restored_into.notes, Vec::<String>::new());
    let told = of_database(&into).await;
    assert_eq!(told[..2], ["log, public", "Asia/Tokyo"]);
    assert_eq!(told, of_database(&from).await);

    // A role that nothing else names is no reason to refuse the snapshot.
    let from = database().await.unwrap();
    let at = |sql: &str| sql.replace("DB", &from.database);
    run(&from, &at("CREATE ROLE snapshot_gone; ALTER DATABASE DB SET jit = off; ALTER ROLE snapshot_gone IN DATABASE DB SET jit = on")).await;
    run(&from, &at("GRANT CONNECT ON DATABASE DB TO snapshot_gone")).await;
    let path = folder.path().join("gone.dump");
    dump(&from, &path, &["-Fc"]);
    run(&from, &at("REVOKE ALL ON DATABASE DB FROM snapshot_gone; DROP ROLE snapshot_gone")).await;
    let into = database().await.unwrap();
    let restored = restored(&snapshot(SnapshotSource::Custom { path }), &into, &[]).await.unwrap();
    insta::assert_snapshot!(restored.notes.join("\n"), @r#"
    the database is without the setting jit of snapshot_gone: role "snapshot_gone" does not exist
    the database is without the privileges of snapshot_gone: role "snapshot_gone" does not exist
    "#);
    assert_eq!(of_database(&into).await.last().map(String::as_str), Some("- {jit=off}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_extensions_are_asked_for_beforehand_and_made_from_the_roles_file() {
    let Some(from) = shop().await else { return };
    run(&from, "CREATE ROLE snapshot_owner; CREATE ROLE snapshot_reader; ALTER TABLE orders OWNER TO snapshot_owner; GRANT SELECT ON orders TO snapshot_reader").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.dump");
    dump(&from, &path, &["-Fc"]);
    let expected = told(&from);
    let mut form = snapshot(SnapshotSource::Custom { path });
    let error = restored(&form, &database().await.unwrap(), &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "the snapshot needs roles that do not exist: snapshot_owner, snapshot_reader");
    assert!(error.is_usage() && error.hint().unwrap().contains("--roles-only"));

    // As pg_dumpall writes it: the superuser is in it, with another password; one of the roles exists already.
    run(
        &from,
        "ALTER TABLE orders OWNER TO postgres; REVOKE ALL ON orders FROM snapshot_reader; DROP ROLE snapshot_owner",
    )
    .await;
    let roles = folder.path().join("roles.sql");
    std::fs::write(
        &roles,
        "\\restrict x\nSET client_encoding = 'LATIN1';\nCREATE ROLE postgres;\nALTER ROLE postgres WITH NOSUPERUSER PASSWORD 'x';\n\
         CREATE ROLE snapshot_owner;\nALTER ROLE snapshot_owner WITH NOLOGIN;\nCREATE ROLE snapshot_reader;\n\\unrestrict x\n",
    )
    .unwrap();
    form.roles = Some(roles);
    let into = database().await.unwrap();
    restored(&form, &into, &[]).await.unwrap();
    assert_eq!(told(&into), expected);

    let missing = Extension { name: "nobody_wrote_this".into(), version: None };
    let error = restored(&snapshot(SnapshotSource::Empty), &into, &[missing]).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's installation lacks nobody_wrote_this");
    assert_eq!(
        error.hint().unwrap(),
        "apt-get install postgresql-15-nobody-wrote-this; in the Docker lab, the node's `extensions = [\"nobody_wrote_this\"]` does it"
    );
    let version = Extension { name: "plpgsql".into(), version: Some("0.1".into()) };
    let into = database().await.unwrap();
    run(&into, "DROP EXTENSION plpgsql").await;
    let error = restored(&snapshot(SnapshotSource::Empty), &into, &[version]).await.unwrap_err();
    assert!(matches!(error, SnapshotError::Engine(RestoreError::NoExtension { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_on_other_servers_are_neither_counted_nor_sampled() {
    let Some(into) = database().await else { return };
    let elsewhere = Elsewhere::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sql");
    std::fs::write(&path, elsewhere.tables()).unwrap();
    let restored = restored(&sql(path, Compression::None), &into, &[]).await.unwrap();
    elsewhere.assert_left_alone();
    let rows: Vec<_> = restored.tables.iter().map(|table| (table.table.as_str(), table.rows)).collect();
    assert_eq!(rows, [("events", 20), ("notes", 5), ("tags", 0)]);
    let note = "no statistics of events, notes as a whole: some of the rows are on another server, in foreign tables";
    assert_eq!(restored.notes, [note]);
    // Everything else has its statistics.
    let connection = connect(&into, Duration::from_secs(10)).await.unwrap();
    let sampled = "SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname = 'public' ORDER BY 1";
    let sampled: Vec<String> =
        connection.client.query(sampled, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(sampled, ["events_new"]);
}

/// The whole chain of an error's messages.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_dump_is_said_with_its_place() {
    let Some(into) = database().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = b"CREATE TABLE t (id int);\nCOPY t FROM stdin;\n1\nsecret\n\\.\n";
    write_compressed(&at("whole.gz"), Compression::Gzip, whole);
    let gz = std::fs::read(at("whole.gz")).unwrap();
    for (content, compression, expected, usage) in [
        (
            &b"SELECT 1;\nCREATE TABLE t (id intt);\n"[..],
            Compression::None,
            "line 2: type \"intt\" does not exist (42704)",
            false,
        ),
        (
            whole,
            Compression::None,
            "COPY t, line 2, column id: invalid input syntax for type integer: \"…\" (22P02)",
            false,
        ),
        (
            b"CREATE TABLE t (id int);\nCOPY t FROM stdin;\n1\n",
            Compression::None,
            "ends in the middle of a statement or of a table's rows",
            true,
        ),
        (&gz[..gz.len() - 12], Compression::Gzip, "is damaged or cut short", true),
        (
            b"-- Dumped from database version 99.1\nSELECT 1;\n",
            Compression::None,
            "comes from PostgreSQL 99.1, the node runs 15",
            true,
        ),
        (b"CREATE ROLE a;\n\\connect b\n", Compression::None, "it is a dump of a whole cluster", true),
        (b"PGDMP\x01\x0e", Compression::None, "is an archive of pg_dump, not SQL", true),
    ] {
        std::fs::write(at("bad.sql"), content).unwrap();
        let error = restored(&sql(at("bad.sql"), compression), &into, &[]).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(error.is_usage(), usage, "{text}");
        run(&into, "DROP TABLE IF EXISTS t").await;
    }
    let missing = restored(&sql(at("none.sql"), Compression::None), &into, &[]).await.unwrap_err();
    assert!(missing.is_usage() && missing.to_string().contains("could not read"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_cut_short_is_refused() {
    let Some(from) = shop().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.dump");
    dump(&from, &path, &["-Fc"]);
    let content = std::fs::read(&path).unwrap();
    for bytes in [content.len() / 3, content.len() - 100, 3] {
        std::fs::write(&path, &content[..bytes]).unwrap();
        let form = snapshot(SnapshotSource::Custom { path: path.clone() });
        let error = restored(&form, &database().await.unwrap(), &[]).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains("pg_restore"), "{text}");
    }
}

/// A file system of a few megabytes, gone with this.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Nothing where this user may not mount.
    fn new() -> Option<SmallDisk> {
        let folder = tempfile::Builder::new().prefix("rehearsal-small-").tempdir().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(folder.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            return None;
        }
        let disk = SmallDisk(folder);
        let owned = Command::new("chown").arg("postgres").arg(disk.0.path()).status();
        assert!(owned.is_ok_and(|status| status.success()), "chown");
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "umount");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_such() {
    // Checkpoints of the whole server fail meanwhile.
    let Some(server) = server::alone().await else { return };
    let Some(disk) = SmallDisk::new() else { return };
    let (admin, space) = (server.endpoint("postgres"), "small");
    run(&admin, &format!("CREATE TABLESPACE {space} LOCATION '{}'", disk.0.path().display())).await;
    run(&admin, &format!("CREATE DATABASE {space} TABLESPACE {space}")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.sql");
    std::fs::write(&path, "CREATE TABLE big AS SELECT g, repeat('x', 1000) AS x FROM generate_series(1, 40000) g;\n")
        .unwrap();
    let error = restored(&sql(path, Compression::None), &admin.in_database(space), &[]).await.unwrap_err();
    drop(server);
    assert!(matches!(error, SnapshotError::Restore { source: RestoreError::DiskFull, .. }), "{}", chain(&error));
    assert!(!error.is_usage() && error.hint().is_some());
}
