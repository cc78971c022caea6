//! What a statement does to the transaction that it stands in, as far as its words tell.

use crate::engine::mysql::client::words::words;
use crate::engine::mysql::tokens::{Backslash, Kind, tokens};
use crate::engine::script::ScriptProblem;
use crate::engine::{EngineKind, postgres};
use crate::event::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Begins,
    Ends,
    /// Ends it and begins the next: COMMIT AND CHAIN.
    Chains,
    /// From here on each statement is committed by itself, or none is.
    Autocommit(bool),
    /// Writes nothing, and is refused in a transaction or means something else there: SET, SAVEPOINT.
    Apart,
    /// May commit within, and then is refused in a transaction: CALL and DO on Postgres.
    Routine,
    Within,
}

/// Whether a transaction is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub open: bool,
    /// What stands in no transaction is committed by itself.
    pub autocommit: bool,
}

impl State {
    /// As a session begins.
    pub const BEGIN: State = State { open: false, autocommit: true };

    pub fn after(self, part: Part) -> State {
        let open = match part {
            Part::Begins | Part::Chains | Part::Autocommit(false) => true,
            Part::Ends => !self.autocommit,
            // It commits only what the setting kept open.
            Part::Autocommit(true) => self.open && self.autocommit,
            Part::Apart | Part::Routine | Part::Within => self.open,
        };
        let autocommit = if let Part::Autocommit(autocommit) = part { autocommit } else { self.autocommit };
        State { open, autocommit }
    }

    /// What is sent last, so that the next iteration begins as this one did, and all of it is committed.
    pub fn ending(self) -> Option<&'static str> {
        match self {
            State { autocommit: false, .. } => Some("SET autocommit = 1"),
            State { open: true, .. } => Some("COMMIT"),
            _ => None,
        }
    }
}

/// # Errors
/// What a workload may not hold.
pub(super) fn part(engine: EngineKind, text: &str, place: &Place) -> Result<Part, ScriptProblem> {
    match engine {
        EngineKind::Postgres => on_postgres(text, place),
        EngineKind::Mysql | EngineKind::Mariadb => Ok(on_mysql(text, engine)),
    }
}

fn on_postgres(text: &str, place: &Place) -> Result<Part, ScriptProblem> {
    use postgres::describe::{Kind, chains, kind, reads_copy_data};
    let refused = |command: &str| ScriptProblem::Unsupported {
        place: place.clone(),
        command: format!("{command} in a workload"),
        hint: "make it a step of the plan, or leave it out".to_owned(),
    };
    if reads_copy_data(text) {
        return Err(refused("COPY … FROM stdin"));
    }
    match kind(text) {
        Kind::Begin => Ok(Part::Begins),
        Kind::End if chains(text) => Ok(Part::Chains),
        Kind::End => Ok(Part::Ends),
        Kind::Session | Kind::RollbackTo => Ok(Part::Apart),
        Kind::Routine => Ok(Part::Routine),
        Kind::Build | Kind::Maintain | Kind::Apart => {
            let word = text.split_whitespace().next().unwrap_or_default().to_uppercase();
            Err(refused(&word))
        }
        _ => Ok(Part::Within),
    }
}

fn on_mysql(text: &str, engine: EngineKind) -> Part {
    let words = words(text, engine);
    let begins = |with: &[&str]| words.begin(with);
    // MariaDB's BEGIN NOT ATOMIC is a block of statements and no transaction.
    if begins(&["START", "TRANSACTION"]) || (begins(&["BEGIN"]) && !begins(&["BEGIN", "NOT"])) {
        return Part::Begins;
    }
    if begins(&["SAVEPOINT"]) || begins(&["RELEASE"]) || (begins(&["ROLLBACK"]) && words.has("TO")) {
        return Part::Apart;
    }
    if begins(&["COMMIT"]) || begins(&["ROLLBACK"]) {
        let chains = words.bare.windows(2).any(|pair| pair == ["AND", "CHAIN"]);
        return if chains { Part::Chains } else { Part::Ends };
    }
    if begins(&["SET"]) { set(text, engine) } else { Part::Within }
}

/// What a SET is. The value of a user's variable may come from a function that writes.
fn set(text: &str, engine: EngineKind) -> Part {
    let said = |kind: &Kind, text: &str| !matches!(kind, Kind::Space | Kind::Comment) && text != ";";
    let pieces = tokens(text, engine, Backslash::Escapes).into_iter().filter(|(kind, text)| said(kind, text));
    let pieces: Vec<(Kind, &str)> = pieces.collect();
    let (mut autocommit, mut of_user) = (None, false);
    for assigned in pieces.split(|(_, text)| *text == ",") {
        let Some(equals) = assigned.iter().position(|(_, text)| *text == "=") else { continue };
        let (target, value) = (&assigned[..equals], &assigned[equals + 1..]);
        if target.iter().filter(|(_, text)| *text == "@").count() == 1 {
            of_user = true;
            continue;
        }
        let names = target.iter().filter(|(kind, _)| matches!(kind, Kind::Word | Kind::Quoted));
        let names: Vec<String> = names.map(|(_, text)| text.trim_matches('`').to_lowercase()).collect();
        let of_server = names.iter().any(|name| ["global", "persist", "persist_only"].contains(&name.as_str()));
        if names.last().is_some_and(|name| name == "autocommit") && !of_server {
            let off =
                |word: &str| ["0", "off", "false"].contains(&word.trim_matches(['\'', '"']).to_lowercase().as_str());
            autocommit = Some(!matches!(value, [(_, word)] if off(word)));
        }
    }
    match autocommit {
        Some(on) => Part::Autocommit(on),
        None if of_user => Part::Within,
        None => Part::Apart,
    }
}
