//! A plain dump, statement by statement, in constant memory: what psql would send, without keeping the rows of COPY.
//!
//! Quotes, comments and psql's own lines decide where a statement ends, as chapter "Lexical Structure" of the manual and psql's
//! scanner have it. Of a long statement only the head is kept: enough to say what it is.

use std::io::{self, BufRead};
use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind};

/// Bytes kept of one statement.
pub const HEAD_BYTES: usize = 64 * 1024;

/// One part of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Without its semicolon. Lines count from 1.
    Statement { text: String, line: u64, cut: bool },
    /// A line of psql's own, backslash included: `\connect shop`.
    Meta { text: String, line: u64 },
    /// A `--` line between statements: dumps state versions there.
    Comment { text: String },
}

/// What the script ended in the middle of, if anything: a dump that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    Statement {
        line: u64,
    },
    /// COPY data without its closing `\.`.
    CopyData {
        line: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Between,
    Statement,
    LineComment,
    BlockComment {
        depth: u32,
        last: u8,
    },
    Quoted {
        close: u8,
        escapes: bool,
        escaped: bool,
    },
    DollarTag {
        tag: Vec<u8>,
    },
    Dollar {
        tag: Vec<u8>,
        matched: usize,
    },
    MetaLine,
    /// The rest of the line on which COPY … FROM stdin ended.
    CopyLine,
    CopyData {
        line_so_far: CopyLineStart,
    },
}

/// Whether a line of COPY data can still be the closing `\.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CopyLineStart {
    Nothing,
    Backslash,
    End,
    Data,
}

/// Reads [`Part`]s off a script.
pub struct Scanner<R> {
    reader: R,
    state: State,
    /// State to go back to at the end of a comment.
    outer: State,
    line: u64,
    started: u64,
    head: Vec<u8>,
    cut: bool,
    parens: u32,
    /// The byte before, and the one before that, as far as they can form a pair with the next: a comment's or string's do not.
    previous: u8,
    before_previous: u8,
    /// Escapes of the string that `previous` closed: `E'it''s'` goes on as it began.
    closed_escapes: bool,
}

impl<R: BufRead> Scanner<R> {
    pub fn new(reader: R) -> Scanner<R> {
        Scanner {
            reader,
            state: State::Between,
            outer: State::Between,
            line: 1,
            started: 1,
            head: Vec::new(),
            cut: false,
            parens: 0,
            previous: b'\n',
            before_previous: b'\n',
            closed_escapes: false,
        }
    }

    /// The next part; nothing at the end.
    ///
    /// # Errors
    /// Those of reading, which includes a compressed stream that is damaged or cut short.
    pub fn next_part(&mut self) -> io::Result<Option<Part>> {
        loop {
            if self.state == (State::CopyData { line_so_far: CopyLineStart::Data }) {
                if !self.skip_copy_line()? {
                    return Ok(None);
                }
                continue;
            }
            let Some(byte) = self.peek()? else { return Ok(self.last_part()) };
            self.reader.consume(1);
            let part = self.take(byte);
            if byte == b'\n' {
                self.line += 1;
            }
            if part.is_some() {
                return Ok(part);
            }
        }
    }

    /// To be asked after the last part.
    pub fn unfinished(&self) -> Option<Unfinished> {
        match &self.state {
            State::CopyData { line_so_far: CopyLineStart::End } => None,
            State::CopyLine | State::CopyData { .. } => Some(Unfinished::CopyData { line: self.started }),
            State::Quoted { .. } | State::Dollar { .. } | State::DollarTag { .. } | State::Statement => {
                Some(Unfinished::Statement { line: self.started })
            }
            State::BlockComment { .. } | State::LineComment if self.outer == State::Statement => {
                Some(Unfinished::Statement { line: self.started })
            }
            _ => None,
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The rest of a row, which no closing `\.` can be in: most of a dump's bytes. Whether anything comes after it.
    fn skip_copy_line(&mut self) -> io::Result<bool> {
        let skipped = self.reader.skip_until(b'\n')?;
        self.line += u64::from(skipped > 0);
        let more = self.peek()?.is_some();
        if more {
            self.state = State::CopyData { line_so_far: CopyLineStart::Nothing };
        }
        Ok(more)
    }

    fn take(&mut self, byte: u8) -> Option<Part> {
        match &mut self.state {
            State::Between => self.begin(byte),
            State::Statement => self.in_statement(byte),
            State::LineComment => self.in_line_comment(byte),
            State::BlockComment { .. } => self.in_block_comment(byte),
            State::Quoted { .. } => self.in_quoted(byte),
            State::DollarTag { .. } => self.in_dollar_tag(byte),
            State::Dollar { .. } => self.in_dollar(byte),
            State::MetaLine => self.in_meta_line(byte),
            State::CopyLine => {
                if byte == b'\n' {
                    self.state = State::CopyData { line_so_far: CopyLineStart::Nothing };
                }
                None
            }
            State::CopyData { line_so_far } => {
                *line_so_far = match (*line_so_far, byte) {
                    (CopyLineStart::End, b'\n') => {
                        self.state = State::Between;
                        return None;
                    }
                    (_, b'\n') => CopyLineStart::Nothing,
                    (CopyLineStart::Nothing, b'\\') => CopyLineStart::Backslash,
                    (CopyLineStart::Backslash, b'.') => CopyLineStart::End,
                    (CopyLineStart::End, b'\r') => CopyLineStart::End,
                    _ => CopyLineStart::Data,
                };
                None
            }
        }
    }

    fn begin(&mut self, byte: u8) -> Option<Part> {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | b';' => None,
            // A byte order mark counts as space at the very beginning.
            0xef | 0xbb | 0xbf if self.line == 1 => None,
            b'\\' => {
                self.restart(State::MetaLine);
                self.keep(byte);
                None
            }
            _ => {
                self.restart(State::Statement);
                self.in_statement(byte)
            }
        }
    }

    fn restart(&mut self, state: State) {
        self.state = state;
        self.started = self.line;
        self.head.clear();
        self.cut = false;
        self.parens = 0;
        self.step_over(b'\n');
    }

    /// Goes on as if this byte had come before.
    fn step_over(&mut self, byte: u8) {
        (self.before_previous, self.previous) = (b'\n', byte);
    }

    fn keep(&mut self, byte: u8) {
        if self.head.len() < HEAD_BYTES {
            self.head.push(byte);
        } else {
            self.cut = true;
        }
    }

    fn in_statement(&mut self, byte: u8) -> Option<Part> {
        match byte {
            b';' if self.parens == 0 => return self.end_statement(),
            b'-' if self.previous == b'-' => {
                // Between statements a comment is a part of its own.
                self.outer = if self.head == b"-" { State::Between } else { State::Statement };
                self.keep(byte);
                self.state = State::LineComment;
                return None;
            }
            b'*' if self.previous == b'/' => {
                self.outer = if self.head == b"/" { State::Between } else { State::Statement };
                self.keep(byte);
                self.state = State::BlockComment { depth: 1, last: 0 };
                return None;
            }
            b'\'' => {
                let goes_on = self.previous == b'\'';
                let escapes = if goes_on {
                    self.closed_escapes
                } else {
                    matches!(self.previous, b'e' | b'E') && !is_word(self.before_previous)
                };
                self.state = State::Quoted { close: b'\'', escapes, escaped: false };
            }
            b'"' => self.state = State::Quoted { close: b'"', escapes: false, escaped: false },
            b'$' if !is_word(self.previous) => self.state = State::DollarTag { tag: Vec::new() },
            b'(' => self.parens += 1,
            b')' => self.parens = self.parens.saturating_sub(1),
            _ => {}
        }
        self.keep(byte);
        (self.before_previous, self.previous) = (self.previous, byte);
        None
    }

    fn in_line_comment(&mut self, byte: u8) -> Option<Part> {
        if byte != b'\n' {
            self.keep(byte);
            return None;
        }
        self.state = self.outer.clone();
        if self.state == State::Between {
            return Some(Part::Comment { text: lossy(&self.head).trim_end().to_owned() });
        }
        self.keep(byte);
        self.step_over(byte);
        None
    }

    fn in_block_comment(&mut self, byte: u8) -> Option<Part> {
        self.keep(byte);
        let State::BlockComment { depth, last } = &mut self.state else { return None };
        match (*last, byte) {
            (b'/', b'*') => (*depth, *last) = (*depth + 1, 0),
            (b'*', b'/') => (*depth, *last) = (*depth - 1, 0),
            _ => *last = byte,
        }
        if *depth == 0 {
            self.state = self.outer.clone();
            self.step_over(b' ');
        }
        None
    }

    fn in_quoted(&mut self, byte: u8) -> Option<Part> {
        self.keep(byte);
        let State::Quoted { close, escapes, escaped } = &mut self.state else { return None };
        if *escaped {
            *escaped = false;
        } else if *escapes && byte == b'\\' {
            *escaped = true;
        } else if byte == *close {
            self.closed_escapes = *escapes;
            self.state = State::Statement;
            self.step_over(byte);
        }
        None
    }

    fn in_dollar_tag(&mut self, byte: u8) -> Option<Part> {
        let State::DollarTag { tag } = &mut self.state else { return None };
        if byte == b'$' {
            let tag = std::mem::take(tag);
            self.state = State::Dollar { tag, matched: 0 };
            self.keep(byte);
            return None;
        }
        if is_word(byte) && byte != b'$' && !(tag.is_empty() && byte.is_ascii_digit()) {
            tag.push(byte);
            self.keep(byte);
            return None;
        }
        // `$1`, or a lone sign.
        self.state = State::Statement;
        self.step_over(b'$');
        self.in_statement(byte)
    }

    fn in_dollar(&mut self, byte: u8) -> Option<Part> {
        self.keep(byte);
        let State::Dollar { tag, matched } = &mut self.state else { return None };
        // `matched` counts the bytes of `$tag$` seen so far.
        let expected = if *matched == 0 || *matched > tag.len() { b'$' } else { tag[*matched - 1] };
        if byte == expected {
            *matched += 1;
            if *matched == tag.len() + 2 {
                self.state = State::Statement;
                self.step_over(b' ');
            }
        } else {
            *matched = usize::from(byte == b'$');
        }
        None
    }

    fn in_meta_line(&mut self, byte: u8) -> Option<Part> {
        if byte != b'\n' {
            self.keep(byte);
            return None;
        }
        self.state = State::Between;
        Some(Part::Meta { text: lossy(&self.head).trim_end().to_owned(), line: self.started })
    }

    fn end_statement(&mut self) -> Option<Part> {
        let text = lossy(&self.head);
        self.state = if reads_stdin(&text) { State::CopyLine } else { State::Between };
        Some(Part::Statement { text, line: self.started, cut: self.cut })
    }

    /// psql sends what stands after the last semicolon, too, and a last line need not end in a line feed.
    fn last_part(&mut self) -> Option<Part> {
        match self.state {
            State::MetaLine => self.in_meta_line(b'\n'),
            State::LineComment if self.outer == State::Between => self.in_line_comment(b'\n'),
            _ => None,
        }
    }
}

/// One word or sign of a statement, without white space and comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Folded to lower case, as the server does.
    Plain(String),
    /// An identifier in double quotes, without them.
    Quoted(String),
    /// A string, without its quotes where it has plain ones.
    Text(String),
    Sign(String),
}

impl Word {
    /// Whether it is this keyword: an identifier in quotes never is.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Word::Plain(word) if word == keyword)
    }

    pub fn is_sign(&self, sign: &str) -> bool {
        matches!(self, Word::Sign(word) if word == sign)
    }

    /// The name that it is, if it can be one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Word::Plain(name) | Word::Quoted(name) => Some(name),
            Word::Text(_) | Word::Sign(_) => None,
        }
    }
}

/// The words of one statement.
pub fn words(sql: &str) -> Vec<Word> {
    placed_words(sql).into_iter().map(|(word, _)| word).collect()
}

/// The words of one statement, each with the bytes that it takes up there.
pub fn placed_words(sql: &str) -> Vec<(Word, Range<usize>)> {
    let mut words = Vec::new();
    let mut rest = sql;
    for token in squawk_lexer::tokenize(sql) {
        let (text, after) = rest.split_at(token.len as usize);
        rest = after;
        let word = match token.kind {
            TokenKind::Eof => break,
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => continue,
            TokenKind::Ident => Word::Plain(text.to_lowercase()),
            TokenKind::QuotedIdent { .. } => Word::Quoted(unquote(text, '"')),
            TokenKind::Literal { kind: LiteralKind::Str { .. } } => Word::Text(unquote(text, '\'')),
            TokenKind::Literal { .. } => Word::Text(text.to_owned()),
            _ => Word::Sign(text.to_owned()),
        };
        let end = sql.len() - rest.len();
        words.push((word, end - text.len()..end));
    }
    words
}

fn unquote(text: &str, quote: char) -> String {
    let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)).unwrap_or(text);
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}

fn reads_stdin(sql: &str) -> bool {
    let begins_with_copy = sql.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("copy"));
    begins_with_copy && words(sql).windows(2).any(|pair| pair[0].is("from") && pair[1].is("stdin"))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
