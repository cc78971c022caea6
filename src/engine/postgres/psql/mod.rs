//! A release's SQL file, read as `psql -X -v ON_ERROR_STOP=1 -f` reads it.
//!
//! psql is an interpreter: `\set` changes what later text means, `\gset` makes that depend on the server, and COPY's rows stand
//! between statements. So a [`Script`] gives one statement at a time and reads no further than that. The text it gives is the
//! source's, variables put in; where it ends a statement and where it sees a variable is psql's own rule (see [`scanner`]).
//!
//! Understood are `\i`, `\ir` and their long names, `\set`, `\unset`, `\echo`, `\qecho`, `\warn`, `\if` and its kin, `\gset`, a bare
//! `\g`, `\q`, `\r`, `\restrict` and `\unrestrict`. Every other command is refused by name: a command that was passed over would make
//! the rehearsal another release than the real one.

mod command;
mod conditions;
mod error;
mod scanner;
mod variables;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use command::{Argument, argument, separator};
use conditions::{Branch, Conditions};
use error::unsupported;
use scanner::{Scanner, Stop};
pub use variables::Variables;
use variables::{Refusal, parse_boolean};

use crate::engine::script::{Lines, ScriptProblem, Source};
use crate::event::Place;

/// One statement as it is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptStatement {
    /// The source's text, variables put in, with its semicolon if it has one.
    pub text: String,
    pub place: Place,
    /// Bytes into the line, from 1.
    pub column: usize,
    /// Nothing in it is left open, so that it ends where the text ends.
    pub closed: bool,
    /// `\gset`: the one row of its result becomes variables with this prefix.
    pub gset: Option<String>,
}

/// What a script has next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Statement(ScriptStatement),
    /// A line that `\echo` and the like say.
    Said(String),
}

/// What can be known of a script without running it.
#[derive(Debug, Default)]
pub struct Checked {
    /// Statements found, with both sides of every `\if`.
    pub statements: usize,
    pub problems: Vec<ScriptProblem>,
    /// Identifiers in it, as [`super::describe::touched_identifiers`] finds them.
    pub identifiers: BTreeSet<String>,
    /// Files that were read.
    pub files: BTreeSet<PathBuf>,
    /// It includes a file of which only a run knows the name.
    pub is_open: bool,
}

/// A script that is being read.
pub struct Script {
    source: Source,
    /// Where `\i` begins: psql's working directory.
    folder: PathBuf,
    frames: Vec<Frame>,
    /// Files that were opened so far.
    files: BTreeSet<PathBuf>,
    /// A file could not be, for want of a variable's value.
    is_open: bool,
    variables: Variables,
    /// The key of `\restrict`.
    restricted: Option<String>,
    said: VecDeque<String>,
    /// Both branches of every condition are walked, and what only a server can know is passed over.
    checking: bool,
}

/// One file being read.
struct Frame {
    name: String,
    /// None for text that is in no file of its own.
    path: Option<PathBuf>,
    lines: Lines,
    scanner: Scanner,
    conditions: Conditions,
    /// Nothing is read from it any more.
    ended: bool,
}

/// What a backslash command leaves to do.
enum Done {
    Nothing,
    Send { gset: Option<String> },
    Quit,
}

impl Script {
    /// A script whose `\i` is relative to `folder`, the scenario's.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn open(source: Source, folder: &Path) -> Result<Script, ScriptProblem> {
        let mut script = Script {
            source: source.clone(),
            folder: folder.to_owned(),
            frames: Vec::new(),
            files: BTreeSet::new(),
            is_open: false,
            variables: Variables::new(),
            restricted: None,
            said: VecDeque::new(),
            checking: false,
        };
        script.push(source, None)?;
        Ok(script)
    }

    pub fn variables_mut(&mut self) -> &mut Variables {
        &mut self.variables
    }

    /// Reads the whole script from its beginning without running it: unknown commands, missing files, statements, identifiers.
    /// Variables that only the server could set stay as they are.
    pub fn check(&self) -> Checked {
        let mut checked = Checked::default();
        let mut script = match Script::open(self.source.clone(), &self.folder) {
            Ok(script) => script,
            Err(problem) => {
                checked.problems.push(problem);
                return checked;
            }
        };
        script.checking = true;
        loop {
            match script.next(true) {
                Ok(None) => {
                    (checked.files, checked.is_open) = (script.files, script.is_open);
                    return checked;
                }
                Ok(Some(Next::Said(_))) => {}
                Ok(Some(Next::Statement(statement))) => {
                    checked.statements += 1;
                    checked.identifiers.extend(super::describe::touched_identifiers(&statement.text));
                    if super::describe::reads_copy_data(&statement.text)
                        && let Err(problem) = script.skip_copy_data()
                    {
                        checked.problems.push(problem);
                    }
                }
                Err(problem) => {
                    let fatal = problem.ends_reading();
                    checked.problems.push(problem);
                    if fatal {
                        script.frames.pop();
                    }
                }
            }
        }
    }

    /// The next statement or line to say; none at the end. `standard_strings` is the session's `standard_conforming_strings`, which
    /// decides where a string ends.
    ///
    /// # Errors
    /// At a command that is not understood, a file that cannot be read, or what psql itself refuses.
    pub fn next(&mut self, standard_strings: bool) -> Result<Option<Next>, ScriptProblem> {
        loop {
            match self.read_on(standard_strings)? {
                // Comments and stray semicolons, which psql sends and the server passes over.
                Some(Next::Statement(statement)) if super::describe::is_empty(&statement.text) => {}
                next => return Ok(next),
            }
        }
    }

    fn read_on(&mut self, standard_strings: bool) -> Result<Option<Next>, ScriptProblem> {
        loop {
            if let Some(line) = self.said.pop_front() {
                return Ok(Some(Next::Said(line)));
            }
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            if frame.ended {
                self.frames.pop();
                continue;
            }
            let variables = frame.conditions.active().then_some(&self.variables);
            match frame.scanner.scan(variables, standard_strings) {
                Stop::Semicolon => {
                    if frame.conditions.active() {
                        return Ok(Some(Next::Statement(frame.take(None))));
                    }
                }
                Stop::Backslash => match self.command()? {
                    Done::Nothing => {}
                    Done::Send { gset } => {
                        if let Some(frame) = self.frames.last_mut() {
                            return Ok(Some(Next::Statement(frame.take(gset))));
                        }
                    }
                    Done::Quit => {
                        if let Some(statement) = self.end_frame() {
                            return Ok(Some(Next::Statement(statement)));
                        }
                    }
                },
                Stop::EndOfLine => match frame.lines.next(&frame.name, frame.scanner.lines_read() + 1)? {
                    Some(line) => frame.scanner.feed(line),
                    None => {
                        let open = frame.conditions.is_open();
                        let place = frame.place();
                        let active = frame.conditions.active();
                        let rest = self.end_frame();
                        if open && !self.checking {
                            return Err(ScriptProblem::wrong(place, "the file ends without a closing \\endif"));
                        }
                        if let Some(statement) = rest.filter(|_| active) {
                            return Ok(Some(Next::Statement(statement)));
                        }
                    }
                },
            }
        }
    }

    /// The next line of COPY's inline data with its line end; none at `\.` or at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn copy_line(&mut self) -> Result<Option<String>, ScriptProblem> {
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let line = frame.lines.next_raw(&frame.name, frame.scanner.lines_read() + 1)?;
        if line.is_some() {
            frame.scanner.skip_line();
        }
        Ok(line.filter(|line| line.trim_end_matches(['\n', '\r']) != "\\."))
    }

    fn skip_copy_data(&mut self) -> Result<(), ScriptProblem> {
        while self.copy_line()?.is_some() {}
        Ok(())
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
        let mut scanner = Scanner::default();
        scanner.begin_at_line(source.first_line());
        self.frames.push(Frame { name, path, lines, scanner, conditions: Conditions::default(), ended: false });
        Ok(())
    }

    /// Ends the file being read; what is left of a statement in it is sent, as psql does.
    fn end_frame(&mut self) -> Option<ScriptStatement> {
        let frame = self.frames.last_mut()?;
        frame.ended = true;
        frame.scanner.drop_line();
        (!frame.scanner.buffer().is_empty()).then(|| frame.take(None))
    }

    fn command(&mut self) -> Result<Done, ScriptProblem> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Done::Nothing) };
        let name = frame.scanner.command_name();
        let active = frame.conditions.active();
        let branching = matches!(name.as_str(), "if" | "elif" | "else" | "endif");
        let result = if !active && !branching && !is_known(&name) {
            // psql passes over a command in a branch not taken only if there is such a command.
            Err(unsupported(self.place(), &name))
        } else if !active && !branching {
            self.drop_arguments();
            Ok(Done::Nothing)
        } else if self.restricted.is_some() && name != "unrestrict" {
            Err(ScriptProblem::wrong(self.place(), "backslash commands are restricted; only \\unrestrict is allowed"))
        } else {
            self.carry_out(&name)
        };
        match result {
            Ok(done) => {
                self.drop_arguments();
                if let Some(frame) = self.frames.last_mut() {
                    frame.scanner.with_rest(separator);
                }
                Ok(done)
            }
            Err(problem) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.scanner.drop_line();
                }
                Err(problem)
            }
        }
    }

    fn carry_out(&mut self, name: &str) -> Result<Done, ScriptProblem> {
        match name {
            "if" | "elif" | "else" | "endif" => self.branch(name)?,
            "i" | "include" => self.include(name, false)?,
            "ir" | "include_relative" => self.include(name, true)?,
            "set" => self.set()?,
            "unset" => self.unset()?,
            "echo" | "qecho" | "warn" => self.echo()?,
            "restrict" => self.restricted = Some(self.key(name)?),
            "unrestrict" => self.unrestrict()?,
            "q" | "quit" => return Ok(Done::Quit),
            "r" | "reset" => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.scanner.reset();
                }
            }
            "g" => return self.go(),
            "gset" => return self.gset(),
            _ => return Err(unsupported(self.place(), name)),
        }
        Ok(Done::Nothing)
    }

    fn place(&self) -> Place {
        self.frames.last().map_or_else(|| Place { file: String::new(), line: 0 }, Frame::place)
    }

    /// The next argument of the command being read.
    fn argument(&mut self) -> Result<Option<Argument>, ScriptProblem> {
        let place = self.place();
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let variables = frame.conditions.active().then_some(&self.variables);
        frame.scanner.with_rest(|rest| argument(rest, variables)).map_err(|error| error::argument(place, &error))
    }

    fn drop_arguments(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        // What cannot be read as an argument ends the line, which is what dropping means.
        while let Ok(Some(_)) = frame.scanner.with_rest(|rest| argument(rest, None)) {}
    }

    /// The argument that the command cannot be without.
    fn required(&mut self, command: &str) -> Result<Argument, ScriptProblem> {
        let place = self.place();
        self.argument()?.ok_or_else(|| ScriptProblem::wrong(place, format!("\\{command}: missing required argument")))
    }

    fn branch(&mut self, name: &str) -> Result<(), ScriptProblem> {
        let place = self.place();
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let text = (frame.scanner.buffer().len(), frame.scanner.parentheses());
        let needs = frame.conditions.step(name, text).map_err(|what| ScriptProblem::wrong(place.clone(), what))?;
        if let Some((length, parentheses)) = needs.discard {
            frame.scanner.truncate(length, parentheses);
        }
        if needs.evaluate {
            let taken = self.expression(name)?;
            if let Some(frame) = self.frames.last_mut().filter(|_| !taken && !self.checking) {
                frame.conditions.set(Branch::False);
            }
        } else {
            self.drop_arguments();
        }
        if let Some(frame) = self.frames.last_mut().filter(|_| self.checking) {
            frame.conditions.take_every_branch();
        }
        Ok(())
    }

    /// A condition's value; what is no boolean is false, and psql goes on.
    fn expression(&mut self, name: &str) -> Result<bool, ScriptProblem> {
        let mut words = Vec::new();
        while let Some(argument) = self.argument()? {
            words.push(argument.text);
        }
        let text = words.join(" ");
        if let Some(value) = parse_boolean(&text) {
            return Ok(value);
        }
        self.said
            .push_back(format!("unrecognized value for \"\\{name} expression\": boolean expected, taken as false"));
        Ok(false)
    }

    fn include(&mut self, command: &str, relative: bool) -> Result<(), ScriptProblem> {
        let place = self.place();
        let argument = self.required(command)?.without_semicolons();
        if self.checking && argument.unresolved {
            self.is_open = true;
            return Ok(());
        }
        self.drop_arguments();
        let name = PathBuf::from(&argument.text);
        let beside = match self.frames.last().and_then(|frame| frame.path.as_deref()).and_then(Path::parent) {
            Some(parent) if relative => parent.join(&name),
            _ => self.folder.join(&name),
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.scanner.with_rest(separator);
        }
        self.push(Source::File(beside), Some(&place))
    }

    fn set(&mut self) -> Result<(), ScriptProblem> {
        let place = self.place();
        let Some(name) = self.argument()? else {
            return Err(unsupported(place, "set without a name"));
        };
        let mut value = String::new();
        while let Some(argument) = self.argument()? {
            value.push_str(&argument.text);
        }
        self.variables.set(&name.text, &value).map_err(|refusal| refused(place, &name.text, refusal))
    }

    fn unset(&mut self) -> Result<(), ScriptProblem> {
        let place = self.place();
        let name = self.required("unset")?;
        self.variables.unset(&name.text).map_err(|refusal| refused(place, &name.text, refusal))
    }

    fn echo(&mut self) -> Result<(), ScriptProblem> {
        let mut words = Vec::new();
        while let Some(argument) = self.argument()? {
            if !(words.is_empty() && argument.text == "-n" && !argument.quoted) {
                words.push(argument.text);
            }
        }
        self.said.push_back(words.join(" "));
        Ok(())
    }

    fn key(&mut self, command: &str) -> Result<String, ScriptProblem> {
        Ok(self.required(command)?.without_semicolons().text)
    }

    fn unrestrict(&mut self) -> Result<(), ScriptProblem> {
        let place = self.place();
        let key = self.key("unrestrict")?;
        match &self.restricted {
            Some(restricted) if *restricted == key => {
                self.restricted = None;
                Ok(())
            }
            Some(_) => Err(ScriptProblem::wrong(place, "\\unrestrict: wrong key")),
            None => Err(ScriptProblem::wrong(place, "\\unrestrict: not currently in restricted mode")),
        }
    }

    fn go(&mut self) -> Result<Done, ScriptProblem> {
        let place = self.place();
        if self.argument()?.is_some() {
            return Err(unsupported(place, "g with a file, a program or options"));
        }
        self.sends("g", None)
    }

    fn gset(&mut self) -> Result<Done, ScriptProblem> {
        let prefix = self.argument()?.map(|argument| argument.without_semicolons().text);
        self.sends("gset", Some(prefix.unwrap_or_default()))
    }

    /// psql would send the last statement again if there were none before the command.
    fn sends(&self, command: &str, gset: Option<String>) -> Result<Done, ScriptProblem> {
        let empty = self.frames.last().is_none_or(|frame| frame.scanner.buffer().is_empty());
        if empty {
            return Err(ScriptProblem::wrong(
                self.place(),
                format!("\\{command} with no statement before it, which would send the last one again"),
            ));
        }
        Ok(Done::Send { gset })
    }
}

impl Frame {
    fn place(&self) -> Place {
        Place { file: self.name.clone(), line: self.scanner.line() }
    }

    fn take(&mut self, gset: Option<String>) -> ScriptStatement {
        let closed = self.scanner.is_closed();
        let (text, line, column) = self.scanner.take();
        ScriptStatement { text, place: Place { file: self.name.clone(), line }, column, closed, gset }
    }
}

/// Whether psql, up to 18, has a command of that name.
fn is_known(name: &str) -> bool {
    const COMMANDS: &str = "! ? a bind bind_named c C cd close_prepared conninfo connect copy copyright crosstabview e echo ef \
        encoding endpipeline errverbose ev f flush flushrequest g gdesc getenv getresults gexec gset gx h H help html i include \
        include_relative ir l list lo_export lo_import lo_list lo_unlink o out p parse password print prompt pset q qecho quit r \
        reset restrict s sendpipeline set setenv sf startpipeline sv sync syncpipeline t T timing unrestrict unset w warn watch \
        write x z zS";
    // Describing commands are `d` and letters for what to describe.
    let describes = name.starts_with('d') && name.chars().all(|c| c.is_ascii_alphabetic() || c == '+');
    describes || COMMANDS.split_ascii_whitespace().any(|command| command == name.trim_end_matches('+'))
}

fn refused(place: Place, name: &str, refusal: Refusal) -> ScriptProblem {
    match refusal {
        Refusal::BadName => ScriptProblem::wrong(place, format!("invalid variable name: \"{name}\"")),
        Refusal::OnlyValue(value) => ScriptProblem::Setting { place, name: name.to_owned(), value },
    }
}

#[cfg(test)]
mod tests;
