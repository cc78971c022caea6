//! Keys, lengths, collations and some values of a MySQL or MariaDB database's columns, as a capture's first session sees them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::names::{literal, quote};
use super::Source;
use super::facts::{fields, kind};
use crate::engine::capture::{ColumnShape, Planned, SomeRows, TableName, TableShape};
use crate::engine::reading::ReadError;

/// Parts of a table that are looked at for values, at most.
const PARTS: usize = 8;

impl Source {
    /// As [`crate::engine::capture::Source::shapes`].
    ///
    /// # Errors
    /// As there.
    pub async fn shapes(&self) -> Result<Vec<TableShape>, ReadError> {
        let apart = self.apart().await?;
        let mut references = self.references().await?;
        let sql = format!(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COALESCE(CHARACTER_MAXIMUM_LENGTH, 0), COALESCE(COLLATION_NAME, ''),
                COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
            self.of()
        );
        let mut tables: BTreeMap<String, Vec<ColumnShape>> = BTreeMap::new();
        for row in self.first().rows("columns' shapes", &sql).await? {
            let [table, name, data_type, length, collation, type_name] = fields(row);
            let key = (table.clone(), name.clone());
            let base = data_type.to_ascii_lowercase();
            let length = match base.as_str() {
                "char" | "varchar" => length.parse().ok(),
                // 255 bytes.
                "tinytext" => Some(63),
                _ => None,
            };
            tables.entry(table).or_default().push(ColumnShape {
                kind: kind(&base),
                labels: if base == "enum" { labels(&type_name) } else { Vec::new() },
                is_unique: apart.contains(&key),
                folds_accents: folds_accents(&collation),
                references: references.remove(&key).unwrap_or_default(),
                name,
                base,
                length,
            });
        }
        let shape = |(name, columns): (String, _)| TableShape {
            schema: String::new(),
            whole: TableName { schema: String::new(), name: name.clone() },
            name,
            columns,
        };
        Ok(tables.into_iter().map(shape).collect())
    }

    /// As [`crate::engine::capture::Source::some_rows`]: the first rows of some of its parts.
    ///
    /// # Errors
    /// As there.
    pub async fn some_rows(
        &self,
        planned: &Planned,
        columns: &[&str],
        (rows, characters): (usize, usize),
    ) -> Result<SomeRows, ReadError> {
        let what = format!("some rows of {}", planned.table.name);
        let values: Vec<String> =
            columns.iter().map(|column| format!("LEFT({}, {characters})", quote(column))).collect();
        let (values, from) = (values.join(", "), quote(&planned.table.name));
        let parts = planned.parts.len();
        let looked_at = parts.clamp(1, PARTS);
        let most = rows.div_ceil(looked_at);
        let mut found = SomeRows { rows: Vec::new(), is_whole: looked_at == parts };
        for part in (0..looked_at).map(|at| &planned.parts[at * parts / looked_at]) {
            let condition = part.condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
            let sql = format!("SELECT {values} FROM {from}{condition} LIMIT {most}");
            let rows = self.first().rows(&what, &sql).await?;
            found.is_whole &= rows.len() < most;
            found.rows.extend(rows);
        }
        Ok(found)
    }

    /// The database, in SQL.
    pub(super) fn of(&self) -> String {
        literal(self.first().database())
    }

    /// Columns, by table, in unique indexes, in the expressions of such, and those that such a generated column is made of.
    async fn apart(&self) -> Result<BTreeSet<(String, String)>, ReadError> {
        let sql = format!(
            "SELECT DISTINCT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS
             WHERE TABLE_SCHEMA = {} AND NON_UNIQUE = 0",
            self.of()
        );
        let mut apart = BTreeSet::new();
        // An index without a column's name is on an expression, which is not looked into.
        let mut by_expression = BTreeSet::new();
        for row in self.first().rows("unique indexes", &sql).await? {
            let [table, column] = fields(row);
            if column.is_empty() {
                by_expression.insert(table);
            } else {
                apart.insert((table, column));
            }
        }
        let sql = format!(
            "SELECT TABLE_NAME, COLUMN_NAME, COALESCE(GENERATION_EXPRESSION, '') FROM information_schema.COLUMNS
             WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
            self.of()
        );
        let columns: Vec<[String; 3]> =
            self.first().rows("generated columns", &sql).await?.into_iter().map(fields).collect();
        let made: Vec<(&String, &String)> = columns
            .iter()
            .filter(|[table, column, _]| apart.contains(&(table.clone(), column.clone())))
            .map(|[table, _, expression]| (table, expression))
            .collect();
        let of_made = |table: &String, column: &String| {
            made.iter().any(|(of, expression)| *of == table && expression.contains(&quote(column)))
        };
        let more: Vec<(String, String)> = columns
            .iter()
            .filter(|[table, column, _]| by_expression.contains(table) || of_made(table, column))
            .map(|[table, column, _]| (table.clone(), column.clone()))
            .collect();
        apart.extend(more);
        Ok(apart)
    }

    async fn references(&self) -> Result<BTreeMap<(String, String), Vec<(TableName, String)>>, ReadError> {
        // As they were declared, in whatever case, and as they are called.
        let sql = format!(
            "SELECT k.TABLE_NAME, k.COLUMN_NAME, c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE k
             JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = k.REFERENCED_TABLE_SCHEMA
              AND c.TABLE_NAME = k.REFERENCED_TABLE_NAME AND c.COLUMN_NAME = k.REFERENCED_COLUMN_NAME
             WHERE k.TABLE_SCHEMA = {0} AND k.REFERENCED_TABLE_SCHEMA = {0}",
            self.of()
        );
        let mut references: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in self.first().rows("foreign keys", &sql).await? {
            let [table, column, to, to_column] = fields(row);
            let to = (TableName { schema: String::new(), name: to }, to_column);
            references.entry((table, column)).or_default().push(to);
        }
        Ok(references)
    }
}

/// All that do not tell accents apart, or do not say so.
fn folds_accents(collation: &str) -> bool {
    collation.contains("_ai") || (collation.ends_with("_ci") && !collation.contains("_as_"))
}

/// "enum('a','it''s')" taken apart.
fn labels(type_name: &str) -> Vec<String> {
    let inner = type_name.split_once("('").and_then(|(_, rest)| rest.strip_suffix("')")).unwrap_or_default();
    inner.split("','").map(|label| label.replace("''", "'")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations_that_fold_accents() {
        let check = |collation: &str, expected| assert_eq!(folds_accents(collation), expected, "{collation}");
        check("utf8mb4_general_ci", true);
        check("utf8mb4_0900_ai_ci", true);
        check("utf8mb4_unicode_520_nopad_ci", true);
        check("utf8mb4_0900_as_ci", false);
        check("utf8mb4_bin", false);
        check("", false);
    }

    #[test]
    fn labels_of_an_enum() {
        assert_eq!(labels("enum('new','it''s','a,b')"), ["new", "it's", "a,b"]);
    }
}
