use std::path::Path;

use super::{Next, Script, Source};

fn script(text: &str) -> Script {
    let source = Source::Text { text: text.to_owned(), file: "release.sql".into(), line: 1 };
    Script::open(source, Path::new("/nowhere")).expect("text opens")
}

/// Everything a script gives, a line each: `line text`, `say …`, `copy …`, `stop …`.
fn walk(text: &str, standard_strings: bool) -> String {
    let mut script = script(text);
    let mut told = Vec::new();
    loop {
        match script.next(standard_strings) {
            Ok(None) => return told.join("\n"),
            Ok(Some(Next::Said(line))) => told.push(format!("say {line}")),
            Ok(Some(Next::Statement(statement))) => {
                told.push(format!("{} {}", statement.place.line, statement.text));
                if super::super::describe::reads_copy_data(&statement.text) {
                    while let Some(line) = script.copy_line().expect("text can be read") {
                        told.push(format!("copy {}", line.trim_end()));
                    }
                }
            }
            Err(problem) => {
                let line = problem.place().map_or(0, |place| place.line);
                told.push(format!("stop {line}: {problem}"));
                return told.join("\n");
            }
        }
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(walk(text, true), expected.join("\n"), "{text}");
}

#[test]
fn quotes_and_comments_hide_semicolons() {
    check("SELECT ';', \";\", E'\\';' ; SELECT 2", &["1 SELECT ';', \";\", E'\\';' ;", "1 SELECT 2"]);
    check("SELECT 'a'';b'; x", &["1 SELECT 'a'';b';", "1 x"]);
    check("SELECT '\\'; x", &["1 SELECT '\\';", "1 x"]);
    check("/* a; /* b; */ c; */ SELECT 1; x", &["1 /* a; /* b; */ c; */ SELECT 1;", "1 x"]);
    check("-- a;\n\n  SELECT 1 -- b;\n  ; x", &["3 SELECT 1 -- b;\n  ;", "4 x"]);
    check("SELECT $$ ; $a$ $$, $a$ ; $$ $b$ $a$; x", &["1 SELECT $$ ; $a$ $$, $a$ ; $$ $b$ $a$;", "1 x"]);
    check("SELECT a$b$; x", &["1 SELECT a$b$;", "1 x"]);
    check("SELECT $1$; x", &["1 SELECT $1$;", "1 x"]);
    check("SELECT U&'\\0441;', U&\"d;\"; x", &["1 SELECT U&'\\0441;', U&\"d;\";", "1 x"]);
    check("SELECT B'1;', X'1;', N'1;'; x", &["1 SELECT B'1;', X'1;', N'1;';", "1 x"]);
    check("SELECT 4 -/*;*/ 2 --;", &["1 SELECT 4 -/*;*/ 2 --;"]);
    check("SELECT E'a'\n'b\\';' ; x", &["1 SELECT E'a'\n'b\\';", "2 ' ; x"]);
}

#[test]
fn columns_are_those_of_the_source() {
    let mut script = script("  SELECT 1; SELECT 2;");
    let mut columns = Vec::new();
    while let Some(Next::Statement(statement)) = script.next(true).expect("it reads") {
        columns.push(statement.column);
    }
    assert_eq!(columns, [3, 13]);
}

#[test]
fn nonstandard_strings_escape() {
    assert_eq!(walk("SELECT 'a\\';b'; x", false), "1 SELECT 'a\\';b';\n1 x");
    assert_eq!(walk("SELECT 'a\\';b'; x", true), "1 SELECT 'a\\';\n1 b'; x");
}

#[test]
fn parentheses_and_bodies() {
    check(
        "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM u; DELETE FROM v); x",
        &["1 CREATE RULE r AS ON INSERT TO t DO (DELETE FROM u; DELETE FROM v);", "1 x"],
    );
    let body =
        "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;";
    check(&format!("{body} BEGIN; x"), &[&format!("1 {body}"), "1 BEGIN;", "1 x"]);
    // What one statement opened or began with is nothing to the next, however it was sent.
    check(&format!("SELECT 1 \\g\n{body} x"), &["1 SELECT 1 ", &format!("2 {body}"), "2 x"]);
    check(&format!("SELECT 1 \\gset a_\n{body} x"), &["1 SELECT 1 ", &format!("2 {body}"), "2 x"]);
    check(
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 \\g\nSELECT 2; x",
        &["1 CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 ", "2 SELECT 2;", "2 x"],
    );
    check("CREATE TABLE begin (a int); x", &["1 CREATE TABLE begin (a int);", "1 x"]);
    check("SELECT ); x", &["1 SELECT );", "1 x"]);
}

#[test]
fn statements_sent_together() {
    check("SELECT 1\\; SELECT 2; x", &["1 SELECT 1; SELECT 2;", "1 x"]);
    check("; ; -- nothing\n/* nothing */;\nSELECT 1", &["3 SELECT 1"]);
    check("SELECT 'open", &["1 SELECT 'open"]);
    check("\u{feff}SELECT 1", &["1 SELECT 1"]);
}

#[test]
fn variables_where_psql_sees_them() {
    check(
        "\\set a 1\n\\set b 'it''s'\nSELECT :a, :'b', :\"b\", :nope, :'nope', x::a, arr[1:a], ':a', $$:a$$;",
        &["3 SELECT 1, 'it''s', \"it's\", :nope, :'nope', x::a, arr[11], ':a', $$:a$$;"],
    );
    check("\\set a 'C:\\\\x'\nSELECT :'a';", &["2 SELECT  E'C:\\\\x';"]);
    check("\\set two 'SELECT 1; SELECT'\n:two 2;", &["2 SELECT 1;", "2 SELECT 2;"]);
    check("\\set a :b\n\\set b x\nSELECT :{?b}, :{?c}, :a;", &["3 SELECT TRUE, FALSE, x;"]);
    check("\\set a ':a'\nSELECT :a;", &["2 SELECT :a;"]);
    check("\\set a x\n\\unset a\nSELECT :a;", &["3 SELECT :a;"]);
    check("\\set a one two 'three  four'\n\\echo :a end;", &["say onetwothree  four end;"]);
    check("\\set b '\\101\\x42\\n'\nSELECT :'b';", &["2 SELECT 'AB\n';"]);
    check("SELECT a := 1, b :\\: c;", &["1 SELECT a := 1, b :: c;"]);
}

#[test]
fn commands_within_a_line() {
    check("\\set x 1 \\\\ SELECT :x;", &["1 SELECT 1;"]);
    check("\\set x 1 \\echo :x", &["say 1"]);
    check("SELECT 1 \\q\nSELECT 2;", &["1 SELECT 1 "]);
    check("SELECT 1 \\g\nSELECT 2", &["1 SELECT 1 ", "2 SELECT 2"]);
    check("SELECT nonsense \\r ignored \\\\ SELECT 1;", &["1 SELECT 1;"]);
    check("\\echo -n a 'b  c' \"d\"", &["say a b  c \"d\""]);
}

#[test]
fn conditions() {
    check("\\if true\nSELECT 1;\n\\else\nSELECT 2;\n\\endif\nSELECT 3;", &["2 SELECT 1;", "6 SELECT 3;"]);
    check(
        "\\if 0\nSELECT 1;\n\\elif on\nSELECT 2;\n\\elif on\nSELECT 4;\n\\else\nSELECT 3;\n\\endif",
        &["4 SELECT 2;"],
    );
    check("\\if :{?x}\n\\watch 1\n\\if true\nSELECT 1;\n\\endif\n\\endif", &[]);
    check("SELECT\n\\if no\n(1\n\\else\n2\n\\endif\n;", &["1 SELECT\n2\n;"]);
    check("\\if true\nSELECT 1;", &["2 SELECT 1;", "stop 2: the file ends without a closing \\endif"]);
    check("\\if no\n\\nonsense\n\\endif", &["stop 2: \\nonsense is not supported"]);
    check("\\endif", &["stop 1: \\endif: no matching \\if"]);
    check("\\if 1\n\\else\n\\elif 1\n", &["stop 3: \\elif: cannot occur after \\else"]);
    check(
        "\\if maybe\nSELECT 1;\n\\endif",
        &["say unrecognized value for \"\\if expression\": boolean expected, taken as false"],
    );
}

#[test]
fn rows_of_copy() {
    check(
        "COPY t FROM stdin; SELECT 1;\n1\t';\n\\N\n\\.\nSELECT 2;",
        &["1 COPY t FROM stdin;", "copy 1\t';", "copy \\N", "1 SELECT 1;", "5 SELECT 2;"],
    );
    check("COPY t FROM stdin;\n1\r\n\\.\r\nSELECT 2;", &["1 COPY t FROM stdin;", "copy 1", "4 SELECT 2;"]);
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    check("SELECT 1;\n  \\copy t from 'x'", &["1 SELECT 1;", "stop 2: \\copy is not supported"]);
    check("\\set x `date`", &["stop 1: \\… `command` is not supported"]);
    check("\\set ON_ERROR_STOP on\n\\set ECHO all\nSELECT 1;", &["3 SELECT 1;"]);
    check(
        "\\set AUTOCOMMIT off",
        &[
            "stop 1: AUTOCOMMIT must stay on: with another value psql would run the release in a way that is not rehearsed",
        ],
    );
    check("\\set 'a b' 1", &["stop 1: invalid variable name: \"a b\""]);
    check("\\i", &["stop 1: \\i: missing required argument"]);
    check("\\i gone.sql", &["stop 1: could not read /nowhere/gone.sql"].map(|_| "stop 1: could not read gone.sql"));
    check("\\restrict key\n\\echo x", &["stop 2: backslash commands are restricted; only \\unrestrict is allowed"]);
    check("\\restrict key\nSELECT 1;\n\\unrestrict key\n\\echo x", &["2 SELECT 1;", "say x"]);
    check("\\unrestrict key", &["stop 1: \\unrestrict: not currently in restricted mode"]);
    check("PGDMP\u{1}", &["stop 1: a pg_dump archive, not a script"]);
}

#[test]
fn files_include_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    };
    let main = write("main.sql", "SELECT 1;\n\\i sub/a.sql\nSELECT 4; \\include sub/b.sql\nSELECT\n\\i sub/b.sql\n5;");
    write("sub/a.sql", "SELECT 2;\n\\ir b.sql\n\\q\nSELECT 0;");
    write("sub/b.sql", "SELECT 3");
    let mut script = Script::open(Source::File(main), folder.path()).expect("it opens");
    let mut told = Vec::new();
    while let Some(Next::Statement(statement)) = script.next(true).expect("it reads") {
        told.push(format!("{}:{} {}", statement.place.file, statement.place.line, statement.text));
    }
    assert_eq!(
        told,
        [
            "main.sql:1 SELECT 1;",
            "sub/a.sql:1 SELECT 2;",
            "sub/b.sql:1 SELECT 3",
            "main.sql:3 SELECT 4;",
            "sub/b.sql:1 SELECT 3",
            "sub/b.sql:1 SELECT 3",
            "main.sql:4 SELECT\n5;"
        ]
    );
    let round = write("round.sql", "\\ir round.sql\n");
    let mut script = Script::open(Source::File(round), folder.path()).expect("it opens");
    assert_eq!(script.next(true).expect_err("a circle").to_string(), "round.sql is included from within itself");
}

#[test]
fn a_check_finds_everything_at_once() {
    let checked = script(
        "\\i gone.sql\nCREATE TABLE orders (a int);\n\\if :{?x}\n\\copy a from b\n\\else\nCOPY orders FROM stdin;\n'1\n\\.\n\\endif\n\\gexec\n\\i :unknown\nDROP TABLE Users;",
    )
    .check();
    assert_eq!(checked.statements, 3);
    let problems: Vec<String> = checked
        .problems
        .iter()
        .map(|problem| format!("{}: {problem}", problem.place().map_or(0, |place| place.line)))
        .collect();
    assert_eq!(problems, ["1: could not read gone.sql", "4: \\copy is not supported", "10: \\gexec is not supported"]);
    assert!(checked.problems.iter().all(|problem| problem.hint().is_some()));
    assert!(checked.identifiers.contains("orders") && checked.identifiers.contains("users"));
}
