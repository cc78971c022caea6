//! What tables lost: defaults, numbering, NOT NULL, constraints, indexes and privileges.

use std::collections::{BTreeMap, BTreeSet};

use super::{finding, on_writers};
use crate::event::{Change, Numbering, ObjectKind, Property, SchemaChange, Statement};
use crate::finding::{Code, Finding};
use crate::outcome::downtime::Judged;
use crate::outcome::facts::{Diffed, Facts, StepRun};
use crate::outcome::words::{bare, duration, list, one_line};
use crate::stats::Interval;

/// At most this many columns or objects are named in one finding.
const NAMED: usize = 8;

pub fn findings(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> Vec<Finding> {
    let mut found = on_writers(facts, |diffed| lost_in_the_end(facts, diffed));
    found.extend(lost_for_a_while(facts, judged));
    found
}

/// What the comparison of one writer shows.
fn lost_in_the_end(facts: &Facts<'_>, &Diffed { seq, node, diff }: &Diffed<'_>) -> Vec<Finding> {
    let all = diff.schema.as_slice();
    let gone: BTreeSet<&str> = names(all, ObjectKind::Table, Change::Removed);
    let mut groups: BTreeMap<(Code, Option<&str>), Vec<String>> = BTreeMap::new();
    for change in all {
        let table = change.table.as_deref().map(bare);
        let meant =
            facts.retired(&change.object) || table.is_some_and(|table| facts.retired(table) || gone.contains(table));
        if meant {
            continue;
        }
        if let Some((code, what)) = lost(change, all) {
            groups.entry((code, table)).or_default().push(what);
        }
    }
    groups
        .into_iter()
        .map(|((code, table), what)| grouped(facts, code, (table, node), &what).resting_on([seq]))
        .collect()
}

/// Numbering that a later statement gave back, where users were refused meanwhile. What nobody felt was part of a change that takes
/// several statements.
fn lost_for_a_while(facts: &Facts<'_>, judged: &[Judged<'_, '_>]) -> Vec<Finding> {
    let ran =
        || facts.plan().flat_map(|run| run.statements.iter().map(move |(seq, statement)| (run, *seq, *statement)));
    let end_ms = |statement: &Statement| statement.started_ms + statement.elapsed_ms;
    let mut found = Vec::new();
    for (run, seq, statement) in ran() {
        for Numbering { table, column, .. } in statement.numbering.iter().filter(|change| change.lost) {
            let gives_back = |statement: &Statement| {
                let given = |change: &Numbering| !change.lost && (&change.table, &change.column) == (table, column);
                statement.numbering.iter().any(given)
            };
            let later = ran().find(|(_, _, later)| later.started_ms >= end_ms(statement) && gives_back(later));
            let Some((later_run, later_seq, later)) = later.filter(|_| !facts.retired(table)) else { continue };
            let meanwhile = Interval::new(end_ms(statement), end_ms(later));
            let refused = judged.iter().map(|window| window.facts).find(|window| {
                let on = facts.probes.get(&window.probe).and_then(|probe| probe.spec.table.as_deref());
                window.refused() && on.map(bare) == Some(bare(table)) && window.interval.overlaps(meanwhile)
            });
            let Some(refused) = refused else { continue };
            let condition = format!(
                "{}: automatic numbering lost on {column} by `{}`, and given back {} later, by `{}` of step \"{}\"",
                bare(table),
                one_line(&statement.sql, 80),
                duration(meanwhile.length_ms()),
                one_line(&later.sql, 80),
                later_run.name,
            );
            found.push(finding(Code::AutoIncrementLost, condition).at(run).resting_on([seq, later_seq, refused.seq]));
        }
    }
    found
}

fn names(all: &[SchemaChange], kind: ObjectKind, change: Change) -> BTreeSet<&str> {
    all.iter().filter(|other| other.kind == kind && other.change == change).map(|other| bare(&other.object)).collect()
}

fn grouped(facts: &Facts<'_>, code: Code, (table, node): (Option<&str>, &str), what: &[String]) -> Finding {
    let on = table.map_or_else(String::new, |table| format!("{table}: "));
    let verb = match code {
        Code::NotNullLost => "NOT NULL lost on ",
        Code::IndexInvalid => "invalid index ",
        Code::ViewInvalid => "no longer works: view ",
        Code::PrivilegeLost => "privilege lost: ",
        Code::ConstraintLost => "constraint lost: ",
        Code::IndexLost => "index lost: ",
        Code::AutoIncrementLost => "automatic numbering lost on ",
        _ => "default lost on ",
    };
    let found = finding(code, format!("{on}{verb}{}", list(what, NAMED)));
    match culprit(facts, table, node) {
        Some(run) => found.at(run),
        None => found,
    }
}

/// The step that last rebuilt, or else altered, the table on that node: where a reader looks first. None if no step or several did.
fn culprit<'f, 'a>(facts: &'f Facts<'a>, table: Option<&str>, node: &str) -> Option<&'f StepRun<'a>> {
    let table = table?;
    let is_there = |run: &&StepRun<'_>| if node.is_empty() { facts.is_on_writer(run) } else { run.node == node };
    let mut touching = facts.plan().filter(is_there).filter(|run| {
        run.statements.iter().any(|(_, statement)| {
            statement.locks.iter().any(|lock| (lock.stops_writes || lock.stops_reads) && bare(&lock.relation) == table)
        })
    });
    let first = touching.next()?;
    touching.next().is_none().then_some(first)
}

/// The code of a change that lost something, and the thing in words.
fn lost(change: &SchemaChange, all: &[SchemaChange]) -> Option<(Code, String)> {
    match (change.kind, change.change) {
        (ObjectKind::Column, Change::Changed) => column(change, all),
        (ObjectKind::Constraint, _) => constraint(change, all),
        (ObjectKind::Index, _) => index(change, all),
        (ObjectKind::Privilege, Change::Removed) => privilege(change, all),
        (ObjectKind::View, Change::Changed)
            if change.property == Some(Property::Valid) && invalid(change.after.as_deref()) =>
        {
            Some((Code::ViewInvalid, change.object.clone()))
        }
        _ => None,
    }
}

fn column(change: &SchemaChange, all: &[SchemaChange]) -> Option<(Code, String)> {
    let name = column_name(change);
    let numbered_otherwise = |property: Property| {
        all.iter().any(|other| {
            other.kind == ObjectKind::Column
                && other.object == change.object
                && other.property == Some(property)
                && given(other.after.as_deref())
        })
    };
    match change.property? {
        Property::Default if given(change.before.as_deref()) && !given(change.after.as_deref()) => {
            let before = change.before.as_deref().unwrap_or_default();
            let replaced = numbered_otherwise(Property::Identity) || numbered_otherwise(Property::Generated);
            (!replaced).then(|| {
                let text = match sequence(before) {
                    Some(sequence) => format!("{name} (numbered by sequence {sequence})"),
                    None => format!("{name} ({})", one_line(before, 60)),
                };
                (Code::DefaultLost, text)
            })
        }
        Property::Identity if given(change.before.as_deref()) && !given(change.after.as_deref()) => {
            (!numbered_otherwise(Property::Default)).then_some((Code::AutoIncrementLost, name))
        }
        Property::Generated if given(change.before.as_deref()) && !given(change.after.as_deref()) => {
            (!numbered_otherwise(Property::Default)).then(|| (Code::DefaultLost, format!("{name} (generated)")))
        }
        Property::Nullable if refuses_null(change.before.as_deref()) && !refuses_null(change.after.as_deref()) => {
            Some((Code::NotNullLost, name))
        }
        _ => None,
    }
}

/// "orders.id" on table orders is "id".
fn column_name(change: &SchemaChange) -> String {
    let of_table = change.table.as_deref().and_then(|table| change.object.strip_prefix(table)?.strip_prefix('.'));
    of_table.or_else(|| change.object.rsplit('.').next()).unwrap_or(&change.object).to_owned()
}

/// A property that is there: neither absent nor said to be none.
fn given(value: Option<&str>) -> bool {
    value.is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "" | "none" | "null" | "no" | "never"))
}

/// "NOT NULL", validated or not: new rows need a value either way.
fn refuses_null(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.to_ascii_lowercase().starts_with("not null"))
}

fn invalid(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "invalid" | "not valid" | "false" | "no"))
}

/// The sequence of a default as `nextval('orders_id_seq'::regclass)`.
fn sequence(default: &str) -> Option<&str> {
    default.strip_prefix("nextval('")?.split('\'').next()
}

fn constraint(change: &SchemaChange, all: &[SchemaChange]) -> Option<(Code, String)> {
    let name = last_part(&change.object);
    match (change.change, change.property) {
        (Change::Removed, _) => {
            let back = all.iter().any(|other| same_definition(change, other, |text, _| text.to_owned()));
            let definition = change.before.as_deref().unwrap_or_default();
            (!back && !of_dropped_column(change, all)).then(|| {
                let text = if definition.is_empty() {
                    name.to_owned()
                } else {
                    format!("{name} {}", one_line(definition, 80))
                };
                (Code::ConstraintLost, text)
            })
        }
        (Change::Changed, Some(Property::Valid))
            if !invalid(change.before.as_deref()) && invalid(change.after.as_deref()) =>
        {
            Some((Code::ConstraintLost, format!("{name} is no longer valid")))
        }
        _ => None,
    }
}

fn index(change: &SchemaChange, all: &[SchemaChange]) -> Option<(Code, String)> {
    let name = last_part(&change.object);
    match (change.change, change.property) {
        (Change::Removed, _) => {
            let back = all.iter().any(|other| same_definition(change, other, without_name));
            // The index behind a primary key or unique constraint: told with the constraint.
            let of_constraint = all.iter().any(|other| {
                other.kind == ObjectKind::Constraint
                    && other.change == Change::Removed
                    && other.table == change.table
                    && last_part(&other.object) == name
            });
            (!back && !of_constraint && !of_dropped_column(change, all)).then(|| {
                let definition = change.before.as_deref().map(|text| format!(" ({})", one_line(text, 100)));
                (Code::IndexLost, format!("{name}{}", definition.unwrap_or_default()))
            })
        }
        (Change::Changed | Change::Added, Some(Property::Valid)) if invalid(change.after.as_deref()) => {
            Some((Code::IndexInvalid, name.to_owned()))
        }
        (Change::Added, None) if change.after.as_deref().is_some_and(ends_invalid) => {
            Some((Code::IndexInvalid, name.to_owned()))
        }
        _ => None,
    }
}

/// A definition with the catalog's verdict behind it: "CREATE INDEX … (INVALID)".
fn ends_invalid(definition: &str) -> bool {
    let words = definition.trim_end_matches(')').rsplit(|letter: char| !letter.is_alphanumeric());
    words.into_iter().next().is_some_and(|word| word.eq_ignore_ascii_case("invalid"))
}

fn privilege(change: &SchemaChange, all: &[SchemaChange]) -> Option<(Code, String)> {
    // What was granted on a dropped sequence, view or function went with it.
    let removed = |kind| {
        names(all, kind, Change::Removed).iter().any(|object| {
            change.object.split_whitespace().map(bare).any(|word| word == *object)
                || change.table.as_deref().map(bare) == Some(*object)
        })
    };
    let with_object = [
        ObjectKind::Sequence,
        ObjectKind::View,
        ObjectKind::Function,
        ObjectKind::Procedure,
        ObjectKind::Schema,
        ObjectKind::Type,
    ]
    .into_iter()
    .any(removed);
    (!with_object).then(|| (Code::PrivilegeLost, change.object.clone()))
}

/// Whether `other` is what `removed` was, on the same table under another name.
fn same_definition(removed: &SchemaChange, other: &SchemaChange, normal: fn(&str, &str) -> String) -> bool {
    let (Some(before), Some(after)) = (&removed.before, &other.after) else { return false };
    other.kind == removed.kind
        && other.change == Change::Added
        && other.table == removed.table
        && (before == after || normal(before, last_part(&removed.object)) == normal(after, last_part(&other.object)))
}

/// A definition that names its index does so once, before anything else could.
fn without_name(definition: &str, name: &str) -> String {
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    if definition.contains(&quoted) { definition.replacen(&quoted, "", 1) } else { definition.replacen(name, "", 1) }
}

/// A constraint or index on a column that was dropped goes with the column, and whoever drops the column means it.
fn of_dropped_column(change: &SchemaChange, all: &[SchemaChange]) -> bool {
    let Some(definition) = &change.before else { return false };
    let words: BTreeSet<&str> =
        definition.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '$')).collect();
    all.iter()
        .filter(|other| {
            other.kind == ObjectKind::Column && other.change == Change::Removed && other.table == change.table
        })
        .any(|column| words.contains(column_name(column).trim_matches('"')))
}

fn last_part(object: &str) -> &str {
    object.rsplit('.').next().unwrap_or(object)
}
