//! The words of one statement, outside of comments and texts: what it begins with, and what it could name.

/// What a statement's words tell of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Its bare words in order, in capitals.
    pub bare: Vec<String>,
    /// Whatever could be a name, in order and in small letters: words, and what stands in backquotes or in quotes.
    pub names: Vec<String>,
}

/// The words of a statement (chapters "Comments", "Schema Object Names" and "String Literals" of the manuals). Comments that the server
/// reads (`/*! … */`) are part of it.
pub fn words(sql: &str) -> Words {
    let mut words = Words::default();
    let mut rest = sql;
    let mut for_server = false;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '/' if rest.starts_with("/*") => match server_comment(rest) {
                Some(opening) => {
                    for_server = true;
                    opening
                }
                None => rest.find("*/").map_or(rest.len(), |end| end + 2),
            },
            '*' if for_server && rest.starts_with("*/") => {
                for_server = false;
                2
            }
            '#' => line(rest),
            '-' if rest.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(char::is_whitespace)) => {
                line(rest)
            }
            '\'' => quoted(rest, '\'').0,
            // A name where sql_mode says so, else a text.
            '"' | '`' => {
                let (taken, text) = quoted(rest, next);
                words.names.push(text.to_lowercase());
                taken
            }
            // A name may hold digits and begin with them; a number is no harm among the names.
            _ if is_of_word(next) => {
                let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
                words.names.push(rest[..end].to_lowercase());
                words.bare.push(rest[..end].to_uppercase());
                end
            }
            _ => next.len_utf8(),
        };
        rest = &rest[taken..];
    }
    words
}

impl Words {
    /// Whether it begins with these words.
    pub fn begin(&self, with: &[&str]) -> bool {
        self.bare.len() >= with.len() && self.bare.iter().zip(with).all(|(own, word)| own == word)
    }

    /// Whether that is among its bare words.
    pub fn has(&self, word: &str) -> bool {
        self.bare.iter().any(|own| own == word)
    }
}

/// The length of what opens a comment that the server reads, with its version number; none where it reads nothing of it.
fn server_comment(rest: &str) -> Option<usize> {
    let opening = ["/*!", "/*M!"].into_iter().find(|opening| rest.starts_with(opening))?;
    let digits = rest[opening.len()..].bytes().take_while(u8::is_ascii_digit).count();
    Some(opening.len() + digits)
}

fn line(rest: &str) -> usize {
    rest.find('\n').map_or(rest.len(), |end| end + 1)
}

/// The length of a text or a name in quotes, and what it holds. A backslash is taken to escape, so that no text ends too early.
fn quoted(rest: &str, quote: char) -> (usize, String) {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote != '`' {
            text.extend(chars.next().map(|(_, escaped)| escaped));
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return (at + c.len_utf8(), text);
        } else {
            text.push(c);
        }
    }
    (rest.len(), text)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_the_server_reads() {
        let check = |sql: &str, bare: &str, names: &[&str]| {
            let found = words(sql);
            assert_eq!(found.bare.join(" "), bare, "{sql}");
            assert_eq!(found.names.iter().map(String::as_str).collect::<Vec<_>>(), names, "{sql}");
        };
        check(
            "ALTER TABLE `a``B` -- x\n ADD c INT",
            "ALTER TABLE ADD C INT",
            &["alter", "table", "a`b", "add", "c", "int"],
        );
        check(
            "UPDATE t SET a = 'it''s \\' b', c=\"d\" # e\n",
            "UPDATE T SET A C",
            &["update", "t", "set", "a", "c", "d"],
        );
        check("/*!40000 ALTER TABLE t */ /* no */ x", "ALTER TABLE T X", &["alter", "table", "t", "x"]);
        check("SELECT 1--1, 'open", "SELECT 1 1", &["select", "1", "1"]);
        check("/*M!100100 SET a */; /* open", "SET A", &["set", "a"]);
        assert!(words("create  temporary\ntable t").begin(&["CREATE", "TEMPORARY"]));
    }
}
