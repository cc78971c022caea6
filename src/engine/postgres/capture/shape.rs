//! Keys, lengths, collations and some values of a Postgres database's columns, under a capture's snapshot.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::super::names::{literal, quote};
use super::facts::{OF_USERS, OWN, kind};
use super::{Source, query_failed};
use crate::engine::capture::{ColumnShape, SomeRows, Table, TableName, TableShape};
use crate::engine::reading::ReadError;

/// Pages of a table that are looked at for values, about.
const PAGES: u64 = 64;

/// Each column with what it rests on: a domain's type, an array's elements. Column 0 is the table's oid. Unique is what stands in a unique
/// or exclusion index, in its expressions and condition too, and what such a generated column is made of.
fn columns() -> String {
    format!(
        "WITH in_index AS (
             SELECT i.indrelid AS oid, a.attnum::int4 AS attnum FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0 AND a.attnum = ANY (i.indkey)
              WHERE i.indisunique OR i.indisexclusion
             UNION SELECT i.indrelid, d.refobjsubid FROM pg_index i
               JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0
              WHERE i.indisunique OR i.indisexclusion),
         apart AS (
             SELECT oid, attnum FROM in_index
             UNION SELECT x.oid, d.refobjsubid FROM in_index x
               JOIN pg_attrdef g ON g.adrelid = x.oid AND g.adnum = x.attnum
               JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = g.oid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid AND d.refobjsubid > 0)
         SELECT c.oid, n.nspname::text, c.relname::text, rn.nspname::text, r.relname::text, a.attname::text,
                b.typname::text, b.typtype::text, b.typcategory::text,
                CASE WHEN b.typname IN ('varchar', 'bpchar') AND b.typmod > 4 THEN b.typmod - 4
                     WHEN b.typname = 'name' THEN 63 WHEN b.typname = 'char' THEN 1 END,
                ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder),
                EXISTS (SELECT FROM apart u WHERE u.oid = c.oid AND u.attnum = a.attnum),
                coalesce(NOT l.collisdeterministic, false)
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid)::oid, c.oid)
           JOIN pg_namespace rn ON rn.oid = r.relnamespace
           LEFT JOIN pg_collation l ON l.oid = a.attcollation
           JOIN LATERAL (WITH RECURSIVE under(oid, typmod) AS (SELECT a.atttypid, a.atttypmod
                           UNION ALL SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END,
                                            CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE u.typmod END
                             FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typtype = 'd' OR t.typcategory = 'A')
                         SELECT t.*, u.typmod FROM under u JOIN pg_type t ON t.oid = u.oid
                          WHERE t.typtype <> 'd' AND t.typcategory <> 'A') b ON true
          WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND {OWN} AND {OF_USERS}
          ORDER BY c.oid, a.attnum"
    )
}

/// Of whole tables, a partition's own foreign keys included.
const REFERENCES: &str = "
    SELECT DISTINCT fn.nspname::text, f.relname::text, fa.attname::text, tn.nspname::text, t.relname::text, ta.attname::text
      FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u(con, conf)
      JOIN pg_attribute fa ON fa.attrelid = k.conrelid AND fa.attnum = u.con
      JOIN pg_attribute ta ON ta.attrelid = k.confrelid AND ta.attnum = u.conf
      JOIN pg_class f ON f.oid = coalesce(pg_partition_root(k.conrelid)::oid, k.conrelid)
      JOIN pg_namespace fn ON fn.oid = f.relnamespace
      JOIN pg_class t ON t.oid = coalesce(pg_partition_root(k.confrelid)::oid, k.confrelid)
      JOIN pg_namespace tn ON tn.oid = t.relnamespace
     WHERE k.contype = 'f' ORDER BY 1, 2, 3, 4, 5, 6";

impl Source {
    /// As [`crate::engine::capture::Source::shapes`].
    ///
    /// # Errors
    /// As there.
    pub async fn shapes(&self) -> Result<Vec<TableShape>, ReadError> {
        let mut references: BTreeMap<(TableName, String), Vec<(TableName, String)>> = BTreeMap::new();
        for row in self.first().rows("foreign keys", REFERENCES).await? {
            let side = |at: usize| (TableName { schema: row.get(at), name: row.get(at + 1) }, row.get(at + 2));
            references.entry(side(0)).or_default().push(side(3));
        }
        let mut tables: BTreeMap<u32, TableShape> = BTreeMap::new();
        for row in self.first().rows("columns' shapes", &columns()).await? {
            let table = tables.entry(row.get(0)).or_insert_with(|| TableShape {
                schema: row.get(1),
                name: row.get(2),
                whole: TableName { schema: row.get(3), name: row.get(4) },
                columns: Vec::new(),
            });
            let of = (table.whole.clone(), row.get(5));
            table.columns.push(column(&row, references.get(&of).cloned().unwrap_or_default()));
        }
        Ok(tables.into_values().collect())
    }

    /// As [`crate::engine::capture::Source::some_rows`]: whole pages are drawn, and the same ones each time.
    ///
    /// # Errors
    /// As there.
    pub async fn some_rows(
        &self,
        table: &Table,
        columns: &[&str],
        (rows, characters): (usize, usize),
    ) -> Result<SomeRows, ReadError> {
        let what = || format!("some rows of {}", table.shown());
        let from = format!("{}.{}", quote(&table.schema), quote(&table.name));
        let pages = format!(
            "SELECT pg_relation_size(c.oid) / current_setting('block_size')::int8, coalesce(a.amname = 'heap', false)
               FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam WHERE c.oid = {}::regclass",
            literal(&from)
        );
        let found = self.first().client().query_one(&pages, &[]).await.map_err(query_failed(what()))?;
        let (pages, is_heap) = (found.get::<_, i64>(0).unsigned_abs(), found.get::<_, bool>(1));
        let is_part = is_heap && pages > PAGES && table.condition.is_none();
        let drawn = match is_part {
            true => format!("TABLESAMPLE SYSTEM ({}) REPEATABLE (1)", PAGES as f64 * 100.0 / pages as f64),
            false => String::new(),
        };
        let condition = table.condition.as_ref().map(|condition| format!("WHERE {condition}")).unwrap_or_default();
        // Over all pages drawn; elsewhere their order may take a scan.
        let order = if is_part || pages <= PAGES { "ORDER BY hashtext(ctid::text)" } else { "" };
        let values: Vec<String> =
            columns.iter().map(|column| format!("left({}::text, {characters})", quote(column))).collect();
        let sql = format!(
            "SELECT {} FROM (SELECT * FROM ONLY {from} {drawn} {condition} {order} LIMIT {rows}) drawn",
            values.join(", ")
        );
        let found = self.first().rows(&what(), &sql).await?;
        let is_whole = !is_part && found.len() < rows;
        let rows = found.iter().map(|row| (0..columns.len()).map(|at| row.get(at)).collect());
        Ok(SomeRows { rows: rows.collect(), is_whole })
    }
}

fn column(row: &Row, references: Vec<(TableName, String)>) -> ColumnShape {
    let length: Option<i32> = row.get(9);
    ColumnShape {
        name: row.get(5),
        kind: kind(row.get(6), row.get(7), row.get(8)),
        base: row.get(6),
        length: length.and_then(|length| usize::try_from(length).ok()),
        labels: row.get(10),
        is_unique: row.get(11),
        folds_accents: row.get(12),
        references,
    }
}
