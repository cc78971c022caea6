//! The schema as two scripts for the engine's own client, from the server's own `SHOW CREATE …` statements.

use std::fmt::Write as _;

use super::super::names::{literal, quote};
use super::super::reading::Reading;
use super::facts::{Found, fields};
use crate::engine::EngineKind;
use crate::engine::capture::{LeftOut, Sequence};
use crate::engine::reading::ReadError;

/// Ends each statement of what holds semicolons of its own.
const SIGN: &str = "$$rehearsal$$";

pub(super) struct Scripts {
    /// What rows are put into.
    pub tables: String,
    /// Routines, views, triggers and events, in this order.
    pub programs: String,
}

pub(super) async fn read(
    reading: &Reading,
    (tables, sequences): (&[Found], &[Sequence]),
    left_out: &mut Vec<LeftOut>,
) -> Result<Scripts, ReadError> {
    Ok(Scripts {
        tables: of_tables(reading, tables, sequences).await?,
        programs: of_programs(reading, tables, left_out).await?,
    })
}

async fn of_tables(reading: &Reading, tables: &[Found], sequences: &[Sequence]) -> Result<String, ReadError> {
    let sql = format!(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        literal(reading.database())
    );
    let row = reading.rows("the database", &sql).await?.into_iter().next().unwrap_or_default();
    let [characters, collation] = fields(row);
    let mut script = format!(
        "SET SESSION foreign_key_checks = 0, unique_checks = 0, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\n\
         ALTER DATABASE CHARACTER SET = {characters} COLLATE = {collation};\n"
    );
    for sequence in sequences {
        let [_, create] = shown(reading, "SEQUENCE", &sequence.name).await?;
        let _ = write!(script, "{create};\nDO SETVAL({}, {}, 0);\n", quote(&sequence.name), sequence.last_value);
    }
    for found in tables {
        let [_, create] = shown(reading, "TABLE", &found.table.name).await?;
        let _ = writeln!(script, "{create};");
    }
    Ok(script)
}

async fn of_programs(reading: &Reading, tables: &[Found], left_out: &mut Vec<LeftOut>) -> Result<String, ReadError> {
    let database = literal(reading.database());
    let mut script = format!("DELIMITER {SIGN}\nSET SESSION foreign_key_checks = 0\n{SIGN}\n");
    let sql = format!(
        "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {database} ORDER BY 1, 2"
    );
    for row in reading.rows("routines", &sql).await? {
        let [kind, name] = fields(row);
        let [_, mode, create, characters, collation] = shown(reading, &kind, &name).await?;
        add(&mut script, &Stored { create, mode: Some(mode), time_zone: None, characters, collation });
    }
    views(reading, &mut script, left_out).await?;
    let sql = format!(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {database}
         ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
    );
    for row in reading.rows("triggers", &sql).await? {
        let [name, table] = fields(row);
        if !tables.iter().any(|found| found.table.name == table) {
            left_out
                .push(LeftOut { what: format!("the trigger {name}"), why: format!("its table {table} is left out") });
            continue;
        }
        let [_, mode, create, characters, collation] = shown(reading, "TRIGGER", &name).await?;
        add(&mut script, &Stored { create, mode: Some(mode), time_zone: None, characters, collation });
    }
    let sql = format!("SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {database} ORDER BY 1");
    for row in reading.rows("events", &sql).await? {
        let [name] = fields(row);
        let [_, mode, zone, create, characters, collation] = shown(reading, "EVENT", &name).await?;
        add(&mut script, &Stored { create, mode: Some(mode), time_zone: Some(zone), characters, collation });
    }
    Ok(script)
}

/// Views may rest on each other in any order: first each stands there with its columns alone.
async fn views(reading: &Reading, script: &mut String, left_out: &mut Vec<LeftOut>) -> Result<(), ReadError> {
    let database = literal(reading.database());
    let sql = format!(
        "SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = {database} AND TABLE_TYPE = 'VIEW' ORDER BY 1"
    );
    let mut names = Vec::new();
    for row in reading.rows("views", &sql).await? {
        let [name, comment] = fields(row);
        // A view's comment says that it is one, or what is wrong with it.
        if comment == "VIEW" {
            names.push(name);
        } else {
            let why = "a view that works no more: what it reads is gone".to_owned();
            left_out.push(LeftOut { what: name, why });
        }
    }
    // A routine before them may have left another.
    let _ = write!(script, "SET SESSION sql_mode = ''\n{SIGN}\n");
    for name in &names {
        let sql = format!(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = {}
             ORDER BY ORDINAL_POSITION",
            literal(name)
        );
        let columns = reading.rows("a view's columns", &sql).await?;
        let columns: Vec<String> = columns
            .into_iter()
            .map(|row| {
                let [column] = fields(row);
                format!("1 AS {}", quote(&column))
            })
            .collect();
        let _ = write!(script, "CREATE VIEW {} AS SELECT {}\n{SIGN}\n", quote(name), columns.join(", "));
    }
    for name in &names {
        let [_, create, characters, collation] = shown(reading, "VIEW", name).await?;
        let _ = write!(script, "DROP VIEW {}\n{SIGN}\n", quote(name));
        // It is shown as this mode reads it.
        add(script, &Stored { create, mode: Some(String::new()), time_zone: None, characters, collation });
    }
    Ok(())
}

/// A program, and the settings that the server keeps with it.
struct Stored {
    create: String,
    mode: Option<String>,
    time_zone: Option<String>,
    characters: String,
    collation: String,
}

fn add(script: &mut String, stored: &Stored) {
    let mut settings = Vec::new();
    settings.extend(stored.mode.as_ref().map(|mode| format!("sql_mode = {}", literal(mode))));
    settings.extend(stored.time_zone.as_ref().map(|zone| format!("time_zone = {}", literal(zone))));
    // The script is in UTF-8: under another character set, its text would be another.
    if stored.characters.starts_with("utf8") || stored.create.is_ascii() {
        settings.push(format!("character_set_client = {}", stored.characters));
        settings.push(format!("collation_connection = {}", stored.collation));
    }
    if !settings.is_empty() {
        let _ = write!(script, "SET SESSION {}\n{SIGN}\n", settings.join(", "));
    }
    let _ = write!(script, "{}\n{SIGN}\nSET NAMES utf8mb4\n{SIGN}\n", stored.create);
}

/// The fields of `SHOW CREATE …`.
async fn shown<const N: usize>(reading: &Reading, kind: &str, name: &str) -> Result<[String; N], ReadError> {
    let what = format!("the definition of {name}");
    // A sequence is shown as what it is by MariaDB alone, which has them alone.
    debug_assert!(kind != "SEQUENCE" || reading.engine != EngineKind::Mysql);
    let row = reading.rows(&what, &format!("SHOW CREATE {kind} {}", quote(name))).await?;
    let row = row.into_iter().next().unwrap_or_default();
    if row.len() < N || row.iter().take(N).any(Option::is_none) {
        let source = "its login may not see what it does".into();
        return Err(ReadError::Query { what, source });
    }
    Ok(fields(row))
}
