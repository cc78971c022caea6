//! Committed traffic, and programs kept running beside the nodes.

use super::{Check, is_word};
use crate::scenario::grammar::{ConsumerTable, WorkloadTable};
use crate::scenario::leaf::Text;
use crate::scenario::problem::Mistake;
use crate::scenario::read::{List, Map};
use crate::scenario::tree::At;
use crate::scenario::{Consumer, During, Workload};

impl Check<'_> {
    pub(super) fn workloads(&mut self, tables: List<WorkloadTable>) -> Vec<Workload> {
        let mut names: Vec<(String, usize)> = Vec::new();
        let mut workloads = Vec::new();
        for At { value: table, .. } in tables {
            if let Some(At { value: Text(name), at }) = &table.name {
                match names.iter().find(|(other, _)| other == name).map(|(_, line)| *line) {
                    Some(first) => {
                        let name = name.clone();
                        self.problems.raise(*at, Mistake::Duplicate { what: "workloads", name, first });
                    }
                    None => names.push((name.clone(), self.problems.line(*at))),
                }
            }
            workloads.extend(self.workload(table));
        }
        workloads
    }

    fn workload(&mut self, table: WorkloadTable) -> Option<Workload> {
        let on = self.address(table.on, "a workload");
        let file = table.file.and_then(|file| self.file(&file, "file"));
        Some(Workload {
            name: table.name?.value.0,
            file: file?,
            rate_per_s: table.rate?.value.0,
            during: table.during.map_or(During::All, |during| during.value.0),
            on,
        })
    }

    pub(super) fn consumers(&mut self, tables: Map<ConsumerTable>) -> Vec<Consumer> {
        tables.0.into_iter().filter_map(|(name, table)| self.consumer(name, table.value)).collect()
    }

    fn consumer(&mut self, name: At<String>, table: ConsumerTable) -> Option<Consumer> {
        // It names the file of its output.
        if !is_word(&name.value, "_-") {
            self.wrong(name.at, format!("\"{}\"", name.value), "a consumer's name: letters, digits, `_` or `-`");
        }
        let of = table.of.map(|node| self.node(node.value.0, node.at));
        let command = table.command.and_then(|command| self.command(command));
        let role = table.r#as.as_ref().map(|role| role.at);
        if let (Some(of), Some(at)) = (&of, role)
            && (self.nodes.is_replica(of) || self.nodes.subscribers().contains(of))
        {
            let what = if self.nodes.is_replica(of) { "replica" } else { "subscriber" };
            self.not_yet(at, format!("`as` on a {what}, as on \"{of}\""));
        }
        Some(Consumer { name: name.value, of: of?, command: command?, run_as: table.r#as.map(|role| role.value.0) })
    }
}
