//! What the release is meant to change.

use super::Check;
use crate::scenario::grammar::{ChangedTableEntry, ExpectTable};
use crate::scenario::leaf::Text;
use crate::scenario::read::List;
use crate::scenario::tree::At;
use crate::scenario::{ChangedTable, Expect};

impl Check<'_> {
    pub(super) fn expect(&mut self, table: ExpectTable) -> Expect {
        let unchanged: Vec<_> = table.unchanged.map(|tables| tables.value).unwrap_or_default();
        let changed = table.changed.map(|tables| tables.value);
        let retired = table.retired.map(|tables| tables.value).unwrap_or_default();
        for table in changed.iter().flatten().filter_map(|entry| entry.value.table.as_ref()) {
            self.not_also_unchanged(table, &unchanged, "changed");
        }
        for table in &retired {
            self.not_also_unchanged(table, &unchanged, "retired");
        }
        Expect {
            unchanged: texts(unchanged),
            changed: changed.map(|tables| tables.into_iter().filter_map(changed_table).collect()),
            retired: texts(retired),
            outcome: table.outcome.map(|outcome| outcome.value.0),
            findings: table.findings.map(|codes| codes.value.into_iter().map(|code| code.value.0).collect()),
        }
    }

    fn not_also_unchanged(&mut self, table: &At<Text>, unchanged: &List<Text>, is: &str) {
        if unchanged.iter().any(|other| other.value == table.value) {
            let message = format!("table \"{}\" is expected both {is} and unchanged", table.value.0);
            self.clash(table.at, message, "leave it out of one of them");
        }
    }
}

fn changed_table(entry: At<ChangedTableEntry>) -> Option<ChangedTable> {
    let columns = entry.value.columns.map(|columns| texts(columns.value)).unwrap_or_default();
    Some(ChangedTable { table: entry.value.table?.value.0, columns })
}

pub(super) fn texts(list: List<Text>) -> Vec<String> {
    list.into_iter().map(|text| text.value.0).collect()
}
