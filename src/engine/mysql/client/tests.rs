//! The language of the clients.

use super::*;

fn read(engine: EngineKind, text: &str) -> Vec<(usize, String)> {
    let source = Source::Text { text: text.to_owned(), file: "s.toml".to_owned(), line: 1 };
    let mut script = Script::open(engine, source, Path::new("/nonexistent")).expect("text can be read");
    let mut found = Vec::new();
    while let Some(ScriptStatement { text, place }) = script.next(true).expect("understood") {
        found.push((place.line, text));
    }
    found
}

fn check(text: &str, expected: &[(usize, &str)]) {
    let expected: Vec<(usize, String)> = expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
    assert_eq!(read(EngineKind::Mariadb, text), expected, "{text}");
}

#[test]
fn statements_end_at_the_delimiter() {
    check(
        "SELECT 1; SELECT 2;\n\n  SELECT\n 3\n;\nSELECT 4",
        &[(1, "SELECT 1"), (1, "SELECT 2"), (3, "SELECT\n 3"), (6, "SELECT 4")],
    );
    check(";;\n ; SELECT 1;", &[(2, "SELECT 1")]);
    check(
        "SELECT 'a;b', \"c;\"\"d\", `e;f`, 'it''s', 'x\\';y';",
        &[(1, "SELECT 'a;b', \"c;\"\"d\", `e;f`, 'it''s', 'x\\';y'")],
    );
    check("SELECT 'two\n  lines;';", &[(1, "SELECT 'two\n  lines;'")]);
    check("SELECT '\n';", &[(1, "SELECT '\n'")]);
    check("SELECT \\N;", &[(1, "SELECT \\N")]);
}

#[test]
fn a_script_changes_the_delimiter() {
    let routine =
        "DELIMITER $$\nCREATE PROCEDURE p()\nBEGIN\n  SELECT 1;\n  SELECT ';';\nEND$$\ndelimiter ;\nCALL p();";
    check(routine, &[(2, "CREATE PROCEDURE p()\nBEGIN\n  SELECT 1;\n  SELECT ';';\nEND"), (8, "CALL p()")]);
    check("delimiter //\nSELECT 1; SELECT 2//\n\\d ;\nSELECT 3;", &[(2, "SELECT 1; SELECT 2"), (4, "SELECT 3")]);
    // A word of a statement is none.
    check("SELECT\ndelimiter FROM t;", &[(1, "SELECT\ndelimiter FROM t")]);
}

#[test]
fn comments_are_the_client_s_to_keep() {
    let text = "-- one; two\n# three;\nSELECT 1 /* a;b */ + 1 -- c;\n, 2 # d;\n;\n/* e;\nf; */ SELECT 3--1;";
    check(text, &[(3, "SELECT 1  + 1 \n, 2 \n"), (7, "SELECT 3--1")].map(|(line, text)| (line, text.trim_end())));
    let kept = read(EngineKind::Mysql, "-- one; two\nSELECT 1 /* a;b */ -- c;\n;SELECT /*+ hint; */ 2;");
    assert_eq!(
        kept,
        [(2, "SELECT 1 /* a;b */ -- c;".to_owned()), (3, "SELECT /*+ hint".to_owned()), (3, "*/ 2".to_owned())]
    );
    check("/*!40101 SET @a = ';' */;\nSELECT /*+ a hint; */ 1;", &[(1, "/*!40101 SET @a = ';' */"), (2, "SELECT  1")]);
    check("/*M!100000 SELECT 1 */;", &[(1, "/*M!100000 SELECT 1 */")]);
    check("--x\nSELECT 1\n--1;", &[(2, "SELECT 1\n--1")]);
    assert_eq!(read(EngineKind::Mysql, "--x\nSELECT 1;"), [(1, "--x\nSELECT 1".to_owned())]);
    check("SELECT '-- no', '/* no */', '# no';", &[(1, "SELECT '-- no', '/* no */', '# no'")]);
}

#[test]
fn commands_of_the_client() {
    check(
        "use shop\nSELECT 1;\nUSE `other`;\nuse `third`",
        &[(1, "USE `shop`"), (2, "SELECT 1"), (3, "USE `other`"), (4, "USE `third`")],
    );
    check(
        "SELECT 1\\G SELECT 2\\g\nSELECT 3\ngo\nSELECT 4;",
        &[(1, "SELECT 1"), (1, "SELECT 2"), (2, "SELECT 3\ngo\nSELECT 4")],
    );
    check("SELECT wrong \\c SELECT 1;\nnowarning\nprompt >\nquit\nSELECT 2;", &[(1, "SELECT 1")]);
    check(
        "/*M!999999\\- enable the sandbox mode */\nSELECT 1;",
        &[(1, "/*M!999999 enable the sandbox mode */\nSELECT 1")],
    );
}

#[test]
fn a_command_may_end_as_a_statement_does() {
    check("SELECT 1;\nquit;\nSELECT 2;", &[(1, "SELECT 1")]);
    check("warnings;\nSELECT 1; go\nSELECT 2;", &[(2, "SELECT 1"), (2, "go\nSELECT 2")]);
    check("USE shop; SELECT 1;", &[(1, "USE `shop`"), (1, "SELECT 1")]);
    // A word with more behind it is the server's to judge.
    check("clear it;\nSELECT 1;", &[(1, "clear it"), (2, "SELECT 1")]);
    check("UPDATE t SET a = 1 \\q\nSELECT 2;", &[(1, "UPDATE t SET a = 1")]);
}

#[test]
fn lines_of_another_system_and_comments_within_words() {
    check("SELECT 'a\r\nb';\r\nSELECT/*c*/1;\r\n", &[(1, "SELECT 'a\nb'"), (3, "SELECT 1")]);
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let refused = |text: &str| {
        let source = Source::Text { text: text.to_owned(), file: "s.toml".to_owned(), line: 7 };
        let script = Script::open(EngineKind::Mysql, source, Path::new("/nonexistent")).expect("text can be read");
        script
            .check()
            .problems
            .iter()
            .map(|problem| format!("{} {problem}", problem.place().map_or(0, |place| place.line)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        refused("SELECT 1;\n\\! rm -rf x\nsystem ls\ntee out\nSELECT 2;"),
        ["8 \\! is not supported", "9 system is not supported", "10 tee is not supported"]
    );
    assert_eq!(
        refused("system ls;\nsource gone.sql;\nSELECT 1;"),
        ["7 system is not supported", "8 could not read gone.sql"]
    );
    assert_eq!(refused("source gone.sql\nSELECT 1;"), ["7 could not read gone.sql"]);
    assert_eq!(refused("DELIMITER\nuse\nSELECT \\z 1;\nSELECT 1; DELIMITER ;;").len(), 4);
}

#[test]
fn source_reads_another_file_and_not_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("a.sql", "SELECT 1;\nsource b.sql\nSELECT 3;\n");
    write("b.sql", "delimiter $\nSELECT 2$\nquit\nSELECT 4$");
    let open =
        || Script::open(EngineKind::Mariadb, Source::File(folder.path().join("a.sql")), folder.path()).expect("there");
    let mut script = open();
    let mut found = Vec::new();
    while let Some(statement) = script.next(true).expect("understood") {
        found.push((statement.place.file, statement.place.line, statement.text));
    }
    // The delimiter is the client's, not the file's.
    let expected = [("a.sql", 1, "SELECT 1"), ("b.sql", 2, "SELECT 2"), ("a.sql", 3, "SELECT 3;")];
    assert_eq!(found, expected.map(|(file, line, text)| (file.to_owned(), line, text.to_owned())));
    write("b.sql", "\\. a.sql\n");
    assert!(matches!(open().check().problems[..], [ScriptProblem::Cycle { .. }]));
}
