//! Which metadata locks are in each other's way: the servers' own rules.
//!
//! Chapters "Metadata Locking" (MySQL) and "Metadata Locking", "BACKUP STAGE" (MariaDB) of the manuals tell what statements take; the tables
//! here are those by which the servers grant. Names are those of `performance_schema.metadata_locks`.

/// A lock that somebody holds or asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataLock {
    /// The session's number; none for the server's own threads.
    pub session: Option<i32>,
    /// "TABLE", "GLOBAL", "BACKUP".
    pub kind: String,
    pub schema: Option<String>,
    pub name: Option<String>,
    /// "SHARED_READ".
    pub mode: String,
    pub granted: bool,
    /// Tells two requests of one session apart.
    pub event: u64,
}

impl MetadataLock {
    fn is_of_same(&self, other: &MetadataLock) -> bool {
        self.kind == other.kind && self.schema == other.schema && self.name == other.name
    }

    fn writes(&self) -> bool {
        !["SHARED", "SHARED_HIGH_PRIO", "SHARED_READ", "SHARED_READ_ONLY"].contains(&self.mode.as_str())
    }

    fn is_of_server(&self) -> bool {
        let of_server = ["mysql", "sys", "performance_schema", "information_schema"];
        self.schema.as_deref().is_some_and(|schema| of_server.contains(&schema))
    }

    /// Whether this request waits for that lock, or behind that request, of another session.
    pub fn waits_for(&self, other: &MetadataLock) -> bool {
        !self.granted && self.session != other.session && self.is_of_same(other) && {
            let rows = if other.granted { GRANTED } else { PENDING };
            rows.iter().any(|(asked, before)| *asked == self.mode && before.contains(&other.mode.as_str()))
        }
    }
}

/// Engines that lock rows, or nothing; whoever writes to a table of another has it alone (chapters "Internal Locking Methods" of the
/// manuals).
const OF_ROWS: [&str; 5] = ["InnoDB", "ROCKSDB", "TokuDB", "ndbcluster", "ARCHIVE"];

/// Whether a statement locks a table of that engine whole, beside its metadata.
pub fn locks_whole(engine: &str) -> bool {
    !OF_ROWS.iter().any(|each| each.eq_ignore_ascii_case(engine))
}

/// Somebody who has their metadata locks, and waits on: for the lock of a whole table, or for a table that was flushed to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableWait {
    pub session: i32,
    pub is_flush: bool,
}

/// The table that a session waits for, and the sessions in its way, by what they all hold; of `FLUSH TABLES` itself no table is known.
/// Neither server says which statement has the lock: whoever uses the table and does not wait for it likewise.
pub fn behind(wait: TableWait, waits: &[TableWait], locks: &[MetadataLock]) -> (Option<MetadataLock>, Vec<i32>) {
    let is_waiting = |session| waits.iter().any(|each| each.is_flush == wait.is_flush && Some(each.session) == session);
    let of_tables = || locks.iter().filter(|lock| lock.granted && lock.kind == "TABLE" && !lock.is_of_server());
    let uses = |session: i32| of_tables().filter(move |lock| lock.session == Some(session));
    let others = |table: &MetadataLock| -> Vec<&MetadataLock> {
        let in_way = |other: &&MetadataLock| {
            other.session != Some(wait.session)
                && other.is_of_same(table)
                && (wait.is_flush || table.writes() || other.writes())
        };
        of_tables().filter(in_way).collect()
    };
    let mine = uses(wait.session).find(|table| !others(table).is_empty()).or_else(|| uses(wait.session).next());
    let mut before: Vec<i32> = match mine {
        Some(table) => {
            let (waiting, working): (Vec<_>, Vec<_>) =
                others(table).into_iter().partition(|other| is_waiting(other.session));
            let before = if working.is_empty() && !wait.is_flush { waiting } else { working };
            let flushing =
                waits.iter().filter(|each| wait.is_flush && each.is_flush && uses(each.session).next().is_none());
            before.iter().filter_map(|lock| lock.session).chain(flushing.map(|each| each.session)).collect()
        }
        None if wait.is_flush => {
            of_tables().filter(|lock| !is_waiting(lock.session)).filter_map(|lock| lock.session).collect()
        }
        None => Vec::new(),
    };
    before.sort_unstable();
    before.dedup();
    (mine.cloned(), before)
}

/// Modes by strength; what stands for none of them is no lock on a table.
pub const MODES: [&str; 11] = [
    "INTENTION_EXCLUSIVE",
    "SHARED",
    "SHARED_HIGH_PRIO",
    "SHARED_READ",
    "SHARED_WRITE",
    "SHARED_WRITE_LOW_PRIO",
    "SHARED_UPGRADABLE",
    "SHARED_READ_ONLY",
    "SHARED_NO_WRITE",
    "SHARED_NO_READ_WRITE",
    "EXCLUSIVE",
];

/// A request, and the locks that others may hold which it waits for.
type Rows = &'static [(&'static str, &'static [&'static str])];

const GRANTED: Rows = &[
    ("INTENTION_EXCLUSIVE", &["SHARED", "EXCLUSIVE"]),
    ("SHARED", &["INTENTION_EXCLUSIVE", "EXCLUSIVE"]),
    ("SHARED_HIGH_PRIO", &["EXCLUSIVE"]),
    ("SHARED_READ", &["SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_WRITE", &["SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_WRITE_LOW_PRIO", &["SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_UPGRADABLE", &["SHARED_UPGRADABLE", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_READ_ONLY", &["SHARED_WRITE", "SHARED_WRITE_LOW_PRIO", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    (
        "SHARED_NO_WRITE",
        &[
            "SHARED_WRITE",
            "SHARED_WRITE_LOW_PRIO",
            "SHARED_UPGRADABLE",
            "SHARED_NO_WRITE",
            "SHARED_NO_READ_WRITE",
            "EXCLUSIVE",
        ],
    ),
    (
        "SHARED_NO_READ_WRITE",
        &[
            "SHARED_READ",
            "SHARED_WRITE",
            "SHARED_WRITE_LOW_PRIO",
            "SHARED_UPGRADABLE",
            "SHARED_READ_ONLY",
            "SHARED_NO_WRITE",
            "SHARED_NO_READ_WRITE",
            "EXCLUSIVE",
        ],
    ),
    ("EXCLUSIVE", &MODES),
    // MariaDB's, which take the place of MySQL's global read lock, commit lock and backup lock.
    (
        "BACKUP_START",
        &[
            "BACKUP_START",
            "BACKUP_FLUSH",
            "BACKUP_WAIT_FLUSH",
            "BACKUP_WAIT_DDL",
            "BACKUP_WAIT_COMMIT",
            "BACKUP_BLOCK_DDL",
        ],
    ),
    ("BACKUP_FLUSH", &["BACKUP_START"]),
    ("BACKUP_WAIT_FLUSH", &["BACKUP_START", "BACKUP_DML"]),
    ("BACKUP_WAIT_DDL", &["BACKUP_START", "BACKUP_DML", "BACKUP_DDL"]),
    ("BACKUP_WAIT_COMMIT", &["BACKUP_START", "BACKUP_DML", "BACKUP_SYS_DML", "BACKUP_DDL", "BACKUP_COMMIT"]),
    ("BACKUP_FTWRL1", &["BACKUP_DML", "BACKUP_TRANS_DML", "BACKUP_SYS_DML", "BACKUP_DDL", "BACKUP_ALTER_COPY"]),
    (
        "BACKUP_FTWRL2",
        &["BACKUP_DML", "BACKUP_TRANS_DML", "BACKUP_SYS_DML", "BACKUP_DDL", "BACKUP_ALTER_COPY", "BACKUP_COMMIT"],
    ),
    ("BACKUP_DML", BEFORE_DML),
    ("BACKUP_TRANS_DML", &["BACKUP_FTWRL1", "BACKUP_FTWRL2"]),
    ("BACKUP_SYS_DML", &["BACKUP_WAIT_COMMIT", "BACKUP_FTWRL1", "BACKUP_FTWRL2"]),
    ("BACKUP_DDL", BEFORE_DDL),
    (
        "BACKUP_BLOCK_DDL",
        &[
            "BACKUP_START",
            "BACKUP_FLUSH",
            "BACKUP_WAIT_FLUSH",
            "BACKUP_WAIT_DDL",
            "BACKUP_WAIT_COMMIT",
            "BACKUP_BLOCK_DDL",
            "BACKUP_DDL",
        ],
    ),
    ("BACKUP_ALTER_COPY", &["BACKUP_FTWRL1", "BACKUP_FTWRL2"]),
    ("BACKUP_COMMIT", &["BACKUP_WAIT_COMMIT", "BACKUP_FTWRL2"]),
];

/// A request, and those of others that go before it while they wait themselves, even where it would get along with everything held.
const PENDING: Rows = &[
    ("INTENTION_EXCLUSIVE", &["SHARED", "EXCLUSIVE"]),
    ("SHARED", &["EXCLUSIVE"]),
    ("SHARED_READ", &["SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_WRITE", &["SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_WRITE_LOW_PRIO", &["SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_UPGRADABLE", &["EXCLUSIVE"]),
    ("SHARED_READ_ONLY", &["SHARED_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]),
    ("SHARED_NO_WRITE", &["EXCLUSIVE"]),
    ("SHARED_NO_READ_WRITE", &["EXCLUSIVE"]),
    (
        "BACKUP_START",
        &["BACKUP_FLUSH", "BACKUP_WAIT_FLUSH", "BACKUP_WAIT_DDL", "BACKUP_WAIT_COMMIT", "BACKUP_BLOCK_DDL"],
    ),
    ("BACKUP_DML", BEFORE_DML),
    ("BACKUP_TRANS_DML", &["BACKUP_FTWRL1", "BACKUP_FTWRL2"]),
    ("BACKUP_SYS_DML", &["BACKUP_WAIT_COMMIT", "BACKUP_FTWRL1", "BACKUP_FTWRL2"]),
    ("BACKUP_DDL", BEFORE_DDL),
    ("BACKUP_BLOCK_DDL", &["BACKUP_START"]),
    ("BACKUP_ALTER_COPY", &["BACKUP_FTWRL1", "BACKUP_FTWRL2"]),
    ("BACKUP_COMMIT", &["BACKUP_WAIT_COMMIT", "BACKUP_FTWRL2"]),
];

const BEFORE_DML: &[&str] =
    &["BACKUP_FLUSH", "BACKUP_WAIT_FLUSH", "BACKUP_WAIT_DDL", "BACKUP_WAIT_COMMIT", "BACKUP_FTWRL1", "BACKUP_FTWRL2"];

const BEFORE_DDL: &[&str] =
    &["BACKUP_WAIT_DDL", "BACKUP_WAIT_COMMIT", "BACKUP_FTWRL1", "BACKUP_FTWRL2", "BACKUP_BLOCK_DDL"];

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(session: i32, mode: &str, granted: bool) -> MetadataLock {
        MetadataLock {
            session: Some(session),
            kind: "TABLE".into(),
            schema: Some("shop".into()),
            name: Some("t".into()),
            mode: mode.into(),
            granted,
            event: 1,
        }
    }

    /// Who waits for whom, waiter first.
    fn waits(locks: &[MetadataLock]) -> Vec<(i32, i32)> {
        let mut found = Vec::new();
        for asked in locks {
            for before in locks.iter().filter(|before| asked.waits_for(before)) {
                found.push((asked.session.expect("given"), before.session.expect("given")));
            }
        }
        found
    }

    #[test]
    fn a_read_queues_behind_an_alter_that_waits() {
        let locks = [
            lock(1, "SHARED_READ", true),
            lock(2, "SHARED_UPGRADABLE", true),
            lock(2, "EXCLUSIVE", false),
            lock(3, "SHARED_READ", false),
            lock(4, "SHARED_WRITE", false),
        ];
        assert_eq!(waits(&locks), [(2, 1), (3, 2), (4, 2)]);
    }

    #[test]
    fn only_the_same_object_is_in_the_way() {
        let elsewhere = MetadataLock { name: Some("u".into()), ..lock(1, "EXCLUSIVE", true) };
        assert_eq!(waits(&[elsewhere, lock(2, "SHARED_READ", false)]), []);
        // What a session holds itself is not.
        assert_eq!(waits(&[lock(1, "SHARED_WRITE", true), lock(1, "EXCLUSIVE", false)]), []);
    }

    #[test]
    fn locks_get_along_as_the_servers_have_it() {
        let check = |asked: &str, granted: &str, pending: bool, expected: bool| {
            let locks = [lock(1, granted, !pending), lock(2, asked, false)];
            let found = waits(&locks).contains(&(2, 1));
            assert_eq!(found, expected, "{asked} after {granted}, pending: {pending}");
        };
        check("SHARED_READ", "SHARED_NO_WRITE", false, false);
        check("SHARED_WRITE", "SHARED_NO_WRITE", false, true);
        check("SHARED_UPGRADABLE", "SHARED_UPGRADABLE", false, true);
        check("SHARED_UPGRADABLE", "SHARED_UPGRADABLE", true, false);
        check("SHARED_HIGH_PRIO", "EXCLUSIVE", false, true);
        check("SHARED_HIGH_PRIO", "EXCLUSIVE", true, false);
        check("EXCLUSIVE", "EXCLUSIVE", true, false);
        check("SHARED_READ", "SHARED_NO_READ_WRITE", true, true);
        // FLUSH TABLES WITH READ LOCK: MySQL's and MariaDB's.
        check("SHARED", "INTENTION_EXCLUSIVE", false, true);
        check("INTENTION_EXCLUSIVE", "SHARED", true, true);
        check("INTENTION_EXCLUSIVE", "INTENTION_EXCLUSIVE", false, false);
        check("BACKUP_FTWRL1", "BACKUP_DDL", false, true);
        check("BACKUP_TRANS_DML", "BACKUP_FTWRL1", true, true);
        check("BACKUP_COMMIT", "BACKUP_FTWRL1", true, false);
        // GET_LOCK, which MariaDB holds by another name.
        check("SHARED_NO_WRITE", "SHARED_NO_WRITE", false, true);
    }

    #[test]
    fn who_waits_for_a_whole_table_waits_behind_those_who_use_it() {
        let on = |session, is_flush| TableWait { session, is_flush };
        let check =
            |wait: TableWait, waits: &[TableWait], locks: &[MetadataLock], table: Option<&str>, expected: &[i32]| {
                let (found, before) = behind(wait, waits, locks);
                let found = found.and_then(|lock| lock.name);
                assert_eq!((found.as_deref(), before.as_slice()), (table, expected), "{wait:?}");
            };
        // One writes, two who read and one who writes wait.
        let locks = [
            lock(1, "SHARED_WRITE", true),
            lock(2, "SHARED_READ", true),
            lock(3, "SHARED_READ", true),
            lock(4, "SHARED_WRITE", true),
        ];
        let waits = [on(2, false), on(3, false), on(4, false)];
        check(waits[0], &waits, &locks, Some("t"), &[1]);
        check(waits[2], &waits, &locks, Some("t"), &[1]);
        // What they use besides is not what they wait for.
        let besides = MetadataLock { name: Some("u".into()), ..lock(2, "SHARED_READ", true) };
        check(waits[0], &waits, &[besides, locks[0].clone(), locks[1].clone()], Some("t"), &[1]);
        // Reads get along.
        check(on(2, false), &[on(2, false)], &locks[1..3], Some("t"), &[]);
        // FLUSH TABLES waits for one who reads, and another waits for both.
        let (reads, waits) = ([lock(1, "SHARED_READ", true), lock(3, "SHARED_READ", true)], [on(2, true), on(3, true)]);
        check(waits[0], &waits, &reads, None, &[1]);
        check(waits[1], &waits, &reads, Some("t"), &[1, 2]);
    }

    /// Two that are granted together must both be allowed to hold: a wait goes one way or the other by the order alone.
    #[test]
    fn what_is_held_is_the_same_from_both_sides() {
        for (asked, before) in GRANTED.iter().filter(|(asked, _)| !asked.starts_with("BACKUP_")) {
            for other in *before {
                let there = GRANTED.iter().find(|(each, _)| each == other).map(|(_, before)| before.contains(asked));
                assert_eq!(there, Some(true), "{asked} waits for {other}, and not the other way");
            }
        }
    }
}
