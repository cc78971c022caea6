use super::{Part, Scanner, Unfinished, Word, words};

/// Each part as one line: `1: TEXT`, `1\ META`, `# COMMENT`.
fn parts(script: &str) -> (Vec<String>, Option<Unfinished>) {
    // A tiny buffer: every state must survive a refill.
    let mut scanner = Scanner::new(std::io::BufReader::with_capacity(3, script.as_bytes()));
    let mut found = Vec::new();
    while let Some(part) = scanner.next_part().unwrap() {
        found.push(match part {
            Part::Statement { text, line, .. } => format!("{line}: {text}"),
            Part::Meta { text, line } => format!("{line}\\ {text}"),
            Part::Comment { text } => format!("# {text}"),
        });
    }
    (found, scanner.unfinished())
}

fn check(script: &str, expected: &[&str]) {
    let (found, unfinished) = parts(script);
    assert_eq!(found, expected);
    assert_eq!(unfinished, None, "{script}");
}

#[test]
fn statements_end_where_psql_ends_them() {
    check("SELECT 1; SELECT\n2;", &["1: SELECT 1", "1: SELECT\n2"]);
    check("SELECT ';', \";\", E'\\';', 'a''b;';", &["1: SELECT ';', \";\", E'\\';', 'a''b;'"]);
    check("SELECT E'it''s\\';' ;SELECT 2;", &["1: SELECT E'it''s\\';' ", "1: SELECT 2"]);
    check("SELECT 'a\\'; SELECT 2;", &["1: SELECT 'a\\'", "1: SELECT 2"]);
    check("DO $a$ BEGIN; $b$;$ $a; END $a$; SELECT $1;", &["1: DO $a$ BEGIN; $b$;$ $a; END $a$", "1: SELECT $1"]);
    check("DO $$;$x$;$$;", &["1: DO $$;$x$;$$"]);
    check(
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);",
        &["1: CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)"],
    );
    check("SELECT /* ; /* ; */ */ 1 -- ;\n;", &["1: SELECT /* ; /* ; */ */ 1 -- ;\n"]);
    check("SELECT 1 /**/*2;", &["1: SELECT 1 /**/*2"]);
}

#[test]
fn comments_meta_lines_and_copy_data_are_told_apart() {
    check(
        "-- Dumped from database version 15.1\n\\restrict abc\nCOPY t (a) FROM stdin;\n1;\n\\.x\n'\n\\.\nSELECT 1;\n\\connect shop",
        &[
            "# -- Dumped from database version 15.1",
            "2\\ \\restrict abc",
            "3: COPY t (a) FROM stdin",
            "8: SELECT 1",
            "9\\ \\connect shop",
        ],
    );
    check("COPY t FROM stdin;\n\\.\nSELECT 1;", &["1: COPY t FROM stdin", "3: SELECT 1"]);
}

#[test]
fn what_was_cut_short_is_noticed() {
    for (script, expected) in [
        ("SELECT 1", Unfinished::Statement { line: 1 }),
        ("SELECT 1;\nSELECT 'a", Unfinished::Statement { line: 2 }),
        ("DO $$ x", Unfinished::Statement { line: 1 }),
        ("COPY t FROM stdin;\n1\t2\n3", Unfinished::CopyData { line: 1 }),
        ("COPY t FROM stdin;\n1\t2\n", Unfinished::CopyData { line: 1 }),
    ] {
        assert_eq!(parts(script).1, Some(expected), "{script}");
    }
    assert_eq!(parts("COPY t FROM stdin;\n1\n\\.").1, None);
}

#[test]
fn words_fold_and_unquote_as_the_server_does() {
    let expected = [
        Word::Plain("alter".into()),
        Word::Plain("table".into()),
        Word::Quoted("My\"T".into()),
        Word::Plain("owner".into()),
        Word::Plain("to".into()),
        Word::Text("it's".into()),
        Word::Sign(";".into()),
    ];
    assert_eq!(words("ALTER /* x */ TABLE \"My\"\"T\" Owner TO 'it''s';"), expected);
}
