//! `cargo xtask demo`: a release that fails its rehearsal, and the same release mended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::cargo::build;
use crate::terminal::{say, tell};
use crate::{docker, root, setup};

/// The scenario's folders: how a table was rebuilt, and how it should have been.
const PAIR: &str = "scenarios/rebuilt-table";

#[derive(clap::Args)]
pub struct Args {
    /// Where the servers run
    #[arg(long, value_enum, default_value_t = Lab::Auto)]
    lab: Lab,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Lab {
    /// Docker if an engine answers and an image can be had, else plain processes
    Auto,
    Native,
    Docker,
}

/// One rehearsal of the demo, and how it must end.
struct Showing {
    name: &'static str,
    exit: i32,
    outcome: &'static str,
}

const SHOWINGS: [Showing; 2] = [
    Showing { name: "as-it-happened", exit: 1, outcome: "failed" },
    Showing { name: "as-it-should-be", exit: 0, outcome: "passed" },
];

/// How it did end.
struct Verdict {
    exit: Option<i32>,
    outcome: String,
    page: PathBuf,
}

/// # Errors
/// Something is missing and cannot be had, or a rehearsal ended otherwise than it must.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let lab = provide(args.lab)?;
    let binary = build(false)?;
    let began = Instant::now();
    let mut verdicts = Vec::new();
    for showing in &SHOWINGS {
        verdicts.push(rehearse(&binary, lab, showing)?);
    }
    tell("");
    for (showing, verdict) in SHOWINGS.iter().zip(&verdicts) {
        tell(&format!("{PAIR}/{}: {}", showing.name, verdict.outcome));
        tell(&format!("  report: {}", verdict.page.display()));
    }
    tell(&format!("both rehearsed in {:.0} s in the {lab} lab", began.elapsed().as_secs_f64()));
    for (showing, verdict) in SHOWINGS.iter().zip(&verdicts) {
        showing.met(verdict)?;
    }
    Ok(())
}

/// Sees to it that a lab can be had: its name as `rehearsal run --lab` takes it.
fn provide(lab: Lab) -> anyhow::Result<&'static str> {
    let image = if lab == Lab::Native { None } else { docker::postgres_image()? };
    match (lab, image) {
        (_, Some(image)) => {
            say(&format!("lab: docker, image {image}"));
            Ok("docker")
        }
        (Lab::Docker, None) => bail!(
            "no Docker Engine answers, or it has no image and can pull none; `cargo xtask images` builds them, `--lab native` needs none"
        ),
        (Lab::Auto | Lab::Native, None) => {
            setup::provide(&[&setup::POSTGRES])?;
            say("lab: native, plain processes of this machine");
            Ok("native")
        }
    }
}

fn rehearse(binary: &Path, lab: &str, showing: &Showing) -> anyhow::Result<Verdict> {
    let out = root().join("target/demo").join(showing.name);
    // A run's log is never overwritten, so what the last demo left goes first.
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("could not remove {}", out.display()))?;
    }
    let parent = out.parent().expect("the path was joined from several parts");
    fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
    say(&format!("\nrehearsal run {PAIR}/{}", showing.name));
    let status = Command::new(binary)
        .args(["run", &format!("{PAIR}/{}", showing.name), "--lab", lab, "--out"])
        .arg(&out)
        .current_dir(root())
        .status()
        .with_context(|| format!("could not run {}", binary.display()))?;
    let outcome = outcome(&out.join("report.json")).unwrap_or_else(|_| "no report".to_owned());
    Ok(Verdict { exit: status.code(), outcome, page: out.join("report.html") })
}

fn outcome(report: &Path) -> anyhow::Result<String> {
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report)?)?;
    Ok(report["outcome"].as_str().context("the report has no outcome")?.to_owned())
}

impl Showing {
    fn met(&self, verdict: &Verdict) -> anyhow::Result<()> {
        ensure!(
            verdict.exit == Some(self.exit) && verdict.outcome == self.outcome,
            "{PAIR}/{} should have {} with exit code {}; it ended with exit code {}, outcome: {}",
            self.name,
            self.outcome,
            self.exit,
            verdict.exit.map_or_else(|| "none".to_owned(), |code| code.to_string()),
            verdict.outcome
        );
        ensure!(verdict.page.exists(), "{PAIR}/{} left no {}", self.name, verdict.page.display());
        Ok(())
    }
}
