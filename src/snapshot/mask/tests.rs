//! What holds of masked values, whatever they are: properties over made-up values and tables.

mod kinds;
mod properties;
mod rules;

use std::path::Path;

use super::*;
use crate::scenario::rules::parse;

const KEY: &str = "a key for the tests of masking";

fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        type_name: "text".to_owned(),
        length: None,
        nullable: true,
        unique: false,
        equality: Equality::Letters,
        references: Vec::new(),
    }
}

fn table(name: &str, columns: Vec<Column>) -> Table {
    Table { schema: "public".to_owned(), name: name.to_owned(), columns }
}

/// A masker of one table `t` with one column `c`, and that `as`.
fn masker_of(column: Column, transform: &str, key: &str) -> Masker {
    let rules = format!("[[mask]]\ncolumn = \"t.c\"\nas = {transform}\n");
    let rules = parse(Path::new("rules.toml"), &rules).unwrap_or_else(|errors| panic!("{:?}", errors.problems()));
    Masker::new(&rules, key, &[table("t", vec![column])]).unwrap()
}

/// One column's values.
struct One(TableMasker);

impl One {
    fn of(kind: Kind, length: Option<usize>, transform: &str) -> One {
        One::keyed(kind, length, transform, KEY)
    }

    fn keyed(kind: Kind, length: Option<usize>, transform: &str, key: &str) -> One {
        let column = Column { length, ..column("c", kind) };
        One(masker_of(column, transform, key).table("public", "t").unwrap())
    }

    fn text(transform: &str) -> One {
        One::of(Kind::Text, None, &format!("\"{transform}\""))
    }

    fn mask(&mut self, value: &str) -> String {
        let mut fields = [Some(value.as_bytes().to_vec())];
        self.0.row(&mut fields);
        let [field] = fields;
        String::from_utf8(field.expect("no value becomes NULL here")).unwrap()
    }
}
