//! The forms that single values take in the file: text, numbers, durations, rates, and words of a fixed list.

use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;
use schemars::JsonSchema;
use serde_json::json;

use super::During;
use super::problem::{Mistake, Problems};
use super::read::{Read, inline_schema};
use super::tree::{At, Node};
use super::{EngineKind, ExpectedOutcome, WhenFailed};
use crate::finding::{Code, Severity};

/// A form that is a TOML type of its own and cannot be wrong beyond that.
macro_rules! plain {
    ($type:ty, $form:literal, $fits:pat, $value:expr) => {
        impl Read for $type {
            fn form() -> String {
                $form.to_owned()
            }

            fn fits(node: &Node) -> bool {
                matches!(node, $fits)
            }

            fn read(node: At<Node>, _: &mut Problems) -> Option<Self> {
                let value: fn(Node) -> Option<Self> = $value;
                value(node.value)
            }
        }
    };
}

plain!(bool, "`true` or `false`", Node::Boolean(_), |node| match node {
    Node::Boolean(value) => Some(value),
    _ => None,
});

/// Text with something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub String);

impl Read for Text {
    fn form() -> String {
        "text".to_owned()
    }

    fn fits(node: &Node) -> bool {
        matches!(node, Node::Text(_))
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        let Node::Text(text) = node.value else { return None };
        if text.trim().is_empty() {
            problems.raise(
                node.at,
                Mistake::WrongForm { found: "empty text".into(), form: "text with something in it".into(), hint: None },
            );
            return None;
        }
        Some(Text(text))
    }
}

inline_schema!([] Text, |_generator| json!({ "type": "string", "pattern": "\\S" }));

/// Text that may be empty.
#[derive(Debug, Clone)]
pub(super) struct AnyText(pub String);

plain!(AnyText, "text", Node::Text(_), |node| match node {
    Node::Text(text) => Some(AnyText(text)),
    _ => None,
});
inline_schema!([] AnyText, |_generator| json!({ "type": "string" }));

/// Text that may be empty, or a number or boolean that is written out: `400`, `true`.
#[derive(Debug, Clone)]
pub(super) struct Scalar(pub String);

plain!(
    Scalar,
    "text, a number or a boolean",
    Node::Text(_) | Node::Integer(_) | Node::Float(_) | Node::Boolean(_),
    |node| match node {
        Node::Text(text) => Some(Scalar(text)),
        Node::Integer(number) => Some(Scalar(number.to_string())),
        Node::Float(number) => Some(Scalar(number.to_string())),
        Node::Boolean(value) => Some(Scalar(value.to_string())),
        Node::Datetime | Node::Array(_) | Node::Table(_) => None,
    }
);
inline_schema!([] Scalar, |_generator| json!({ "type": ["string", "number", "boolean"] }));

/// A cell of rows that are compared as text; a whole number can mean only one text, anything else is to be written as such.
#[derive(Debug, Clone)]
pub(super) struct Cell(pub String);

plain!(Cell, "text, as the server writes the value", Node::Text(_) | Node::Integer(_), |node| match node {
    Node::Text(text) => Some(Cell(text)),
    Node::Integer(number) => Some(Cell(number.to_string())),
    _ => None,
});
inline_schema!([] Cell, |_generator| json!({ "type": ["string", "integer"] }));

/// A number of things, counted from `MIN`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count<const MIN: u64>(pub u64);

impl<const MIN: u64> Read for Count<MIN> {
    fn form() -> String {
        format!("a whole number from {MIN} on")
    }

    fn fits(node: &Node) -> bool {
        matches!(node, Node::Integer(_))
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        let Node::Integer(number) = node.value else { return None };
        match u64::try_from(number) {
            // Beyond an i64 it is no number of TOML's either, nor of JSON readers that hold to doubles.
            Ok(count) if count >= MIN && i64::try_from(count).is_ok() => Some(Count(count)),
            _ => {
                let found = problems.written(node.at).to_owned();
                problems.raise(node.at, Mistake::WrongForm { found, form: Self::form(), hint: None });
                None
            }
        }
    }
}

inline_schema!([const MIN: u64] Count<MIN>, |_generator| json!({ "type": "integer", "minimum": MIN }));

/// A share of something: `0.5`, `2`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number;

plain!(Number, "a number", Node::Integer(_) | Node::Float(_), |_| Some(Number));
inline_schema!([] Number, |_generator| json!({ "type": "number" }));

/// A duration, zero included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub Duration);

/// A duration above zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Positive(pub Duration);

/// Operations per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate(pub f64);

/// A form of text with a grammar of its own.
macro_rules! parsed {
    ($type:ident, $form:literal, $parse:expr) => {
        impl Read for $type {
            fn form() -> String {
                $form.to_owned()
            }

            fn fits(node: &Node) -> bool {
                matches!(node, Node::Text(_))
            }

            fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
                let Node::Text(text) = node.value else { return None };
                let value = $parse(&text);
                if value.is_none() {
                    let found = format!("\"{text}\"");
                    problems.raise(node.at, Mistake::WrongForm { found, form: Self::form(), hint: None });
                }
                value.map($type)
            }
        }

        inline_schema!([] $type, |_generator| json!({ "type": "string", "pattern": "[0-9]" }));
    };
}

parsed!(Time, "a duration such as \"20ms\", \"1h30m\" or \"0s\"", duration);
parsed!(Positive, "a duration above zero, such as \"20ms\" or \"1h30m\"", |text: &str| duration(text)
    .filter(|time| !time.is_zero()));
parsed!(Rate, "a rate such as \"200/s\" or \"50/m\", from 1/h to 10000/s", rate);

/// Days are 24 hours; None if it is no duration, or a negative one.
fn duration(text: &str) -> Option<Duration> {
    let span = SpanParser::new().parse_span(text).ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// Per second: from one an hour to more than one session after the other could do.
const RATES: std::ops::RangeInclusive<f64> = 1.0 / 3600.0..=10_000.0;

fn rate(text: &str) -> Option<f64> {
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let per_second = count.trim().parse::<f64>().ok()? / seconds;
    RATES.contains(&per_second).then_some(per_second)
}

/// A value that is one of a fixed list of words.
pub(super) trait Words: Sized + Copy + 'static {
    /// What the words name: "engine".
    const WHAT: &'static str;

    fn words() -> Vec<(&'static str, Self)>;
}

/// One of the words of `T`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<T>(pub T);

impl<T: Words> Read for Word<T> {
    fn form() -> String {
        let words: Vec<_> = T::words().iter().map(|(word, _)| format!("\"{word}\"")).collect();
        if words.len() > 5 { format!("the name of a {}", T::WHAT) } else { words.join(" or ") }
    }

    fn fits(node: &Node) -> bool {
        matches!(node, Node::Text(_))
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        let Node::Text(text) = node.value else { return None };
        let found = T::words().into_iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known = T::words().iter().map(|(word, _)| (*word).to_owned()).collect();
            problems.raise(node.at, Mistake::UnknownName { what: T::WHAT, name: text, known });
        }
        found.map(|(_, value)| Word(value))
    }
}

impl<T: Words> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::WHAT.into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<_> = T::words().iter().map(|(word, _)| *word).collect();
        schemars::json_schema!({ "type": "string", "enum": words })
    }
}

macro_rules! words {
    ($type:ty, $what:literal, [$($word:literal => $value:expr),* $(,)?]) => {
        impl Words for $type {
            const WHAT: &'static str = $what;

            fn words() -> Vec<(&'static str, Self)> {
                vec![$(($word, $value)),*]
            }
        }
    };
}

words!(EngineKind, "engine", [
    "postgres" => EngineKind::Postgres,
    "mysql" => EngineKind::Mysql,
    "mariadb" => EngineKind::Mariadb,
]);
words!(WhenFailed, "way to go on", [
    "stop" => WhenFailed::Stop,
    "continue" => WhenFailed::Continue,
    "undo" => WhenFailed::Undo,
    "undo_all" => WhenFailed::UndoAll,
]);
words!(During, "time", [
    "before" => During::Before,
    "during" => During::During,
    "after" => During::After,
    "all" => During::All,
]);
words!(ExpectedOutcome, "outcome", [
    "passed" => ExpectedOutcome::Passed,
    "failed" => ExpectedOutcome::Failed,
    "inconclusive" => ExpectedOutcome::Inconclusive,
]);

impl Words for Severity {
    const WHAT: &'static str = "severity";

    fn words() -> Vec<(&'static str, Self)> {
        [Severity::Error, Severity::Warning, Severity::Info].map(|severity| (severity.name(), severity)).to_vec()
    }
}

impl Words for Code {
    const WHAT: &'static str = "finding";

    fn words() -> Vec<(&'static str, Self)> {
        Code::ALL.iter().map(|code| (code.name(), *code)).collect()
    }
}

/// What a custom probe does; fresh connections are the tool's own to try.
#[derive(Debug, Clone, Copy)]
pub(super) enum CustomKind {
    Read,
    Write,
}

words!(CustomKind, "kind of probe", ["read" => CustomKind::Read, "write" => CustomKind::Write]);

/// What is compared of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CompareWhat {
    Schema,
    Data,
    Both,
}

words!(CompareWhat, "part", [
    "schema" => CompareWhat::Schema,
    "data" => CompareWhat::Data,
    "both" => CompareWhat::Both,
]);

/// Words of parts that are not built yet: known, and of no further meaning.
macro_rules! later_words {
    ($($(#[$doc:meta])* $type:ident, $what:literal, [$($word:literal),*];)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub(super) struct $type;

            words!($type, $what, [$($word => $type),*]);
        )*
    };
}

later_words! {
    /// How `pg_upgrade` takes the data over.
    UpgradeMode, "mode", ["copy", "clone", "link", "swap"];
    UpgradeVia, "way", ["logical"];
    /// Migration tools whose files are understood.
    Layout, "layout", [
        "flyway", "sqlx", "diesel", "goose", "dbmate", "golang-migrate", "prisma", "refinery"
    ];
    All, "number of nodes", ["all"];
    CaughtUp, "condition", ["caught_up"];
}
