//! Row values taken out of statements and messages, for whoever did not ask to see them.

use squawk_lexer::{LiteralKind, Token, TokenKind};

use super::error::{RAISED, ServerMessage};
pub use crate::engine::said::BLOT;
use crate::engine::said::fitted;

/// A statement without the values in it. Strings go everywhere, numbers only where rows are read or changed: `numeric(12,2)` says
/// something about a table. In the body of a function or DO block the same is done inside.
pub fn sql(text: &str) -> String {
    let mut blotted = String::with_capacity(text.len());
    let mut rest = text;
    let mut first_word: Option<String> = None;
    for Token { kind, len } in squawk_lexer::tokenize(text) {
        let (token, after) = rest.split_at(len as usize);
        rest = after;
        if kind == TokenKind::Ident && first_word.is_none() {
            first_word = Some(token.to_lowercase());
        }
        let defines = first_word.as_deref().is_some_and(|word| matches!(word, "create" | "alter" | "drop" | "do"));
        match kind {
            TokenKind::Literal { kind: LiteralKind::Int { .. } | LiteralKind::Numeric { .. } } if defines => {
                blotted.push_str(token);
            }
            TokenKind::Literal { kind: LiteralKind::Int { .. } | LiteralKind::Numeric { .. } } => {
                blotted.push_str(BLOT)
            }
            TokenKind::Literal { kind: LiteralKind::DollarQuotedString { terminated: true } } if defines => {
                let (tag, body) = dollar_parts(token);
                blotted.push_str(tag);
                blotted.push_str(&sql(body));
                blotted.push_str(tag);
            }
            TokenKind::Literal { .. } => {
                blotted.push('\'');
                blotted.push_str(BLOT);
                blotted.push('\'');
            }
            _ => blotted.push_str(token),
        }
    }
    blotted
}

/// `$tag$` and what stands between two of them.
fn dollar_parts(token: &str) -> (&str, &str) {
    let tag_len = token[1..].find('$').map_or(1, |at| at + 2);
    let end = token.len().saturating_sub(tag_len).max(tag_len);
    (&token[..tag_len], &token[tag_len..end])
}

/// A server's message without row values, where only its text and perhaps its SQLSTATE are known. Of data exceptions (class 22) and of
/// what a client passed on without a code, the quoted parts that are no names go; of what a function raises, all.
pub fn message(code: Option<&str>, text: &str) -> String {
    if matches!(code, Some("P0001" | "P0004")) {
        return RAISED.to_owned();
    }
    if let Some(code) = code.filter(|code| !code.starts_with("22")) {
        let known = ServerMessage { code: code.to_owned(), message: text.to_owned(), ..ServerMessage::default() };
        return known.shown(false);
    }
    /// What the server puts before the name of a thing.
    const NAMED: [&str; 22] = [
        "relation",
        "table",
        "column",
        "constraint",
        "index",
        "type",
        "encoding",
        "schema",
        "role",
        "extension",
        "function",
        "sequence",
        "database",
        "view",
        "trigger",
        "file",
        "language",
        "collation",
        "parameter",
        "enum",
        "domain",
        "user",
    ];
    let mut blotted = String::with_capacity(text.len());
    let mut inside = false;
    for (number, piece) in text.split('"').enumerate() {
        if number > 0 {
            blotted.push('"');
        }
        let named =
            blotted.trim_end_matches('"').split_whitespace().next_back().is_some_and(|word| NAMED.contains(&word));
        blotted.push_str(if inside && !named { BLOT } else { piece });
        inside = !inside;
    }
    blotted
}

/// An error line of the server as a client program wrote it, without values; none where the text is none of the server's own and may hold
/// them anywhere, as that of a RAISE does. What stands before it is kept where it is psql's place in a script.
pub fn passed_on(line: &str) -> Option<String> {
    let (at, mark) = ["ERROR:  ", "FATAL:  "].iter().find_map(|mark| Some((line.find(mark)?, mark)))?;
    let (before, text) = (&line[..at], &line[at + mark.len()..]);
    let told = OWN_FORMS.iter().find_map(|form| fitted(form, text.trim_end()))?;
    let place = if is_psql_place(before) { before } else { "" };
    Some(format!("{place}{mark}{told}"))
}

/// `psql:patch.sql:3: `
fn is_psql_place(text: &str) -> bool {
    let place = text.strip_prefix("psql:").and_then(|rest| rest.strip_suffix(": "));
    place.and_then(|place| place.rsplit_once(':')).is_some_and(|(_, line)| line.parse::<u64>().is_ok())
}

/// What the server says most often of a release's statements, in its own words.
const OWN_FORMS: &[&str] = &[
    "relation \"{n}\" does not exist",
    "relation \"{n}\" already exists",
    "relation \"{n}\" already exists, skipping",
    "table \"{n}\" does not exist",
    "view \"{n}\" does not exist",
    "sequence \"{n}\" does not exist",
    "index \"{n}\" does not exist",
    "column \"{n}\" does not exist",
    "column {w} does not exist",
    "column \"{n}\" of relation \"{n}\" does not exist",
    "column \"{n}\" of relation \"{n}\" already exists",
    "column \"{n}\" of relation \"{n}\" contains null values",
    "column \"{n}\" cannot be cast automatically to type {w}",
    "column reference \"{n}\" is ambiguous",
    "constraint \"{n}\" of relation \"{n}\" does not exist",
    "constraint \"{n}\" for relation \"{n}\" already exists",
    "check constraint \"{n}\" of relation \"{n}\" is violated by some row",
    "schema \"{n}\" does not exist",
    "schema \"{n}\" already exists",
    "type \"{n}\" does not exist",
    "type \"{n}\" already exists",
    "role \"{n}\" does not exist",
    "role \"{n}\" already exists",
    "database \"{n}\" does not exist",
    "extension \"{n}\" does not exist",
    "extension \"{n}\" already exists",
    "extension \"{n}\" is not available",
    "trigger \"{n}\" for relation \"{n}\" already exists",
    "trigger \"{n}\" for table \"{n}\" does not exist",
    "policy \"{n}\" for table \"{n}\" already exists",
    "function {w} does not exist",
    "function {w} is not unique",
    "function \"{n}\" already exists with same argument types",
    "could not create unique index \"{n}\"",
    "duplicate key value violates unique constraint \"{n}\"",
    "conflicting key value violates exclusion constraint \"{n}\"",
    "null value in column \"{n}\" of relation \"{n}\" violates not-null constraint",
    "null value in column \"{n}\" violates not-null constraint",
    "new row for relation \"{n}\" violates check constraint \"{n}\"",
    "no partition of relation \"{n}\" found for row",
    "value for domain {w} violates check constraint \"{n}\"",
    "insert or update on table \"{n}\" violates foreign key constraint \"{n}\"",
    "update or delete on table \"{n}\" violates foreign key constraint \"{n}\" on table \"{n}\"",
    "new row violates row-level security policy for table \"{n}\"",
    "there is no unique constraint matching given keys for referenced table \"{n}\"",
    "cannot drop {w} because other objects depend on it",
    "cannot truncate a table referenced in a foreign key constraint",
    "cannot execute {w} in a read-only transaction",
    "{w} cannot run inside a transaction block",
    "cannot insert a non-DEFAULT value into column \"{n}\"",
    "permission denied for {w}",
    "permission denied to create {w}",
    "must be owner of {w}",
    "must be superuser to {w}",
    "syntax error at end of input",
    "syntax error at or near \"{v}\"",
    "unterminated quoted string at or near \"{v}\"",
    "unterminated dollar-quoted string at or near \"{v}\"",
    "invalid input syntax for type {w}: \"{v}\"",
    "invalid input value for enum {w}: \"{v}\"",
    "value \"{v}\" is out of range for type {w}",
    "value too long for type {w}",
    "{w} out of range",
    "numeric field overflow",
    "division by zero",
    "deadlock detected",
    "could not serialize access due to concurrent update",
    "could not obtain lock on relation \"{n}\"",
    "canceling statement due to lock timeout",
    "canceling statement due to statement timeout",
    "canceling statement due to user request",
    "current transaction is aborted, commands ignored until end of transaction block",
    "terminating connection due to administrator command",
    "terminating connection due to idle-in-transaction timeout",
    "password authentication failed for user \"{n}\"",
    "sorry, too many clients already",
    "the database system is starting up",
    "the database system is shutting down",
];

#[cfg(test)]
mod tests {
    use super::{message, passed_on, sql};

    #[test]
    fn a_line_is_passed_on_where_it_is_the_servers_own() {
        for (line, expected) in [
            (
                "psql:patch.sql:3: ERROR:  relation \"t\" does not exist",
                Some("psql:patch.sql:3: ERROR:  relation \"t\" does not exist"),
            ),
            ("ERROR:  column o.nope does not exist", Some("ERROR:  column o.nope does not exist")),
            (
                "ERROR:  update or delete on table \"a\" violates foreign key constraint \"b_a\" on table \"b\"",
                Some("ERROR:  update or delete on table \"a\" violates foreign key constraint \"b_a\" on table \"b\""),
            ),
            (
                "Ann: ERROR:  invalid input syntax for type integer: \"Ann \"x\" Lee\"",
                Some("ERROR:  invalid input syntax for type integer: \"…\""),
            ),
            ("ERROR:  syntax error at or near \"'Ann'\"", Some("ERROR:  syntax error at or near \"…\"")),
            ("FATAL:  role \"shop\" does not exist", Some("FATAL:  role \"shop\" does not exist")),
            ("psql:patch.sql:1: ERROR:  customer Ann (ann@example.org) has open orders", None),
            ("ERROR:  Ann Lee does not exist", None),
            ("ERROR:  relation \"t\" does not exist: \"ann@example.org\"", None),
            ("ERROR:  permission denied for ann@example.org", None),
            ("no error", None),
        ] {
            assert_eq!(passed_on(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn values_leave_statements_and_the_shape_stays() {
        for (text, expected) in [
            (
                "UPDATE t SET a = 'x''y', b = 3.5 WHERE \"c 1\" = $1 -- 7",
                "UPDATE t SET a = '…', b = … WHERE \"c 1\" = $1 -- 7",
            ),
            ("ALTER TABLE t ADD c numeric(12,2) DEFAULT 'x'", "ALTER TABLE t ADD c numeric(12,2) DEFAULT '…'"),
            ("ALTER ROLE a PASSWORD E'secret\\''", "ALTER ROLE a PASSWORD '…'"),
            ("DO $x$ BEGIN UPDATE t SET a = 'v'; END $x$", "DO $x$ BEGIN UPDATE t SET a = '…'; END $x$"),
            ("SELECT $$secret$$, B'01'", "SELECT '…', '…'"),
            ("", ""),
        ] {
            assert_eq!(sql(text), expected);
        }
    }

    #[test]
    fn values_leave_messages_and_names_stay() {
        for (code, text, expected) in [
            (
                Some("22P02"),
                "invalid input syntax for type integer: \"abc\"",
                "invalid input syntax for type integer: \"…\"",
            ),
            (
                Some("22003"),
                "value \"999\" is out of range for type integer",
                "value \"…\" is out of range for type integer",
            ),
            (
                Some("22021"),
                "invalid byte sequence for encoding \"UTF8\": 0xff",
                "invalid byte sequence for encoding \"UTF8\": 0xff",
            ),
            (
                Some("P0001"),
                "order 1234 of Ann is closed",
                "a function or a DO block raised it; its words are left out",
            ),
            (Some("42P01"), "relation \"t\" does not exist", "relation \"t\" does not exist"),
            (
                None,
                "new row for relation \"t\" violates check constraint \"c\"",
                "new row for relation \"t\" violates check constraint \"c\"",
            ),
            (None, "invalid input value for enum mood: \"x\"", "invalid input value for enum mood: \"…\""),
        ] {
            assert_eq!(message(code, text), expected);
        }
    }
}
