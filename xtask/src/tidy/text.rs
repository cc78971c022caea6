//! The house style of text: how a file opens, how long it is, what it is called, and what it must not mention.

use std::path::Path;

use super::Breach;

/// Longer than this, a file holds more than one idea.
const LINES_MAX: usize = 600;

/// Tests are lists of cases.
const TEST_LINES_MAX: usize = 1000;

/// Files that may be longer, and why.
const LONG: &[(&str, &str)] = &[
    ("src/event/mod.rs", "one list of plain types: a log's reader wants them in one place"),
    ("Cargo.lock", "written by cargo"),
];

/// Names that say nothing of what is in a module.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

/// Left behind by somebody who meant to come back. In pieces, so that this file may name them.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Folders at a machine's root in which people and builders keep their work: no path below one means anything elsewhere.
const WORKPLACES: &[&str] = &["Users", "builds", "home", "root", "work", "workspace", "workspaces"];

/// First labels of hosts that serve packages. Which one a machine uses is its own affair.
const PACKAGE_HOSTS: &[&str] =
    &["apt", "crates", "deb", "ftp", "index", "mirror", "mirrors", "npmjs", "proxy", "pypi", "registry"];
const TOP_DOMAINS: &[&str] = &["com", "dev", "io", "net", "org"];

/// Beginnings of paths that are this machine's alone, the checkout's own among them.
pub fn workplaces(root: &Path) -> Vec<String> {
    let mut starts: Vec<String> = WORKPLACES.iter().map(|folder| format!("/{folder}/")).collect();
    starts.push(root.display().to_string());
    starts
}

/// All breaches of one text file.
pub fn check(path: &Path, content: &str, workplaces: &[String]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breach = |line: usize, what: String| breaches.push(Breach { path: path.to_path_buf(), line, what });
    let rust = path.extension().is_some_and(|extension| extension == "rs");
    let test = path.iter().any(|part| part == "tests" || part == "tests.rs");
    // Tests beside a module are about that module.
    let beside = test && path.starts_with("src");
    if rust && !beside && !content.starts_with("//!") {
        breach(1, "opens without //!: say in a sentence what it is for".to_owned());
    }
    if rust && let Some(name) = path.iter().filter_map(|part| part.to_str()).find(|part| says_nothing(part)) {
        breach(0, format!("{name} says nothing of what is in it"));
    }
    let lines = content.lines().count();
    let most = if test { TEST_LINES_MAX } else { LINES_MAX };
    if rust && lines > most && !LONG.iter().any(|(long, _)| Path::new(long) == path) {
        breach(0, format!("{lines} lines, more than {most}: split it by idea"));
    }
    if path == Path::new("Cargo.lock") {
        return breaches;
    }
    for (index, line) in content.lines().enumerate() {
        if let Some(mark) = MARKS.iter().find(|mark| words(line).any(|word| word == **mark)) {
            breach(index + 1, format!("{mark}: finish it, or leave it out"));
        }
        if let Some(start) = workplaces.iter().find(|start| has_path(line, start)) {
            breach(index + 1, format!("a path below {start} means nothing on another machine"));
        }
        if let Some(host) = words(line).find(|word| serves_packages(word)) {
            breach(index + 1, format!("{host} serves packages: leave it to the machine's own settings"));
        }
    }
    breaches
}

fn says_nothing(part: &str) -> bool {
    EMPTY_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part))
}

/// Runs of the characters that host names and identifiers are made of.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))).map(|word| word.trim_matches('.'))
}

fn serves_packages(word: &str) -> bool {
    let mut labels = word.split('.');
    let (Some(first), Some(last)) = (labels.next(), labels.next_back()) else { return false };
    PACKAGE_HOSTS.contains(&first) && TOP_DOMAINS.contains(&last)
}

/// Whether an absolute path that begins like this stands in the line; a longer path that merely contains it is another matter.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | ')' | '~' | '*' | ':'))
    })
}
