//! Groups of steps, where users are sent, and what is wrong with either.

use super::*;

const PAIR: &str = "[topology]\nengine = \"mariadb\"\nversion = \"11.8\"\n[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n";

fn loaded(lines: &str) -> Result<Scenario, ScenarioErrors> {
    load(folder(&[("scenario.toml", whole(&format!("{PAIR}{lines}")).as_bytes())]).path())
}

#[track_caller]
fn wrong(lines: &str, expected: &[&str]) {
    let problems = loaded(lines).err().map(|errors| errors.problems().to_vec()).unwrap_or_default();
    let said: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(said, expected, "{lines}");
}

/// Each step: name, nodes, what takes it back.
fn outline(steps: &[Step]) -> Vec<String> {
    let line = |step: &Step| {
        let undo: Vec<String> =
            step.undo.iter().map(|undo| format!(" <- {} on {}", undo.name, undo.on.join(","))).collect();
        let routed = if step.routed { " (wherever that is)" } else { "" };
        format!("{} on {}{routed}{}", step.name, step.on.join(","), undo.concat())
    };
    steps.iter().map(line).collect()
}

#[test]
fn a_group_is_its_steps_one_by_one() {
    let scenario = loaded(
        r#"
[[step]]
name = "half"
each = ["side:a", "side:b"]
steps = [
  { name = "out", take_out = true, undo = { put_back = true } },
  { name = "change", sql = "SELECT 1", undo = { steps = [{ name = "back", sql = "SELECT 2" }] }, limits = { downtime = "2s" }, when_failed = "undo_all" },
  { name = "users", on = "writer", sql = "SELECT 1" },
  { name = "again", steps = [{ name = "inner", check = { sql = "SELECT 1", rows = [["1"]] } }] },
  { name = "in", put_back = true },
]
[[step]]
name = "then"
sql = "SELECT 1"
"#,
    )
    .unwrap();
    insta::assert_snapshot!(outline(&scenario.steps).join("\n"), @r"
    half / side:a / out on a <- undo of half / side:a / out on a
    half / side:a / change on a <- half / side:a / back on a
    half / side:a / users on b (wherever that is)
    half / side:a / again / inner on a
    half / side:a / in on a
    half / side:b / out on b <- undo of half / side:b / out on b
    half / side:b / change on b <- half / side:b / back on b
    half / side:b / users on a (wherever that is)
    half / side:b / again / inner on b
    half / side:b / in on b
    then on a (wherever that is)
    ");
    assert_eq!(scenario.steps[1].when_failed, WhenFailed::UndoAll);
    assert_eq!(scenario.steps[6].limits.as_ref().unwrap().downtime_write, Some(std::time::Duration::from_secs(2)));
    assert!(scenario.routes());
}

#[test]
fn mistakes_of_groups() {
    let step = "{ name = \"s\", sql = \"SELECT 1\" }";
    wrong(
        &format!("[[step]]\nname = \"g\"\nbudget = \"1s\"\nwhen_failed = \"undo\"\nsteps = [{step}]"),
        &["`budget` beside a group's `steps`", "`when_failed` beside a group's `steps`"],
    );
    wrong("[[step]]\nname = \"g\"\nsteps = []", &["found an empty list"]);
    wrong(&format!("[[step]]\nname = \"g\"\neach = []\nsteps = [{step}]"), &["found an empty list"]);
    wrong(
        &format!("[[step]]\nname = \"g\"\neach = [\"a\", \"a\", \"c\"]\nsteps = [{step}]"),
        &["\"a\" is named twice", "no node is called \"c\""],
    );
    wrong("[[step]]\nname = \"g\"\neach = [\"a\"]\nsql = \"SELECT 1\"", &["`each` without `steps`"]);
    wrong(
        "[[step]]\nname = \"g\"\nsql = \"SELECT 1\"\nsteps = []",
        &["`sql` beside a group's `steps`", "found an empty list"],
    );
    wrong(&format!("[[setup]]\nsteps = [{step}]"), &["a step of setup without an action", "setup cannot be a group"]);
    // Said once, however often the steps are repeated.
    wrong(
        "[[step]]\nname = \"g\"\neach = [\"a\", \"b\"]\nsteps = [{ name = \"s\", wait = { deadline = \"1s\" } }]",
        &["`sql` is missing in `wait`"],
    );
    wrong(
        &format!("[[step]]\nname = \"g\"\nsteps = [{step}, {step}]"),
        &["two steps are called \"g / s\"; the first stands on line 12"],
    );
}

#[test]
fn the_plan_alone_shows_who_is_left() {
    #[track_caller]
    fn check(steps: &[&str], expected: &[&str]) {
        let lines: Vec<_> =
            steps.iter().enumerate().map(|(nth, step)| format!("[[step]]\nname = \"{nth}\"\n{step}\n")).collect();
        wrong(&lines.concat(), expected);
    }
    let both = "with b out as well, both sides of the shard would be out: a is already";
    check(&["take_out = \"a\"", "take_out = \"b\""], &[both]);
    check(&["take_out = \"a\"", "put_back = \"a\"", "take_out = \"b\""], &[]);
    check(&["take_out = [\"a\", \"b\"]"], &["both sides of one shard would be out: a and b"]);
    check(&["take_out = \"side:a\"", "on = \"b\"\ntake_out = true"], &[both]);
    check(&["take_out = false"], &["found `false`"]);
    check(&["on = \"a\"\ntake_out = \"b\""], &["`on` beside the nodes that the action names"]);
    check(&["take_out = \"c\""], &["no node is called \"c\""]);
    check(&["route = {}"], &["found an empty table"]);
    check(&["on = \"a\"\nroute = { writer = \"b\" }"], &["`on` beside `route`"]);
    check(&["take_out = \"b\"", "route = { writer = \"b\" }"], &["b is out"]);
    check(&["route = { writer = \"b\" }\nundo = { route = { writer = \"a\" } }"], &[]);
    check(
        &["take_out = \"a\"\nundo = { take_out = \"b\" }"],
        &["undone, with b out as well, both sides of the shard would be out: a is already"],
    );
    let lone = "[[step]]\nname = \"s\"\ntake_out = true\n[[setup]]\nput_back = true\n";
    let text = whole(&format!("[topology]\nengine = \"postgres\"\nversion = \"15\"\n{lone}"));
    let errors = load(folder(&[("scenario.toml", text.as_bytes())]).path()).unwrap_err();
    let said: Vec<_> = errors.problems().iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "nobody could stand in for primary, which has no peer to take the writes",
            "`put_back` has no meaning in setup",
        ]
    );
}

#[test]
fn steps_run_where_users_are_by_then() {
    let steps = r#"
[[step]]
name = "other"
route = { writer = "b", readers = ["a"] }
[[step]]
name = "here"
sql = "SELECT 1"
[[step]]
name = "back"
put_back = ["a", "b"]
[[step]]
name = "pinned"
on = "a"
sql = "SELECT 1"
"#;
    let scenario = loaded(steps).unwrap();
    insta::assert_snapshot!(outline(&scenario.steps).join("\n"), @r"
    other on b
    here on b (wherever that is)
    back on a
    pinned on a
    ");
    let route = Action::Route { writers: vec!["b".into()], readers: vec!["a".into()] };
    assert_eq!(scenario.steps[0].action, route);
}

#[test]
fn whom_a_probe_asks_for() {
    #[track_caller]
    fn check(on: &str, expected: Result<Address, &str>) {
        let probe = format!("[[probes.custom]]\nname = \"p\"\nkind = \"read\"\nsql = \"SELECT 1\"\n{on}");
        match loaded(&probe) {
            Ok(scenario) => assert_eq!(Ok(scenario.probes.custom[0].on.clone()), expected, "{on}"),
            Err(errors) => assert_eq!(Err(errors.problems()[0].message.as_str()), expected, "{on}"),
        }
    }
    check("", Ok(Address::Writer));
    check("on = \"writer\"", Ok(Address::Writer));
    check("on = \"readers\"", Ok(Address::Readers));
    check("on = \"side:b\"", Ok(Address::Side("b".into())));
    check("on = \"b\"", Ok(Address::Node("b".into())));
    check("on = \"c\"", Err("no node is called \"c\""));
    check("on = \"side:c\"", Err("no side is called \"c\""));
    check("on = [\"a\", \"b\"]", Err("found a list"));
    check("on = \"all\"", Err("`on = \"all\"` in a custom probe is not supported yet"));
}
