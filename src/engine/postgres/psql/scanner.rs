//! Where a statement ends, by psql's own rules: a scanner fed line by line that keeps its state between lines.
//!
//! It works as psql's does (from 15 on, which sends comments within a statement): quotes, dollar quotes, nested comments,
//! parentheses, bodies of `BEGIN ATOMIC`, `\;`, and variables put in before anything else is looked at. Nothing but variables is
//! ever changed in the text. What a parser would call an error is text like any other: the server judges it.

use super::variables::{Variables, as_identifier, as_literal, is_variable_byte};

/// Why scanning paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A statement is complete in the buffer, its semicolon included.
    Semicolon,
    /// A backslash command begins: what follows the backslash is unread.
    Backslash,
    EndOfLine,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Sql,
    /// With the depth of nesting, from 1.
    Comment(usize),
    Quoted,
    /// `E'…'`, and any string when `standard_conforming_strings` is off.
    Escaped,
    Identifier,
    /// With its delimiter, `$tag$`.
    Dollar(String),
}

/// The line, or a variable's value put into it.
#[derive(Debug)]
struct Input {
    text: String,
    at: usize,
    variable: Option<String>,
}

/// The state of one script file.
#[derive(Debug, Default)]
pub struct Scanner {
    mode: Mode,
    parentheses: usize,
    body: RoutineBody,
    /// The line at the bottom, values of variables on top.
    inputs: Vec<Input>,
    buffer: String,
    /// Length of the statement after the line end that the last line added.
    newline_at: Option<usize>,
    /// Lines read so far.
    read: usize,
    /// The line being scanned, from 1; COPY's rows may have been read since.
    line: usize,
    /// Line and column (bytes, from 1) of the statement's first word.
    start: Option<(usize, usize)>,
}

/// Whether semicolons belong to the body of a routine: psql's own heuristic, since it has no parser either.
#[derive(Debug, Default)]
struct RoutineBody {
    words: usize,
    /// The first letters of the statement's first words, where they are CREATE, OR, REPLACE, FUNCTION, PROCEDURE.
    first: [u8; 4],
    depth: usize,
}

impl RoutineBody {
    fn word(&mut self, word: &str, in_parentheses: bool) {
        const OPENERS: [&str; 5] = ["create", "function", "procedure", "or", "replace"];
        if self.words == 0 {
            self.first = [0; 4];
        }
        if OPENERS.iter().any(|opener| word.eq_ignore_ascii_case(opener))
            && let Some(slot) = self.first.get_mut(self.words)
        {
            *slot = word.as_bytes()[0].to_ascii_lowercase();
        }
        self.words += 1;
        let routine = matches!(self.first, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']);
        if !routine || in_parentheses {
            return;
        }
        if word.eq_ignore_ascii_case("begin") || (self.depth > 0 && word.eq_ignore_ascii_case("case")) {
            self.depth += 1;
        } else if word.eq_ignore_ascii_case("end") {
            self.depth = self.depth.saturating_sub(1);
        }
    }
}

impl Scanner {
    /// Gives the scanner its next line, without the line's end.
    pub fn feed(&mut self, line: String) {
        debug_assert!(self.inputs.is_empty(), "the last line was scanned to its end");
        self.newline_at = (!self.buffer.is_empty()).then(|| {
            self.buffer.push('\n');
            self.buffer.len()
        });
        self.read += 1;
        self.line = self.read;
        self.inputs = vec![Input { text: line, at: 0, variable: None }];
    }

    /// The line counter, for lines that went elsewhere (COPY data).
    pub fn skip_line(&mut self) {
        self.read += 1;
    }

    pub fn begin_at_line(&mut self, first: usize) {
        self.read = first.saturating_sub(1);
    }

    /// Lines read so far, those for COPY among them.
    pub fn lines_read(&self) -> usize {
        self.read
    }

    /// The line being scanned, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The statement so far.
    pub fn buffer(&self) -> &str {
        &self.buffer
    }

    pub fn parentheses(&self) -> usize {
        self.parentheses
    }

    /// Goes back to an earlier length and depth: the text of a branch not taken.
    pub fn truncate(&mut self, length: usize, parentheses: usize) {
        self.buffer.truncate(length);
        self.parentheses = parentheses;
        if length == 0 {
            self.start = None;
        }
    }

    /// Takes the statement out, with line and column of its first word.
    pub fn take(&mut self) -> (String, usize, usize) {
        let (line, column) = self.start.take().unwrap_or((self.line, 1));
        self.parentheses = 0;
        self.body = RoutineBody::default();
        (std::mem::take(&mut self.buffer), line, column)
    }

    /// Drops the statement so far, as `\r` does.
    pub fn reset(&mut self) {
        self.take();
        self.mode = Mode::Sql;
    }

    /// Whether something may be appended to the statement as a further one: nothing in it is left open.
    pub fn is_closed(&self) -> bool {
        self.mode == Mode::Sql && self.parentheses == 0 && self.body.depth == 0
    }

    /// Reads on to the next stop. `standard_strings` is the session's `standard_conforming_strings`.
    pub fn scan(&mut self, variables: Option<&Variables>, standard_strings: bool) -> Stop {
        loop {
            let Some(input) = self.inputs.last() else { return Stop::EndOfLine };
            if input.at >= input.text.len() {
                self.inputs.pop();
                continue;
            }
            match self.mode {
                Mode::Sql => {
                    if let Some(stop) = self.scan_sql(variables, standard_strings) {
                        return stop;
                    }
                }
                Mode::Comment(depth) => self.scan_comment(depth),
                Mode::Quoted => self.scan_to("'"),
                Mode::Identifier => self.scan_to("\""),
                Mode::Escaped => self.scan_escaped(),
                Mode::Dollar(_) => self.scan_dollar(),
            }
        }
    }

    /// What is left of the input on top.
    fn rest(&self) -> &str {
        self.inputs.last().map(|input| &input.text[input.at..]).unwrap_or_default()
    }

    /// Moves on without emitting.
    fn skip(&mut self, bytes: usize) {
        if let Some(input) = self.inputs.last_mut() {
            input.at += bytes;
        }
    }

    /// Moves so many bytes of the input to the statement.
    fn emit(&mut self, bytes: usize) {
        if let Some(input) = self.inputs.last_mut() {
            self.buffer.push_str(&input.text[input.at..input.at + bytes]);
            input.at += bytes;
        }
    }

    /// As [`Scanner::emit`], for what is neither white space nor comment.
    fn emit_token(&mut self, bytes: usize) {
        if self.start.is_none() {
            let column = self.inputs.first().map_or(1, |line| line.at + 1);
            self.start = Some((self.line, column));
        }
        self.emit(bytes);
    }

    fn scan_sql(&mut self, variables: Option<&Variables>, standard_strings: bool) -> Option<Stop> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        match bytes[0] {
            byte if is_space(byte) => self.emit_blank(span(rest, is_space)),
            b'-' if rest.starts_with("--") => self.emit_blank(span(rest, |byte| byte != b'\n' && byte != b'\r')),
            b'/' if rest.starts_with("/*") => {
                self.mode = Mode::Comment(1);
                self.emit(2);
            }
            b'\'' => self.open(if standard_strings { Mode::Quoted } else { Mode::Escaped }, 1),
            b'"' => self.open(Mode::Identifier, 1),
            b'$' => self.scan_dollar_sign(),
            b'(' => {
                self.parentheses += 1;
                self.emit_token(1);
            }
            b')' => {
                self.parentheses = self.parentheses.saturating_sub(1);
                self.emit_token(1);
            }
            b';' => return self.scan_semicolon(),
            b'\\' => return self.scan_backslash(),
            b':' => self.scan_colon(variables),
            byte if byte.is_ascii_digit() => self.emit_token(number(rest)),
            byte if is_word_start(byte) => self.scan_word(standard_strings),
            _ => self.emit_token(1),
        }
        None
    }

    /// White space and `--` comments are dropped before a statement and kept within it.
    fn emit_blank(&mut self, bytes: usize) {
        if self.buffer.is_empty() { self.skip(bytes) } else { self.emit(bytes) }
    }

    fn open(&mut self, mode: Mode, bytes: usize) {
        self.mode = mode;
        self.emit_token(bytes);
    }

    fn scan_semicolon(&mut self) -> Option<Stop> {
        self.emit_token(1);
        if self.parentheses > 0 || self.body.depth > 0 {
            return None;
        }
        self.body.words = 0;
        Some(Stop::Semicolon)
    }

    fn scan_backslash(&mut self) -> Option<Stop> {
        let forced = self.rest().as_bytes().get(1).copied();
        self.skip(1);
        match forced {
            Some(byte @ (b';' | b':')) => {
                if byte == b';' {
                    self.body.words = 0;
                }
                self.emit_token(1);
                None
            }
            _ => {
                // A line with nothing before its command adds no line end.
                if self.newline_at.take() == Some(self.buffer.len()) {
                    self.buffer.pop();
                }
                Some(Stop::Backslash)
            }
        }
    }

    fn scan_word(&mut self, standard_strings: bool) {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let quote = match (bytes[0], bytes.get(1), bytes.get(2)) {
            (b'e' | b'E', Some(b'\''), _) => Some((Mode::Escaped, 2)),
            (b'b' | b'B' | b'x' | b'X', Some(b'\''), _) => Some((Mode::Quoted, 2)),
            (b'n' | b'N', Some(b'\''), _) => Some((if standard_strings { Mode::Quoted } else { Mode::Escaped }, 2)),
            (b'u' | b'U', Some(b'&'), Some(b'\'')) => Some((Mode::Quoted, 3)),
            (b'u' | b'U', Some(b'&'), Some(b'"')) => Some((Mode::Identifier, 3)),
            _ => None,
        };
        if let Some((mode, bytes)) = quote {
            return self.open(mode, bytes);
        }
        let length = span(rest, is_word_byte);
        let word = rest[..length].to_owned();
        self.body.word(&word, self.parentheses > 0);
        self.emit_token(length);
    }

    fn scan_dollar_sign(&mut self) {
        let rest = self.rest();
        match dollar_delimiter(rest) {
            Some(delimiter) => {
                let (mode, length) = (Mode::Dollar(delimiter.to_owned()), delimiter.len());
                self.open(mode, length);
            }
            None => {
                let digits = span(&rest[1..], |byte| byte.is_ascii_digit());
                self.emit_token(1 + digits);
            }
        }
    }

    fn scan_colon(&mut self, variables: Option<&Variables>) {
        let rest = self.rest();
        if rest.starts_with("::") || rest.starts_with(":=") {
            return self.emit_token(2);
        }
        match (variable_reference(rest), variables) {
            (Some(reference), Some(variables)) => {
                let (length, form) = (reference.length, reference.form);
                let name = reference.name.to_owned();
                self.put_variable(&name, form, length, variables);
            }
            // In a branch that is not taken, variables do not exist.
            (Some(reference), None) if reference.form == Form::Plain => self.emit_token(reference.length),
            _ => self.emit_token(1),
        }
    }

    fn put_variable(&mut self, name: &str, form: Form, length: usize, variables: &Variables) {
        let value = variables.get(name);
        match (form, value) {
            (Form::Plain, Some(value)) => {
                if self.inputs.iter().any(|input| input.variable.as_deref() == Some(name)) {
                    return self.emit_token(length);
                }
                let value = value.to_owned();
                self.skip(length);
                self.inputs.push(Input { text: value, at: 0, variable: Some(name.to_owned()) });
            }
            (Form::Literal, Some(value)) => self.replace(length, &as_literal(value)),
            (Form::Identifier, Some(value)) => self.replace(length, &as_identifier(value)),
            (Form::Test, value) => self.replace(length, if value.is_some() { "TRUE" } else { "FALSE" }),
            (_, None) => self.emit_token(length),
        }
    }

    /// Puts text in the place of the next bytes.
    fn replace(&mut self, bytes: usize, text: &str) {
        self.emit_token(0);
        self.skip(bytes);
        self.buffer.push_str(text);
    }

    fn scan_comment(&mut self, depth: usize) {
        let rest = self.rest();
        let next =
            rest.find("/*").map(|at| (at, depth + 1)).into_iter().chain(rest.find("*/").map(|at| (at, depth - 1)));
        match next.min() {
            Some((at, depth)) => {
                self.mode = if depth == 0 { Mode::Sql } else { Mode::Comment(depth) };
                self.emit(at + 2);
            }
            None => self.emit(rest.len()),
        }
    }

    /// To the closing quote; a doubled one closes and opens again, which comes to the same.
    fn scan_to(&mut self, quote: &str) {
        let rest = self.rest();
        match rest.find(quote) {
            Some(at) => {
                self.mode = Mode::Sql;
                self.emit(at + quote.len());
                // A doubled quote must not be taken for a new string of another kind.
                if self.rest().starts_with(quote) {
                    self.mode = if quote == "'" { Mode::Quoted } else { Mode::Identifier };
                    self.emit(quote.len());
                }
            }
            None => self.emit(rest.len()),
        }
    }

    fn scan_escaped(&mut self) {
        let rest = self.rest();
        let Some(at) = rest.find(['\\', '\'']) else { return self.emit(rest.len()) };
        let after = &rest[at + 1..];
        if rest.as_bytes()[at] == b'\\' {
            let escaped = after.chars().next().map_or(0, char::len_utf8);
            self.emit(at + 1 + escaped);
        } else if after.starts_with('\'') {
            self.emit(at + 2);
        } else {
            self.mode = Mode::Sql;
            self.emit(at + 1);
        }
    }

    fn scan_dollar(&mut self) {
        let Mode::Dollar(delimiter) = &self.mode else { return };
        let rest = self.rest();
        match rest.find(delimiter.as_str()) {
            Some(at) => {
                let length = at + delimiter.len();
                self.mode = Mode::Sql;
                self.emit(length);
            }
            None => self.emit(rest.len()),
        }
    }
}

/// Reading a backslash command's name and arguments.
impl Scanner {
    /// The command's name: everything up to white space or a backslash.
    pub fn command_name(&mut self) -> String {
        let length = span(self.rest(), |byte| !is_command_space(byte) && byte != b'\\');
        let name = self.rest()[..length].to_owned();
        self.skip(length);
        name
    }

    /// What is left of the line's innermost input, for [`super::command`] to read arguments from, and how far it came.
    pub fn with_rest<T>(&mut self, read: impl FnOnce(&str) -> (T, usize)) -> T {
        let (result, length) = read(self.rest());
        self.skip(length);
        result
    }

    /// Drops the rest of the line, as psql does after a command that it could not carry out.
    pub fn drop_line(&mut self) {
        self.inputs.clear();
    }
}

/// How a variable is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    Literal,
    Identifier,
    Test,
}

/// A reference to a variable, from its colon on.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    pub name: &'a str,
    pub form: Form,
    /// Bytes of the whole reference.
    pub length: usize,
}

/// Reads `:name`, `:'name'`, `:"name"` or `:{?name}` at the beginning of the text.
pub fn variable_reference(text: &str) -> Option<Reference<'_>> {
    let (form, open, close) = match text.get(1..)? {
        rest if rest.starts_with('\'') => (Form::Literal, 2, "'"),
        rest if rest.starts_with('"') => (Form::Identifier, 2, "\""),
        rest if rest.starts_with("{?") => (Form::Test, 3, "}"),
        _ => (Form::Plain, 1, ""),
    };
    let name = &text[open..open + span(&text[open..], is_variable_byte)];
    let length = open + name.len() + close.len();
    (!name.is_empty() && text[open + name.len()..].starts_with(close)).then_some(Reference { name, form, length })
}

/// `$tag$` at the beginning of the text.
fn dollar_delimiter(text: &str) -> Option<&str> {
    let tag = &text[1..];
    let length = span(tag, |byte| is_word_byte(byte) && byte != b'$');
    let starts_well = length == 0 || is_word_start(tag.as_bytes()[0]);
    (starts_well && tag[length..].starts_with('$')).then(|| &text[..length + 2])
}

/// Length of a number, and of the letters stuck to it, which never begin a string.
fn number(text: &str) -> usize {
    span(text, |byte| is_word_byte(byte) && byte != b'$')
}

/// Length of the beginning whose bytes all fit.
fn span(text: &str, fits: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !fits(byte)).unwrap_or(text.len())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | 0x0b)
}

fn is_command_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_byte(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}
