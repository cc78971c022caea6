//! Statements that would hurt a larger or busier table than the one that was rehearsed on.

use std::collections::BTreeMap;

use super::finding;
use crate::event::{Statement, Work};
use crate::finding::{Code, Finding};
use crate::outcome::facts::{Facts, StepRun};
use crate::outcome::growth::production_rows;
use crate::outcome::words::{bare, duration, list, number, one_line};
use crate::scenario::EngineKind;

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    facts.plan().flat_map(|run| rewrites(facts, run).into_iter().chain(locks(facts, run))).collect()
}

/// One finding a table that the step wrote anew.
fn rewrites(facts: &Facts<'_>, run: &StepRun<'_>) -> Vec<Finding> {
    let existing = facts.existing();
    let mut tables: BTreeMap<&str, (u64, &Statement)> = BTreeMap::new();
    for (seq, statement) in &run.statements {
        if statement.work != Work::Rewrites {
            continue;
        }
        let rewritten = statement.rewrote.iter().map(|name| bare(name));
        for table in rewritten.filter(|table| existing.contains(table) && !facts.retired(table)) {
            tables.entry(table).or_insert((*seq, statement));
        }
    }
    tables
        .into_iter()
        .map(|(table, (seq, statement))| {
            let mut condition =
                format!("`{}` wrote {table} anew in {}", one_line(&statement.sql, 80), duration(statement.elapsed_ms));
            let rehearsed = facts.sizes.get(table).map(|size| size.rows);
            if let Some(rows) = rehearsed {
                condition.push_str(&format!(", {} rows", number(rows)));
            }
            if let Some(production) =
                production_rows(facts, table).filter(|rows| rehearsed.is_none_or(|own| *rows > own))
            {
                condition.push_str(&format!("; production has {}", number(production)));
            }
            if let Some(lock) = statement.locks.iter().find(|lock| bare(&lock.relation) == table && !lock.brief) {
                condition.push_str(&format!("; {} was held meanwhile", lock.mode));
            }
            finding(Code::TableRewritten, condition).at(run).resting_on([seq])
        })
        .collect()
}

/// One finding a step that asked for locks that stop everybody, without a lock timeout.
fn locks(facts: &Facts<'_>, run: &StepRun<'_>) -> Option<Finding> {
    let retried = facts.planned(run).is_some_and(|planned| planned.retry.is_some());
    // Nobody is there who could queue behind it.
    let is_out = facts.routing_at(run.started_ms).is_out(run.node);
    if retried || is_out || facts.scenario.probes.open_transaction.is_some() {
        return None;
    }
    let existing = facts.existing();
    let made: Vec<&str> =
        run.statements.iter().flat_map(|(_, statement)| &statement.created).map(|name| bare(name)).collect();
    let mut tables: Vec<&str> = Vec::new();
    let mut first: Option<(u64, &Statement, &str)> = None;
    for (seq, statement) in run.statements.iter().filter(|(_, statement)| !statement.lock_timeout) {
        for lock in statement.locks.iter().filter(|lock| lock.stops_reads) {
            let table = bare(&lock.relation);
            let was_there = existing.contains(table) && !made.contains(&table);
            if was_there && !facts.retired(table) && !tables.contains(&table) {
                tables.push(table);
                first.get_or_insert((*seq, statement, &lock.mode));
            }
        }
    }
    let (seq, statement, mode) = first?;
    let condition = format!(
        "step \"{}\" asked for {mode} on {} without a lock timeout, first in `{}`",
        run.name,
        list(&tables, 5),
        one_line(&statement.sql, 80)
    );
    let found = finding(Code::LockWithoutTimeout, condition).at(run).resting_on([seq]);
    Some(match facts.scenario.topology.engine {
        EngineKind::Postgres => found,
        EngineKind::Mysql | EngineKind::Mariadb => {
            found.instead("SET SESSION lock_wait_timeout, and retry; or give the step retry = { lock_timeout = … }")
        }
    })
}
