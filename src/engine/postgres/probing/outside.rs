//! Which writes reach outside the database through triggers, so that a rollback would not undo them.

use std::collections::{BTreeMap, BTreeSet};

use squawk_lexer::TokenKind;
use tokio_postgres::Client;

use crate::engine::probing::Table;

/// A function that is not the server's own.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub name: String,
    pub language: Language,
    /// The extension that brought it.
    pub extension: Option<String>,
    pub body: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Language {
    /// Trusted, or of the server's own kind: C and SQL.
    Confined,
    /// May do whatever the server's user may.
    Untrusted(String),
}

/// Extensions whose functions act elsewhere at once.
const OUTSIDE: &[&str] =
    &["dblink", "http", "pg_curl", "plproxy", "postgres_fdw", "adminpack", "file_fdw", "pg_background"];

/// Functions of the server itself that write where no rollback reaches.
const OUTSIDE_BUILT_IN: &[&str] = &["lo_export", "pg_file_write", "pg_reload_conf", "pg_rotate_logfile"];

/// All functions that are not the server's own, by oid.
///
/// # Errors
/// The driver's.
pub(super) async fn functions(client: &Client) -> Result<BTreeMap<u32, Function>, tokio_postgres::Error> {
    let rows = client.query(FUNCTIONS, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let language: String = row.get("language");
            let confined: bool = row.get("confined");
            let function = Function {
                name: row.get("name"),
                language: if confined { Language::Confined } else { Language::Untrusted(language) },
                extension: row.get("extension"),
                body: row.get("body"),
            };
            (row.get("oid"), function)
        })
        .collect())
}

const FUNCTIONS: &str = "
SELECT p.oid, p.proname::text AS name, l.lanname::text AS language,
    l.lanpltrusted OR l.lanname IN ('c', 'internal', 'sql') AS confined, coalesce(p.prosrc, '') AS body,
    (SELECT e.extname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e' LIMIT 1) AS extension
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// What a write to some table may set off.
#[derive(Debug, Default)]
pub(super) struct Reach {
    functions: BTreeMap<u32, Function>,
    functions_by_name: BTreeMap<String, Vec<u32>>,
    /// By name, without its schema: a body that names a table may write to it.
    tables: BTreeMap<String, Vec<Neighbour>>,
    /// Trigger functions of the tables whose rows a write to this one changes as well, by its name.
    behind: BTreeMap<String, Vec<u32>>,
}

#[derive(Debug)]
struct Neighbour {
    foreign: bool,
    triggers: Vec<u32>,
}

impl Reach {
    /// `tables` with their trigger functions, and whether they are foreign ones.
    pub fn new(functions: BTreeMap<u32, Function>, tables: &[(&Table, &[u32], bool)]) -> Reach {
        let mut reach = Reach::default();
        for (&oid, function) in &functions {
            reach.functions_by_name.entry(function.name.to_lowercase()).or_default().push(oid);
        }
        for (table, triggers, foreign) in tables {
            let last = table.name.rsplit('.').next().unwrap_or(&table.name).to_lowercase();
            let neighbour = Neighbour { foreign: *foreign, triggers: triggers.to_vec() };
            reach.tables.entry(last).or_default().push(neighbour);
            for reference in table.references.iter().filter(|reference| reference.acts) {
                let behind = reach.behind.entry(reference.to_name.clone()).or_default();
                behind.extend(*triggers);
            }
        }
        reach.functions = functions;
        reach
    }

    /// Why writes to this table must not be tried, if they must not.
    pub fn outside(&self, table: &Table, triggers: &[u32]) -> Option<String> {
        let behind = self.behind.get(&table.name).into_iter().flatten();
        self.of_functions(triggers.iter().chain(behind).copied().collect())
    }

    /// Follows the functions that a text names, and the triggers of the tables that it names.
    fn of_functions(&self, mut left: Vec<u32>) -> Option<String> {
        let mut seen = BTreeSet::new();
        while let Some(oid) = left.pop() {
            let Some(function) = self.functions.get(&oid) else { continue };
            if !seen.insert(oid) {
                continue;
            }
            let words = words(&function.body);
            if let Some(reason) = acts_outside(function, &words) {
                return Some(reason);
            }
            for word in &words {
                left.extend(self.functions_by_name.get(word).into_iter().flatten());
                for named in self.tables.get(word).into_iter().flatten() {
                    if named.foreign {
                        return Some(format!("function {} names the foreign table {word}", function.name));
                    }
                    left.extend(&named.triggers);
                }
            }
        }
        None
    }
}

fn acts_outside(function: &Function, words: &BTreeSet<String>) -> Option<String> {
    let name = &function.name;
    if let Language::Untrusted(language) = &function.language {
        return Some(format!("function {name} is written in {language}"));
    }
    if let Some(extension) = function.extension.as_deref().filter(|name| OUTSIDE.contains(name)) {
        return Some(format!("function {name} of the extension {extension} acts outside the transaction"));
    }
    if words.contains("copy") && words.contains("program") {
        return Some(format!("function {name} runs programs"));
    }
    let built_in = OUTSIDE_BUILT_IN.iter().find(|built_in| words.contains(**built_in))?;
    Some(format!("function {name} calls {built_in}"))
}

/// Every identifier in a text, folded as the server folds them, those inside quoted strings too: a body may build its SQL.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut left = vec![text];
    while let Some(text) = left.pop() {
        let mut at = 0;
        for token in squawk_lexer::tokenize(text) {
            let end = at + token.len as usize;
            let piece = &text[at..end];
            match token.kind {
                TokenKind::Ident => {
                    words.insert(piece.to_lowercase());
                }
                TokenKind::QuotedIdent { .. } => {
                    words.insert(piece.trim_matches('"').to_owned());
                }
                // Shorter by its quotes each time, so this ends.
                TokenKind::Literal { .. } if piece.len() > 2 => {
                    let inner = piece.trim_start_matches(['e', 'E', '\'', '$']).trim_end_matches(['\'', '$']);
                    if inner.len() < piece.len() {
                        left.push(inner);
                    }
                }
                _ => {}
            }
            at = end;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, language: Language, extension: Option<&str>, body: &str) -> Function {
        Function { name: name.into(), language, extension: extension.map(Into::into), body: body.into() }
    }

    fn check(body: &str, expected: Option<&str>) {
        let functions = BTreeMap::from([
            (1, function("trigger_function", Language::Confined, None, body)),
            (2, function("helper", Language::Confined, None, "BEGIN PERFORM dblink_exec('x', 'y'); END")),
            (3, function("dblink_exec", Language::Confined, Some("dblink"), "dblink_exec")),
            (4, function("mailer", Language::Untrusted("plpython3u".into()), None, "import smtplib")),
        ]);
        assert_eq!(Reach::new(functions, &[]).of_functions(vec![1]).as_deref(), expected, "{body}");
    }

    #[test]
    fn triggers_that_reach_outside_are_told_from_those_that_do_not() {
        check("BEGIN NEW.changed := now(); PERFORM pg_notify('x', 'y'); RETURN NEW; END", None);
        check("BEGIN -- dblink_exec is not called\n RETURN NEW; END", None);
        check(
            "BEGIN PERFORM helper(); RETURN NEW; END",
            Some("function dblink_exec of the extension dblink acts outside the transaction"),
        );
        check(
            "BEGIN EXECUTE 'SELECT dblink_exec()'; END",
            Some("function dblink_exec of the extension dblink acts outside the transaction"),
        );
        check("BEGIN PERFORM \"mailer\"(NEW.id); END", Some("function mailer is written in plpython3u"));
        check("BEGIN COPY t TO PROGRAM 'mail'; END", Some("function trigger_function runs programs"));
        check("BEGIN PERFORM trigger_function(); END", None);
    }
}
