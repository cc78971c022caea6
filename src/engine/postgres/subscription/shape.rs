//! What a subscriber needs to hold published tables: the tables themselves with their columns, defaults, checks and keys, and the types,
//! functions, sequences and parents that these rest on. No foreign keys, further indexes, triggers, rules, policies, owners or grants:
//! rows that arrive need none of them, and a warehouse has its own.
//!
//! The definitions are those of `pg_dump`, of which `pg_restore` gives out what the catalogs say the tables rest on (chapter "pg_depend"
//! of the manual).

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::publication::Table;
use crate::engine::endpoint::Endpoint;
use crate::engine::host::{Exec, ExecOutput, Host};
use crate::engine::postgres::blot;
use crate::engine::postgres::connect::{Connection, connect};
use crate::engine::postgres::restore;
use crate::engine::postgres::script_stream::{Part, Scanner, words};
use crate::engine::postgres::server::sql;
use crate::engine::server::ServerError;
use crate::engine::server::coming_up::ATTEMPT_DEADLINE;

const DUMP: Duration = Duration::from_secs(600);

const READ: &str = "read what the published tables rest on";
const MAKE: &str = "make the published tables";

/// Where the client programs of a server are, and how they reach the publisher from there.
pub struct Programs<'a> {
    pub host: &'a dyn Host,
    /// As libpq takes it, without the password.
    pub conninfo: String,
    /// The publisher's.
    pub password: &'a str,
}

/// Makes those of the tables on the subscriber that are not there yet, with all that they rest on. What is there is left as it is.
///
/// # Errors
/// [`ServerError::Subscription`] with what the subscriber cannot hold; or a program or a server fails.
pub async fn make(
    programs: &Programs<'_>,
    publisher: &Endpoint,
    subscriber: &Endpoint,
    tables: &[Table],
) -> Result<(), ServerError> {
    let (from, to) = (open(publisher, READ).await?, open(subscriber, MAKE).await?);
    let tables = absent(&to.client, tables).await?;
    if tables.is_empty() {
        return Ok(());
    }
    let there = there(&from.client, &to.client).await?;
    let needed = needed(&from.client, &tables, &there).await?;
    let extensions = extensions(&from.client, &to.client, &needed).await?;
    if !extensions.is_empty() {
        let names = extensions.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let what = format!("the published tables need what is not there: extension {}", extensions.join(", "));
        let hint = format!("give the node extensions = [{names}]");
        return Err(ServerError::Subscription { what, hint: Some(hint) });
    }
    let script = definitions(programs, &needed).await?;
    let mut statements = Vec::new();
    let mut about = "a table".to_owned();
    let mut scanner = Scanner::new(script.as_slice());
    // It reads from memory, which does not fail.
    while let Some(part) = scanner.next_part().ok().flatten() {
        match part {
            Part::Comment { text } => about = object(&text).unwrap_or(about),
            Part::Meta { .. } => {}
            Part::Statement { text, .. } => statements.push((about.clone(), text)),
        }
    }
    statements.extend(links(&from.client, &needed).await?);
    statements.extend(keys(&from.client, &needed).await?);
    for (about, statement) in &statements {
        run(&to.client, about, statement).await?;
    }
    Ok(())
}

/// An object of a catalog: the table of its kind, and its own id.
type Object = (u32, u32);

/// The kind of tables and what is like them.
const PG_CLASS: u32 = 1259;

async fn absent(subscriber: &Client, tables: &[Table]) -> Result<Vec<Table>, ServerError> {
    let there = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
    let mut absent = Vec::new();
    for table in tables {
        let there: bool = subscriber.query_one(there, &[&table.quoted()]).await.map_err(sql(MAKE))?.get(0);
        if !there {
            absent.push(table.clone());
        }
    }
    Ok(absent)
}

/// The publisher's numbers of tables that the subscriber has, published or not.
async fn there(publisher: &Client, subscriber: &Client) -> Result<Vec<u32>, ServerError> {
    let all = "SELECT c.oid, pg_catalog.format('%I.%I', nspname, relname)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p') AND relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema')";
    let rows = publisher.query(all, &[]).await.map_err(sql(READ))?;
    let (ids, names): (Vec<u32>, Vec<String>) =
        rows.iter().map(|row| (row.get::<_, u32>(0), row.get::<_, String>(1))).unzip();
    let there = "SELECT id FROM unnest($1::oid[], $2::text[]) AS published (id, name)
        WHERE pg_catalog.to_regclass(name) IS NOT NULL";
    let rows = subscriber.query(there, &[&ids, &names]).await.map_err(sql(MAKE))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The tables, and all that they rest on but what belongs to an extension, and but these others that the subscriber has.
async fn needed(publisher: &Client, tables: &[Table], there: &[u32]) -> Result<BTreeSet<Object>, ServerError> {
    let asked = "WITH RECURSIVE needed AS (
            SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid AS classid, coalesce(tree.relid::oid, named.oid) AS objid
            FROM unnest($1::text[]) AS wanted
            JOIN pg_catalog.pg_class AS named ON named.oid = wanted::pg_catalog.regclass
            LEFT JOIN LATERAL pg_catalog.pg_partition_tree(named.oid) AS tree ON true
            WHERE coalesce(tree.relid::oid, named.oid) <> ALL ($2)
          UNION
            SELECT step.classid, step.objid
            FROM needed, LATERAL (
                SELECT refclassid AS classid, refobjid AS objid FROM pg_catalog.pg_depend
                 WHERE pg_depend.classid = needed.classid AND pg_depend.objid = needed.objid AND deptype <> 'e'
                UNION ALL
                SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid FROM pg_catalog.pg_attrdef
                 WHERE needed.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND adrelid = needed.objid
                UNION ALL
                SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid FROM pg_catalog.pg_constraint
                 WHERE contype = 'c'
                   AND (needed.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND conrelid = needed.objid
                     OR needed.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND contypid = needed.objid)
                UNION ALL
                SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, typrelid FROM pg_catalog.pg_type
                 WHERE needed.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND oid = needed.objid AND typrelid <> 0
                UNION ALL
                SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, reltype FROM pg_catalog.pg_class
                 WHERE needed.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND oid = needed.objid AND relkind = 'c'
                UNION ALL
                SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid
                 WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'i' AND c.relkind = 'S'
                   AND d.refclassid = needed.classid AND d.refobjid = needed.objid
            ) AS step
            WHERE NOT EXISTS (
                SELECT FROM pg_catalog.pg_depend member
                 WHERE member.classid = step.classid AND member.objid = step.objid AND member.deptype = 'e')
              AND NOT (step.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND step.objid = ANY ($2))
        )
        SELECT classid, objid FROM needed";
    let names: Vec<String> = tables.iter().map(Table::quoted).collect();
    let rows = publisher.query(asked, &[&names, &there]).await.map_err(sql(READ))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Extensions whose types, functions or the like these use, and which the subscriber has not made.
async fn extensions(
    publisher: &Client,
    subscriber: &Client,
    needed: &BTreeSet<Object>,
) -> Result<Vec<String>, ServerError> {
    let asked = "SELECT DISTINCT extname::text
        FROM unnest($1::oid[], $2::oid[]) AS needed (classid, objid)
        JOIN pg_catalog.pg_depend AS use ON use.classid = needed.classid AND use.objid = needed.objid
        JOIN pg_catalog.pg_depend AS member
          ON member.classid = use.refclassid AND member.objid = use.refobjid AND member.deptype = 'e'
        JOIN pg_catalog.pg_extension ON pg_extension.oid = member.refobjid
        ORDER BY 1";
    let (classes, ids): (Vec<u32>, Vec<u32>) = needed.iter().copied().unzip();
    let used = publisher.query(asked, &[&classes, &ids]).await.map_err(sql(READ))?;
    let there = subscriber.query("SELECT extname::text FROM pg_catalog.pg_extension", &[]).await.map_err(sql(MAKE))?;
    let there: BTreeSet<String> = there.iter().map(|row| row.get(0)).collect();
    Ok(used.iter().map(|row| row.get(0)).filter(|name| !there.contains(name)).collect())
}

/// The SQL that makes these.
async fn definitions(programs: &Programs<'_>, needed: &BTreeSet<Object>) -> Result<Vec<u8>, ServerError> {
    let folder = programs.host.folder();
    let (archive, list) = (format!("{folder}/published.dump"), format!("{folder}/published.list"));
    let dump = Exec::new(programs.host.program("pg_dump").await?).env("PGPASSWORD", programs.password).args([
        "--format=custom",
        "--section=pre-data",
        "--no-owner",
        "--no-privileges",
        "--no-comments",
        "--no-publications",
        "--no-subscriptions",
        "--no-security-labels",
        "--no-tablespaces",
        "--no-password",
        "--lock-wait-timeout=30s",
        &format!("--file={archive}"),
        &format!("--dbname={}", programs.conninfo),
    ]);
    done("pg_dump", programs.host.exec(&dump, DUMP).await?)?;
    let restore = Exec::new(programs.host.program("pg_restore").await?);
    let contents = done("pg_restore", programs.host.exec(&restore.clone().args(["--list", &archive]), DUMP).await?)?;
    let contents = String::from_utf8_lossy(&contents).into_owned();
    let entries: Vec<&str> = contents.lines().filter(|line| is_of(line, needed)).collect();
    programs.host.write(&list, entries.join("\n").as_bytes()).await?;
    let give = restore.args([
        "--no-owner",
        "--no-privileges",
        "--no-tablespaces",
        "--file=-",
        &format!("--use-list={list}"),
        &archive,
    ]);
    let script = done("pg_restore", programs.host.exec(&give, DUMP).await?)?;
    for file in [&archive, &list] {
        // What cannot be emptied goes with the host's folder.
        if let Err(error) = programs.host.write(file, b"").await {
            tracing::debug!(%error, file, "not emptied");
        }
    }
    Ok(script)
}

fn done(program: &'static str, output: ExecOutput) -> Result<Vec<u8>, ServerError> {
    if output.status == 0 {
        return Ok(output.stdout);
    }
    let source = restore::failed(program, output.status, &output.stderr);
    Err(ServerError::Sql { what: READ.to_owned(), source: source.into() })
}

/// `216; 1259 16389 TABLE public orders postgres`: whether an entry of an archive's contents is one of these.
fn is_of(entry: &str, needed: &BTreeSet<Object>) -> bool {
    let ids = entry.split_once("; ").map(|(_, rest)| rest.split(' ').map_while(|word| word.parse().ok()));
    let mut ids = ids.into_iter().flatten();
    ids.next().zip(ids.next()).is_some_and(|ids| needed.contains(&ids))
}

/// `-- Name: orders; Type: TABLE; Schema: public; Owner: -`, as "TABLE public.orders".
fn object(comment: &str) -> Option<String> {
    let mut parts = comment.trim_start_matches("-- ").split("; ");
    let name = parts.next()?.strip_prefix("Name: ")?;
    let kind = parts.next()?.strip_prefix("Type: ")?;
    let schema = parts.next()?.strip_prefix("Schema: ").filter(|schema| *schema != "-");
    Some(schema.map_or_else(|| format!("{kind} {name}"), |schema| format!("{kind} {schema}.{name}")))
}

/// Partitions to their tables.
async fn links(publisher: &Client, needed: &BTreeSet<Object>) -> Result<Vec<(String, String)>, ServerError> {
    let asked = "SELECT format('TABLE %s.%s', cn.nspname, child.relname),
            format('ALTER TABLE ONLY %I.%I ATTACH PARTITION %I.%I %s', pn.nspname, parent.relname, cn.nspname,
                   child.relname, pg_catalog.pg_get_expr(child.relpartbound, child.oid))
        FROM pg_catalog.pg_inherits
        JOIN pg_catalog.pg_class AS child ON child.oid = inhrelid
        JOIN pg_catalog.pg_namespace AS cn ON cn.oid = child.relnamespace
        JOIN pg_catalog.pg_class AS parent ON parent.oid = inhparent
        JOIN pg_catalog.pg_namespace AS pn ON pn.oid = parent.relnamespace
        WHERE child.relispartition AND child.oid = ANY ($1)
        ORDER BY 1";
    statements(publisher, asked, needed).await
}

/// By what rows are found: primary keys, and what else is a table's replica identity.
async fn keys(publisher: &Client, needed: &BTreeSet<Object>) -> Result<Vec<(String, String)>, ServerError> {
    let primary = "SELECT format('key of TABLE %s.%s', nspname, relname),
            format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', nspname, relname, conname,
                   pg_catalog.pg_get_constraintdef(pg_constraint.oid))
        FROM pg_catalog.pg_constraint
        JOIN pg_catalog.pg_class ON pg_class.oid = conrelid
        JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
        WHERE contype = 'p' AND conparentid = 0 AND conrelid = ANY ($1)
        ORDER BY 1";
    let identity = "SELECT format('key of TABLE %s.%s', nspname, class.relname),
            format('%s; ALTER TABLE ONLY %I.%I REPLICA IDENTITY USING INDEX %I', pg_catalog.pg_get_indexdef(indexrelid),
                   nspname, class.relname, key.relname)
        FROM pg_catalog.pg_index
        JOIN pg_catalog.pg_class AS class ON class.oid = indrelid
        JOIN pg_catalog.pg_class AS key ON key.oid = indexrelid
        JOIN pg_catalog.pg_namespace ON pg_namespace.oid = class.relnamespace
        WHERE class.relreplident = 'i' AND indisreplident AND NOT indisprimary AND indrelid = ANY ($1)
        ORDER BY 1";
    let mut keys = statements(publisher, primary, needed).await?;
    keys.extend(statements(publisher, identity, needed).await?);
    Ok(keys)
}

async fn statements(
    publisher: &Client,
    asked: &str,
    needed: &BTreeSet<Object>,
) -> Result<Vec<(String, String)>, ServerError> {
    let ids: Vec<u32> = needed.iter().filter(|(class, _)| *class == PG_CLASS).map(|(_, id)| *id).collect();
    let rows = publisher.query(asked, &[&ids]).await.map_err(sql(READ))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn run(subscriber: &Client, about: &str, statement: &str) -> Result<(), ServerError> {
    let Err(error) = subscriber.batch_execute(statement).await else { return Ok(()) };
    let there = [
        SqlState::DUPLICATE_SCHEMA,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::DUPLICATE_FUNCTION,
    ];
    let Some(said) = error.as_db_error() else { return Err(sql(MAKE)(error)) };
    // Of a setting that an older subscriber does not know, and of what setup made there.
    let is_setting = words(statement).first().is_some_and(|word| word.is("set"));
    if there.contains(said.code()) || (is_setting && *said.code() == SqlState::UNDEFINED_OBJECT) {
        return Ok(());
    }
    let code = said.code().code();
    let what = format!("it cannot hold {about}: {} ({code})", blot::message(Some(code), said.message()));
    let hint = "let setup make there what it takes, on that node: what is there already is left as it is".to_owned();
    Err(ServerError::Subscription { what, hint: Some(hint) })
}

/// A session in which every name is written with its schema.
async fn open(endpoint: &Endpoint, what: &str) -> Result<Connection, ServerError> {
    let session = connect(&endpoint.named("rehearsal replication"), ATTEMPT_DEADLINE).await.map_err(sql(what))?;
    let settings = "SET search_path = ''; SET default_transaction_read_only = off";
    session.client.batch_execute(settings).await.map_err(sql(what))?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_an_archive_are_told_by_their_ids() {
        let needed = BTreeSet::from([(1259, 16389)]);
        let check = |entry: &str, expected: bool| assert_eq!(is_of(entry, &needed), expected, "{entry}");
        check("216; 1259 16389 TABLE public orders postgres", true);
        check("217; 1259 16390 TABLE public 1259 16389 postgres", false);
        check("3001; 0 0 COMMENT - EXTENSION unit ", false);
        check(";     TOC Entries: 12", false);
        check("", false);
    }

    #[test]
    fn what_a_statement_is_about() {
        let check =
            |comment: &str, expected: Option<&str>| assert_eq!(object(comment).as_deref(), expected, "{comment}");
        check("-- Name: orders; Type: TABLE; Schema: public; Owner: -", Some("TABLE public.orders"));
        check("-- Name: sales; Type: SCHEMA; Schema: -; Owner: -", Some("SCHEMA sales"));
        check("-- PostgreSQL database dump", None);
        check("--", None);
    }
}
