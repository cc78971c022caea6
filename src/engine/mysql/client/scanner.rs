//! Where a statement ends, as the client finds it: line by line, outside of quotes and comments, at the delimiter.

use super::command::{is_long, takes_argument};
use crate::engine::EngineKind;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A delimiter: what was read before it is a statement.
    Statement,
    /// A command of the client's, with its argument.
    Command(String),
    EndOfLine,
}

/// One file's text as it is read.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    line: String,
    /// Bytes of the line that were read.
    at: usize,
    /// The line's number in its file.
    number: usize,
    /// Nothing of the line was read yet.
    at_start: bool,
    /// Of the statement so far.
    buffer: String,
    /// The line on which the statement begins.
    begins: usize,
    quote: Option<char>,
    /// Inside `/* … */`.
    comment: bool,
    /// Inside one that the server reads.
    for_server: bool,
    /// A comment of the statement ended just now.
    needs_space: bool,
}

impl Scanner {
    pub fn feed(&mut self, mut line: String, number: usize) {
        if line.ends_with('\r') {
            line.pop();
        }
        // The end of the last line stands between its text and this one's.
        if !self.buffer.is_empty() || self.quote.is_some() {
            self.buffer.push('\n');
        }
        (self.line, self.at, self.number, self.at_start) = (line, 0, number, true);
    }

    /// Nothing more of the line is read.
    pub fn drop_line(&mut self) {
        self.at = self.line.len();
    }

    /// What was read of a statement, and the line on which it begins.
    pub fn take(&mut self) -> Option<(String, usize)> {
        let text = std::mem::take(&mut self.buffer);
        let text = text.trim_end();
        (!text.is_empty()).then(|| (text.to_owned(), self.begins))
    }

    /// Forgets the statement that is being read.
    pub fn clear(&mut self) {
        (self.buffer, self.quote, self.comment, self.for_server, self.needs_space) = Default::default();
    }

    /// Reads on to the next stop.
    pub fn scan(&mut self, delimiter: &str, backslash_escapes: bool, engine: EngineKind) -> Stop {
        let keeps_comments = engine == EngineKind::Mysql;
        if std::mem::take(&mut self.at_start)
            && self.buffer.is_empty()
            && self.quote.is_none()
            && !self.comment
            && self.is_command(delimiter)
        {
            return self.rest_as_command();
        }
        while let Some(next) = self.rest().chars().next() {
            let rest = self.rest();
            if self.comment {
                if rest.starts_with("*/") {
                    self.comment = false;
                    self.go(2, keeps_comments);
                    self.needs_space = !self.buffer.is_empty();
                } else {
                    self.go(next.len_utf8(), keeps_comments);
                }
            } else if let Some(quote) = self.quote {
                self.in_quote(quote, next, backslash_escapes);
            } else if rest.starts_with(delimiter) {
                self.go(delimiter.len(), false);
                // The client knows its commands there as well: `source more.sql;`.
                if is_long(self.buffer.trim()) {
                    return Stop::Command(self.take().map(|(text, _)| text).unwrap_or_default());
                }
                return Stop::Statement;
            } else if next == '\\' {
                match self.backslash() {
                    Some(stop) => return stop,
                    None => self.go(1, true),
                }
            } else if self.begins_line_comment(engine) {
                // One that stands before a statement is sent by itself, to no effect.
                let (length, inside) = (rest.len(), !self.buffer.is_empty());
                self.go(length, keeps_comments && inside);
            } else if self.buffer.is_empty() && begins_with_word(rest, "delimiter") {
                // Only at a line's beginning does the client see what stands behind it.
                self.at = self.line.len();
                return Stop::Command("delimiter".to_owned());
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let for_server = is_for_server(inside, engine);
                (self.comment, self.for_server) = (!for_server, for_server || self.for_server);
                self.go(2, keeps_comments || for_server);
            } else if self.for_server && rest.starts_with("*/") {
                self.for_server = false;
                self.go(2, true);
            } else {
                if matches!(next, '\'' | '"' | '`') {
                    self.quote = Some(next);
                }
                // The client drops what stands before a statement.
                let leads = next.is_whitespace() && self.buffer.is_empty();
                self.go(next.len_utf8(), !leads);
            }
        }
        Stop::EndOfLine
    }

    fn rest(&self) -> &str {
        &self.line[self.at..]
    }

    /// Steps over so many bytes, and keeps them.
    fn go(&mut self, bytes: usize, keep: bool) {
        if keep {
            if self.buffer.is_empty() {
                self.begins = self.number;
            }
            // The clients part what stood on either side of a comment.
            if std::mem::take(&mut self.needs_space) && !self.rest().starts_with(char::is_whitespace) {
                self.buffer.push(' ');
            }
            self.buffer.push_str(&self.line[self.at..self.at + bytes]);
        }
        self.at += bytes;
    }

    fn in_quote(&mut self, quote: char, next: char, backslash_escapes: bool) {
        if next == '\\' && backslash_escapes && quote != '`' {
            let escaped = self.rest()[1..].chars().next();
            self.go(1 + escaped.map_or(0, char::len_utf8), true);
            return;
        }
        // A doubled quote closes and opens again, which comes to the same.
        if next == quote {
            self.quote = None;
        }
        self.go(next.len_utf8(), true);
    }

    /// `#`, or `--` with a space, a control character or the line's end behind it; at the very start of a statement, `--` alone, which
    /// MySQL's client would send, and its server refuse.
    fn begins_line_comment(&self, engine: EngineKind) -> bool {
        let rest = self.rest();
        rest.starts_with('#')
            || rest.strip_prefix("--").is_some_and(|rest| {
                rest.chars().next().is_none_or(|next| next.is_whitespace() || next.is_control())
                    || (self.buffer.is_empty() && self.at == 0 && engine == EngineKind::Mariadb)
            })
    }

    /// A line that holds the delimiter is none, save `delimiter` itself.
    fn is_command(&self, delimiter: &str) -> bool {
        let line = self.line.trim_start();
        begins_with_word(line, "delimiter") || (is_long(line) && !line.contains(delimiter) && !line.contains("\\g"))
    }

    fn rest_as_command(&mut self) -> Stop {
        let text = self.rest().trim_start().to_owned();
        self.at = self.line.len();
        Stop::Command(text)
    }

    /// A command by its letter. `\N` is NULL, and part of the statement.
    fn backslash(&mut self) -> Option<Stop> {
        let letter = self.rest()[1..].chars().next()?;
        if letter == 'N' {
            return None;
        }
        if takes_argument(letter) {
            return Some(self.rest_as_command());
        }
        let text = self.rest()[..1 + letter.len_utf8()].to_owned();
        self.at += text.len();
        Some(Stop::Command(text))
    }
}

/// Whether a comment that goes on with this text is read by the server: `/*! … */` on both, MariaDB's own `/*M! … */`, and on MySQL the
/// hints in `/*+ … */`.
pub(in crate::engine::mysql) fn is_for_server(rest: &str, engine: EngineKind) -> bool {
    rest.starts_with('!') || rest.starts_with(if engine == EngineKind::Mysql { "+" } else { "M!" })
}

/// Whether text begins with this word, in letters of either kind, and whitespace or nothing behind it.
fn begins_with_word(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        && text[word.len()..].chars().next().is_none_or(char::is_whitespace)
}
