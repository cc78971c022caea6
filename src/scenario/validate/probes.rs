//! How users are played, and what the release may cost them.

use std::time::Duration;

use super::Check;
use crate::scenario::grammar::{CustomProbeTable, LimitsTable, ProbesTable};
use crate::scenario::leaf::{CustomKind, Positive};
use crate::scenario::problem::Mistake;
use crate::scenario::read::{Either, Found, List};
use crate::scenario::tree::At;
use crate::scenario::{CustomProbe, Limits, ProbeKind, Probes};

const EVERY: Duration = Duration::from_millis(20);
const BUDGET_PER_S: f64 = 200.0;
const DOWN_AFTER: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(5);

impl Check<'_> {
    pub(super) fn probes(&mut self, table: Option<ProbesTable>) -> Probes {
        let mut probes = Probes {
            auto: true,
            every: EVERY,
            budget_per_s: BUDGET_PER_S,
            down_after: DOWN_AFTER,
            timeout: TIMEOUT,
            run_as: None,
            open_transaction: None,
            custom: Vec::new(),
        };
        let Some(table) = table else { return probes };
        let time = |time: Option<At<Positive>>, default| time.map_or(default, |time| time.value.0);
        let gives_up_at = table.timeout.as_ref().or(table.down_after.as_ref()).map(|time| time.at);
        probes.auto = table.auto.is_none_or(|auto| auto.value);
        probes.every = time(table.every, EVERY);
        probes.budget_per_s = table.budget.map_or(BUDGET_PER_S, |rate| rate.value.0);
        probes.down_after = time(table.down_after, DOWN_AFTER);
        probes.timeout = time(table.timeout, TIMEOUT);
        probes.run_as = table.r#as.map(|role| role.value.0);
        probes.open_transaction = table.open_transaction.map(|time| time.value.0);
        probes.custom = table.custom.map(|custom| self.custom_probes(custom.value)).unwrap_or_default();
        if let Some(at) = gives_up_at
            && probes.timeout <= probes.down_after
        {
            let message = "a probe gives up before it is late enough to be down";
            self.clash(at, message, "make `timeout` longer than `down_after`");
        }
        probes
    }

    fn custom_probes(&mut self, tables: List<CustomProbeTable>) -> Vec<CustomProbe> {
        let mut names: Vec<(String, usize)> = Vec::new();
        let mut probes = Vec::new();
        for At { value: table, .. } in tables {
            if let Some(name) = &table.name {
                let first = names.iter().find(|(other, _)| *other == name.value.0).map(|(_, line)| *line);
                match first {
                    Some(first) => {
                        let name_text = name.value.0.clone();
                        self.problems.raise(name.at, Mistake::Duplicate { what: "probes", name: name_text, first });
                    }
                    None => names.push((name.value.0.clone(), self.problems.line(name.at))),
                }
            }
            probes.extend(self.custom_probe(table));
        }
        probes
    }

    fn custom_probe(&mut self, table: CustomProbeTable) -> Option<CustomProbe> {
        let sql = table.sql.map(|sql| self.text(sql));
        let on = self.address(table.on, "a custom probe");
        Some(CustomProbe {
            name: table.name?.value.0,
            kind: match table.kind?.value.0 {
                CustomKind::Read => ProbeKind::Read,
                CustomKind::Write => ProbeKind::Write,
            },
            sql: sql?,
            commit: table.commit.is_some_and(|commit| commit.value),
            every: table.every.map(|every| every.value.0),
            on,
        })
    }

    pub(super) fn limits(&mut self, table: LimitsTable) -> Limits {
        let (downtime_read, downtime_write) = match table.downtime {
            None => (None, None),
            Some(At { value: Either::A(both), .. }) => (Some(both.0), Some(both.0)),
            Some(At { value: Either::B(each), at }) => {
                if each.found().is_empty() {
                    self.wrong(at, "an empty table", "`read`, `write` or both");
                }
                (each.read.map(|time| time.value.0), each.write.map(|time| time.value.0))
            }
        };
        if let Some(lag) = table.lag.as_ref().filter(|_| self.nodes.are_single()) {
            self.no_replica(lag.at);
        }
        Limits {
            window: table.window.map(|time| time.value.0),
            downtime_read,
            downtime_write,
            p99: table.p99.map(|time| time.value.0),
            lock_wait: table.lock_wait.map(|time| time.value.0),
            lag: table.lag.map(|time| time.value.0),
        }
    }
}
