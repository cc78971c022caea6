//! What of a statement's text is a word, what is quoted, and what is a comment: each engine's own lexer says so.

use std::ops::Range;

use crate::engine::{EngineKind, mysql, postgres};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lexeme {
    /// A name without quotes, or a key word.
    Word,
    /// A text or a name in quotes of any kind.
    Quoted,
    Comment,
    Other,
}

/// The piece of the text in which that byte is, and where it stands.
pub(super) fn at(engine: EngineKind, text: &str, byte: usize) -> (Lexeme, Range<usize>) {
    let pieces = match engine {
        EngineKind::Postgres => postgres::describe::lexemes(text),
        EngineKind::Mysql | EngineKind::Mariadb => mysql::tokens::lexemes(text, engine),
    };
    let mut start = 0;
    for (lexeme, bytes) in pieces {
        if (start..start + bytes).contains(&byte) {
            return (lexeme, start..start + bytes);
        }
        start += bytes;
    }
    (Lexeme::Other, byte..byte)
}
