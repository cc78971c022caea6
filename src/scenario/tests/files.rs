//! What is wrong with files: missing, unreadable, going round in circles.

use super::*;

#[test]
fn no_file() {
    insta::assert_snapshot!(said_in(&folder(&[])), @r#"
    × ./scenario.toml: one problem
    × there is no scenario file at ./scenario.toml
    help: give the scenario file, or the folder that holds its scenario.toml
    "#);
}

#[test]
fn a_base_that_is_missing() {
    insta::assert_snapshot!(said("extends = \"../house.toml\""), @r#"
     × ./scenario.toml: one problem
     × there is no base at ./../house.toml
      ╭─[./scenario.toml:1:11]
    1 │ extends = "../house.toml"
      ·           ───────────────
      ╰────
     help: relative paths are taken from the folder of the file they stand in
    "#);
}

#[test]
fn bases_in_a_circle() {
    let folder =
        folder(&[("scenario.toml", b"extends = \"a.toml\""), ("a.toml", b"name = \"a\"\nextends = \"scenario.toml\"")]);
    insta::assert_snapshot!(said_in(&folder), @r#"
     × ./scenario.toml: one problem
     × `extends` goes round in a circle: ./scenario.toml → ./a.toml → ./
     │ scenario.toml
      ╭─[./a.toml:2:11]
    1 │ name = "a"
    2 │ extends = "scenario.toml"
      ·           ───────────────
      ╰────
    "#);
}

#[test]
fn problems_of_a_base_point_at_the_base() {
    let folder = folder(&[
        ("scenario.toml", b"extends = \"house.toml\"\nnmae = \"x\""),
        ("house.toml", whole("[limits]\nwindow = \"soon\"\nlimts = 3").as_bytes()),
    ]);
    insta::assert_snapshot!(said_in(&folder), @r#"
     × ./scenario.toml: 3 problems
     × unknown key `nmae` in the scenario
      ╭─[./scenario.toml:2:1]
    1 │ extends = "house.toml"
    2 │ nmae = "x"
      · ────
      ╰────
     help: did you mean `name`?
     × found "soon"
      ╭─[./house.toml:5:10]
    4 │ [limits]
    5 │ window = "soon"
      ·          ───┬──
      ·             ╰── expected a duration above zero, such as "20ms" or "1h30m"
    6 │ limts = 3
      ╰────
     × unknown key `limts` in limits
      ╭─[./house.toml:6:1]
    5 │ window = "soon"
    6 │ limts = 3
      · ──┬──
      ·   ╰── expected one of `window`, `downtime`, `p99`, `lock_wait`, `lag`
    7 │ [[step]]
      ╰────
    "#);
}

#[test]
fn a_base_with_wrong_toml() {
    let folder = folder(&[("scenario.toml", b"extends = \"house.toml\""), ("house.toml", b"name = ")]);
    insta::assert_snapshot!(said_in(&folder), @r#"
     × ./scenario.toml: one problem
     × not valid TOML: string values must be quoted, expected literal string
      ╭─[./house.toml:1:8]
    1 │ name =
      ·        ▲
      ╰────
    "#);
}

#[test]
fn not_text() {
    insta::assert_snapshot!(said_in(&folder(&[("scenario.toml", &[b'n', 0xff, 0xfe])])), @r#"
    × ./scenario.toml: one problem
    × cannot read ./scenario.toml: it is not UTF-8 text
    "#);
}

#[test]
fn files_that_are_not_there() {
    let lines = r#"
[[setup]]
file = "before.sql"
[[step]]
name = "file"
file = "patch.sql"
[[step]]
name = "folder for a file"
file = "."
[[step]]
name = "dir"
command = { run = "true", dir = "bin" }
"#;
    let text = whole(lines).replace("\"empty\"", "\"shop.dump\"\nsnapshot.roles = \"roles.sql\"");
    insta::assert_snapshot!(said(&text), @r#"
     × ./scenario.toml: 6 problems
     × there is no dump at ./shop.dump
      ╭─[./scenario.toml:2:17]
    1 │ name = "x"
    2 │ snapshot.from = "shop.dump"
      ·                 ───────────
    3 │ snapshot.roles = "roles.sql"
      ╰────
     help: relative paths are taken from the folder of the file they stand in
     × there is no file at ./roles.sql
      ╭─[./scenario.toml:3:18]
    2 │ snapshot.from = "shop.dump"
    3 │ snapshot.roles = "roles.sql"
      ·                  ───────────
    4 │ topology = { engine = "postgres", version = "15" }
      ╰────
     help: relative paths are taken from the folder of the file they stand in
     × there is no file at ./before.sql
      ╭─[./scenario.toml:7:8]
    6 │ [[setup]]
    7 │ file = "before.sql"
      ·        ────────────
    8 │ [[step]]
      ╰────
     help: relative paths are taken from the folder of the file they stand in
     × there is no file at ./patch.sql
       ╭─[./scenario.toml:10:8]
     9 │ name = "file"
    10 │ file = "patch.sql"
       ·        ───────────
    11 │ [[step]]
       ╰────
     help: relative paths are taken from the folder of the file they stand in
     × there is no file at ./.
       ╭─[./scenario.toml:13:8]
    12 │ name = "folder for a file"
    13 │ file = "."
       ·        ───
    14 │ [[step]]
       ╰────
     help: relative paths are taken from the folder of the file they stand in
     × there is no folder at ./bin
       ╭─[./scenario.toml:16:33]
    15 │ name = "dir"
    16 │ command = { run = "true", dir = "bin" }
       ·                                 ─────
       ╰────
     help: relative paths are taken from the folder of the file they stand in
    "#);
}

#[test]
fn dumps_of_no_known_kind() {
    #[track_caller]
    fn said_of_dump(name: &str, contents: &[u8]) -> String {
        let from = name.split('/').next().unwrap();
        let text = whole("").replace("\"empty\"", &format!("\"{from}\""));
        said_in(&folder(&[("scenario.toml", text.as_bytes()), (name, contents)]))
    }
    insta::assert_snapshot!(said_of_dump("a.tar", b"ustar"), @r#"
     × ./scenario.toml: one problem
     × found a file of another kind
      ╭─[./scenario.toml:2:17]
    1 │ name = "x"
    2 │ snapshot.from = "a.tar"
      ·                 ───┬───
      ·                    ╰── expected a snapshot's folder, a dump (.sql, .sql.gz, .sql.zst, pg_dump -Fc or -Fd), "env:NAME" for a live server's URL, or "empty"
    3 │ topology = { engine = "postgres", version = "15" }
      ╰────
    "#);
    insta::assert_snapshot!(said_of_dump("a.sql.gz", b"SELECT 1;"), @r#"
     × ./scenario.toml: one problem
     × found a file that is not compressed as its name says
      ╭─[./scenario.toml:2:17]
    1 │ name = "x"
    2 │ snapshot.from = "a.sql.gz"
      ·                 ─────┬────
      ·                      ╰── expected a snapshot's folder, a dump (.sql, .sql.gz, .sql.zst, pg_dump -Fc or -Fd), "env:NAME" for a live server's URL, or "empty"
    3 │ topology = { engine = "postgres", version = "15" }
      ╰────
    "#);
    insta::assert_snapshot!(said_of_dump("a.dir/readme", b""), @r#"
     × ./scenario.toml: one problem
     × found a folder without toc.dat
      ╭─[./scenario.toml:2:17]
    1 │ name = "x"
    2 │ snapshot.from = "a.dir"
      ·                 ───┬───
      ·                    ╰── expected a snapshot's folder, a dump (.sql, .sql.gz, .sql.zst, pg_dump -Fc or -Fd), "env:NAME" for a live server's URL, or "empty"
    3 │ topology = { engine = "postgres", version = "15" }
      ╰────
    "#);
    insta::assert_snapshot!(said_of_dump("a.snapshot/capture.json", b"{}"), @r#"
     × ./scenario.toml: one problem
     × found a snapshot whose capture was not finished
      ╭─[./scenario.toml:2:17]
    1 │ name = "x"
    2 │ snapshot.from = "a.snapshot"
      ·                 ──────┬─────
      ·                       ╰── expected a snapshot's folder, a dump (.sql, .sql.gz, .sql.zst, pg_dump -Fc or -Fd), "env:NAME" for a live server's URL, or "empty"
    3 │ topology = { engine = "postgres", version = "15" }
      ╰────
    "#);
}

#[test]
fn secrets_are_refused_and_never_shown() {
    let text = whole(
        r#"[[step]]
name = "postgres://app:hunter2@db password=hunter2&x"
command = { run = "true", env = { DATABASE_URL = "postgres://app:hunter2@db/shop", OTHER = "env:1X" } }
undo = { command = ["psql", "postgres://app@db/shop", "postgres://app:hunter2@db/shop"] }
nmae = "beside it""#,
    )
    .replace("\"empty\"", "\"postgres://reader:hunter2@db.example/shop\"");
    let said = said(&text);
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @r#"
     × ./scenario.toml: 5 problems
     × a secret stands in the file
      ╭─[./scenario.toml:2:17]
    1 │ name = "x"
    2 │ snapshot.from = "postgres://reader:*******@db.example/shop"
      ·                 ─────────────────────┬─────────────────────
      ·                                      ╰── expected "env:NAME", with the URL in the environment variable NAME
    3 │ topology = { engine = "postgres", version = "15" }
      ╰────
     help: put it into an environment variable, and give only the variable's name
     × a secret stands in the file
      ╭─[./scenario.toml:6:66]
    5 │ name = "postgres://app:*******@db password=*******&x"
    6 │ command = { run = "true", env = { DATABASE_URL = "postgres://app:*******@db/shop", OTHER = "env:1X" } }
      ·                                                                  ───┬───
      ·                                                                     ╰── expected the name of an environment variable in its place
    7 │ undo = { command = ["psql", "postgres://app@db/shop", "postgres://app:*******@db/shop"] }
      ╰────
     help: put it into an environment variable, and give only the variable's name
     × found "env:1X"
      ╭─[./scenario.toml:6:92]
    5 │ name = "postgres://app:*******@db password=*******&x"
    6 │ command = { run = "true", env = { DATABASE_URL = "postgres://app:*******@db/shop", OTHER = "env:1X" } }
      ·                                                                                            ────┬───
      ·                                                                                                ╰── expected "env:NAME", with the name of an environment variable
    7 │ undo = { command = ["psql", "postgres://app@db/shop", "postgres://app:*******@db/shop"] }
      ╰────
     × a secret stands in the file
      ╭─[./scenario.toml:7:71]
    6 │ command = { run = "true", env = { DATABASE_URL = "postgres://app:*******@db/shop", OTHER = "env:1X" } }
    7 │ undo = { command = ["psql", "postgres://app@db/shop", "postgres://app:*******@db/shop"] }
      ·                                                                       ───┬───
      ·                                                                          ╰── expected the name of an environment variable in its place
    8 │ nmae = "beside it"
      ╰────
     help: put it into an environment variable, and give only the variable's name
     × unknown key `nmae` in a step
      ╭─[./scenario.toml:8:1]
    7 │ undo = { command = ["psql", "postgres://app@db/shop", "postgres://app:*******@db/shop"] }
    8 │ nmae = "beside it"
      · ────
      ╰────
     help: did you mean `name`?
    "#);
}

#[test]
fn a_live_server_unmasked() {
    insta::assert_snapshot!(said(&whole("").replace("\"empty\"", "\"env:SHOP_URL\"")), @r#"
     × ./scenario.toml: one problem
     × a live server's rows would be copied as they are
      ╭─[./scenario.toml:2:17]
    1 │ name = "x"
    2 │ snapshot.from = "env:SHOP_URL"
      ·                 ──────────────
    3 │ topology = { engine = "postgres", version = "15" }
      ╰────
     help: write `rules = "FILE"` beside it, or `unmasked = true` if its rows may lie on this machine
    "#);
}

#[test]
fn secrets_are_not_shown_beside_wrong_toml_either() {
    let said = said("[snapshot]\nfrom = 'mysql://a:p@ss:hunter2@db/x?password=hunter2'\nfrom = 3");
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @r#"
     × ./scenario.toml: one problem
     × not valid TOML: duplicate key
      ╭─[./scenario.toml:3:1]
    2 │ from = 'mysql://a:************@db/x?password=*******'
    3 │ from = 3
      · ────
      ╰────
    "#);
}

#[test]
fn the_rest_of_a_file_whose_base_is_missing() {
    insta::assert_snapshot!(said("extends = \"x\"\nnmae = \"x\"\n[limits]\nwindow = 3\n[step]\nname = \"s\""), @r#"
     × ./scenario.toml: 4 problems
     × there is no base at ./x
      ╭─[./scenario.toml:1:11]
    1 │ extends = "x"
      ·           ───
    2 │ nmae = "x"
      ╰────
     help: relative paths are taken from the folder of the file they stand in
     × unknown key `nmae` in the scenario
      ╭─[./scenario.toml:2:1]
    1 │ extends = "x"
    2 │ nmae = "x"
      · ────
    3 │ [limits]
      ╰────
     help: did you mean `name`?
     × found an integer
      ╭─[./scenario.toml:4:10]
    3 │ [limits]
    4 │ window = 3
      ·          ┬
      ·          ╰── expected a duration above zero, such as "20ms" or "1h30m"
    5 │ [step]
      ╰────
     × found a table
      ╭─[./scenario.toml:5:1]
    4 │ window = 3
    5 │ [step]
      · ───┬──
      ·    ╰── expected a list, each item a table
    6 │ name = "s"
      ╰────
     help: a list of tables is written with two brackets, as in `[[step]]`
    "#);
}
