//! Texts of statements: values as literals, somebody's own statements in a row, names inside the text of a trigger.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::engine::EngineKind;
use crate::engine::mysql::client::Script;
use crate::engine::mysql::names;
use crate::engine::probing::Form;
use crate::engine::script::Source;

/// A value as it stands in SQL, whatever `sql_mode` makes of backslashes (chapters "String Literals", "Hexadecimal Literals" and "Bit-Value
/// Literals" of the manuals).
pub(in crate::engine) fn literal(form: Form, value: &str) -> String {
    let all = |is: fn(char) -> bool| value.chars().all(is);
    match form {
        Form::Number if !value.is_empty() && all(|each| each.is_ascii_digit() || "+-.eE".contains(each)) => {
            value.to_owned()
        }
        Form::Hex if value.len().is_multiple_of(2) && all(|each| each.is_ascii_hexdigit()) => format!("x'{value}'"),
        Form::Bits if all(|each| matches!(each, '0' | '1')) => format!("b'{value}'"),
        _ if value.contains('\\') => {
            let digits = value.bytes().fold(String::new(), |mut digits, byte| {
                write!(digits, "{byte:02x}").expect("writing to a string does not fail");
                digits
            });
            format!("_utf8mb4 x'{digits}'")
        }
        _ => names::literal(value),
    }
}

/// Statements as they are sent in one message, without what ends the last: an empty one is an error.
pub(in crate::engine) fn statements(engine: EngineKind, sql: &str) -> String {
    let source = Source::Text { text: sql.to_owned(), file: String::new(), line: 1 };
    let Ok(mut script) = Script::open(engine, source, Path::new("")) else { return sql.to_owned() };
    let mut texts = Vec::new();
    loop {
        match script.next(true) {
            Ok(Some(statement)) => texts.push(statement.text),
            Ok(None) => return texts.join("\n;\n"),
            // The server says what is wrong with it.
            Err(_) => return sql.to_owned(),
        }
    }
}

/// Every word and quoted name in a text of SQL, in lower case, those inside strings too: a body may build its SQL. Not those in comments.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut left = vec![text.to_owned()];
    while let Some(text) = left.pop() {
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            if let Some(behind) = behind_comment(rest) {
                rest = behind;
            } else if matches!(first, '\'' | '"' | '`') {
                let (inner, after) = quoted(&rest[1..], first);
                words.insert(inner.to_lowercase());
                if first != '`' {
                    // Shorter by its quotes each time, so this ends.
                    left.push(inner);
                }
                rest = after;
            } else if is_of_word(first) {
                let end = rest.find(|each| !is_of_word(each)).unwrap_or(rest.len());
                words.insert(rest[..end].to_lowercase());
                rest = &rest[end..];
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    words
}

/// What comes behind a comment, if one begins here. What only some versions run is none.
fn behind_comment(text: &str) -> Option<&str> {
    let behind = |text: &'_ str, close: &str| text.find(close).map(|at| at + close.len());
    if let Some(inside) = text.strip_prefix("/*") {
        let runs = inside.starts_with('!') || inside.starts_with("M!");
        return Some(if runs { inside } else { &inside[behind(inside, "*/").unwrap_or(inside.len())..] });
    }
    let line = text.starts_with('#')
        || text.strip_prefix("--").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
    line.then(|| &text[behind(text, "\n").unwrap_or(text.len())..])
}

fn is_of_word(each: char) -> bool {
    each.is_alphanumeric() || each == '_' || each == '$'
}

/// What stands before the closing quote, and what comes behind it.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut inner = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, each)) = chars.next() {
        match each {
            '\\' if quote != '`' => inner.extend(chars.next().map(|(_, escaped)| escaped)),
            _ if each != quote => inner.push(each),
            _ if chars.peek().is_some_and(|(_, next)| *next == quote) => {
                inner.extend(chars.next().map(|(_, each)| each))
            }
            _ => return (inner, &text[at + each.len_utf8()..]),
        }
    }
    (inner, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_as_their_column_takes_them() {
        let check = |form, value: &str, expected: &str| assert_eq!(literal(form, value), expected);
        check(Form::Quoted, "it's", "'it''s'");
        check(Form::Quoted, r"a\'b", "_utf8mb4 x'615c2762'");
        check(Form::Quoted, "", "''");
        check(Form::Number, "-12.50", "-12.50");
        check(Form::Number, "1e10", "1e10");
        check(Form::Number, "1; DROP", "'1; DROP'");
        check(Form::Number, "", "''");
        check(Form::Hex, "00fF", "x'00fF'");
        check(Form::Hex, "", "x''");
        check(Form::Hex, "0'", "'0'''");
        check(Form::Bits, "101", "b'101'");
    }

    #[test]
    fn somebody_s_statements_end_with_nothing() {
        let check = |sql: &str, expected: &str| assert_eq!(statements(EngineKind::Mariadb, sql), expected);
        check("UPDATE t SET a = 1;", "UPDATE t SET a = 1");
        check("SELECT 1; SELECT ';' -- done", "SELECT 1\n;\nSELECT ';'");
        check("SELECT 1;;", "SELECT 1");
    }

    #[test]
    fn names_are_found_wherever_a_body_has_them() {
        let check = |text: &str, expected: &[&str]| {
            let expected: BTreeSet<String> = expected.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(words(text), expected, "{text}");
        };
        check("INSERT INTO `Audit`.log VALUES (NEW.id)", &["insert", "into", "audit", "log", "values", "new", "id"]);
        check("SET @a = 'CALL p()'", &["set", "a", "call p()", "call", "p"]);
        check("a -- b\n c # d\n/* e */ f--1", &["a", "c", "f", "1"]);
        check("--\na", &["a"]);
        check("/*!50003 CALL q() */", &["50003", "call", "q"]);
        check("`a``b` 'x\\'y'", &["a`b", "x'y", "x", "y"]);
        check("#\na /* b", &["a"]);
    }
}
