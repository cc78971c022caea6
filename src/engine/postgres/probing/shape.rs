//! Tables of a Postgres database as probes need them.
//!
//! Read before the plan, and unique indexes again when one refuses a row, from the catalogs (manual: *System Catalogs*; the columns used are the same from 13 to 18).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::outside::{Reach, functions};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::{DriverError, connect};
use crate::engine::postgres::foreign::REACHES_OUT;
use crate::engine::probing::{
    Catalog, Column, Form, Identity, Origin as Of, Reference, Sequence, Table, Unique, ValueKind,
};
use crate::engine::server::BoxError;

/// What a table is to Postgres itself.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub(super) oid: u32,
    /// Of its columns, each the one that it keeps under another name and after it was dropped.
    pub(super) numbers: Vec<i16>,
    /// Check constraints of the whole database, those of domains and partitions too.
    pub(super) checks: Arc<BTreeSet<u32>>,
    /// Of its heap, partitions together.
    pub(super) pages: i64,
}

/// A table while it is read.
struct Draft {
    table: Table,
    origin: Origin,
    /// A foreign one itself.
    foreign: bool,
    /// A foreign table is below it, as a partition or a child: reading all of its rows connects to another server.
    reaches_out: bool,
    /// Functions of its triggers.
    trigger_functions: Vec<u32>,
}

/// Every user table, with what `role` may do, and the connections left to `app`.
///
/// # Errors
/// The driver's.
pub(in crate::engine) async fn read(
    superuser: &Endpoint,
    app: &Endpoint,
    role: String,
    timeout: Duration,
) -> Result<Catalog, BoxError> {
    let connection = connect(superuser, timeout).await?;
    let client = &connection.client;
    let tables = tables(client, &role).await?;
    let connections: i64 = client.query_one(CONNECTIONS, &[&app.user]).await?.get(0);
    Ok(Catalog { tables, role, connections: usize::try_from(connections).unwrap_or(0) })
}

async fn tables(client: &Client, role: &str) -> Result<Vec<Table>, DriverError> {
    let drafts = drafts(client, role).await?;
    let functions = functions(client).await?;
    let with_triggers: Vec<_> =
        drafts.iter().map(|draft| (&draft.table, draft.trigger_functions.as_slice(), draft.foreign)).collect();
    let reach = Reach::new(functions, &with_triggers);
    let kept: Vec<Option<String>> =
        drafts.iter().map(|draft| reach.outside(&draft.table, &draft.trigger_functions)).collect();
    let tables = drafts.into_iter().zip(kept).map(|(draft, kept)| Table {
        elsewhere: elsewhere(&draft).map(str::to_owned),
        kept: kept.map(|how| format!("a trigger reaches outside the database: {how}")),
        origin: Of::Postgres(draft.origin),
        ..draft.table
    });
    Ok(tables.collect())
}

/// Why nothing may be read from the table either, if its rows lie on another server: a read connects there.
fn elsewhere(draft: &Draft) -> Option<&'static str> {
    if draft.foreign {
        return Some(
            "a foreign table: its rows are on another server, and what is written there is not this one's to undo",
        );
    }
    draft.reaches_out.then_some("some of its rows are on another server, in a foreign table that is a part of it")
}

/// Every user table, by name. `role` is whose privileges count.
async fn drafts(client: &Client, role: &str) -> Result<Vec<Draft>, DriverError> {
    let mut tables: BTreeMap<u32, Draft> = BTreeMap::new();
    let checks: BTreeSet<u32> = client.query(CHECKS, &[]).await?.iter().map(|row| row.get(0)).collect();
    let checks = Arc::new(checks);
    for row in client.query(&format!("WITH RECURSIVE {REACHES_OUT}, {TABLES}"), &[]).await? {
        let draft = draft(&row, &checks);
        tables.insert(draft.origin.oid, draft);
    }
    let oids: Vec<u32> = tables.keys().copied().collect();
    let mut positions: BTreeMap<(u32, i16), usize> = BTreeMap::new();
    for row in client.query(COLUMNS, &[&oids, &role]).await? {
        let oid: u32 = row.get("oid");
        let Some(Draft { table, origin, .. }) = tables.get_mut(&oid) else { continue };
        positions.insert((oid, row.get("number")), table.columns.len());
        origin.numbers.push(row.get("number"));
        table.columns.push(column(&row));
    }
    let at = |oid: u32, numbers: Vec<i16>| -> Option<Vec<usize>> {
        numbers.into_iter().map(|number| positions.get(&(oid, number)).copied()).collect()
    };
    let mut keys: BTreeMap<u32, (bool, usize)> = BTreeMap::new();
    for row in client.query(&unique("ANY ($1)"), &[&oids]).await? {
        let oid: u32 = row.get("oid");
        let (Some(Draft { table, .. }), Some(columns)) = (tables.get_mut(&oid), at(oid, row.get("columns"))) else {
            continue;
        };
        let primary: bool = row.get("primary");
        let usable: bool = row.get("usable_as_key");
        if usable && columns.iter().all(|&each| table.columns[each].not_null) {
            let rank = (!primary, columns.len());
            if keys.get(&oid).is_none_or(|best| rank < *best) {
                keys.insert(oid, rank);
                table.key = Some(columns.clone());
            }
        }
        table.unique.push(Unique { name: None, columns, equality: row.get("equality") });
    }
    for row in client.query(REFERENCES, &[&oids]).await? {
        let (oid, to): (u32, u32) = (row.get("oid"), row.get("to_oid"));
        if let Some(target) = tables.get_mut(&to) {
            target.table.referenced = true;
        }
        if let (Some(Draft { table, .. }), Some(columns)) = (tables.get_mut(&oid), at(oid, row.get("columns"))) {
            table.references.push(Reference {
                columns,
                to_quoted: row.get("to_quoted"),
                to_name: row.get("to_name"),
                to_columns: row.get("to_columns"),
                acts: row.get("acts"),
            });
        }
    }
    let mut drafts: Vec<Draft> = tables.into_values().collect();
    drafts.sort_by(|a, b| a.table.name.cmp(&b.table.name));
    Ok(drafts)
}

fn draft(row: &Row, checks: &Arc<BTreeSet<u32>>) -> Draft {
    let known_as: Vec<String> = row.get("known_as");
    let table = Table {
        engine: EngineKind::Postgres,
        name: row.get("name"),
        quoted: row.get("quoted"),
        elsewhere: None,
        kept: None,
        columns: Vec::new(),
        key: None,
        unique: Vec::new(),
        references: Vec::new(),
        referenced: false,
        known_as: known_as.into_iter().map(|name| name.to_lowercase()).collect(),
        origin: Of::Postgres(Origin::default()),
    };
    let origin =
        Origin { oid: row.get("oid"), numbers: Vec::new(), checks: Arc::clone(checks), pages: row.get("pages") };
    Draft {
        table,
        origin,
        foreign: row.get("foreign"),
        reaches_out: row.get("reaches_out"),
        trigger_functions: row.get("trigger_functions"),
    }
}

fn column(row: &Row) -> Column {
    let identity: &str = row.get("identity");
    let left: Option<i64> = row.get("sequence_left");
    Column {
        quoted: row.get("quoted"),
        kind: value_kind(row),
        form: Form::Quoted,
        variable: row.get("variable"),
        not_null: row.get("not_null"),
        default: row.get("default"),
        identity: match identity {
            "a" => Identity::Always,
            "d" => Identity::ByDefault,
            _ => Identity::No,
        },
        generated: row.get("generated"),
        sequence: left.map(|left| Sequence { left: left.max(0).unsigned_abs() }),
        in_partition_key: row.get("in_partition_key"),
        may_select: row.get("may_select"),
        may_insert: row.get("may_insert"),
        may_update: row.get("may_update"),
    }
}

fn value_kind(row: &Row) -> ValueKind {
    let (name, class, category): (&str, &str, &str) = (row.get("type"), row.get("type_class"), row.get("category"));
    let modifier: i32 = row.get("modifier");
    let modifier = usize::try_from(modifier).ok();
    // Modifiers of these types are four more than they say.
    let length = modifier.map(|modifier| modifier.saturating_sub(4));
    match (class, name, category) {
        ("e", ..) => row.get::<_, Option<String>>("first_label").map_or(ValueKind::Other, ValueKind::Enum),
        ("r" | "m", ..) => ValueKind::Range,
        (_, _, "A") => ValueKind::Array,
        (_, "int2", _) => ValueKind::Integer { max: i16::MAX.into() },
        (_, "int4", _) => ValueKind::Integer { max: i32::MAX.into() },
        (_, "int8", _) => ValueKind::Integer { max: i64::MAX },
        (_, "numeric", _) => ValueKind::Numeric {
            digits: length.map(|packed| {
                let (digits, scale) = ((packed >> 16) as u32, (packed & 0x7ff) as u32);
                (digits.saturating_sub(scale), scale)
            }),
        },
        (_, "float4" | "float8", _) => ValueKind::Float,
        (_, "varchar" | "bpchar", _) => ValueKind::Text { max: length },
        (_, "text" | "citext" | "name", _) => ValueKind::Text { max: (name == "name").then_some(63) },
        (_, "uuid", _) => ValueKind::Uuid,
        (_, "date", _) => ValueKind::Date,
        (_, "timestamp" | "timestamptz", _) => ValueKind::Timestamp,
        (_, "time" | "timetz", _) => ValueKind::Time,
        (_, "bytea", _) => ValueKind::Bytes { prefix: "\\x", max: None },
        (_, "bool", _) => ValueKind::Boolean,
        (_, "inet" | "cidr", _) => ValueKind::Inet,
        (_, "macaddr", _) => ValueKind::Mac,
        (_, "json" | "jsonb", _) => ValueKind::Json,
        (_, "bit" | "varbit", _) => ValueKind::Bits(modifier.unwrap_or(1)),
        _ => ValueKind::Other,
    }
}

/// Behind [`REACHES_OUT`]. Extensions' tables and the tool's own schema are nobody's; partitions are felt through their root.
const TABLES: &str = "
family(root, member) AS (
    SELECT oid, oid FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'f') AND NOT relispartition
    UNION ALL
    SELECT f.root, h.inhrelid FROM family f JOIN pg_catalog.pg_inherits h ON h.inhparent = f.member
        JOIN pg_catalog.pg_class p ON p.oid = h.inhrelid AND p.relispartition)
SELECT c.oid,
    CASE n.nspname WHEN 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END AS name,
    pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS quoted,
    c.relkind = 'f' AS \"foreign\",
    c.oid IN (SELECT oid FROM reaches_out) AS reaches_out,
    (SELECT coalesce(sum(pg_catalog.pg_relation_size(p.oid)) / 8192, 0)::int8
        FROM family f JOIN pg_catalog.pg_class p ON p.oid = f.member
        WHERE f.root = c.oid AND p.relkind = 'r') AS pages,
    ARRAY(
        SELECT p.relname::text FROM family f JOIN pg_catalog.pg_class p ON p.oid = f.member WHERE f.root = c.oid
        UNION SELECT n.nspname || '.' || c.relname
        UNION SELECT p.relname::text FROM family f JOIN pg_catalog.pg_index i ON i.indrelid = f.member
            JOIN pg_catalog.pg_class p ON p.oid = i.indexrelid WHERE f.root = c.oid
        UNION SELECT k.conname::text FROM family f JOIN pg_catalog.pg_constraint k ON k.conrelid = f.member
            WHERE f.root = c.oid
        UNION SELECT t.tgname::text FROM family f JOIN pg_catalog.pg_trigger t ON t.tgrelid = f.member
            WHERE f.root = c.oid AND NOT t.tgisinternal
        UNION SELECT s.relname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid AND s.relkind = 'S'
                AND d.deptype IN ('a', 'i')
    ) AS known_as,
    ARRAY(SELECT DISTINCT t.tgfoid FROM family f JOIN pg_catalog.pg_trigger t ON t.tgrelid = f.member
        WHERE f.root = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D') AS trigger_functions
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('information_schema', 'rehearsal') AND left(n.nspname, 3) <> 'pg_'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// `$1` tables, `$2` role. The type is the one at the bottom of any domains.
const COLUMNS: &str = "
SELECT a.attrelid AS oid, a.attnum AS number, pg_catalog.quote_ident(a.attname) AS quoted,
    b.type, b.class AS type_class, b.category, b.modifier, a.attlen < 0 AS variable,
    (SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder LIMIT 1) AS first_label,
    a.attnotnull OR b.not_null AS not_null,
    (a.atthasdef AND a.attgenerated = '') OR b.default AS \"default\",
    a.attidentity::text AS identity, a.attgenerated <> '' AS generated,
    a.attnum = ANY (p.partattrs) IS TRUE AS in_partition_key,
    pg_catalog.has_column_privilege($2, a.attrelid, a.attnum, 'SELECT') AS may_select,
    pg_catalog.has_column_privilege($2, a.attrelid, a.attnum, 'INSERT') AS may_insert,
    pg_catalog.has_column_privilege($2, a.attrelid, a.attnum, 'UPDATE') AS may_update,
    q.room AS sequence_left
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = a.attrelid
CROSS JOIN LATERAL (
    WITH RECURSIVE under(type, modifier, not_null, \"default\") AS (
        SELECT a.atttypid, a.atttypmod, false, false
        UNION ALL
        SELECT t.typbasetype, t.typtypmod, under.not_null OR t.typnotnull, under.default OR t.typdefault IS NOT NULL
        FROM under JOIN pg_catalog.pg_type t ON t.oid = under.type WHERE t.typtype = 'd')
    SELECT t.oid, t.typname::text AS type, t.typtype::text AS class, t.typcategory::text AS category, under.modifier,
        under.not_null, under.default
    FROM under JOIN pg_catalog.pg_type t ON t.oid = under.type WHERE t.typtype <> 'd') AS b
LEFT JOIN LATERAL (
    SELECT min(((CASE WHEN s.seqincrement > 0
            THEN least(s.seqmax, CASE b.type WHEN 'int2' THEN 32767 WHEN 'int4' THEN 2147483647 ELSE s.seqmax END)::numeric
                - coalesce(pg_catalog.pg_sequence_last_value(s.seqrelid), s.seqmin)
            ELSE coalesce(pg_catalog.pg_sequence_last_value(s.seqrelid), s.seqmax)::numeric - s.seqmin END)
        / abs(s.seqincrement))::int8) AS room
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s
        ON (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND s.seqrelid = d.refobjid)
            OR (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND s.seqrelid = d.objid)
    WHERE NOT s.seqcycle AND (
        (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.objid = (SELECT ad.oid FROM pg_catalog.pg_attrdef ad WHERE ad.adrelid = a.attrelid AND ad.adnum = a.attnum))
        OR (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'i'
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum))) AS q ON true
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

const CHECKS: &str = "SELECT oid FROM pg_catalog.pg_constraint WHERE contype = 'c'";

/// `of` a table, or ANY of several. Columns inside expressions come from what the index depends on.
fn unique(of: &str) -> String {
    format!(
        "
SELECT i.indexrelid AS index, i.indrelid AS oid, i.indisprimary AS \"primary\", i.indisunique AS equality,
    i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AS usable_as_key,
    ARRAY(
        SELECT k.number::int2 FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(number, nth)
            WHERE k.nth <= i.indnkeyatts AND k.number <> 0
        UNION
        SELECT d.refobjsubid::int2 FROM pg_catalog.pg_depend d
            WHERE i.indexprs IS NOT NULL AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid > 0
        ORDER BY 1
    ) AS columns
FROM pg_catalog.pg_index i
WHERE i.indrelid = {of} AND (i.indisunique OR i.indisexclusion)
ORDER BY i.indexrelid"
    )
}

/// The unique indexes of the table that has this name, as a literal: a row for each of their columns, of which the second says whether
/// it compares by equality and the third is the column's name.
pub(super) fn unique_by_name(table: &str) -> String {
    format!(
        "SELECT u.index, u.equality, pg_catalog.quote_ident(a.attname) FROM ({}) u
        JOIN pg_catalog.pg_attribute a ON a.attrelid = u.oid AND a.attnum = ANY (u.columns) ORDER BY u.index, a.attnum",
        unique(&format!("pg_catalog.to_regclass({table})"))
    )
}

/// `$1` tables, on either side. Those that partitions inherit are their root's. A key never refers to a row of a child table's.
const REFERENCES: &str = "
SELECT k.conrelid AS oid, k.confrelid AS to_oid, k.conkey AS columns,
    CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END || pg_catalog.quote_ident(n.nspname) || '.'
        || pg_catalog.quote_ident(c.relname) AS to_quoted,
    CASE n.nspname WHEN 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END AS to_name,
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS u(number, nth)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.nth) AS to_columns,
    k.confdeltype NOT IN ('a', 'r') OR k.confupdtype NOT IN ('a', 'r') AS acts
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY ($1) OR k.confrelid = ANY ($1))
ORDER BY k.oid";

/// `$1` login. What is left to it by the server, the database and its own limit; what others have open now is taken off.
const CONNECTIONS: &str = "
SELECT least(
    current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
        - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
    (SELECT nullif(datconnlimit, -1) FROM pg_catalog.pg_database WHERE datname = current_database()),
    (SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = $1))";
