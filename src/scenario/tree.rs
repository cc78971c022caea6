//! A TOML document as an owned tree in which every key and value knows its place; what `extends` merges and the tables are read from.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes `start..end` of one of the files read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Index into the files read; 0 is the scenario file itself.
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

/// Something, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub at: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    /// Saturated where the file's number is larger still: no key takes a number near it.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<At<Node>>),
    Table(Table),
}

impl Node {
    /// What it is called in a message: "an integer".
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Text(_) => "text",
            Node::Integer(_) => "an integer",
            Node::Float(_) => "a float",
            Node::Boolean(_) => "a boolean",
            Node::Datetime => "a date or time",
            Node::Array(_) => "a list",
            Node::Table(_) => "a table",
        }
    }
}

/// Keys in the order of the file; each once.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub entries: Vec<(At<String>, At<Node>)>,
}

impl Table {
    pub fn take(&mut self, key: &str) -> Option<(At<String>, At<Node>)> {
        let index = self.entries.iter().position(|(name, _)| name.value == key)?;
        Some(self.entries.remove(index))
    }

    /// Lays `over` on top, key by key where both have a table; anything else is replaced. The base's keys keep their order.
    pub fn merge(&mut self, over: Table) {
        for (key, value) in over.entries {
            match self.entries.iter_mut().find(|(name, _)| name.value == key.value) {
                None => self.entries.push((key, value)),
                Some((base_key, base)) => {
                    *base_key = key;
                    match (&mut base.value, value.value) {
                        (Node::Table(under), Node::Table(over)) => {
                            under.merge(over);
                            base.at = value.at;
                        }
                        (_, node) => *base = At { value: node, at: value.at },
                    }
                }
            }
        }
    }
}

/// What is wrong with the TOML itself.
pub(super) struct SyntaxError {
    pub at: Place,
    pub message: String,
}

/// Parses one file; all syntax errors at once.
pub(super) fn parse(file: usize, text: &str) -> Result<At<Table>, Vec<SyntaxError>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let at = Place { file, start: 0, end: 0 };
        return Ok(At { value: table(file, document.into_inner()), at });
    }
    let end = text.len();
    let error = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(end..end);
        SyntaxError { at: Place { file, start: span.start, end: span.end }, message: error.message().to_owned() }
    };
    Err(errors.iter().map(error).collect())
}

fn table(file: usize, from: DeTable<'_>) -> Table {
    let mut entries: Vec<_> = from
        .into_iter()
        .map(|(key, value)| {
            let at = place(file, &key);
            (At { value: key.into_inner().into_owned(), at }, node(file, value))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.at.start);
    Table { entries }
}

fn node(file: usize, from: Spanned<DeValue<'_>>) -> At<Node> {
    let at = place(file, &from);
    let value = match from.into_inner() {
        DeValue::String(text) => Node::Text(text.into_owned()),
        DeValue::Integer(number) => {
            Node::Integer(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX))
        }
        DeValue::Float(number) => Node::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Node::Boolean(value),
        DeValue::Datetime(_) => Node::Datetime,
        DeValue::Array(items) => Node::Array(items.into_iter().map(|item| node(file, item)).collect()),
        DeValue::Table(entries) => Node::Table(table(file, entries)),
    };
    At { value, at }
}

fn place<T>(file: usize, spanned: &Spanned<T>) -> Place {
    let span = spanned.span();
    Place { file, start: span.start, end: span.end }
}
