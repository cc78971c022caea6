//! What clients pass on of the server's errors, whatever the engine: told from what programs say themselves, and shown without values.

use crate::engine::EngineKind;
use crate::engine::{mysql, postgres};

/// What stands in a value's place.
pub const BLOT: &str = "…";

/// Whether a program passed on an error of the server in this line, in the form that the engine's own client gives it.
pub fn is_the_servers(engine: EngineKind, line: &str) -> bool {
    match engine {
        EngineKind::Postgres => ["ERROR:  ", "FATAL:  "].iter().any(|mark| line.contains(mark)),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::said::is_the_servers(line),
    }
}

/// Such a line without values; none where the text is none of the server's own and may hold them anywhere, as that of a routine's SIGNAL
/// or RAISE does.
pub fn passed_on(engine: EngineKind, line: &str) -> Option<String> {
    match engine {
        EngineKind::Postgres => postgres::blot::passed_on(line),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::said::passed_on(line),
    }
}

/// Longest name that a server knows, with its database before it.
const NAME: usize = 2 * 64 + 1;

/// The text where it has this form: names (`{n}`, and `{w}` for those without quotes) as they are, values (`{v}`) left out.
pub(super) fn fitted(form: &str, text: &str) -> Option<String> {
    let mut pieces = form.split('{');
    let start = pieces.next()?;
    let mut rest = text.strip_prefix(start)?;
    let mut shown = start.to_owned();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let (kind, after) = piece.split_once('}')?;
        // The last one takes all that is left: a value may hold quotes itself.
        let end = if pieces.peek().is_none() { rest.strip_suffix(after)?.len() } else { rest.find(after)? };
        let part = &rest[..end];
        let allowed = match kind {
            "n" => part.len() <= NAME && !part.contains(['"', '\'']),
            "w" => part.len() <= 2 * NAME && part.chars().all(|c| c.is_alphanumeric() || "_.$(), []".contains(c)),
            _ => true,
        };
        if part.is_empty() || !allowed {
            return None;
        }
        shown.push_str(if kind == "v" { BLOT } else { part });
        shown.push_str(after);
        rest = &rest[end + after.len()..];
    }
    rest.is_empty().then_some(shown)
}
