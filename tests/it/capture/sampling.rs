//! Samples of a real Postgres: small, closed under their references, with everything that rows are rarely like.

use std::collections::BTreeSet;

use rehearsal::snapshot::capture::Masking;
use rehearsal::snapshot::store::StoredSample;

use super::masking::{assert_without, content, masking};
use super::*;

const SHOP: &str = r#"
    CREATE TYPE state AS ENUM ('new', 'paid', 'sent', 'refunded');
    CREATE TABLE regions (code text PRIMARY KEY, name text NOT NULL);
    CREATE TABLE users (id bigint PRIMARY KEY, email varchar(80) NOT NULL UNIQUE, manager bigint REFERENCES users,
        region char(4) NOT NULL, tags text[], joined date NOT NULL, shouted text GENERATED ALWAYS AS (upper(email)) STORED);
    CREATE TABLE orders (tenant integer, no integer, customer bigint NOT NULL REFERENCES users, state state NOT NULL,
        kind text NOT NULL, note text, amount numeric(12, 2) NOT NULL, doc jsonb NOT NULL, PRIMARY KEY (tenant, no));
    CREATE TABLE lines (id bigint PRIMARY KEY, tenant integer NOT NULL, order_no integer NOT NULL, photo bytea,
        FOREIGN KEY (tenant, order_no) REFERENCES orders);
    CREATE TABLE teams (id integer PRIMARY KEY, lead integer);
    CREATE TABLE members (id integer PRIMARY KEY, team integer NOT NULL REFERENCES teams);
    ALTER TABLE teams ADD FOREIGN KEY (lead) REFERENCES members DEFERRABLE INITIALLY DEFERRED;
    CREATE TABLE letters (id integer PRIMARY KEY, to_email varchar(80) REFERENCES users (email));
    CREATE TABLE comments (id integer PRIMARY KEY, subject_type text NOT NULL, subject_id text NOT NULL);
    CREATE TABLE sources (id integer PRIMARY KEY);
    CREATE TABLE events (id bigint, at date NOT NULL, who bigint REFERENCES users, payload text, source integer, PRIMARY KEY (id, at))
        PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
    CREATE TABLE events_2 (payload text, source integer, who bigint, at date NOT NULL, id bigint NOT NULL);
    ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
    ALTER TABLE events_1 ADD FOREIGN KEY (source) REFERENCES sources;
    INSERT INTO sources SELECT n FROM generate_series(1, 900) n;
    CREATE TABLE readings (at date NOT NULL, value float8);
    CREATE TABLE fine_readings (grade integer) INHERITS (readings);
    CREATE TABLE audit (what text);
    CREATE EXTENSION citext;
    CREATE TABLE brands (name citext PRIMARY KEY);
    CREATE TABLE shelves (id integer PRIMARY KEY, brand citext NOT NULL REFERENCES brands);
    INSERT INTO brands SELECT 'Brand' || n FROM generate_series(1, 900) n;
    INSERT INTO shelves SELECT n, 'bRAND' || n % 900 + 1 FROM generate_series(1, 3000) n;
    INSERT INTO regions VALUES ('eu', 'Europe'), ('us', 'America'), ('as', 'Asia');
    INSERT INTO users SELECT n, format('zu%s@zq-corp.com', md5('u' || n)), CASE WHEN n > 1 THEN n / 2 END,
        (ARRAY['eu', 'us'])[n % 2 + 1], CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE ARRAY['a', 'b' || n] END, date '2000-01-01' + n % 5000
      FROM generate_series(1, 4000) n;
    INSERT INTO orders SELECT n % 7, n, n % 4000 + 1, (ARRAY['new', 'paid', 'sent'])[n % 3 + 1]::state,
        CASE WHEN n = 777 THEN 'gift' ELSE 'plain' END, CASE WHEN n = 4321 THEN NULL WHEN n = 4322 THEN '' ELSE 'thanks ' || n END,
        CASE WHEN n = 99 THEN -5 ELSE n * 1.5 END, CASE WHEN n = 55 THEN '{"v": 2, "items": [1]}' ELSE jsonb_build_object('v', n) END
      FROM generate_series(1, 10000) n;
    UPDATE orders SET state = 'refunded' WHERE no = 5000;
    INSERT INTO lines SELECT n, n % 10000 % 7, n % 10000, CASE WHEN n % 2 = 0 THEN decode(md5('l' || n), 'hex') END
      FROM generate_series(1, 20000) n WHERE n % 10000 > 0;
    INSERT INTO teams SELECT n, NULL FROM generate_series(1, 500) n;
    INSERT INTO members SELECT n, n % 500 + 1 FROM generate_series(1, 2000) n;
    UPDATE teams SET lead = id * 3;
    INSERT INTO letters SELECT n, (SELECT email FROM users WHERE id = n % 4000 + 1) FROM generate_series(1, 3000) n;
    INSERT INTO comments SELECT n, CASE WHEN n = 3000 THEN 'Team' WHEN n % 2 = 0 THEN 'User' ELSE 'Line' END, CASE WHEN n = 3000 THEN '7' ELSE (n % 4000 + 1)::text END
      FROM generate_series(1, 6000) n;
    INSERT INTO comments SELECT n, 'User', 'u' || n FROM generate_series(6001, 6100) n;
    INSERT INTO events SELECT n, date '2024-01-01' + n % 360, n % 4000 + 1,
        CASE WHEN n = 1234 THEN '--- !ruby/hash:Basket' || chr(10) || 'a: 1' ELSE format('{"step": %s}', n) END, n % 900 + 1 FROM generate_series(1, 5000) n;
    INSERT INTO readings SELECT date '2024-01-01' + n % 100, n FROM generate_series(1, 2000) n;
    INSERT INTO fine_readings SELECT date '2024-01-01', n, n % 5 FROM generate_series(1, 2000) n;
    INSERT INTO audit SELECT 'the same' FROM generate_series(1, 300);
    ANALYZE
"#;

const RULES: &str = r#"
    [sample]
    rows = "1%"
    seed = 7
    children = { depth = 1, most = 2 }
    [sample.tables]
    regions = "all"
    audit = 10
    [[reference]]
    type = "comments.subject_type"
    id = "comments.subject_id"
    to = { User = "users.id", Line = "lines.id", Team = "teams.id" }
    [[mask]]
    column = "users.email"
    as = "email"
    [[mask]]
    column = "orders.note"
    as = "text"
    [[mask]]
    column = ["regions.*", "users.*", "orders.*", "lines.*", "teams.*", "members.*", "comments.*", "events*.*", "*readings.*", "audit.*", "brands.*", "shelves.*", "sources.*"]
    as = "keep"
    reason = "made up"
"#;

const KEY: &str = "a key for the tests of sampling";

async fn sampled(from: &Endpoint, folder: &Path, masking: &Masking) -> Captured {
    let cancel = CancellationToken::new();
    let request = CaptureRequest { masking: Some(masking), part_bytes: 65_536, ..request(from, folder, &cancel) };
    let captured = capture(&request, &mut |_| {}).await;
    captured.unwrap_or_else(|error| panic!("{}", rehearsal::commands::with_causes(&error)))
}

async fn texts(endpoint: &Endpoint, sql: &str) -> Vec<String> {
    open(endpoint).await.client.query(sql, &[]).await.expect("it answers").iter().map(|row| row.get(0)).collect()
}

/// The rows of each table, in no order.
fn rows(folder: &Path, manifest: &Manifest) -> BTreeMap<String, BTreeSet<String>> {
    let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (stored, chunk) in manifest.chunks() {
        let stored_rows = std::fs::read(folder.join(DATA).join(&chunk.file)).expect("the manifest names it");
        let text = zstd::decode_all(&*stored_rows).expect("a chunk is a frame");
        let lines = String::from_utf8(text).expect("it is UTF-8");
        rows.entry(stored.table.shown()).or_default().extend(lines.lines().map(str::to_owned));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_sample_has_all_that_production_is_like() {
    let (Some(from), Some(into)) = (database().await, database().await) else { return };
    run(&from, SHOP).await;
    let personal =
        texts(&from, "SELECT email::text FROM users UNION ALL SELECT note FROM orders WHERE note <> ''").await;
    let folder = tempfile::tempdir().unwrap();
    let captured = sampled(&from, folder.path(), &masking(RULES, KEY)).await;
    let manifest = captured.manifest;
    assert!(manifest.is_sampled && manifest.is_masked);
    let verified = verify(folder.path(), &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!((verified.damaged.len(), verified.rows), (0, manifest.rows()));
    assert_without(&content(folder.path(), &manifest), &personal);
    assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);

    // Restored with all its keys and constraints, which the server holds against its rows.
    let restored = restored(folder.path(), &into).await.unwrap();
    assert_eq!(restored.notes, Vec::<String>::new());
    for none in [
        "SELECT conname::text FROM pg_constraint WHERE NOT convalidated",
        "SELECT id::text FROM comments c WHERE subject_id ~ '^[0-9]+$' AND NOT CASE subject_type WHEN 'User' THEN EXISTS (SELECT FROM users u WHERE u.id::text = subject_id)
           WHEN 'Team' THEN EXISTS (SELECT FROM teams t WHERE t.id::text = subject_id)
           ELSE EXISTS (SELECT FROM lines l WHERE l.id::text = subject_id) END",
        "SELECT email::text FROM users WHERE shouted <> upper(email)",
    ] {
        assert_eq!(texts(&into, none).await, Vec::<String>::new(), "{none}");
    }
    // What is rare is there, and so are the least and the greatest.
    for same in [
        "SELECT DISTINCT state::text FROM orders ORDER BY 1",
        "SELECT DISTINCT kind FROM orders ORDER BY 1",
        "SELECT DISTINCT subject_type FROM comments ORDER BY 1",
        "SELECT coalesce(note, 'none') FROM orders WHERE note IS NULL OR note = '' ORDER BY 1",
        "SELECT format('%s %s %s %s', min(amount), max(amount), min(no), max(no)) FROM orders",
        "SELECT format('%s %s', min(joined), max(joined)) FROM users",
        "SELECT DISTINCT string_agg(key, ',' ORDER BY key) FROM orders, jsonb_object_keys(doc) key GROUP BY tenant, no ORDER BY 1",
        "SELECT payload FROM events WHERE payload LIKE '---%'",
        "SELECT DISTINCT format('%s %s', tags IS NULL, cardinality(tags)) FROM users ORDER BY 1",
        "SELECT DISTINCT format('%s %s', state, kind) FROM orders ORDER BY 1",
        "SELECT DISTINCT format('%s %s', tenant, state) FROM orders ORDER BY 1",
        "SELECT DISTINCT (photo IS NULL)::text FROM lines ORDER BY 1",
        "SELECT DISTINCT grade::text FROM fine_readings ORDER BY 1",
        "SELECT format('%s %s', code, name) FROM regions ORDER BY 1",
    ] {
        assert_eq!(texts(&into, same).await, texts(&from, same).await, "{same}");
    }
    let rows_of = |name: &str| manifest.tables.iter().find(|stored| stored.table.name == name).unwrap();
    assert_eq!((rows_of("audit").rows, rows_of("regions").rows), (10, 3), "ten rows that are alike lie in ten places");
    for stored in &manifest.tables {
        let sql = format!("SELECT count(*)::text FROM ONLY {}", stored.table.name);
        assert_eq!(texts(&from, &sql).await, [stored.production_rows.to_string()], "{}", stored.table.name);
    }
    let production: u64 = manifest.tables.iter().map(|stored| stored.production_rows).sum();
    assert!(manifest.rows() * 5 < production, "{} of {production} rows", manifest.rows());

    let StoredSample { seed, tables, orphans } = manifest.sample.as_ref().unwrap();
    assert_eq!(*seed, 7);
    let orders = tables.iter().find(|table| table.table == "orders").unwrap();
    assert_eq!((orders.rows.as_str(), orders.missed.as_slice()), ("1%", [].as_slice()));
    assert!(orders.added > Some(5) && orders.rare >= Some(5) && orders.drawn < orders.found, "{orders:?}");
    let orphans: Vec<&str> = orphans.iter().map(|orphans| orphans.table.as_str()).collect();
    assert!(orphans.contains(&"users"), "comments on users that never were: {orphans:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_decides_which_rows() {
    let Some(from) = database().await else { return };
    run(&from, SHOP).await;
    let taken = async |rules: &str, workers: usize| {
        let folder = tempfile::tempdir().unwrap();
        let (cancel, masking) = (CancellationToken::new(), masking(rules, KEY));
        let request = CaptureRequest { masking: Some(&masking), workers, ..request(&from, folder.path(), &cancel) };
        let manifest = capture(&request, &mut |_| {}).await.unwrap().manifest;
        rows(folder.path(), &manifest)
    };
    let once = taken(RULES, 3).await;
    assert_eq!(once, taken(RULES, 1).await);
    // The server lays its rows out anew.
    for table in ["orders", "users", "events_2", "readings", "fine_readings"] {
        run(&from, &format!("VACUUM FULL {table}")).await;
    }
    assert_eq!(once, taken(RULES, 2).await);
    let other = taken(&RULES.replace("seed = 7", "seed = 8"), 3).await;
    assert!(once["orders"] != other["orders"] && once["users"] != other["users"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_sample_is_drawn_on_the_server_and_what_is_misspelt_stops_it() {
    let Some(from) = database().await else { return };
    run(&from, SHOP).await;
    let folder = tempfile::tempdir().unwrap();
    let plain = format!("{RULES}\n[coverage]\non = false\n")
        .replace("children = { depth = 1, most = 2 }", "children = { depth = 0 }");
    let manifest = sampled(&from, folder.path(), &masking(&plain, KEY)).await.manifest;
    let orders = manifest.tables.iter().find(|stored| stored.table.name == "orders").unwrap();
    assert_eq!(orders.production_rows, 10_000);
    let tables = &manifest.sample.as_ref().unwrap().tables;
    assert!(tables.iter().all(|table| table.found.is_none() && table.added.is_none()), "{tables:?}");
    let room = tempfile::tempdir().unwrap();
    for (from_rules, to, told) in [
        (
            "regions = \"all\"",
            "reggions = \"all\"",
            "no table is called reggions, which line 7 of the rules file names",
        ),
        ("\"comments.subject_id\"", "\"comments.subject\"", "comments.subject"),
    ] {
        let cancel = CancellationToken::new();
        let (at, masking) = (room.path().join("none"), masking(&RULES.replace(from_rules, to), KEY));
        let refused =
            capture(&CaptureRequest { masking: Some(&masking), ..request(&from, &at, &cancel) }, &mut |_| {}).await;
        let refused = refused.unwrap_err();
        assert!(refused.is_usage() && refused.hint().is_some() && !at.exists(), "{refused}");
        assert!(refused.to_string().contains(told), "{refused}");
    }
}
