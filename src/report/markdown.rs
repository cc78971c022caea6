//! `report.md`: short enough for a pull request; what is long folds away.

use std::fmt::Write;

use crate::event::{Change, SchemaChange, StepRole};
use crate::finding::{Finding, Severity};
use crate::outcome::words::{bytes, count, duration, list, number, one_line, sentence};
use crate::outcome::{KindDowntime, LimitKind, Outcome, Step, Verdict};

/// The outcome as GitHub's Markdown.
pub fn text(outcome: &Outcome) -> String {
    let mut page = String::new();
    let parts: [fn(&mut String, &Outcome) -> std::fmt::Result; 8] =
        [opening, unproven, findings, steps, downtime, traffic, changes, closing];
    for part in parts {
        part(&mut page, outcome).expect("a string takes every write");
    }
    page
}

fn opening(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(page, "## Rehearsal {}: {}\n", outcome.outcome.words(), inline(&outcome.scenario))?;
    for why in &outcome.why {
        writeln!(page, "**{}**{}\n", inline(&why.what), hint(why.hint.as_deref()))?;
    }
    let node = outcome.nodes.first().map(|node| format!("{} {}", node.engine, version(&node.version)));
    let mut facts: Vec<String> = node.into_iter().collect();
    facts.push(format!("{} lab", outcome.lab));
    facts.push(count(outcome.totals.errors, "error"));
    facts.push(count(outcome.totals.warnings, "warning"));
    facts.push(format!("took {}", duration(outcome.totals.elapsed_ms)));
    writeln!(page, "{}\n", facts.join(" · "))?;
    writeln!(page, "| | measured | limit |\n|---|--:|---|")?;
    let (downtime, totals) = (&outcome.downtime, &outcome.totals);
    for (name, measured, limit, limit_ms) in [
        ("Writes down", downtime.write.words(), LimitKind::DowntimeWrite, downtime.write.limit_ms),
        ("Reads down", downtime.read.words(), LimitKind::DowntimeRead, downtime.read.limit_ms),
        ("Window", duration(totals.window_ms), LimitKind::Window, totals.window_limit_ms),
    ] {
        let limit = outcome.limit_words(limit, limit_ms).unwrap_or_else(|| "no limit".into());
        writeln!(page, "| {name} | {measured} | {limit} |")?;
    }
    if totals.lock_waits > 0 {
        writeln!(page, "| Longest lock wait | {} | |", duration(totals.lock_wait_max_ms))?;
    }
    for change in &outcome.routing {
        let (words, step) = (cell(&change.words()), cell(&change.step));
        writeln!(page, "| Routing from {} | {words} | by step {step} |", change.from())?;
    }
    for lag in &outcome.lag {
        let limit = outcome.limit_words(LimitKind::Lag, lag.limit_ms).unwrap_or_else(|| "no limit".into());
        let (node, end) = (cell(&lag.node), cell(&lag.in_the_end()));
        writeln!(page, "| {node} behind | {}; {end} | {limit} |", duration(lag.max_ms))?;
    }
    writeln!(page)
}

fn hint(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!(" Hint: {}", inline(hint)))
}

/// "15.18 (Debian …)" is 15.18 to people.
fn version(version: &str) -> &str {
    version.split(' ').next().unwrap_or(version)
}

fn unproven(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    if !outcome.not_judged.is_empty() {
        writeln!(page, "### Not judged\n")?;
        for (reason, subjects) in outcome.not_judged_by_reason() {
            writeln!(page, "- {}", inline(reason))?;
            for subject in subjects {
                writeln!(page, "  - {}", inline(&subject))?;
            }
        }
        writeln!(page)?;
    }
    if !outcome.not_rehearsed.is_empty() {
        writeln!(page, "### Not rehearsed\n")?;
        for gap in &outcome.not_rehearsed {
            writeln!(page, "- {}", inline(&gap.what))?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn findings(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let told: Vec<&Finding> = outcome.findings.iter().filter(|finding| finding.severity > Severity::Info).collect();
    if told.is_empty() {
        return Ok(());
    }
    writeln!(page, "### Findings\n")?;
    for finding in told {
        let place = finding.step.as_ref().map_or_else(String::new, |step| format!(" · step \"{}\"", inline(step)));
        writeln!(page, "- **{}** `{}`{place}<br>", sentence(finding.severity.name()), finding.code)?;
        writeln!(page, "  {}<br>", inline(&finding.condition))?;
        writeln!(page, "  *Effect:* {}<br>\n  *Instead:* {}", inline(&finding.effect), inline(&finding.remedy))?;
    }
    writeln!(page)
}

fn steps(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let felt: Vec<&Step> = outcome.steps.iter().filter(|step| step.role != StepRole::Setup).collect();
    writeln!(page, "<details><summary>{}</summary>\n", count(felt.len() as u64, "step"))?;
    writeln!(page, "| step | result | took | budget | work | strongest lock | log |\n|---|---|--:|--:|---|---|--:|")?;
    for step in felt {
        let undo = if step.role == StepRole::Undo { "undo: " } else { "" };
        writeln!(
            page,
            "| {undo}{} | {} | {} | {} | {} | {} | {} |",
            cell(&outcome.step_name(step)),
            step.result.words(),
            step.elapsed_ms.map_or_else(String::new, duration),
            step.budget_ms.map_or_else(String::new, duration),
            step.work.name().replace('_', " "),
            step.strongest_lock.as_deref().unwrap_or(""),
            step.wal_bytes.map_or_else(String::new, bytes),
        )?;
    }
    writeln!(page, "\n</details>\n")
}

fn downtime(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let sides = [("writes", &outcome.downtime.write), ("reads", &outcome.downtime.read)];
    if sides.iter().all(|(_, side)| side.tables.is_empty()) {
        return Ok(());
    }
    writeln!(page, "<details><summary>Downtime by table</summary>\n")?;
    writeln!(page, "| | table | in all | longest | operations |\n|---|---|--:|--:|---|")?;
    for (name, side) in sides {
        tables(page, name, side)?;
    }
    writeln!(page, "\n</details>\n")
}

fn tables(page: &mut String, name: &str, side: &KindDowntime) -> std::fmt::Result {
    for table in &side.tables {
        let operations: Vec<&str> = table.operations.iter().map(|operation| operation.name()).collect();
        writeln!(
            page,
            "| {name} | {} | {} | {} | {} |",
            table.table.as_deref().map_or_else(|| "no one table".into(), cell),
            duration(table.total_ms),
            duration(table.longest_ms),
            operations.join(", ")
        )?;
    }
    Ok(())
}

/// Workloads by phase, and consumers.
fn traffic(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    if outcome.workloads.iter().any(|workload| !workload.phases.is_empty()) {
        writeln!(page, "<details><summary>{}</summary>\n", count(outcome.workloads.len() as u64, "workload"))?;
        writeln!(page, "| workload | phase | asked | reached | errors | missed | p50 | p99 |")?;
        writeln!(page, "|---|---|--:|--:|--:|--:|--:|--:|")?;
        for (workload, phase) in outcome.workloads.iter().flat_map(|all| all.phases.iter().map(move |one| (all, one))) {
            let [p50, p99] = phase.percentiles();
            writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                cell(&workload.name),
                phase.phase.name(),
                workload.asked(),
                phase.reached(),
                number(phase.errors),
                number(phase.missed),
                p50,
                p99,
            )?;
        }
        writeln!(page, "\n</details>\n")?;
    }
    for consumer in &outcome.consumers {
        let told = format!("Consumer {} of {}: {}", consumer.name, consumer.node, consumer.in_the_end());
        writeln!(page, "{}; output in {}\n", inline(&told), inline(&consumer.output))?;
    }
    Ok(())
}

fn changes(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Some(diff) = outcome.diff.as_ref().filter(|diff| !diff.schema.is_empty() || !diff.data.is_empty()) else {
        return Ok(());
    };
    let schema = count(diff.schema.len() as u64, "change");
    writeln!(page, "<details><summary>{schema} of the schema, {} changed rows</summary>\n", {
        let tables = count(diff.data.len() as u64, "table");
        format!("{tables} with")
    })?;
    for change in &diff.schema {
        writeln!(page, "- {}", inline(&schema_words(change)))?;
    }
    for change in &diff.data {
        let figures = [(change.added, "added"), (change.removed, "removed"), (change.changed, "changed")];
        let parts: Vec<String> = figures
            .into_iter()
            .filter_map(|(rows, verb)| Some(format!("{} {verb}", count(rows.filter(|rows| *rows > 0)?, "row"))))
            .collect();
        let what = if parts.is_empty() { "content differs".to_owned() } else { list(&parts, 3) };
        writeln!(page, "- {}: {what}{}", inline(&change.table), on_nodes(&change.nodes))?;
    }
    writeln!(page, "\n</details>\n")
}

/// "column orders.id: default nextval(…) → none".
pub(super) fn schema_words(change: &SchemaChange) -> String {
    format!("{}{}", change_words(change), on_nodes(&change.nodes))
}

/// " (on a.1 and a.2)"; nothing where it is on all.
pub(super) fn on_nodes(nodes: &[String]) -> String {
    if nodes.is_empty() { String::new() } else { format!(" (on {})", list(nodes, usize::MAX)) }
}

fn change_words(change: &SchemaChange) -> String {
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "none".into(), |text| one_line(text, 100));
    let subject = format!("{} {}", change.kind.name(), change.object);
    match (change.change, change.property) {
        (Change::Added, _) => format!("{subject} added"),
        (Change::Removed, _) => format!("{subject} removed"),
        (Change::Changed, Some(property)) => {
            let name = property_name(property);
            format!("{subject}: {name} {} → {}", value(&change.before), value(&change.after))
        }
        (Change::Changed, None) => format!("{subject}: {} → {}", value(&change.before), value(&change.after)),
    }
}

/// As the event log names it.
fn property_name(property: crate::event::Property) -> String {
    let value = serde_json::to_value(property).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or("property").replace('-', " ")
}

fn closing(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let seal = match outcome.outcome {
        Verdict::Passed | Verdict::PassedInPart | Verdict::Failed => "",
        Verdict::Inconclusive => {
            "This run says nothing of the release: neither that it would pass nor that it would fail. "
        }
        Verdict::Interrupted => "The run did not come to its end. ",
    };
    let id = if outcome.run.is_empty() { String::new() } else { format!("Run {}, ", outcome.run) };
    writeln!(page, "<sub>{seal}{id}rehearsal {}.</sub>", outcome.rehearsal_version)
}

/// As [`inline`], in a table, where a bar ends the cell even within code.
fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}

/// Text inside Markdown: what would be markup is not, save code between back ticks, which stands as it is.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if letter == '`' {
            let ticks = rest.len() - rest.trim_start_matches('`').len();
            let (opening, behind) = rest.split_at(ticks);
            // Without an end of its own it begins no code.
            let code = code_length(behind, ticks);
            match code {
                Some(length) => safe.push_str(&rest[..length + 2 * ticks].replace(['\n', '\r'], " ")),
                None => safe.push_str(&opening.replace('`', "\\`")),
            }
            rest = &behind[code.map_or(0, |length| length + ticks)..];
            continue;
        }
        match letter {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '*' | '[' | ']' | '\\' => safe.extend(['\\', letter]),
            _ => safe.push(letter),
        }
        rest = &rest[letter.len_utf8()..];
    }
    safe
}

/// Bytes up to the next run of exactly so many back ticks.
fn code_length(text: &str, ticks: usize) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].find('`')?;
        let run = text[at..].len() - text[at..].trim_start_matches('`').len();
        if run == ticks {
            return Some(at);
        }
        at += run;
    }
}

#[cfg(test)]
mod tests {
    use super::{cell, inline};

    #[track_caller]
    fn check(text: &str, expected: &str, in_table: &str) {
        assert_eq!((inline(text).as_str(), cell(text).as_str()), (expected, in_table));
    }

    #[test]
    fn markup_from_outside_is_text_and_code_is_code() {
        check("a * b [c] <d>", r"a \* b \[c\] &lt;d>", r"a \* b \[c\] &lt;d>");
        check("two\nlines `of\ncode`", "two lines `of code`", "two lines `of code`");
        check("`a * b < [c]` *", r"`a * b < [c]` \*", r"`a * b < [c]` \*");
        check(r"\* \`", r"\\\* \\\`", r"\\\* \\\`");
    }

    #[test]
    fn bars_are_escaped_in_tables_alone() {
        check("a | b", "a | b", r"a \| b");
        check("`a || b`", "`a || b`", r"`a \|\| b`");
    }

    #[test]
    fn a_lone_back_tick_begins_no_code() {
        check("it`s <b> *", r"it\`s &lt;b> \*", r"it\`s &lt;b> \*");
        check("`a` ` <b>", r"`a` \` &lt;b>", r"`a` \` &lt;b>");
        check("``a ` b`` `` <b>", r"``a ` b`` \`\` &lt;b>", r"``a ` b`` \`\` &lt;b>");
    }
}
