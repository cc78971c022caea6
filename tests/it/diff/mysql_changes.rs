//! One change of each kind on MariaDB, and what only MySQL has; and what a comparison must say of each.

use super::changes::Case;

/// Each is made alone in a copy of `fixtures/diff/mysql.sql`.
pub const CHANGES: &[Case] = &[
    (
        "SET foreign_key_checks = 0; ALTER TABLE orders MODIFY id int NOT NULL COMMENT 'number'",
        &["~ column orders.id: identity auto_increment -> none"],
    ),
    ("ALTER TABLE orders AUTO_INCREMENT = 5000", &[]),
    (
        "ALTER TABLE orders DROP COLUMN mood",
        &[
            "~ view happy: validity valid -> not valid",
            "- column orders.mood: enum('sad','ok','happy') COLLATE utf8mb4_general_ci DEFAULT 'ok' AFTER born",
        ],
    ),
    ("ALTER TABLE orders ALTER COLUMN total DROP DEFAULT", &["~ column orders.total: default 0.00 -> none"]),
    ("ALTER TABLE items MODIFY article bigint unsigned", &["~ column items.article: nullability NOT NULL -> NULL"]),
    (
        "ALTER TABLE orders MODIFY body text COLLATE utf8mb4_bin",
        &["~ column orders.body: collation utf8mb4_general_ci -> utf8mb4_bin"],
    ),
    (
        "ALTER TABLE `odd name` CONVERT TO CHARACTER SET utf8mb4",
        &[
            "~ table `odd name`: collation latin1_swedish_ci -> utf8mb4_general_ci",
            "~ column `odd name`.wide: collation latin1_german2_ci -> utf8mb4_general_ci",
        ],
    ),
    (
        "ALTER TABLE log DEFAULT CHARACTER SET latin1",
        &["~ table log: collation utf8mb4_general_ci -> latin1_swedish_ci"],
    ),
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
    ("ALTER TABLE orders ALTER COLUMN mood DROP DEFAULT", &["~ column orders.mood: default 'ok' -> none"]),
    ("ALTER TABLE orders ADD COLUMN more int", &["+ column orders.more: int(11)"]),
    ("ALTER TABLE log MODIFY n int FIRST", &["~ column log.line: position 1 -> 2", "~ column log.n: position 2 -> 1"]),
    ("ALTER TABLE orders DROP COLUMN born", &["- column orders.born: year(4) AFTER clock"]),
    (
        "ALTER TABLE orders MODIFY mood enum('sad','ok','happy','great') DEFAULT 'ok'",
        &["~ column orders.mood: type enum('sad','ok','happy') -> enum('sad','ok','happy','great')"],
    ),
    (
        "ALTER TABLE orders MODIFY doubled decimal(12,2) AS (total * 2.5) STORED",
        &[
            "~ column orders.doubled: generated (`total` * 2) STORED -> (`total` * 2.5) STORED",
            "~ orders: 3 rows, 3 changed (doubled in 3); matched by primary key",
        ],
    ),
    (
        "ALTER TABLE log ENGINE = Aria",
        &[
            "~ table log: storage engine InnoDB -> Aria",
            "~ table log: options row_format=dynamic -> row_format=page, transactional=1",
        ],
    ),
    ("ALTER TABLE log ROW_FORMAT = COMPACT", &["~ table log: options row_format=dynamic -> row_format=compact"]),
    ("ALTER TABLE regions COMMENT = 'places'", &["~ table regions: comment where -> places"]),
    (
        "ALTER TABLE log STATS_PERSISTENT = 1",
        &["~ table log: options row_format=dynamic -> row_format=dynamic, stats_persistent=1"],
    ),
    (
        "ALTER TABLE events ADD PARTITION (PARTITION p2025 VALUES LESS THAN (2026))",
        &[
            "~ table events: partition PARTITION BY RANGE (year(`at`)): p2023 VALUES LESS THAN (2024), p2024 VALUES LESS THAN (2025) -> PARTITION BY RANGE (year(`at`)): p2023 VALUES LESS THAN (2024), p2024 VALUES LESS THAN (2025), p2025 VALUES LESS THAN (2026)",
        ],
    ),
    (
        "ALTER TABLE log ADD SYSTEM VERSIONING",
        &["~ table log: options row_format=dynamic -> row_format=dynamic, with system versioning"],
    ),
    ("CREATE TABLE fresh (id int PRIMARY KEY)", &["+ table fresh"]),
    ("DROP TABLE items", &["- table items"]),
    ("RENAME TABLE log TO diary", &["+ table diary", "- table log"]),
    ("ALTER DATABASE CHARACTER SET latin1", &["~ schema database: collation utf8mb4_general_ci -> latin1_swedish_ci"]),
    ("DROP INDEX by_total ON orders", &["- index by_total on orders: INDEX (total, at) USING BTREE"]),
    (
        "ALTER TABLE orders DROP INDEX by_note, ADD INDEX by_note (note(30))",
        &["~ index by_note on orders: definition INDEX (note(20)) USING BTREE -> INDEX (note(30)) USING BTREE"],
    ),
    (
        "ALTER TABLE orders RENAME INDEX by_total TO by_sum",
        &[
            "+ index by_sum on orders: INDEX (total, at) USING BTREE",
            "- index by_total on orders: INDEX (total, at) USING BTREE",
        ],
    ),
    ("ALTER TABLE orders ALTER INDEX by_total IGNORED", &["~ index by_total on orders: options none -> ignored"]),
    ("DROP INDEX words ON orders", &["- index words on orders: FULLTEXT INDEX (body)"]),
    ("ALTER TABLE regions DROP INDEX by_name", &["- constraint by_name on regions: UNIQUE (name(10))"]),
    (
        "ALTER TABLE regions DROP INDEX by_name, ADD UNIQUE INDEX by_name (name)",
        &["~ constraint by_name on regions: definition UNIQUE (name(10)) -> UNIQUE (name)"],
    ),
    (
        "ALTER TABLE items DROP PRIMARY KEY, ADD INDEX (order_id)",
        &[
            "- constraint PRIMARY on items: PRIMARY KEY (order_id, line)",
            "+ index order_id on items: INDEX (order_id) USING BTREE",
        ],
    ),
    (
        "ALTER TABLE items DROP FOREIGN KEY of_order",
        &[
            "- constraint of_order on items: FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE ON UPDATE RESTRICT",
        ],
    ),
    (
        "ALTER TABLE items DROP FOREIGN KEY of_order; ALTER TABLE items ADD CONSTRAINT of_order FOREIGN KEY (order_id) REFERENCES orders (id)",
        &[
            "~ constraint of_order on items: definition FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE ON UPDATE RESTRICT -> FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE RESTRICT ON UPDATE RESTRICT",
        ],
    ),
    (
        "ALTER TABLE orders DROP CONSTRAINT total_sane",
        &["- constraint total_sane on orders: CHECK (`total` < 1000000)"],
    ),
    (
        "ALTER TABLE orders MODIFY doc longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        &["- constraint doc (column) on orders: CHECK (json_valid(`doc`))"],
    ),
    (
        "DROP TRIGGER orders_touch",
        &["- trigger orders_touch on orders: BEFORE UPDATE FOR EACH ROW SET NEW.tags = OLD.tags"],
    ),
    (
        "SET sql_mode = 'ANSI_QUOTES'; CREATE OR REPLACE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW SET NEW.tags = OLD.tags",
        &[
            "~ trigger orders_touch on orders: options definer root@%, sql_mode STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION, character set utf8mb4, collation utf8mb4_general_ci, database collation utf8mb4_general_ci -> definer root@%, sql_mode ANSI_QUOTES, character set utf8mb4, collation utf8mb4_general_ci, database collation utf8mb4_general_ci",
        ],
    ),
    (
        "CREATE OR REPLACE VIEW happy AS SELECT id, total FROM orders",
        &[
            "~ view happy: definition select `orders`.`id` AS `id`,`orders`.`total` AS `total` from `orders` where `orders`.`mood` = 'happy' -> select `orders`.`id` AS `id`,`orders`.`total` AS `total` from `orders`",
        ],
    ),
    (
        "ALTER SQL SECURITY INVOKER VIEW happy AS SELECT id, total FROM orders WHERE mood = 'happy'",
        &[
            "~ view happy: options ALGORITHM=UNDEFINED DEFINER=`root`@`%` SQL SECURITY DEFINER -> ALGORITHM=UNDEFINED DEFINER=`root`@`%` SQL SECURITY INVOKER",
        ],
    ),
    (
        "DROP VIEW happy",
        &[
            "- view happy: select `orders`.`id` AS `id`,`orders`.`total` AS `total` from `orders` where `orders`.`mood` = 'happy'",
        ],
    ),
    (
        "SET sql_mode = 'ANSI_QUOTES'; CREATE OR REPLACE PROCEDURE tidy(IN days int, OUT gone int) MODIFIES SQL DATA SET gone = days",
        &[
            "~ procedure tidy: options definer root@%, sql_mode STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION, character set utf8mb4, collation utf8mb4_general_ci, database collation utf8mb4_general_ci,… -> definer root@%, sql_mode ANSI_QUOTES, character set utf8mb4, collation utf8mb4_general_ci, database collation utf8mb4_general_ci, sql security DEFINER",
        ],
    ),
    (
        "CREATE OR REPLACE DEFINER = app@'%' PROCEDURE tidy(IN days int, OUT gone int) MODIFIES SQL DATA SET gone = days",
        &[
            "~ procedure tidy: options definer root@%, sql_mode STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION, character set utf8mb4, collation utf8mb4_general_ci, database collation utf8mb4_general_ci,… -> definer app@%, sql_mode STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION, character set utf8mb4, collation utf8mb4_gene…",
        ],
    ),
    (
        "CREATE OR REPLACE FUNCTION taxed(amount bigint) RETURNS int DETERMINISTIC NO SQL RETURN amount * 2",
        &[
            "~ function taxed: definition (IN amount int(11)) RETURNS int(11) DETERMINISTIC NO SQL RETURN amount * 2 -> (IN amount bigint(20)) RETURNS int(11) DETERMINISTIC NO SQL RETURN amount * 2",
            "~ function taxed: options …er root@%, sql_mode STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION, character set utf8mb4, collation utf8mb4_general_ci, database collation utf8mb4_general_ci, sql … -> …er root@%, sql_mode STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION, character set utf8mb4, collation utf8mb4_general_…",
        ],
    ),
    (
        "DROP FUNCTION taxed",
        &["- function taxed: (IN amount int(11)) RETURNS int(11) DETERMINISTIC NO SQL RETURN amount * 2"],
    ),
    ("ALTER EVENT nightly DISABLE", &["~ event nightly: enabled enabled -> disabled"]),
    (
        "ALTER EVENT nightly ON SCHEDULE EVERY 2 DAY STARTS '2030-01-01 00:00:00'",
        &[
            "~ event nightly: definition EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION NOT PRESERVE DO DELETE FROM log -> EVERY 2 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION NOT PRESERVE DO DELETE FROM log",
        ],
    ),
    (
        "CREATE SEQUENCE tickets START 7 INCREMENT 3",
        &[
            "+ sequence tickets: AS bigint, start 7, increment 3, minimum 1, maximum 9223372036854775806, cache 1000, no cycle",
        ],
    ),
    (
        "GRANT SELECT, INSERT ON * TO app@'%'",
        &["+ privilege INSERT ON DATABASE TO app@%", "+ privilege SELECT ON DATABASE TO app@%"],
    ),
    (
        "GRANT SELECT ON orders TO app@'%' WITH GRANT OPTION; GRANT UPDATE (note) ON orders TO reader@'%'",
        &[
            "+ privilege SELECT ON orders TO app@%: WITH GRANT OPTION",
            "+ privilege UPDATE (note) ON orders TO reader@%",
        ],
    ),
    ("GRANT EXECUTE ON PROCEDURE tidy TO app@'%'", &["+ privilege EXECUTE ON PROCEDURE tidy TO app@%"]),
    ("CREATE DATABASE IF NOT EXISTS rehearsal_heartbeat", &[]),
    (
        "UPDATE orders SET at = at, total = total + 1 WHERE id < 3",
        &["~ orders: 3 rows, 2 changed (doubled in 2, total in 2, tripled in 2); matched by primary key"],
    ),
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

/// What MySQL has or says in another way, all at once: a copy takes MySQL its time.
pub const CHANGES_ON_MYSQL: &[Case] = &[(
    "SET foreign_key_checks = 0; ALTER TABLE orders MODIFY id int NOT NULL COMMENT 'number';
     ALTER TABLE orders ALTER COLUMN mood DROP DEFAULT;
     ALTER TABLE orders ADD COLUMN ex int NOT NULL DEFAULT (1 + 2) INVISIBLE FIRST;
     ALTER TABLE orders MODIFY place point SRID 0;
     CREATE INDEX fx ON orders ((total * 2), note(10) DESC);
     ALTER TABLE orders ALTER INDEX by_total INVISIBLE;
     ALTER TABLE orders ALTER CHECK total_sane NOT ENFORCED;
     GRANT EXECUTE ON PROCEDURE tidy TO app@'%'; GRANT UPDATE (note) ON orders TO app@'%'; GRANT SELECT ON * TO app@'%';
     UPDATE orders SET at = at, doc = '{\"a\": 2}', place = POINT(1, 3), raw = x'00fe' WHERE id = 1",
    &[
        "+ privilege UPDATE (note) ON orders TO app@%",
        "+ column orders.ex: int DEFAULT (1 + 2) NOT NULL FIRST",
        "~ column orders.id: identity auto_increment -> none",
        "~ column orders.mood: default 'ok' -> none",
        "~ column orders.place: options none -> srid 0",
        "~ constraint total_sane on orders: validity valid -> not valid",
        "~ index by_total on orders: options none -> invisible",
        "+ index fx on orders: INDEX (((`total` * 2)), note(10) DESC) USING BTREE",
        "+ privilege EXECUTE ON PROCEDURE tidy TO app@%",
        "+ privilege SELECT ON DATABASE TO app@%",
        "~ orders: 3 rows, 1 changed (doc in 1, place in 1, raw in 1); matched by primary key",
    ],
)];
