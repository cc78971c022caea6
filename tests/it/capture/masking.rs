//! Rows masked on their way into a snapshot, on a real server: nothing of anybody arrives, and what belonged together still does.

use std::path::PathBuf;

use rehearsal::scenario::rules::parse;
use rehearsal::snapshot::capture::Masking;
use rehearsal::snapshot::store::{MANIFEST, SCHEMA};

use super::*;

const PEOPLE: &str = "
    CREATE DOMAIN address AS varchar(60) CHECK (value LIKE '%@%');
    CREATE TABLE people (id integer PRIMARY KEY, email address NOT NULL UNIQUE, first_name text, last_name text,
        phone varchar(20), born date, code text, shouted text GENERATED ALWAYS AS (upper(email)) STORED, profile jsonb,
        aliases text[], secret bytea, active boolean NOT NULL DEFAULT true);
    CREATE UNIQUE INDEX by_code ON people (lower(code));
    CREATE TABLE orders (id integer PRIMARY KEY, customer address REFERENCES people (email) ON UPDATE CASCADE, note text,
        amount numeric(10, 2) NOT NULL);
    CREATE TABLE visits (at date NOT NULL, email text, agent text) PARTITION BY RANGE (at);
    CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
    CREATE TABLE visits_2 (agent text, email text, at date NOT NULL);
    ALTER TABLE visits ATTACH PARTITION visits_2 FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
    INSERT INTO people (id, email, first_name, last_name, phone, born, code, profile, aliases, secret)
    SELECT n, format('%s.%s@zq-corp.com', f, l), f, l, '+49 30 ' || 7100000 + n * 7919, date '1970-01-01' + n * 31, md5('code' || n),
        jsonb_build_object('contact', jsonb_build_object('email', format('%s%s@zq-home.org', l, n), 'since', 2000 + n % 20),
          'nick', 'Zn' || md5('nick' || n)),
        ARRAY[format('zq%s@aliases.net', md5('alias' || n)), NULL], convert_to('zqsecret' || md5('s' || n), 'UTF8')
      FROM (SELECT n, 'Zf' || translate(left(md5('f' || n), 12), '0123456789', 'ghijklmnop') f,
              'Zl' || translate(left(md5('l' || n), 12), '0123456789', 'ghijklmnop') l FROM generate_series(1, 200) n) names;
    INSERT INTO orders SELECT n, (SELECT email FROM people WHERE id = n % 200 + 1),
        'please call ' || (SELECT first_name FROM people WHERE id = n % 200 + 1), n * 1.5 FROM generate_series(1, 900) n;
    INSERT INTO orders VALUES (901, NULL, NULL, 1);
    INSERT INTO visits SELECT date '2024-01-01' + n % 360, (SELECT email FROM people WHERE id = n % 200 + 1), 'curl/7.' || n
      FROM generate_series(1, 600) n;
    ANALYZE";

const RULES: &str = r#"
    key = "env:UNUSED_HERE"
    [[mask]]
    column = "people.email"
    as = "email"
    [[mask]]
    column = "people.first_name"
    as = "first_name"
    [[mask]]
    column = "people.last_name"
    as = "last_name"
    [[mask]]
    column = "people.phone"
    as = "phone"
    [[mask]]
    column = "people.born"
    as = "date"
    [[mask]]
    column = "people.code"
    as = "format"
    [[mask]]
    column = "people.profile"
    as = { json = { paths = { "contact.email" = "email" }, rest = "format" } }
    [[mask]]
    column = "people.aliases"
    as = "email"
    [[mask]]
    column = "people.secret"
    as = { fixed = "gone" }
    [[mask]]
    column = "orders.note"
    as = "text"
    [[mask]]
    column = "visits.agent"
    as = "user_agent"
    [[domain]]
    columns = ["people.email", "visits.email"]
"#;

/// Whatever in the source is somebody's.
const PERSONAL: &str = "
    SELECT email::text FROM people UNION ALL SELECT first_name FROM people UNION ALL SELECT last_name FROM people
    UNION ALL SELECT phone FROM people UNION ALL SELECT code FROM people UNION ALL SELECT profile #>> '{contact,email}' FROM people
    UNION ALL SELECT profile ->> 'nick' FROM people UNION ALL SELECT aliases[1] FROM people
    UNION ALL SELECT encode(secret, 'hex') FROM people UNION ALL SELECT convert_from(secret, 'UTF8') FROM people
    UNION ALL SELECT split_part(email, '@', 1) FROM people UNION ALL SELECT note FROM orders WHERE note IS NOT NULL
    UNION ALL VALUES ('zq-corp'), ('zq-home'), ('aliases.net')";

const KEY: &str = "a key for the tests of masking";

pub fn masking(rules: &str, key: &str) -> Masking {
    let rules = parse(Path::new("rules.toml"), rules).unwrap_or_else(|errors| panic!("{:?}", errors.problems()));
    Masking { rules, key: key.to_owned() }
}

async fn masked(from: &Endpoint, folder: &Path, masking: &Masking) -> Result<Captured, CaptureError> {
    let cancel = CancellationToken::new();
    // Several chunks a table, and several sessions at once.
    let request = CaptureRequest { masking: Some(masking), part_bytes: 16_384, ..request(from, folder, &cancel) };
    capture(&request, &mut |_| {}).await
}

async fn texts(endpoint: &Endpoint, sql: &str) -> Vec<String> {
    open(endpoint).await.client.query(sql, &[]).await.expect("it answers").iter().map(|row| row.get(0)).collect()
}

/// All that lies in a folder, rows decompressed, in small letters.
pub fn content(folder: &Path, manifest: &Manifest) -> String {
    let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut all = read(folder.join(MANIFEST));
    for (_, chunk) in manifest.chunks() {
        let rows = zstd::decode_all(&*read(folder.join(DATA).join(&chunk.file)));
        all.extend(rows.expect("a chunk is a frame"));
    }
    for file in &manifest.schema {
        all.extend(read(folder.join(SCHEMA).join(&file.file)));
    }
    String::from_utf8_lossy(&all).to_lowercase()
}

pub fn assert_without(content: &str, personal: &[String]) {
    let found: Vec<&String> = personal.iter().filter(|one| content.contains(&one.to_lowercase())).collect();
    assert!(found.is_empty(), "{} of {}, such as {:?}", found.len(), personal.len(), found.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_anybody_arrives_and_all_still_fits() {
    let (Some(from), Some(into)) = (database().await, database().await) else { return };
    run(&from, PEOPLE).await;
    let personal = texts(&from, PERSONAL).await;
    assert!(personal.len() > 2000 && told(&from).contains(&personal[0]), "{}", personal.len());
    let folder = tempfile::tempdir().unwrap();
    let manifest = masked(&from, folder.path(), &masking(RULES, KEY)).await.unwrap().manifest;
    assert!(manifest.is_masked && !manifest.is_sampled);
    assert_without(&content(folder.path(), &manifest), &personal);
    let visits = manifest.tables.iter().find(|table| table.table.name == "visits_2").unwrap();
    let masks: Vec<String> = visits.masks.iter().map(|mask| format!("{} {}", mask.column, mask.transformer)).collect();
    assert_eq!(masks, ["agent user_agent", "email email"]);

    let restored = restored(folder.path(), &into).await.unwrap();
    assert_eq!(restored.notes, Vec::<String>::new());
    assert_without(&told(&into).to_lowercase(), &personal);
    for same in [
        "SELECT format('%s %s', p.id, o.id) FROM people p JOIN orders o ON o.customer = p.email ORDER BY p.id, o.id",
        "SELECT format('%s %s', p.id, v.at) FROM people p JOIN visits v ON v.email = p.email ORDER BY p.id, v.at",
        "SELECT format('%s %s %s', count(*), count(customer), sum(amount)) FROM orders",
        "SELECT format('%s %s', count(DISTINCT email), count(DISTINCT lower(code))) FROM people",
        "SELECT format('%s %s', id, profile #>> '{contact,since}' ~ '^[0-9]{4}$') FROM people ORDER BY id",
    ] {
        assert_eq!(texts(&into, same).await, texts(&from, same).await, "{same}");
    }
    let none = [
        "SELECT email::text FROM people WHERE shouted <> upper(email) OR email NOT LIKE '%_@_%'",
        "SELECT conname::text FROM pg_constraint WHERE NOT convalidated",
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid",
        "SELECT email::text FROM people WHERE aliases[1] NOT LIKE '%_@_%' OR aliases[2] IS NOT NULL OR secret <> 'gone'",
        "SELECT id::text FROM people WHERE profile #>> '{contact,email}' NOT LIKE '%_@_%'",
    ];
    for sql in none {
        assert_eq!(texts(&into, sql).await, Vec::<String>::new(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_alone_decides_about_values() {
    let Some(from) = database().await else { return };
    run(&from, PEOPLE).await;
    let hashes = async |key: &str| {
        let folder = tempfile::tempdir().unwrap();
        let manifest = masked(&from, folder.path(), &masking(RULES, key)).await.unwrap().manifest;
        let rows: Vec<String> = manifest.chunks().map(|(_, chunk)| chunk.rows_blake3.clone()).collect();
        assert!(rows.len() > 5, "{} chunks", rows.len());
        rows
    };
    let (once, again, other) = (hashes(KEY).await, hashes(KEY).await, hashes("another key of some length").await);
    assert_eq!(once, again);
    assert!(once.iter().zip(&other).all(|(once, other)| once != other), "each table has something that is masked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecided_column_stops_it() {
    let (Some(from), Some(into)) = (database().await, database().await) else { return };
    run(&from, PEOPLE).await;
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("shop");
    let refused = masked(&from, &folder, &masking("", "")).await.unwrap_err();
    assert!(!folder.exists(), "nothing is left");
    let CaptureError::Undecided { columns, draft } = &refused else { panic!("{refused}") };
    let names: Vec<String> = columns.iter().map(|undecided| undecided.column.to_string()).collect();
    let expected = ["email", "first_name", "last_name", "phone", "born", "profile", "aliases", "secret"];
    let lacks: Vec<_> = expected.iter().filter(|name| !names.contains(&format!("public.people.{name}"))).collect();
    assert!(lacks.is_empty(), "{lacks:?} of {names:?}");
    assert!(names.contains(&"public.visits.email".to_owned()), "a partitioned table has one name: {names:?}");
    assert!(refused.is_usage() && refused.to_string().contains("public.people.email: mail addresses"), "{refused}");
    let personal = texts(&from, PERSONAL).await;
    assert_without(&format!("{refused} {draft}").to_lowercase(), &personal);

    // What stands in the draft is enough, hides as much, and fits.
    let folder = tempfile::tempdir().unwrap();
    let manifest = masked(&from, folder.path(), &masking(draft, KEY)).await.unwrap().manifest;
    assert_without(&content(folder.path(), &manifest), &personal);
    restored(folder.path(), &into).await.unwrap();
    assert_without(&told(&into).to_lowercase(), &personal);

    let one_less = RULES
        .replace("column = \"people.phone\"", "column = \"people.active\"")
        .replace("\"phone\"", "\"keep\"\nreason = \"a test\"");
    let folder = room.path().join("shop");
    let refused = masked(&from, &folder, &masking(&one_less, KEY)).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("no rule decides about 1 column that may hold personal data:\n  public.people.phone: ")
    );
    assert!(!folder.exists());
    let wrong = RULES.replace("\"people.born\"", "\"people.borne\"");
    let refused = masked(&from, &folder, &masking(&wrong, KEY)).await.unwrap_err();
    assert!(refused.is_usage() && refused.to_string().contains("no column is called people.borne"), "{refused}");
    assert!(!folder.exists());
}
