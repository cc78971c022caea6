//! What a MySQL or MariaDB database holds, as its information schema says it (chapter "INFORMATION_SCHEMA Tables" of the manuals).

use std::collections::{BTreeMap, HashMap};

use super::super::names::{literal, quote};
use super::super::reading::Reading;
use crate::engine::EngineKind;
use crate::engine::capture::{Column, Database, Kind, LeftOut, Sequence, Table};
use crate::engine::reading::ReadError;

/// Storage engines whose rows lie elsewhere.
const REMOTE: [&str; 3] = ["FEDERATED", "SPIDER", "CONNECT"];

const SETTINGS: [&str; 7] = [
    "sql_mode",
    "time_zone",
    "lower_case_table_names",
    "explicit_defaults_for_timestamp",
    "innodb_strict_mode",
    "binlog_format",
    "character_set_server",
];

/// A table, and by what it can be read in parts.
pub(super) struct Found {
    pub table: Table,
    /// The first column of its primary key, if that is an integer.
    pub integer_key: Option<String>,
}

/// Largest first.
pub(super) async fn tables(reading: &Reading, left_out: &mut Vec<LeftOut>) -> Result<Vec<Found>, ReadError> {
    let mut columns = columns(reading).await?;
    let sql = format!(
        "SELECT t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, t.TABLE_ROWS, COALESCE(t.DATA_LENGTH, 0), e.TRANSACTIONS
         FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
         WHERE t.TABLE_SCHEMA = {} AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
         ORDER BY COALESCE(t.DATA_LENGTH, 0) DESC, t.TABLE_NAME",
        literal(reading.database())
    );
    let mut tables = Vec::new();
    for row in reading.rows("tables", &sql).await? {
        let [name, kind, engine, rows, bytes, transactions] = fields(row);
        let mut note = |what: String, why: String| left_out.push(LeftOut { what, why });
        if REMOTE.iter().any(|remote| remote.eq_ignore_ascii_case(&engine)) {
            note(name, "its rows lie on another server".to_owned());
            continue;
        }
        if engine.eq_ignore_ascii_case("MRG_MyISAM") {
            note(name, "its rows are those of the tables that it joins".to_owned());
            continue;
        }
        if kind == "SYSTEM VERSIONED" {
            note(format!("the history of {name}"), "rows of the past are not captured".to_owned());
        }
        if transactions != "YES" {
            note(format!("the common moment of {name}"), format!("its engine {engine} has none"));
        }
        let (columns, integer_key) = columns.remove(&name).unwrap_or_default();
        tables.push(Found {
            table: Table {
                schema: String::new(),
                name,
                part_of: None,
                columns,
                estimated_rows: rows.parse().ok(),
                stored_bytes: bytes.parse().unwrap_or_default(),
                privileges: Vec::new(),
                condition: None,
            },
            integer_key,
        });
    }
    Ok(tables)
}

/// Each with the first column of its primary key, if that is an integer.
type Columns = HashMap<String, (Vec<Column>, Option<String>)>;

async fn columns(reading: &Reading) -> Result<Columns, ReadError> {
    let database = literal(reading.database());
    let sql = format!(
        "SELECT c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, c.DATA_TYPE, c.IS_NULLABLE, COALESCE(c.GENERATION_EXPRESSION, ''),
            (SELECT MAX(s.CARDINALITY) FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = c.TABLE_SCHEMA
               AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME AND s.SEQ_IN_INDEX = 1),
            EXISTS (SELECT 1 FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = c.TABLE_SCHEMA
               AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME AND s.SEQ_IN_INDEX = 1
               AND s.INDEX_NAME = 'PRIMARY'), c.EXTRA
         FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = {database} ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION"
    );
    let mut columns = Columns::new();
    for row in reading.rows("columns", &sql).await? {
        let [table, name, type_name, data_type, nullable, generation, distinct, is_key, extra] = fields(row);
        let kind = kind(&data_type);
        // Of a versioned table's two ends of time, the server says so here alone.
        let is_generated = !generation.is_empty() || extra.contains("GENERATED");
        let (all, key) = columns.entry(table).or_default();
        if is_key == "1" && kind == Kind::Integer && data_type != "year" {
            *key = Some(name.clone());
        }
        all.push(Column {
            name,
            type_name,
            kind,
            is_nullable: nullable == "YES",
            // MySQL says so of a default that is an expression as well.
            is_generated: is_generated && !extra.contains("DEFAULT_GENERATED"),
            is_hex: matches!(kind, Kind::Binary | Kind::Geometry),
            distinct: distinct.parse().ok(),
            null_fraction: None,
            correlation: None,
        });
    }
    Ok(columns)
}

/// By its name without length and sign.
pub(super) fn kind(data_type: &str) -> Kind {
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Kind::Integer,
        "decimal" => Kind::Number,
        "float" | "double" => Kind::Float,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Kind::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" => Kind::Binary,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "datetime" | "timestamp" => Kind::Timestamp,
        "json" => Kind::Json,
        "enum" => Kind::Enum,
        "bit" => Kind::Bits,
        "uuid" => Kind::Uuid,
        "inet4" | "inet6" => Kind::Network,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => Kind::Geometry,
        _ => Kind::Other,
    }
}

/// MariaDB's, which are tables of a kind.
pub(super) async fn sequences(reading: &Reading) -> Result<Vec<Sequence>, ReadError> {
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE = 'SEQUENCE' ORDER BY 1",
        literal(reading.database())
    );
    let mut sequences = Vec::new();
    for row in reading.rows("sequences", &sql).await? {
        let [name] = fields(row);
        let value = format!("SELECT next_not_cached_value FROM {}", quote(&name));
        let row = reading.rows("a sequence's value", &value).await?.into_iter().next().unwrap_or_default();
        let [value] = fields(row);
        let last_value = value.parse().map_err(|source: std::num::ParseIntError| ReadError::Form {
            what: format!("the value of the sequence {name}"),
            source: source.into(),
        })?;
        sequences.push(Sequence { schema: String::new(), name, last_value, is_called: false });
    }
    Ok(sequences)
}

/// By table and, where it has some, partition: what changes when another takes its name.
pub(super) type Identities = BTreeMap<(String, String), String>;

/// When each was made, and its number in the storage engine where the login may see that. Of now, and not of the snapshot.
pub(super) async fn identities(reading: &Reading) -> Result<Identities, ReadError> {
    let database = literal(reading.database());
    let sql = format!(
        "SELECT TABLE_NAME, '', CREATE_TIME FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = {database} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
         UNION ALL SELECT TABLE_NAME, CONCAT_WS('.', PARTITION_NAME, SUBPARTITION_NAME), CREATE_TIME
         FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = {database} AND PARTITION_NAME IS NOT NULL"
    );
    let mut identities = Identities::new();
    for row in reading.rows("when tables were made", &sql).await? {
        let [table, partition, made] = fields(row);
        identities.insert((table, partition), made);
    }
    // Files are called after tables, and names of these letters alone are the same in both.
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_plain(reading.database()) {
        return Ok(identities);
    }
    let numbers = if reading.engine == EngineKind::Mysql { "INNODB_TABLES" } else { "INNODB_SYS_TABLES" };
    let sql = format!(
        "SELECT SUBSTRING_INDEX(NAME, '/', -1), TABLE_ID FROM information_schema.{numbers}
         WHERE SUBSTRING_INDEX(NAME, '/', 1) = {database}"
    );
    match reading.rows("tables' numbers", &sql).await {
        Ok(rows) => {
            for row in rows {
                let [file, number] = fields(row);
                // "orders#p#p2024", and in capitals where names are.
                let (table, partition) = file.split_once(['#']).unwrap_or((file.as_str(), ""));
                // What the server makes for its own use comes and goes.
                if is_plain(table) && !table.is_empty() {
                    identities.insert((table.to_owned(), format!("#{partition}")), number);
                }
            }
        }
        // It takes the right to see all processes.
        Err(error) => tracing::debug!(%error, "tables are told from others by the time they were made, alone"),
    }
    Ok(identities)
}

/// Tables of which something was there before and is not any more.
pub(super) fn replaced(before: &Identities, after: &Identities) -> Vec<String> {
    let is_gone = |(key, identity): &(&(String, String), &String)| after.get(*key) != Some(*identity);
    let gone = before.iter().filter(is_gone).map(|((table, _), _)| table.clone());
    gone.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Without sequences and what is left out.
pub(super) async fn database(reading: &Reading) -> Result<Database, ReadError> {
    let sql = format!(
        "SELECT VERSION(), DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA
         WHERE SCHEMA_NAME = {}",
        literal(reading.database())
    );
    let row = reading.rows("the database", &sql).await?.into_iter().next().unwrap_or_default();
    let [version, encoding, collation] = fields(row);
    let names: Vec<String> = SETTINGS.iter().map(|name| format!("@@GLOBAL.{name}")).collect();
    let row = reading.rows("settings", &format!("SELECT {}", names.join(", "))).await?;
    let values = row.into_iter().next().unwrap_or_default();
    let settings: BTreeMap<String, String> =
        SETTINGS.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?))).collect();
    Ok(Database {
        engine: reading.engine,
        version,
        name: reading.database().to_owned(),
        encoding,
        collation,
        settings,
        position: position(reading).await?,
        is_standby: false,
        extensions: Vec::new(),
        roles: Vec::new(),
        sequences: Vec::new(),
        left_out: Vec::new(),
    })
}

/// Of the log: on MariaDB the snapshot's own, on MySQL the transactions that were executed by now.
async fn position(reading: &Reading) -> Result<Option<String>, ReadError> {
    let position = match reading.engine {
        EngineKind::Mysql => {
            let rows = reading.rows("the log's position", "SELECT @@GLOBAL.gtid_executed").await?;
            rows.into_iter().next().and_then(|row| row.into_iter().next().flatten())
        }
        _ => Some(reading.snapshot_position().await?),
    };
    Ok(position.filter(|position| !position.is_empty()))
}

/// A row's fields, empty where they are NULL or not there.
pub(super) fn fields<const N: usize>(row: Vec<Option<String>>) -> [String; N] {
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().flatten().unwrap_or_default())
}
