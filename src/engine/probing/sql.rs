//! Text of the statements that probes send: every value a literal, or `$n` for people to read. Names come quoted.

use std::fmt::Write as _;

use super::dialect::{self, Form};
use super::table::Column;
use crate::engine::EngineKind;

/// SQL being written.
#[derive(Debug)]
pub struct Sql {
    engine: EngineKind,
    text: String,
    /// Values given so far, when they are shown as `$n`.
    shown: Option<usize>,
}

impl Sql {
    /// With values in place, to be sent.
    pub fn to_send(engine: EngineKind) -> Sql {
        Sql { engine, text: String::new(), shown: None }
    }

    /// With `$1`, `$2` … for values, to be shown.
    pub fn to_show(engine: EngineKind) -> Sql {
        Sql { shown: Some(0), ..Sql::to_send(engine) }
    }

    pub fn engine(&self) -> EngineKind {
        self.engine
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

    pub fn value(&mut self, form: Form, value: Option<&str>) -> &mut Sql {
        match (&mut self.shown, value) {
            (Some(count), _) => {
                *count += 1;
                write!(self.text, "${count}").expect("writing to a string does not fail");
            }
            (None, Some(value)) => self.text.push_str(&dialect::literal(self.engine, form, value)),
            (None, None) => self.text.push_str("NULL"),
        }
        self
    }

    pub fn values<'a>(&mut self, values: impl IntoIterator<Item = (Form, Option<&'a str>)>) -> &mut Sql {
        for (nth, (form, value)) in values.into_iter().enumerate() {
            if nth > 0 {
                self.text.push_str(", ");
            }
            self.value(form, value);
        }
        self
    }

    /// ` WHERE a = … AND b = …`; the columns are of a key, so no value is NULL.
    pub fn key<'a>(&mut self, key: impl IntoIterator<Item = (&'a Column, Option<&'a str>)>) -> &mut Sql {
        for (nth, (column, value)) in key.into_iter().enumerate() {
            self.text.push_str(if nth == 0 { " WHERE " } else { " AND " });
            self.text.push_str(&column.quoted);
            self.text.push_str(" = ");
            self.value(column.form, value);
        }
        self
    }

    pub fn finish(self) -> String {
        self.text
    }
}
