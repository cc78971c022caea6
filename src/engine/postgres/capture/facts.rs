//! What a Postgres database holds, as its catalogs say it under a capture's snapshot (chapter "System Catalogs" of the manual).

use std::collections::HashMap;

use tokio_postgres::Row;

use super::super::catalog::display_name;
use super::super::names::quote;
use super::super::reading::Reading;
use crate::engine::EngineKind;
use crate::engine::capture::{Column, Database, Extension, Kind, LeftOut, Role, Sequence, SourceError, Table};
use crate::engine::reading::ReadError;

/// Sequences that are asked for their values at once.
const SEQUENCES_AT_ONCE: usize = 200;

/// Schemas of users, `pg_namespace` being `n`.
pub(super) const OWN: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// That `pg_class` `c` came with no extension, or is a table of one whose rows the users make (manual: "Extension Configuration
/// Tables").
pub(super) const OF_USERS: &str =
    "(NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid
    AND m.objsubid = 0 AND m.deptype = 'e') OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))";

/// Settings under which sessions begin, and that change what values mean or look like.
const SETTINGS: &str = "'TimeZone', 'DateStyle', 'IntervalStyle', 'search_path', 'standard_conforming_strings',
    'default_transaction_isolation', 'default_toast_compression', 'lc_monetary', 'lc_numeric', 'lc_time', 'bytea_output',
    'xmlbinary', 'wal_level', 'data_checksums'";

/// A table, and where it lies.
pub(super) struct Found {
    pub table: Table,
    pub pages: u64,
    /// A heap, which can be read page by page.
    pub has_pages: bool,
}

pub(super) fn lockable() -> String {
    format!(
        "SELECT n.nspname::text, c.relname::text, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {OWN} AND {OF_USERS}
            AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
          ORDER BY c.oid"
    )
}

/// The catalog's row is of the snapshot's moment, and what the function gives is of now.
pub(super) fn rewritten_since() -> String {
    format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {OWN} AND {OF_USERS}
            AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)
          ORDER BY 1, 2"
    )
}

/// Tables whose name by now is another table's, or nobody's. The offset keeps names in schemas that are closed to the role from being looked up.
pub(super) fn renamed_since() -> String {
    format!(
        "SELECT l.schema, l.name FROM ({} OFFSET 0) l(schema, name, oid)
          WHERE to_regclass(format('%I.%I', l.schema, l.name)) IS DISTINCT FROM l.oid::regclass ORDER BY 1, 2",
        lockable()
    )
}

/// The database and its tables, largest first.
pub(super) async fn read(reading: &Reading, name: &str) -> Result<(Database, Vec<Found>), SourceError> {
    refuse_large_objects(reading).await?;
    let mut left_out = Vec::new();
    let mut not_readable = Vec::new();
    let mut tables = tables(reading, &mut left_out, &mut not_readable).await?;
    let sequences = sequences(reading, &mut left_out, &mut not_readable).await?;
    if !not_readable.is_empty() {
        not_readable.sort();
        return Err(SourceError::NotReadable { what: not_readable });
    }
    left_out.extend(subscriptions(reading).await?);
    let mut columns = columns(reading).await?;
    for (oid, found) in &mut tables {
        found.table.columns = columns.remove(oid).unwrap_or_default();
    }
    let mut database = of_server(reading, name).await?;
    database.extensions = extensions(reading).await?;
    database.roles = roles(reading).await?;
    database.sequences = sequences;
    database.left_out = left_out;
    Ok((database, tables.into_iter().map(|(_, found)| found).collect()))
}

async fn refuse_large_objects(reading: &Reading) -> Result<(), SourceError> {
    let rows = reading.rows("large objects", "SELECT count(*) FROM pg_largeobject_metadata").await?;
    match rows.first().map_or(0, |row| row.get::<_, i64>(0)) {
        0 => Ok(()),
        count => Err(SourceError::LargeObjects { count: count.unsigned_abs() }),
    }
}

async fn tables(
    reading: &Reading,
    left_out: &mut Vec<LeftOut>,
    not_readable: &mut Vec<String>,
) -> Result<Vec<(u32, Found)>, ReadError> {
    // The sizes are asked for once the tables are locked, and do not wait.
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,
                coalesce(am.amname = 'heap', false), c.reltuples::float8,
                has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
                rn.nspname::text, r.relname::text,
                CASE c.relkind WHEN 'r' THEN coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8
                  ELSE 0 END,
                CASE c.relkind WHEN 'r' THEN coalesce(pg_table_size(c.oid), 0) ELSE 0 END,
                coalesce(c.relacl::text[], '{{}}'),
                (SELECT regexp_replace(e.extcondition[array_position(e.extconfig, c.oid)], '^\\s*where\\s+', '', 'i')
                   FROM pg_extension e WHERE c.oid = ANY (e.extconfig) LIMIT 1)
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam
           LEFT JOIN pg_class r ON c.relispartition AND r.oid = pg_partition_root(c.oid)
           LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
          WHERE c.relkind IN ('r', 'f') AND c.relpersistence <> 't' AND {OWN} AND {OF_USERS}
          ORDER BY 12 DESC, 2, 3"
    );
    let mut tables = Vec::new();
    for row in reading.rows("tables", &sql).await? {
        let (schema, name): (String, String) = (row.get(1), row.get(2));
        let shown = display_name(&schema, &name);
        let kind: String = row.get(3);
        let why = match () {
            () if kind == "f" => "its rows lie on another server",
            () if row.get::<_, &str>(4) == "u" && reading.in_recovery => {
                "an unlogged table, which a standby has no rows of"
            }
            () if !row.get::<_, bool>(7) => {
                not_readable.push(shown);
                continue;
            }
            () => {
                tables.push((row.get(0), found(&row, schema, name)));
                continue;
            }
        };
        left_out.push(LeftOut { what: shown, why: why.to_owned() });
    }
    Ok(tables)
}

fn found(row: &Row, schema: String, name: String) -> Found {
    let root = |schema: Option<String>, name: Option<String>| Some(shown(&schema?, &name?));
    let estimated: f64 = row.get(6);
    let condition: Option<String> = row.get(13);
    Found {
        table: Table {
            schema,
            name,
            part_of: root(row.get(8), row.get(9)),
            columns: Vec::new(),
            // -1 from 14 on, 0 before, where nobody ever counted.
            estimated_rows: (estimated >= 0.0).then_some(estimated as u64),
            stored_bytes: row.get::<_, i64>(11).unsigned_abs(),
            privileges: row.get(12),
            condition: condition.filter(|condition| !condition.is_empty()),
        },
        pages: row.get::<_, i64>(10).unsigned_abs(),
        has_pages: row.get(5),
    }
}

/// As sizes of tables print.
fn shown(schema: &str, name: &str) -> String {
    if schema == "public" { name.to_owned() } else { format!("{schema}.{name}") }
}

async fn sequences(
    reading: &Reading,
    left_out: &mut Vec<LeftOut>,
    not_readable: &mut Vec<String>,
) -> Result<Vec<Sequence>, ReadError> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, c.relpersistence::text,
                has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT')
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {OWN} AND {OF_USERS} ORDER BY 1, 2"
    );
    let mut names = Vec::new();
    for row in reading.rows("sequences", &sql).await? {
        let (schema, name): (String, String) = (row.get(0), row.get(1));
        if row.get::<_, &str>(2) == "u" && reading.in_recovery {
            let why = "an unlogged sequence, which a standby has no value of".to_owned();
            left_out.push(LeftOut { what: display_name(&schema, &name), why });
        } else if row.get(3) {
            names.push((schema, name));
        } else {
            not_readable.push(display_name(&schema, &name));
        }
    }
    if !not_readable.is_empty() {
        return Ok(Vec::new());
    }
    let mut sequences = Vec::with_capacity(names.len());
    for names in names.chunks(SEQUENCES_AT_ONCE) {
        let values: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, (schema, name))| {
                format!("SELECT {at} AS at, last_value, is_called FROM {}.{}", quote(schema), quote(name))
            })
            .collect();
        let sql = format!("{} ORDER BY 1", values.join(" UNION ALL "));
        let rows = reading.rows("sequences' values", &sql).await?;
        sequences.extend(names.iter().zip(rows).map(|((schema, name), row)| Sequence {
            schema: schema.clone(),
            name: name.clone(),
            last_value: row.get(1),
            is_called: row.get(2),
        }));
    }
    Ok(sequences)
}

async fn subscriptions(reading: &Reading) -> Result<Vec<LeftOut>, ReadError> {
    let sql = "SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                WHERE d.datname = current_database() ORDER BY 1";
    let why = "a subscription, by which a copy would reach its publisher";
    let left_out = |row: &Row| LeftOut { what: row.get(0), why: why.to_owned() };
    Ok(reading.rows("subscriptions", sql).await?.iter().map(left_out).collect())
}

async fn columns(reading: &Reading) -> Result<HashMap<u32, Vec<Column>>, ReadError> {
    let sql = format!(
        "SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text, b.typtype::text,
                b.typcategory::text, NOT a.attnotnull, a.attgenerated <> '', s.n_distinct::float8, s.null_frac::float8,
                s.correlation::float8
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN LATERAL (WITH RECURSIVE under(oid) AS (SELECT a.atttypid
                           UNION ALL SELECT t.typbasetype FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typtype = 'd')
                         SELECT t.* FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typtype <> 'd') b ON true
           LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
            AND NOT s.inherited
          WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND {OWN} AND {OF_USERS}
          ORDER BY a.attrelid, a.attnum"
    );
    let mut columns: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in reading.rows("columns", &sql).await? {
        columns.entry(row.get(0)).or_default().push(Column {
            name: row.get(1),
            type_name: row.get(2),
            kind: kind(row.get(3), row.get(4), row.get(5)),
            is_nullable: row.get(6),
            is_generated: row.get(7),
            is_hex: false,
            distinct: row.get(8),
            null_fraction: row.get(9),
            correlation: row.get(10),
        });
    }
    Ok(columns)
}

/// By the type's name, its `typtype` and its `typcategory`.
pub(super) fn kind(name: &str, of: &str, category: &str) -> Kind {
    match (name, of, category) {
        (_, "e", _) => Kind::Enum,
        (_, "c", _) => Kind::Composite,
        (_, "r" | "m", _) => Kind::Range,
        (_, _, "A") => Kind::Array,
        ("bool", ..) => Kind::Boolean,
        ("int2" | "int4" | "int8" | "oid", ..) => Kind::Integer,
        ("numeric" | "money", ..) => Kind::Number,
        ("float4" | "float8", ..) => Kind::Float,
        ("bytea", ..) => Kind::Binary,
        ("date", ..) => Kind::Date,
        ("time" | "timetz", ..) => Kind::Time,
        ("timestamp" | "timestamptz", ..) => Kind::Timestamp,
        ("interval", ..) => Kind::Interval,
        ("json" | "jsonb", ..) => Kind::Json,
        ("xml", ..) => Kind::Xml,
        ("uuid", ..) => Kind::Uuid,
        ("macaddr" | "macaddr8", ..) | (_, _, "I") => Kind::Network,
        (_, _, "V") => Kind::Bits,
        (_, _, "S") => Kind::Text,
        (_, _, "G") => Kind::Geometry,
        _ => Kind::Other,
    }
}

async fn of_server(reading: &Reading, name: &str) -> Result<Database, ReadError> {
    let position = if reading.in_recovery { "pg_last_wal_replay_lsn()::text" } else { "pg_current_wal_lsn()::text" };
    let sql = format!(
        "SELECT current_setting('server_version'), pg_encoding_to_char(d.encoding)::text, d.datcollate::text, {position}
           FROM pg_database d WHERE d.datname = current_database()"
    );
    let row = one(reading.rows("the database", &sql).await?, "the database")?;
    let settings = format!("SELECT name, coalesce(reset_val, '') FROM pg_settings WHERE name IN ({SETTINGS})");
    let settings = reading.rows("settings", &settings).await?;
    Ok(Database {
        engine: EngineKind::Postgres,
        version: row.get(0),
        name: name.to_owned(),
        encoding: row.get(1),
        collation: row.get(2),
        settings: settings.iter().map(|row| (row.get(0), row.get(1))).collect(),
        position: row.get(3),
        is_standby: reading.in_recovery,
        extensions: Vec::new(),
        roles: Vec::new(),
        sequences: Vec::new(),
        left_out: Vec::new(),
    })
}

fn one(rows: Vec<Row>, what: &str) -> Result<Row, ReadError> {
    let none = || ReadError::Form { what: what.to_owned(), source: "the answer is empty".into() };
    rows.into_iter().next().ok_or_else(none)
}

async fn extensions(reading: &Reading) -> Result<Vec<Extension>, ReadError> {
    // Those that every database is made with are in the lab's as well.
    let sql = "SELECT e.extname::text, e.extversion, n.nspname::text
                 FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384 ORDER BY e.oid";
    let extension = |row: &Row| Extension { name: row.get(0), version: row.get(1), schema: row.get(2) };
    Ok(reading.rows("extensions", sql).await?.iter().map(extension).collect())
}

/// Role 10 is the one that the cluster was made with: nothing depends on it in the catalogs, whatever it owns.
async fn roles(reading: &Reading) -> Result<Vec<Role>, ReadError> {
    let sql = "
        WITH RECURSIVE named(oid) AS (
            (SELECT d.refobjid FROM pg_shdepend d JOIN pg_database b ON b.datname = current_database()
              WHERE d.refclassid = 'pg_authid'::regclass
                AND (d.dbid = b.oid OR d.classid = 'pg_database'::regclass AND d.objid = b.oid)
             UNION SELECT b.datdba FROM pg_database b WHERE b.datname = current_database()
             UNION SELECT 10::oid)
            UNION SELECT other.oid FROM named JOIN LATERAL
                (SELECT m.roleid FROM pg_auth_members m WHERE m.member = named.oid
                 UNION SELECT m.member FROM pg_auth_members m WHERE m.roleid = named.oid) other(oid) ON true
              JOIN pg_roles r ON r.oid = other.oid AND r.rolname !~ '^pg_')
        SELECT r.rolname::text,
               array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN NOT r.rolinherit THEN 'NOINHERIT' END,
                 CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                 CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                 CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                 CASE WHEN r.rolconnlimit >= 0 THEN 'CONNECTION LIMIT ' || r.rolconnlimit END], NULL),
               coalesce(r.rolconfig, '{}'),
               ARRAY(SELECT DISTINCT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                      WHERE m.member = r.oid ORDER BY 1)
          FROM pg_roles r WHERE r.oid IN (SELECT oid FROM named) AND r.rolname !~ '^pg_' ORDER BY 1";
    let role =
        |row: &Row| Role { name: row.get(0), attributes: row.get(1), settings: row.get(2), member_of: row.get(3) };
    Ok(reading.rows("roles", sql).await?.iter().map(role).collect())
}
