//! Samples of a real MariaDB and a real MySQL: small, closed under their references, with everything that rows are rarely like.

use super::*;
use crate::capture::masking::{assert_without, content, masking};

/// Rows of numbers come from a table, which both engines have.
const SHOP: &str = "
    SET NAMES utf8mb4;
    CREATE TABLE n (n INT PRIMARY KEY);
    INSERT INTO n SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n FROM digits a, digits b, digits c, digits d;
    CREATE TABLE regions (code CHAR(4) PRIMARY KEY, name VARCHAR(20) NOT NULL);
    CREATE TABLE users (id BIGINT PRIMARY KEY, email VARCHAR(80) NOT NULL UNIQUE, manager BIGINT, region CHAR(4) NOT NULL,
        joined DATE NOT NULL, shouted VARCHAR(80) AS (UPPER(email)) STORED, FOREIGN KEY (manager) REFERENCES users (id));
    CREATE TABLE orders (tenant INT, no INT, customer BIGINT NOT NULL, state ENUM('new', 'paid', 'sent', 'refunded') NOT NULL,
        kind VARCHAR(20) NOT NULL, note TEXT, amount DECIMAL(12, 2) NOT NULL, doc JSON NOT NULL, hash BINARY(16) NOT NULL,
        PRIMARY KEY (tenant, no), UNIQUE (hash), FOREIGN KEY (customer) REFERENCES users (id));
    CREATE TABLE `lines` (id BIGINT PRIMARY KEY, tenant INT NOT NULL, order_no INT NOT NULL, photo BLOB,
        FOREIGN KEY (tenant, order_no) REFERENCES orders (tenant, no));
    CREATE TABLE teams (id INT PRIMARY KEY, `lead` INT);
    CREATE TABLE members (id INT PRIMARY KEY, team INT NOT NULL, FOREIGN KEY (team) REFERENCES teams (id));
    CREATE TABLE letters (id INT PRIMARY KEY, to_email VARCHAR(80), order_hash BINARY(16), FOREIGN KEY (to_email) REFERENCES users (email),
        FOREIGN KEY (order_hash) REFERENCES orders (hash));
    CREATE TABLE comments (id INT PRIMARY KEY, subject_type VARCHAR(10) NOT NULL, subject_id VARCHAR(20) NOT NULL);
    CREATE TABLE events (id BIGINT, at DATE NOT NULL, payload TEXT, PRIMARY KEY (id, at))
        PARTITION BY RANGE (YEAR(at)) (PARTITION p1 VALUES LESS THAN (2024), PARTITION p2 VALUES LESS THAN MAXVALUE);
    CREATE TABLE audit (what TEXT);
    INSERT INTO regions VALUES ('eu', 'Europe'), ('us', 'America'), ('as', 'Asia');
    INSERT INTO users (id, email, manager, region, joined) SELECT n, CONCAT('zu', LEFT(SHA2(n, 256), 32), '@zq-corp.com'), CASE WHEN n > 1 THEN FLOOR(n / 2) END,
        ELT(n % 2 + 1, 'eu', 'us'), '2000-01-01' + INTERVAL n % 5000 DAY FROM n WHERE n BETWEEN 1 AND 4000 ORDER BY n;
    INSERT INTO orders SELECT n % 7, n, n % 4000 + 1, ELT(n % 3 + 1, 'new', 'paid', 'sent'), CASE WHEN n = 777 THEN 'gift' ELSE 'plain' END,
        CASE WHEN n = 4321 THEN NULL WHEN n = 4322 THEN '' ELSE CONCAT('thanks ', LEFT(SHA2(n, 256), 32)) END, CASE WHEN n = 99 THEN -5 ELSE n * 1.5 END,
        CASE WHEN n = 55 THEN '{\"v\": 2, \"items\": [1]}' ELSE JSON_OBJECT('v', n) END, UNHEX(LEFT(SHA2(n, 256), 32)) FROM n WHERE n > 0;
    UPDATE orders SET state = 'refunded' WHERE no = 5000;
    INSERT INTO `lines` SELECT n, n % 7, n, CASE WHEN n % 2 = 0 THEN UNHEX(LEFT(SHA2(CONCAT('l', n), 256), 32)) END FROM n WHERE n > 0;
    INSERT INTO teams SELECT n, NULL FROM n WHERE n BETWEEN 1 AND 500;
    INSERT INTO members SELECT n, n % 500 + 1 FROM n WHERE n BETWEEN 1 AND 2000;
    UPDATE teams SET `lead` = id * 3;
    ALTER TABLE teams ADD FOREIGN KEY (`lead`) REFERENCES members (id);
    INSERT INTO letters SELECT n, (SELECT email FROM users WHERE id = n % 4000 + 1), UNHEX(LEFT(SHA2(n, 256), 32)) FROM n WHERE n BETWEEN 1 AND 3000;
    INSERT INTO comments SELECT n, CASE WHEN n = 3000 THEN 'Team' WHEN n % 2 = 0 THEN 'User' ELSE 'Line' END,
        CASE WHEN n = 3000 THEN '7' ELSE n % 4000 + 1 END FROM n WHERE n BETWEEN 1 AND 6000;
    INSERT INTO comments SELECT n, 'User', CONCAT('u', n) FROM n WHERE n > 9900;
    INSERT INTO events SELECT n, '2023-07-01' + INTERVAL n % 360 DAY, CASE WHEN n = 1234 THEN '--- !ruby/hash:Basket\\na: 1' ELSE CONCAT('{\"step\": ', n, '}') END
        FROM n WHERE n BETWEEN 1 AND 5000;
    INSERT INTO audit SELECT CONCAT('entry ', n) FROM n WHERE n < 300;
    DROP TABLE n, digits;";

const DIGITS: &str = "CREATE TABLE digits (n INT PRIMARY KEY); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);";

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
    column = ["regions.*", "users.*", "orders.*", "lines.*", "teams.*", "members.*", "comments.*", "events.*", "audit.*", "letters.order_hash"]
    as = "keep"
    reason = "made up"
"#;

async fn texts(at: &Endpoint, sql: &str) -> Vec<String> {
    let work = async |connection: &mut Conn| connection.query::<Option<String>, _>(sql).await;
    let rows = with(at, MINUTE, work).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.into_iter().map(|row| row.unwrap_or_else(|| "NULL".to_owned())).collect()
}

async fn sampled(from: &Endpoint, folder: &Path, workers: usize) -> Captured {
    let (cancel, masking) = (CancellationToken::new(), masking(RULES, "a key for the tests of sampling"));
    let request = CaptureRequest {
        endpoint: from,
        folder,
        workers,
        rate: None,
        part_bytes: 65_536,
        transform: None,
        masking: Some(&masking),
        cancel: &cancel,
    };
    let captured = capture(&request, &mut |_| {}).await;
    captured.unwrap_or_else(|error| panic!("{}", rehearsal::commands::with_causes(&error)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_sample_has_all_that_production_is_like() {
    for (engine, version, kind) in [
        (EngineKind::Mariadb, "10.11", LabKind::Native),
        (EngineKind::Mariadb, "10.5", LabKind::Docker),
        (EngineKind::Mysql, "9.7", LabKind::Docker),
    ] {
        let Some(server) = server(engine, version, kind).await else { continue };
        let from = database(&server, "shop").await;
        execute(&from, DIGITS).await;
        execute(&from, SHOP).await;
        let personal = texts(&from, "SELECT email FROM users UNION ALL SELECT note FROM orders WHERE note <> ''").await;
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("once");
        let manifest = sampled(&from, &folder, 3).await.manifest;
        assert!(manifest.is_sampled && manifest.is_masked);
        let verified = verify(&folder, &CancellationToken::new()).await.unwrap().unwrap();
        assert_eq!((verified.damaged.len(), verified.rows), (0, manifest.rows()));
        assert_without(&content(&folder, &manifest), &personal);

        let into = database(&server, "copy").await;
        let restored = restored(&server, &folder, &into).await;
        let restored = restored.unwrap_or_else(|error| panic!("{}", rehearsal::commands::with_causes(&error)));
        assert_eq!(restored.notes, Vec::<String>::new());
        // Rows are put into these servers without a look at their references.
        for none in [
            "SELECT id FROM users u WHERE manager IS NOT NULL AND NOT EXISTS (SELECT 1 FROM users m WHERE m.id = u.manager)",
            "SELECT no FROM orders o WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = o.customer)",
            "SELECT id FROM `lines` l WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.tenant = l.tenant AND o.no = l.order_no)",
            "SELECT id FROM teams t WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.id = t.`lead`)",
            "SELECT id FROM members m WHERE NOT EXISTS (SELECT 1 FROM teams t WHERE t.id = m.team)",
            "SELECT id FROM letters l WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.email = l.to_email)
                OR NOT EXISTS (SELECT 1 FROM orders o WHERE o.hash = l.order_hash)",
            "SELECT id FROM comments c WHERE subject_id NOT LIKE 'u%' AND NOT CASE subject_type
               WHEN 'User' THEN EXISTS (SELECT 1 FROM users u WHERE u.id = c.subject_id) WHEN 'Team' THEN EXISTS (SELECT 1 FROM teams t WHERE t.id = c.subject_id)
               ELSE EXISTS (SELECT 1 FROM `lines` l WHERE l.id = c.subject_id) END",
            "SELECT email FROM users WHERE shouted <> UPPER(email)",
        ] {
            assert_eq!(texts(&into, none).await, Vec::<String>::new(), "{version}: {none}");
        }
        for same in [
            "SELECT DISTINCT state FROM orders ORDER BY 1",
            "SELECT DISTINCT kind FROM orders ORDER BY 1",
            "SELECT DISTINCT subject_type FROM comments ORDER BY 1",
            "SELECT COALESCE(note, 'none') FROM orders WHERE note IS NULL OR note = '' ORDER BY 1",
            "SELECT CONCAT_WS(' ', MIN(amount), MAX(amount), MIN(no), MAX(no)) FROM orders",
            "SELECT CONCAT_WS(' ', MIN(joined), MAX(joined)) FROM users",
            "SELECT DISTINCT CAST(JSON_KEYS(doc) AS CHAR) FROM orders ORDER BY 1",
            "SELECT payload FROM events WHERE payload LIKE '---%'",
            "SELECT DISTINCT CONCAT_WS(' ', state, kind) FROM orders ORDER BY 1",
            "SELECT DISTINCT CONCAT_WS(' ', tenant, state) FROM orders ORDER BY 1",
            "SELECT DISTINCT photo IS NULL FROM `lines` ORDER BY 1",
            "SELECT CONCAT_WS(' ', code, name) FROM regions ORDER BY 1",
        ] {
            assert_eq!(texts(&into, same).await, texts(&from, same).await, "{version}: {same}");
        }
        for stored in &manifest.tables {
            let sql = format!("SELECT COUNT(*) FROM `{}`", stored.table.name);
            assert_eq!(texts(&from, &sql).await, [stored.production_rows.to_string()], "{}", stored.table.name);
        }
        let production: u64 = manifest.tables.iter().map(|stored| stored.production_rows).sum();
        assert!(manifest.rows() * 5 < production, "{} of {production} rows", manifest.rows());
        let sample = manifest.sample.as_ref().unwrap();
        let orders = sample.tables.iter().find(|table| table.table == "orders").unwrap();
        assert!(orders.missed.is_empty() && orders.added > Some(5), "{orders:?}");
        assert!(sample.orphans.iter().any(|orphans| orphans.table == "users"), "{:?}", sample.orphans);

        // The same rows for the same seed, however many read.
        let (again, copy) = (room.path().join("again"), database(&server, "again").await);
        sampled(&from, &again, 1).await;
        super::restored(&server, &again, &copy).await.unwrap();
        let options = CompareOptions { schema: true, data: true, ..CompareOptions::default() };
        let found = text(&compare(&into, &copy, &options).await.unwrap());
        assert!(found.contains("no difference"), "{found}");
    }
}
