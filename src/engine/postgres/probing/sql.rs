//! Text of the statements that probes send: every value a literal, or `$n` for people to read. Names come quoted, by the server's own
//! `quote_ident`, which quotes where it must.

use std::fmt::Write as _;

use postgres_protocol::escape::escape_literal;

/// SQL being written.
#[derive(Debug, Default)]
pub struct Sql {
    text: String,
    /// Values given so far, when they are shown as `$n`.
    shown: Option<usize>,
}

impl Sql {
    /// With values in place, to be sent.
    pub fn to_send() -> Sql {
        Sql::default()
    }

    /// With `$1`, `$2` … for values, to be shown.
    pub fn to_show() -> Sql {
        Sql { shown: Some(0), ..Sql::default() }
    }

    pub fn push(&mut self, text: &str) -> &mut Sql {
        self.text.push_str(text);
        self
    }

    pub fn list<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> &mut Sql {
        for (nth, name) in names.into_iter().enumerate() {
            if nth > 0 {
                self.text.push_str(", ");
            }
            self.text.push_str(name);
        }
        self
    }

    pub fn value(&mut self, value: Option<&str>) -> &mut Sql {
        match (&mut self.shown, value) {
            (Some(count), _) => {
                *count += 1;
                write!(self.text, "${count}").expect("writing to a string does not fail");
            }
            (None, Some(value)) => self.text.push_str(&literal(value)),
            (None, None) => self.text.push_str("NULL"),
        }
        self
    }

    pub fn values<'a>(&mut self, values: impl IntoIterator<Item = Option<&'a str>>) -> &mut Sql {
        for (nth, value) in values.into_iter().enumerate() {
            if nth > 0 {
                self.text.push_str(", ");
            }
            self.value(value);
        }
        self
    }

    /// ` WHERE a = … AND b = …`; the columns are of a key, so no value is NULL.
    pub fn key<'a>(&mut self, key: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> &mut Sql {
        for (nth, (column, value)) in key.into_iter().enumerate() {
            self.text.push_str(if nth == 0 { " WHERE " } else { " AND " });
            self.text.push_str(column);
            self.text.push_str(" = ");
            self.value(value);
        }
        self
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// `E''` where there is a backslash, so that it means the same under both settings of `standard_conforming_strings`.
pub fn literal(value: &str) -> String {
    escape_literal(value).trim_start().to_owned()
}
