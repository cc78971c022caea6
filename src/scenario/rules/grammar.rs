//! The tables of the rules file: every key of its grammar.

use serde_json::json;

use super::{Locale, Rows};
use crate::scenario::leaf::{AnyText, Count, Text, Word, Words};
use crate::scenario::problem::{Mistake, Problems};
use crate::scenario::read::{
    Either, Found, KeySchema, Keys, List, Map, Read, inline_schema, key_name, table, table_schema,
};
use crate::scenario::tree::{At, Node};
use crate::scenario::validate::is_variable;

/// `"a"` or `["a", "b"]`.
pub(super) type OneOrMany = Either<Text, List<Text>>;

table! {
    /// How a snapshot of production is sampled and masked.
    RulesFile "the rules file" {
        /// Language and country of the names and addresses that are drawn; "en" unless given.
        optional locale: Word<Locale>,
        /// The variable of the environment that holds the masking key, as "env:NAME"; "env:REHEARSAL_MASK_KEY" unless given. The same key
        /// gives the same masked values.
        optional key: KeyForm,
        /// Which rows are taken; all unless given.
        optional sample: SampleTable,
        /// References that the database does not know of: rows that are taken have those they refer to taken with them.
        optional reference: List<ReferenceTable>,
        /// Rows that a plain sample would miss.
        optional coverage: CoverageTable,
        /// What is done to the values of columns.
        optional mask: List<MaskTable>,
        /// Columns that hold the same things: masked alike, so that joins hold. Columns tied by a foreign key or a reference are so anyway.
        optional domain: List<DomainTable>,
    }
}

table! {
    /// Which rows are taken.
    SampleTable "[sample]" {
        /// Of each table: a share as "1%", a number of rows, "all" or "none"; all unless given.
        optional rows: RowsForm,
        /// Decides which rows; the same seed takes the same ones. 0 unless given.
        optional seed: Count<0>,
        /// Which rows that refer to a taken row are taken with it. Rows that a taken row refers to always are.
        optional children: ChildrenTable,
        /// Tables that differ, by name, as "audit_log" or "public.audit_*": the rows, or a table with `rows` and `children`. Rows that refer
        /// to a table given as "all" are not followed, unless it has `children` of its own.
        optional tables: Map<Either<RowsForm, TableSampleTable>>,
    }
}

table! {
    /// How far rows that refer to a taken row are followed.
    ChildrenTable "`children`" {
        /// References in a row that are followed downwards; 0 follows none. 1 unless given.
        optional depth: Count<0>,
        /// Rows taken of those that refer to one row by one reference; 100 unless given.
        optional most: Count<0>,
    }
}

table! {
    /// What is taken of one table.
    TableSampleTable "a table's sample" {
        /// As for all tables.
        optional rows: RowsForm,
        /// Of the rows that refer to a row of this table.
        optional children: ChildrenTable,
    }
}

table! {
    /// A reference that the database does not know of.
    ReferenceTable "a reference" {
        /// The column that refers, as "events.user_id", or several of a composite key.
        optional from: OneOrMany,
        /// Polymorphic: the column that says which table is referred to.
        optional r#type: Text,
        /// Polymorphic: the column that holds the key there.
        optional id: Text,
        /// The column referred to, as "users.id", or several; of a polymorphic reference, one for each value of the type column.
        required to: Either<Text, Either<List<Text>, Map<Text>>>,
    }
}

table! {
    /// Rows that a plain sample would miss: one for each value of short lists, the least and the greatest, NULLs, the longest.
    CoverageTable "[coverage]" {
        /// True unless given.
        optional on: bool,
        /// The most rows that it adds to a table; 200 unless given.
        optional budget: Count<1>,
    }
}

table! {
    /// What is done to the values of columns: one of `column`, `name` and `type` says which.
    MaskTable "a mask" {
        /// "table.column" or "schema.table.column", or a list; `*` stands for any characters. One that meets no column is an error.
        optional column: OneOrMany,
        /// The column's name in any table, as "*_email".
        optional name: OneOrMany,
        /// The column's type as the server calls it, as "inet".
        optional r#type: OneOrMany,
        /// The transformer's name, or a table with its parameters.
        required r#as: AsForm,
        /// Why the values may stay as they are; needed by "keep".
        optional reason: Text,
        /// Instead of the file's own.
        optional locale: Word<Locale>,
    }
}

/// A transformer's name, or a table with its parameters.
pub(super) type AsForm = Either<Word<Plain>, Box<AsTable>>;

table! {
    /// A transformer with parameters: one key.
    AsTable "`as`" {
        /// The same text for every value.
        optional fixed: AnyText,
        /// Letters become letters and digits digits.
        optional format: FormatTable,
        /// Dates and timestamps are moved.
        optional date: DateTable,
        /// Numbers are changed by at most a share of themselves.
        optional noise: NoiseTable,
        /// Hexadecimal digits.
        optional hash: HashTable,
        /// What a regular expression finds is replaced.
        optional regex: RegexTable,
        /// Text in which `${NAME}` stands for what the transformer of that name makes of the value.
        optional template: Text,
        /// JSON, path by path.
        optional json: JsonTable,
    }
}

table! {
    /// Characters that stay: never more than half of a value's letters and digits. More than 8 together need a reason.
    FormatTable "`format`" {
        /// How many at the beginning; 0 unless given.
        optional keep_first: Count<0>,
        /// How many at the end; 0 unless given.
        optional keep_last: Count<0>,
    }
}

table! {
    /// How dates are moved.
    DateTable "`date`" {
        /// The most days, forwards or backwards; 365 unless given.
        optional days: Count<1>,
        /// A column of the same table: rows with the same value there are moved alike, so that the order of their dates holds. Without it,
        /// or where it is NULL, each date becomes another one by itself: equal dates of a column stay equal, and a unique column stays so.
        optional per: Text,
        /// True: all dates of all columns with it are moved by the same days, so that any order holds; whoever knows one of them knows all.
        optional together: bool,
    }
}

table! {
    /// How far numbers are changed.
    NoiseTable "`noise`" {
        /// As "10%".
        required share: ShareForm,
    }
}

table! {
    /// How long a hash is.
    HashTable "`hash`" {
        /// Hexadecimal digits, at most 64; 32 unless given.
        required length: Count<1>,
    }
}

table! {
    /// A search and its replacement.
    RegexTable "`regex`" {
        required find: Text,
        /// `$1` stands for the first group.
        required replace: AnyText,
    }
}

table! {
    /// JSON, path by path.
    JsonTable "`json`" {
        /// Paths such as "user.email", "items[*].name", "*.phone", "mail_*" or "**.email" for any depth, each with its transformer,
        /// for the value there and all that lies in it. The path that leads nearest to a value counts.
        optional paths: Map<AsForm>,
        /// What happens to every other value: "format" unless given, by which booleans become false, or "null", or "keep", which needs a reason.
        optional rest: Word<RestForm>,
    }
}

table! {
    /// Columns that hold the same things.
    DomainTable "a domain" {
        required columns: List<Text>,
    }
}

/// Transformers that need no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Keep,
    Null,
    Format,
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
    Date,
    Integer,
    Noise,
    Ip,
    Mac,
    Uuid,
    Url,
    UserAgent,
    Text,
    Hash,
    Json,
}

impl Words for Plain {
    const WHAT: &'static str = "transformer";

    fn words() -> Vec<(&'static str, Self)> {
        super::reference::TRANSFORMERS.iter().filter_map(|entry| Some((entry.word, entry.plain?))).collect()
    }
}

/// What happens to JSON values without a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RestForm {
    Format,
    Null,
    Keep,
}

impl Words for RestForm {
    const WHAT: &'static str = "way with the rest";

    fn words() -> Vec<(&'static str, Self)> {
        vec![("format", RestForm::Format), ("null", RestForm::Null), ("keep", RestForm::Keep)]
    }
}

impl Words for Locale {
    const WHAT: &'static str = "locale";

    fn words() -> Vec<(&'static str, Self)> {
        Locale::ALL.iter().map(|locale| (locale.name(), *locale)).collect()
    }
}

/// `"env:NAME"`: the variable's name.
#[derive(Debug, Clone)]
pub(super) struct KeyForm(pub String);

impl Read for KeyForm {
    fn form() -> String {
        "\"env:NAME\", with the name of an environment variable".to_owned()
    }

    /// Anything, so that whatever stands there is kept out of the message.
    fn fits(_: &Node) -> bool {
        true
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        if let Node::Text(text) = &node.value
            && let Some(name) = text.strip_prefix("env:")
            && is_variable(name)
        {
            return Some(KeyForm(name.to_owned()));
        }
        problems.black_out(node.at);
        problems.raise(node.at, Mistake::Secret { form: Self::form() });
        None
    }
}

inline_schema!([] KeyForm, |_generator| json!({ "type": "string", "pattern": "^env:[A-Za-z_][A-Za-z0-9_]*$" }));

/// `"1%"`, `500`, `"all"` or `"none"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsForm(pub Rows);

impl Read for RowsForm {
    fn form() -> String {
        "a share such as \"1%\", a number of rows, \"all\" or \"none\"".to_owned()
    }

    fn fits(node: &Node) -> bool {
        matches!(node, Node::Text(_) | Node::Integer(_))
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        let rows = match &node.value {
            Node::Integer(number) => u64::try_from(*number).ok().map(Rows::Count),
            Node::Text(text) => match text.as_str() {
                "all" => Some(Rows::All),
                "none" => Some(Rows::None),
                share => percent(share).map(Rows::Share),
            },
            _ => None,
        };
        if rows.is_none() {
            let found = problems.written(node.at).to_owned();
            problems.raise(node.at, Mistake::WrongForm { found, form: Self::form(), hint: None });
        }
        rows.map(RowsForm)
    }
}

inline_schema!([] RowsForm, |_generator| json!({ "anyOf": [
    { "type": "integer", "minimum": 0 },
    { "type": "string", "pattern": "^(all|none|[0-9.]+ *%)$" },
] }));

/// A share of something, from more than nothing to all of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShareForm(pub f64);

impl Read for ShareForm {
    fn form() -> String {
        "a share such as \"10%\"".to_owned()
    }

    fn fits(node: &Node) -> bool {
        matches!(node, Node::Text(_))
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        let Node::Text(text) = &node.value else { return None };
        let share = percent(text);
        if share.is_none() {
            let found = format!("\"{text}\"");
            problems.raise(node.at, Mistake::WrongForm { found, form: Self::form(), hint: None });
        }
        share.map(ShareForm)
    }
}

inline_schema!([] ShareForm, |_generator| json!({ "type": "string", "pattern": "^[0-9.]+ *%$" }));

/// Of one; None if it is not above 0 and at most 100 percent.
fn percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim_end();
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = number.parse::<f64>().ok().filter(|_| plain)? / 100.0;
    (share > 0.0 && share <= 1.0).then_some(share)
}
