//! What psql's language has that is not run here, and what to do about it.

use super::command::ArgumentError;
use crate::engine::script::ScriptProblem;
use crate::event::Place;

pub(super) fn argument(place: Place, error: &ArgumentError) -> ScriptProblem {
    match error {
        ArgumentError::Unterminated => ScriptProblem::wrong(place, error.to_string()),
        ArgumentError::Backquotes => ScriptProblem::Unsupported {
            place,
            command: "\\… `command`".into(),
            hint: "run the program in a `command` step of its own".into(),
        },
    }
}

pub(super) fn unsupported(place: Place, command: &str) -> ScriptProblem {
    let hint = match command {
        "!" => "run the program in a `command` step of its own",
        "c" | "connect" => "make it two steps; a step names its role with `as` and its node with `on`",
        "copy" => "use COPY … FROM stdin with the rows in the script, or psql in a `command` step",
        "gexec" => "write the statements out, or use a DO block with EXECUTE",
        "a" | "C" | "f" | "H" | "pset" | "t" | "T" | "timing" | "x" | "o" | "out" => {
            "it only changes what psql shows: take it out"
        }
        "encoding" => "use SET client_encoding",
        "prompt" | "password" => "nobody is there to answer: use \\set with the value",
        _ => "run the script with psql in a `command` step",
    };
    ScriptProblem::Unsupported { place, command: format!("\\{command}"), hint: hint.to_owned() }
}
