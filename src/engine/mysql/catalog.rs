//! What the catalogs of one MySQL or MariaDB database say (chapter "INFORMATION_SCHEMA Tables" of the manuals).
//!
//! Counters of AUTO_INCREMENT and where sequences stand are left out, as are statistics and sizes. Names print without their database; a
//! name with a dot, a quote or a blank in it stands in backquotes.
//!
//! Not read: accounts themselves, their memberships and their privileges on all databases; tablespaces and directories of tables;
//! parsers of full-text indexes; the SRID of a column on MariaDB; of a nullable column, whether its default is NULL or none.

mod grants;
mod programs;
mod rights;
mod tables;

use super::names::{literal, quote};
use super::reading::Reading;
use crate::engine::EngineKind;
use crate::engine::catalog::{Catalog, Extent, Schema};
use crate::engine::reading::ReadError;

/// The name under which the one database that is read stands among the schemas: its own may be another on either side.
const DATABASE: &str = "database";

/// Reads the catalog, as it is by now: it is in no snapshot. Takes no lock but a table's metadata lock, for as long as its definition is
/// read. For more than tables, the login must be able to read the database `mysql` and what routines do, and to see triggers and events.
///
/// # Errors
/// [`ReadError`] if a query fails, the login may not see part of it, or a lock is held against it for half a minute.
pub async fn read(reading: &Reading, extent: Extent) -> Result<Catalog, ReadError> {
    let tables = tables::read(reading).await?;
    let mut catalog =
        Catalog { usual_schema: reading.database().to_owned(), relations: tables.relations, ..Catalog::default() };
    if extent == Extent::Tables {
        return Ok(catalog);
    }
    rights::check(reading).await?;
    tables::define_views(reading, &mut catalog.relations).await?;
    catalog.schemas.insert(DATABASE.to_owned(), database(reading).await?);
    catalog.sequences = programs::sequences(reading, &tables.sequences).await?;
    catalog.events = programs::events(reading).await?;
    programs::routines(reading, &mut catalog).await?;
    programs::triggers(reading, &mut catalog.relations).await?;
    grants::read(reading, &mut catalog).await?;
    Ok(catalog)
}

/// Whether the login may see all of the schema, routines included.
///
/// # Errors
/// [`ReadError::Query`] with what it lacks.
pub(super) async fn check_rights(reading: &Reading) -> Result<(), ReadError> {
    rights::check(reading).await?;
    rights::check_routines(reading).await
}

/// How a name prints.
pub(super) fn printed(name: &str) -> String {
    let plain = !name.is_empty() && !name.contains(|c: char| matches!(c, '.' | '`' | '"' | '(') || c.is_whitespace());
    if plain { name.to_owned() } else { quote(name) }
}

async fn database(reading: &Reading) -> Result<Schema, ReadError> {
    let comment = if reading.engine == EngineKind::Mysql { "NULL" } else { "SCHEMA_COMMENT" };
    let sql = format!(
        "SELECT DEFAULT_COLLATION_NAME, {comment} FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        literal(reading.database())
    );
    let mut row = Fields::all(reading, "the database", &sql).await?.into_iter().next().unwrap_or_default();
    Ok(Schema {
        owner: String::new(),
        collation: collation(row.optional(0)),
        comment: row.given(1),
        privileges: Vec::new(),
    })
}

/// A collation or a character set. Before 10.6, MariaDB called utf8mb3 by its other name.
fn collation(name: Option<String>) -> Option<String> {
    name.map(|name| match name.strip_prefix("utf8") {
        Some(rest) if rest.is_empty() || rest.starts_with('_') => format!("utf8mb3{rest}"),
        _ => name,
    })
}

/// A row of a query, by position.
#[derive(Debug, Default)]
struct Fields(Vec<Option<String>>);

impl Fields {
    async fn all(reading: &Reading, what: &str, sql: &str) -> Result<Vec<Fields>, ReadError> {
        Ok(reading.rows(what, sql).await?.into_iter().map(Fields).collect())
    }

    fn optional(&mut self, at: usize) -> Option<String> {
        self.0.get_mut(at).and_then(Option::take)
    }

    /// Empty where it is NULL.
    fn text(&mut self, at: usize) -> String {
        self.optional(at).unwrap_or_default()
    }

    /// None where it is NULL or empty.
    fn given(&mut self, at: usize) -> Option<String> {
        self.optional(at).filter(|text| !text.is_empty())
    }
}

/// "definer app@%, sql_mode ANSI_QUOTES, …": what a program runs with, each under its name, if it is given.
fn circumstances(of: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Option<String> {
    let given = of.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    Some(given.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}
