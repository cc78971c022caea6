//! The questions to the server, and their answers as data.

/// The microseconds of the server's clock and the session's lock timeout; asked right before and after [`measure_sql`], so that its own
/// time can be taken off.
pub const CLOCK: &str = "\
SELECT (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000::pg_catalog.float8)::pg_catalog.int8,
       pg_catalog.current_setting('lock_timeout')";

/// From this version on a session can be told to hand in its counters when it is next idle.
const CAN_FLUSH: u32 = 15;

/// The relations that the session has locked, with what this transaction did to them. Rests on no `search_path`: everything, operators
/// too, is named in full.
pub fn measure_sql(version: u32) -> String {
    let flush = if version >= CAN_FLUSH { ", (SELECT pg_catalog.pg_stat_force_next_flush()) AS flushed" } else { "" };
    format!(
        "\
SELECT l.relation, l.modes, n.nspname, c.relname, c.relkind, c.relfilenode, i.indrelid, c.reltuples,
       pg_catalog.pg_stat_get_xact_numscans(l.relation), pg_catalog.pg_stat_get_xact_tuples_returned(l.relation),
       pg_catalog.pg_stat_get_xact_tuples_inserted(l.relation), pg_catalog.pg_stat_get_xact_tuples_updated(l.relation),
       pg_catalog.pg_stat_get_xact_tuples_deleted(l.relation){flush}
FROM (SELECT relation, pg_catalog.string_agg(mode, ' ') AS modes
      FROM pg_catalog.pg_locks
      WHERE locktype OPERATOR(pg_catalog.=) 'relation' AND granted
        AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
        AND relation OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
      GROUP BY relation) l
LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid"
    )
}

/// Statements after which the counters of an idle session stand at nothing, or at what the last of them answers: oid and counters.
pub fn baseline_sql(version: u32) -> &'static [&'static str] {
    if version >= CAN_FLUSH {
        &["SELECT pg_catalog.pg_stat_force_next_flush()"]
    } else {
        // The first lets counters be handed in that are due; none fall due in the moment up to the second.
        &[
            "SELECT 1",
            "\
SELECT s.* FROM (
  SELECT c.oid, pg_catalog.pg_stat_get_xact_numscans(c.oid) AS a, pg_catalog.pg_stat_get_xact_tuples_returned(c.oid) AS b,
         pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) AS c, pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) AS d,
         pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS e
  FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid) s
WHERE pg_catalog.int8larger(s.a, pg_catalog.int8larger(s.c, pg_catalog.int8larger(s.d, s.e))) OPERATOR(pg_catalog.>) 0::pg_catalog.int8",
        ]
    }
}

/// A relation as the catalogs have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// As it is shown: `orders` in schema public, else `schema.orders`.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// `pg_class.relfilenode`; zero where the relation has no file.
    pub file: u32,
    /// Of an index: its table.
    pub table: Option<u32>,
}

impl Relation {
    pub(super) fn is_index(&self) -> bool {
        matches!(self.kind, 'i' | 'I')
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'm' | 'p')
    }
}

/// The name of a relation as it is shown everywhere.
pub fn relation_name(schema: &str, name: &str) -> String {
    if schema == "public" {
        name.to_owned()
    } else if schema.starts_with("pg_temp_") {
        format!("pg_temp.{name}")
    } else {
        format!("{schema}.{name}")
    }
}

/// What this transaction did to a relation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub scans: i64,
    /// Rows read by whole scans, or entries of an index.
    pub read: i64,
    pub inserted: i64,
    pub updated: i64,
    pub deleted: i64,
}

impl Counters {
    /// From five columns of text.
    pub fn read(columns: &[Option<String>]) -> Counters {
        let number = |at: usize| columns.get(at).and_then(|text| text.as_deref()?.parse().ok()).unwrap_or(0);
        Counters { scans: number(0), read: number(1), inserted: number(2), updated: number(3), deleted: number(4) }
    }

    pub(super) fn since(self, before: Counters) -> Counters {
        Counters {
            scans: self.scans - before.scans,
            read: self.read - before.read,
            inserted: self.inserted - before.inserted,
            updated: self.updated - before.updated,
            deleted: self.deleted - before.deleted,
        }
    }

    pub(super) fn changed(self) -> i64 {
        self.inserted + self.updated + self.deleted
    }
}

/// One row of [`measure_sql`].
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub oid: u32,
    /// As `pg_locks` names them.
    pub modes: Vec<String>,
    /// None once it was dropped in this transaction.
    pub relation: Option<Relation>,
    /// `pg_class.reltuples`: not positive where unknown.
    pub rows: f64,
    pub counters: Counters,
}

impl Seen {
    /// None where the row is not what was asked for.
    pub fn read(row: &[Option<String>]) -> Option<Seen> {
        let text = |at: usize| row.get(at).and_then(Option::as_deref);
        let relation = text(3).map(|name| Relation {
            name: relation_name(text(2).unwrap_or_default(), name),
            kind: text(4).and_then(|kind| kind.chars().next()).unwrap_or('r'),
            file: text(5).and_then(|file| file.parse().ok()).unwrap_or(0),
            table: text(6).and_then(|table| table.parse().ok()),
        });
        Some(Seen {
            oid: text(0)?.parse().ok()?,
            modes: text(1)?.split(' ').map(str::to_owned).collect(),
            relation,
            rows: text(7).and_then(|rows| rows.parse().ok()).unwrap_or(-1.0),
            counters: Counters::read(row.get(8..)?),
        })
    }

    pub(super) fn is_toast(&self) -> bool {
        self.relation.as_ref().is_some_and(|relation| relation.name.starts_with("pg_toast"))
    }
}
