//! Writes what is generated in `docs/`, or checks that it is up to date: `cargo xtask gen [--check]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap_complete::Shell;

/// Folders of which every file is generated: one that no longer is goes.
const OWNED: &[&str] = &["man", "completions"];

/// Columns of the help texts, whatever the terminal.
const COLUMNS: usize = 100;

/// Paths below `docs/`, and what is to stand there.
type Pages = BTreeMap<PathBuf, Vec<u8>>;

fn main() -> anyhow::Result<ExitCode> {
    let check = std::env::args().nth(1).is_some_and(|argument| argument == "--check");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("no project above")?.join("docs");
    let wanted = pages()?;
    let outdated = outdated(&docs, &wanted)?;
    for path in &outdated {
        say(&format!("docs/{}{}", path.display(), if check { " is out of date" } else { "" }));
    }
    if check {
        if outdated.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        say("hint: cargo xtask gen");
        return Ok(ExitCode::FAILURE);
    }
    for path in outdated {
        let target = docs.join(&path);
        match wanted.get(&path) {
            Some(content) => {
                fs::create_dir_all(target.parent().context("a page lies in a folder")?)?;
                fs::write(&target, content)
            }
            None => fs::remove_file(&target),
        }
        .with_context(|| format!("could not write {}", target.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn pages() -> anyhow::Result<Pages> {
    let mut pages = Pages::new();
    let mut add = |path: &str, text: String| pages.insert(PathBuf::from(path), text.into_bytes());
    add("cli.md", cli());
    add("findings.md", rehearsal::report::reference());
    add("scenario.schema.json", serde_json::to_string_pretty(&rehearsal::scenario::json_schema())? + "\n");
    add("rules.md", rehearsal::scenario::rules::reference());
    add("rules.schema.json", serde_json::to_string_pretty(&rehearsal::scenario::rules::json_schema())? + "\n");
    add("report.schema.json", serde_json::to_string_pretty(&rehearsal::outcome::json_schema())? + "\n");
    files_of("man", &mut pages, |folder| Ok(clap_mangen::generate_to(command(), folder)?))?;
    files_of("completions", &mut pages, |folder| {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            clap_complete::generate_to(shell, &mut command(), "rehearsal", folder)?;
        }
        Ok(())
    })?;
    Ok(pages)
}

fn command() -> clap::Command {
    rehearsal::cli::command()
}

/// The files that `write` leaves in a folder.
fn files_of(name: &str, pages: &mut Pages, write: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write(folder.path())?;
    for entry in fs::read_dir(folder.path())? {
        let entry = entry?;
        pages.insert(Path::new(name).join(entry.file_name()), fs::read(entry.path())?);
    }
    Ok(())
}

/// Every command's help, as a terminal shows it.
fn cli() -> String {
    let mut command = command().term_width(COLUMNS);
    command.build();
    let mut page = "# Commands\n".to_owned();
    section(&mut page, &mut command);
    page
}

fn section(page: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end()).expect("a string takes everything");
    for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        section(page, inner);
    }
}

/// Pages that are missing, otherwise than wanted, or there without being wanted.
fn outdated(docs: &Path, wanted: &Pages) -> anyhow::Result<BTreeSet<PathBuf>> {
    let differs = |(path, content): &(&PathBuf, &Vec<u8>)| fs::read(docs.join(path)).ok().as_ref() != Some(*content);
    let mut outdated: BTreeSet<PathBuf> = wanted.iter().filter(differs).map(|(path, _)| path.clone()).collect();
    for name in OWNED {
        // A folder that is not there holds nothing too much.
        let Ok(entries) = fs::read_dir(docs.join(name)) else { continue };
        for entry in entries {
            let path = Path::new(name).join(entry?.file_name());
            if !wanted.contains_key(&path) {
                outdated.insert(path);
            }
        }
    }
    Ok(outdated)
}

#[expect(clippy::print_stderr, reason = "what was written, for the person who asked")]
fn say(line: &str) {
    eprintln!("{line}");
}
