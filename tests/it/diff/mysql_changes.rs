//! One change of each kind on MariaDB, and what a comparison must say of it.

use super::changes::Case;

/// Each is made alone in a copy of `fixtures/diff/mysql.sql`.
pub const CHANGES: &[Case] = &[
    (
        "SET foreign_key_checks = 0; ALTER TABLE orders MODIFY id int NOT NULL COMMENT 'number'",
        &["~ column orders.id: identity auto_increment -> none"],
    ),
    ("ALTER TABLE orders AUTO_INCREMENT = 5000", &[]),
    ("ALTER TABLE orders ALTER COLUMN total DROP DEFAULT", &["~ column orders.total: default 0.00 -> none"]),
    ("ALTER TABLE items MODIFY article bigint unsigned", &["?"]),
    (
        "ALTER TABLE orders MODIFY body text COLLATE utf8mb4_bin",
        &["~ column orders.body: collation utf8mb4_general_ci -> utf8mb4_bin"],
    ),
    ("ALTER TABLE `odd name` CONVERT TO CHARACTER SET utf8mb4", &["?"]),
    ("ALTER TABLE log DEFAULT CHARACTER SET latin1", &["?"]),
    ("ALTER TABLE orders MODIFY note varchar(300) COMMENT 'said'", &["~ column orders.note: comment none -> said"]),
    (
        "ALTER TABLE orders MODIFY at datetime DEFAULT CURRENT_TIMESTAMP",
        &["~ column orders.at: options on update current_timestamp() -> none"],
    ),
    ("ALTER TABLE orders MODIFY born year INVISIBLE", &["~ column orders.born: options none -> INVISIBLE"]),
    (
        "ALTER TABLE orders ADD COLUMN more int NOT NULL DEFAULT 5 AFTER region",
        &["+ column orders.more: int(11) DEFAULT 5 NOT NULL AFTER region"],
    ),
    ("ALTER TABLE orders ADD COLUMN more int", &["+ column orders.more: int(11) DEFAULT NULL"]),
    ("ALTER TABLE log MODIFY n int FIRST", &["~ column log.line: position 1 -> 2", "~ column log.n: position 2 -> 1"]),
    ("ALTER TABLE orders DROP COLUMN born", &["- column orders.born: year(4) DEFAULT NULL"]),
    ("ALTER TABLE orders MODIFY mood enum('sad','ok','happy','great') DEFAULT 'ok'", &["?"]),
    ("ALTER TABLE orders MODIFY doubled decimal(12,2) AS (total * 2.5) STORED", &["?"]),
    ("ALTER TABLE log ENGINE = Aria", &["?"]),
    ("ALTER TABLE log ROW_FORMAT = COMPACT", &["?"]),
    ("ALTER TABLE regions COMMENT = 'places'", &["~ table regions: comment where -> places"]),
    ("ALTER TABLE log STATS_PERSISTENT = 1", &["?"]),
    ("ALTER TABLE events ADD PARTITION (PARTITION p2025 VALUES LESS THAN (2026))", &["?"]),
    ("ALTER TABLE log ADD SYSTEM VERSIONING", &["?"]),
    ("CREATE TABLE fresh (id int PRIMARY KEY)", &["+ table fresh"]),
    ("DROP TABLE items", &["- table items"]),
    ("RENAME TABLE log TO diary", &["+ table diary", "- table log"]),
    ("ALTER DATABASE CHARACTER SET latin1", &["?"]),
    ("DROP INDEX by_total ON orders", &["- index by_total on orders: INDEX (total, at) USING BTREE"]),
    ("ALTER TABLE orders DROP INDEX by_note, ADD INDEX by_note (note(30))", &["?"]),
    ("ALTER TABLE orders RENAME INDEX by_total TO by_sum", &["?"]),
    ("ALTER TABLE orders ALTER INDEX by_total IGNORED", &["?"]),
    ("DROP INDEX words ON orders", &["- index words on orders: FULLTEXT INDEX (body)"]),
    ("ALTER TABLE regions DROP INDEX by_name", &["- constraint by_name on regions: UNIQUE (name(10))"]),
    ("ALTER TABLE regions DROP INDEX by_name, ADD UNIQUE INDEX by_name (name)", &["?"]),
    ("ALTER TABLE items DROP PRIMARY KEY, ADD INDEX (order_id)", &["?"]),
    ("ALTER TABLE items DROP FOREIGN KEY of_order", &["?"]),
    (
        "ALTER TABLE items DROP FOREIGN KEY of_order; ALTER TABLE items ADD CONSTRAINT of_order FOREIGN KEY (order_id) REFERENCES orders (id)",
        &["?"],
    ),
    (
        "ALTER TABLE orders DROP CONSTRAINT total_sane",
        &["- constraint total_sane on orders: CHECK (`total` < 1000000)"],
    ),
    (
        "ALTER TABLE orders MODIFY doc longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        &["- constraint doc (column) on orders: CHECK (json_valid(`doc`))"],
    ),
    ("DROP TRIGGER orders_touch", &["?"]),
    (
        "SET sql_mode = 'ANSI_QUOTES'; CREATE OR REPLACE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW SET NEW.tags = OLD.tags",
        &["?"],
    ),
    ("CREATE OR REPLACE VIEW happy AS SELECT id, total FROM orders", &["?"]),
    ("ALTER SQL SECURITY INVOKER VIEW happy AS SELECT id, total FROM orders WHERE mood = 'happy'", &["?"]),
    ("DROP VIEW happy", &["?"]),
    (
        "SET sql_mode = 'ANSI_QUOTES'; CREATE OR REPLACE PROCEDURE tidy(IN days int, OUT gone int) MODIFIES SQL DATA SET gone = days",
        &["?"],
    ),
    (
        "CREATE OR REPLACE DEFINER = app@'%' PROCEDURE tidy(IN days int, OUT gone int) MODIFIES SQL DATA SET gone = days",
        &["?"],
    ),
    ("CREATE OR REPLACE FUNCTION taxed(amount bigint) RETURNS int DETERMINISTIC NO SQL RETURN amount * 2", &["?"]),
    ("DROP FUNCTION taxed", &["?"]),
    ("ALTER EVENT nightly DISABLE", &["~ event nightly: enabled enabled -> disabled"]),
    ("ALTER EVENT nightly ON SCHEDULE EVERY 2 DAY STARTS '2030-01-01 00:00:00'", &["?"]),
    ("CREATE SEQUENCE tickets START 7 INCREMENT 3", &["?"]),
    (
        "GRANT SELECT, INSERT ON * TO app@'%'",
        &["+ privilege INSERT ON DATABASE TO app@%", "+ privilege SELECT ON DATABASE TO app@%"],
    ),
    ("GRANT SELECT ON orders TO app@'%' WITH GRANT OPTION; GRANT UPDATE (note) ON orders TO reader@'%'", &["?"]),
    ("GRANT EXECUTE ON PROCEDURE tidy TO app@'%'", &["+ privilege EXECUTE ON PROCEDURE tidy TO app@%"]),
    ("CREATE DATABASE IF NOT EXISTS rehearsal_heartbeat", &[]),
    ("UPDATE orders SET at = at, total = total + 1 WHERE id < 3", &["?"]),
    (
        "UPDATE orders SET at = at, note = NULL WHERE id = 2",
        &["~ orders: 3 rows, 1 changed (note in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, weight = weight * 1.0000002 WHERE id = 1",
        &["~ orders: 3 rows, 1 changed (weight in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, ratio = 0.1 + 0.00000000000000002 WHERE id = 1",
        &["~ orders: 3 rows, 1 changed (ratio in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, raw = x'00fe' WHERE id = 1",
        &["~ orders: 3 rows, 1 changed (raw in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, file = CONCAT(LEFT(file, 4999), x'fe') WHERE id = 2",
        &["~ orders: 3 rows, 1 changed (file in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, body = CONCAT(body, '.') WHERE id = 2",
        &["~ orders: 3 rows, 1 changed (body in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, flags = b'100' WHERE id = 1",
        &["~ orders: 3 rows, 1 changed (flags in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, place = POINT(1, 3) WHERE id = 1",
        &["~ orders: 3 rows, 1 changed (place in 1); matched by primary key"],
    ),
    (
        "UPDATE orders SET at = at, legacy = 'grösser' WHERE id = 1",
        &["~ orders: 3 rows, 1 changed (legacy in 1); matched by primary key"],
    ),
    ("UPDATE dates SET d = NULL WHERE id = 1", &["~ dates: 3 rows, 1 changed (d in 1); matched by primary key"]),
    ("INSERT INTO regions VALUES ('IT', 'Italy')", &["~ regions: 3 -> 4 rows, 1 added; matched by primary key"]),
    ("DELETE FROM items WHERE line = 2", &["~ items: 3 -> 2 rows, 1 removed; matched by primary key"]),
    ("INSERT INTO log VALUES ('a', 1)", &["~ log: 5 -> 6 rows, 1 added; matched by all columns"]),
    ("UPDATE log SET line = NULL WHERE line = ''", &["~ log: 5 rows, 1 added, 1 removed; matched by all columns"]),
    (
        "DELETE FROM log WHERE line = 'a' LIMIT 1; INSERT INTO log VALUES ('a', 2)",
        &["~ log: 5 rows, 1 added, 1 removed; matched by all columns"],
    ),
    ("UPDATE events SET what = 'z' WHERE id = 2", &["~ events: 2 rows, 1 changed (what in 1); matched by primary key"]),
    ("TRUNCATE log", &["~ log: 5 -> 0 rows, 5 removed; matched by all columns"]),
    (
        "UPDATE `odd name` SET `a``b` = '' WHERE `select` = 2",
        &["~ `odd name`: 2 rows, 1 changed (a`b in 1); matched by primary key"],
    ),
];
