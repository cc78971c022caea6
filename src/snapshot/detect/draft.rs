//! A draft of a rules file for the columns that are undecided: what a person would begin with, and has to read.

use std::fmt::Write;

use super::{Personal, Undecided};
use crate::scenario::rules::{ColumnPattern, Glob, Rules, TablePattern};
use crate::snapshot::mask::{Column, Kind, Table, domains};

/// A mask for each undecided column, or for one of several that hold the same things, which fits its kind and keeps it unique where it is;
/// the text of a rules file. `rules` are those with which the columns are undecided.
pub fn draft(undecided: &[Undecided], rules: &Rules, tables: &[Table]) -> String {
    let mut file = "# Masks for the columns that look personal. Read each: a value that may stay is kept by\n\
                    # as = \"keep\" with a reason.\n"
        .to_owned();
    for domain in domains(rules, tables) {
        let columns = || domain.iter().map(|(table, column)| (&tables[*table], &tables[*table].columns[*column]));
        let open = columns().filter_map(|(table, column)| {
            let is_it = |of: &&Undecided| {
                of.column.schema == table.schema && of.column.table == table.name && of.column.column == column.name
            };
            Some((column, undecided.iter().find(is_it)?))
        });
        // A type leaves less choice than text, and all of a domain are masked alike.
        let chosen = open.max_by_key(|(column, of)| (column.kind != Kind::Text, of.looks.confidence));
        let Some((column, Undecided { column: name, looks })) = chosen else { continue };
        let tied = domain.len() > 1 || columns().any(|(_, column)| column.unique);
        let pattern = ColumnPattern {
            table: TablePattern { schema: Some(Glob::new(&name.schema)), table: Glob::new(&name.table) },
            column: Glob::new(&name.column),
        };
        write!(
            file,
            "\n# {} ({}: {})\n[[mask]]\ncolumn = {}\nas = {}\n",
            looks.personal.described(),
            looks.confidence.name(),
            looks.why,
            toml::Value::from(pattern.to_string()),
            transformer(looks.personal, column, tied),
        )
        .expect("a string takes everything");
    }
    file
}

/// What masks such a column, as the file writes it.
fn transformer(personal: Personal, column: &Column, tied: bool) -> String {
    let element = match &column.kind {
        Kind::Array(element) => element,
        kind => kind,
    };
    let word = match element {
        Kind::Text => text(personal, tied),
        Kind::Integer { .. } | Kind::Numeric => "integer",
        Kind::Float => "noise",
        Kind::Date | Kind::Timestamp | Kind::UnixTimestamp => "date",
        Kind::Uuid => "uuid",
        Kind::Ip => "ip",
        Kind::Mac => "mac",
        Kind::Json if column.kind == Kind::Json => "json",
        _ if column.nullable => "null",
        _ => {
            let fixed = match &column.kind {
                Kind::Array(_) => "{}",
                // All alike: which of them a row had is what nobody should see.
                Kind::Enum(labels) => labels.first().map_or("", String::as_str),
                _ => "",
            };
            return format!("{{ fixed = {} }}", toml::Value::from(fixed));
        }
    };
    format!("\"{word}\"")
}

fn text(personal: Personal, tied: bool) -> &'static str {
    match personal {
        Personal::Email => "email",
        Personal::Phone => "phone",
        Personal::Card => "card",
        Personal::Iban => "iban",
        Personal::Postcode => "postcode",
        Personal::Url => "url",
        Personal::Birth => "date",
        // Whatever is drawn from lists could meet.
        _ if tied => "format",
        Personal::Name => "name",
        Personal::FirstName => "first_name",
        Personal::LastName => "last_name",
        Personal::Street => "street",
        Personal::City => "city",
        Personal::Company => "company",
        Personal::UserAgent => "user_agent",
        Personal::Document => "json",
        Personal::FreeText | Personal::Unseen => "text",
        Personal::Credential => "hash",
        _ => "format",
    }
}
