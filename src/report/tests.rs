use std::sync::{Arc, Mutex};

use super::*;
use crate::event::{Event, Owner, Reporter};
use crate::outcome::sample::{nodes, runs};

fn terminal() -> TerminalSettings {
    TerminalSettings { quiet: false, live: false, colour: false, columns: 100 }
}

/// Every run in one form, as one snapshot a run.
fn check(format: Format, extension: &str) {
    for (name, records) in runs::all() {
        let outcome = Outcome::from_records(&records);
        let text = render(format, &records, &outcome, &terminal()).expect("a report");
        insta::assert_snapshot!(format!("{name}.{extension}"), text);
    }
}

#[test]
fn verdicts_on_a_terminal() {
    check(Format::Terminal, "txt");
}

#[test]
fn markdown_for_a_pull_request() {
    check(Format::Markdown, "md");
}

#[test]
fn junit_for_ci() {
    check(Format::Junit, "xml");
}

#[test]
fn a_passed_run_as_json() {
    let records = runs::passed();
    let text = render(Format::Json, &records, &Outcome::from_records(&records), &terminal()).expect("a report");
    insta::assert_snapshot!("passed.json", text);
}

/// One line a node, each with its own end.
#[test]
fn a_step_on_several_nodes() {
    let records = nodes::failed_on_one();
    let outcome = Outcome::from_records(&records);
    for (format, extension) in [(Format::Terminal, "txt"), (Format::Markdown, "md"), (Format::Junit, "xml")] {
        let text = render(format, &records, &outcome, &terminal()).expect("a report");
        insta::assert_snapshot!(format!("several-nodes.{extension}"), text);
    }
    let json = render(Format::Json, &records, &outcome, &terminal()).expect("a report");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let told = |step: &serde_json::Value| format!("{} {} {}", step["name"], step["node"], step["result"]);
    let steps: Vec<_> = json["steps"].as_array().expect("steps").iter().map(told).collect();
    assert_eq!(
        steps,
        [
            r#""change" "primary" "done""#,
            r#""change" "near" "failed""#,
            r#""change" "far" "skipped""#,
            r#""then" "primary" "not-reached""#,
        ]
    );
    let page = render(Format::Html, &records, &outcome, &terminal()).expect("a page");
    assert!(page.contains("change on near") && page.contains("file on far"), "lanes and rows say where");
}

/// What a display wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn plain_lines_as_the_run_goes() {
    let written = Written::default();
    let mut live = terminal::Live::plain(Box::new(written.clone()), &terminal());
    for recorded in runs::failed() {
        live.report(&recorded).expect("memory takes every line");
    }
    live.finish().expect("nothing is left to do");
    let text = String::from_utf8(written.0.lock().expect("no writer panicked").clone()).expect("text");
    insta::assert_snapshot!("failed.live.txt", text);
}

#[test]
fn moving_lines_as_the_run_goes() {
    let screen = indicatif::InMemoryTerm::new(40, 160);
    let target = indicatif::ProgressDrawTarget::term_like(Box::new(screen.clone()));
    let mut live = terminal::Live::moving(target, &terminal());
    let mut during = String::new();
    for recorded in runs::failed() {
        live.report(&recorded).expect("memory takes every line");
        live.tick();
        if matches!(recorded.event, Event::LockWaitStarted { .. }) {
            during = screen.contents();
        }
    }
    assert!(during.contains("step 1/3 rebuild orders"), "{during}");
    assert!(during.contains("waits"), "{during}");
    assert!(during.contains("writes down"), "{during}");
    live.finish().expect("nothing is left to do");
    let after = screen.contents();
    assert!(after.contains("✓ step 3/3 \"statistics\"") && !after.contains("waits"), "{after}");
}

/// Logs under `fixtures/runs`, for tests of the command line. With `UPDATE_FIXTURES=1` they are written anew.
#[test]
fn the_fixtures_are_the_recorded_runs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/runs");
    for (name, records) in runs::all() {
        let mut text = render(Format::Events, &records, &Outcome::from_records(&records), &terminal()).expect("a log");
        if name == "killed" {
            // The kill came while a line was being written.
            text.truncate(text.len() - 40);
        }
        let path = folder.join(format!("{name}.jsonl"));
        if std::env::var("UPDATE_FIXTURES").is_ok() {
            std::fs::create_dir_all(&folder).expect("a folder for fixtures");
            std::fs::write(&path, &text).expect("a fixture");
        }
        let fixture = std::fs::read_to_string(&path).expect("the fixture is there; UPDATE_FIXTURES=1 writes it");
        assert!(fixture == text, "{name} is not as recorded; UPDATE_FIXTURES=1 writes it anew");
    }
}

/// What was read back from a log gives the bytes that the run itself gave.
#[test]
fn reports_are_rebuilt_from_the_log_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, records) in runs::all() {
        let log = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/runs/{name}.jsonl"));
        let read = crate::event::log::read(&log).expect("a log");
        let records = if name == "killed" { &records[..read.len()] } else { &records[..] };
        write_all(folder.path(), &read, &Outcome::from_records(&read)).expect("reports");
        for (format, file) in
            [(Format::Json, JSON), (Format::Html, HTML), (Format::Markdown, MARKDOWN), (Format::Junit, JUNIT)]
        {
            let direct = render(format, records, &Outcome::from_records(records), &terminal()).expect("a report");
            let rebuilt = std::fs::read_to_string(folder.path().join(file)).expect("a report");
            assert!(direct == rebuilt, "{file} of {name} differs");
        }
    }
}

#[test]
fn only_a_run_without_gaps_passes_in_full() {
    for (name, records) in runs::all() {
        let outcome = Outcome::from_records(&records);
        // The page has "Not rehearsed" in its menu as well, so its elements are looked for.
        for (format, order) in [
            (Format::Terminal, [outcome.outcome.words(), "not rehearsed"].as_slice()),
            (Format::Markdown, &[outcome.outcome.words(), "not rehearsed"]),
            (Format::Html, &["class=\"seal\"", "id=\"unproven\"", "id=\"findings\"", "id=\"steps\""]),
        ] {
            let text = render(format, &records, &outcome, &terminal()).expect("a report").to_lowercase();
            let places = order.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{name}: no {part}")));
            assert!(places.is_sorted(), "{name}: {format:?} has another order than {order:?}");
            if name == "not-judged" {
                assert_eq!(
                    text.replace("passed in part", "").matches("passed").count(),
                    0,
                    "{format:?} says a bare passed"
                );
            }
        }
    }
}

#[test]
fn the_page_needs_nobody_else() {
    for (name, records) in runs::all() {
        let page = render(Format::Html, &records, &Outcome::from_records(&records), &terminal()).expect("a page");
        let svg = "http://www.w3.org/2000/svg";
        assert_eq!(page.replace(svg, "").matches("http").count(), 1, "{name}: only http-equiv");
        assert!(!page.contains("src="), "{name}");
    }
}

#[test]
fn the_timeline_counts_the_lanes_it_has_no_room_for() {
    let page = |relations: u64| {
        let mut log = crate::outcome::sample::Log::new(|_| ());
        for wait in 1..=relations {
            let waiter = crate::outcome::sample::session(Owner::Probe { probe: 1 });
            let (relation, mode) = (Some(format!("table_{wait}")), "RowExclusiveLock".to_owned());
            log.at(2000.0, Event::LockWaitStarted { wait, waiter, relation, mode, blockers: Vec::new() });
        }
        let records = log.ended();
        render(Format::Html, &records, &Outcome::from_records(&records), &terminal()).expect("a page")
    };
    assert!(!page(12).contains("the tables below have them all"));
    assert!(page(13).contains("and 1 more lane; the tables below have them all"));
    assert!(page(15).contains("and 3 more lanes; the tables below have them all"));
}

#[test]
fn what_comes_from_outside_is_no_markup() {
    let mut log = crate::outcome::sample::Log::new(|scenario| scenario.name = "<script>alert(1)</script>".into());
    let records = log.ended();
    let outcome = Outcome::from_records(&records);
    for format in [Format::Html, Format::Markdown, Format::Junit] {
        let text = render(format, &records, &outcome, &terminal()).expect("a report");
        assert!(!text.contains("<script>alert"), "{format:?}");
    }
}

#[test]
fn every_code_is_explained() {
    let page = reference();
    for code in crate::finding::Code::ALL {
        assert!(page.contains(&format!("### `{code}`")), "{code}");
        assert!(explain(*code).starts_with(code.name()), "{code}");
    }
    insta::assert_snapshot!(explain(crate::finding::Code::IndexInvalid), @r"
    index-invalid (error)

      An index was left invalid.

      Effect   it costs every write, and no query uses it
      Instead  drop it concurrently and build it again
    ");
}
