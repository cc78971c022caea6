//! The command line as programs and terminals see it.

use std::path::Path;
use std::process::{Command, Output};

fn rehearsal(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearsal"));
    command.args(args).env_remove("NO_COLOR").env_remove("RUST_LOG").env_remove("REHEARSAL_LAB");
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

#[test]
fn a_wrong_scenario_is_told_to_programs_as_well() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("scenario.toml");
    std::fs::write(&file, "name = \"x\"\nsnapshot.from = \"empty\"\n[topolgy]\n[[step]]\nname = \"s\"\nwait = 3\n")
        .expect("a scenario");
    let path = file.to_str().expect("temporary paths are text");
    let ended = output(&mut rehearsal(&["check", path, "--format", "json"]));
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(2), &[][..]));
    let told = String::from_utf8(ended.stdout).expect("text").replace(path, "scenario.toml");
    serde_json::from_str::<serde_json::Value>(&told).expect("it is JSON");
    insta::assert_snapshot!(told, @r#"
    {
      "problems": [
        {
          "code": "missing-key",
          "what": "`topology` is missing in the scenario",
          "file": "scenario.toml",
          "line": 1,
          "column": 1,
          "expected": "a table",
          "hint": null,
          "usage": true
        },
        {
          "code": "unknown-key",
          "what": "unknown key `topolgy` in the scenario",
          "file": "scenario.toml",
          "line": 3,
          "column": 2,
          "expected": null,
          "hint": "did you mean `topology`?",
          "usage": true
        },
        {
          "code": "wrong-form",
          "what": "found an integer",
          "file": "scenario.toml",
          "line": 6,
          "column": 8,
          "expected": "a duration above zero, such as \"20ms\" or \"1h30m\", or a table",
          "hint": null,
          "usage": true
        }
      ]
    }
    "#);

    let ended = output(&mut rehearsal(&["check", path]));
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(2), &[][..]));
    let said = String::from_utf8(ended.stderr).expect("text");
    assert!(said.contains("did you mean `topology`?") && said.contains("scenario.toml:3:2"), "{said}");
}

#[test]
fn no_colour_is_written_into_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("scenario.toml");
    let text = "name = \"x\"\ntopology = { engine = \"postgres\", version = \"15\" }\nsnapshot.from = \"empty\"\n\
        [[step]]\nname = \"s\"\nsql = \"SELECT 1\"\n";
    std::fs::write(&file, text).expect("a scenario");
    let mut check = rehearsal(&["check", file.to_str().expect("temporary paths are text"), "-v"]);
    let ended = output(check.env("DOCKER_HOST", "unix:///nonexistent"));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("INFO"), "nothing was logged");
    assert!(!ended.stdout.contains(&0x1b) && !ended.stderr.contains(&0x1b), "colours in a file");
}

/// What comes out on a terminal of that width.
fn on_terminal(columns: u16, args: &str) -> String {
    let line = format!("stty rows 40 cols {columns}; exec {} {args}", env!("CARGO_BIN_EXE_rehearsal"));
    let ended = output(Command::new("script").args(["-qec", &line, "/dev/null"]).env("NO_COLOR", "1"));
    String::from_utf8(ended.stdout).expect("text")
}

#[test]
fn lines_are_as_wide_as_the_terminal() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let report = format!("report {}", root.join("fixtures/runs/failed.jsonl").display());
    // Its hint is one long line.
    for args in [report.as_str(), "check gone.toml"] {
        let (narrow, wide) = (on_terminal(60, args), on_terminal(100, args));
        let wider = |text: &str| text.lines().filter(|line| line.trim_end().chars().count() > 60).count();
        // Headings and tables stay as wide as they are.
        assert!(wider(&narrow) < wider(&wide), "{narrow}\n{wide}");
    }
}

#[test]
fn the_help_names_the_environment_that_acts() {
    let ended = output(&mut rehearsal(&["--help"]));
    let help = String::from_utf8(ended.stdout).expect("text");
    for name in [
        "REHEARSAL_LAB",
        "REHEARSAL_LAB_DIR",
        "REHEARSAL_NO_CACHE",
        "REHEARSAL_CACHE_SIZE",
        "DOCKER_HOST",
        "NO_COLOR",
        "CI",
        "RUST_LOG",
    ] {
        assert!(help.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}: {help}");
    }
}
