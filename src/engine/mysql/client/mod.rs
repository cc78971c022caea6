//! A release's SQL file, read as `mysql --database=… < file` or `mariadb` read it, stopping at the first error.
//!
//! The client reads line by line: where a statement ends is its own rule, with a delimiter that the script itself may change (chapters
//! "mysql Client Commands" of MySQL's manual and "mariadb Command-Line Client" of MariaDB's). The text that a [`Script`] gives is what
//! the client would send. MariaDB's client takes comments out of it, and so out of the routines that are stored; MySQL's leaves them in.
//!
//! Understood are `delimiter`, `source`, `use`, `go`, `ego`, `clear`, `exit` and `quit`, with `\d`, `\.`, `\u`, `\g`, `\G`, `\c`, `\q`.
//! What only changes the client's display is passed over. Every other command is refused by name: a command that was passed over would
//! make the rehearsal another release than the real one.

mod command;
mod scanner;
pub mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use command::{Command, named};
pub(in crate::engine::mysql) use scanner::is_for_server;
use scanner::{Scanner, Stop};

use super::measure::{Kind, kind};
use crate::engine::EngineKind;
use crate::engine::script::{Lines, ScriptProblem, Source};
use crate::event::Place;

/// One statement as it is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptStatement {
    /// Without its delimiter.
    pub text: String,
    pub place: Place,
}

/// What can be known of a script without running it.
#[derive(Debug, Default)]
pub struct Checked {
    pub statements: usize,
    pub problems: Vec<ScriptProblem>,
    /// Whatever could be a name in its statements, in small letters; none where one of them runs what does not stand in it.
    pub identifiers: Option<BTreeSet<String>>,
    /// Files that were read.
    pub files: BTreeSet<PathBuf>,
}

/// A script that is being read.
pub struct Script {
    source: Source,
    /// Where `source` begins: the client's working directory.
    folder: PathBuf,
    engine: EngineKind,
    delimiter: String,
    frames: Vec<Frame>,
    /// Files that were opened so far.
    files: BTreeSet<PathBuf>,
}

/// One file being read.
struct Frame {
    name: String,
    /// None for text that is in no file of its own.
    path: Option<PathBuf>,
    lines: Lines,
    /// Lines read of it, from the first line's number on.
    line: usize,
    scanner: Scanner,
    /// Nothing is read from it any more.
    ended: bool,
}

impl Script {
    /// A script whose `source` is relative to `folder`, the scenario's.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn open(engine: EngineKind, source: Source, folder: &Path) -> Result<Script, ScriptProblem> {
        let (folder, delimiter) = (folder.to_owned(), ";".to_owned());
        let mut script =
            Script { source: source.clone(), folder, engine, delimiter, frames: Vec::new(), files: BTreeSet::new() };
        script.push(source, None)?;
        Ok(script)
    }

    /// Reads the whole script from its beginning without running it: unknown commands, missing files, statements.
    pub fn check(&self) -> Checked {
        let mut checked = Checked { identifiers: Some(BTreeSet::new()), ..Checked::default() };
        let mut script = match Script::open(self.engine, self.source.clone(), &self.folder) {
            Ok(script) => script,
            Err(problem) => {
                checked.problems.push(problem);
                return checked;
            }
        };
        loop {
            match script.next(true) {
                Ok(None) => {
                    checked.files = script.files;
                    return checked;
                }
                Ok(Some(statement)) => {
                    checked.statements += 1;
                    let words = words::words(&statement.text, script.engine);
                    match kind(&words) {
                        Kind::Routine => checked.identifiers = None,
                        _ => checked.identifiers.iter_mut().for_each(|known| known.extend(words.names.iter().cloned())),
                    }
                }
                Err(problem) => {
                    if problem.ends_reading() {
                        script.frames.pop();
                    }
                    checked.problems.push(problem);
                }
            }
        }
    }

    /// The next statement; none at the end. `backslash_escapes` is whether the session's `sql_mode` leaves the backslash its meaning, as
    /// the server says after each statement: it decides where a string ends.
    ///
    /// # Errors
    /// At a command that is not understood, or a file that cannot be read.
    pub fn next(&mut self, backslash_escapes: bool) -> Result<Option<ScriptStatement>, ScriptProblem> {
        loop {
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            if frame.ended {
                self.frames.pop();
                continue;
            }
            match frame.scanner.scan(&self.delimiter, backslash_escapes, self.engine) {
                Stop::Statement => {
                    if let Some(statement) = frame.take() {
                        return Ok(Some(statement));
                    }
                }
                Stop::Command(text) => {
                    let place = Place { file: frame.name.clone(), line: frame.line };
                    match self.carry_out(&text, place) {
                        Ok(None) => {}
                        Ok(statement) => return Ok(statement),
                        Err(problem) => {
                            if let Some(frame) = self.frames.last_mut() {
                                frame.scanner.drop_line();
                            }
                            return Err(problem);
                        }
                    }
                }
                Stop::EndOfLine => match frame.lines.next(&frame.name, frame.line + 1)? {
                    Some(line) => {
                        frame.line += 1;
                        frame.scanner.feed(line, frame.line);
                    }
                    None => {
                        frame.ended = true;
                        // What is left open is sent, as the client does at the end of its input.
                        if let Some(statement) = frame.take() {
                            return Ok(Some(statement));
                        }
                    }
                },
            }
        }
    }

    /// Opens a further file or text and reads on there.
    fn push(&mut self, source: Source, from: Option<&Place>) -> Result<(), ScriptProblem> {
        let path = source.path();
        if let (Some(path), Some(from)) = (&path, from)
            && self.frames.iter().any(|frame| frame.path.as_ref() == Some(path))
        {
            return Err(ScriptProblem::Cycle { place: from.clone(), file: source.name(&self.folder) });
        }
        let name = source.name(&self.folder);
        let lines = source.open(from, &name)?;
        self.files.extend(path.clone());
        let line = source.first_line() - 1;
        self.frames.push(Frame { name, path, lines, line, scanner: Scanner::default(), ended: false });
        Ok(())
    }

    fn carry_out(&mut self, text: &str, place: Place) -> Result<Option<ScriptStatement>, ScriptProblem> {
        let Some((command, argument)) = named(text) else {
            return Err(command::unsupported(place, text));
        };
        let needs = |argument: &str| -> Result<String, ScriptProblem> {
            let argument = argument.trim();
            // The client strips what a person puts there out of habit.
            let argument = argument.strip_suffix(self.delimiter.as_str()).unwrap_or(argument).trim();
            match argument {
                "" => Err(ScriptProblem::wrong(place.clone(), format!("{} is missing its argument", command.name()))),
                argument => Ok(argument.to_owned()),
            }
        };
        match command {
            Command::Delimiter => {
                let delimiter = argument.split_whitespace().next().unwrap_or_default();
                if delimiter.is_empty() || delimiter.contains('\\') {
                    let what = "DELIMITER must be followed by a 'delimiter' character or string, without a backslash";
                    return Err(ScriptProblem::wrong(place, what));
                }
                self.delimiter = unquoted(delimiter).to_owned();
            }
            Command::Source => {
                let path = self.folder.join(needs(argument)?);
                self.push(Source::File(path), Some(&place))?;
            }
            Command::Use => {
                let database = needs(argument)?;
                let text = format!("USE {}", crate::engine::mysql::names::quote(unquoted(&database)));
                return Ok(Some(ScriptStatement { text, place }));
            }
            Command::Go => return Ok(self.frames.last_mut().and_then(Frame::take)),
            Command::Clear => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.scanner.clear();
                }
            }
            // Of the file that says it, and of no other.
            Command::Quit => {
                return Ok(self.frames.last_mut().and_then(|frame| {
                    frame.ended = true;
                    frame.take()
                }));
            }
            Command::Display => {}
        }
        Ok(None)
    }
}

impl Frame {
    /// What was read of a statement, if there is anything in it.
    fn take(&mut self) -> Option<ScriptStatement> {
        let (text, line) = self.scanner.take()?;
        Some(ScriptStatement { text, place: Place { file: self.name.clone(), line } })
    }
}

/// An argument in quotes of any kind.
fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    ['\'', '"', '`'].into_iter().find_map(inside).unwrap_or(text)
}

#[cfg(test)]
mod tests;
