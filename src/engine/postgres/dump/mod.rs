//! What a dump needs of the server it is restored into, read off its SQL without a server.

use std::collections::BTreeSet;
use std::io::{self, BufRead};

use super::script_stream::{Part, Scanner, Unfinished, Word, words};
use crate::scenario::Extension;

/// What a dump's statements rest on and do not make themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Roles that own something, are granted something, or are named in a policy. Without the server's predefined ones.
    pub roles: BTreeSet<String>,
    pub extensions: Vec<Extension>,
    /// Of the server that was dumped, as the dump says: "15.18".
    pub server_version: Option<String>,
    pub encoding: Option<String>,
    /// Databases that a plain dump creates or connects to by itself (`pg_dump -C`).
    pub databases: BTreeSet<String>,
    /// It makes roles: a dump of a whole cluster, or a roles file.
    pub creates_roles: bool,
    /// It makes the schema `public`, which every new database has: `pg_dump --schema=public` writes that.
    pub creates_public: bool,
    /// Where the text ends in the middle of something.
    pub unfinished: Option<Unfinished>,
    /// Whether it held any statement at all.
    pub statements: u64,
}

impl Requirements {
    /// The major version of the server that was dumped.
    pub fn server_major(&self) -> Option<u32> {
        major(self.server_version.as_deref()?)
    }
}

/// `15` of "15.18 (Debian …)", "15devel", "15".
pub fn major(version: &str) -> Option<u32> {
    let digits = version.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Reads a plain dump to its end.
///
/// # Errors
/// Those of reading.
pub fn requirements(script: impl BufRead) -> io::Result<Requirements> {
    let mut scanner = Scanner::new(script);
    let mut needed = Requirements::default();
    let mut made = BTreeSet::new();
    while let Some(part) = scanner.next_part()? {
        match part {
            Part::Comment { text } => note_comment(&text, &mut needed),
            Part::Meta { text, .. } => note_meta(&text, &mut needed),
            Part::Statement { text, .. } => {
                needed.statements += 1;
                if speaks_of_roles_or_extensions(&text) {
                    note_statement(&words(&text), &mut needed, &mut made);
                }
            }
        }
    }
    needed.unfinished = scanner.unfinished();
    needed.creates_roles = !made.is_empty();
    needed.roles.retain(|role| !made.contains(role) && !role.starts_with("pg_"));
    Ok(needed)
}

/// The role that a `CREATE ROLE`, `CREATE USER` or `CREATE GROUP` makes.
pub fn created_role(words: &[Word]) -> Option<&str> {
    match words {
        [create, kind, name, rest @ ..]
            if create.is("create")
                && ["role", "user", "group"].iter().any(|word| kind.is(word))
                && !(name.is("mapping") && rest.first().is_some_and(|word| word.is("for"))) =>
        {
            name.name()
        }
        _ => None,
    }
}

/// Most of a dump's statements need no look: tables, comments, rows.
fn speaks_of_roles_or_extensions(sql: &str) -> bool {
    let end = sql.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(sql.len());
    ["alter", "create", "grant", "revoke", "set"].iter().any(|word| sql[..end].eq_ignore_ascii_case(word))
}

fn note_comment(text: &str, needed: &mut Requirements) {
    if let Some(version) = text.strip_prefix("-- Dumped from database version ") {
        needed.server_version.get_or_insert_with(|| version.trim().to_owned());
    }
}

fn note_meta(text: &str, needed: &mut Requirements) {
    let arguments = text.strip_prefix("\\connect ").or_else(|| text.strip_prefix("\\c "));
    let Some(Some(name)) = arguments.map(|arguments| words(arguments).into_iter().next_back()) else { return };
    match name {
        Word::Plain(_) => {
            // psql does not fold an argument's case.
            needed.databases.extend(text.split_whitespace().next_back().map(str::to_owned));
        }
        Word::Quoted(name) | Word::Text(name) => {
            // `-reuse-previous=on "dbname='odd name'"`
            let name =
                name.strip_prefix("dbname='").and_then(|rest| rest.strip_suffix('\'')).unwrap_or(&name).to_owned();
            needed.databases.insert(name);
        }
        Word::Sign(_) => {}
    }
}

fn note_statement(words: &[Word], needed: &mut Requirements, made: &mut BTreeSet<String>) {
    if let Some(role) = created_role(words) {
        made.insert(role.to_owned());
        return;
    }
    let after = |keyword: &str| words.iter().position(|word| word.is(keyword)).map(|at| &words[at + 1..]);
    let last_after = |keyword: &str| words.iter().rposition(|word| word.is(keyword)).map(|at| &words[at + 1..]);
    let first_two = (words.first(), words.get(1));
    let starts = |one: &str, two: &str| {
        first_two.0.is_some_and(|word| word.is(one)) && first_two.1.is_some_and(|word| word.is(two))
    };
    let roles = &mut needed.roles;
    if starts("alter", "default") {
        note_names(after("role").or_else(|| after("user")), roles);
        let grantees = if after("grant").is_some() { last_after("to") } else { last_after("from") };
        note_names(grantees, roles);
    } else if starts("create", "extension") {
        needed.extensions.extend(extension(&words[2..]));
    } else if starts("create", "database") {
        needed.databases.extend(words.get(2).and_then(Word::name).map(str::to_owned));
    } else if starts("create", "schema") {
        note_names(after("authorization"), roles);
        needed.creates_public |= matches!(words, [_, _, name] if name.name() == Some("public"));
    } else if starts("create", "policy") {
        // Expressions come behind the roles.
        let head = words.iter().position(|word| word.is("using") || word.is("with")).unwrap_or(words.len());
        let to = words[..head].iter().position(|word| word.is("to"));
        note_names(to.map(|at| &words[at + 1..head]), roles);
    } else if starts("create", "user") {
        note_names(after("for"), roles);
    } else if starts("set", "session") || starts("set", "role") {
        let name = if starts("set", "role") { words.get(2) } else { after("authorization").and_then(<[Word]>::first) };
        match name {
            Some(Word::Text(name) | Word::Quoted(name)) => drop(roles.insert(name.clone())),
            Some(Word::Plain(name)) if name != "default" && name != "none" => drop(roles.insert(name.clone())),
            _ => {}
        }
    } else if starts("set", "client_encoding") {
        if let Some(Word::Text(name)) = words.get(3) {
            needed.encoding.get_or_insert_with(|| name.clone());
        }
    } else if words.first().is_some_and(|word| word.is("alter")) {
        if let Some(at) = words.windows(2).position(|pair| pair[0].is("owner") && pair[1].is("to")) {
            note_names(Some(&words[at + 2..]), roles);
        }
    } else if words.first().is_some_and(|word| word.is("grant")) {
        note_names(last_after("to"), roles);
        note_names(last_after("by"), roles);
    } else if words.first().is_some_and(|word| word.is("revoke")) {
        note_names(last_after("from"), roles);
    }
}

/// A list of role names, up to whatever else comes.
fn note_names(words: Option<&[Word]>, into: &mut BTreeSet<String>) {
    const NOBODY: [&str; 5] = ["public", "current_user", "current_role", "session_user", "group"];
    let mut expects_name = true;
    for word in words.unwrap_or_default() {
        match word {
            Word::Sign(sign) if sign == "," => expects_name = true,
            Word::Plain(name) if expects_name && NOBODY.contains(&name.as_str()) => expects_name = name == "group",
            Word::Plain(name) | Word::Quoted(name) if expects_name => {
                into.insert(name.clone());
                expects_name = false;
            }
            _ => break,
        }
    }
}

fn extension(words: &[Word]) -> Option<Extension> {
    let words = match words {
        [first, not, exists, rest @ ..] if first.is("if") && not.is("not") && exists.is("exists") => rest,
        words => words,
    };
    let version = words.iter().position(|word| word.is("version")).and_then(|at| match words.get(at + 1)? {
        Word::Text(version) | Word::Plain(version) | Word::Quoted(version) => Some(version.clone()),
        Word::Sign(_) => None,
    });
    Some(Extension { name: words.first()?.name()?.to_owned(), version })
}

#[cfg(test)]
mod tests;
