//! Who subscribes to whom.

use super::topology::{logical_log, version_of};
use crate::scenario::EngineKind;
use crate::scenario::grammar::{NodeTable, SubscribesTable};
use crate::scenario::leaf::Text;
use crate::scenario::problem::{Mistake, Problems};
use crate::scenario::read::Found;
use crate::scenario::tree::{At, Place};

/// From here on a standby can be decoded for subscribers.
const FROM_STANDBYS: u32 = 16;

/// Postgres alone has it; a subscriber takes from the writer, and from it nobody takes.
pub(super) fn subscribers(
    raw: &[(At<String>, At<NodeTable>)],
    engine: Option<EngineKind>,
    default: Option<&str>,
    problems: &mut Problems,
) {
    for (name, table) in raw {
        let of_subscriber =
            |node: &Text| raw.iter().any(|(of, table)| of.value == node.0 && table.value.gives("subscribes"));
        if let Some(At { value: source, at }) =
            table.value.replicates.as_ref().filter(|node| of_subscriber(&node.value))
        {
            let what = format!("a replica of a subscriber, as of \"{}\",", source.0);
            problems.raise(*at, Mistake::NotSupportedYet { what });
        }
        let Some(At { value: subscribes, at }) = &table.value.subscribes else { continue };
        if let Some(engine) = engine.filter(|engine| *engine != EngineKind::Postgres) {
            let message = format!("{} has no subscriptions", engine.name());
            clash(*at, message, "give the node `replicates` instead", problems);
            continue;
        }
        if table.value.gives("replicates") || table.value.gives("peers") {
            let message = format!("node \"{}\" subscribes and replicates another as well", name.value);
            clash(*at, message, "let it do one of both", problems);
        }
        form(subscribes, problems);
        if let Some(to) = &subscribes.to {
            source(raw, name, to, default, problems);
        }
    }
}

/// Names of tables in their schemas.
fn form(subscribes: &SubscribesTable, problems: &mut Problems) {
    let mut wrong = |at, found: String, form: &str| {
        problems.raise(at, Mistake::WrongForm { found, form: form.to_owned(), hint: None });
    };
    let Some(At { value: tables, at }) = &subscribes.tables else { return };
    if tables.is_empty() {
        wrong(*at, "an empty list".to_owned(), "at least one table");
    }
    for At { value: Text(table), at } in tables {
        let (schema, name) = table.split_once('.').unwrap_or(("", table));
        let is_name = |part: &str| !part.is_empty() && !part.contains('*');
        if !is_name(schema) || !(is_name(name) || name == "*") {
            wrong(
                *at,
                format!("\"{table}\""),
                "a table with its schema, as \"public.orders\", or \"public.*\" for all of one",
            );
        }
    }
}

/// Whether the node that it names can publish.
fn source(
    raw: &[(At<String>, At<NodeTable>)],
    name: &At<String>,
    to: &At<Text>,
    default: Option<&str>,
    problems: &mut Problems,
) {
    let At { value: Text(source), at } = to;
    let Some((_, other)) = raw.iter().find(|(node, _)| node.value == *source) else {
        let known = raw.iter().map(|(name, _)| name.value.clone()).collect();
        problems.raise(*at, Mistake::UnknownName { what: "node", name: source.clone(), known });
        return;
    };
    let other = &other.value;
    let is_old = |version: String| version.parse::<u32>().is_ok_and(|version| version < FROM_STANDBYS);
    if *source == name.value {
        clash(*at, format!("node \"{source}\" subscribes to itself"), "name the node that publishes", problems);
    } else if other.gives("subscribes") {
        let what = format!("a subscriber of a subscriber, as of \"{source}\",");
        problems.raise(*at, Mistake::NotSupportedYet { what });
    } else if other.gives("peers") {
        let what = format!("a subscriber of one of a pair, as of \"{source}\",");
        problems.raise(*at, Mistake::NotSupportedYet { what });
    } else if other.gives("replicates") && version_of(other, default).is_some_and(is_old) {
        let message = format!("node \"{source}\" is a standby, and publishes from version {FROM_STANDBYS} on alone");
        clash(*at, message, "subscribe to the node that it replicates", problems);
    } else if other.gives("replicates") {
        let what = format!("a subscriber of a standby, as of \"{source}\",");
        problems.raise(*at, Mistake::NotSupportedYet { what });
    } else {
        logical_log(other, &format!("node \"{source}\", to which \"{}\" subscribes,", name.value), problems);
    }
}

fn clash(at: Place, message: String, hint: &str, problems: &mut Problems) {
    problems.raise(at, Mistake::Clash { message, hint: Some(hint.to_owned()) });
}
