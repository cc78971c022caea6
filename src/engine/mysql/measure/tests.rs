//! What statements did, by hand-made sights of it.

use super::*;
use crate::engine::EngineKind;
use crate::engine::mysql::client::words::words;

fn table(rows: u64, id: u64, indexes: &[(&str, u64)]) -> Table {
    let indexes = indexes.iter().map(|(name, id)| ((*name).to_owned(), BTreeSet::from([*id]))).collect();
    Table { rows: Some(rows), ids: BTreeSet::from([id]), indexes, ..Table::default() }
}

fn tables(tables: &[(&str, Table)]) -> BTreeMap<String, Table> {
    tables.iter().map(|(name, table)| ((*name).to_owned(), table.clone())).collect()
}

/// A shop of two tables, and what a statement does there.
struct Shop {
    tracker: Tracker,
    seen: Seen,
}

impl Shop {
    fn new() -> Shop {
        let there =
            tables(&[("carts", table(1000, 7, &[("PRIMARY", 70)])), ("users", table(50, 8, &[("PRIMARY", 80)]))]);
        let mut tracker = Tracker::new(Lineage::default());
        tracker.rebase(Seen { tables: Some(there), ..Seen::default() });
        Shop { tracker, seen: Seen::default() }
    }

    fn run(&mut self, sql: &str, rows: u64, change: impl FnOnce(&mut Seen)) -> Effects {
        let words = words(sql, EngineKind::Mysql);
        let kind = kind(&words);
        let with_tables = matches!(kind, Kind::Definition | Kind::Routine);
        self.seen.tables = with_tables.then(|| self.tracker.tables.clone());
        change(&mut self.seen);
        let sampled = BTreeMap::new();
        let ended = Ended { kind, words: &words, rows, done: true, sampled: &sampled };
        self.tracker.after(&ended, self.seen.clone())
    }
}

fn set(seen: &mut Seen, name: &str, to: Table) {
    seen.tables.as_mut().expect("a definition is looked at with the tables").insert(name.to_owned(), to);
}

fn modes(effects: &Effects) -> Vec<(&str, &str, bool)> {
    effects.locks.iter().map(|lock| (lock.relation.as_str(), lock.mode.as_str(), lock.brief)).collect()
}

#[test]
fn kinds_are_known_by_their_first_words() {
    let check = |sql: &str, expected| assert_eq!(kind(&words(sql, EngineKind::Mysql)), expected, "{sql}");
    check("/* c */ alter table t add c int", Kind::Definition);
    check("SET STATEMENT lock_wait_timeout=1 FOR ALTER TABLE t FORCE", Kind::Definition);
    check("SET a = 1", Kind::Session);
    check("SET @a = (SELECT MAX(id) FROM t)", Kind::Query);
    check("BEGIN", Kind::Session);
    check("BEGIN NOT ATOMIC DELETE FROM t; END", Kind::Routine);
    check("(SELECT 1)", Kind::Query);
    check("WITH x AS (SELECT 1) DELETE FROM t", Kind::Rows);
    check("CALL p()", Kind::Routine);
    check("", Kind::Session);
}

#[test]
fn a_copied_table_stops_its_writers_and_grows_with_its_rows() {
    let effects = Shop::new().run("ALTER TABLE carts MODIFY id BIGINT NOT NULL", 1000, |seen| {
        seen.stages.copied = 1;
        set(seen, "carts", table(1000, 9, &[("PRIMARY", 90)]));
    });
    assert_eq!(effects.algorithm, Some("COPY"));
    assert_eq!((effects.work, effects.rewrote.as_slice()), (Work::Rewrites, &["carts".to_owned()][..]));
    assert_eq!(effects.grows_with, ["carts"]);
    assert_eq!(modes(&effects), [("carts", "SHARED_NO_WRITE", false), ("carts", "EXCLUSIVE", true)]);
    assert!(effects.created.is_empty(), "an index of a copy is not a new one: {:?}", effects.created);
}

#[test]
fn writers_go_on_where_what_they_wrote_is_applied() {
    let copied = Shop::new().run("ALTER TABLE carts MODIFY id BIGINT", 1000, |seen| {
        (seen.stages.copied, seen.stages.caught_up) = (1, 1);
        set(seen, "carts", table(1000, 9, &[("PRIMARY", 90)]));
    });
    assert_eq!(modes(&copied), [("carts", "EXCLUSIVE", true)]);
    let built = Shop::new().run("CREATE INDEX by_user ON carts (user_id)", 0, |seen| {
        (seen.stages.prepared, seen.stages.built, seen.stages.caught_up) = (1, 3, 1);
        set(seen, "carts", table(1000, 7, &[("PRIMARY", 70), ("by_user", 71)]));
    });
    assert_eq!((built.algorithm, built.work), (Some("INPLACE"), Work::Builds));
    assert_eq!((built.created.as_slice(), built.rewrote.len()), (&["by_user".to_owned()][..], 0));
    assert_eq!(modes(&built), [("carts", "EXCLUSIVE", true)]);
    let full_text = Shop::new().run("CREATE FULLTEXT INDEX words ON carts (note)", 0, |seen| {
        (seen.stages.prepared, seen.stages.built) = (1, 3);
        set(seen, "carts", table(1000, 7, &[("PRIMARY", 70), ("words", 71)]));
    });
    assert_eq!(modes(&full_text), [("carts", "SHARED_NO_WRITE", false), ("carts", "EXCLUSIVE", true)]);
}

#[test]
fn what_only_changes_the_definition_is_instant() {
    let effects = Shop::new().run("ALTER TABLE carts ADD c INT", 0, |seen| seen.stages.prepared = 1);
    assert_eq!((effects.algorithm, effects.work), (Some("INSTANT"), Work::Constant));
    assert_eq!(modes(&effects), [("carts", "EXCLUSIVE", false)]);
    let mut shop = Shop::new();
    let dropped = shop.run("ALTER TABLE carts DROP PRIMARY KEY", 0, |seen| {
        seen.stages.prepared = 1;
        set(seen, "carts", table(1000, 7, &[]));
    });
    assert_eq!((dropped.algorithm, dropped.work), (Some("INPLACE"), Work::Constant));
    // What a statement before went through is none of the next one's.
    let view = shop.run("CREATE VIEW v AS SELECT * FROM carts", 0, |_| {});
    assert_eq!((view.algorithm, view.work, view.locks.len()), (None, Work::Constant, 0));
}

#[test]
fn lost_numbering_is_told() {
    let mut shop = Shop::new();
    let numbered = |column: Option<&str>| Table { numbered: column.map(str::to_owned), ..table(1000, 7, &[]) };
    let lost =
        |effects: Effects| effects.numbering.into_iter().map(|each| (each.column, each.lost)).collect::<Vec<_>>();
    let given =
        shop.run("ALTER TABLE carts MODIFY id INT AUTO_INCREMENT", 0, |seen| set(seen, "carts", numbered(Some("id"))));
    assert_eq!(lost(given), [("id".to_owned(), false)]);
    let taken = shop.run("ALTER TABLE carts MODIFY id BIGINT", 0, |seen| set(seen, "carts", numbered(None)));
    assert_eq!(lost(taken), [("id".to_owned(), true)]);
    assert!(lost(shop.run("DROP TABLE carts", 0, |seen| seen.tables.as_mut().expect("looked at").clear())).is_empty());
}

#[test]
fn rows_read_and_changed_grow_where_they_are_a_share_of_a_table() {
    let mut shop = Shop::new();
    let some = shop.run("UPDATE carts SET a = 1 WHERE id = 3", 1, |seen| seen.handled.changed = 1);
    assert_eq!((some.work, some.grows_with.len()), (Work::ChangesRows, 0));
    let all = shop.run("UPDATE carts SET a = 1", 1000, |seen| {
        (seen.handled.read, seen.handled.changed) = (1001, 1001);
    });
    assert_eq!((all.work, all.grows_with), (Work::ChangesRows, vec!["carts".to_owned()]));
    let read = shop.run("SELECT count(*) FROM carts", 1, |seen| seen.handled.read += 1000);
    assert_eq!((read.work, read.grows_with), (Work::Scans, vec!["carts".to_owned()]));
    let by_routine = shop.run("CALL tidy_up()", 0, |seen| seen.handled.changed += 900);
    assert_eq!(by_routine.work, Work::ChangesRows);
    assert_eq!(by_routine.grows_with, ["carts", "users"], "what it touches cannot be known");
    let inserted = shop.run("INSERT INTO users VALUES (1)", 1, |_| {});
    assert_eq!((inserted.work, inserted.grows_with.len()), (Work::ChangesRows, 0));
}

#[test]
fn rows_that_no_counter_tells_are_read_too() {
    let counted = Shop::new().run("SELECT COUNT(*) FROM carts", 1, |_| {});
    assert_eq!((counted.work, counted.grows_with), (Work::Scans, vec!["carts".to_owned()]));
    let by_function = Shop::new().run("SET @done = tidy_up()", 0, |seen| seen.handled.changed = 900);
    assert_eq!(
        (by_function.work, by_function.grows_with),
        (Work::ChangesRows, vec!["carts".to_owned(), "users".to_owned()])
    );
    let timed = Shop::new().run("SET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE carts FORCE", 0, |seen| {
        (seen.stages.prepared, seen.stages.built) = (1, 1);
        set(seen, "carts", table(1000, 9, &[("PRIMARY", 90)]));
    });
    assert_eq!(modes(&timed), [("carts", "SHARED_NO_WRITE", false), ("carts", "EXCLUSIVE", true)]);
}

#[test]
fn what_commits_first_is_known() {
    let check = |sql: &str, expected| assert_eq!(commits_first(&words(sql, EngineKind::Mariadb)), expected, "{sql}");
    check("START TRANSACTION", true);
    check("LOCK TABLES t WRITE", true);
    check("ANALYZE TABLE t", true);
    check("CREATE TABLE t (a INT)", true);
    check("DROP TEMPORARY TABLE IF EXISTS t", false);
    check("CREATE OR REPLACE TEMPORARY TABLE t (a INT)", false);
    check("UPDATE t SET a = 1", false);
}

#[test]
fn work_on_a_copy_grows_with_what_it_was_copied_from() {
    let mut shop = Shop::new();
    let made = shop.run("CREATE TABLE carts_new LIKE carts", 0, |seen| set(seen, "carts_new", table(0, 11, &[])));
    assert_eq!(made.created, ["carts_new"]);
    shop.run("INSERT INTO carts_new SELECT * FROM carts", 1000, |seen| seen.handled.read = 1001);
    let built = shop.run("ALTER TABLE carts_new ADD INDEX (a)", 0, |seen| {
        (seen.stages.prepared, seen.stages.built) = (1, 1);
        set(seen, "carts_new", table(1000, 11, &[("a", 111)]));
    });
    assert_eq!(built.grows_with, ["carts", "carts_new"]);
    let renamed = shop.run("RENAME TABLE carts TO carts_old, carts_new TO carts", 0, |seen| {
        let all = seen.tables.as_mut().expect("it is a definition");
        let (old, new) = (all.remove("carts"), all.remove("carts_new"));
        all.extend([
            ("carts_old".to_owned(), old.expect("it was there")),
            ("carts".to_owned(), new.expect("it was made")),
        ]);
    });
    assert_eq!(renamed.work, Work::Constant);
    assert_eq!(modes(&renamed), [("carts", "EXCLUSIVE", false), ("carts_new", "EXCLUSIVE", false)]);
}

#[test]
fn locks_are_those_that_are_new() {
    let mut shop = Shop::new();
    let hold = |mode: &str| vec![("carts".to_owned(), mode.to_owned())];
    let first = shop.run("UPDATE carts SET a = 1 WHERE id = 1", 1, |seen| seen.locks = hold("SHARED_WRITE"));
    assert_eq!(modes(&first), [("carts", "SHARED_WRITE", false)]);
    let again = shop.run("UPDATE carts SET a = 1 WHERE id = 2", 1, |_| {});
    assert!(again.locks.is_empty(), "{:?}", again.locks);
    let all = shop.run("LOCK TABLES carts WRITE", 0, |seen| seen.locks = hold("SHARED_NO_READ_WRITE"));
    assert!(all.locks[0].stops_reads && all.locks[0].stops_writes, "{:?}", all.locks);
}

#[test]
fn a_table_that_is_locked_whole_stops_everybody_while_it_is_written() {
    let mut shop = Shop::new();
    shop.tracker.tables.get_mut("carts").expect("it is there").locked_whole = true;
    let stops =
        |effects: &Effects| effects.locks.iter().map(|lock| (lock.stops_reads, lock.stops_writes)).collect::<Vec<_>>();
    let hold = |mode: &str| vec![("carts".to_owned(), mode.to_owned())];
    let written = shop.run("UPDATE carts SET a = 1", 9, |seen| seen.locks = hold("SHARED_WRITE"));
    assert_eq!(stops(&written), [(true, true)]);
    let again = shop.run("UPDATE carts SET a = 2", 9, |_| {});
    assert_eq!(stops(&again), [(true, true)], "each statement locks it anew");
    let elsewhere = shop.run("SELECT 1 FROM users", 9, |_| {});
    assert_eq!(stops(&elsewhere), []);
    shop.run("COMMIT", 0, |seen| seen.locks.clear());
    let read = shop.run("SELECT * FROM carts", 9, |seen| seen.locks = hold("SHARED_READ"));
    assert_eq!(stops(&read), [(false, true)]);
    let rows = shop
        .run("UPDATE users SET a = 1", 9, |seen| seen.locks = vec![("users".to_owned(), "SHARED_WRITE".to_owned())]);
    assert_eq!(stops(&rows), [(false, false)]);
}
