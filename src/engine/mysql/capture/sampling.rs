//! Whole tables and rows by their keys, as a capture's sessions see them. A table with its partitions is one here.

use std::collections::BTreeMap;

use super::super::names::{literal, quote};
use super::facts::fields;
use super::{Source, told};
use crate::engine::capture::{
    CUT, ForeignKey, Kind, Part, Planned, Rows, TableName, Wanted, Whole, WholeColumn, WholePart, integer, is_number,
    lengths, threshold,
};
use crate::engine::reading::ReadError;
use crate::scenario::rules;

/// A unique index: its name, and its columns where they make a key.
type Index = (String, Option<Vec<String>>);

/// Columns that refer, the table that they refer to, and its columns.
#[derive(Default)]
struct Referring {
    columns: Vec<String>,
    to: String,
    to_columns: Vec<String>,
}

impl Source {
    /// As [`crate::engine::capture::Source::wholes`].
    ///
    /// # Errors
    /// As there.
    pub async fn wholes(&self, planned: &[Planned]) -> Result<(Vec<Whole>, Vec<ForeignKey>), ReadError> {
        let mut keys = self.keys().await?;
        let wholes: Vec<Whole> = planned
            .iter()
            .enumerate()
            .map(|(at, Planned { table, .. })| {
                let columns = table.columns.iter().map(|column| WholeColumn {
                    name: column.name.clone(),
                    kind: column.kind,
                    cast: String::new(),
                });
                let mut whole = Whole {
                    name: TableName { schema: String::new(), name: table.name.clone() },
                    columns: columns.collect(),
                    key: Vec::new(),
                    parts: vec![WholePart { mark: String::new(), planned: at }],
                    is_partitioned: false,
                };
                whole.key = keys.remove(&table.name).and_then(|names| places(&whole, &names)).unwrap_or_default();
                whole
            })
            .collect();
        let foreign_keys = self.foreign_keys(&wholes).await?;
        Ok((wholes, foreign_keys))
    }

    /// As [`crate::engine::capture::Source::wanted`].
    pub fn wanted<'a>(&'a self, session: usize, whole: &'a Whole, wanted: &Wanted<'_>) -> Rows<'a> {
        self.queried(session, format!("rows of {}", whole.name.name), select(whole, wanted))
    }

    /// As [`crate::engine::capture::Source::surveyed`].
    pub fn surveyed<'a>(&'a self, session: usize, whole: &'a Whole, part: &Part) -> Rows<'a> {
        let value = |(at, column): (usize, &WholeColumn)| match column.is_long() && !whole.key.contains(&at) {
            true => format!("LEFT({}, {CUT})", told(&column.name, column.kind)),
            false => told(&column.name, column.kind),
        };
        let length = |at: usize| format!("CHAR_LENGTH({})", told_at(whole, at));
        let mut fields: Vec<String> = whole.columns.iter().enumerate().map(value).collect();
        fields.extend(lengths(&whole.columns).into_iter().map(length));
        let condition = part.condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let sql = format!("SELECT {} FROM {}{condition}", fields.join(", "), quote(&whole.name.name));
        self.queried(session, format!("a survey of {}", whole.name.name), sql)
    }

    /// As [`crate::engine::capture::Source::counted`].
    ///
    /// # Errors
    /// As there.
    pub async fn counted(&self, session: usize, planned: &Planned) -> Result<u64, ReadError> {
        let name = &planned.table.name;
        let sql = format!("SELECT COUNT(*) FROM {}", quote(name));
        let rows = self.readings[session].rows(&format!("the rows of {name}, counted"), &sql).await?;
        let [count] = fields(rows.into_iter().next().unwrap_or_default());
        Ok(count.parse().unwrap_or_default())
    }

    /// By table, the columns of its primary key, else of its shortest unique one without NULLs; never of a prefix or an expression.
    async fn keys(&self) -> Result<BTreeMap<String, Vec<String>>, ReadError> {
        let sql = format!(
            "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, COALESCE(NULLABLE, ''), SUB_PART FROM information_schema.STATISTICS
             WHERE TABLE_SCHEMA = {} AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX",
            self.of()
        );
        let mut indexes: BTreeMap<String, Vec<Index>> = BTreeMap::new();
        for row in self.first().rows("keys", &sql).await? {
            let [table, index, column, nullable, part] = fields(row);
            let of_table = indexes.entry(table).or_default();
            if of_table.last().is_none_or(|(name, _)| *name != index) {
                of_table.push((index, Some(Vec::new())));
            }
            let columns = &mut of_table.last_mut().expect("one was just put there").1;
            match columns {
                Some(columns) if !column.is_empty() && nullable != "YES" && part.is_empty() => columns.push(column),
                _ => *columns = None,
            }
        }
        let best = |indexes: Vec<Index>| {
            let mut usable: Vec<(bool, Vec<String>)> =
                indexes.into_iter().filter_map(|(name, columns)| Some((name != "PRIMARY", columns?))).collect();
            usable.sort_by_key(|(is_other, columns)| (*is_other, columns.len()));
            usable.into_iter().next().map(|(_, columns)| columns)
        };
        Ok(indexes.into_iter().filter_map(|(table, indexes)| Some((table, best(indexes)?))).collect())
    }

    async fn foreign_keys(&self, wholes: &[Whole]) -> Result<Vec<ForeignKey>, ReadError> {
        // As they were declared, in whatever case, and as they are called.
        let sql = format!(
            "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, c.TABLE_NAME, c.COLUMN_NAME
             FROM information_schema.KEY_COLUMN_USAGE k
             JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = k.REFERENCED_TABLE_SCHEMA
              AND c.TABLE_NAME = k.REFERENCED_TABLE_NAME AND c.COLUMN_NAME = k.REFERENCED_COLUMN_NAME
             WHERE k.TABLE_SCHEMA = {0} AND k.REFERENCED_TABLE_SCHEMA = {0}
             ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION",
            self.of()
        );
        let mut found: BTreeMap<(String, String), Referring> = BTreeMap::new();
        for row in self.first().rows("foreign keys", &sql).await? {
            let [table, name, column, to, to_column] = fields(row);
            let referring = found.entry((table, name)).or_default();
            referring.to = to;
            referring.columns.push(column);
            referring.to_columns.push(to_column);
        }
        let of = |name: &str| wholes.iter().position(|whole| whole.name.name == name);
        let one = |((table, _), referring): ((String, String), Referring)| {
            let (from, to) = (of(&table)?, of(&referring.to)?);
            let from_columns = places(&wholes[from], &referring.columns)?;
            let to_columns = places(&wholes[to], &referring.to_columns)?;
            Some(ForeignKey { from, from_columns, to, to_columns })
        };
        Ok(found.into_iter().filter_map(one).collect())
    }
}

fn places(whole: &Whole, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| whole.columns.iter().position(|column| column.name == *name)).collect()
}

fn select(whole: &Whole, wanted: &Wanted<'_>) -> String {
    let from = quote(&whole.name.name);
    let fields: Vec<String> = whole.columns.iter().map(|column| told(&column.name, column.kind)).collect();
    match wanted {
        Wanted::Draw { rows, seed } => {
            let chance = chance(whole, *seed);
            let end = match rows {
                rules::Rows::Share(share) => {
                    threshold(*share).map(|bound| format!(" WHERE {chance} < '{bound}'")).unwrap_or_default()
                }
                rules::Rows::Count(count) => format!(" ORDER BY {chance} LIMIT {count}"),
                rules::Rows::All | rules::Rows::None => String::new(),
            };
            format!("SELECT {} FROM {from}{end}", fields.join(", "))
        }
        Wanted::Keys { columns, when, keys, most } => {
            let mut condition = among(whole, columns, keys);
            if let Some((field, text)) = when {
                condition += &format!(" AND {} = {}", told_at(whole, *field), literal(text));
            }
            let Some(most) = most else {
                return format!("SELECT {} FROM {from} WHERE {condition}", fields.join(", "));
            };
            let by: Vec<String> = columns.iter().map(|at| quote(&whole.columns[*at].name)).collect();
            let order = match whole.key.is_empty() {
                true => chance(whole, 0),
                false => whole.key.iter().map(|at| quote(&whole.columns[*at].name)).collect::<Vec<_>>().join(", "),
            };
            let number = format!("ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {order})", by.join(", "));
            let named: Vec<String> = fields.iter().enumerate().map(|(at, field)| format!("{field} AS c{at}")).collect();
            let names: Vec<String> = (0..fields.len()).map(|at| format!("c{at}")).collect();
            format!(
                "SELECT {} FROM (SELECT {}, {number} AS n FROM {from} WHERE {condition}) f WHERE n <= {most}",
                names.join(", "),
                named.join(", ")
            )
        }
    }
}

fn told_at(whole: &Whole, at: usize) -> String {
    told(&whole.columns[at].name, whole.columns[at].kind)
}

/// A hash that the seed and the row's key decide, the same on every server with the same rows.
fn chance(whole: &Whole, seed: u64) -> String {
    let key: Vec<String> = match whole.key.is_empty() {
        false => whole.key.iter().map(|at| told_at(whole, *at)).collect(),
        true => (0..whole.columns.len()).map(|at| format!("COALESCE({}, '\\\\N')", told_at(whole, at))).collect(),
    };
    // Newer servers have no weaker one.
    format!("SHA2(CONCAT_WS('\\t', '{seed}', {}), 256)", key.join(", "))
}

/// That the fields are one of the keys.
fn among(whole: &Whole, columns: &[usize], keys: &[Vec<Vec<u8>>]) -> String {
    let sides: Vec<(String, Kind)> = columns.iter().map(|at| side(&whole.columns[*at])).collect();
    let keys: Vec<String> = keys
        .iter()
        .filter_map(|key| {
            let values: Option<Vec<String>> =
                key.iter().zip(&sides).map(|(text, (_, kind))| value(text, *kind)).collect();
            values.map(|values| values.join(", "))
        })
        .collect();
    if keys.is_empty() {
        return "FALSE".to_owned();
    }
    match sides.as_slice() {
        [(left, _)] => format!("{left} IN ({})", keys.join(", ")),
        several => {
            let left: Vec<&str> = several.iter().map(|(left, _)| left.as_str()).collect();
            format!("({}) IN (({}))", left.join(", "), keys.join("), ("))
        }
    }
}

/// A field as it is compared, and what its values are written as.
fn side(column: &WholeColumn) -> (String, Kind) {
    match column.kind {
        Kind::Integer | Kind::Number | Kind::Bits | Kind::Binary | Kind::Date | Kind::Timestamp => {
            (quote(&column.name), column.kind)
        }
        Kind::Text | Kind::Enum | Kind::Uuid | Kind::Network => (quote(&column.name), Kind::Text),
        kind => (told(&column.name, kind), Kind::Text),
    }
}

/// In SQL; none where the type has no such value.
fn value(text: &[u8], kind: Kind) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    match kind {
        Kind::Integer | Kind::Bits => (integer(text).is_some() || text.parse::<u64>().is_ok()).then(|| text.to_owned()),
        Kind::Number => is_number(text).then(|| text.to_owned()),
        Kind::Binary => {
            let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| format!("X'{text}'"))
        }
        // What is no date is an error to some servers.
        Kind::Date | Kind::Timestamp => is_moment(text).then(|| literal(text)),
        _ => Some(literal(text)),
    }
}

/// Days and months may be zero.
fn is_moment(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u8>().ok();
    let is_date = text.get(..4).is_some_and(|year| year.bytes().all(|byte| byte.is_ascii_digit()))
        && text.get(4..5) == Some("-")
        && text.get(7..8) == Some("-")
        && number(5..7).is_some_and(|month| month <= 12)
        && number(8..10).is_some_and(|day| day <= 31);
    is_date && (text.len() == 10 || text.get(11..).is_some_and(|time| time.parse::<jiff::civil::Time>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_the_type_has_no_value_for_find_nothing() {
        let column = |name: &str, kind| WholeColumn { name: name.into(), kind, cast: String::new() };
        let whole = Whole {
            name: TableName { schema: String::new(), name: "lines".into() },
            columns: vec![
                column("id", Kind::Integer),
                column("code", Kind::Text),
                column("at", Kind::Date),
                column("hash", Kind::Binary),
            ],
            key: vec![0],
            parts: vec![WholePart { mark: String::new(), planned: 0 }],
            is_partitioned: false,
        };
        let check = |columns: &[usize], keys: &[&[&str]], expected: &str| {
            let keys: Vec<Vec<Vec<u8>>> =
                keys.iter().map(|key| key.iter().map(|text| text.as_bytes().to_vec()).collect()).collect();
            assert_eq!(among(&whole, columns, &keys), expected);
        };
        check(&[0], &[&["7"], &["x"], &["18446744073709551615"]], "`id` IN (7, 18446744073709551615)");
        check(&[0], &[&["x"]], "FALSE");
        check(&[0, 1], &[&["7", "it's"], &["8", ""]], "(`id`, `code`) IN ((7, 'it''s'), (8, ''))");
        check(
            &[2],
            &[&["2024-01-01"], &["soon"], &["2024-13-01"], &["2024-00-15"]],
            "`at` IN ('2024-01-01', '2024-00-15')",
        );
        check(&[3], &[&["C0FFEE"], &["C0F"]], "`hash` IN (X'C0FFEE')");
    }
}
