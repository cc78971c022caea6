//! The client's own commands.

use crate::engine::script::ScriptProblem;
use crate::event::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Delimiter,
    Source,
    Use,
    Go,
    Clear,
    Quit,
    /// Changes what the client shows and nothing else.
    Display,
}

/// Long name, letter after the backslash, and what it is here; none for those that are refused.
const COMMANDS: [(&str, char, Option<Command>); 28] = [
    ("?", '?', None),
    ("charset", 'C', None),
    ("clear", 'c', Some(Command::Clear)),
    ("connect", 'r', None),
    ("delimiter", 'd', Some(Command::Delimiter)),
    ("edit", 'e', None),
    ("ego", 'G', Some(Command::Go)),
    ("exit", 'q', Some(Command::Quit)),
    ("go", 'g', Some(Command::Go)),
    ("help", 'h', None),
    ("nopager", 'n', Some(Command::Display)),
    ("notee", 't', Some(Command::Display)),
    ("nowarning", 'w', Some(Command::Display)),
    ("pager", 'P', None),
    ("print", 'p', Some(Command::Display)),
    ("prompt", 'R', Some(Command::Display)),
    ("query_attributes", 'N', None),
    ("quit", 'q', Some(Command::Quit)),
    ("rehash", '#', Some(Command::Display)),
    ("resetconnection", 'x', None),
    ("sandbox", '-', Some(Command::Display)),
    ("source", '.', Some(Command::Source)),
    ("ssl_session_data_print", 'S', None),
    ("status", 's', Some(Command::Display)),
    ("system", '!', None),
    ("tee", 'T', None),
    ("use", 'u', Some(Command::Use)),
    ("warnings", 'W', Some(Command::Display)),
];

impl Command {
    pub fn name(self) -> &'static str {
        COMMANDS.iter().find(|(_, _, command)| *command == Some(self)).map_or("", |(name, ..)| name)
    }
}

/// A command that is understood, and what stands behind it: `text` begins with its backslash or its long name.
pub(super) fn named(text: &str) -> Option<(Command, &str)> {
    let ((_, _, command), argument) = found(text)?;
    command.map(|command| (command, argument))
}

/// Those that take something behind their long name; the others are commands only when they stand alone.
const WITH_ARGUMENT: [&str; 10] =
    ["?", "charset", "connect", "delimiter", "help", "pager", "prompt", "source", "system", "tee"];

/// Whether a line is a command by its long name, understood or not.
pub(super) fn is_long(line: &str) -> bool {
    let takes_argument = |name: &str| name == "use" || WITH_ARGUMENT.contains(&name);
    !line.starts_with('\\')
        && found(line).is_some_and(|((name, ..), argument)| takes_argument(name) || argument.trim().is_empty())
}

/// What a letter after a backslash takes: the rest of the line, or nothing.
pub(super) fn takes_argument(letter: char) -> bool {
    COMMANDS.iter().any(|(_, found, command)| {
        *found == letter && matches!(command, Some(Command::Delimiter | Command::Source | Command::Use))
    })
}

pub(super) fn unsupported(place: Place, text: &str) -> ScriptProblem {
    let (name, hint) = match found(text) {
        Some(((name, ..), _)) => {
            let hint = match *name {
                "system" => "run the program in a `command` step of its own",
                "connect" => "make it two steps; a step names its role with `as` and its node with `on`",
                "charset" => "use SET NAMES",
                "pager" | "tee" => "it only changes where the client writes: take it out",
                _ => "run the script with the client in a `command` step",
            };
            let shown = if text.starts_with('\\') { text.chars().take(2).collect() } else { (*name).to_owned() };
            (shown, hint)
        }
        None => (text.chars().take(2).collect(), "the client knows no such command"),
    };
    ScriptProblem::Unsupported { place, command: name, hint: hint.to_owned() }
}

type Known = (&'static str, char, Option<Command>);

fn found(text: &str) -> Option<(&'static Known, &str)> {
    if let Some(rest) = text.strip_prefix('\\') {
        let letter = rest.chars().next()?;
        let known = COMMANDS.iter().find(|(_, known, _)| *known == letter)?;
        return Some((known, &rest[letter.len_utf8()..]));
    }
    let text = text.trim_start();
    let end = text.find(|c: char| c.is_whitespace()).unwrap_or(text.len());
    let known = COMMANDS.iter().find(|(name, letter, _)| *letter != '-' && text[..end].eq_ignore_ascii_case(name))?;
    Some((known, &text[end..]))
}
