//! Tables and views, with their columns, indexes and constraints.

use std::collections::BTreeMap;

use super::{Fields, collation, printed};
use crate::engine::EngineKind;
use crate::engine::catalog::{Column, Constraint, Index, Relation, RelationKind};
use crate::engine::mysql::names::{literal, quote};
use crate::engine::mysql::reading::Reading;
use crate::engine::reading::ReadError;

/// Storage engines whose rows lie elsewhere.
const REMOTE: [&str; 3] = ["FEDERATED", "SPIDER", "CONNECT"];

pub(super) struct Tables {
    pub relations: BTreeMap<String, Relation>,
    /// Names of MariaDB's sequences, which are tables of a kind.
    pub sequences: Vec<String>,
}

pub(super) async fn read(reading: &Reading) -> Result<Tables, ReadError> {
    let mut tables = relations(reading).await?;
    let relations = &mut tables.relations;
    columns(reading, relations).await?;
    indexes(reading, relations).await?;
    foreign_keys(reading, relations).await?;
    checks(reading, relations).await?;
    partitions(reading, relations).await?;
    Ok(tables)
}

/// The views' queries.
pub(super) async fn define_views(
    reading: &Reading,
    relations: &mut BTreeMap<String, Relation>,
) -> Result<(), ReadError> {
    for view in relations.values_mut().filter(|relation| relation.kind == RelationKind::View) {
        define(reading, view).await?;
    }
    Ok(())
}

async fn relations(reading: &Reading) -> Result<Tables, ReadError> {
    let sql = format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, ROW_FORMAT, CREATE_OPTIONS, TABLE_COMMENT, TABLE_COLLATION, TABLE_ROWS
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
        literal(reading.database())
    );
    let mut tables = Tables { relations: BTreeMap::new(), sequences: Vec::new() };
    for mut row in Fields::all(reading, "tables and views", &sql).await? {
        let (name, kind) = (row.text(0), row.text(1));
        match kind.as_str() {
            "SEQUENCE" => tables.sequences.push(name),
            _ => {
                let relation = relation(reading.database(), &name, &kind, row);
                tables.relations.insert(printed(&name), relation);
            }
        }
    }
    Ok(tables)
}

fn relation(database: &str, name: &str, kind: &str, mut row: Fields) -> Relation {
    let storage_engine = row.given(2);
    let is_remote = storage_engine.as_deref().is_some_and(|engine| REMOTE.contains(&engine));
    let kind_of_relation = match kind {
        "VIEW" | "SYSTEM VIEW" => RelationKind::View,
        _ if is_remote => RelationKind::ForeignTable,
        _ => RelationKind::Table,
    };
    let is_view = kind_of_relation == RelationKind::View;
    let format = row.given(3).map(|format| format!("row_format={}", format.to_ascii_lowercase()));
    let created_with = row.text(4);
    // Said by the partitions, and by the format in use.
    let said = |option: &&str| *option != "partitioned" && !option.to_ascii_lowercase().starts_with("row_format=");
    let versioned = (kind == "SYSTEM VERSIONED").then(|| "with system versioning".to_owned());
    let created_with = created_with.split_whitespace().filter(said).map(str::to_owned);
    let comment = row.given(5);
    let options: Vec<String> = format.into_iter().chain(created_with).chain(versioned).collect();
    Relation {
        schema: database.to_owned(),
        name: name.to_owned(),
        kind: kind_of_relation,
        persistence: "permanent".to_owned(),
        storage_engine,
        collation: collation(row.given(6)),
        partition: None,
        parents: Vec::new(),
        is_partition: false,
        options: (!options.is_empty()).then(|| options.join(", ")),
        row_security: None,
        owner: String::new(),
        comment: comment.clone().filter(|_| !is_view),
        definition: None,
        populated: true,
        // A view's comment says that it is one, or what is wrong with it.
        valid: !is_view || comment.is_none_or(|comment| comment == "VIEW"),
        estimated_rows: row.text(7).parse().unwrap_or_default(),
        columns: BTreeMap::new(),
        constraints: BTreeMap::new(),
        indexes: BTreeMap::new(),
        triggers: BTreeMap::new(),
        policies: BTreeMap::new(),
        rules: BTreeMap::new(),
        statistics: BTreeMap::new(),
        privileges: Vec::new(),
    }
}

/// "CREATE ALGORITHM=… DEFINER=… SQL SECURITY … VIEW `v` AS select …": only here are names without the current database's.
async fn define(reading: &Reading, view: &mut Relation) -> Result<(), ReadError> {
    let what = format!("the view {}", printed(&view.name));
    let row = Fields::all(reading, &what, &format!("SHOW CREATE VIEW {}", quote(&view.name))).await?.into_iter().next();
    let text = row.unwrap_or_default().text(1);
    let named = format!(" VIEW {} AS ", quote(&view.name));
    match text.split_once(&named) {
        Some((head, query)) => {
            view.options = Some(head.trim_start_matches("CREATE ").to_owned());
            // Of a view that no longer works the database's own name is told.
            view.definition = Some(query.replace(&format!("{}.", quote(&view.schema)), ""));
        }
        None => view.definition = Some(text),
    }
    Ok(())
}

async fn columns(reading: &Reading, relations: &mut BTreeMap<String, Relation>) -> Result<(), ReadError> {
    let srid = if reading.engine == EngineKind::Mysql { "SRS_ID" } else { "NULL" };
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION,
            COLLATION_NAME, COLUMN_COMMENT, {srid}
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
        literal(reading.database())
    );
    let mut last: Option<(String, String)> = None;
    for mut row in Fields::all(reading, "columns", &sql).await? {
        let (table, name) = (printed(&row.text(0)), row.text(1));
        let Some(relation) = relations.get_mut(&table).filter(|relation| relation.kind != RelationKind::View) else {
            continue;
        };
        let mut column = column(reading.engine, row);
        column.position = u32::try_from(relation.columns.len() + 1).unwrap_or(u32::MAX);
        column.place = match &last {
            Some((of, previous)) if *of == table => Some(format!("AFTER {previous}")),
            _ => Some("FIRST".to_owned()),
        };
        relation.columns.insert(name.clone(), column);
        last = Some((table, name));
    }
    for relation in relations.values_mut() {
        if let Some(last) = relation.columns.values_mut().max_by_key(|column| column.position) {
            last.place = None;
        }
    }
    Ok(())
}

/// With neither position nor place.
fn column(engine: EngineKind, mut row: Fields) -> Column {
    let type_name = row.text(2);
    let extra = row.text(5);
    let nullable = row.text(3) == "YES";
    // Only MariaDB writes a default of NULL out, and means none by it as well.
    let default = row.optional(4).filter(|default| engine == EngineKind::Mysql || default != "NULL");
    let default = default.map(|default| match engine {
        // MySQL tells a literal without its quotes; bits it tells as they are written.
        EngineKind::Mysql if !extra.contains("DEFAULT_GENERATED") && !type_name.starts_with("bit") => literal(&default),
        _ => default,
    });
    let stored = ["STORED GENERATED", "PERSISTENT"].iter().any(|word| extra.contains(word));
    let kind = if stored { "STORED" } else { "VIRTUAL" };
    let srid = row.optional(9).map(|srid| format!("srid {srid}"));
    let options: Vec<String> = rest_of_extra(&extra).into_iter().chain(srid).collect();
    Column {
        position: 0,
        default,
        nullable: if nullable { "NULL" } else { "NOT NULL" }.to_owned(),
        identity: extra.contains("auto_increment").then(|| "auto_increment".to_owned()),
        generated: row.given(6).map(|expression| format!("({expression}) {kind}")),
        collation: collation(row.optional(7)),
        options: (!options.is_empty()).then(|| options.join(", ")),
        comment: row.given(8),
        type_name,
        place: None,
        inherited: false,
    }
}

/// What no other property tells: "on update current_timestamp()", "INVISIBLE".
fn rest_of_extra(extra: &str) -> Option<String> {
    let told = ["auto_increment", "DEFAULT_GENERATED", "STORED GENERATED", "VIRTUAL GENERATED", "PERSISTENT"];
    let rest = told.iter().fold(extra.to_owned(), |rest, word| rest.replace(word, ""));
    let words: Vec<&str> = rest.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// One column or expression of an index.
struct Part {
    column: Option<String>,
    /// As it is written: "name(10) DESC".
    text: String,
    whole: bool,
}

async fn indexes(reading: &Reading, relations: &mut BTreeMap<String, Relation>) -> Result<(), ReadError> {
    let (expression, unused) = match reading.engine {
        EngineKind::Mysql => ("EXPRESSION", "IF(IS_VISIBLE = 'NO', 'invisible', NULL)"),
        _ if reading.version >= (10, 6) => ("NULL", "IF(IGNORED = 'YES', 'ignored', NULL)"),
        _ => ("NULL", "NULL"),
    };
    let sql = format!(
        "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, INDEX_TYPE, COLUMN_NAME, SUB_PART, COLLATION, {expression}, {unused},
            COMMENT, INDEX_COMMENT
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
        literal(reading.database())
    );
    let mut found: BTreeMap<(String, String), (Vec<Part>, Index)> = BTreeMap::new();
    for mut row in Fields::all(reading, "indexes", &sql).await? {
        let (table, name) = (printed(&row.text(0)), row.text(1));
        let (unique, method) = (row.text(2) == "0", row.text(3));
        let part = part(&mut row);
        let options: Vec<String> = [row.given(8), row.given(9)].into_iter().flatten().collect();
        let index = Index {
            definition: String::new(),
            valid: true,
            unique,
            primary: name == "PRIMARY",
            method,
            columns: Vec::new(),
            constraint: unique.then(|| name.clone()),
            options: (!options.is_empty()).then(|| options.join(", ")),
            comment: row.given(10),
            inherited: false,
        };
        found.entry((table, name)).or_insert_with(|| (Vec::new(), index)).0.push(part);
    }
    for ((table, name), (parts, index)) in found {
        if let Some(relation) = relations.get_mut(&table) {
            place(relation, name, &parts, index);
        }
    }
    Ok(())
}

fn part(row: &mut Fields) -> Part {
    let (column, length, descending) = (row.optional(4), row.optional(5), row.text(6) == "D");
    let name = match (&column, row.optional(7)) {
        (Some(column), _) => printed(column),
        (None, expression) => format!("({})", expression.unwrap_or_default()),
    };
    let prefix = length.as_ref().map(|length| format!("({length})")).unwrap_or_default();
    let order = if descending { " DESC" } else { "" };
    Part { text: format!("{name}{prefix}{order}"), whole: length.is_none(), column }
}

/// A unique index is a constraint as well.
fn place(relation: &mut Relation, name: String, parts: &[Part], mut index: Index) {
    let list = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(", ");
    let kind = match (index.method.as_str(), index.unique) {
        ("FULLTEXT" | "SPATIAL", _) => format!("{} INDEX", index.method),
        (_, true) => "UNIQUE INDEX".to_owned(),
        (_, false) => "INDEX".to_owned(),
    };
    let using = if kind.starts_with(&index.method) { String::new() } else { format!(" USING {}", index.method) };
    index.definition = format!("{kind} ({list}){using}");
    if parts.iter().all(|part| part.whole && part.column.is_some()) {
        index.columns = parts.iter().filter_map(|part| part.column.clone()).collect();
    }
    if index.unique {
        let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
        relation.constraints.insert(name.clone(), constraint(format!("{kind} ({list})")));
    }
    relation.indexes.insert(name, index);
}

fn constraint(definition: String) -> Constraint {
    Constraint { definition, valid: true, comment: None, inherited: false }
}

/// Under its name, or under its name and kind where a constraint of another kind has the same: they do not share their names.
fn add(relation: &mut Relation, name: String, kind: &str, constraint: Constraint) {
    let taken = relation.constraints.contains_key(&name);
    relation.constraints.insert(if taken { format!("{name} ({kind})") } else { name }, constraint);
}

/// What a foreign key's columns refer to.
struct Reference {
    columns: Vec<String>,
    table: String,
    referenced: Vec<String>,
}

async fn foreign_keys(reading: &Reading, relations: &mut BTreeMap<String, Relation>) -> Result<(), ReadError> {
    let database = literal(reading.database());
    let rules = format!(
        "SELECT TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE
         FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {database}"
    );
    let columns = format!(
        "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_COLUMN_NAME, REFERENCED_TABLE_NAME,
            NULLIF(REFERENCED_TABLE_SCHEMA, TABLE_SCHEMA)
         FROM information_schema.KEY_COLUMN_USAGE
         WHERE TABLE_SCHEMA = {database} AND REFERENCED_TABLE_NAME IS NOT NULL
         ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"
    );
    let mut found: BTreeMap<(String, String), Reference> = BTreeMap::new();
    for mut row in Fields::all(reading, "foreign keys", &columns).await? {
        let key = (printed(&row.text(0)), row.text(1));
        let (column, referenced, other) = (printed(&row.text(2)), printed(&row.text(3)), printed(&row.text(4)));
        let other = row.optional(5).map_or(other.clone(), |database| format!("{}.{other}", printed(&database)));
        let reference =
            found.entry(key).or_insert_with(|| Reference { columns: Vec::new(), table: other, referenced: Vec::new() });
        reference.columns.push(column);
        reference.referenced.push(referenced);
    }
    for mut row in Fields::all(reading, "foreign keys", &rules).await? {
        let (table, name, on_update, on_delete) = (printed(&row.text(0)), row.text(1), row.text(2), row.text(3));
        let Some(reference) = found.remove(&(table.clone(), name.clone())) else { continue };
        let definition = format!(
            "FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {on_delete} ON UPDATE {on_update}",
            reference.columns.join(", "),
            reference.table,
            reference.referenced.join(", ")
        );
        if let Some(relation) = relations.get_mut(&table) {
            add(relation, name, "foreign key", constraint(definition));
        }
    }
    Ok(())
}

async fn checks(reading: &Reading, relations: &mut BTreeMap<String, Relation>) -> Result<(), ReadError> {
    let database = literal(reading.database());
    let sql = match reading.engine {
        EngineKind::Mysql => format!(
            "SELECT t.TABLE_NAME, t.CONSTRAINT_NAME, c.CHECK_CLAUSE, 'Table', t.ENFORCED
             FROM information_schema.TABLE_CONSTRAINTS t
             JOIN information_schema.CHECK_CONSTRAINTS c
                ON c.CONSTRAINT_SCHEMA = t.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME
             WHERE t.CONSTRAINT_SCHEMA = {database} AND t.CONSTRAINT_TYPE = 'CHECK'"
        ),
        _ => format!(
            "SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE, LEVEL, 'YES'
             FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {database}"
        ),
    };
    for mut row in Fields::all(reading, "checks", &sql).await? {
        let Some(relation) = relations.get_mut(&printed(&row.text(0))) else { continue };
        let (name, clause, of_column) = (row.text(1), row.text(2), row.text(3) == "Column");
        // MariaDB names a column's own check by the column.
        let name = if of_column { format!("{name} (column)") } else { name };
        let check = Constraint { valid: row.text(4) == "YES", ..constraint(format!("CHECK ({clause})")) };
        add(relation, name, "check", check);
    }
    Ok(())
}

async fn partitions(reading: &Reading, relations: &mut BTreeMap<String, Relation>) -> Result<(), ReadError> {
    let sql = format!(
        "SELECT TABLE_NAME, PARTITION_METHOD, PARTITION_EXPRESSION, SUBPARTITION_METHOD, SUBPARTITION_EXPRESSION,
            PARTITION_NAME, PARTITION_DESCRIPTION, SUBPARTITION_NAME, PARTITION_COMMENT
         FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = {} AND PARTITION_NAME IS NOT NULL
         ORDER BY TABLE_NAME, PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION",
        literal(reading.database())
    );
    // Of each table, how it is divided, and into what.
    let mut found: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for mut row in Fields::all(reading, "partitions", &sql).await? {
        let table = printed(&row.text(0));
        let (method, expression) = (row.text(1), row.text(2));
        let below = row.optional(3).map(|below| format!(" SUBPARTITION BY {below} ({})", row.text(4)));
        let entry = found.entry(table).or_insert_with(|| {
            (format!("PARTITION BY {method} ({expression}){}", below.unwrap_or_default()), Vec::new())
        });
        let (name, bound) = (row.text(5), row.optional(6));
        let bound = bound.map(|bound| match method.as_str() {
            method if method.starts_with("RANGE") => format!(" VALUES LESS THAN ({bound})"),
            method if method.starts_with("LIST") => format!(" VALUES IN ({bound})"),
            _ => format!(" {bound}"),
        });
        let below = row.optional(7).map(|below| format!(" SUBPARTITION {}", printed(&below)));
        let comment = row.given(8).map(|comment| format!(" COMMENT {}", literal(&comment)));
        let more = [bound, below, comment].into_iter().flatten().collect::<String>();
        entry.1.push(format!("{}{more}", printed(&name)));
    }
    for (table, (how, parts)) in found {
        if let Some(relation) = relations.get_mut(&table) {
            relation.partition = Some(format!("{how}: {}", parts.join(", ")));
        }
    }
    Ok(())
}
