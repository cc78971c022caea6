use miette::{GraphicalReportHandler, GraphicalTheme};

use super::grammar::Plain;
use super::pattern::Taken;
use super::reference::TRANSFORMERS;
use super::*;
use crate::scenario::leaf::Words;

fn parsed(text: &str) -> Rules {
    match parse(Path::new("rules.toml"), text) {
        Ok(rules) => rules,
        Err(errors) => panic!("{:#?}", errors.problems()),
    }
}

/// What is said about the text, as a person sees it.
fn said(text: &str) -> String {
    let Err(errors) = parse(Path::new("rules.toml"), text) else { return "nothing is wrong".to_owned() };
    let mut said = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    GraphicalReportHandler::new_themed(theme).with_width(120).render_report(&mut said, &errors).unwrap();
    said.lines().map(str::trim_end).filter(|line| !line.is_empty() && *line != "Error:").collect::<Vec<_>>().join("\n")
}

/// What is said about a mask on one column with that `as`.
fn messages(transform: &str) -> Vec<String> {
    let text = format!("[[mask]]\ncolumn = \"people.email\"\nas = {transform}\n");
    match parse(Path::new("rules.toml"), &text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.problems().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_example_uses_every_key_and_is_right() {
    let rules = parsed(EXAMPLE);
    assert_eq!(rules.key_variable, "MASK_KEY");
    assert_eq!(rules.locale, Locale::De);
    assert_eq!(rules.sample.of("public", "countries"), (Rows::All, Children { depth: 0, most: 50 }));
    assert_eq!(rules.sample.of("audit", "log").0, Rows::None);
    assert_eq!(rules.sample.of("public", "orders"), (Rows::Count(20_000), Children { depth: 2, most: 500 }));
    assert_eq!(rules.sample.of("public", "lines").0, Rows::Share(0.01));
    assert_eq!(rules.references.len(), 3);
    assert!(matches!(&rules.references[2], Reference::Polymorphic { to, .. } if to.len() == 2));
    assert_eq!(rules.masks[3].transform, Transform::Date { days: 400, per: Some("id".into()), together: false });
    assert_eq!((rules.masks[5].locale, rules.masks[6].locale), (Locale::Fr, Locale::De));
    let words: Vec<_> = rules.masks.iter().map(|mask| mask.transform.name()).collect();
    for word in ["template", "regex", "json", "fixed", "keep", "noise", "date", "format", "ip"] {
        assert!(words.contains(&word), "{word}");
    }
}

#[test]
fn nothing_at_all_is_a_file_that_takes_everything_and_masks_nothing() {
    let rules = parsed("");
    assert_eq!(rules.sample.of("public", "users"), (Rows::All, Children { depth: 1, most: 100 }));
    assert_eq!(rules.coverage, Coverage { on: true, budget: 200 });
    assert_eq!(rules.key_variable, KEY_VARIABLE);
    assert!(rules.masks.is_empty());
}

#[test]
fn all_problems_are_told_at_once() {
    let text = "[sampel]\nrows = \"1%\"\n[[mask]]\ncolumn = \"email\"\nas = \"emial\"\n\
                [[mask]]\nname = \"x\"\ntype = \"y\"\nas = \"keep\"\n";
    insta::assert_snapshot!(said(text), @r#"
    × rules.toml: 5 problems
    × unknown key `sampel` in the rules file
     ╭─[rules.toml:1:2]
   1 │ [sampel]
     ·  ──────
   2 │ rows = "1%"
     ╰────
    help: did you mean `sample`?
    × found "email"
     ╭─[rules.toml:4:10]
   3 │ [[mask]]
   4 │ column = "email"
     ·          ───┬───
     ·             ╰── expected "table.column" or "schema.table.column"
   5 │ as = "emial"
     ╰────
    × no transformer is called "emial"
     ╭─[rules.toml:5:6]
   4 │ column = "email"
   5 │ as = "emial"
     ·      ───────
   6 │ [[mask]]
     ╰────
    help: did you mean `email`?
    × a mask says which columns by one of `column`, `name` and `type`
     ╭─[rules.toml:6:1]
   5 │ as = "emial"
   6 │ [[mask]]
     · ────────
   7 │ name = "x"
     ╰────
    help: make a mask of each
    × values stay as they are, and nobody says why
     ╭─[rules.toml:9:6]
   8 │ type = "y"
   9 │ as = "keep"
     ·      ──────
     ╰────
    help: add `reason`, as in reason = "published anyway"
    "#);
}

#[test]
fn a_key_in_the_file_is_refused_and_not_shown() {
    let said = said("key = \"correct horse\"\n[sample]\nseed = -1\n");
    assert!(said.contains("a secret stands in the file"), "{said}");
    assert!(!said.contains("correct"), "{said}");
    assert!(!self::said("key = 123456789\n").contains("123456789"));
}

#[test]
fn what_a_transformer_needs_is_checked() {
    #[track_caller]
    fn check(transform: &str, wanted: &[&str]) {
        assert_eq!(messages(transform), wanted, "{transform}");
    }
    check("\"email\"", &[]);
    check("\"keep\"", &["values stay as they are, and nobody says why"]);
    check("{ json = { rest = \"keep\" } }", &["values stay as they are, and nobody says why"]);
    check("{ json = { paths = { \"a\" = \"keep\" } } }", &["values stay as they are, and nobody says why"]);
    check("{ json = { paths = { \"a[0]\" = \"email\" } } }", &["found \"a[0]\""]);
    check("{}", &["found no transformer"]);
    check("{ fixed = \"x\", hash = { length = 3 } }", &["found `fixed`, `hash`"]);
    check("{ hash = { length = 65 } }", &["found 65"]);
    check("{ date = { days = 0 } }", &["found 0"]);
    check("{ date = { days = 40000 } }", &["found 40000"]);
    check("{ noise = { share = \"0%\" } }", &["found \"0%\""]);
    check("{ regex = { find = \"(\", replace = \"\" } }", &["found \"(\": unclosed group"]);
    check("{ template = \"${frist_name}\" }", &["no transformer is called \"frist_name\""]);
    check("{ template = \"${name\" }", &["found \"${name\""]);
    check("{ tempalte = \"x\" }", &["found no transformer", "unknown key `tempalte` in `as`"]);
}

#[test]
fn references_are_whole() {
    #[track_caller]
    fn check(lines: &str, wanted: &str) {
        let said = said(&format!("[[reference]]\n{lines}\n"));
        assert!(said.contains(wanted), "{lines}: {said}");
    }
    check("from = \"a.b\"\nto = \"c.d\"", "nothing is wrong");
    check("from = [\"a.b\", \"a.c\"]\nto = \"c.d\"", "2 columns refer to 1");
    check("from = [\"a.b\", \"b.c\"]\nto = [\"c.d\", \"c.e\"]", "several tables");
    check("from = \"a.*\"\nto = \"c.d\"", "without `*`");
    check("type = \"a.t\"\nto = { x = \"c.d\" }", "neither a plain reference nor a polymorphic one");
    check("type = \"a.t\"\nid = \"b.i\"\nto = { x = \"c.d\" }", "of two tables");
}

#[test]
fn a_column_has_one_mask() {
    let text = "[[mask]]\ncolumn = \"a.b\"\nas = \"email\"\n[[mask]]\ncolumn = [\"c.d\", \"A.b\"]\nas = \"phone\"\n";
    assert!(said(text).contains("\"a.b\" is masked already, on line 2"), "{}", said(text));
}

#[test]
fn patterns_meet_names() {
    #[track_caller]
    fn check(pattern: &str, meets: &[&str], misses: &[&str]) {
        let pattern = ColumnPattern::parse(pattern).unwrap();
        let met = |name: &&&str| {
            let [schema, table, column] = name.split('/').collect::<Vec<_>>().try_into().unwrap();
            pattern.matches(schema, table, column)
        };
        assert_eq!(meets.iter().find(|name| !met(name)), None);
        assert_eq!(misses.iter().find(met), None);
    }
    check("people.email", &["public/people/email", "x/People/EMAIL"], &["public/people/emails", "public/person/email"]);
    check("hr.people.email", &["hr/people/email"], &["public/people/email"]);
    check("*.*mail*", &["a/b/email", "a/b/mail", "a/b/e_mail_2"], &["a/b/mal"]);
    check("*.a*b*c", &["x/y/abc", "x/y/a_b_b_c", "x/y/abcc"], &["x/y/ab", "x/y/acb", "x/y/ac"]);
    check("\"odd.table\".\"a\"\"b\"", &["x/odd.table/a\"b"], &["odd/table/a"]);
    for wrong in ["", "a", "a..b", "a.b.c.d", "\"a.b", ".a"] {
        assert_eq!(ColumnPattern::parse(wrong), None, "{wrong}");
    }
    let again = ColumnPattern::parse("\"odd.table\".\"a\"\"b\"").unwrap();
    assert_eq!(ColumnPattern::parse(&again.to_string()), Some(again));
}

#[test]
fn json_paths_meet_values() {
    #[track_caller]
    fn check(path: &str, meets: &[&[Taken]], misses: &[&[Taken]]) {
        let parsed = JsonPath::parse(path).unwrap();
        assert_eq!(meets.iter().find(|taken| !parsed.matches(taken)), None, "{path}");
        assert_eq!(misses.iter().find(|taken| parsed.matches(taken)), None, "{path}");
    }
    check("user.email", &[&[Some("user"), Some("email")]], &[&[Some("user")], &[Some("email")]]);
    check("$.items[*].name", &[&[Some("items"), None, Some("name")]], &[&[Some("items"), Some("name")]]);
    check("[*]", &[&[None]], &[&[Some("a")], &[]]);
    check("**.email", &[&[Some("email")], &[Some("a"), None, Some("email")]], &[&[Some("email"), Some("x")]]);
    check("*.a", &[&[Some("x"), Some("a")]], &[&[None, Some("a")]]);
    check("a.**", &[&[Some("a")], &[Some("a"), None, Some("b")]], &[&[Some("b")]]);
}

#[test]
fn the_table_of_transformers_is_what_they_are() {
    for (word, plain) in Plain::words() {
        let (shape, reason) = match plain {
            Plain::Keep => ("\"keep\"".to_owned(), "reason = \"x\"\n"),
            _ => (format!("\"{word}\""), ""),
        };
        let rules = parsed(&format!("[[mask]]\nname = \"x\"\nas = {shape}\n{reason}"));
        let entry = TRANSFORMERS.iter().find(|entry| entry.word == word).unwrap();
        assert_eq!(rules.masks[0].transform.name(), word);
        assert_eq!(rules.masks[0].transform.is_injective(), entry.unique, "{word}");
    }
    for entry in TRANSFORMERS {
        assert!(reference().contains(&format!("| `{}` |", entry.word)));
    }
}

#[test]
fn the_schema_accepts_what_the_reader_does() {
    let as_json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&as_json(EXAMPLE)).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for wrong in [
        "key = \"secret\"",
        "sample.rows = \"many\"",
        "[[mask]]\nname = \"x\"\nas = \"emial\"",
        "[[mask]]\nname = \"x\"",
        "[[mask]]\nname = \"x\"\nas = { noise = {} }",
        "unknown = 1",
    ] {
        assert!(parse(Path::new("rules.toml"), wrong).is_err(), "{wrong}");
        assert!(!validator.is_valid(&as_json(wrong)), "{wrong}");
    }
}
