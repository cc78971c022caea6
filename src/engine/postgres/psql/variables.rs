//! psql's variables, and those of them that change how psql sends statements.

use std::collections::BTreeMap;

/// Variables by name. Names are case-sensitive.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

/// Why a variable may not have that value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// psql refuses the name itself.
    BadName,
    /// The value would change how statements are sent or what an error does; the only value that is rehearsed.
    OnlyValue(&'static str),
}

/// Variables that change how statements are sent, with the value that psql starts with here. `ON_ERROR_STOP` is on, as a release is
/// run with `psql -X -v ON_ERROR_STOP=1`.
const FIXED: [(&str, &str); 6] = [
    ("AUTOCOMMIT", "on"),
    ("FETCH_COUNT", "0"),
    ("ON_ERROR_ROLLBACK", "off"),
    ("ON_ERROR_STOP", "on"),
    ("SINGLELINE", "off"),
    ("SINGLESTEP", "off"),
];

impl Variables {
    /// What psql starts with, as far as a script can rest on it.
    pub fn new() -> Variables {
        let values = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Variables { values }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Sets one of psql's own: no refusals.
    pub fn set_own(&mut self, name: &str, value: impl Into<String>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// What `\set` does.
    ///
    /// # Errors
    /// If psql refuses the name, or the value is one that is not rehearsed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        if name.is_empty() || !name.bytes().all(is_variable_byte) {
            return Err(Refusal::BadName);
        }
        if let Some((_, only)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
            return if same_setting(only, value) { Ok(()) } else { Err(Refusal::OnlyValue(only)) };
        }
        self.values.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// What `\unset` does.
    ///
    /// # Errors
    /// As [`Variables::set`]: taking away `ON_ERROR_STOP` turns it off.
    pub fn unset(&mut self, name: &str) -> Result<(), Refusal> {
        match FIXED.iter().find(|(fixed, _)| *fixed == name) {
            Some((_, only @ "on")) => Err(Refusal::OnlyValue(only)),
            Some(_) => Ok(()),
            None => {
                self.values.remove(name);
                Ok(())
            }
        }
    }
}

fn same_setting(only: &str, value: &str) -> bool {
    match only {
        "0" => value.is_empty() || value == "0",
        // `\set NAME` alone is on.
        "on" => value.is_empty() || parse_boolean(value) == Some(true),
        _ => parse_boolean(value) == Some(false),
    }
}

/// psql's reading of a boolean: any unique beginning of true, false, yes, no, on, off, or 1 or 0.
pub fn parse_boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == "1" {
        return Some(true);
    }
    (begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0").then_some(false)
}

/// Whether the byte may stand in a variable's name.
pub fn is_variable_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// `:'name'`: a literal, in the escape form where it holds a backslash.
pub fn as_literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if value.contains('\\') { format!(" E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// `:"name"`: an identifier.
pub fn as_identifier(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}
