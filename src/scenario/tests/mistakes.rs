//! What is wrong with what the file says.

use super::*;

#[test]
fn toml_that_is_none() {
    insta::assert_snapshot!(said("name = \"x\nstep = [\n]]\n"), @r#"
     × ./scenario.toml: 2 problems
     × not valid TOML: invalid basic string, expected `"`
      ╭─[./scenario.toml:1:10]
    1 │ name = "x
      ·          ▲
    2 │ step = [
      ╰────
     × not valid TOML: unexpected key or value, expected newline, `#`
      ╭─[./scenario.toml:3:2]
    2 │ step = [
    3 │ ]]
      ·  ▲
      ╰────
    "#);
}

#[test]
fn keys_given_twice() {
    insta::assert_snapshot!(said("name = \"x\"\nname = \"y\"\n[limits]\n[limits]\n"), @r#"
     × ./scenario.toml: 2 problems
     × not valid TOML: duplicate key
      ╭─[./scenario.toml:2:1]
    1 │ name = "x"
    2 │ name = "y"
      · ────
    3 │ [limits]
      ╰────
     × not valid TOML: duplicate key
      ╭─[./scenario.toml:4:2]
    3 │ [limits]
    4 │ [limits]
      ·  ──────
      ╰────
    "#);
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(said(""), @r#"
    × ./scenario.toml: 4 problems
    × `name` is missing in the scenario
    × `topology` is missing in the scenario
    × `snapshot` is missing in the scenario
    × `step` is missing in the scenario
    "#);
}

#[test]
fn a_file_of_spaces_and_comments() {
    insta::assert_snapshot!(said("  # nothing\n\n"), @r#"
     × ./scenario.toml: 4 problems
     × `name` is missing in the scenario
      ╭─[./scenario.toml:1:1]
    1 │   # nothing
      · ▲
      · ╰── expected text
    2 │
      ╰────
     × `topology` is missing in the scenario
      ╭─[./scenario.toml:1:1]
    1 │   # nothing
      · ▲
      · ╰── expected a table
    2 │
      ╰────
     × `snapshot` is missing in the scenario
      ╭─[./scenario.toml:1:1]
    1 │   # nothing
      · ▲
      · ╰── expected a table
    2 │
      ╰────
     × `step` is missing in the scenario
      ╭─[./scenario.toml:1:1]
    1 │   # nothing
      · ▲
      · ╰── expected a list, each item a table
    2 │
      ╰────
    "#);
}

#[test]
fn unknown_keys() {
    let lines = r#"
titel = "x"
[probes]
down_aftr = "1s"
[limits]
downtime = { raed = "1s" }
[[step]]
name = "s"
slq = "SELECT 1"
budgets = "1s"
colour = "red"
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 8 problems
     × unknown key `titel` in the scenario
      ╭─[./scenario.toml:5:1]
    4 │
    5 │ titel = "x"
      · ──┬──
      ·   ╰── expected one of `name`, `topology`, `snapshot`, `setup`, `probes`, `workload`, `limits`, `step`, `expect`, `gate`, `extends`
    6 │ [probes]
      ╰────
     × unknown key `down_aftr` in [probes]
      ╭─[./scenario.toml:7:1]
    6 │ [probes]
    7 │ down_aftr = "1s"
      · ─────────
    8 │ [limits]
      ╰────
     help: did you mean `down_after`?
     × found an empty table
       ╭─[./scenario.toml:9:12]
     8 │ [limits]
     9 │ downtime = { raed = "1s" }
       ·            ───────┬───────
       ·                   ╰── expected `read`, `write` or both
    10 │ [[step]]
       ╰────
     × unknown key `raed` in `downtime`
       ╭─[./scenario.toml:9:14]
     8 │ [limits]
     9 │ downtime = { raed = "1s" }
       ·              ────
    10 │ [[step]]
       ╰────
     help: did you mean `read`?
     × a step without an action
       ╭─[./scenario.toml:10:1]
     9 │ downtime = { raed = "1s" }
    10 │ [[step]]
       · ────┬───
       ·     ╰── expected one of `sql`, `file`, `command`, `analyze`, `restart`, `wait`, `check`, `compare`, `take_out`, `put_back`, `route`
    11 │ name = "s"
       ╰────
     × unknown key `slq` in a step
       ╭─[./scenario.toml:12:1]
    11 │ name = "s"
    12 │ slq = "SELECT 1"
       · ───
    13 │ budgets = "1s"
       ╰────
     help: did you mean `sql`?
     × unknown key `budgets` in a step
       ╭─[./scenario.toml:13:1]
    12 │ slq = "SELECT 1"
    13 │ budgets = "1s"
       · ───────
    14 │ colour = "red"
       ╰────
     help: did you mean `budget`?
     × unknown key `colour` in a step
       ╭─[./scenario.toml:14:1]
    13 │ budgets = "1s"
    14 │ colour = "red"
       · ───┬──
       ·    ╰── expected one of `name`, `on`, `at_once`, `replicated`, `as`, `budget`, `timeout`, `limits`, `undo`, `retry`, `takes`, `outside_window`, `point_of_no_return`, `sign_off`, `when_failed`, `sql`, `file`, `command`, `analyze`, `restart`, `wait`, `check`, `compare`, `take_out`, `put_back`, `route`, `steps`, `each`
       ╰────
    "#);
}

#[test]
fn values_of_other_forms() {
    let lines = r#"
topology = { engine = "postgres", version = 15, nodes.pg = { extensions = "unit" } }
[probes]
every = 20
budget = "200"
auto = "yes"
[limits]
window = "-5m"
p99 = "0s"
downtime = 3
[[step]]
name = "s"
sql = "SELECT 1"
retry = { lock_timeout = "soon", times = 0, pause = "-1s" }
[[step]]
name = ""
check = { sql = "SELECT 1, 2", rows = [["1", "2"], ["1"], [1.5, 2]] }
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 14 problems
     × found an integer
      ╭─[./scenario.toml:4:45]
    3 │
    4 │ topology = { engine = "postgres", version = 15, nodes.pg = { extensions = "unit" } }
      ·                                             ─┬
      ·                                              ╰── expected text
    5 │ [probes]
      ╰────
     help: put it in quotes: "15"
     × found text
      ╭─[./scenario.toml:4:75]
    3 │
    4 │ topology = { engine = "postgres", version = 15, nodes.pg = { extensions = "unit" } }
      ·                                                                           ───┬──
      ·                                                                              ╰── expected a list, each item text
    5 │ [probes]
      ╰────
     × found an integer
      ╭─[./scenario.toml:6:9]
    5 │ [probes]
    6 │ every = 20
      ·         ─┬
      ·          ╰── expected a duration above zero, such as "20ms" or "1h30m"
    7 │ budget = "200"
      ╰────
     × found "200"
      ╭─[./scenario.toml:7:10]
    6 │ every = 20
    7 │ budget = "200"
      ·          ──┬──
      ·            ╰── expected a rate such as "200/s" or "50/m", from 1/h to 10000/s
    8 │ auto = "yes"
      ╰────
     × found text
      ╭─[./scenario.toml:8:8]
    7 │ budget = "200"
    8 │ auto = "yes"
      ·        ──┬──
      ·          ╰── expected `true` or `false`
    9 │ [limits]
      ╰────
     × found "-5m"
       ╭─[./scenario.toml:10:10]
     9 │ [limits]
    10 │ window = "-5m"
       ·          ──┬──
       ·            ╰── expected a duration above zero, such as "20ms" or "1h30m"
    11 │ p99 = "0s"
       ╰────
     × found "0s"
       ╭─[./scenario.toml:11:7]
    10 │ window = "-5m"
    11 │ p99 = "0s"
       ·       ──┬─
       ·         ╰── expected a duration above zero, such as "20ms" or "1h30m"
    12 │ downtime = 3
       ╰────
     × found an integer
       ╭─[./scenario.toml:12:12]
    11 │ p99 = "0s"
    12 │ downtime = 3
       ·            ┬
       ·            ╰── expected a duration such as "20ms", "1h30m" or "0s", or a table
    13 │ [[step]]
       ╰────
     × found "soon"
       ╭─[./scenario.toml:16:26]
    15 │ sql = "SELECT 1"
    16 │ retry = { lock_timeout = "soon", times = 0, pause = "-1s" }
       ·                          ───┬──
       ·                             ╰── expected a duration above zero, such as "20ms" or "1h30m"
    17 │ [[step]]
       ╰────
     × found 0
       ╭─[./scenario.toml:16:42]
    15 │ sql = "SELECT 1"
    16 │ retry = { lock_timeout = "soon", times = 0, pause = "-1s" }
       ·                                          ┬
       ·                                          ╰── expected a whole number from 1 on
    17 │ [[step]]
       ╰────
     × found "-1s"
       ╭─[./scenario.toml:16:53]
    15 │ sql = "SELECT 1"
    16 │ retry = { lock_timeout = "soon", times = 0, pause = "-1s" }
       ·                                                     ──┬──
       ·                                                       ╰── expected a duration such as "20ms", "1h30m" or "0s"
    17 │ [[step]]
       ╰────
     × found empty text
       ╭─[./scenario.toml:18:8]
    17 │ [[step]]
    18 │ name = ""
       ·        ─┬
       ·         ╰── expected text with something in it
    19 │ check = { sql = "SELECT 1, 2", rows = [["1", "2"], ["1"], [1.5, 2]] }
       ╰────
     × found a row of 1
       ╭─[./scenario.toml:19:52]
    18 │ name = ""
    19 │ check = { sql = "SELECT 1, 2", rows = [["1", "2"], ["1"], [1.5, 2]] }
       ·                                                    ──┬──
       ·                                                      ╰── expected as many columns as in the first row, 2
       ╰────
     × found a float
       ╭─[./scenario.toml:19:60]
    18 │ name = ""
    19 │ check = { sql = "SELECT 1, 2", rows = [["1", "2"], ["1"], [1.5, 2]] }
       ·                                                            ─┬─
       ·                                                             ╰── expected text, as the server writes the value
       ╰────
     help: put it in quotes: "1.5"
    "#);
}

#[test]
fn names_that_nobody_has() {
    let lines = r#"
topology = { engine = "postgers", version = "15" }
[[probes.custom]]
name = "p"
kind = "reed"
on = "primry"
sql = "SELECT '${node.primary.hots}'"
[[step]]
name = "s"
on = "replica"
when_failed = "retry"
sql = """
SELECT 1,
  '${node.standby.host}', '${node.primary.url'
"""
[[step]]
name = "t"
restart = "primari"
[expect]
outcome = "fails"
findings = ["default-lots", "everything"]
[gate]
fail_on = "warn"
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 13 problems
     × no engine is called "postgers"
      ╭─[./scenario.toml:4:23]
    3 │
    4 │ topology = { engine = "postgers", version = "15" }
      ·                       ──────────
    5 │ [[probes.custom]]
      ╰────
     help: did you mean `postgres`?
     × no kind of probe is called "reed"
      ╭─[./scenario.toml:7:8]
    6 │ name = "p"
    7 │ kind = "reed"
      ·        ──────
    8 │ on = "primry"
      ╰────
     help: did you mean `read`?
     × no node is called "primry"
      ╭─[./scenario.toml:8:6]
    7 │ kind = "reed"
    8 │ on = "primry"
      ·      ────────
    9 │ sql = "SELECT '${node.primary.hots}'"
      ╰────
     help: did you mean `primary`?
     × found `${node.primary.hots}`
       ╭─[./scenario.toml:9:16]
     8 │ on = "primry"
     9 │ sql = "SELECT '${node.primary.hots}'"
       ·                ──────────┬─────────
       ·                          ╰── expected `${node.NODE.host}` or `${node.NODE.port}` or `${node.NODE.url}`
    10 │ [[step]]
       ╰────
     × no node is called "replica"
       ╭─[./scenario.toml:12:6]
    11 │ name = "s"
    12 │ on = "replica"
       ·      ────┬────
       ·          ╰── expected `primary`
    13 │ when_failed = "retry"
       ╰────
     × no way to go on is called "retry"
       ╭─[./scenario.toml:13:15]
    12 │ on = "replica"
    13 │ when_failed = "retry"
       ·               ───┬───
       ·                  ╰── expected one of `stop`, `continue`, `undo`, `undo_all`
    14 │ sql = """
       ╰────
     × no node is called "standby"
       ╭─[./scenario.toml:16:4]
    15 │ SELECT 1,
    16 │   '${node.standby.host}', '${node.primary.url'
       ·    ──────────┬─────────
       ·              ╰── expected `primary`
    17 │ """
       ╰────
     × found `${node.primary.url`
       ╭─[./scenario.toml:16:28]
    15 │ SELECT 1,
    16 │   '${node.standby.host}', '${node.primary.url'
       ·                            ─────────┬────────
       ·                                     ╰── expected `${node.NODE.host}` or `${node.NODE.port}` or `${node.NODE.url}`
    17 │ """
       ╰────
     × no node is called "primari"
       ╭─[./scenario.toml:20:11]
    19 │ name = "t"
    20 │ restart = "primari"
       ·           ─────────
    21 │ [expect]
       ╰────
     help: did you mean `primary`?
     × no outcome is called "fails"
       ╭─[./scenario.toml:22:11]
    21 │ [expect]
    22 │ outcome = "fails"
       ·           ───┬───
       ·              ╰── expected one of `passed`, `failed`, `inconclusive`
    23 │ findings = ["default-lots", "everything"]
       ╰────
     × no finding is called "default-lots"
       ╭─[./scenario.toml:23:13]
    22 │ outcome = "fails"
    23 │ findings = ["default-lots", "everything"]
       ·             ──────────────
    24 │ [gate]
       ╰────
     help: did you mean `default-lost`?
     × no finding is called "everything"
       ╭─[./scenario.toml:23:29]
    22 │ outcome = "fails"
    23 │ findings = ["default-lots", "everything"]
       ·                             ──────┬─────
       ·                                   ╰── expected one of `step-failed`, `check-failed`, `budget-exceeded`, `downtime-exceeded`, `latency-exceeded`, `lock-wait-exceeded`, `write-probe-failed`, `read-probe-failed`, `connect-probe-failed`, `workload-failed`, `consumer-ended`, `replication-broken`, `lag-exceeded`, `schema-drift`, `rows-differ`, `shard-without-side`, `connection-to-disabled-node`, `default-lost`, `auto-increment-lost`, `not-null-lost`, `constraint-lost`, `index-lost`, `index-invalid`, `view-invalid`, `privilege-lost`, `table-rewritten`, `lock-without-timeout`, `data-changed-unexpectedly`, `not-probed`, `expectation-unmet`
    24 │ [gate]
       ╰────
     × no severity is called "warn"
       ╭─[./scenario.toml:25:11]
    24 │ [gate]
    25 │ fail_on = "warn"
       ·           ───┬──
       ·              ╰── expected one of `error`, `warning`, `info`
       ╰────
    "#);
}

#[test]
fn versions() {
    insta::assert_snapshot!(said_of("topology = { engine = \"postgres\", version = \"99\" }"), @r#"
     × ./scenario.toml: one problem
     × found "99"
      ╭─[./scenario.toml:3:45]
    2 │ snapshot.from = "empty"
    3 │ topology = { engine = "postgres", version = "99" }
      ·                                             ──┬─
      ·                                               ╰── expected a version of postgres that is known here: 13, 14, 15, 16, 17, 18
    4 │ [[step]]
      ╰────
    "#);
    insta::assert_snapshot!(said_of("topology = { engine = \"mariadb\", version = \"5.5\" }"), @r#"
     × ./scenario.toml: one problem
     × found "5.5"
      ╭─[./scenario.toml:3:44]
    2 │ snapshot.from = "empty"
    3 │ topology = { engine = "mariadb", version = "5.5" }
      ·                                            ──┬──
      ·                                              ╰── expected a version of mariadb that is known here: 10.5, 10.11, 11.8
    4 │ [[step]]
      ╰────
    "#);
}

#[test]
fn a_plan_without_steps() {
    let text = whole("").split("[[step]]").next().unwrap().to_owned();
    insta::assert_snapshot!(said(&text), @r#"
     × ./scenario.toml: one problem
     × `step` is missing in the scenario
      ╭─[./scenario.toml:1:1]
    1 │ name = "x"
      · ▲
      · ╰── expected a list, each item a table
    2 │ snapshot.from = "empty"
      ╰────
    "#);
    insta::assert_snapshot!(said(&format!("{text}step = []")), @r#"
     × ./scenario.toml: one problem
     × found a plan without steps
      ╭─[./scenario.toml:5:8]
    4 │
    5 │ step = []
      ·        ─┬
      ·         ╰── expected at least one `[[step]]`
      ╰────
    "#);
}

#[test]
fn actions() {
    let lines = r#"
[[step]]
name = "none"
[[step]]
name = "two"
sql = "SELECT 1"
analyze = true
[[step]]
name = "two, one of them not built"
promote = "primary"
sql = "SELECT 1"
[[step]]
name = "said no to"
analyze = false
[[step]]
name = "no program"
command = []
[[step]]
name = "wait for what"
wait = { deadline = "1m" }
[[step]]
name = "wait until when"
wait = { sql = "SELECT true" }
[[setup]]
name = "nothing"
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 9 problems
     × a step without an action
      ╭─[./scenario.toml:5:1]
    4 │
    5 │ [[step]]
      · ────┬───
      ·     ╰── expected one of `sql`, `file`, `command`, `analyze`, `restart`, `wait`, `check`, `compare`, `take_out`, `put_back`, `route`
    6 │ name = "none"
      ╰────
     × one step, one action; found `sql`, `analyze`
      ╭─[./scenario.toml:7:1]
    6 │ name = "none"
    7 │ [[step]]
      · ────────
    8 │ name = "two"
      ╰────
     help: make a step of each
     × one step, one action; found `sql`, `promote`
       ╭─[./scenario.toml:11:1]
    10 │ analyze = true
    11 │ [[step]]
       · ────────
    12 │ name = "two, one of them not built"
       ╰────
     help: make a step of each
     × `promote` in a step is not supported yet
       ╭─[./scenario.toml:13:1]
    12 │ name = "two, one of them not built"
    13 │ promote = "primary"
       · ───────
    14 │ sql = "SELECT 1"
       ╰────
     × found `false`
       ╭─[./scenario.toml:17:11]
    16 │ name = "said no to"
    17 │ analyze = false
       ·           ──┬──
       ·             ╰── expected `true`, or `{ tables = […], stages = true }`
    18 │ [[step]]
       ╰────
     × found an empty list
       ╭─[./scenario.toml:20:11]
    19 │ name = "no program"
    20 │ command = []
       ·           ─┬
       ·            ╰── expected a program and its arguments
    21 │ [[step]]
       ╰────
     × `sql` is missing in `wait`
       ╭─[./scenario.toml:23:8]
    22 │ name = "wait for what"
    23 │ wait = { deadline = "1m" }
       ·        ─────────┬─────────
       ·                 ╰── expected a query to wait for, or `for = "caught_up"`
    24 │ [[step]]
       ╰────
     × `deadline` is missing in `wait`
       ╭─[./scenario.toml:26:8]
    25 │ name = "wait until when"
    26 │ wait = { sql = "SELECT true" }
       ·        ───────────┬───────────
       ·                   ╰── expected a duration above zero, such as "20ms" or "1h30m"
    27 │ [[setup]]
       ╰────
     × a step of setup without an action
       ╭─[./scenario.toml:27:1]
    26 │ wait = { sql = "SELECT true" }
    27 │ [[setup]]
       · ────┬────
       ·     ╰── expected one of `sql`, `file`, `command`, `analyze`, `restart`, `wait`, `check`, `compare`, `take_out`, `put_back`, `route`
    28 │ name = "nothing"
       ╰────
    "#);
}

#[test]
fn steps_of_one_name() {
    let lines = r#"
[[step]]
name = "a"
sql = "SELECT 1"
undo = { steps = [{ name = "b", sql = "SELECT 1" }] }
[[step]]
name = "b"
sql = "SELECT 2"
[[step]]
name = "undo of b"
sql = "SELECT 2"
[[step]]
sql = "SELECT 3"
[[probes.custom]]
name = "p"
kind = "read"
sql = "SELECT 1"
[[probes.custom]]
name = "p"
kind = "read"
sql = "SELECT 1"
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 3 problems
     × two steps are called "b"; the first stands on line 8
       ╭─[./scenario.toml:10:8]
     9 │ [[step]]
    10 │ name = "b"
       ·        ───
    11 │ sql = "SELECT 2"
       ╰────
     help: reports and answers go by the name: give each its own
     × `name` is missing in a step
       ╭─[./scenario.toml:15:1]
    14 │ sql = "SELECT 2"
    15 │ [[step]]
       · ────┬───
       ·     ╰── expected text
    16 │ sql = "SELECT 3"
       ╰────
     × two probes are called "p"; the first stands on line 18
       ╭─[./scenario.toml:22:8]
    21 │ [[probes.custom]]
    22 │ name = "p"
       ·        ───
    23 │ kind = "read"
       ╰────
     help: reports and answers go by the name: give each its own
    "#);
}

#[test]
fn keys_where_they_mean_nothing() {
    let lines = r#"
[[setup]]
sql = "SELECT 1"
budget = "1s"
[[step]]
name = "undo of undo"
sql = "SELECT 1"
limits = { window = "1s", downtime = {} }
undo = { sql = "SELECT 2", undo = { sql = "SELECT 1" }, when_failed = "continue" }
[[step]]
name = "retry of a program"
command = "true"
retry = { lock_timeout = "1s", times = 3 }
when_failed = "undo"
[[step]]
name = "keys beside steps"
sql = "SELECT 1"
undo = { as = "app", steps = [] }
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 9 problems
     × `budget` has no meaning in setup
      ╭─[./scenario.toml:7:1]
    6 │ sql = "SELECT 1"
    7 │ budget = "1s"
      · ──────
    8 │ [[step]]
      ╰────
     help: setup is neither timed nor judged: make it a step of the plan
     × `window` is a limit of the whole plan
       ╭─[./scenario.toml:11:21]
    10 │ sql = "SELECT 1"
    11 │ limits = { window = "1s", downtime = {} }
       ·                     ────
    12 │ undo = { sql = "SELECT 2", undo = { sql = "SELECT 1" }, when_failed = "continue" }
       ╰────
     help: give the step a `budget`
     × found an empty table
       ╭─[./scenario.toml:11:38]
    10 │ sql = "SELECT 1"
    11 │ limits = { window = "1s", downtime = {} }
       ·                                      ─┬
       ·                                       ╰── expected `read`, `write` or both
    12 │ undo = { sql = "SELECT 2", undo = { sql = "SELECT 1" }, when_failed = "continue" }
       ╰────
     × `undo` has no meaning in an undo
       ╭─[./scenario.toml:12:28]
    11 │ limits = { window = "1s", downtime = {} }
    12 │ undo = { sql = "SELECT 2", undo = { sql = "SELECT 1" }, when_failed = "continue" }
       ·                            ────
    13 │ [[step]]
       ╰────
     help: leave it out
     × `when_failed` has no meaning in an undo
       ╭─[./scenario.toml:12:57]
    11 │ limits = { window = "1s", downtime = {} }
    12 │ undo = { sql = "SELECT 2", undo = { sql = "SELECT 1" }, when_failed = "continue" }
       ·                                                         ───────────
    13 │ [[step]]
       ╰────
     help: leave it out
     × `retry` goes with `sql` or `file`
       ╭─[./scenario.toml:16:9]
    15 │ command = "true"
    16 │ retry = { lock_timeout = "1s", times = 3 }
       ·         ──────────────────────────────────
    17 │ when_failed = "undo"
       ╰────
     help: let the program itself retry
     × the step has no undo
       ╭─[./scenario.toml:17:15]
    16 │ retry = { lock_timeout = "1s", times = 3 }
    17 │ when_failed = "undo"
       ·               ──────
    18 │ [[step]]
       ╰────
     help: give it `undo = { … }`, or another `when_failed`
     × `as` beside an undo's `steps`
       ╭─[./scenario.toml:21:10]
    20 │ sql = "SELECT 1"
    21 │ undo = { as = "app", steps = [] }
       ·          ──
       ╰────
     help: say it in the steps themselves
     × found an empty list
       ╭─[./scenario.toml:21:30]
    20 │ sql = "SELECT 1"
    21 │ undo = { as = "app", steps = [] }
       ·                              ─┬
       ·                               ╰── expected at least one step
       ╰────
    "#);
}

#[test]
fn what_contradicts_itself() {
    let lines = r#"
[probes]
timeout = "50ms"
[expect]
unchanged = ["a", "b"]
changed = [{ table = "a" }]
retired = ["b"]
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 3 problems
     × a probe gives up before it is late enough to be down
      ╭─[./scenario.toml:6:11]
    5 │ [probes]
    6 │ timeout = "50ms"
      ·           ──────
    7 │ [expect]
      ╰────
     help: make `timeout` longer than `down_after`
     × table "a" is expected both changed and unchanged
       ╭─[./scenario.toml:9:22]
     8 │ unchanged = ["a", "b"]
     9 │ changed = [{ table = "a" }]
       ·                      ───
    10 │ retired = ["b"]
       ╰────
     help: leave it out of one of them
     × table "b" is expected both retired and unchanged
       ╭─[./scenario.toml:10:12]
     9 │ changed = [{ table = "a" }]
    10 │ retired = ["b"]
       ·            ───
    11 │
       ╰────
     help: leave it out of one of them
    "#);
}

#[test]
fn lines_are_counted_in_files_from_elsewhere() {
    insta::assert_snapshot!(said("\u{feff}name = \"é\"\r\nnmae = \"x\"\r\nextends = 3\r\n"), @r#"
     × ./scenario.toml: 2 problems
     × unknown key `nmae` in the scenario
      ╭─[./scenario.toml:2:1]
    1 │ ﻿name = "é"
    2 │ nmae = "x"
      · ────
    3 │ extends = 3
      ╰────
     help: did you mean `name`?
     × found an integer
      ╭─[./scenario.toml:3:11]
    2 │ nmae = "x"
    3 │ extends = 3
      ·           ┬
      ·           ╰── expected text
      ╰────
     help: put it in quotes: "3"
    "#);
}

#[test]
fn problems_are_plain_data_too() {
    let folder = folder(&[("scenario.toml", whole("[limits]\nwindw = \"1s\"").as_bytes())]);
    let errors = load(folder.path()).unwrap_err();
    let data = serde_json::to_string_pretty(errors.problems()).unwrap();
    insta::assert_snapshot!(data.replace(folder.path().to_str().unwrap(), "."), @r#"
    [
      {
        "code": "unknown-key",
        "file": "./scenario.toml",
        "line": 5,
        "column": 1,
        "message": "unknown key `windw` in limits",
        "expected": null,
        "hint": "did you mean `window`?"
      }
    ]
    "#);
}

/// Nothing that the grammar has may be called unknown, whether it is built or not.
#[test]
fn what_is_not_built_is_refused_by_name() {
    #[track_caller]
    fn check(name: &str, expected: &[&str]) {
        let errors = load(&fixture(name)).unwrap_err();
        let mut refused = Vec::new();
        for problem in errors.problems() {
            match &problem.mistake {
                Mistake::NotSupportedYet { what } => refused.push(what.as_str()),
                other => panic!("{name}, line {}: {other}", problem.line),
            }
        }
        assert_eq!(refused, expected, "{name}");
    }
    check(
        "pairs.toml",
        &[
            "`cpus` in a node",
            "`memory` in a node",
            "`snapshot` in a node",
            "`rules` beside a dump",
            "`max_age` in [snapshot]",
            r#"`on = "all"` in a custom probe"#,
            "`confirm` in a step",
            "`parallel` in a step",
        ],
    );
    check(
        "upgrade.toml",
        &[
            "`confirm` in a step",
            "`migrations` in a step",
            "`refuse_connections` in a step",
            "`readmit` in a step",
            "`fast_downtime` in a step",
            "`read_only` in a step",
            "`read_only` in a step",
            "`upgrade` in a step",
            "`start` in a step",
            "`promote` in a step",
            "`rebuild` in a step",
            "`stop` in a step",
            "`image` in `command`",
            "`confirm` in a step",
        ],
    );
}

/// Each line left out, cut short, or with another value: whatever comes of it, something is said or a scenario comes out.
#[test]
fn no_mutilation_is_fatal() {
    let text = std::fs::read_to_string(fixture("whole.toml")).unwrap();
    let base = std::fs::read(fixture("base/house.toml")).unwrap();
    let folder = folder(&[("base/house.toml", &base), ("parcels.sql", b""), ("roles.sql", b"")]);
    let lines: Vec<_> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let key = line.split_once('=').map_or(*line, |(key, _)| key);
        let values = ["3", "\"x\"", "[]", "{ steps = 1 }"];
        let others = values.map(|value| format!("{key}= {value}"));
        for other in others.iter().map(String::as_str).chain(["", &line[..line.len() / 2], key]) {
            let mutilated = [&lines[..index], &[other], &lines[index + 1..]].concat().join("\n");
            std::fs::write(folder.path().join("scenario.toml"), mutilated).unwrap();
            if let Err(errors) = load(folder.path()) {
                assert!(!errors.problems().is_empty() && !rendered(&errors).is_empty());
            }
        }
    }
}
