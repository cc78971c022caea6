//! Arguments of a backslash command, read as psql reads them.

use super::scanner::{Form, variable_reference};
use super::variables::{Variables, as_identifier, as_literal};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error("unterminated quoted string")]
    Unterminated,
    /// A shell command in backquotes.
    #[error("a shell command in backquotes")]
    Backquotes,
}

/// One argument, quotes resolved and variables put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub text: String,
    /// Some part of it was quoted or came from a variable.
    pub quoted: bool,
    /// It names a variable that is not set, left as it stands.
    pub unresolved: bool,
    /// Bytes at its end that were not quoted: psql strips semicolons only from these.
    bare_end: usize,
}

impl Argument {
    /// Without the semicolons that people put behind a command.
    #[must_use]
    pub fn without_semicolons(mut self) -> Argument {
        while self.bare_end > 0 && self.text.ends_with(';') {
            self.text.pop();
            self.bare_end -= 1;
        }
        self
    }
}

/// Reads the next argument, and how many bytes that took; none at the end of the command. Without `variables`, in a branch not
/// taken, nothing is put in.
pub fn argument(rest: &str, variables: Option<&Variables>) -> (Result<Option<Argument>, ArgumentError>, usize) {
    let mut reading = Reading { rest, at: 0, variables, argument: None };
    let result = reading.run();
    let length = if result.is_err() { rest.len() } else { reading.at };
    (result.map(|()| reading.argument), length)
}

/// Bytes of the `\\` that ends a command, if it is there.
pub fn separator(rest: &str) -> ((), usize) {
    ((), if rest.starts_with("\\\\") { 2 } else { 0 })
}

struct Reading<'a> {
    rest: &'a str,
    at: usize,
    variables: Option<&'a Variables>,
    argument: Option<Argument>,
}

impl<'a> Reading<'a> {
    fn run(&mut self) -> Result<(), ArgumentError> {
        self.at = self.rest.len() - self.rest.trim_start_matches(is_space).len();
        while let Some(next) = self.left().chars().next() {
            match next {
                '\\' => return Ok(()),
                c if is_space(c) => return Ok(()),
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '`' => return Err(ArgumentError::Backquotes),
                ':' => self.colon(),
                c => {
                    let argument = self.argument();
                    argument.text.push(c);
                    argument.bare_end += c.len_utf8();
                    self.at += c.len_utf8();
                }
            }
        }
        Ok(())
    }

    fn left(&self) -> &'a str {
        &self.rest[self.at..]
    }

    fn argument(&mut self) -> &mut Argument {
        self.argument.get_or_insert(Argument { text: String::new(), quoted: false, unresolved: false, bare_end: 0 })
    }

    fn push_quoted(&mut self, text: &str) {
        let argument = self.argument();
        argument.text.push_str(text);
        argument.quoted = true;
        argument.bare_end = 0;
    }

    /// `'…'`, with doubled quotes and C's escapes.
    fn single_quoted(&mut self) -> Result<(), ArgumentError> {
        let mut text = String::new();
        let mut chars = self.left().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    chars.next();
                    text.push('\'');
                }
                '\'' => {
                    self.at += at + 1;
                    self.push_quoted(&text);
                    return Ok(());
                }
                '\\' => {
                    let (escaped, length) = escape(&self.left()[at + 1..]).ok_or(ArgumentError::Unterminated)?;
                    text.push(escaped);
                    let end = at + 1 + length;
                    while chars.peek().is_some_and(|(at, _)| *at < end) {
                        chars.next();
                    }
                }
                c => text.push(c),
            }
        }
        Err(ArgumentError::Unterminated)
    }

    /// `"…"` stays as it is, quotes and all.
    fn double_quoted(&mut self) -> Result<(), ArgumentError> {
        let left = self.left();
        let end = left[1..].find('"').ok_or(ArgumentError::Unterminated)? + 2;
        self.push_quoted(&left[..end]);
        self.at += end;
        Ok(())
    }

    fn colon(&mut self) {
        let left = self.left();
        let (Some(reference), Some(variables)) = (variable_reference(left), self.variables) else {
            let argument = self.argument();
            argument.text.push(':');
            argument.bare_end += 1;
            self.at += 1;
            return;
        };
        let value = variables.get(reference.name);
        let text = match (reference.form, value) {
            (Form::Plain, Some(value)) => value.to_owned(),
            (Form::Literal, Some(value)) => as_literal(value),
            (Form::Identifier, Some(value)) => as_identifier(value),
            (Form::Test, value) => if value.is_some() { "TRUE" } else { "FALSE" }.to_owned(),
            (_, None) => left[..reference.length].to_owned(),
        };
        self.push_quoted(&text);
        self.argument().unresolved |= value.is_none() && reference.form != Form::Test;
        self.at += reference.length;
    }
}

/// The character that an escape stands for, and how many bytes follow its backslash.
fn escape(after: &str) -> Option<(char, usize)> {
    let first = after.chars().next()?;
    let digits =
        |text: &str, radix: u32, most: usize| text.chars().take(most).take_while(|c| c.is_digit(radix)).count();
    Some(match first {
        'n' => ('\n', 1),
        't' => ('\t', 1),
        'b' => ('\u{8}', 1),
        'r' => ('\r', 1),
        'f' => ('\u{c}', 1),
        '0'..='7' => {
            let length = digits(after, 8, 3);
            (char::from((u32::from_str_radix(&after[..length], 8).unwrap_or(0) & 0xff) as u8), length)
        }
        'x' if digits(&after[1..], 16, 2) > 0 => {
            let length = digits(&after[1..], 16, 2);
            (char::from(u8::from_str_radix(&after[1..=length], 16).unwrap_or(0)), length + 1)
        }
        other => (other, other.len_utf8()),
    })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}
