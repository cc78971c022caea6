use std::collections::{BTreeSet, HashMap};

use super::{Counters, Relation, Seen, Tracker};
use crate::engine::postgres::describe::Kind;
use crate::event::Work;

const ORDERS: u32 = 20_000;
const ORDERS_PKEY: u32 = 20_001;

fn relation(name: &str, kind: char, file: u32, table: Option<u32>) -> Relation {
    Relation { name: name.into(), kind, file, table }
}

fn orders() -> Tracker {
    let mut tracker = Tracker::default();
    tracker.set_relations(HashMap::from([
        (ORDERS, relation("orders", 'r', 1, None)),
        (ORDERS_PKEY, relation("orders_pkey", 'i', 2, Some(ORDERS))),
    ]));
    tracker
}

fn seen(oid: u32, mode: &str, relation: Option<Relation>, counters: Counters) -> Seen {
    Seen { oid, modes: vec![mode.into()], relation, rows: 1000.0, counters }
}

fn none() -> Counters {
    Counters::default()
}

#[test]
fn a_new_file_is_a_rewrite_unless_truncated() {
    let rewritten = || vec![seen(ORDERS, "AccessExclusiveLock", Some(relation("orders", 'r', 9, None)), none())];
    let effects = orders().after(Kind::Define, rewritten());
    assert_eq!(
        (effects.work, effects.rewrote, effects.grows_with),
        (Work::Rewrites, vec!["orders".into()], vec!["orders".into()])
    );
    let effects = orders().after(Kind::Truncate, rewritten());
    assert_eq!((effects.work, effects.rewrote), (Work::Constant, Vec::<String>::new()));
    assert!(effects.locks[0].stops_reads);
}

#[test]
fn what_a_rollback_undid_is_seen_again() {
    let mut tracker = orders();
    let rewritten = || vec![seen(ORDERS, "AccessExclusiveLock", Some(relation("orders", 'r', 9, None)), none())];
    assert_eq!(tracker.after(Kind::Define, rewritten()).locks.len(), 1);
    let again = tracker.after(Kind::Define, rewritten());
    assert_eq!((again.work, again.locks.len()), (Work::Constant, 0), "held and written already in this transaction");
    tracker.end_transaction(false);
    assert_eq!(tracker.after(Kind::Define, rewritten()).work, Work::Rewrites);
    tracker.end_transaction(true);
    assert_eq!(tracker.after(Kind::Define, rewritten()).work, Work::Constant);
}

#[test]
fn a_copy_grows_with_its_origin() {
    let mut tracker = orders();
    let read = Counters { scans: 1, read: 1000, ..none() };
    let filled = Counters { inserted: 1000, ..none() };
    let copy = 20_002;
    let made = |file| Some(relation("orders_new", 'r', file, None));
    let effects = tracker.after(
        Kind::Define,
        vec![
            seen(ORDERS, "AccessShareLock", Some(relation("orders", 'r', 1, None)), read),
            seen(copy, "AccessExclusiveLock", made(5), filled),
        ],
    );
    assert_eq!((effects.work, effects.created), (Work::Builds, vec!["orders_new".to_owned()]));
    assert_eq!(effects.grows_with, ["orders"]);
    assert_eq!(effects.locks.len(), 1, "nobody else sees the new table: {:?}", effects.locks);
    tracker.end_transaction(true);
    let index = relation("orders_new_pkey", 'i', 6, Some(copy));
    let effects = tracker.after(
        Kind::Define,
        vec![
            seen(copy, "AccessExclusiveLock", made(5), none()),
            seen(20_003, "AccessExclusiveLock", Some(index), none()),
        ],
    );
    assert_eq!((effects.work, effects.grows_with), (Work::Builds, vec!["orders".into(), "orders_new".into()]));
}

#[test]
fn a_handful_of_rows_does_not_grow() {
    let check = |counters: Counters, work: Work, grows: &[&str]| {
        let row = seen(ORDERS, "RowExclusiveLock", Some(relation("orders", 'r', 1, None)), counters);
        let effects = orders().after(Kind::Change, vec![row]);
        assert_eq!((effects.work, effects.grows_with), (work, grows.iter().map(|name| (*name).to_owned()).collect()));
        assert!(!effects.locks[0].stops_writes);
    };
    check(Counters { updated: 1, ..none() }, Work::ChangesRows, &[]);
    check(Counters { updated: 500, ..none() }, Work::ChangesRows, &["orders"]);
    check(Counters { scans: 1, read: 1000, deleted: 1, ..none() }, Work::ChangesRows, &["orders"]);
    check(Counters { scans: 1, read: 1, ..none() }, Work::Constant, &[]);
    check(Counters { scans: 1, read: 1000, ..none() }, Work::Scans, &["orders"]);
    check(Counters { inserted: 3, ..none() }, Work::ChangesRows, &[]);
}

#[test]
fn a_concurrent_reindex_puts_a_new_index_in_place() {
    let now = HashMap::from([
        (ORDERS, relation("orders", 'r', 1, None)),
        (20_009, relation("orders_pkey", 'i', 20_009, Some(ORDERS))),
    ]);
    let locks = HashMap::from([(ORDERS, vec!["ShareUpdateExclusiveLock".to_owned(), "AccessShareLock".to_owned()])]);
    let effects = orders().from_outside(Kind::Build, &locks, Some(now), &BTreeSet::new(), None);
    assert_eq!((effects.work, effects.rewrote, effects.created), (Work::Builds, vec!["orders_pkey".into()], vec![]));
    assert_eq!(effects.locks[0].mode, "ShareUpdateExclusive");
}
