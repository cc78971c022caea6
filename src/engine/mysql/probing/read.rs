//! Reading the tables of a database: as superuser what they are, in the application's own session what it may do with them (chapters
//! "INFORMATION_SCHEMA Tables" of the manuals).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value, from_value_opt};

use super::outside::{Reach, is_elsewhere};
use super::session::Session;
use super::shape::{Around, Origin, Raw, column};
use super::text::words;
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::mysql::connect::{DriverError, with};
use crate::engine::mysql::names::{literal, quote};
use crate::engine::probing::{Catalog, Origin as Of, Reference, Table, Unique};
use crate::engine::server::BoxError;

const DEADLINE: Duration = Duration::from_secs(30);

/// Databases that every server has.
pub(super) const SYSTEM: &str = "('mysql', 'sys', 'information_schema', 'performance_schema')";

/// Every base table of the endpoint's database, with what the application may do, and the connections left to it.
///
/// # Errors
/// The drivers', and what the application's session met.
pub(in crate::engine) async fn read(superuser: &Endpoint, app: &mut Session) -> Result<Catalog, BoxError> {
    let asked = app.send("SELECT CURRENT_USER()").await.map_err(|failure| failure.error.message)?;
    let account = asked.into_iter().flatten().flatten().next().unwrap_or_default();
    let privileges = privileges(app).await?;
    let (tables, connections) = with(superuser, DEADLINE, async |connection| {
        if superuser.engine == EngineKind::Mysql {
            // Else they are those of the last time that somebody asked.
            connection.query_drop("SET SESSION information_schema_stats_expiry = 0").await?;
        }
        let tables = Reading { superuser, connection, privileges: &privileges }.tables().await?;
        let connections: Option<i64> = connection.exec_first(CONNECTIONS, (&account,)).await?.flatten();
        Ok((tables, connections.unwrap_or(0)))
    })
    .await?;
    Ok(Catalog { tables, role: account, connections: usize::try_from(connections).unwrap_or(0) })
}

/// What the application may do, by table and column: grants of every level, patterns and roles in it.
type Privileges = BTreeMap<(String, String), String>;

async fn privileges(app: &mut Session) -> Result<Privileges, BoxError> {
    let asked = "SELECT table_name, column_name, privileges FROM information_schema.columns
        WHERE table_schema = DATABASE()";
    let rows = app.send(asked).await.map_err(|failure| failure.error.message)?;
    let known = rows.into_iter().filter_map(|row| {
        let [table, column, privileges] = <[Option<String>; 3]>::try_from(row).ok()?;
        Some(((table?, column?), privileges?))
    });
    Ok(known.collect())
}

/// `?` the account. What is left to it by the server and by its own limits; what others have open now is taken off.
const CONNECTIONS: &str = "
SELECT CAST(LEAST(
    @@max_connections - (SELECT COUNT(*) FROM information_schema.processlist),
    COALESCE(NULLIF(@@GLOBAL.max_user_connections, 0), 1000000),
    COALESCE((SELECT NULLIF(max_user_connections, 0) FROM mysql.user WHERE CONCAT(user, '@', host) = ? LIMIT 1), 1000000)
) AS SIGNED)";

/// A table's own row.
#[derive(Debug)]
struct Listed {
    engine: String,
    rows: u64,
    bytes: u64,
    next_number: u64,
}

struct Reading<'a> {
    superuser: &'a Endpoint,
    connection: &'a mut Conn,
    privileges: &'a Privileges,
}

impl Reading<'_> {
    async fn tables(mut self) -> Result<Vec<Table>, DriverError> {
        let database = self.superuser.database.clone();
        let listed = self.listed(&database).await?;
        let transactional: Vec<String> =
            self.connection.query("SELECT engine FROM information_schema.engines WHERE transactions = 'YES'").await?;
        let sequences = self.sequences(&database).await?;
        let increment: Option<u64> = self.connection.query_first("SELECT @@GLOBAL.auto_increment_increment").await?;
        let mut columns = self.columns(&database).await?;
        let mut indexes = self.unique(&database).await?;
        let mut references = self.references(&database).await?;
        let mut checks = self.checks(&database).await?;
        let partitioned = self.partitioned_by(&database).await?;
        let mut names = self.names(&database).await?;
        let reach = Reach::read(self.connection, &transactional).await?;
        let mut tables = Vec::new();
        for (name, listed) in &listed {
            let raws = columns.remove(name).unwrap_or_default();
            let indexes = indexes.remove(name).unwrap_or_default();
            let mut draft = Draft { name, listed, raws, indexes, checks: checks.remove(name).unwrap_or_default() };
            draft.tell_json();
            let around = Surroundings {
                increment: increment.unwrap_or(1),
                sequences: &sequences,
                privileges: self.privileges,
                partitioned_by: partitioned.get(name),
            };
            let mut table = draft.table(self.superuser, &around);
            table.references = draft.references(&database, references.remove(name).unwrap_or_default(), &table);
            table.known_as.extend(names.remove(name).unwrap_or_default());
            table.elsewhere = elsewhere(&listed.engine);
            table.kept = kept(&listed.engine, &transactional).or_else(|| reach.outside(&database, name));
            tables.push(table);
        }
        let referred: BTreeSet<String> =
            tables.iter().flat_map(|table| &table.references).map(|reference| reference.to_name.clone()).collect();
        for table in &mut tables {
            table.referenced = referred.contains(&table.name);
        }
        Ok(tables)
    }

    async fn listed(&mut self, database: &str) -> Result<BTreeMap<String, Listed>, DriverError> {
        let asked = "SELECT table_name, COALESCE(engine, ''), COALESCE(table_rows, 0), COALESCE(data_length, 0),
                COALESCE(auto_increment, 1)
            FROM information_schema.tables
            WHERE table_schema = ? AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')";
        let rows: Vec<(String, String, u64, u64, u64)> = self.connection.exec(asked, (database,)).await?;
        let listed = rows
            .into_iter()
            .map(|(name, engine, rows, bytes, next_number)| (name, Listed { engine, rows, bytes, next_number }));
        Ok(listed.collect())
    }

    /// MariaDB's sequences, in lower case, with the values that they still have (chapter "CREATE SEQUENCE").
    async fn sequences(&mut self, database: &str) -> Result<BTreeMap<String, u64>, DriverError> {
        let asked =
            "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'SEQUENCE'";
        let names: Vec<String> = self.connection.exec(asked, (database,)).await?;
        let mut sequences = BTreeMap::new();
        for name in names {
            let asked = format!(
                "SELECT CAST(IF(increment < 0, next_not_cached_value - minimum_value,
                    maximum_value - next_not_cached_value) / GREATEST(ABS(increment), 1) AS SIGNED), cycle_option
                FROM {}.{}",
                quote(database),
                quote(&name)
            );
            if let Some((left, false)) = self.connection.query_first::<(i64, bool), _>(asked).await? {
                sequences.insert(name.to_lowercase(), u64::try_from(left).unwrap_or(0));
            }
        }
        Ok(sequences)
    }

    async fn columns(&mut self, database: &str) -> Result<BTreeMap<String, Vec<Raw>>, DriverError> {
        let asked = "SELECT table_name, column_name, data_type, column_type, character_maximum_length,
                numeric_precision, numeric_scale, is_nullable = 'YES', column_default, extra,
                COALESCE(generation_expression, '') <> ''
            FROM information_schema.columns WHERE table_schema = ? ORDER BY table_name, ordinal_position";
        let rows: Vec<Row> = self.connection.exec(asked, (database,)).await?;
        let mut columns: BTreeMap<String, Vec<Raw>> = BTreeMap::new();
        for row in rows {
            let values: Vec<Value> = row.unwrap_raw().into_iter().map(|value| value.unwrap_or(Value::NULL)).collect();
            let text = |nth: usize| match &values[nth] {
                Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                _ => None,
            };
            let number = |nth: usize| from_value_opt::<u64>(values[nth].clone()).ok();
            let is = |nth: usize| !matches!(values[nth], Value::NULL | Value::Int(0) | Value::UInt(0));
            columns.entry(text(0).unwrap_or_default()).or_default().push(Raw {
                name: text(1).unwrap_or_default(),
                kind: text(2).unwrap_or_default().to_lowercase(),
                full_kind: text(3).unwrap_or_default(),
                length: number(4),
                precision: number(5),
                scale: number(6),
                nullable: is(7),
                default: text(8),
                extra: text(9).unwrap_or_default(),
                generated: is(10),
            });
        }
        Ok(columns)
    }

    /// Unique indexes, the primary key first, else by name.
    async fn unique(&mut self, database: &str) -> Result<BTreeMap<String, Vec<Index>>, DriverError> {
        // What MySQL calls a functional key part; MariaDB has generated columns for that.
        let expression = if self.superuser.engine == EngineKind::Mysql { "expression" } else { "NULL" };
        let asked = format!(
            "SELECT table_name, index_name, column_name, sub_part, {expression}
            FROM information_schema.statistics WHERE table_schema = ? AND non_unique = 0
            ORDER BY table_name, index_name <> 'PRIMARY', index_name, seq_in_index"
        );
        type Part = (String, String, Option<String>, Option<u64>, Option<String>);
        let parts: Vec<Part> = self.connection.exec(asked, (database,)).await?;
        let mut indexes: BTreeMap<String, Vec<Index>> = BTreeMap::new();
        for (table, name, column, prefix, expression) in parts {
            let of = indexes.entry(table).or_default();
            if of.last().is_none_or(|last| last.name != name) {
                of.push(Index { name, ..Index::default() });
            }
            let Some(index) = of.last_mut() else { continue };
            index.parts.extend(column.map(|column| (column, prefix.and_then(|part| usize::try_from(part).ok()))));
            index.expressions.extend(expression);
        }
        Ok(indexes)
    }

    async fn references(&mut self, database: &str) -> Result<BTreeMap<String, Vec<ForeignKey>>, DriverError> {
        let asked = "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema,
                k.referenced_table_name, k.referenced_column_name,
                r.update_rule NOT IN ('RESTRICT', 'NO ACTION') OR r.delete_rule NOT IN ('RESTRICT', 'NO ACTION')
            FROM information_schema.key_column_usage k
            JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema
                AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
            WHERE k.table_schema = ? AND r.constraint_schema = ? AND k.referenced_table_name IS NOT NULL
            ORDER BY k.table_name, k.constraint_name, k.ordinal_position";
        type Part = (String, String, String, String, String, String, bool);
        let parts: Vec<Part> = self.connection.exec(asked, (database, database)).await?;
        let mut keys: BTreeMap<String, Vec<ForeignKey>> = BTreeMap::new();
        for (table, name, column, to_database, to_table, to_column, acts) in parts {
            let of = keys.entry(table).or_default();
            if of.last().is_none_or(|last| last.name != name) {
                of.push(ForeignKey { name, to: (to_database, to_table), acts, columns: Vec::new() });
            }
            of.last_mut().into_iter().for_each(|last| last.columns.push((column.clone(), to_column.clone())));
        }
        Ok(keys)
    }

    /// By table, as the server names them when it refuses a row, with what they say.
    async fn checks(&mut self, database: &str) -> Result<BTreeMap<String, Vec<(String, String)>>, DriverError> {
        let asked = match self.superuser.engine {
            EngineKind::Mysql => {
                "SELECT t.table_name, c.constraint_name, c.check_clause FROM information_schema.check_constraints c
                JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema
                    AND t.constraint_name = c.constraint_name AND t.constraint_type = 'CHECK'
                WHERE c.constraint_schema = ?"
            }
            _ => {
                "SELECT table_name, IF(level = 'Column', CONCAT(table_name, '.', constraint_name), constraint_name),
                    check_clause
                FROM information_schema.check_constraints WHERE constraint_schema = ?"
            }
        };
        let rows: Vec<(String, String, String)> = self.connection.exec(asked, (database,)).await?;
        let mut checks: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (table, name, clause) in rows {
            checks.entry(table).or_default().push((name, clause));
        }
        Ok(checks)
    }

    /// Words of the expressions that tables are partitioned by.
    async fn partitioned_by(&mut self, database: &str) -> Result<BTreeMap<String, BTreeSet<String>>, DriverError> {
        let asked = "SELECT DISTINCT table_name,
                CONCAT_WS(',', partition_expression, subpartition_expression)
            FROM information_schema.partitions WHERE table_schema = ? AND partition_name IS NOT NULL";
        let rows: Vec<(String, String)> = self.connection.exec(asked, (database,)).await?;
        Ok(rows.into_iter().map(|(table, expression)| (table, words(&expression))).collect())
    }

    /// Names of what a table has, in lower case, but those that every table has.
    async fn names(&mut self, database: &str) -> Result<BTreeMap<String, BTreeSet<String>>, DriverError> {
        let database = literal(database);
        let asked = format!(
            "SELECT table_name, index_name FROM information_schema.statistics
                WHERE table_schema = {database} AND index_name <> 'PRIMARY'
            UNION SELECT table_name, constraint_name FROM information_schema.table_constraints
                WHERE table_schema = {database} AND constraint_name <> 'PRIMARY'
            UNION SELECT event_object_table, trigger_name FROM information_schema.triggers
                WHERE event_object_schema = {database}"
        );
        let rows: Vec<(String, String)> = self.connection.query(asked).await?;
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (table, name) in rows {
            names.entry(table).or_default().insert(name.to_lowercase());
        }
        Ok(names)
    }
}

/// A unique index.
#[derive(Debug, Default)]
struct Index {
    name: String,
    /// Columns, each with how much of it counts.
    parts: Vec<(String, Option<usize>)>,
    expressions: Vec<String>,
}

#[derive(Debug)]
struct ForeignKey {
    name: String,
    /// Database and table.
    to: (String, String),
    acts: bool,
    /// Here and there.
    columns: Vec<(String, String)>,
}

struct Surroundings<'a> {
    increment: u64,
    sequences: &'a BTreeMap<String, u64>,
    privileges: &'a Privileges,
    partitioned_by: Option<&'a BTreeSet<String>>,
}

struct Draft<'a> {
    name: &'a str,
    listed: &'a Listed,
    raws: Vec<Raw>,
    indexes: Vec<Index>,
    checks: Vec<(String, String)>,
}

impl Draft<'_> {
    /// MariaDB's JSON is a text with a check.
    fn tell_json(&mut self) {
        for raw in self.raws.iter_mut().filter(|raw| raw.kind == "longtext") {
            let check = format!("json_valid({})", quote(&raw.name));
            if self.checks.iter().any(|(_, clause)| *clause == check) {
                raw.kind = "json".to_owned();
            }
        }
    }

    fn at(&self, column: &str) -> Option<usize> {
        self.raws.iter().position(|raw| raw.name == column)
    }

    fn table(&self, superuser: &Endpoint, around: &Surroundings<'_>) -> Table {
        let database = &superuser.database;
        let columns = self.raws.iter().map(|raw| {
            let parts = self.indexes.iter().flat_map(|index| &index.parts);
            let prefixes = parts.filter(|(column, _)| *column == raw.name).filter_map(|(_, prefix)| *prefix);
            let privileges = around.privileges.get(&(self.name.to_owned(), raw.name.clone()));
            let mut column = column(
                raw,
                &Around {
                    next_number: self.listed.next_number,
                    increment: around.increment,
                    sequences: around.sequences,
                    privileges: privileges.map_or("", String::as_str),
                    prefix: prefixes.min(),
                },
            );
            column.in_partition_key =
                around.partitioned_by.is_some_and(|words| words.contains(&raw.name.to_lowercase()));
            column
        });
        let columns: Vec<_> = columns.collect();
        let mut unique = Vec::new();
        let (mut key, mut primary): (Option<Vec<usize>>, bool) = (None, false);
        for index in &self.indexes {
            let named = index.parts.iter().filter_map(|(column, _)| self.at(column));
            let mut of: Vec<usize> = named.collect();
            let usable = index.expressions.is_empty() && of.iter().all(|&each| columns[each].not_null);
            let shorter = key.as_ref().is_none_or(|key| of.len() < key.len());
            if usable && !of.is_empty() && !primary && shorter {
                primary = index.name == "PRIMARY";
                key = Some(of.clone());
            }
            for expression in &index.expressions {
                let words = words(expression);
                of.extend((0..self.raws.len()).filter(|&each| words.contains(&self.raws[each].name.to_lowercase())));
            }
            unique.push(Unique { name: Some(index.name.clone()), columns: of, equality: true });
        }
        let name = self.name.to_lowercase();
        Table {
            engine: superuser.engine,
            name: self.name.to_owned(),
            quoted: format!("{}.{}", quote(database), quote(self.name)),
            elsewhere: None,
            kept: None,
            columns,
            key,
            unique,
            references: Vec::new(),
            referenced: false,
            known_as: BTreeSet::from([format!("{}.{name}", database.to_lowercase()), name]),
            origin: Of::Mysql(Origin {
                database: database.clone(),
                table: self.name.to_owned(),
                columns: self.raws.iter().map(Raw::named).collect(),
                checks: self.checks.iter().map(|(name, _)| name.clone()).collect(),
                rows: self.listed.rows,
                bytes: self.listed.bytes,
            }),
        }
    }

    /// In the order of `table`'s columns.
    fn references(&self, database: &str, keys: Vec<ForeignKey>, table: &Table) -> Vec<Reference> {
        let keys = keys.into_iter().filter_map(|key| {
            let (to_database, to_table) = &key.to;
            let columns: Option<Vec<usize>> = key.columns.iter().map(|(here, _)| self.at(here)).collect();
            let columns = columns?;
            // Of the same type as here.
            let read =
                key.columns.iter().zip(&columns).map(|((_, there), &here)| table.columns[here].read_as(&quote(there)));
            Some(Reference {
                to_columns: read.collect(),
                columns,
                to_quoted: format!("{}.{}", quote(to_database), quote(to_table)),
                to_name: if to_database == database { to_table.clone() } else { format!("{to_database}.{to_table}") },
                acts: key.acts,
            })
        });
        keys.collect()
    }
}

fn elsewhere(engine: &str) -> Option<String> {
    is_elsewhere(engine).then(|| {
        format!(
            "its engine is {engine}: its rows are elsewhere, and what is written there is not this server's to undo"
        )
    })
}

fn kept(engine: &str, transactional: &[String]) -> Option<String> {
    let undoes = transactional.iter().any(|each| each.eq_ignore_ascii_case(engine));
    (!undoes).then(|| format!("its engine {engine} has no transactions: what a probe wrote would stay"))
}
