//! The rules file: how a snapshot of production is sampled and masked, once the file was read and found right.

mod grammar;
mod pattern;
mod reference;
mod validate;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::Value;

use self::grammar::RulesFile;
pub use self::pattern::{ColumnPattern, Glob, JsonPath, JsonStep, TablePattern};
pub use self::reference::{EXAMPLE, reference};
use super::ScenarioErrors;
use super::load::unreadable;
use super::problem::{Mistake, Problems};
use super::read::read;
use super::tree::{self, At, Node, Place};

/// What the file is called in messages.
const RULES_FILE: &str = "rules file";

/// The variable of the environment with the masking key, where the file names none.
pub const KEY_VARIABLE: &str = "REHEARSAL_MASK_KEY";

/// More characters than these are kept for a reason.
const KEPT_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// As given.
    pub file: PathBuf,
    pub locale: Locale,
    /// The variable of the environment with the masking key.
    pub key_variable: String,
    pub sample: Sample,
    pub references: Vec<Reference>,
    pub coverage: Coverage,
    /// In the order of the file.
    pub masks: Vec<Mask>,
    pub domains: Vec<Domain>,
}

impl Rules {
    /// Whether every row of every table is taken.
    pub fn take_all(&self) -> bool {
        self.sample.rows == Rows::All && self.sample.tables.iter().all(|table| table.rows == Rows::All)
    }

    /// Whether anything is masked, and not only kept.
    pub fn need_key(&self) -> bool {
        self.masks.iter().any(|mask| mask.transform != Transform::Keep)
    }
}

/// Columns that hold the same things.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// At least one, and of one alone it has a `*`.
    pub columns: Vec<ColumnPattern>,
    /// Of the rules file, from 1.
    pub line: usize,
}

/// Which rows are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub rows: Rows,
    pub seed: u64,
    pub children: Children,
    /// The first that meets a table counts.
    pub tables: Vec<TableSample>,
}

impl Sample {
    /// What is taken of a table, and how the rows that refer to its rows are followed.
    pub fn of(&self, schema: &str, table: &str) -> (Rows, Children) {
        match self.tables.iter().find(|sample| sample.table.matches(schema, table)) {
            Some(sample) => (sample.rows, sample.children),
            None => (self.rows, self.children),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rows {
    All,
    None,
    /// Above 0 and at most 1.
    Share(f64),
    Count(u64),
}

/// How far rows that refer to a taken row are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Children {
    /// References in a row.
    pub depth: u64,
    /// Rows by row and reference.
    pub most: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TableSample {
    pub table: TablePattern,
    pub rows: Rows,
    pub children: Children,
    /// Of the rules file, from 1.
    pub line: usize,
}

/// A reference that the database does not know of. No pattern in it has a `*`.
#[derive(Debug, Clone, PartialEq)]
pub enum Reference {
    /// As many columns on either side, at least one, of one table each.
    Plain { from: Vec<ColumnPattern>, to: Vec<ColumnPattern>, line: usize },
    /// Both columns are of one table; `to` by the type column's value.
    Polymorphic { kind: ColumnPattern, id: ColumnPattern, to: Vec<(String, ColumnPattern)>, line: usize },
}

impl Reference {
    /// Of the rules file, from 1.
    pub fn line(&self) -> usize {
        match self {
            Reference::Plain { line, .. } | Reference::Polymorphic { line, .. } => *line,
        }
    }

    /// Every column that it names.
    pub fn columns(&self) -> Vec<&ColumnPattern> {
        match self {
            Reference::Plain { from, to, .. } => from.iter().chain(to).collect(),
            Reference::Polymorphic { kind, id, to, .. } => {
                [kind, id].into_iter().chain(to.iter().map(|(_, to)| to)).collect()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    pub on: bool,
    /// Rows a table.
    pub budget: u64,
}

/// What is done to the values of some columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    pub of: Of,
    pub transform: Transform,
    /// There for every [`Transform::keeps`].
    pub reason: Option<String>,
    pub locale: Locale,
    /// Of the rules file, from 1.
    pub line: usize,
}

/// Which columns; each at least one.
#[derive(Debug, Clone, PartialEq)]
pub enum Of {
    Columns(Vec<ColumnPattern>),
    Names(Vec<Glob>),
    Types(Vec<Glob>),
}

/// What is done to a value. NULL stays NULL and an empty value empty, but for [`Transform::Null`].
#[derive(Debug, Clone, PartialEq)]
pub enum Transform {
    Keep,
    Null,
    Fixed(String),
    /// Characters that stay at either end.
    Format {
        keep_first: usize,
        keep_last: usize,
    },
    Email,
    Phone,
    FirstName,
    LastName,
    Name,
    Street,
    City,
    Postcode,
    Company,
    Card,
    Iban,
    Date {
        /// At least 1.
        days: u32,
        /// A column of the same table.
        per: Option<String>,
        /// All by as many days; never with `per`.
        together: bool,
    },
    Integer,
    Noise {
        /// Above 0 and at most 1.
        share: f64,
    },
    Ip,
    Mac,
    Uuid,
    Url,
    UserAgent,
    Text,
    Hash {
        /// Hexadecimal digits, 1 to 64.
        length: usize,
    },
    Regex {
        /// A valid expression.
        find: String,
        replace: String,
    },
    Template(Vec<Piece>),
    Json {
        /// The first that meets a value counts.
        paths: Vec<(JsonPath, Transform)>,
        rest: Rest,
    },
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Literal(String),
    Of(Transform),
}

/// What happens to JSON values without a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Letters become letters, digits digits, and whole numbers others of as many digits.
    Format,
    Null,
    Keep,
}

impl Transform {
    /// The word that the file has for it.
    pub fn name(&self) -> &'static str {
        match self {
            Transform::Keep => "keep",
            Transform::Null => "null",
            Transform::Fixed(_) => "fixed",
            Transform::Format { .. } => "format",
            Transform::Email => "email",
            Transform::Phone => "phone",
            Transform::FirstName => "first_name",
            Transform::LastName => "last_name",
            Transform::Name => "name",
            Transform::Street => "street",
            Transform::City => "city",
            Transform::Postcode => "postcode",
            Transform::Company => "company",
            Transform::Card => "card",
            Transform::Iban => "iban",
            Transform::Date { .. } => "date",
            Transform::Integer => "integer",
            Transform::Noise { .. } => "noise",
            Transform::Ip => "ip",
            Transform::Mac => "mac",
            Transform::Uuid => "uuid",
            Transform::Url => "url",
            Transform::UserAgent => "user_agent",
            Transform::Text => "text",
            Transform::Hash { .. } => "hash",
            Transform::Regex { .. } => "regex",
            Transform::Template(_) => "template",
            Transform::Json { .. } => "json",
        }
    }

    /// Whether two different values never become one, so that it may stand on a unique column or a key.
    pub fn is_injective(&self) -> bool {
        match self {
            Transform::Date { per, .. } => per.is_none(),
            Transform::Keep
            | Transform::Format { .. }
            | Transform::Email
            | Transform::Phone
            | Transform::Postcode
            | Transform::Card
            | Transform::Iban
            | Transform::Integer
            | Transform::Ip
            | Transform::Mac
            | Transform::Uuid
            | Transform::Url => true,
            _ => false,
        }
    }

    /// Whether values, or some of those within a value, stay as they are on purpose, which needs a reason.
    pub fn keeps(&self) -> bool {
        match self {
            Transform::Keep => true,
            Transform::Json { paths, rest } => {
                *rest == Rest::Keep || paths.iter().any(|(_, transform)| transform.keeps())
            }
            Transform::Format { keep_first, keep_last } => keep_first.saturating_add(*keep_last) > KEPT_MAX,
            _ => false,
        }
    }
}

/// Language and country of what is drawn from lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Locale {
    #[default]
    En,
    Ar,
    Cy,
    De,
    Fa,
    Fr,
    It,
    Ja,
    Nl,
    Pt,
    PtBr,
    Tr,
    ZhCn,
    ZhTw,
}

impl Locale {
    pub const ALL: [Locale; 14] = [
        Locale::En,
        Locale::Ar,
        Locale::Cy,
        Locale::De,
        Locale::Fa,
        Locale::Fr,
        Locale::It,
        Locale::Ja,
        Locale::Nl,
        Locale::Pt,
        Locale::PtBr,
        Locale::Tr,
        Locale::ZhCn,
        Locale::ZhTw,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Locale::En => "en",
            Locale::Ar => "ar",
            Locale::Cy => "cy",
            Locale::De => "de",
            Locale::Fa => "fa",
            Locale::Fr => "fr",
            Locale::It => "it",
            Locale::Ja => "ja",
            Locale::Nl => "nl",
            Locale::Pt => "pt",
            Locale::PtBr => "pt-br",
            Locale::Tr => "tr",
            Locale::ZhCn => "zh-cn",
            Locale::ZhTw => "zh-tw",
        }
    }
}

/// Reads the rules file at `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Rules, ScenarioErrors> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) => {
            let mut problems = Problems::default();
            let file = problems.add_file(path.to_owned(), String::new());
            problems.raise(Place { file, start: 0, end: 0 }, unreadable(path, RULES_FILE, &error));
            Err(problems.into_errors().expect("one was just raised"))
        }
    }
}

/// As [`load`], of a text that is at hand.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(path: &Path, text: &str) -> Result<Rules, ScenarioErrors> {
    let mut problems = Problems::default();
    let rules = parse_into(path, text, &mut problems);
    match (problems.into_errors(), rules) {
        (Some(errors), _) => Err(errors),
        (None, Some(rules)) => Ok(rules),
        (None, None) => unreachable!("whatever yields no rules has recorded why"),
    }
}

/// As [`parse`], for a file that another names; what is wrong is told with what is wrong there.
pub(super) fn parse_into(path: &Path, text: &str, problems: &mut Problems) -> Option<Rules> {
    let number = problems.add_file(path.to_owned(), text.to_owned());
    let raw = match tree::parse(number, text) {
        Ok(table) => read::<RulesFile>(At { value: Node::Table(table.value), at: table.at }, problems),
        Err(errors) => {
            for error in errors {
                problems.raise(error.at, Mistake::Syntax { message: error.message });
            }
            None
        }
    };
    raw.map(|raw| validate::rules(raw.value, path.to_owned(), problems))
}

/// The rules file's JSON Schema, from the tables that the reader reads.
pub fn json_schema() -> Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<RulesFile>().to_value()
}
