//! Rows masked on their way into a snapshot, on a real MariaDB.

use rehearsal::snapshot::capture::Masking;
use rehearsal::snapshot::store::Manifest;

use super::*;
use crate::capture::masking::{assert_without, content, masking};

const PEOPLE: &str = "
    SET NAMES utf8mb4;
    CREATE TABLE people (id INT PRIMARY KEY, email VARCHAR(60) NOT NULL UNIQUE, first_name VARCHAR(40), last_name VARCHAR(40),
        phone VARCHAR(20), code VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci UNIQUE,
        shouted VARCHAR(80) AS (UPPER(email)) STORED, profile JSON, secret VARBINARY(60), born DATE,
        mood ENUM('fine', 'so-so') NOT NULL DEFAULT 'fine', seen TIMESTAMP NULL) CHARACTER SET utf8mb4;
    CREATE TABLE orders (id INT PRIMARY KEY, customer VARCHAR(60), note TEXT, amount DECIMAL(10, 2) NOT NULL,
        FOREIGN KEY (customer) REFERENCES people (email)) CHARACTER SET utf8mb4;
    INSERT INTO people (id, email, first_name, last_name, phone, code, profile, secret, born)
      SELECT seq, CONCAT('zf', LEFT(MD5(seq), 12), '.zl', LEFT(SHA(seq), 12), '@zq-corp.com'), CONCAT('Zf', LEFT(MD5(seq), 12)),
          CONCAT('Zl', LEFT(SHA(seq), 12)), CONCAT('+49 30 ', 7100000 + seq * 7919), MD5(CONCAT('code', seq)),
          JSON_OBJECT('email', CONCAT(MD5(CONCAT('home', seq)), '@zq-home.org'), 'since', 2000),
          CONCAT('zqsecret', MD5(CONCAT('s', seq))), '1970-01-01' + INTERVAL seq * 31 DAY
        FROM seq_1_to_200;
    INSERT INTO orders SELECT seq, (SELECT email FROM people WHERE id = seq % 200 + 1),
        CONCAT('please call ', (SELECT first_name FROM people WHERE id = seq % 200 + 1)), seq * 1.5 FROM seq_1_to_900;
    INSERT INTO orders VALUES (901, NULL, NULL, 1);
    ANALYZE TABLE people, orders;";

const RULES: &str = r#"
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
    column = "people.code"
    as = "format"
    [[mask]]
    column = "people.profile"
    as = { json = { paths = { email = "email" }, rest = "format" } }
    [[mask]]
    column = "people.secret"
    as = { fixed = "gone" }
    [[mask]]
    column = "people.born"
    as = "date"
    [[mask]]
    column = "orders.note"
    as = "text"
"#;

/// Whatever in the source is somebody's.
const PERSONAL: &str = "
    SELECT email FROM people UNION ALL SELECT first_name FROM people UNION ALL SELECT last_name FROM people
    UNION ALL SELECT phone FROM people UNION ALL SELECT code FROM people UNION ALL SELECT JSON_VALUE(profile, '$.email') FROM people
    UNION ALL SELECT HEX(secret) FROM people UNION ALL SELECT CONVERT(secret USING utf8mb4) FROM people
    UNION ALL SELECT note FROM orders WHERE note IS NOT NULL UNION ALL SELECT 'zq-corp' UNION ALL SELECT 'zq-home'";

async fn masked(from: &Endpoint, folder: &Path, masking: &Masking) -> Result<Captured, CaptureError> {
    let cancel = CancellationToken::new();
    let request = CaptureRequest {
        endpoint: from,
        folder,
        workers: 3,
        rate: None,
        part_bytes: 16_384,
        transform: None,
        masking: Some(masking),
        cancel: &cancel,
    };
    capture(&request, &mut |_| {}).await
}

async fn texts(at: &Endpoint, sql: &str) -> Vec<String> {
    let work = async |connection: &mut Conn| connection.query::<Option<String>, _>(sql).await;
    let rows = with(at, MINUTE, work).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.into_iter().map(|row| row.unwrap_or_else(|| "NULL".to_owned())).collect()
}

/// Every value of every column.
async fn values(at: &Endpoint) -> String {
    let sql = "SELECT CONCAT_WS(' ', email, first_name, last_name, phone, code, shouted, profile, HEX(secret), born) FROM people
        UNION ALL SELECT CONCAT_WS(' ', customer, note) FROM orders";
    texts(at, sql).await.join("\n").to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_anybody_arrives_and_all_still_fits() {
    let Some(server) = server(EngineKind::Mariadb, "10.11", LabKind::Native).await else { return };
    let from = database(&server, "shop").await;
    execute(&from, PEOPLE).await;
    let personal = texts(&from, PERSONAL).await;
    assert!(personal.len() > 2000 && values(&from).await.contains(&personal[0].to_lowercase()));
    let room = tempfile::tempdir().unwrap();

    let refused = masked(&from, &room.path().join("none"), &masking("", "")).await.unwrap_err();
    assert!(!room.path().join("none").exists(), "nothing is left");
    let CaptureError::Undecided { columns, draft } = &refused else { panic!("{refused}") };
    let names: Vec<String> = columns.iter().map(|undecided| undecided.column.to_string()).collect();
    for name in ["email", "first_name", "last_name", "phone", "profile", "secret", "born"] {
        assert!(names.contains(&format!("shop.people.{name}")), "{name} of {names:?}");
    }
    assert_without(&format!("{refused} {draft}").to_lowercase(), &personal);

    let key = "a key for the tests of masking";
    let taken = async |name: &str, rules: &str, key: &str| {
        let folder = room.path().join(name);
        let masking = masking(rules, key);
        let manifest = masked(&from, &folder, &masking).await.unwrap_or_else(|error| panic!("{error}")).manifest;
        assert_without(&content(&folder, &manifest), &personal);
        manifest
    };
    let hashes =
        |manifest: &Manifest| manifest.chunks().map(|(_, chunk)| chunk.rows_blake3.clone()).collect::<Vec<_>>();
    let manifest = taken("once", RULES, key).await;
    assert!(manifest.is_masked && manifest.tables.iter().all(|table| !table.masks.is_empty()), "{manifest:?}");
    assert_eq!(hashes(&manifest), hashes(&taken("again", RULES, key).await));
    let other = hashes(&taken("other", RULES, "another key of some length").await);
    assert!(hashes(&manifest).iter().zip(&other).all(|(one, other)| one != other));

    let into = database(&server, "copy").await;
    let restored = restored(&server, &room.path().join("once"), &into).await;
    let restored = restored.unwrap_or_else(|error| panic!("{}", rehearsal::commands::with_causes(&error)));
    assert_eq!(restored.notes, Vec::<String>::new());
    assert_without(&values(&into).await, &personal);
    for same in [
        "SELECT CONCAT(p.id, ' ', o.id) FROM people p JOIN orders o ON o.customer = p.email ORDER BY p.id, o.id",
        "SELECT CONCAT(COUNT(*), ' ', COUNT(customer), ' ', SUM(amount)) FROM orders",
        "SELECT CONCAT(COUNT(DISTINCT email), ' ', COUNT(DISTINCT code)) FROM people",
    ] {
        assert_eq!(texts(&into, same).await, texts(&from, same).await, "{same}");
    }
    let wrong = "SELECT id FROM people WHERE shouted <> UPPER(email) OR email NOT LIKE '%_@_%' OR secret <> 'gone'
        OR JSON_VALUE(profile, '$.email') NOT LIKE '%_@_%'";
    assert_eq!(texts(&into, wrong).await, Vec::<String>::new());

    // What stands in the draft is enough, hides as much, and fits.
    taken("drafted", draft, key).await;
    let into = database(&server, "drafted").await;
    let restored = self::restored(&server, &room.path().join("drafted"), &into).await;
    restored.unwrap_or_else(|error| panic!("{}", rehearsal::commands::with_causes(&error)));
    assert_without(&values(&into).await, &personal);
    server.end().await;
}
