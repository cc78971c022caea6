use super::{MAX_STATEMENTS, Sought, statements};
use crate::event::Work;

/// One line as 14 and later write it; 13 ends after the 24th column.
fn line(ms: u32, user: &str, session: &str, application: &str, rest: &[(usize, &str)], columns: usize) -> String {
    let mut fields = vec![String::new(); columns];
    fields[0] = format!("2024-03-31 01:59:59.{ms:03} CET");
    fields[1] = user.into();
    fields[5] = session.into();
    fields[11] = "LOG".into();
    fields[12] = "00000".into();
    fields[22] = application.into();
    for (column, value) in rest {
        fields[*column] = (*value).into();
    }
    fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect::<Vec<_>>().join(",") + "\n"
}

fn sought(show_values: bool) -> Sought<'static> {
    Sought {
        role: "app",
        ours: &|application| application.starts_with("rehearsal"),
        begin: "BEGIN-MARK",
        end: "END-MARK",
        begin_ms: 1000.0,
        show_values,
    }
}

fn told(log: &str, show_values: bool) -> Vec<String> {
    statements(log.as_bytes(), &sought(show_values))
        .unwrap()
        .statements
        .iter()
        .map(|s| {
            let error = s.error.as_ref().map(|e| format!(" !{} {}", e.code, e.message)).unwrap_or_default();
            let block = if s.in_transaction { " in block" } else { "" };
            format!("{:.0}+{:.1} {} | {}{block}{error}", s.started_ms, s.elapsed_ms, s.command, s.sql)
        })
        .collect()
}

#[test]
fn statements_of_the_role_are_recovered_once_each_on_the_runs_clock() {
    for columns in [24, 26] {
        let at = |ms, session, application, message, tag| {
            line(ms, "app", session, application, &[(13, message), (7, tag)], columns)
        };
        let log = [
            at(100, "s0", "alembic", "duration: 9.0 ms  statement: SELECT 'before'", "SELECT"),
            line(200, "postgres", "m", "rehearsal", &[(13, "duration: 1 ms  statement: SELECT 'BEGIN-MARK'")], columns),
            at(210, "s1", "alembic", "duration: 2.000 ms  statement: BEGIN", "BEGIN"),
            at(
                250,
                "s1",
                "alembic",
                "duration: 20.5 ms  statement: ALTER TABLE t\n ADD c text DEFAULT 'x, \"y\"'",
                "ALTER TABLE",
            ),
            at(251, "s1", "alembic", "duration: 0.5 ms  parse <unnamed>: UPDATE t SET a = $1 WHERE b = 7", "PARSE"),
            at(252, "s1", "alembic", "duration: 0.5 ms  bind <unnamed>: UPDATE t SET a = $1 WHERE b = 7", "BIND"),
            at(260, "s1", "alembic", "duration: 4.0 ms  execute <unnamed>: UPDATE t SET a = $1 WHERE b = 7", "UPDATE"),
            at(261, "s2", "rehearsal probe", "duration: 4.0 ms  statement: SELECT 1", "SELECT"),
            line(262, "other", "s3", "alembic", &[(13, "duration: 4.0 ms  statement: SELECT 1")], columns),
            at(270, "s1", "alembic", "duration: 1.0 ms  statement: COMMIT", "COMMIT"),
            line(
                280,
                "app",
                "s1",
                "alembic",
                &[
                    (7, "INSERT"),
                    (11, "ERROR"),
                    (12, "22P02"),
                    (13, "invalid input syntax for type integer: \"abc\""),
                    (19, "INSERT INTO t VALUES ('abc')"),
                    (20, "23"),
                ],
                columns,
            ),
            line(290, "postgres", "m", "rehearsal", &[(13, "duration: 1 ms  statement: SELECT 'END-MARK'")], columns),
            at(300, "s1", "alembic", "duration: 9.0 ms  statement: SELECT 'after'", "SELECT"),
        ]
        .concat();
        let expected = [
            "1008+2.0 BEGIN | BEGIN",
            "1030+20.5 ALTER TABLE | ALTER TABLE t\n ADD c text DEFAULT '…' in block",
            "1055+5.0 UPDATE | UPDATE t SET a = $1 WHERE b = … in block",
            "1069+1.0 COMMIT | COMMIT in block",
            "1080+0.0 INSERT | INSERT INTO t VALUES ('…') !22P02 invalid input syntax for type integer: \"…\"",
        ];
        assert_eq!(told(&log, false), expected, "{columns} columns");
        assert!(told(&log, true)[4].contains("'abc'"));
    }
}

#[test]
fn a_loop_is_told_by_its_first_statements_and_its_errors() {
    let mut log = line(0, "postgres", "m", "rehearsal", &[(13, "BEGIN-MARK")], 26);
    for _ in 0..MAX_STATEMENTS + 5 {
        log += &line(1, "app", "s", "", &[(13, "duration: 1 ms  statement: SELECT 1")], 26);
    }
    log += &line(2, "app", "s", "", &[(11, "ERROR"), (13, "no"), (19, "SELECT 2")], 26);
    let found = statements(log.as_bytes(), &sought(false)).unwrap();
    assert_eq!((found.statements.len(), found.left_out), (MAX_STATEMENTS + 1, 5));
}

#[test]
fn what_is_not_a_log_is_refused() {
    assert!(statements("2024-03-31 01:59:59.1 CET,app\n".as_bytes(), &sought(false)).is_err());
    assert!(statements("hello,,,,,,,,,,,,,,,,,,,,,,,,\n".as_bytes(), &sought(false)).is_err());
}

#[test]
fn what_a_statement_did_was_not_measured() {
    let check = |sql: &str, expected: Work| {
        let message = format!("duration: 1 ms  statement: {sql}");
        let log = line(0, "postgres", "m", "rehearsal", &[(13, "BEGIN-MARK")], 26)
            + &line(1, "app", "s", "", &[(13, &message)], 26);
        assert_eq!(statements(log.as_bytes(), &sought(false)).unwrap().statements[0].work, expected, "{sql}");
    };
    check("ALTER TABLE t ADD c int", Work::Unknown);
    check("SELECT count(*) FROM t", Work::Unknown);
    check("UPDATE t SET a = 1", Work::Unknown);
    check("SET lock_timeout = '1s'; ALTER TABLE t ADD c int", Work::Unknown);
    check("DO $$ BEGIN PERFORM 1; END $$", Work::Unknown);
    check("BEGIN", Work::Constant);
    check("COMMIT", Work::Constant);
    check("SET lock_timeout = '1s'", Work::Constant);
    check("LOCK TABLE t", Work::Constant);
}
