//! Rules against tables: who is masked how, and what is refused.

use super::*;

fn problems(rules: &str, tables: &[Table]) -> Vec<MaskProblem> {
    let rules = parse(Path::new("rules.toml"), rules).unwrap_or_else(|errors| panic!("{:?}", errors.problems()));
    Masker::new(&rules, KEY, tables).err().map(|errors| errors.problems).unwrap_or_default()
}

fn said(rules: &str, tables: &[Table]) -> Vec<String> {
    problems(rules, tables).iter().map(ToString::to_string).collect()
}

fn name(table: &str, column: &str) -> ColumnName {
    ColumnName { schema: "public".into(), table: table.into(), column: column.into() }
}

/// Users with a unique address, orders that refer to it, and letters that nobody declared to.
fn tables() -> Vec<Table> {
    let int = Kind::Integer { bytes: 4, unsigned: false };
    let email = Column { unique: true, nullable: false, length: Some(60), ..column("email", Kind::Text) };
    let refers = Column { references: vec![name("users", "email")], ..column("user_email", Kind::Text) };
    vec![
        table("users", vec![column("id", int.clone()), email, column("born", Kind::Date), column("name", Kind::Text)]),
        table("orders", vec![column("no", int), refers]),
        table("letters", vec![column("to", Kind::Text)]),
    ]
}

fn masked(rules: &str, tables: &[Table], of: &str, row: &[&str]) -> Vec<String> {
    let rules = parse(Path::new("rules.toml"), rules).unwrap();
    let masker = Masker::new(&rules, KEY, tables).unwrap();
    let mut fields: Vec<_> = row.iter().map(|text| Some(text.as_bytes().to_vec())).collect();
    if let Some(mut table) = masker.table("public", of) {
        table.row(&mut fields);
    }
    fields.into_iter().map(|field| field.map_or("NULL".into(), |field| String::from_utf8(field).unwrap())).collect()
}

#[test]
fn joins_hold() {
    let tables = tables();
    let rules =
        "[[mask]]\ncolumn = \"users.email\"\nas = \"email\"\n[[domain]]\ncolumns = [\"users.email\", \"letters.to\"]\n";
    let user = masked(rules, &tables, "users", &["1", "jane@corp.com", "1980-01-01", "Jane"]);
    let order = masked(rules, &tables, "orders", &["7", "jane@corp.com"]);
    let letter = masked(rules, &tables, "letters", &["jane@corp.com"]);
    assert_ne!(user[1], "jane@corp.com");
    assert_eq!([&user[1], &user[1]], [&order[1], &letter[0]]);
    assert_eq!([&user[0], &user[2], &user[3]], ["1", "1980-01-01", "Jane"]);
    assert_eq!(order[0], "7");
    // A reference of the rules file ties as well, and so does the shortest column's length.
    let rules = "[[mask]]\ncolumn = \"users.email\"\nas = \"email\"\n[[reference]]\nfrom = \"letters.to\"\nto = \"users.email\"\n";
    let long = format!("{}@corp.com", "x".repeat(50));
    let user = masked(rules, &tables, "users", &["1", &long, "1980-01-01", "Jane"]);
    assert_eq!(user[1].chars().count(), 59);
    assert_eq!(masked(rules, &tables, "letters", &[&long])[0], user[1]);
}

#[test]
fn a_table_without_a_mask_has_no_masker() {
    let rules = "[[mask]]\ncolumn = \"users.name\"\nas = \"name\"\n[[mask]]\ncolumn = \"orders.no\"\nas = \"keep\"\nreason = \"numbers\"\n";
    let masker = Masker::new(&parse(Path::new("r"), rules).unwrap(), KEY, &tables()).unwrap();
    assert!(masker.table("public", "orders").is_none());
    assert!(masker.table("other", "users").is_none());
    assert_eq!(masker.table("public", "users").unwrap().masked().collect::<Vec<_>>(), [(3, "name")]);
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&masker);
}

#[test]
fn the_exact_rule_counts() {
    let tables = tables();
    let rules = "[[mask]]\ntype = \"text\"\nas = { fixed = \"t\" }\n[[mask]]\nname = \"n*\"\nas = { fixed = \"n\" }\n\
                 [[mask]]\ncolumn = \"users.n*\"\nas = { fixed = \"c\" }\n[[mask]]\ncolumn = \"users.name\"\nas = { fixed = \"e\" }\n\
                 [[mask]]\ncolumn = [\"users.email\", \"orders.user_email\", \"users.id\", \"users.born\", \"orders.no\"]\nas = \"keep\"\nreason = \"r\"\n";
    assert_eq!(masked(rules, &tables, "users", &["1", "e", "d", "x"])[3], "e");
    assert_eq!(masked(rules, &tables, "letters", &["x"])[0], "t");
}

#[test]
fn what_would_break_a_column_is_refused() {
    #[track_caller]
    fn check(mask: &str, wanted: &str) {
        let said = said(&format!("[[mask]]\n{mask}\n"), &tables());
        assert!(said.len() == 1 && said[0].contains(wanted), "{mask}: {said:#?}");
    }
    check("column = \"users.emial\"\nas = \"email\"", "no column is called users.emial, which a mask on line 1");
    check("column = \"users.email\"\nas = \"null\"", "takes no NULL");
    check("column = \"users.id\"\nas = \"email\"", "holds whole numbers, and `email` on line 1");
    check("column = \"users.born\"\nas = \"format\"", "holds dates");
    check("column = \"users.id\"\nas = { fixed = \"2147483648\" }", "does not take the value");
    check("column = \"users.born\"\nas = { date = { per = \"idd\" } }", "has no column idd");
    for transform in
        ["\"first_name\"", "\"hash\"", "\"noise\"", "\"text\"", "{ fixed = \"x\" }", "{ template = \"${email}\" }"]
    {
        let said = said(&format!("[[mask]]\ncolumn = \"users.email\"\nas = {transform}\n"), &tables());
        assert!(said.iter().any(|said| said.contains("users.email has to be unique")), "{said:#?}");
        assert!(said.iter().any(|said| said.contains("orders.user_email is joined")), "{said:#?}");
    }
    let two = "[[mask]]\ncolumn = \"users.email\"\nas = \"email\"\n[[mask]]\ncolumn = \"orders.user_email\"\nas = \"format\"\n";
    assert!(said(two, &tables())[0].contains("hold the same things, and lines 1 and 4"));
    // A mask by a pattern does not give way to a reason to keep what it is tied to.
    let kept = "[[mask]]\ncolumn = \"users.email\"\nas = \"keep\"\nreason = \"r\"\n[[mask]]\nname = \"user_*\"\nas = \"email\"\n";
    assert!(said(kept, &tables())[0].contains("users.email and public.orders.user_email hold the same things"));
    let schema = "[[mask]]\ncolumn = \"users.name\"\nas = { fixed = \"a\" }\n[[mask]]\ncolumn = \"public.users.name\"\nas = { fixed = \"b\" }\n";
    assert_eq!(masked(schema, &tables(), "users", &["1", "e", "1980-01-01", "x"])[3], "b");
    for (rules, wanted) in [
        ("[[mask]]\nname = [\"email\", \"emial\"]\nas = \"email\"\n", "no column is called emial, which line 1"),
        ("\n[[mask]]\ntype = \"citext\"\nas = \"email\"\n", "no column has the type citext, which line 2"),
        (
            "[sample.tables]\nusers = \"all\"\n\"public.user\" = \"all\"\n",
            "no table is called public.user, which line 3",
        ),
        (
            "[[reference]]\nfrom = \"letters.from\"\nto = \"users.email\"\n",
            "no column is called letters.from, which a reference on line 1",
        ),
    ] {
        let said = said(rules, &tables());
        assert!(said.len() == 1 && said[0].contains(wanted), "{said:#?}");
    }
    let domain = "[[domain]]\ncolumns = [\"users.email\", \"letter.to\"]\n";
    assert_eq!(
        said(domain, &tables()),
        ["no column is called letter.to, which a domain on line 1 of the rules file names"]
    );
    let short = Masker::new(&parse(Path::new("r"), "[[mask]]\nname = \"x\"\nas = \"email\"").unwrap(), "short", &[]);
    assert!(short.err().unwrap().problems.contains(&MaskProblem::ShortKey));
}

#[test]
fn null_is_for_a_column_alone() {
    let rules =
        "[[mask]]\ncolumn = \"users.email\"\nas = \"email\"\n[[mask]]\ncolumn = \"orders.user_email\"\nas = \"null\"\n";
    assert_eq!(masked(rules, &tables(), "orders", &["7", "jane@corp.com"])[1], "NULL");
    assert!(masked(rules, &tables(), "users", &["1", "jane@corp.com", "1980-01-01", "Jane"])[1].ends_with(".test"));
}

/// Every transformer without parameters, on every kind of column: refused by name, or what it makes is of that kind.
#[test]
fn kinds_take_what_is_made_for_them() {
    let kinds = [
        Kind::Boolean,
        Kind::Time,
        Kind::Bytes,
        Kind::Enum(vec!["a".into()]),
        Kind::Other,
        Kind::Float,
        Kind::Json,
        Kind::Uuid,
        Kind::Ip,
        Kind::Mac,
        Kind::Date,
        Kind::Numeric,
        Kind::Array(Box::new(Kind::Enum(vec!["a".into()]))),
    ];
    let words =
        ["format", "email", "phone", "first_name", "street", "card", "iban", "url", "text", "hash", "user_agent"];
    for kind in kinds {
        for word in words {
            let rules = format!("[[mask]]\ncolumn = \"t.c\"\nas = \"{word}\"\n");
            let found = problems(&rules, &[table("t", vec![column("c", kind.clone())])]);
            assert!(matches!(found.as_slice(), [MaskProblem::NotForKind { .. }]), "{kind:?} {word}: {found:?}");
            assert!(found[0].hint().is_some());
        }
    }
}
