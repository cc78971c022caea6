//! Publications: made where they are not there, and read as they are.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::PROOF;
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::catalog::display_name;
use crate::engine::postgres::connect::{Connection, connect};
use crate::engine::postgres::names::{literal, quote};
use crate::engine::postgres::server::{sql, within};
use crate::engine::server::ServerError;
use crate::engine::server::coming_up::ATTEMPT_DEADLINE;
use crate::engine::subscription::{Feed, Published, PublishedTable};

const READ: &str = "read what is published";
const MAKE: &str = "make the publication";

/// From this version on a publication can hold some of a table's columns and rows.
const PARTS_OF_TABLES: i32 = 150_000;
/// From this version on it can hold generated columns.
const GENERATED: i32 = 180_000;

/// A table by its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    pub schema: String,
    pub name: String,
}

impl Table {
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    pub fn shown(&self) -> String {
        display_name(&self.schema, &self.name)
    }
}

/// As [`crate::engine::subscription::published`].
///
/// # Errors
/// As there.
pub async fn published(publisher: &Endpoint, publication: &str) -> Result<Option<Published>, ServerError> {
    within(READ, async {
        let session = open(publisher, READ).await?;
        let Some(found) = find(&session.client, publication).await? else { return Ok(None) };
        let held = held(&session.client, publication).await?;
        let shown = |(table, mut held): (Table, PublishedTable)| {
            held.partly = held.partly.or(found.partly);
            (table.shown(), held)
        };
        Ok(Some(Published { tables: held.into_iter().map(shown).collect() }))
    })
    .await
}

/// The tables of a publication that is there.
///
/// # Errors
/// The server refuses.
pub async fn tables(publisher: &Endpoint, publication: &str) -> Result<Vec<Table>, ServerError> {
    within(READ, async {
        let session = open(publisher, READ).await?;
        Ok(held(&session.client, publication).await?.into_keys().collect())
    })
    .await
}

/// Makes the publication where it is not there yet. Gives what to tell of one that is there, and holds other tables than are asked for.
///
/// # Errors
/// What is asked for names no table, or the server refuses.
pub async fn publish(publisher: &Endpoint, feed: &Feed) -> Result<Option<String>, ServerError> {
    let name = &feed.publication;
    within(MAKE, async {
        let session = open(publisher, MAKE).await?;
        let found = find(&session.client, name).await?;
        let wanted = matching(&session.client, &feed.tables, found.as_ref().map(|found| found.by_root)).await?;
        let Some(found) = found else {
            if wanted.is_empty() {
                let what = format!("publication {name} is not in the snapshot, and nothing says which tables it holds");
                let hint = "name them: subscribes = { …, tables = [\"public.*\"] }";
                return Err(ServerError::Subscription { what, hint: Some(hint.to_owned()) });
            }
            let tables: Vec<String> = wanted.iter().map(Table::quoted).collect();
            let create = format!("CREATE PUBLICATION {} FOR TABLE {}", quote(name), tables.join(", "));
            session.client.batch_execute(&create).await.map_err(sql(MAKE))?;
            return Ok(None);
        };
        if !found.inserts {
            let what = format!("publication {name} publishes no inserts, so that no row can prove that it arrives");
            return Err(ServerError::Subscription { what, hint: None });
        }
        let held: BTreeSet<Table> = held(&session.client, name).await?.into_keys().collect();
        if held.is_empty() {
            let what = format!("publication {name} holds no table");
            return Err(ServerError::Subscription { what, hint: None });
        }
        Ok((!feed.tables.is_empty() && held != wanted).then(|| unlike(name, &held, &wanted)))
    })
    .await
}

/// Adds the table of the proof, where it is not published anyway: with all tables, or for another subscriber.
///
/// # Errors
/// The server refuses.
pub async fn publish_proof(publisher: &Endpoint, publication: &str) -> Result<(), ServerError> {
    within(MAKE, async {
        let session = open(publisher, MAKE).await?;
        let there = "SELECT FROM pg_catalog.pg_publication_tables WHERE pubname = $1 AND schemaname = $2";
        if session.client.query_opt(there, &[&publication, &PROOF]).await.map_err(sql(MAKE))?.is_none() {
            let add = format!("ALTER PUBLICATION {} ADD TABLE {PROOF}.row", quote(publication));
            session.client.batch_execute(&add).await.map_err(sql(MAKE))?;
        }
        Ok(())
    })
    .await
}

fn unlike(name: &str, held: &BTreeSet<Table>, wanted: &BTreeSet<Table>) -> String {
    let list = |tables: &mut dyn Iterator<Item = &Table>| tables.map(Table::shown).collect::<Vec<_>>().join(", ");
    let more = list(&mut held.difference(wanted));
    let less = list(&mut wanted.difference(held));
    let parts = [(more, "holds more than `tables` says"), (less, "does not hold what `tables` says")];
    let told = parts.into_iter().filter(|(names, _)| !names.is_empty()).map(|(names, what)| format!("{what}: {names}"));
    format!("publication {name} is taken as the snapshot has it, and {}", told.collect::<Vec<_>>().join("; and "))
}

/// A publication that is there.
struct Found {
    /// Partitions are published as the table that they are of.
    by_root: bool,
    inserts: bool,
    /// Not every change goes over.
    partly: Option<&'static str>,
}

async fn find(client: &Client, publication: &str) -> Result<Option<Found>, ServerError> {
    let asked = "SELECT pubviaroot, pubinsert, pubinsert AND pubupdate AND pubdelete AND pubtruncate
        FROM pg_catalog.pg_publication WHERE pubname = $1";
    let row = client.query_opt(asked, &[&publication]).await.map_err(sql(READ))?;
    Ok(row.map(|row| {
        let partly = (!row.get::<_, bool>(2)).then_some("its publication leaves out some kinds of changes");
        Found { by_root: row.get(0), inserts: row.get(1), partly }
    }))
}

/// What it holds, but for the proof: tables as they are published, with their columns.
async fn held(client: &Client, publication: &str) -> Result<BTreeMap<Table, PublishedTable>, ServerError> {
    let version = "SELECT pg_catalog.current_setting('server_version_num')::int4";
    let version: i32 = client.query_one(version, &[]).await.map_err(sql(READ))?.get(0);
    let (columns, filtered) = if version >= PARTS_OF_TABLES {
        ("attname = ANY (published.attnames)", "published.rowfilter IS NOT NULL")
    } else {
        ("true", "false")
    };
    let generated = if version >= GENERATED { "true" } else { "attgenerated = ''" };
    let asked = format!(
        "SELECT published.schemaname::text, published.tablename::text,
            ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute
                   WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped AND {columns} AND {generated}
                   ORDER BY attnum),
            {filtered}
         FROM pg_catalog.pg_publication_tables AS published
         JOIN pg_catalog.pg_namespace AS schema ON schema.nspname = published.schemaname
         JOIN pg_catalog.pg_class AS class ON class.relnamespace = schema.oid AND class.relname = published.tablename
         WHERE published.pubname = $1 AND published.schemaname <> {}",
        literal(PROOF)
    );
    let rows = client.query(&asked, &[&publication]).await.map_err(sql(READ))?;
    let table = |row: &tokio_postgres::Row| {
        let partly = row.get::<_, bool>(3).then_some("its publication takes some of its rows alone");
        (Table { schema: row.get(0), name: row.get(1) }, PublishedTable { columns: row.get(2), partly })
    };
    Ok(rows.iter().map(table).collect())
}

/// The tables that are meant. Those of a whole schema are what an application made there: no partitions, which go with their table, and
/// nothing of an extension's. `by_root` is how a publication that is there has partitioned tables; none = as they are named.
async fn matching(client: &Client, wanted: &[String], by_root: Option<bool>) -> Result<BTreeSet<Table>, ServerError> {
    let leaves = if by_root == Some(false) {
        "LEFT JOIN LATERAL pg_catalog.pg_partition_tree(named.oid) AS tree ON true"
    } else {
        "LEFT JOIN LATERAL (SELECT NULL::oid AS relid, true AS isleaf) AS tree ON true"
    };
    let asked = format!(
        "SELECT schema.nspname::text, class.relname::text
         FROM (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname = $1
                  AND (c.relname = $2 OR $2 = '*' AND NOT c.relispartition AND NOT EXISTS (
                    SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'))
         ) AS named
         {leaves}
         JOIN pg_catalog.pg_class AS class ON class.oid = coalesce(tree.relid::oid, named.oid)
         JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
         WHERE coalesce(tree.isleaf, true)"
    );
    let mut tables = BTreeSet::new();
    for pattern in wanted {
        let (schema, name) = pattern.split_once('.').unwrap_or(("public", pattern));
        let rows = client.query(&asked, &[&schema, &name]).await.map_err(sql(READ))?;
        if rows.is_empty() {
            let what = format!("\"{pattern}\", which is to be published, is no table");
            let hint = Some("name tables that the snapshot or its setup makes; names are taken as they are".to_owned());
            return Err(ServerError::Subscription { what, hint });
        }
        tables.extend(rows.iter().map(|row| Table { schema: row.get(0), name: row.get(1) }));
    }
    Ok(tables)
}

async fn open(endpoint: &Endpoint, what: &str) -> Result<Connection, ServerError> {
    let session = connect(&endpoint.named("rehearsal replication"), ATTEMPT_DEADLINE).await.map_err(sql(what))?;
    // Whatever the database's own settings say.
    session.client.batch_execute("SET default_transaction_read_only = off").await.map_err(sql(what))?;
    Ok(session)
}
