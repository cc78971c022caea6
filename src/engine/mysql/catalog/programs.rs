//! What the server stores to run, and MariaDB's sequences.

use std::collections::BTreeMap;

use super::{Fields, circumstances, printed};
use crate::engine::catalog::{Catalog, Function, Relation, Sequence, Trigger};
use crate::engine::mysql::names::{literal, quote};
use crate::engine::mysql::reading::Reading;
use crate::engine::reading::ReadError;

/// What is stored with every program: who runs it, and under which settings.
const STORED_WITH: &str = "DEFINER, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION";

/// Those from that column on, and one more.
fn stored_with(row: &mut Fields, at: usize, more: (&'static str, Option<String>)) -> Option<String> {
    let names = ["definer", "sql_mode", "character set", "collation", "database collation"];
    let stored: Vec<_> =
        names.into_iter().zip(at..).map(|(name, at)| (name, super::collation(row.given(at)))).collect();
    circumstances(stored.into_iter().chain([more]))
}

pub(super) async fn triggers(reading: &Reading, relations: &mut BTreeMap<String, Relation>) -> Result<(), ReadError> {
    let sql = format!(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT,
            NULLIF(ACTION_ORDER, 1), {STORED_WITH}
         FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {}",
        literal(reading.database())
    );
    for mut row in Fields::all(reading, "triggers", &sql).await? {
        let name = row.text(0);
        let Some(relation) = relations.get_mut(&printed(&row.text(1))) else { continue };
        let definition = format!("{} {} FOR EACH ROW {}", row.text(2), row.text(3), row.text(4));
        let order = row.optional(5);
        let trigger = Trigger {
            definition,
            enabled: "enabled".to_owned(),
            options: stored_with(&mut row, 6, ("order", order)),
            comment: None,
            inherited: false,
        };
        relation.triggers.insert(name, trigger);
    }
    Ok(())
}

/// Functions and procedures, and MariaDB's packages, each with its kind behind its name.
pub(super) async fn routines(reading: &Reading, catalog: &mut Catalog) -> Result<(), ReadError> {
    let mut parameters = parameters(reading).await?;
    let sql = format!(
        "SELECT ROUTINE_TYPE, ROUTINE_NAME, DTD_IDENTIFIER, IS_DETERMINISTIC, SQL_DATA_ACCESS, ROUTINE_DEFINITION,
            SECURITY_TYPE, ROUTINE_COMMENT, {STORED_WITH}
         FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {}",
        literal(reading.database())
    );
    for mut row in Fields::all(reading, "routines", &sql).await? {
        let (kind, name) = (row.text(0), row.text(1));
        let parameters = parameters.remove(&(kind.clone(), name.clone())).unwrap_or_default();
        let returns = row.given(2).map(|returns| format!(" RETURNS {returns}")).unwrap_or_default();
        let deterministic = if row.text(3) == "YES" { " DETERMINISTIC" } else { "" };
        let access = row.text(4);
        let Some(body) = row.optional(5) else {
            let source = "its login may not see what it does".into();
            return Err(ReadError::Query { what: format!("the routine {}", printed(&name)), source });
        };
        let security = row.given(6);
        let comment = row.given(7);
        let routine = Function {
            kind: kind.to_ascii_lowercase(),
            definition: format!("({}){returns}{deterministic} {access} {body}", parameters.join(", ")),
            options: stored_with(&mut row, 8, ("sql security", security)),
            owner: String::new(),
            comment,
            privileges: Vec::new(),
        };
        match kind.as_str() {
            "FUNCTION" => catalog.functions.insert(printed(&name), routine),
            "PROCEDURE" => catalog.procedures.insert(printed(&name), routine),
            kind => catalog.procedures.insert(format!("{} ({})", printed(&name), kind.to_ascii_lowercase()), routine),
        };
    }
    Ok(())
}

/// By the routine's kind and name.
async fn parameters(reading: &Reading) -> Result<BTreeMap<(String, String), Vec<String>>, ReadError> {
    let sql = format!(
        "SELECT ROUTINE_TYPE, SPECIFIC_NAME, PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER, COLLATION_NAME
         FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = {} AND ORDINAL_POSITION > 0
         ORDER BY ROUTINE_TYPE, SPECIFIC_NAME, ORDINAL_POSITION",
        literal(reading.database())
    );
    let mut parameters: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for mut row in Fields::all(reading, "parameters", &sql).await? {
        let key = (row.text(0), row.text(1));
        let collation = super::collation(row.given(5)).map(|collation| format!("COLLATE {collation}"));
        let words = [row.given(2), row.given(3).map(|name| printed(&name)), row.given(4), collation];
        parameters.entry(key).or_default().push(words.into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
    Ok(parameters)
}

pub(super) async fn events(reading: &Reading) -> Result<BTreeMap<String, Trigger>, ReadError> {
    let sql = format!(
        "SELECT EVENT_NAME, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, STARTS, ENDS, ON_COMPLETION, EVENT_DEFINITION,
            STATUS, EVENT_COMMENT, TIME_ZONE, {STORED_WITH}
         FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {}",
        literal(reading.database())
    );
    let event = |mut row: Fields| {
        let times = [("AT", row.optional(1)), ("STARTS", row.optional(4)), ("ENDS", row.optional(5))];
        let every = row.optional(2).map(|every| format!("EVERY {every} {}", row.text(3)));
        let times = times.into_iter().filter_map(|(word, time)| Some(format!("{word} '{}'", time?)));
        let when: Vec<String> = every.into_iter().chain(times).collect();
        let definition = format!("{} ON COMPLETION {} DO {}", when.join(" "), row.text(6), row.text(7));
        let zone = row.given(10);
        let event = Trigger {
            definition,
            // A replica is given every event disabled there, and runs it once it is a primary.
            enabled: match row.text(8).to_ascii_lowercase().as_str() {
                "slaveside_disabled" | "replica_side_disabled" => "enabled".to_owned(),
                state => state.to_owned(),
            },
            options: stored_with(&mut row, 11, ("time zone", zone)),
            comment: row.given(9),
            inherited: false,
        };
        (printed(&row.text(0)), event)
    };
    Ok(Fields::all(reading, "events", &sql).await?.into_iter().map(event).collect())
}

/// Each is a table of one row (chapter "Sequences" of MariaDB's manual).
pub(super) async fn sequences(reading: &Reading, names: &[String]) -> Result<BTreeMap<String, Sequence>, ReadError> {
    let mut sequences = BTreeMap::new();
    for name in names {
        let sql = format!(
            "SELECT start_value, increment, minimum_value, maximum_value, cache_size, IF(cycle_option, 'cycle', 'no cycle')
             FROM {}",
            quote(name)
        );
        let what = format!("the sequence {}", printed(name));
        let mut row = Fields::all(reading, &what, &sql).await?.into_iter().next().unwrap_or_default();
        let words = ["start ", "increment ", "minimum ", "maximum ", "cache ", ""];
        let options: Vec<String> =
            words.into_iter().zip(0..).map(|(word, at)| format!("{word}{}", row.text(at))).collect();
        let sequence = Sequence {
            type_name: "bigint".to_owned(),
            options: options.join(", "),
            owned_by: None,
            owning_table: None,
            identity: false,
            owner: String::new(),
            persistence: "permanent".to_owned(),
            comment: None,
            privileges: Vec::new(),
        };
        sequences.insert(printed(name), sequence);
    }
    Ok(sequences)
}
