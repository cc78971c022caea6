//! The words, values and comments of a statement, as far as values can be told from the rest (chapter "Language Structure" of the manuals).

use super::client::is_for_server;
use crate::engine::EngineKind;
use crate::engine::workload::Lexeme;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Space,
    Comment,
    /// In quotes of either kind: double quotes are a name's only under ANSI_QUOTES.
    Text,
    Number,
    /// A name without quotes, or a keyword.
    Word,
    /// A name in backquotes.
    Quoted,
    /// Anything else, and the brackets of comments that the server reads.
    Sign,
}

/// What a backslash before a quote is, which is a session's own setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backslash {
    /// It escapes the quote, as it does by default.
    Escapes,
    /// Nobody knows: a text in which one stands before a quote reaches to the end, for a statement may be cut within its last text.
    Unknown,
}

/// A statement's tokens, each with its text; together they are the whole statement.
pub fn tokens(statement: &str, engine: EngineKind, backslash: Backslash) -> Vec<(Kind, &str)> {
    let mut tokens = Vec::new();
    let mut rest = statement;
    while let Some(next) = rest.chars().next() {
        let (kind, bytes) = token(rest, next, engine, backslash);
        let (text, after) = rest.split_at(bytes);
        tokens.push((kind, text));
        rest = after;
    }
    tokens
}

/// The statement's pieces in order, each with its bytes.
pub(in crate::engine) fn lexemes(statement: &str, engine: EngineKind) -> Vec<(Lexeme, usize)> {
    let lexeme = |kind| match kind {
        Kind::Word => Lexeme::Word,
        Kind::Text | Kind::Quoted => Lexeme::Quoted,
        Kind::Comment => Lexeme::Comment,
        Kind::Space | Kind::Number | Kind::Sign => Lexeme::Other,
    };
    let pieces = tokens(statement, engine, Backslash::Escapes).into_iter();
    pieces.map(|(kind, text)| (lexeme(kind), text.len())).collect()
}

fn token(rest: &str, next: char, engine: EngineKind, backslash: Backslash) -> (Kind, usize) {
    let until = |is_inside: fn(char) -> bool| rest.find(|c: char| !is_inside(c)).unwrap_or(rest.len());
    match next {
        c if c.is_whitespace() => (Kind::Space, until(char::is_whitespace)),
        '\'' | '"' => (Kind::Text, text(rest, next, backslash)),
        '`' => (Kind::Quoted, rest[1..].find('`').map_or(rest.len(), |at| at + 2)),
        '#' => (Kind::Comment, line(rest)),
        '-' if is_line_comment(rest) => (Kind::Comment, line(rest)),
        '/' if rest.starts_with("/*") => match is_for_server(&rest[2..], engine) {
            // "/*!50701": the version is no value.
            true => (Kind::Sign, 3 + rest[3..].find(|c: char| !c.is_ascii_alphanumeric() && c != '!').unwrap_or(0)),
            false => (Kind::Comment, rest[2..].find("*/").map_or(rest.len(), |at| at + 4)),
        },
        c if is_of_word(c) => {
            let word = &rest[..until(is_of_word)];
            match number(rest, word) {
                Some(bytes) => (Kind::Number, bytes),
                None => (Kind::Word, word.len()),
            }
        }
        c => (Kind::Sign, c.len_utf8()),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// `--` with a space, a control character or the end behind it.
fn is_line_comment(rest: &str) -> bool {
    rest.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control()))
}

fn line(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// Length of a text in quotes.
fn text(rest: &str, quote: char, backslash: Backslash) -> usize {
    let mut escaped = false;
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote && escaped && backslash == Backslash::Escapes => escaped = false,
            _ if c == quote && escaped => return rest.len(),
            _ if c == quote => match chars.peek() {
                // Doubled, it stands for itself.
                Some((_, next)) if *next == quote => {
                    chars.next();
                }
                _ => return at + 1,
            },
            _ => escaped = c == '\\' && !escaped,
        }
    }
    rest.len()
}

/// Length of the number that begins with this word: `17`, `0x1F`, `1.5`, `2e-3`. A name may begin with digits too.
fn number(rest: &str, word: &str) -> Option<usize> {
    let all = |text: &str, is: fn(&char) -> bool| !text.is_empty() && text.chars().all(|c| is(&c));
    let prefixed = |prefix: &str, is| word.strip_prefix(prefix).is_some_and(|digits| all(digits, is));
    if prefixed("0x", char::is_ascii_hexdigit) || prefixed("0b", char::is_ascii_digit) {
        return Some(word.len());
    }
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    if digits == 0 {
        return None;
    }
    let mut end = digits;
    if end == word.len()
        && let Some(fraction) = rest[end..].strip_prefix('.')
    {
        end += 1 + fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    }
    if let Some(exponent) = rest[end..].strip_prefix(['e', 'E']) {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let digits = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
        if digits > 0 {
            end += 1 + exponent.len() - unsigned.len() + digits;
        }
    }
    // "1st" is a name.
    rest[end..].chars().next().is_none_or(|c| !is_of_word(c)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_falls_into_its_tokens() {
        let check = |statement: &str, expected: &[(Kind, &str)]| {
            let mut found = tokens(statement, EngineKind::Mysql, Backslash::Unknown);
            assert_eq!(found.iter().map(|(_, text)| *text).collect::<String>(), statement);
            found.retain(|(kind, _)| *kind != Kind::Space);
            assert_eq!(found, expected, "{statement}");
        };
        use Kind::{Comment, Number, Quoted, Sign, Text, Word};
        check("a='it''s'", &[(Word, "a"), (Sign, "="), (Text, "'it''s'")]);
        check(r"'a\\' , 'b'", &[(Text, r"'a\\'"), (Sign, ","), (Text, "'b'")]);
        // Either `a' , ` is a text, or `a\` is.
        check(r"x'a\' , 'b' c", &[(Word, "x"), (Text, r"'a\' , 'b' c")]);
        check(r"x 'it\'s Ann Smith of", &[(Word, "x"), (Text, r"'it\'s Ann Smith of")]);
        check(r"x 'a\', 'of Ann", &[(Word, "x"), (Text, r"'a\', 'of Ann")]);
        check(r#"x "it\"s", 'of Ann"#, &[(Word, "x"), (Text, r#""it\"s", 'of Ann"#)]);
        check(r"x 'a\\', 'of Ann", &[(Word, "x"), (Text, r"'a\\'"), (Sign, ","), (Text, "'of Ann")]);
        check(r"x 'a\", &[(Word, "x"), (Text, r"'a\")]);
        let escaped = tokens(r"'a\' , 'b' c", EngineKind::Mysql, Backslash::Escapes);
        assert_eq!(escaped.first(), Some(&(Text, r"'a\' , '")));
        check("\"cut off", &[(Text, "\"cut off")]);
        check(
            "1 1.5 .5 2e-3 0x1F",
            &[(Number, "1"), (Number, "1.5"), (Sign, "."), (Number, "5"), (Number, "2e-3"), (Number, "0x1F")],
        );
        check("1st t1 `2` größe", &[(Word, "1st"), (Word, "t1"), (Quoted, "`2`"), (Word, "größe")]);
        check("5--1 -- of Ann", &[(Number, "5"), (Sign, "-"), (Sign, "-"), (Number, "1"), (Comment, "-- of Ann")]);
        check(
            "/* Ann */ /*!50701 1 */ # x\n2",
            &[
                (Comment, "/* Ann */"),
                (Sign, "/*!50701"),
                (Number, "1"),
                (Sign, "*"),
                (Sign, "/"),
                (Comment, "# x"),
                (Number, "2"),
            ],
        );
    }
}
