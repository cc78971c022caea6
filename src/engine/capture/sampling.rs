//! What sampling asks of a database: its whole tables, what refers to what, and rows that are drawn or found by their keys.

use super::{Kind, Part, Planned, Rows, Source, TableName};
use crate::engine::reading::ReadError;
use crate::scenario::rules;

/// Characters of a value that a survey sees, unless the column is part of the table's key.
pub const CUT: usize = 256;

/// A table as references see it: a partitioned one with all its partitions.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    pub name: TableName,
    /// Generated ones too, for references may lead to them.
    pub columns: Vec<WholeColumn>,
    /// Fields that tell a row from all others. None where there is no such key, on MySQL and MariaDB alone: rows that are alike are then one.
    pub key: Vec<usize>,
    /// The tables that hold its rows, one at least; of several, the field after a row's columns says which.
    pub parts: Vec<WholePart>,
    /// It is read from its partitions' root.
    pub is_partitioned: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WholeColumn {
    pub name: String,
    pub kind: Kind,
    /// What a text is cast to so that it is of this type, in SQL; empty where none is needed.
    pub cast: String,
}

impl WholeColumn {
    /// Its values may be so long that a survey sees only their beginning.
    pub fn is_long(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Boolean
                | Kind::Integer
                | Kind::Number
                | Kind::Float
                | Kind::Date
                | Kind::Time
                | Kind::Timestamp
                | Kind::Interval
                | Kind::Uuid
                | Kind::Network
                | Kind::Enum
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholePart {
    /// What the field after a row's columns says of it.
    pub mark: String,
    /// Its place among the planned tables.
    pub planned: usize,
}

/// A foreign key, by places of whole tables and of their columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub from: usize,
    pub from_columns: Vec<usize>,
    pub to: usize,
    pub to_columns: Vec<usize>,
}

/// Rows of a whole table. The same rows whenever they are asked for.
#[derive(Debug, Clone)]
pub enum Wanted<'a> {
    /// Which ones, the seed and the key decide. Never [`rules::Rows::None`].
    Draw { rows: rules::Rows, seed: u64 },
    /// All with one of the keys in these fields, as the field's text; a key that the column's type has no value for finds nothing.
    Keys {
        columns: &'a [usize],
        /// Only rows with that text in that field.
        when: Option<(usize, &'a str)>,
        keys: &'a [Vec<Vec<u8>>],
        /// At most so many for each key: the first by the table's own key.
        most: Option<u64>,
    },
}

impl Source {
    /// The whole tables of those that were planned, and their foreign keys.
    ///
    /// # Errors
    /// A query fails.
    pub async fn wholes(&self, planned: &[Planned]) -> Result<(Vec<Whole>, Vec<ForeignKey>), ReadError> {
        match self {
            Source::Postgres(source) => source.wholes(planned).await,
            Source::Mysql(source) => source.wholes(planned).await,
        }
    }

    /// Rows in the text form, read by that session. A field a column, and on Postgres two more: where the row lies.
    ///
    /// # Errors
    /// The server refuses; in the stream, it ends before the rows do.
    pub async fn wanted<'a>(
        &'a self,
        session: usize,
        (whole, planned): (&'a Whole, &[Planned]),
        wanted: &Wanted<'_>,
    ) -> Result<Rows<'a>, ReadError> {
        match self {
            Source::Postgres(source) => {
                source.wanted(session, (whole, planned), wanted).await.map(|rows| rows as Rows<'a>)
            }
            Source::Mysql(source) => Ok(source.wanted(session, whole, wanted)),
        }
    }

    /// Every row of one part of a table, as a survey sees it: a field a column, cut at [`CUT`] characters, then the characters that
    /// [`lengths`] tells of before they were cut, then what [`Source::wanted`] adds.
    ///
    /// # Errors
    /// As there.
    pub async fn surveyed<'a>(
        &'a self,
        session: usize,
        whole: &'a Whole,
        (planned, part): (&Planned, &Part),
    ) -> Result<Rows<'a>, ReadError> {
        match self {
            Source::Postgres(source) => {
                source.surveyed(session, whole, (planned, part)).await.map(|rows| rows as Rows<'a>)
            }
            Source::Mysql(source) => Ok(source.surveyed(session, whole, part)),
        }
    }

    /// Rows of a table, counted.
    ///
    /// # Errors
    /// A query fails.
    pub async fn counted(&self, session: usize, planned: &Planned) -> Result<u64, ReadError> {
        match self {
            Source::Postgres(source) => source.counted(session, planned).await,
            Source::Mysql(source) => source.counted(session, planned).await,
        }
    }
}

/// Servers give no more fields in a row than about 1,600.
const FIELDS: usize = 1600;

/// The columns whose lengths a survey tells: the long ones, unless they are too many.
pub fn lengths(columns: &[WholeColumn]) -> Vec<usize> {
    let long: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].is_long()).collect();
    if columns.len() + long.len() <= FIELDS { long } else { Vec::new() }
}

/// So that a share of all hashes is smaller: the beginning of a hash in hexadecimal digits. None where all are.
pub fn threshold(share: f64) -> Option<String> {
    // 2^52 steps are all that the number has.
    let steps = (share * (1_u64 << 52) as f64).round() as u64;
    (steps < 1 << 52).then(|| format!("{steps:013x}"))
}

/// Whether the text is a whole number that eight bytes hold, with a sign.
pub fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Whether the text is a number.
pub fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'))
        && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_all_hashes_lies_below_its_threshold() {
        let check = |share, expected: Option<&str>| assert_eq!(threshold(share).as_deref(), expected, "{share}");
        check(0.5, Some("8000000000000"));
        check(0.01, Some("028f5c28f5c29"));
        check(1.0, None);
        check(1e-30, Some("0000000000000"));
    }

    #[test]
    fn numbers_are_told_from_what_servers_refuse() {
        for number in ["0", "-1.50", "1e9", "+3"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["", "1-2", "inf", "0x1", "1 2", "abc"] {
            assert!(!is_number(other), "{other}");
        }
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("-7"), Some(-7));
    }
}
