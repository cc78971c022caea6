//! What the catalogs of one Postgres database say.
//!
//! Objects of the server's own, of this tool's own schema, and members of extensions are left out (an extension's configuration
//! tables, whose rows belong to the user, are not). Names print as `orders` where they lie in `public` and as `other.orders`
//! elsewhere; a name with a dot, a quote or a blank in it is quoted. Definitions print likewise, save where the server always
//! qualifies.
//!
//! Not read: roles, tablespaces, casts, operators, collations, text search, foreign servers, subscriptions, and per-role settings.

mod queries;

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::names::quote;
use super::reading::Reading;
use crate::engine::catalog::{
    Catalog, Column, Constraint, Extension, Function, Grant, Index, Policy, Publication, Relation, RelationKind,
    Schema, Sequence, Statistics, Trigger, Type,
};
use crate::engine::reading::ReadError;

/// The schema that this tool keeps to itself on a server.
pub const OWN_SCHEMA: &str = "rehearsal";

/// Reads the whole catalog as the reading's snapshot has it. Takes no lock on a table but ACCESS SHARE, for views' definitions.
///
/// # Errors
/// [`ReadError`] if a query fails or a lock is held against it for half a minute.
pub async fn read(reading: &Reading) -> Result<Catalog, ReadError> {
    let mut relations = relations(reading).await?;
    children(reading, &mut relations).await?;
    let database = records::<Grants>(reading, "the database's privileges", &queries::database()).await?;
    Ok(Catalog {
        usual_schema: "public".to_owned(),
        procedures: BTreeMap::new(),
        events: BTreeMap::new(),
        database: database.into_iter().flat_map(|row| row.privileges).collect(),
        schemas: named(records::<Named<Schema>>(reading, "schemas", &queries::schemas()).await?),
        sequences: sequences(reading).await?,
        functions: functions(reading).await?,
        types: records::<Placed<Type>>(reading, "types", &queries::types())
            .await?
            .into_iter()
            .map(|row| (display_name(&row.schema, &row.name), row.object))
            .collect(),
        extensions: named(records::<Named<Extension>>(reading, "extensions", &queries::extensions()).await?),
        event_triggers: named(records::<Named<Trigger>>(reading, "event triggers", &queries::event_triggers()).await?),
        publications: named(
            records::<Named<Publication>>(reading, "publications", &queries::publications(reading.version)).await?,
        ),
        default_privileges: records::<Named<Grants>>(reading, "default privileges", &queries::default_privileges())
            .await?
            .into_iter()
            .map(|row| (row.name, row.object.privileges))
            .collect(),
        relations: relations.into_values().map(|r| (display_name(&r.schema, &r.name), r)).collect(),
    })
}

/// Rows of a query, each as JSON from the server. Names in the query are looked up in `pg_catalog` alone, as the session is set to;
/// names that it prints are those that `public` in the search path leaves: the condition has no column in it, so that the server
/// evaluates it once and before any row.
async fn records<T: DeserializeOwned>(reading: &Reading, what: &str, query: &str) -> Result<Vec<T>, ReadError> {
    let sql = format!(
        "SELECT row_to_json(q)::text FROM ({query}) q WHERE (SELECT set_config('search_path', 'public', true)) IS NOT NULL"
    );
    let rows = reading.rows(what, &sql).await;
    let reset = reading.rows(what, "SET LOCAL search_path = pg_catalog").await;
    let rows = rows?;
    reset?;
    rows.iter()
        .map(|row| serde_json::from_str(row.get(0)))
        .collect::<Result<_, _>>()
        .map_err(|source: serde_json::Error| ReadError::Form { what: what.to_owned(), source: source.into() })
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    object: T,
}

#[derive(Deserialize)]
struct Placed<T> {
    schema: String,
    name: String,
    #[serde(flatten)]
    object: T,
}

/// Belongs to a relation.
#[derive(Deserialize)]
struct Child<T> {
    relation: i64,
    name: String,
    #[serde(flatten)]
    object: T,
}

#[derive(Deserialize)]
struct Grants {
    privileges: Vec<Grant>,
}

fn named<T>(rows: Vec<Named<T>>) -> BTreeMap<String, T> {
    rows.into_iter().map(|row| (row.name, row.object)).collect()
}

#[derive(Deserialize)]
struct RelationRow {
    oid: i64,
    schema: String,
    name: String,
    kind: RelationKind,
    persistence: String,
    is_partition: bool,
    partition_key: Option<String>,
    partition_bound: Option<String>,
    parents: Vec<i64>,
    options: Option<String>,
    row_security: Option<String>,
    owner: String,
    comment: Option<String>,
    definition: Option<String>,
    populated: bool,
    estimated_rows: f64,
    privileges: Vec<Grant>,
}

async fn relations(reading: &Reading) -> Result<HashMap<i64, Relation>, ReadError> {
    let rows: Vec<RelationRow> = records(reading, "tables and views", &queries::relations()).await?;
    let names: HashMap<i64, String> = rows.iter().map(|row| (row.oid, display_name(&row.schema, &row.name))).collect();
    Ok(rows.into_iter().map(|row| (row.oid, relation(row, &names))).collect())
}

fn relation(row: RelationRow, names: &HashMap<i64, String>) -> Relation {
    let parents: Vec<String> = row.parents.iter().filter_map(|oid| names.get(oid).cloned()).collect();
    let place = match (&row.partition_bound, parents.is_empty()) {
        (Some(bound), _) => Some(format!("PARTITION OF {} {bound}", parents.join(", "))),
        (None, false) => Some(format!("INHERITS ({})", parents.join(", "))),
        (None, true) => None,
    };
    let key = row.partition_key.map(|key| format!("PARTITION BY {key}"));
    let partition: Vec<String> = place.into_iter().chain(key).collect();
    Relation {
        schema: row.schema,
        name: row.name,
        kind: row.kind,
        persistence: row.persistence,
        storage_engine: None,
        collation: None,
        partition: (!partition.is_empty()).then(|| partition.join(" ")),
        parents,
        is_partition: row.is_partition,
        options: row.options,
        row_security: row.row_security,
        owner: row.owner,
        comment: row.comment,
        definition: row.definition,
        populated: row.populated,
        valid: true,
        estimated_rows: row.estimated_rows,
        columns: BTreeMap::new(),
        constraints: BTreeMap::new(),
        indexes: BTreeMap::new(),
        triggers: BTreeMap::new(),
        policies: BTreeMap::new(),
        rules: BTreeMap::new(),
        statistics: BTreeMap::new(),
        privileges: row.privileges,
    }
}

/// Fills in what belongs to a relation; what belongs to a relation that was left out is left out with it.
async fn children(reading: &Reading, relations: &mut HashMap<i64, Relation>) -> Result<(), ReadError> {
    let columns: Vec<Child<Column>> = records(reading, "columns", &queries::columns(reading.version)).await?;
    place(relations, columns, |relation, name, column| relation.columns.insert(name, column));
    let constraints: Vec<Child<Constraint>> = records(reading, "constraints", &queries::constraints()).await?;
    place(relations, constraints, |relation, name, constraint| relation.constraints.insert(name, constraint));
    let indexes: Vec<Child<Index>> = records(reading, "indexes", &queries::indexes()).await?;
    place(relations, indexes, |relation, name, index| {
        relation.indexes.insert(display_name(&relation.schema, &name), index)
    });
    let triggers: Vec<Child<Trigger>> = records(reading, "triggers", &queries::triggers()).await?;
    place(relations, triggers, |relation, name, trigger| relation.triggers.insert(name, trigger));
    let rules: Vec<Child<Trigger>> = records(reading, "rules", &queries::rules()).await?;
    place(relations, rules, |relation, name, rule| relation.rules.insert(name, rule));
    let policies: Vec<Child<Policy>> = records(reading, "policies", &queries::policies()).await?;
    place(relations, policies, |relation, name, policy| relation.policies.insert(name, policy));
    let statistics: Vec<Child<Statistics>> = records(reading, "statistics", &queries::statistics()).await?;
    place(relations, statistics, |relation, name, statistics| relation.statistics.insert(name, statistics));
    let grants: Vec<Child<Grants>> = records(reading, "column privileges", &queries::column_grants()).await?;
    place(relations, grants, |relation, column, grants| {
        let of_column = |grant| Grant { column: Some(column.clone()), ..grant };
        relation.privileges.extend(grants.privileges.into_iter().map(of_column));
    });
    Ok(())
}

fn place<T, R>(
    relations: &mut HashMap<i64, Relation>,
    rows: Vec<Child<T>>,
    mut insert: impl FnMut(&mut Relation, String, T) -> R,
) {
    for row in rows {
        if let Some(relation) = relations.get_mut(&row.relation) {
            insert(relation, row.name, row.object);
        }
    }
}

#[derive(Deserialize)]
struct SequenceRow {
    #[serde(rename = "type")]
    type_name: String,
    options: String,
    owning_schema: Option<String>,
    owning_table: Option<String>,
    owning_column: Option<String>,
    identity: bool,
    owner: String,
    persistence: String,
    comment: Option<String>,
    privileges: Vec<Grant>,
}

async fn sequences(reading: &Reading) -> Result<BTreeMap<String, Sequence>, ReadError> {
    let rows: Vec<Placed<SequenceRow>> = records(reading, "sequences", &queries::sequences()).await?;
    Ok(rows.into_iter().map(|row| (display_name(&row.schema, &row.name), sequence(row.object))).collect())
}

fn sequence(row: SequenceRow) -> Sequence {
    let owning_table = row.owning_schema.zip(row.owning_table).map(|(schema, table)| display_name(&schema, &table));
    Sequence {
        type_name: row.type_name,
        options: row.options,
        owned_by: owning_table.as_ref().zip(row.owning_column).map(|(table, column)| format!("{table}.{column}")),
        owning_table,
        identity: row.identity,
        owner: row.owner,
        persistence: row.persistence,
        comment: row.comment,
        privileges: row.privileges,
    }
}

#[derive(Deserialize)]
struct FunctionRow {
    arguments: String,
    #[serde(flatten)]
    function: Function,
}

async fn functions(reading: &Reading) -> Result<BTreeMap<String, Function>, ReadError> {
    let rows: Vec<Placed<FunctionRow>> = records(reading, "functions", &queries::functions()).await?;
    let name =
        |row: &Placed<FunctionRow>| format!("{}({})", display_name(&row.schema, &row.name), row.object.arguments);
    Ok(rows.into_iter().map(|row| (name(&row), row.object.function)).collect())
}

/// How a name prints: `orders` in `public`, `other.orders` elsewhere.
pub fn display_name(schema: &str, name: &str) -> String {
    if schema == "public" { display_part(name) } else { format!("{}.{}", display_part(schema), display_part(name)) }
}

/// Quoted only where it could be read as something else: reserved words and capitals are told as their owner would tell them.
fn display_part(name: &str) -> String {
    let plain = !name.is_empty() && !name.contains(|c: char| c == '.' || c == '"' || c == '(' || c.is_whitespace());
    if plain { name.to_owned() } else { quote(name) }
}
