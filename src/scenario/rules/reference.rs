//! The transformers as a table, and the reference page of the rules file.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::grammar::Plain;

/// A rules file that uses every key; the page shows it.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A transformer, for the page and for the words that the file takes.
pub(super) struct Entry {
    pub word: &'static str,
    /// None: it needs parameters.
    pub plain: Option<Plain>,
    /// Two different values never become one.
    pub unique: bool,
    pub about: &'static str,
}

const fn entry(word: &'static str, plain: Plain, unique: bool, about: &'static str) -> Entry {
    Entry { word, plain: Some(plain), unique, about }
}

const fn with_parameters(word: &'static str, about: &'static str) -> Entry {
    Entry { word, plain: None, unique: false, about }
}

pub(super) const TRANSFORMERS: &[Entry] = &[
    entry("keep", Plain::Keep, true, "stays as it is; needs a `reason`"),
    entry("null", Plain::Null, false, "NULL, where the column takes it"),
    entry(
        "format",
        Plain::Format,
        true,
        "letters become letters of the same alphabet and case, digits digits; anything else, and the length, stays",
    ),
    entry(
        "email",
        Plain::Email,
        true,
        "an address of the same shape below `.test`, where no mail is delivered; within five characters of the column's length, without \
         `.test`",
    ),
    entry(
        "phone",
        Plain::Phone,
        true,
        "other digits, written in the same way; the country code and leading zeros stay",
    ),
    entry("first_name", Plain::FirstName, false, "a first name from the locale's list"),
    entry("last_name", Plain::LastName, false, "a last name from the locale's list"),
    entry("name", Plain::Name, false, "first and last name, as many as fit"),
    entry("street", Plain::Street, false, "a street and a number"),
    entry("city", Plain::City, false, "a city"),
    entry("postcode", Plain::Postcode, true, "as `format`"),
    entry("company", Plain::Company, false, "a company"),
    entry("card", Plain::Card, true, "a card number: the first digit stays, the check digit fits where it did before"),
    entry("iban", Plain::Iban, true, "an account of the same country with right check digits"),
    entry(
        "date",
        Plain::Date,
        true,
        "dates and timestamps moved by whole days, the time of day stays: each date by itself, with `per` by entity, and then not for unique \
         columns; zero dates, infinity, the first day and the last stay",
    ),
    entry("integer", Plain::Integer, true, "another whole number of as many digits, which fits wherever the value did"),
    entry("noise", Plain::Noise, false, "a number changed by at most a share of itself"),
    entry("ip", Plain::Ip, true, "another address of the same family; private addresses stay private, masks stay"),
    entry("mac", Plain::Mac, true, "another hardware address, written in the same way"),
    entry("uuid", Plain::Uuid, true, "another UUID of the same version, written in the same way"),
    entry("url", Plain::Url, true, "as `format`, with the host below `.test`; the scheme stays"),
    entry("user_agent", Plain::UserAgent, false, "a user agent from a list"),
    entry("text", Plain::Text, false, "filler words of about the same length, line by line"),
    entry("hash", Plain::Hash, false, "32 hexadecimal digits, or `length`, keyed; short ones can meet"),
    entry(
        "json",
        Plain::Json,
        false,
        "each value by its path; without `paths`, everything as `format`, with keys that are no field's name; booleans become false",
    ),
    with_parameters("fixed", "the same text for every value"),
    with_parameters("regex", "what an expression finds is replaced"),
    with_parameters("template", "text with `${NAME}` for what other transformers make of the value"),
];

/// The page: an example, the keys of every table, the transformers.
pub fn reference() -> String {
    let mut page = "# The rules file\n\n".to_owned();
    page += "How a snapshot of production is sampled and masked. TOML; an unknown key is an error. For editors, its schema is\n\
             [rules.schema.json](rules.schema.json).\n\n";
    write!(page, "```toml\n{EXAMPLE}```\n").expect("a string takes everything");
    page += "\nOf several masks that meet a column, one with its exact `column` counts before one with `*`, then `name`, then `type`; of the \
             same sort, one with\na schema, then the first. Columns that a foreign key, a reference or a domain ties together are masked \
             alike by a mask on any of\nthem; where several have masks that do different things, that is an error.\n\nThe same value becomes the same wherever the same transformer stands, in all tables and in every run with the same \
             key, so that joins\nhold which nobody declared; but for `date`, which moves dates alike only in columns that are tied together. NULL stays NULL and an empty value empty. Values that are equal but for case \
             stay so.\n\n## Transformers\n\n| `as` | may stand on unique columns and keys | what a value becomes |\n|---|---|---|\n";
    for entry in TRANSFORMERS {
        let unique = if entry.unique { "yes" } else { "no" };
        writeln!(page, "| `{}` | {unique} | {} |", entry.word, entry.about).expect("a string takes everything");
    }
    page += "\n## Keys\n";
    let schema = super::json_schema();
    table(&mut page, "The file", &schema);
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        table(&mut page, name.strip_suffix("Table").unwrap_or(name), definition);
    }
    page
}

fn table(page: &mut String, title: &str, schema: &Value) {
    let none = Map::new();
    let about = schema["description"].as_str().unwrap_or_default();
    write!(page, "\n### {title}\n\n{about}\n\n| key | what it says |\n|---|---|\n").expect("a string takes everything");
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, form) in schema["properties"].as_object().unwrap_or(&none) {
        let mark = if required.contains(&key.as_str()) { " (required)" } else { "" };
        let about = form["description"].as_str().unwrap_or_default().replace('|', "\\|");
        writeln!(page, "| `{key}`{mark} | {about} |").expect("a string takes everything");
    }
}
