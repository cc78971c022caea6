//! What clients pass on of the servers' errors (chapter "Error Message Sources and Elements" of MySQL's manual).

use crate::engine::said::fitted;

/// An error as `mysql` and `mariadb` write it, and most drivers: `ERROR 1146 (42S02) at line 3: Table 'shop.t' doesn't exist`.
struct Passed<'l> {
    /// Up to the text: all of it numbers and the server's code.
    head: &'l str,
    text: &'l str,
}

impl<'l> Passed<'l> {
    fn of(line: &'l str) -> Option<Passed<'l>> {
        let start = ["ERROR ", "Error "].iter().find_map(|mark| line.find(mark))?;
        let line = &line[start..];
        let (number, rest) = line["ERROR ".len()..].split_once(" (")?;
        let (state, rest) = rest.split_once(')')?;
        let is_number = |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
        let is_state = state.len() == 5 && state.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        if !is_number(number) || !is_state {
            return None;
        }
        let rest = match rest.strip_prefix(" at line ") {
            Some(place) => {
                let digits = place.find(|c: char| !c.is_ascii_digit()).filter(|digits| is_number(&place[..*digits]))?;
                // "in file: 'patch.sql'", of one that was read by `source`.
                let rest = &place[digits..];
                rest.find(": ").filter(|_| rest.starts_with(" in file: '")).map_or(rest, |at| {
                    let named = &rest[at + 3..];
                    named.find("': ").map_or(rest, |end| &named[end + 1..])
                })
            }
            None => rest,
        };
        let text = rest.strip_prefix(": ")?;
        Some(Passed { head: &line[..line.len() - rest.len()], text })
    }
}

/// Whether a program passed on an error of the server in this line.
pub fn is_the_servers(line: &str) -> bool {
    Passed::of(line).is_some()
}

/// Such a line without values; none where the text is none of the server's own.
pub fn passed_on(line: &str) -> Option<String> {
    let Passed { head, text } = Passed::of(line)?;
    let told = OWN_FORMS.iter().find_map(|form| fitted(form, text.trim_end()))?;
    // The number and the place end in digits or a bracket, or in a file's name.
    Some(format!("{head}: {told}"))
}

/// What the servers say most often of a release's statements, in their own words.
const OWN_FORMS: &[&str] = &[
    "Table '{n}' doesn't exist",
    "Table '{n}' already exists",
    "Unknown table '{n}'",
    "Unknown column '{n}' in '{n}'",
    "Unknown database '{n}'",
    "Can't create database '{n}'; database exists",
    "Can't DROP '{n}'; check that column/key exists",
    "Can't DROP COLUMN `{n}`; check that it exists",
    "Can't DROP INDEX `{n}`; check that it exists",
    "Can't DROP FOREIGN KEY `{n}`; check that it exists",
    "Key column '{n}' doesn't exist in table",
    "Duplicate column name '{n}'",
    "Duplicate key name '{n}'",
    "Duplicate entry '{v}' for key '{n}'",
    "Duplicate foreign key constraint name '{n}'",
    "Multiple primary key defined",
    "Incorrect table definition; there can be only one auto column and it must be defined as a key",
    "Invalid default value for '{n}'",
    "Column '{n}' cannot be null",
    "Column '{n}' in field list is ambiguous",
    "Column count doesn't match value count at row {w}",
    "Field '{n}' doesn't have a default value",
    "Data too long for column '{n}' at row {w}",
    "Data truncated for column '{n}' at row {w}",
    "Out of range value for column '{n}' at row {w}",
    "Incorrect {w} value: '{v}' for column '{n}' at row {w}",
    "Incorrect {w} value: '{v}' for column {v} at row {w}",
    "Check constraint '{n}' is violated.",
    "CONSTRAINT `{n}` failed for {v}",
    "Cannot add or update a child row: a foreign key constraint fails ({v})",
    "Cannot delete or update a parent row: a foreign key constraint fails ({v})",
    "Cannot add foreign key constraint",
    "Cannot drop table '{n}' referenced by a foreign key constraint '{n}' on table '{n}'.",
    "Cannot drop column '{n}': needed in a foreign key constraint '{n}'",
    "Cannot drop index '{n}': needed in a foreign key constraint",
    "Foreign key constraint is incorrectly formed",
    "Row size too large. {v}",
    "Specified key was too long; max key length is {w} bytes",
    "PROCEDURE {w} already exists",
    "PROCEDURE {w} does not exist",
    "FUNCTION {w} already exists",
    "FUNCTION {w} does not exist",
    "Trigger already exists",
    "Trigger does not exist",
    "Lock wait timeout exceeded; try restarting transaction",
    "Deadlock found when trying to get lock; try restarting transaction",
    "Query execution was interrupted",
    "Query execution was interrupted, maximum statement execution time exceeded",
    "Lost connection to MySQL server during query",
    "Lost connection to server during query",
    "Server shutdown in progress",
    "Too many connections",
    "No database selected",
    "Access denied for user '{n}'@'{n}' (using password: {w})",
    "Access denied for user '{n}'@'{n}' to database '{n}'",
    "{w} command denied to user '{n}'@'{n}' for table '{n}'",
    "{w} command denied to user '{n}'@'{n}' for table `{n}`.`{n}`",
    "Access denied; you need (at least one of) the {w} privilege(s) for this operation",
    "The MySQL server is running with the {w} option so it cannot execute this statement",
    "The MariaDB server is running with the {w} option so it cannot execute this statement",
    "ALGORITHM={w} is not supported for this operation. Try ALGORITHM={v}.",
    "ALGORITHM={w} is not supported. Reason: {w}. Try ALGORITHM={v}.",
    "LOCK={w} is not supported. Reason: {w}. Try LOCK={v}.",
    "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use near '{v}' at line {w}",
    "You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server version for the right syntax to use near '{v}' at line {w}",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::said::BLOT;

    #[test]
    fn a_line_is_passed_on_where_it_is_the_servers_own() {
        let check = |line: &str, expected: Option<&str>| assert_eq!(passed_on(line).as_deref(), expected, "{line}");
        let whole = "ERROR 1146 (42S02) at line 3: Table 'shop.t' doesn't exist";
        check(whole, Some(whole));
        check(&format!("Ann: {whole}"), Some(whole));
        check(
            "ERROR 1062 (23000) at line 12: Duplicate entry 'it's Ann' for key 't.mail'",
            Some(&format!("ERROR 1062 (23000) at line 12: Duplicate entry '{BLOT}' for key 't.mail'")),
        );
        check(
            "ERROR 1064 (42000) at line 2 in file: 'a.sql': You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server version for the right syntax to use near 'Ann' at line 1",
            Some(
                "ERROR 1064 (42000) at line 2 in file: 'a.sql': You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server version for the right syntax to use near '…' at line 1",
            ),
        );
        check(
            "Error 1054 (42S22): Unknown column 'nope' in 'field list'",
            Some("Error 1054 (42S22): Unknown column 'nope' in 'field list'"),
        );
        check("ERROR 1644 (45000) at line 1: customer Ann has open orders", None);
        check("ERROR 1146 (42S02) at line 3: Table 'shop.t' doesn't exist: 'ann@example.org'", None);
        check("ERROR 1146 (Annie): Table 'shop.t' doesn't exist", None);
        check("ERROR: Table 'shop.t' doesn't exist", None);
        check("no error", None);
    }
}
