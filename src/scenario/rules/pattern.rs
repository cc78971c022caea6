//! Names of tables and columns with `*` in them, and paths into JSON.

use std::fmt;

/// A name in which `*` stands for any characters. Case does not matter, as names differ by it alone in no schema worth the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    pub fn new(text: &str) -> Self {
        Glob(text.to_lowercase())
    }

    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// The text, in lower case.
    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let Some((first, rest)) = self.0.split_once('*') else { return name == self.0 };
        let Some(mut left) = name.strip_prefix(first) else { return false };
        let (inner, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in inner.split('*').filter(|part| !part.is_empty()) {
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(last)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `table` or `schema.table`; without a schema, of any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    pub schema: Option<Glob>,
    pub table: Glob,
}

impl TablePattern {
    /// None if it is neither form.
    pub fn parse(text: &str) -> Option<Self> {
        match <[String; 1]>::try_from(names(text)?) {
            Ok([table]) => Some(TablePattern { schema: None, table: Glob::new(&table) }),
            Err(names) => {
                let [schema, table] = <[String; 2]>::try_from(names).ok()?;
                Some(TablePattern { schema: Some(Glob::new(&schema)), table: Glob::new(&table) })
            }
        }
    }

    pub fn matches(&self, schema: &str, table: &str) -> bool {
        self.schema.as_ref().is_none_or(|pattern| pattern.matches(schema)) && self.table.matches(table)
    }
}

/// `table.column` or `schema.table.column`; without a schema, of any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPattern {
    pub table: TablePattern,
    pub column: Glob,
}

impl ColumnPattern {
    /// None if it is neither form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut names = names(text)?;
        let column = names.pop()?;
        let (schema, table) = match names.as_slice() {
            [table] => (None, table),
            [schema, table] => (Some(Glob::new(schema)), table),
            _ => return None,
        };
        Some(ColumnPattern { table: TablePattern { schema, table: Glob::new(table) }, column: Glob::new(&column) })
    }

    pub fn is_exact(&self) -> bool {
        self.table.schema.as_ref().is_none_or(Glob::is_exact) && self.table.table.is_exact() && self.column.is_exact()
    }

    pub fn matches(&self, schema: &str, table: &str, column: &str) -> bool {
        self.table.matches(schema, table) && self.column.matches(column)
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", written(schema.text()))?;
        }
        f.write_str(&written(self.table.text()))
    }
}

impl fmt::Display for ColumnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, written(self.column.text()))
    }
}

/// A name as it is to be written in a pattern: in double quotes where it holds a dot or a quote.
pub(super) fn written(name: &str) -> String {
    if name.contains(['.', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

/// The names between the dots, of which those in double quotes may hold dots themselves. None where one is empty, or a quote is left open.
fn names(text: &str) -> Option<Vec<String>> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                names.last_mut()?.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            c => names.last_mut()?.push(c),
        }
    }
    (!quoted && names.iter().all(|name| !name.is_empty())).then_some(names)
}

/// Where a value stands in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(pub Vec<JsonStep>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonStep {
    Key(String),
    /// A key's name with `*` in it.
    Like(Glob),
    AnyKey,
    AnyItem,
    /// Any number of keys and items.
    Deep,
}

/// A step that leads to a value: a key's name, or None into a list.
pub type Taken<'a> = Option<&'a str>;

impl JsonPath {
    /// Keys with dots between them, `*` for any key or any part of one, `[*]` for any item of a list, `**` for any depth; a leading `$` means nothing.
    /// None if it is no such path.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let text = text.strip_prefix('$').unwrap_or(text);
        let text = text.strip_prefix('.').unwrap_or(text);
        for part in text.split('.') {
            let (mut key, mut items) = (part, 0);
            while let Some(before) = key.strip_suffix("[*]") {
                (key, items) = (before, items + 1);
            }
            match key {
                "" if items > 0 && steps.is_empty() => {}
                "" => return None,
                "*" => steps.push(JsonStep::AnyKey),
                "**" => steps.push(JsonStep::Deep),
                key if key.contains(['[', ']']) => return None,
                key if key.contains('*') => steps.push(JsonStep::Like(Glob::new(key))),
                key => steps.push(JsonStep::Key(key.to_owned())),
            }
            steps.extend(std::iter::repeat_n(JsonStep::AnyItem, items));
        }
        Some(JsonPath(steps))
    }

    pub fn matches(&self, taken: &[Taken<'_>]) -> bool {
        matches(&self.0, taken)
    }
}

fn matches(steps: &[JsonStep], taken: &[Taken<'_>]) -> bool {
    match (steps.split_first(), taken.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((JsonStep::Deep, rest)), _) => {
            matches(rest, taken) || taken.split_first().is_some_and(|(_, taken)| matches(steps, taken))
        }
        (Some(_), None) => false,
        (Some((step, rest)), Some((first, taken))) => {
            let fits = match (step, first) {
                (JsonStep::Key(key), Some(name)) => key == name,
                (JsonStep::Like(pattern), Some(name)) => pattern.matches(name),
                (JsonStep::AnyKey, Some(_)) | (JsonStep::AnyItem, None) => true,
                _ => false,
            };
            fits && matches(rest, taken)
        }
    }
}
