//! The statements of a probe's operation, with its values.

use std::sync::Arc;

use super::dialect::{self, Form};
use super::script::{Insert, Operate, Script, Target, Values};
use super::sql::Sql;
use super::table::{Column, Identity, Table};

impl Script {
    /// All of the operation, or all up to the key of the row that was inserted for it.
    pub(super) fn first(&mut self, mut sql: Sql, row: usize, second: Option<usize>) -> Sql {
        // Taken out and put back, so that the generator can be borrowed beside it.
        let none = Operate::Custom { engine: sql.engine(), sql: String::new(), commit: false };
        let operate = std::mem::replace(&mut self.operate, none);
        let (begin, checked_and_undone) = (dialect::begin(sql.engine()), dialect::checked_and_undone(sql.engine()));
        match &operate {
            Operate::Read { columns, rows } => {
                let table = self.table();
                sql.push("SELECT ").list(quoted(table, columns)).push(" FROM ").push(&table.quoted);
                match rows {
                    Some(rows) => sql.key(self.key_of(&rows[row])),
                    None => sql.push(" LIMIT 1"),
                };
            }
            Operate::Insert(insert) => {
                sql.push(begin);
                for row in std::iter::once(row).chain(second) {
                    sql.push("; ");
                    self.insert(&mut sql, insert, row);
                }
                sql.push(checked_and_undone);
            }
            Operate::Update { target: Target::Inserted(insert), .. } | Operate::Delete(Target::Inserted(insert)) => {
                sql.push(begin).push("; ");
                let values = self.insert(&mut sql, insert, row);
                self.ask_for_key(&mut sql, insert, &values);
            }
            Operate::Update { column, changes, target: Target::Existing(rows) } => {
                sql.push(begin).push("; ");
                let value = value_for(rows, row, *column, *changes);
                self.update(&mut sql, *column, value, self.key_of(&rows[row]));
            }
            Operate::Delete(Target::Existing(rows)) => {
                sql.push(begin).push("; ");
                self.delete(&mut sql, self.key_of(&rows[row]));
                sql.push(checked_and_undone);
            }
            Operate::Custom { sql: text, commit, .. } => {
                // On lines of its own: it may end in a comment.
                sql.push(begin).push(";\n").push(text).push("\n");
                sql.push(if *commit { ";\nCOMMIT" } else { checked_and_undone });
            }
        }
        self.operate = operate;
        sql
    }

    /// The rest, on the row whose key the server gave.
    pub(super) fn second(&self, mut sql: Sql, key: &[Option<String>], row: usize) -> Sql {
        let columns = self.key().iter().map(|&each| &self.table().columns[each]);
        let key = columns.zip(key.iter().map(Option::as_deref));
        match &self.operate {
            Operate::Update { column, changes, target } => {
                let value = value_for(target.rows(), row, *column, *changes);
                self.update(&mut sql, *column, value, key);
            }
            _ => {
                self.delete(&mut sql, key);
                sql.push(dialect::checked_and_undone(self.engine()));
            }
        }
        sql
    }

    /// Returns the values that it names, in the order of the insert's columns.
    fn insert(&mut self, sql: &mut Sql, insert: &Insert, row: usize) -> Vec<Option<String>> {
        let table = Arc::clone(self.table.as_ref().expect("inserts are of a table"));
        let values = &insert.rows[row];
        if insert.replaces {
            self.delete(sql, self.key_of(values));
            sql.push("; ");
        }
        sql.push("INSERT INTO ").push(&table.quoted);
        if insert.columns.is_empty() {
            sql.push(dialect::all_defaults(sql.engine()));
            return Vec::new();
        }
        sql.push(" (").list(quoted(&table, &insert.columns)).push(")");
        if insert.columns.iter().any(|&each| table.columns[each].identity == Identity::Always) {
            sql.push(" OVERRIDING SYSTEM VALUE");
        }
        let given: Vec<Option<String>> = insert
            .columns
            .iter()
            .map(|&each| match &values[each] {
                // NULLs are never equal, so they need not be new.
                Some(value) if insert.fresh.contains(&each) => {
                    table.columns[each].kind.fresh(value, insert.style, &mut self.rng).or_else(|| Some(value.clone()))
                }
                value => value.clone(),
            })
            .collect();
        let forms = insert.columns.iter().map(|&each| table.columns[each].form);
        sql.push(" VALUES (").values(forms.zip(given.iter().map(Option::as_deref))).push(")");
        given
    }

    /// The key of the row that was inserted just now, as one row of texts.
    fn ask_for_key(&self, sql: &mut Sql, insert: &Insert, given: &[Option<String>]) {
        let table = self.table();
        if dialect::has_returning(sql.engine()) {
            let key: Vec<String> = self.key().iter().map(|&each| table.columns[each].as_text()).collect();
            sql.push(" RETURNING ").list(key.iter().map(String::as_str));
            return;
        }
        sql.push("; SELECT ");
        for (nth, column) in self.key().iter().enumerate() {
            sql.push(if nth > 0 { ", " } else { "" });
            match insert.columns.iter().position(|named| named == column) {
                Some(position) => sql.value(Form::Quoted, given[position].as_deref()),
                // Whatever else a key is made of is named: see `recipes`.
                None => sql.push("LAST_INSERT_ID()"),
            };
        }
    }

    fn update<'a>(
        &self,
        sql: &mut Sql,
        column: usize,
        value: Option<&str>,
        key: impl IntoIterator<Item = (&'a Column, Option<&'a str>)>,
    ) {
        let table = self.table();
        sql.push("UPDATE ").push(&table.quoted).push(" SET ").push(&table.columns[column].quoted).push(" = ");
        let undone = dialect::checked_and_undone(sql.engine());
        sql.value(table.columns[column].form, value).key(key).push(undone);
    }

    fn delete<'a>(&self, sql: &mut Sql, key: impl IntoIterator<Item = (&'a Column, Option<&'a str>)>) {
        sql.push("DELETE FROM ").push(&self.table().quoted).key(key);
    }

    fn key_of<'a>(&'a self, values: &'a Values) -> impl Iterator<Item = (&'a Column, Option<&'a str>)> {
        self.key().iter().map(|&each| (&self.table().columns[each], values[each].as_deref()))
    }
}

/// What a column is set to.
fn value_for(rows: &[Values], row: usize, column: usize, changes: bool) -> Option<&str> {
    let own = &rows[row][column];
    let others = rows[row..].iter().chain(&rows[..row]).map(|other| &other[column]);
    let another = others.filter(|_| changes).find(|other| *other != own);
    another.unwrap_or(own).as_deref()
}

fn quoted<'a>(table: &'a Table, columns: &'a [usize]) -> impl Iterator<Item = &'a str> {
    columns.iter().map(|&each| table.columns[each].quoted.as_str())
}
