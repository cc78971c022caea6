//! What a statement is, as far as that decides how it may be sent and measured. A parser only describes here: it drops tokens that it
//! does not know, so what is sent is always the source's text, and what it cannot make sense of is [`Kind::Unknown`].

use std::collections::BTreeSet;

use squawk_lexer::{LiteralKind, TokenKind, tokenize};
use squawk_syntax::ast::{AstNode, Stmt};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use crate::engine::workload::Lexeme;

/// Kinds of statements, by how they may be sent and what is to be seen of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Opens a transaction block.
    Begin,
    /// Ends one: COMMIT, ROLLBACK, PREPARE TRANSACTION.
    End,
    RollbackTo,
    /// SET, RESET, DISCARD, LISTEN, cursors: takes no lock that anyone would feel.
    Session,
    Lock,
    /// SELECT and the like, EXECUTE.
    Query,
    /// INSERT, UPDATE, DELETE, MERGE.
    Change,
    Truncate,
    /// Definitions that may stand in a transaction block.
    Define,
    /// DO, CALL: may commit within.
    Routine,
    Copy,
    /// CONCURRENTLY, REINDEX of more than one table: builds indexes, in transactions of its own.
    Build,
    /// VACUUM, CLUSTER.
    Maintain,
    /// ANALYZE: reads a sample, whose size does not depend on the table's.
    Analyze,
    /// May not stand in a transaction block, and touches no table: CREATE DATABASE, ALTER SYSTEM.
    Apart,
    Unknown,
}

impl Kind {
    /// Whether further queries may follow it in the same transaction without changing what it does.
    ///
    /// These are sent by the extended protocol, where the first command of a pipeline still counts as top-level: what needs no
    /// transaction block around it does not find one.
    pub fn can_be_followed(self) -> bool {
        matches!(self, Kind::Query | Kind::Change | Kind::Truncate | Kind::Define | Kind::Routine)
    }

    /// Whether its locks are to be sampled from another session while it runs.
    pub fn is_sampled(self) -> bool {
        matches!(self, Kind::Routine | Kind::Copy | Kind::Build | Kind::Maintain | Kind::Analyze | Kind::Unknown)
    }

    /// Whether it may have changed relations without having been measured.
    pub fn may_change_relations(self) -> bool {
        matches!(self, Kind::Routine | Kind::Build | Kind::Maintain | Kind::Unknown)
    }
}

/// Beyond this a statement is no longer parsed: its tree would take a hundred times its text. Such a statement is full of rows.
const MOST_PARSED: usize = 1024 * 1024;

/// The kind of one statement; of several in one text, [`Kind::Unknown`].
pub fn kind(text: &str) -> Kind {
    if text.len() > MOST_PARSED {
        let first = tokens(text).find(|(kind, _)| !is_blank(*kind));
        // A second statement would make the server refuse the pipeline, so that one is looked for.
        let last =
            tokens(text).filter(|(kind, _)| !is_blank(*kind)).skip_while(|(kind, _)| *kind != TokenKind::Semi).nth(1);
        return match first {
            Some((_, word)) if last.is_none() && word.eq_ignore_ascii_case("insert") => Kind::Change,
            _ => Kind::Unknown,
        };
    }
    let parse = SourceFile::parse(text);
    if !parse.errors().is_empty() {
        return Kind::Unknown;
    }
    let mut statements = parse.tree().stmts().filter(|statement| !matches!(statement, Stmt::EmptyStmt(_)));
    match (statements.next(), statements.next()) {
        (Some(statement), None) => kind_of(&statement),
        _ => Kind::Unknown,
    }
}

fn kind_of(statement: &Stmt) -> Kind {
    let says = |keyword| has_token(statement.syntax(), keyword);
    match statement {
        Stmt::Refresh(_) => Kind::Define,
        _ if says(SyntaxKind::CONCURRENTLY_KW) => Kind::Build,
        Stmt::Begin(_) => Kind::Begin,
        Stmt::Commit(_) | Stmt::Rollback(_) if says(SyntaxKind::PREPARED_KW) => Kind::Apart,
        Stmt::Rollback(_) if says(SyntaxKind::TO_KW) => Kind::RollbackTo,
        Stmt::Commit(_) | Stmt::Rollback(_) | Stmt::PrepareTransaction(_) => Kind::End,
        Stmt::SavepointCreate(_)
        | Stmt::ReleaseSavepoint(_)
        | Stmt::Set(_)
        | Stmt::SetConstraints(_)
        | Stmt::SetRole(_)
        | Stmt::SetSessionAuth(_)
        | Stmt::SetTransaction(_)
        | Stmt::Reset(_)
        | Stmt::ResetRole(_)
        | Stmt::ResetSessionAuth(_)
        | Stmt::Show(_)
        | Stmt::Discard(_)
        | Stmt::Deallocate(_)
        | Stmt::Prepare(_)
        | Stmt::Declare(_)
        | Stmt::Fetch(_)
        | Stmt::Move(_)
        | Stmt::Close(_)
        | Stmt::Listen(_)
        | Stmt::Unlisten(_)
        | Stmt::Notify(_)
        | Stmt::Load(_) => Kind::Session,
        Stmt::Lock(_) => Kind::Lock,
        Stmt::Select(_)
        | Stmt::CompoundSelect(_)
        | Stmt::ParenSelect(_)
        | Stmt::Values(_)
        | Stmt::Table(_)
        | Stmt::Execute(_) => Kind::Query,
        Stmt::Insert(_) | Stmt::Update(_) | Stmt::Delete(_) | Stmt::Merge(_) => Kind::Change,
        Stmt::Truncate(_) => Kind::Truncate,
        Stmt::Do(_) | Stmt::Call(_) => Kind::Routine,
        Stmt::Copy(_) => Kind::Copy,
        // Of a schema or a database it commits table by table.
        Stmt::Reindex(_)
            if says(SyntaxKind::SCHEMA_KW) || says(SyntaxKind::DATABASE_KW) || says(SyntaxKind::SYSTEM_KW) =>
        {
            Kind::Build
        }
        Stmt::Reindex(_) => Kind::Define,
        Stmt::Vacuum(_) | Stmt::Cluster(_) | Stmt::Repack(_) => Kind::Maintain,
        Stmt::Analyze(_) => Kind::Analyze,
        Stmt::AlterDatabase(_)
        | Stmt::AlterSubscription(_)
        | Stmt::AlterSystem(_)
        | Stmt::AlterType(_)
        | Stmt::Checkpoint(_)
        | Stmt::CreateDatabase(_)
        | Stmt::CreateSubscription(_)
        | Stmt::CreateTablespace(_)
        | Stmt::DropDatabase(_)
        | Stmt::DropSubscription(_)
        | Stmt::DropTablespace(_) => Kind::Apart,
        Stmt::Explain(_) => Kind::Unknown,
        _ => Kind::Define,
    }
}

fn has_token(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    node.descendants_with_tokens().any(|element| element.kind() == kind)
}

/// Whether the end of a transaction begins the next one: AND CHAIN.
pub fn chains(text: &str) -> bool {
    let words = tokens(text).filter(|(kind, _)| *kind == TokenKind::Ident).map(|(_, word)| word.to_lowercase());
    words.collect::<Vec<_>>().windows(2).any(|pair| pair == ["and", "chain"])
}

/// Whether there is nothing to run in the text: white space, comments, semicolons.
pub fn is_empty(text: &str) -> bool {
    tokens(text).all(|(kind, _)| is_blank(kind) || kind == TokenKind::Semi)
}

/// Whether the statement is a COPY that reads its rows from the client.
pub fn reads_copy_data(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut words = tokens(text).filter(|(kind, _)| !is_blank(*kind)).filter(|(kind, _)| {
        match kind {
            TokenKind::OpenParen => depth += 1,
            TokenKind::CloseParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let is = |word: Option<(TokenKind, &str)>, expected: &str| {
        word.is_some_and(|(kind, text)| kind == TokenKind::Ident && text.eq_ignore_ascii_case(expected))
    };
    if !is(words.next(), "copy") {
        return false;
    }
    let mut before = None;
    for word in words {
        if is(before, "from") && is(Some(word), "stdin") {
            return true;
        }
        before = Some(word);
    }
    false
}

/// All identifiers of a text as the server folds them, also those in dollar-quoted bodies and in strings: `EXECUTE` may run what
/// stands there. Key words are among them, so meet this with the names of tables.
pub fn touched_identifiers(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_identifiers(text, &mut found);
    found
}

fn collect_identifiers(text: &str, found: &mut BTreeSet<String>) {
    for (kind, token) in tokens(text) {
        match kind {
            TokenKind::Ident => {
                found.insert(token.to_lowercase());
            }
            TokenKind::QuotedIdent { terminated: true, uescape: false } => {
                found.insert(token[1..token.len() - 1].replace("\"\"", "\""));
            }
            TokenKind::Literal { kind: LiteralKind::DollarQuotedString { terminated: true } } => {
                let delimiter = token[1..].find('$').map_or(0, |at| at + 2);
                collect_identifiers(&token[delimiter..token.len() - delimiter], found);
            }
            TokenKind::Literal { kind: LiteralKind::Str { terminated: true } } => {
                let inner = &token[1..token.len() - 1];
                // Without this a text of quotes only would be taken apart for ever.
                if !inner.is_empty() {
                    collect_identifiers(inner, found);
                }
            }
            _ => {}
        }
    }
}

/// The text's pieces in order, each with its bytes.
pub(in crate::engine) fn lexemes(text: &str) -> Vec<(Lexeme, usize)> {
    let lexeme = |kind| match kind {
        TokenKind::Ident => Lexeme::Word,
        TokenKind::QuotedIdent { .. } => Lexeme::Quoted,
        TokenKind::Literal { kind: LiteralKind::Int { .. } | LiteralKind::Numeric { .. } } => Lexeme::Other,
        TokenKind::Literal { .. } => Lexeme::Quoted,
        TokenKind::LineComment | TokenKind::BlockComment { .. } => Lexeme::Comment,
        _ => Lexeme::Other,
    };
    tokens(text).map(|(kind, token)| (lexeme(kind), token.len())).collect()
}

fn is_blank(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. })
}

fn tokens(text: &str) -> impl Iterator<Item = (TokenKind, &str)> {
    let mut at = 0;
    tokenize(text).map(move |token| {
        let start = at;
        at += token.len as usize;
        (token.kind, &text[start..at])
    })
}

#[cfg(test)]
mod tests;
