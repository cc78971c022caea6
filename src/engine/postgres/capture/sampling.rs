//! Whole tables and rows by their keys, under a capture's snapshot. A row is known by its table and its place there: the snapshot holds
//! both (chapter "System Columns" of the manual).

use std::collections::BTreeMap;

use futures::TryStreamExt;
use tokio_postgres::Row;

use super::super::names::{literal, quote};
use super::facts::kind;
use super::{Source, query_failed};
use crate::engine::capture::{
    CUT, ForeignKey, Kind, Part, Planned, Rows, TableName, Wanted, Whole, WholeColumn, WholePart, integer, is_number,
    lengths, threshold,
};
use crate::engine::reading::ReadError;
use crate::scenario::rules;

/// Tables that can be planned, each with its partitions' root, and how many partitions that has in all.
const TABLES: &str = "
    WITH roots AS (SELECT DISTINCT pg_partition_root(oid)::oid AS oid FROM pg_class WHERE relispartition AND relkind = 'r'),
         counted AS (SELECT oid, (SELECT count(*) FROM pg_partition_tree(roots.oid) WHERE isleaf) AS leaves FROM roots)
    SELECT c.oid::text, n.nspname::text, c.relname::text, r.oid::text, rn.nspname::text, r.relname::text,
           has_schema_privilege(rn.oid, 'USAGE') AND has_table_privilege(r.oid, 'SELECT'), coalesce(counted.leaves, 1)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class r ON r.oid = coalesce(CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END, c.oid)
      JOIN pg_namespace rn ON rn.oid = r.relnamespace
      LEFT JOIN counted ON c.relispartition AND counted.oid = r.oid
     WHERE c.relkind = 'r' AND c.relpersistence <> 't'";

/// With the types that domains rest on.
const COLUMNS: &str = "
    SELECT a.attrelid::text, a.attname::text, b.typname::text, b.typtype::text, b.typcategory::text,
           format('%I.%I', bn.nspname, b.typname)
      FROM pg_attribute a
      JOIN LATERAL (WITH RECURSIVE under(oid) AS (SELECT a.atttypid
                      UNION ALL SELECT t.typbasetype FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typtype = 'd')
                    SELECT t.* FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typtype <> 'd') b ON true
      JOIN pg_namespace bn ON bn.oid = b.typnamespace
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY ($oids)
     ORDER BY a.attrelid, a.attnum";

/// Keys without NULLs, the primary one first, else the shortest.
const KEYS: &str = "
    SELECT i.indrelid::text,
           ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(attnum, at)
                   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                  WHERE k.at <= i.indnkeyatts ORDER BY k.at)
      FROM pg_index i
     WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
       AND i.indrelid = ANY ($oids)
       AND NOT EXISTS (SELECT FROM unnest(i.indkey) WITH ORDINALITY k(attnum, at)
                         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                        WHERE k.at <= i.indnkeyatts AND NOT a.attnotnull)
     ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, i.indexrelid";

/// As they were declared, and not the parts that partitions have of them.
const FOREIGN_KEYS: &str = "
    SELECT k.conrelid::text, k.confrelid::text,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY c(attnum, at)
                   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.attnum ORDER BY c.at),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY c(attnum, at)
                   JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.attnum ORDER BY c.at),
           coalesce(pg_partition_root(k.conrelid)::oid, k.conrelid)::text,
           coalesce(pg_partition_root(k.confrelid)::oid, k.confrelid)::text,
           coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
      FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.oid";

/// What a whole table's rows are found by in the catalogs.
struct Known {
    oid: String,
    /// Its partitions' root, or itself.
    root: String,
    whole: Whole,
}

impl Source {
    /// As [`crate::engine::capture::Source::wholes`].
    ///
    /// # Errors
    /// As there.
    pub async fn wholes(&self, planned: &[Planned]) -> Result<(Vec<Whole>, Vec<ForeignKey>), ReadError> {
        let rows = self.first().rows("whole tables", TABLES).await?;
        let mut known = known(&rows, planned);
        let oids: Vec<&str> = known.iter().map(|known| known.oid.as_str()).collect();
        let of_those = |sql: &str| sql.replace("$oids", &format!("'{{{}}}'::oid[]", oids.join(",")));
        let mut columns: BTreeMap<String, Vec<WholeColumn>> = BTreeMap::new();
        for row in self.first().rows("whole tables' columns", &of_those(COLUMNS)).await? {
            columns.entry(row.get(0)).or_default().push(column(&row));
        }
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in self.first().rows("keys", &of_those(KEYS)).await? {
            keys.entry(row.get(0)).or_insert_with(|| row.get(1));
        }
        for Known { oid, whole, .. } in &mut known {
            whole.columns = columns.remove(oid).unwrap_or_default();
            let count = whole.columns.len();
            let key = keys.remove(oid).and_then(|names| places(whole, &names));
            // Else by where it lies.
            whole.key = key.unwrap_or_else(|| vec![count, count + 1]);
        }
        let mut foreign_keys = Vec::new();
        for row in self.first().rows("foreign keys", FOREIGN_KEYS).await? {
            let (from, to): (String, String) = (row.get(0), row.get(1));
            let (mut from_columns, mut to_columns): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
            if row.get(6) {
                // Of a key with a period (from 18 on), the last is within those of several rows: all rows of the rest are taken.
                from_columns.pop();
                to_columns.pop();
            }
            for (from, of) in meant(&known, &from, row.get(4)) {
                for (to, to_whole) in meant(&known, &to, row.get(5)) {
                    let both = places(of, &from_columns).zip(places(to_whole, &to_columns));
                    let Some((from_columns, to_columns)) = both else { continue };
                    foreign_keys.push(ForeignKey { from, from_columns, to, to_columns });
                }
            }
        }
        Ok((known.into_iter().map(|known| known.whole).collect(), foreign_keys))
    }

    /// As [`crate::engine::capture::Source::wanted`].
    ///
    /// # Errors
    /// As there.
    pub async fn wanted(
        &self,
        session: usize,
        (whole, planned): (&Whole, &[Planned]),
        wanted: &Wanted<'_>,
    ) -> Result<Rows<'static>, ReadError> {
        // Of an extension's table, those that are the users'.
        let own = whole.parts.first().and_then(|part| planned.get(part.planned)?.table.condition.as_deref());
        self.copied(session, format!("rows of {}", shown(whole)), &select(whole, own, wanted)).await
    }

    /// As [`crate::engine::capture::Source::surveyed`].
    ///
    /// # Errors
    /// As there.
    pub async fn surveyed(
        &self,
        session: usize,
        whole: &Whole,
        (planned, part): (&Planned, &Part),
    ) -> Result<Rows<'static>, ReadError> {
        let table = &planned.table;
        let value = |(at, column): (usize, &WholeColumn)| match column.is_long() && !whole.key.contains(&at) {
            true => format!("left({}::text, {CUT})", quote(&column.name)),
            false => quote(&column.name),
        };
        let length = |at: usize| format!("char_length({}::text)", quote(&whole.columns[at].name));
        let mut fields: Vec<String> = whole.columns.iter().enumerate().map(value).collect();
        fields.extend(lengths(&whole.columns).into_iter().map(length));
        fields.extend(["tableoid".to_owned(), "ctid".to_owned()]);
        let condition = table.condition.as_ref().or(part.condition.as_ref());
        let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let from = format!("{}.{}", quote(&table.schema), quote(&table.name));
        let sql = format!("SELECT {} FROM ONLY {from}{condition}", fields.join(", "));
        self.copied(session, format!("a survey of {}", table.shown()), &sql).await
    }

    /// As [`crate::engine::capture::Source::counted`].
    ///
    /// # Errors
    /// As there.
    pub async fn counted(&self, session: usize, planned: &Planned) -> Result<u64, ReadError> {
        let table = &planned.table;
        let condition = table.condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let from = format!("{}.{}", quote(&table.schema), quote(&table.name));
        let sql = format!("SELECT count(*) FROM ONLY {from}{condition}");
        let rows = self.readings[session].rows(&format!("the rows of {}, counted", table.shown()), &sql).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    async fn copied(&self, session: usize, what: String, sql: &str) -> Result<Rows<'static>, ReadError> {
        let rows = self.readings[session].client().copy_out(&format!("COPY ({sql}) TO STDOUT")).await;
        let rows = rows.map_err(query_failed(what.clone()))?;
        Ok(Box::pin(rows.map_err(move |error| query_failed(what.clone())(error))))
    }
}

/// A partitioned table is whole where all its partitions are captured and it can be read itself; else each partition is one by itself.
fn known(rows: &[Row], planned: &[Planned]) -> Vec<Known> {
    let at: BTreeMap<(&str, &str), usize> = planned
        .iter()
        .enumerate()
        .map(|(at, planned)| ((planned.table.schema.as_str(), planned.table.name.as_str()), at))
        .collect();
    let captured: Vec<(&Row, usize)> =
        rows.iter().filter_map(|row| Some((row, *at.get(&(row.get::<_, &str>(1), row.get::<_, &str>(2)))?))).collect();
    let mut by_root: BTreeMap<&str, u64> = BTreeMap::new();
    for (row, _) in &captured {
        *by_root.entry(row.get(3)).or_default() += 1;
    }
    let mut found: Vec<Known> = Vec::new();
    for (row, planned) in captured {
        let (oid, root): (String, String) = (row.get(0), row.get(3));
        let is_whole = oid == root || (row.get(6) && by_root[root.as_str()] == row.get::<_, i64>(7).unsigned_abs());
        let part = WholePart { mark: oid.clone(), planned };
        let (own, place) = if is_whole { (root.clone(), 4) } else { (oid, 1) };
        match found.iter_mut().find(|known| known.oid == own) {
            Some(known) => known.whole.parts.push(part),
            None => found.push(Known {
                whole: Whole {
                    name: TableName { schema: row.get(place), name: row.get(place + 1) },
                    columns: Vec::new(),
                    key: Vec::new(),
                    is_partitioned: own != part.mark,
                    parts: vec![part],
                },
                oid: own,
                root,
            }),
        }
    }
    found
}

/// The table itself; the whole that it is a partition of; or the partitions of it that stand by themselves.
fn meant<'k>(known: &'k [Known], oid: &'k str, root: &'k str) -> impl Iterator<Item = (usize, &'k Whole)> {
    let is_meant = move |known: &Known| known.oid == oid || known.oid == root || known.root == oid;
    known.iter().enumerate().filter(move |(_, known)| is_meant(known)).map(|(at, known)| (at, &known.whole))
}

fn places(whole: &Whole, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| whole.columns.iter().position(|column| column.name == *name)).collect()
}

fn column(row: &Row) -> WholeColumn {
    let kind = kind(row.get(2), row.get(3), row.get(4));
    WholeColumn { name: row.get(1), kind, cast: row.get(5) }
}

fn shown(whole: &Whole) -> String {
    super::super::catalog::display_name(&whole.name.schema, &whole.name.name)
}

fn select(whole: &Whole, own: Option<&str>, wanted: &Wanted<'_>) -> String {
    let only = if whole.is_partitioned { "" } else { "ONLY " };
    let from = format!("{only}{}.{} AS t", quote(&whole.name.schema), quote(&whole.name.name));
    let mut fields: Vec<String> = whole.columns.iter().map(|column| format!("t.{}", quote(&column.name))).collect();
    fields.extend(["t.tableoid".to_owned(), "t.ctid".to_owned()]);
    let fields = fields.join(", ");
    let mut conditions: Vec<String> = own.map(|own| format!("({own})")).into_iter().collect();
    let filtered = |conditions: &[String]| match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    match wanted {
        Wanted::Draw { rows, seed } => {
            let chance = chance(whole, *seed);
            let mut end = String::new();
            match rows {
                rules::Rows::Share(share) => {
                    conditions.extend(threshold(*share).map(|bound| format!("{chance} < '{bound}'")));
                }
                rules::Rows::Count(count) => end = format!(" ORDER BY {chance} LIMIT {count}"),
                rules::Rows::All | rules::Rows::None => {}
            }
            format!("SELECT {fields} FROM {from}{}{end}", filtered(&conditions))
        }
        Wanted::Keys { columns, when, keys, most } => {
            conditions.push(among(whole, columns, keys));
            conditions
                .extend(when.map(|(field, text)| format!("{}::text = {}", field_of(whole, field), literal(text))));
            let found = format!("FROM {from}{}", filtered(&conditions));
            let Some(most) = most else { return format!("SELECT {fields} {found}") };
            let of = |fields: &[usize]| fields.iter().map(|at| field_of(whole, *at)).collect::<Vec<_>>().join(", ");
            // Where a row lies is not the same elsewhere.
            let has_key = whole.key.iter().all(|at| *at < whole.columns.len());
            let order = if has_key { of(&whole.key) } else { format!("{}, {}", chance(whole, 0), of(&whole.key)) };
            let number = format!("row_number() OVER (PARTITION BY {} ORDER BY {order})", of(columns));
            let names: Vec<String> = (0..whole.columns.len() + 2).map(|at| format!("c{at}")).collect();
            let names = names.join(", ");
            format!("SELECT {names} FROM (SELECT {fields}, {number} {found}) AS f({names}, n) WHERE n <= {most}")
        }
    }
}

/// A hash that the seed and the row's key decide, the same on every server with the same rows.
fn chance(whole: &Whole, seed: u64) -> String {
    let key: Vec<String> = match whole.key.iter().all(|at| *at < whole.columns.len()) {
        true => whole.key.iter().map(|at| format!("{}::text", field_of(whole, *at))).collect(),
        // Where it lies is not the same elsewhere.
        false => {
            whole.columns.iter().map(|column| format!("coalesce(t.{}::text, E'\\\\N')", quote(&column.name))).collect()
        }
    };
    let key = if key.is_empty() { "''".to_owned() } else { key.join(", ") };
    // Functions take no more than a hundred arguments, and not every server has a weaker hash.
    format!("encode(sha256(convert_to(array_to_string(ARRAY['{seed}', {key}], chr(1)), 'UTF8')), 'hex') COLLATE \"C\"")
}

fn field_of(whole: &Whole, at: usize) -> String {
    match whole.columns.get(at) {
        Some(column) => format!("t.{}", quote(&column.name)),
        None if at == whole.columns.len() => "t.tableoid".to_owned(),
        None => "t.ctid".to_owned(),
    }
}

/// That the fields are one of the keys.
fn among(whole: &Whole, columns: &[usize], keys: &[Vec<Vec<u8>>]) -> String {
    let sides: Vec<Side> = columns.iter().map(|at| side(whole, *at)).collect();
    // What a padded type pads its values with, another does not have.
    let is_padded = |(text, side): (&Vec<u8>, &Side)| side.kind == Kind::Text && text.ends_with(b" ");
    let bare = keys.iter().filter(|key| key.iter().zip(&sides).any(is_padded)).map(|key| {
        let bare = |(text, side): (&Vec<u8>, &Side)| match is_padded((text, side)) {
            true => String::from_utf8_lossy(text).trim_end_matches(' ').as_bytes().to_vec(),
            false => text.clone(),
        };
        key.iter().zip(&sides).map(bare).collect::<Vec<_>>()
    });
    let bare: Vec<Vec<Vec<u8>>> = bare.collect();
    let keys: Vec<String> = keys
        .iter()
        .chain(&bare)
        .filter_map(|key| {
            let values: Option<Vec<String>> = key.iter().zip(&sides).map(|(text, side)| side.value(text)).collect();
            values.map(|values| values.join(", "))
        })
        .collect();
    if keys.is_empty() {
        return "false".to_owned();
    }
    if sides.iter().any(|side| side.equals != "=") {
        let names: Vec<String> = (0..sides.len()).map(|at| format!("k{at}")).collect();
        let equal = sides.iter().zip(&names).map(|(side, name)| format!("{} {} k.{name}", side.left, side.equals));
        let equal = equal.collect::<Vec<_>>().join(" AND ");
        let (keys, names) = (keys.join("), ("), names.join(", "));
        return format!("EXISTS (SELECT FROM (VALUES ({keys})) AS k({names}) WHERE {equal})");
    }
    let left: Vec<&str> = sides.iter().map(|side| side.left.as_str()).collect();
    match left.as_slice() {
        [one] => format!("{one} IN ({})", keys.join(", ")),
        several => {
            let keys: Vec<String> = keys.iter().map(|key| format!("({key})")).collect();
            format!("({}) IN (VALUES {})", several.join(", "), keys.join(", "))
        }
    }
}

/// One field as it is compared.
struct Side {
    left: String,
    kind: Kind,
    cast: String,
    /// The operator, which is looked up in `pg_catalog` alone.
    equals: String,
}

fn side(whole: &Whole, at: usize) -> Side {
    let left = field_of(whole, at);
    let of = |left: String, kind, cast: &str| Side { left, kind, cast: cast.to_owned(), equals: "=".to_owned() };
    let Some(column) = whole.columns.get(at) else {
        return of(left, Kind::Other, if at == whole.columns.len() { "oid" } else { "tid" });
    };
    match column.kind {
        // So that a number that the column has no room for is none of its values, and no error.
        Kind::Integer => of(left, Kind::Integer, "int8"),
        Kind::Number if column.cast != "pg_catalog.money" => of(left, Kind::Number, "numeric"),
        // As its own operator has it, small letters are as good as capitals.
        Kind::Text if column.cast.ends_with(".citext") => {
            let schema = column.cast.trim_end_matches(".citext");
            Side { equals: format!("OPERATOR({schema}.=)"), ..of(left, Kind::Text, &column.cast) }
        }
        Kind::Text => of(left, Kind::Text, &column.cast),
        Kind::Uuid => of(left, Kind::Uuid, "uuid"),
        Kind::Date | Kind::Timestamp | Kind::Boolean | Kind::Binary => of(left, column.kind, &column.cast),
        _ => of(format!("{left}::text"), Kind::Text, "text"),
    }
}

impl Side {
    fn value(&self, text: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(text).ok()?;
        let fits = match self.kind {
            Kind::Integer => integer(text).is_some(),
            Kind::Number => is_number(text),
            Kind::Uuid => text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'),
            Kind::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Kind::Timestamp => {
                text.strip_suffix("+00").unwrap_or(text).parse::<jiff::civil::DateTime>().is_ok() && text.len() >= 19
            }
            Kind::Boolean => matches!(text, "t" | "f"),
            Kind::Binary => {
                let digits = text.strip_prefix("\\x").filter(|digits| digits.len().is_multiple_of(2));
                digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            }
            _ => true,
        };
        fits.then(|| format!("{}::{}", literal(text), self.cast))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Whole {
        let column = |name: &str, kind, cast: &str| WholeColumn { name: name.into(), kind, cast: cast.into() };
        Whole {
            name: TableName { schema: "shop".into(), name: "lines".into() },
            columns: vec![
                column("id", Kind::Integer, "pg_catalog.int4"),
                column("code", Kind::Text, "pg_catalog.varchar"),
                column("at", Kind::Date, "pg_catalog.date"),
            ],
            key: vec![0],
            parts: vec![WholePart { mark: "16400".into(), planned: 0 }],
            is_partitioned: false,
        }
    }

    #[test]
    fn keys_that_the_type_has_no_value_for_find_nothing() {
        let check = |columns: &[usize], keys: &[&[&str]], expected: &str| {
            let keys: Vec<Vec<Vec<u8>>> =
                keys.iter().map(|key| key.iter().map(|text| text.as_bytes().to_vec()).collect()).collect();
            assert_eq!(among(&whole(), columns, &keys), expected);
        };
        check(&[0], &[&["7"], &["x"], &["99999999999999999999"]], r#"t."id" IN ('7'::int8)"#);
        check(&[0], &[&["x"]], "false");
        check(
            &[0, 1],
            &[&["7", "it's"], &["8", ""]],
            r#"(t."id", t."code") IN (VALUES ('7'::int8, 'it''s'::pg_catalog.varchar), ('8'::int8, ''::pg_catalog.varchar))"#,
        );
        let mut cited = whole();
        cited.columns[1].cast = "public.citext".into();
        let key = vec![vec![b"7".to_vec(), b"a".to_vec()], vec![b"8".to_vec(), b"b".to_vec()]];
        assert_eq!(
            among(&cited, &[0, 1], &key),
            "EXISTS (SELECT FROM (VALUES ('7'::int8, 'a'::public.citext), ('8'::int8, 'b'::public.citext)) AS k(k0, k1) \
             WHERE t.\"id\" = k.k0 AND t.\"code\" OPERATOR(public.=) k.k1)"
        );
        check(&[2], &[&["2024-01-01"], &["soon"]], r#"t."at" IN ('2024-01-01'::pg_catalog.date)"#);
        check(&[1], &[&["eu  "]], r#"t."code" IN ('eu  '::pg_catalog.varchar, 'eu'::pg_catalog.varchar)"#);
        check(&[3, 4], &[&["16400", "(0,1)"]], "(t.tableoid, t.ctid) IN (VALUES ('16400'::oid, '(0,1)'::tid))");
    }
}
