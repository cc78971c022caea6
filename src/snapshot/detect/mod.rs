//! Which columns hold personal data, by their names and by a sample of their values, and which of them no rule decides about.
//!
//! It fails closed: what cannot be shown to be clean is undecided. What is said of a column never holds a value of its.

mod draft;
mod names;
mod numbers;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::names::by_name;
use self::values::Seen;
use super::mask::{Column, ColumnName, EXACT, Kind, Table, domains, rule};
use crate::scenario::rules::{Mask, Rules, Transform};

pub use self::draft::draft;

/// What a column may hold of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Personal {
    Name,
    FirstName,
    LastName,
    Email,
    Phone,
    Street,
    City,
    Postcode,
    Birth,
    Card,
    Iban,
    NationalId,
    /// Of a machine: IP or hardware.
    Address,
    Device,
    Location,
    Credential,
    /// Health, origin, belief, income.
    Sensitive,
    Company,
    UserAgent,
    Url,
    FreeText,
    Document,
    Binary,
    /// Of a type into which nobody looks here.
    Opaque,
    /// Of which too few values were seen.
    Unseen,
}

impl Personal {
    pub fn described(self) -> &'static str {
        match self {
            Personal::Name => "names",
            Personal::FirstName => "first names",
            Personal::LastName => "last names",
            Personal::Email => "mail addresses",
            Personal::Phone => "phone numbers",
            Personal::Street => "postal addresses",
            Personal::City => "places",
            Personal::Postcode => "postcodes",
            Personal::Birth => "dates of birth",
            Personal::Card => "card numbers",
            Personal::Iban => "bank accounts",
            Personal::NationalId => "national numbers",
            Personal::Address => "addresses of machines",
            Personal::Device => "devices",
            Personal::Location => "locations",
            Personal::Credential => "passwords, keys or tokens",
            Personal::Sensitive => "health, origin, belief or income",
            Personal::Company => "companies",
            Personal::UserAgent => "user agents",
            Personal::Url => "web addresses",
            Personal::FreeText => "free text",
            Personal::Document => "JSON",
            Personal::Binary => "binary data",
            Personal::Opaque => "values of a type that cannot be looked into",
            Personal::Unseen => "text of which too little was seen",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Nothing shows that it is not.
    Possible,
    Likely,
    /// Name and values say so, or values that could hardly be anything else.
    Certain,
}

impl Confidence {
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Possible => "possible",
            Confidence::Likely => "likely",
            Confidence::Certain => "certain",
        }
    }
}

/// What a column looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    pub personal: Personal,
    pub confidence: Confidence,
    /// "its name", "12 of 200 values".
    pub why: String,
}

/// A column that looks personal, and about which no rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    pub column: ColumnName,
    pub looks: Looks,
}

/// Some of a column's values, in the text form of the server.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Without NULLs.
    pub values: Vec<String>,
    /// These are all that the column holds.
    pub whole: bool,
}

pub type Samples = BTreeMap<ColumnName, Sample>;

/// Every column that looks personal, or that could not be shown to be clean, and for which the rules say neither how it is masked nor why it
/// is kept. A mask on any column of a domain decides about all of it, and so does a reason to keep one that the rules name exactly. In the
/// tables' order.
pub fn undecided(tables: &[Table], rules: &Rules, samples: &Samples) -> Vec<Undecided> {
    let mut found = Vec::new();
    for domain in domains(rules, tables) {
        let of = |at: (usize, usize)| (&tables[at.0], &tables[at.0].columns[at.1]);
        let rule_of = |at: &(usize, usize)| rule(rules, of(*at).0, of(*at).1);
        let decides = |(rank, mask): (u8, &Mask)| match mask.transform {
            // NULL is for a column alone.
            Transform::Null => false,
            // Whoever keeps what happens to be called so did not think of what is tied to it.
            Transform::Keep => rank <= EXACT,
            _ => true,
        };
        if domain.iter().filter_map(rule_of).any(decides) {
            continue;
        }
        for at in domain.iter().filter(|at| rule_of(at).is_none()) {
            let (table, column) = of(*at);
            let name =
                ColumnName { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() };
            if let Some(looks) = look(table, column, samples.get(&name)) {
                found.push((*at, Undecided { column: name, looks }));
            }
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, undecided)| undecided).collect()
}

/// What a column looks like; None if it was shown to hold nothing personal.
pub fn look(table: &Table, column: &Column, sample: Option<&Sample>) -> Option<Looks> {
    let nothing = Sample::default();
    let sample = sample.unwrap_or(&nothing);
    look_at(&table.name, &column.name, &column.kind, &column.type_name, sample)
}

fn look_at(table: &str, column: &str, kind: &Kind, type_name: &str, sample: &Sample) -> Option<Looks> {
    let named = by_name(table, column).filter(|personal| can_be(kind, column, *personal));
    let seen = match kind {
        Kind::Boolean | Kind::Time => return None,
        Kind::Array(element) => {
            let values = sample.values.iter().flat_map(|array| elements(array)).collect();
            return look_at(table, column, element, type_name, &Sample { values, whole: sample.whole });
        }
        Kind::Ip | Kind::Mac => return Some(looks(Personal::Address, Confidence::Certain, "its type")),
        Kind::Bytes => Some(looks(Personal::Binary, Confidence::Possible, "its type")),
        Kind::Other => of_other(type_name),
        Kind::Json => values::documents(&sample.values, sample.whole),
        Kind::Text => Seen::of(&sample.values).text(sample.whole),
        Kind::Integer { .. } | Kind::Numeric => Seen::of(&sample.values).numbers(),
        _ => None,
    };
    match (named, seen) {
        (None, seen) => seen,
        (Some(personal), Some(seen)) if agree(personal, seen.personal) => {
            let why = format!("its name, and {}", seen.why);
            Some(Looks { personal, confidence: Confidence::Certain, why })
        }
        // Values that could hardly be anything else say more than a name does.
        (Some(_), Some(seen)) if seen.confidence == Confidence::Certain => Some(seen),
        (Some(personal), _) => Some(looks(personal, Confidence::Likely, "its name")),
    }
}

fn looks(personal: Personal, confidence: Confidence, why: &str) -> Looks {
    Looks { personal, confidence, why: why.to_owned() }
}

fn agree(named: Personal, seen: Personal) -> bool {
    let names = [Personal::Name, Personal::FirstName, Personal::LastName];
    named == seen || (names.contains(&named) && names.contains(&seen))
}

/// Whether a column of that kind can hold what its name says.
fn can_be(kind: &Kind, column: &str, personal: Personal) -> bool {
    let key = column.to_lowercase().ends_with("id");
    match kind {
        Kind::Text | Kind::Json | Kind::Array(_) | Kind::Bytes | Kind::Other => true,
        Kind::Integer { .. } | Kind::Numeric | Kind::Float => match personal {
            // Anything else in a number is a key of somewhere else.
            Personal::NationalId | Personal::Device => true,
            Personal::Phone
            | Personal::Card
            | Personal::Iban
            | Personal::Postcode
            | Personal::Location
            | Personal::Sensitive
            | Personal::Birth
            | Personal::Credential => !key,
            _ => false,
        },
        Kind::Date | Kind::Timestamp | Kind::UnixTimestamp => personal == Personal::Birth,
        Kind::Uuid => matches!(personal, Personal::Credential | Personal::Device),
        Kind::Enum(_) => personal == Personal::Sensitive,
        Kind::Boolean | Kind::Time | Kind::Ip | Kind::Mac => false,
    }
}

/// Types into which nobody looks, but for those that hold nothing of anybody.
fn of_other(type_name: &str) -> Option<Looks> {
    const PLACES: &[&str] =
        &["point", "geometry", "geography", "polygon", "linestring", "path", "circle", "box", "lseg", "line"];
    const HARMLESS: &[&str] =
        &["range", "interval", "bit", "oid", "pg_lsn", "xid", "cid", "tid", "money", "year", "snapshot"];
    let name = type_name.to_lowercase();
    if PLACES.iter().any(|place| name.contains(place)) {
        return Some(looks(Personal::Location, Confidence::Likely, "its type"));
    }
    let harmless = HARMLESS.iter().any(|harmless| name.contains(harmless));
    (!harmless).then(|| looks(Personal::Opaque, Confidence::Possible, "its type"))
}

/// The elements of an array as Postgres writes it, whatever its depth.
fn elements(array: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut rest = array[array.find('{').unwrap_or(0)..].chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => word.extend(rest.next()),
            '"' => quoted = !quoted,
            '{' | '}' | ',' if !quoted => {
                let element = std::mem::take(&mut word);
                if !element.is_empty() && element != "NULL" {
                    found.push(element);
                }
            }
            c => word.push(c),
        }
    }
    found
}
