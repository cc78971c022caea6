//! Row values taken out of statements, for whoever did not ask to see them.

use super::tokens::{Backslash, Kind, tokens};
use crate::engine::EngineKind;
use crate::engine::said::BLOT;

/// Behind these a definition goes on with statements, or with a query.
const ENDS_DEFINITION: [&str; 6] = ["procedure", "function", "trigger", "event", "package", "select"];

/// A statement without the values in it, and without its comments. Texts go everywhere, numbers only where rows are read or changed:
/// `decimal(12,2)` says something about a table.
pub fn sql(statement: &str, engine: EngineKind) -> String {
    let mut blotted = String::with_capacity(statement.len());
    let mut defines = None;
    for (kind, text) in tokens(statement, engine, Backslash::Unknown) {
        match kind {
            Kind::Text => {
                let quote = &text[..1];
                blotted.push_str(&format!("{quote}{BLOT}{quote}"));
            }
            Kind::Number if defines != Some(true) => blotted.push_str(BLOT),
            Kind::Comment => blotted.push(' '),
            Kind::Word => {
                let word = text.to_ascii_lowercase();
                let begins = *defines.get_or_insert_with(|| ["create", "alter", "drop"].contains(&word.as_str()));
                defines = Some(begins && !ENDS_DEFINITION.contains(&word.as_str()));
                blotted.push_str(text);
            }
            _ => blotted.push_str(text),
        }
    }
    blotted
}

/// The statement with every text and number in it replaced by "…".
pub fn without_literals(statement: &str, engine: EngineKind) -> String {
    let shown = tokens(statement, engine, Backslash::Unknown).into_iter().map(|(kind, text)| match kind {
        Kind::Text | Kind::Number => BLOT,
        Kind::Comment => " ",
        _ => text,
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_leave_statements_and_the_shape_stays() {
        let check = |text: &str, expected: &str| assert_eq!(sql(text, EngineKind::Mariadb), expected);
        check("UPDATE t SET a = 'x''y', b = 3.5 WHERE `c 1` = ? -- 7", "UPDATE t SET a = '…', b = … WHERE `c 1` = ?  ");
        check("ALTER TABLE t ADD c decimal(12,2) DEFAULT 'x'", "ALTER TABLE t ADD c decimal(12,2) DEFAULT '…'");
        check("CREATE USER a IDENTIFIED BY \"secret\"", "CREATE USER a IDENTIFIED BY \"…\"");
        check("CREATE PROCEDURE p() UPDATE t SET a = 17", "CREATE PROCEDURE p() UPDATE t SET a = …");
        check("CREATE TABLE u (a int(3)) AS SELECT 17 AS a", "CREATE TABLE u (a int(3)) AS SELECT … AS a");
        check("/*!40101 SET NAMES utf8mb4 */", "/*!40101 SET NAMES utf8mb4 */");
        check(r"INSERT INTO t VALUES ('it\'s Ann Smith of", "INSERT INTO t VALUES ('…'");
        check(r"INSERT INTO t VALUES ('it\'s', 'Ann Smith of", "INSERT INTO t VALUES ('…'");
        check("", "");
    }

    #[test]
    fn literals_are_left_out() {
        let check = |text: &str, expected: &str| assert_eq!(without_literals(text, EngineKind::Mysql), expected);
        check("UPDATE t SET a = 'Ann''s', b = 17 WHERE c1 = ?", "UPDATE t SET a = …, b = … WHERE c1 = ?");
        check(r"UPDATE t SET a = 'Ann\'s', b = 17 WHERE c1 = ?", "UPDATE t SET a = …");
        check(r"INSERT INTO t VALUES ('it\'s Ann Smith of", "INSERT INTO t VALUES (…");
        check(r"INSERT INTO t VALUES ('it\'s', 'Ann Smith of", "INSERT INTO t VALUES (…");
        check("SELECT x'41', 'cut of", "SELECT x…, …");
        check("SELECT 1 -- of Ann\n", "SELECT …  \n");
    }
}
