//! Columns of MySQL's and MariaDB's tables as probes need them, from what the information schema says of them (chapters "Data Types" and
//! "INFORMATION_SCHEMA COLUMNS Table" of the manuals).

use std::collections::BTreeMap;

use crate::engine::mysql::names::quote;
use crate::engine::probing::{Column, Form, Identity, Sequence, ValueKind};

use super::text::words;

/// What a table is to its own engine.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub(super) database: String,
    pub(super) table: String,
    /// In its order.
    pub(super) columns: Vec<Named>,
    /// Check constraints, as the server names them when it refuses a row.
    pub(super) checks: Vec<String>,
    /// As the server estimates them.
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// A column's name and whole type: "varchar(20)".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub name: String,
    pub full_kind: String,
}

/// A row of the information schema's columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Raw {
    pub name: String,
    /// "varchar"
    pub kind: String,
    /// "varchar(20)"
    pub full_kind: String,
    /// Characters, or bytes where it has no character set.
    pub length: Option<u64>,
    pub precision: Option<u64>,
    pub scale: Option<u64>,
    pub nullable: bool,
    pub default: Option<String>,
    /// "auto_increment", "DEFAULT_GENERATED", "INVISIBLE".
    pub extra: String,
    pub generated: bool,
}

impl Raw {
    pub(super) fn named(&self) -> Named {
        Named { name: self.name.clone(), full_kind: self.full_kind.clone() }
    }
}

/// Beside what a column says of itself.
#[derive(Debug)]
pub(super) struct Around<'a> {
    /// The table's next number, and the distance between two.
    pub next_number: u64,
    pub increment: u64,
    /// Values that sequences still have, by their names in lower case.
    pub sequences: &'a BTreeMap<String, u64>,
    /// What the application may do, as "select,insert,update".
    pub privileges: &'a str,
    /// The shortest part of it that a unique index is over.
    pub prefix: Option<usize>,
}

pub(super) fn column(raw: &Raw, around: &Around<'_>) -> Column {
    let numbered = raw.extra.contains("auto_increment");
    let may = |what: &str| around.privileges.split(',').any(|each| each == what);
    // MariaDB writes the word where there is none.
    let default = raw.default.as_deref().filter(|default| !default.eq_ignore_ascii_case("NULL"));
    let sequence = if numbered {
        let left = largest(raw).saturating_sub(around.next_number.saturating_sub(1));
        Some(left / around.increment.max(1))
    } else {
        default.and_then(|default| drawn_from(default, around.sequences))
    };
    let (kind, form) = kind_and_form(raw, around.prefix);
    Column {
        quoted: quote(&raw.name),
        // Shapes and documents say no length.
        variable: raw.length.is_some_and(|length| length > 255) || matches!(kind, ValueKind::Json | ValueKind::Other),
        kind,
        form,
        not_null: !raw.nullable,
        // An application that knows nothing of a column leaves it out.
        default: default.is_some() || raw.extra.contains("DEFAULT_GENERATED") || raw.extra.contains("INVISIBLE"),
        identity: if numbered { Identity::ByDefault } else { Identity::No },
        generated: raw.generated,
        sequence: sequence.map(|left| Sequence { left }),
        in_partition_key: false,
        may_select: may("select"),
        may_insert: may("insert"),
        may_update: may("update"),
    }
}

/// What a default that calls NEXTVAL draws from still has.
fn drawn_from(default: &str, sequences: &BTreeMap<String, u64>) -> Option<u64> {
    if sequences.is_empty() {
        return None;
    }
    let words = words(default);
    if !words.contains("nextval") && !words.contains("next") {
        return None;
    }
    words.iter().filter_map(|word| sequences.get(word)).min().copied()
}

/// The largest value that it takes (chapter "Integer Types" of the manuals).
fn largest(raw: &Raw) -> u64 {
    let bits = match raw.kind.as_str() {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" => 32,
        "bigint" => 64,
        // As far as each number is another.
        "float" => return 1 << 24,
        _ => return 1 << 53,
    };
    let unsigned = raw.full_kind.contains("unsigned");
    u64::MAX >> (64 - bits + u32::from(!unsigned))
}

fn kind_and_form(raw: &Raw, prefix: Option<usize>) -> (ValueKind, Form) {
    let shortest = |length: Option<usize>| length.into_iter().chain(prefix).min();
    let length = raw.length.and_then(|length| usize::try_from(length).ok());
    let bytes = || (ValueKind::Bytes { prefix: "", max: shortest(length) }, Form::Hex);
    match raw.kind.as_str() {
        "tinyint" if raw.full_kind.starts_with("tinyint(1)") => (ValueKind::Boolean, Form::Number),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => {
            (ValueKind::Integer { max: i64::try_from(largest(raw)).unwrap_or(i64::MAX) }, Form::Number)
        }
        "decimal" => {
            let digits = raw.precision.zip(raw.scale).map(|(digits, scale)| {
                let [digits, scale] = [digits, scale].map(|each| u32::try_from(each).unwrap_or(0));
                (digits.saturating_sub(scale), scale)
            });
            (ValueKind::Numeric { digits }, Form::Number)
        }
        "float" | "double" => (ValueKind::Float, Form::Number),
        "bit" => (ValueKind::Bits(raw.precision.and_then(|bits| usize::try_from(bits).ok()).unwrap_or(1)), Form::Bits),
        "char" | "varchar" => (ValueKind::Text { max: shortest(length) }, Form::Quoted),
        // Of so many bytes, and a character may take four.
        "tinytext" | "text" | "mediumtext" | "longtext" => {
            (ValueKind::Text { max: shortest(length.map(|bytes| bytes / 4)) }, Form::Quoted)
        }
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => bytes(),
        "enum" => (labels(&raw.full_kind).next().map_or(ValueKind::Other, ValueKind::Enum), Form::Quoted),
        // One of them alone is a value too.
        "set" => (labels(&raw.full_kind).next().map_or(ValueKind::Other, ValueKind::Enum), Form::Quoted),
        "date" => (ValueKind::Date, Form::Quoted),
        "datetime" | "timestamp" => (ValueKind::Timestamp, Form::Quoted),
        "time" => (ValueKind::Time, Form::Quoted),
        "year" => (ValueKind::Year, Form::Quoted),
        "json" => (ValueKind::Json, Form::Quoted),
        "uuid" => (ValueKind::Uuid, Form::Quoted),
        "inet4" => (ValueKind::Inet, Form::Quoted),
        "inet6" => (ValueKind::Inet6, Form::Quoted),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" | "vector" => (ValueKind::Other, Form::Hex),
        _ => (ValueKind::Other, Form::Quoted),
    }
}

/// Of "enum('a','it''s')".
fn labels(full_kind: &str) -> impl Iterator<Item = String> {
    let inside = full_kind.split_once('(').map_or("", |(_, rest)| rest.strip_suffix(')').unwrap_or(rest));
    let mut chars = inside.chars().peekable();
    std::iter::from_fn(move || {
        chars.find(|&each| each == '\'')?;
        let mut label = String::new();
        while let Some(each) = chars.next() {
            if each != '\'' {
                label.push(each);
            } else if chars.next_if_eq(&'\'').is_some() {
                label.push('\'');
            } else {
                break;
            }
        }
        Some(label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(full_kind: &str) -> Raw {
        let kind = full_kind.split(['(', ' ']).next().unwrap_or_default().to_owned();
        Raw { name: "c".into(), kind, full_kind: full_kind.into(), ..Raw::default() }
    }

    #[test]
    fn types_are_told_apart() {
        let check = |full_kind: &str, kind, form| {
            let raw = Raw { precision: Some(10), scale: Some(2), length: Some(80), ..raw(full_kind) };
            assert_eq!(kind_and_form(&raw, None), (kind, form), "{full_kind}");
        };
        check("int(10) unsigned", ValueKind::Integer { max: u32::MAX.into() }, Form::Number);
        check("mediumint", ValueKind::Integer { max: (1 << 23) - 1 }, Form::Number);
        check("bigint unsigned", ValueKind::Integer { max: i64::MAX }, Form::Number);
        check("tinyint(1)", ValueKind::Boolean, Form::Number);
        check("decimal(10,2)", ValueKind::Numeric { digits: Some((8, 2)) }, Form::Number);
        check("varchar(80)", ValueKind::Text { max: Some(80) }, Form::Quoted);
        check("text", ValueKind::Text { max: Some(20) }, Form::Quoted);
        check("binary(80)", ValueKind::Bytes { prefix: "", max: Some(80) }, Form::Hex);
        check("bit(10)", ValueKind::Bits(10), Form::Bits);
        check("enum('it''s','b')", ValueKind::Enum("it's".into()), Form::Quoted);
        check("point", ValueKind::Other, Form::Hex);
    }

    #[test]
    fn what_is_new_is_new_within_an_index_s_prefix() {
        let raw = Raw { length: Some(80), ..raw("varchar(80)") };
        assert_eq!(kind_and_form(&raw, Some(4)).0, ValueKind::Text { max: Some(4) });
    }

    #[test]
    fn numbers_left_are_what_the_server_can_still_give() {
        let check = |full_kind: &str, next_number, increment, left| {
            let raw = Raw { extra: "auto_increment".into(), ..raw(full_kind) };
            let sequences = BTreeMap::new();
            let around = Around { next_number, increment, sequences: &sequences, privileges: "", prefix: None };
            let column = column(&raw, &around);
            assert_eq!((column.sequence, column.identity), (Some(Sequence { left }), Identity::ByDefault));
        };
        check("tinyint", 1, 1, 127);
        check("tinyint unsigned", 101, 2, 77);
        check("int", 2_147_483_648, 1, 0);
        check("bigint unsigned", 1, 1, u64::MAX);
    }

    #[test]
    fn a_default_may_draw_from_a_sequence() {
        let sequences = BTreeMap::from([("order_ids".to_owned(), 900)]);
        let check = |default: &str, left: Option<u64>| assert_eq!(drawn_from(default, &sequences), left);
        check("nextval(`shop`.`order_ids`)", Some(900));
        check("'order_ids'", None);
        check("current_timestamp()", None);
    }
}
