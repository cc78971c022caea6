//! Captures that are interrupted, killed, or run out of room: nothing is left on the source, and no half of a snapshot is taken for one.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Ended, Going, Room, SCENARIO, entries, has};
use crate::up::asked;

const STEP: &str = "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n";

/// Text that hardly compresses.
const ROWS: &str = "[[setup]]\nsql = \"CREATE TABLE big AS SELECT n, (SELECT string_agg(md5(random()::text || n || g), '') \
                    FROM generate_series(1, 10) g) AS text FROM generate_series(1, 30000) n\"\n";

const MARIADB: &str =
    "name = \"ugly\"\n[topology]\nengine = \"mariadb\"\nversion = \"10.11\"\n[snapshot]\nfrom = \"empty\"\n";
const MARIADB_ROWS: &str = "[[setup]]\nsql = \"CREATE TABLE big AS SELECT seq AS n, REPEAT(SHA2(RAND(seq), 256), 6) AS text FROM seq_1_to_30000\"\n";

/// Slow enough to last for longer than any test.
const SLOW: &[&str] = &["--rate", "100kB/s"];

struct Source {
    room: Room,
    up: Value,
    url: String,
    password: String,
}

impl Source {
    /// A server that runs until [`Source::end`]; nothing where this machine has none.
    fn new() -> Option<Source> {
        Source::of(SCENARIO, ROWS)
    }

    fn of(scenario: &str, rows: &str) -> Option<Source> {
        if !has("native") {
            return None;
        }
        let room = Room::new();
        room.write("scenario.toml", format!("{scenario}{rows}{STEP}"));
        let ended = room.run(&["up", "scenario.toml", "--lab", "native", "--format", "json"]);
        let up: Value = serde_json::from_str(&ended.exits(0).stdout).expect("JSON");
        let passwords = std::fs::read_to_string(up["passwords"].as_str().expect("a file")).expect("it can be read");
        let password = passwords.trim().rsplit([':', ' ']).next().expect("it has a password").to_owned();
        let url = up["nodes"][0]["url"].as_str().expect("a URL").replacen('@', &format!(":{password}@"), 1);
        Some(Source { room, up, url, password })
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = self.room.command();
        command.args(["snapshot", "capture", "env:SOURCE", "--out", "shop", "--unmasked"]).args(more);
        command.env("SOURCE", &self.url);
        command
    }

    fn begin(&self, more: &[&str]) -> Going {
        self.room.start(self.command(more))
    }

    fn capture(&self, more: &[&str]) -> Ended {
        self.begin(more).end()
    }

    fn folder(&self) -> PathBuf {
        self.room.path("work/shop")
    }

    /// Nobody is left there, and what was said tells no password.
    #[track_caller]
    fn assert_left(&self, ended: &Ended) {
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains(&self.password), "{said}");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = self.sessions();
            if left == "0" {
                return;
            }
            assert!(Instant::now() < deadline, "{left} sessions are left on the source");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn sessions(&self) -> String {
        if self.url.starts_with("postgres") {
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rehearsal snapshot'";
            return asked(&self.up, &self.up["nodes"][0], sessions).expect("the source answers");
        }
        let file = self.up["passwords"].as_str().expect("a file");
        let sessions =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER <> 'system user' AND ID <> CONNECTION_ID()";
        let said = Command::new("mariadb")
            .args([
                &format!("--defaults-file={file}"),
                "--defaults-group-suffix=_primary",
                "--skip-column-names",
                "-e",
                sessions,
            ])
            .output()
            .expect("the client runs");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn end(self) {
        self.room.run(&["down"]).exits(0);
        self.room.assert_clean();
    }
}

#[test]
fn an_interrupted_capture_leaves_nothing() {
    let Some(source) = Source::new() else { return };
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut going = source.begin(SLOW);
        assert!(going.comes_to(|| source.folder().join("data/000001/000001.zst").exists().then_some(())));
        going.signal(signal);
        let ended = going.end();
        ended.exits(exit).says(&["error: interrupted"]);
        assert!(!source.folder().exists(), "{:?}", entries(&source.folder()));
        source.assert_left(&ended);
    }
    source.end();
}

#[test]
fn a_killed_capture_is_no_snapshot_and_is_begun_anew() {
    let Some(source) = Source::new() else { return };
    let mut going = source.begin(SLOW);
    assert!(going.comes_to(|| source.folder().join("schema/schema.dump").exists().then_some(())));
    // Another does not meddle with it.
    source.capture(&[]).exits(2).says(&["another capture writes to shop"]);
    going.signal(Signal::KILL);
    source.assert_left(&going.end());
    for what in ["verify", "inspect"] {
        let ended = source.room.run(&["snapshot", what, "shop"]);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(ended.exit != 0 && said.contains("the capture was not finished"), "{what}: {said}");
    }
    source.room.write("of-shop.toml", SCENARIO.replace("\"empty\"", "\"shop\"") + STEP);
    source.room.run(&["check", "of-shop.toml"]).exits(2).says(&["a snapshot whose capture was not finished"]);
    let again = source.capture(&[]);
    again
        .exits(0)
        .says(&["what an unfinished capture had left is removed"])
        .tells(&["captured shop: 2 tables, 30,000 rows"]);
    source.room.run(&["snapshot", "verify", "shop"]).exits(0).tells(&["30,000 rows: as they were written"]);
    source.capture(&[]).exits(2).says(&["shop holds a snapshot already", "hint: give another folder with --out"]);
    source.end();
}

/// A sample is written late, and a MariaDB's session waits for whoever takes its rows.
#[test]
fn captures_of_mariadb_and_samples_end_as_well() {
    for (scenario, rows, how) in [
        (MARIADB, MARIADB_ROWS, &["--unmasked"][..]),
        (MARIADB, MARIADB_ROWS, &["--rules", "tenth.toml"]),
        (SCENARIO, ROWS, &["--rules", "tenth.toml"]),
    ] {
        let Some(source) = Source::of(scenario, rows) else { return };
        source.room.write("tenth.toml", TENTH);
        let begin = || {
            let mut command = source.room.command();
            command.args(["snapshot", "capture", "env:SOURCE", "--out", "shop"]).args(SLOW).args(how);
            command.env("SOURCE", &source.url);
            let mut going = source.room.start(command);
            // It has read more than the first seconds let through.
            assert!(going.comes_to(|| {
                (source.folder().join("schema").read_dir().ok()?.next().is_some() && source.sessions() != "0")
                    .then_some(())
            }));
            going
        };
        let going = begin();
        going.signal(Signal::INT);
        let ended = going.end();
        ended.exits(130).says(&["error: interrupted"]);
        assert!(!source.folder().exists(), "{:?}", entries(&source.folder()));
        source.assert_left(&ended);
        let going = begin();
        going.signal(Signal::KILL);
        source.assert_left(&going.end());
        source.room.run(&["snapshot", "verify", "shop"]).exits(1).tells(&["the capture was not finished"]);
        let mut command = source.room.command();
        command.args(["snapshot", "capture", "env:SOURCE", "--out", "shop"]).args(how).env("SOURCE", &source.url);
        source.room.start(command).end().exits(0).says(&["what an unfinished capture had left is removed"]);
        source.room.run(&["snapshot", "verify", "shop"]).exits(0).tells(&["as they were written"]);
        source.end();
    }
}

/// What rules may take less than all of.
const TENTH: &str = "[sample]\nrows = \"10%\"\n[[mask]]\nname = \"*\"\nas = \"keep\"\nreason = \"made up\"\n";

#[test]
fn a_sample_says_what_it_has_and_what_it_lacks() {
    let Some(source) = Source::new() else { return };
    source.room.write("tenth.toml", format!("{TENTH}[coverage]\nbudget = 2\n"));
    let mut command = source.room.command();
    command.args(["snapshot", "capture", "env:SOURCE", "--out", "shop", "--rules", "tenth.toml"]);
    command.env("SOURCE", &source.url);
    source.room.start(command).end().exits(0);
    let inspected = source.room.run(&["snapshot", "inspect", "shop"]);
    let stdout = &inspected.exits(0).stdout;
    for says in
        ["content     a sample, rows as they were, nothing masked", "sampled     big: 10%; ", " added", " of 30,000 "]
    {
        assert!(stdout.contains(says), "{says}: {stdout}");
    }
    let rows = std::fs::read_to_string(source.folder().join("manifest.json")).expect("a manifest");
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    let big =
        rows["tables"].as_array().and_then(|tables| tables.iter().find(|table| table["name"] == "big")).expect("big");
    let taken = big["rows"].as_u64().expect("a count");
    assert!((2_500..3_500).contains(&taken) && big["production_rows"] == 30_000, "{taken} rows");
    // A rehearsal of it knows that production is larger.
    let (topology, _) = SCENARIO.split_once("from = ").expect("it names a snapshot");
    source.room.write("of-shop.toml", format!("{topology}from = \"shop\"\n[probes]\nauto = false\n{STEP}"));
    let ended = source.room.run(&["run", "of-shop.toml", "--out", "out", "--lab", "native"]);
    let known = &ended.exits(0).events()[0]["scenario"]["snapshot"]["production_rows"];
    assert_eq!(known["big"], 30_000);
    source.end();
}

/// Whenever it is killed, there is either a whole snapshot or none.
#[test]
fn a_capture_killed_at_any_moment() {
    let Some(source) = Source::new() else { return };
    let began = Instant::now();
    source.capture(&[]).exits(0);
    let (lasts, moments) = (began.elapsed(), 16);
    std::fs::remove_dir_all(source.folder()).expect("it can be removed");
    let mut unfinished = 0;
    for moment in 0..=moments {
        let going = source.begin(&[]);
        // Of the time that a whole one takes: what there is then is looked at afterwards, whatever it is.
        std::thread::sleep(lasts * moment / moments);
        going.signal(Signal::KILL);
        source.assert_left(&going.end());
        let verified = source.room.run(&["snapshot", "verify", "shop"]);
        match verified.exit {
            0 => {
                verified.tells(&["30,000 rows: as they were written"]);
                std::fs::remove_dir_all(source.folder()).expect("it can be removed");
            }
            1 => {
                verified.tells(&["the capture was not finished"]);
                unfinished += 1;
            }
            _ => {
                verified.exits(2);
            }
        }
    }
    assert!(unfinished > 2, "no capture was killed on its way");
    source.capture(&[]).exits(0).tells(&["30,000 rows"]);
    source.room.run(&["snapshot", "verify", "shop"]).exits(0);
    source.end();
}

#[test]
fn a_full_disk() {
    let Some(source) = Source::new() else { return };
    for size in ["16k", "2m"] {
        std::fs::create_dir_all(source.room.path("work/full")).expect("a folder");
        if !source.room.mount("work/full", size) {
            break;
        }
        let mut command = source.room.command();
        command.args(["snapshot", "capture", "env:SOURCE", "--out", "full/shop", "--unmasked"]);
        command.env("SOURCE", &source.url);
        let ended = source.room.start(command).end();
        ended
            .exits(3)
            .says(&["error: the disk is full at full/shop", "hint: make room, or give a folder on another disk"]);
        source.assert_left(&ended);
        assert_eq!(entries(&source.room.path("work/full")), Vec::<String>::new());
    }
    source.end();
}

#[test]
fn wrong_flags() {
    let Some(source) = Source::new() else { return };
    let said = |args: &[&str], hints: &[&str]| {
        let mut command = source.room.command();
        command.args(["snapshot"]).args(args).env("SOURCE", &source.url).env("WRONG", "postgresql://x:s3cret@h:y/z");
        command.env("WRONG_KEY", "s3cret");
        let ended = source.room.start(command).end();
        ended.exits(2).says(hints);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
        assert!(!source.folder().exists());
    };
    said(&["capture", "env:SOURCE", "--out", "shop"], &["rows would be copied as they are", "hint: say --unmasked"]);
    said(
        &["capture", "env:NONE", "--out", "shop", "--unmasked"],
        &["no variable NONE", "hint: export NONE=postgresql://"],
    );
    said(&["capture", "env:WRONG", "--out", "shop", "--unmasked"], &["no usable URL", "hint: give postgresql://"]);
    said(&["capture", "env:SOURCE", "--out", "shop", "--unmasked", "--rate", "fast"], &["a rate is written as 20MB/s"]);
    said(&["capture", "env:SOURCE", "--out", ".", "--unmasked"], &[". holds other files", "hint: give another folder"]);
    source.room.write("keyed.toml", "key = \"env:KEY\"\n[[mask]]\nname = \"*mail*\"\nas = \"email\"\n");
    source.room.write("short.toml", "key = \"env:WRONG_KEY\"\n[[mask]]\nname = \"*mail*\"\nas = \"email\"\n");
    let by = |rules: &'static str| ["capture", "env:SOURCE", "--out", "shop", "--rules", rules];
    said(&by("none.toml"), &["none.toml"]);
    said(&by("keyed.toml"), &["no variable KEY, which holds the masking key", "hint: export KEY=…"]);
    said(&by("short.toml"), &["the masking key in WRONG_KEY has fewer than 16 bytes", "hint: export WRONG_KEY=…"]);
    source.room.write("other.toml", "[sample]\nrows = \"10%\"\n[sample.tables]\nordres = \"all\"\n");
    said(&by("other.toml"), &["no table is called ordres, which line 4 of the rules file names", "hint: "]);
    said(&[by("keyed.toml").as_slice(), &["--unmasked"]].concat(), &["cannot be used with"]);
    said(&["verify", "nowhere"], &["there is no folder nowhere", "hint: name the folder"]);
    said(&["inspect", "."], &[". holds no snapshot", "hint: name the folder"]);
    source.end();
}

/// Production's rows come with the snapshot, where the scenario does not say them.
#[test]
fn what_production_holds_is_known_by_the_snapshot() {
    let Some(source) = Source::new() else { return };
    source.capture(&[]).exits(0);
    let of_shop = "from = \"shop\"\nproduction_rows = { \"public.orders\" = 7 }\n[probes]\nauto = false\n";
    let (topology, _) = SCENARIO.split_once("from = ").expect("it names a snapshot");
    source.room.write("of-shop.toml", format!("{topology}{of_shop}{STEP}"));
    let ended = source.room.run(&["run", "of-shop.toml", "--out", "out", "--lab", "native"]);
    ended.exits(0);
    let known = &ended.events()[0]["scenario"]["snapshot"]["production_rows"];
    assert_eq!(*known, serde_json::json!({ "big": 30_000, "public.orders": 7 }));
    source.end();
}

#[test]
fn a_draft_becomes_the_rules() {
    let Some(source) = Source::new() else { return };
    let key = "s3cret of more than sixteen bytes";
    let capture = |rules: &str| {
        let mut command = source.room.command();
        command.args(["snapshot", "capture", "env:SOURCE", "--out", "shop", "--rules", rules, "--draft", "draft.toml"]);
        command.env("SOURCE", &source.url).env("REHEARSAL_MASK_KEY", key);
        let ended = source.room.start(command).end();
        assert!(!ended.stderr.contains("s3cret") && !ended.stdout.contains("s3cret"), "{}", ended.stderr);
        ended
    };
    source.room.write("empty.toml", "");
    capture("empty.toml").exits(2).says(&[
        "no rule decides about",
        "public.big.text: ",
        "hint: draft.toml holds a draft",
    ]);
    assert!(!source.folder().exists());
    capture("empty.toml").exits(2).says(&["draft.toml is there already"]);
    std::fs::rename(source.room.path("work/draft.toml"), source.room.path("work/rules.toml")).expect("both lie there");
    capture("rules.toml").exits(0);
    assert!(!source.room.path("work/draft.toml").exists(), "nothing is undecided");
    let inspected = source.room.run(&["snapshot", "inspect", "shop"]);
    let stdout = &inspected.exits(0).stdout;
    assert!(stdout.contains("content     masked\nmasked      big: text (text)\n"), "{stdout}");
    source.end();
}

/// What a scenario takes from a live server goes through its rules before it lies anywhere.
#[test]
fn a_scenario_reads_a_live_server_by_its_rules() {
    for (scenario, rows) in [(SCENARIO, ROWS), (MARIADB, MARIADB_ROWS)] {
        let Some(source) = Source::of(scenario, rows) else { return };
        let (topology, _) = scenario.split_once("from = ").expect("it names a snapshot");
        let run = |more: &str, check: &str, key: bool| {
            let step = format!("[probes]\nauto = false\n[[step]]\nname = \"one\"\ncheck = {check}\n");
            if source.room.path("work/out").exists() {
                std::fs::remove_dir_all(source.room.path("work/out")).expect("it can be removed");
            }
            source.room.write("live.toml", format!("{topology}from = \"env:SOURCE\"\n{more}\n{step}"));
            let mut command = source.room.command();
            command.args(["run", "live.toml", "--out", "out", "--lab", "native"]).env("SOURCE", &source.url);
            if key {
                command.env("REHEARSAL_MASK_KEY", "s3cret of more than sixteen bytes");
            }
            let ended = source.room.start(command).end();
            for (path, text) in source.room.records() {
                assert!(!text.contains("s3cret") && !text.contains(&source.password), "{}", path.display());
            }
            ended
        };
        let kept = "{ sql = \"SELECT count(*) FROM big\", rows = [[\"30000\"]] }";
        let rules = "rules = \"rules.toml\"";
        source.room.write("rules.toml", "[[mask]]\ncolumn = \"big.text\"\nas = { fixed = \"gone\" }\n[[mask]]\nname = \"*\"\nas = \"keep\"\nreason = \"made up\"\n");
        run(rules, kept, false).exits(2).says(&["no variable REHEARSAL_MASK_KEY", "hint: export REHEARSAL_MASK_KEY=…"]);
        let masked = "{ sql = \"SELECT count(*) FROM big WHERE text = 'gone'\", rows = [[\"30000\"]] }";
        run(rules, masked, true).exits(0);
        source.room.write(
            "rules.toml",
            "[sample]\nrows = 7\n[coverage]\non = false\n[[mask]]\nname = \"*\"\nas = \"keep\"\nreason = \"made up\"\n",
        );
        run(rules, kept, false)
            .exits(2)
            .says(&["rules with a `[sample]` beside a live server", "help: take the sample beforehand"]);
        source.room.write("rules.toml", "");
        // That takes a look at the server.
        run(rules, kept, false).exits(3).says(&["no rule decides about", "big.text"]);
        source.room.write("rules.toml", "[[mask]]\ncolum = \"big.text\"\nas = \"text\"\n");
        run(rules, kept, false).exits(2).says(&["rules.toml:2", "colum"]);
        run("rules = \"none.toml\"", kept, false).exits(2).says(&["none.toml"]);
        run("", kept, false).exits(2).says(&["would be copied as they are", "rules = "]);
        run("rules = \"rules.toml\"\nunmasked = true", kept, false)
            .exits(2)
            .says(&["`rules` beside `unmasked = true`"]);
        run("unmasked = true", kept, false).exits(0);
        source.end();
    }
}
