//! The HTML report in a real browser: verdict, filters, keyboard, zoom; no error on the console, nothing fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

use rehearsal::event::log;
use rehearsal::outcome::Outcome;
use rehearsal::report;

use crate::support;

/// Debian and others name it differently. Nothing if this machine has none and `CI` is not set.
fn browser() -> Option<PathBuf> {
    let found = ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| which::which(name).ok());
    assert!(found.is_some() || !support::ci(), "no Chromium on this machine, and CI=true skips nothing");
    found
}

/// The page of a recorded run, with a script at its end that writes what it saw into the title.
fn page(folder: &Path, run: &str, script: &str) -> PathBuf {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/runs").join(run);
    let records = log::read(&log).expect("a recorded run");
    report::write_all(folder, &records, &Outcome::from_records(&records)).expect("reports");
    let path = folder.join(report::HTML);
    let page = std::fs::read_to_string(&path).expect("the page");
    let watch = "<script>window.errors = []; addEventListener('error', (e) => errors.push(e.message));\
                 addEventListener('securitypolicyviolation', (e) => errors.push(e.violatedDirective));</script>";
    let with_script = page.replacen("<style>", &format!("{watch}<style>"), 1).replacen(
        "</body>",
        &format!("<script>{script}</script></body>"),
        1,
    );
    std::fs::write(&path, with_script).expect("a page");
    path
}

/// What the script made of the page: the value that it returned as JSON.
fn seen(run: &str, script: &str) -> Option<serde_json::Value> {
    let browser = browser()?;
    let folder = tempfile::tempdir().expect("a folder");
    let script =
        format!("const result = (() => {{ {script} }})(); document.title = JSON.stringify({{ result, errors }});");
    let path = page(folder.path(), run, &script);
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout);
    let console = String::from_utf8_lossy(&output.stderr);
    assert!(!console.contains("CONSOLE"), "{console}");
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).expect("a title");
    let title = title.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let seen: serde_json::Value = serde_json::from_str(&title).expect("the script ran");
    assert_eq!(seen["errors"], serde_json::json!([]));
    Some(seen["result"].clone())
}

#[test]
fn the_page_tells_verdict_and_filters_findings() {
    let script = r#"
        const shown = () => [...document.querySelectorAll('.finding')].filter((one) => !one.hidden).length;
        const before = shown();
        document.querySelector('.chip.error').click();
        const withoutErrors = shown();
        document.querySelector('.chip.error').click();
        dispatchEvent.call(document, new KeyboardEvent('keydown', { key: '/' }));
        const focused = document.activeElement.id;
        document.activeElement.value = 'index-lost';
        document.activeElement.dispatchEvent(new Event('input'));
        return { seal: document.querySelector('.seal').textContent, before, withoutErrors, focused, found: shown(),
                 loaded: performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith('data:')) };
    "#;
    let Some(seen) = seen("failed.jsonl", script) else { return };
    let expected = serde_json::json!({
        "seal": "failed", "before": 13, "withoutErrors": 2, "focused": "find", "found": 1, "loaded": []
    });
    assert_eq!(seen, expected);
}

#[test]
fn the_timeline_zooms_by_keyboard_and_from_the_tables() {
    let script = r#"
        const picture = document.querySelector('#picture');
        const width = () => Math.round(document.querySelector('#picture svg').viewBox.baseVal.width);
        const key = (key) => picture.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
        const whole = width();
        key('+');
        const closer = width();
        key('0');
        const again = width();
        document.querySelector('.goto').click();
        const window = width();
        const bar = document.querySelector('rect.bar.down');
        bar.focus();
        const focused = document.activeElement === bar;
        // A window without the focus keeps the event back until it has it.
        if (!document.hasFocus()) bar.dispatchEvent(new FocusEvent('focusin', { bubbles: true }));
        return { focused, half: closer * 2 === whole || closer * 2 === whole + 1, again: again === whole, near: window < whole,
                 tip: document.querySelector('#tip').textContent === bar.getAttribute('aria-label') };
    "#;
    let Some(seen) = seen("failed.jsonl", script) else { return };
    assert_eq!(seen, serde_json::json!({ "focused": true, "half": true, "again": true, "near": true, "tip": true }));
}

#[test]
fn every_recorded_run_makes_a_page_without_errors() {
    for run in ["passed.jsonl", "not-judged.jsonl", "inconclusive.jsonl", "killed.jsonl"] {
        let Some(seen) = seen(run, "return document.querySelector('.seal').textContent;") else { return };
        let expected = match run {
            "passed.jsonl" => "passed",
            "not-judged.jsonl" => "passed in part",
            _ => "inconclusive",
        };
        assert_eq!(seen, expected, "{run}");
    }
}
