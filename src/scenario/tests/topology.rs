//! What is wrong with the servers that the file asks for.

use super::*;

#[test]
fn nodes() {
    let lines = r#"
[topology]
engine = "postgres"
version = "15"
[topology.nodes.writer]
settings = { port = 5432, "work mem" = "1MB" }
extensions = ["unit@", "hstore", "hstore@1"]
"#;
    insta::assert_snapshot!(said_of(lines), @r#"
     × ./scenario.toml: 5 problems
     × found "writer"
      ╭─[./scenario.toml:7:17]
    6 │ version = "15"
    7 │ [topology.nodes.writer]
      ·                 ───┬──
      ·                    ╰── expected a node's name: a letter, then letters, digits, `_` or `-`, and none of the words that `on` takes
    8 │ settings = { port = 5432, "work mem" = "1MB" }
      ╰────
     × `port` is the lab's to set
      ╭─[./scenario.toml:8:14]
    7 │ [topology.nodes.writer]
    8 │ settings = { port = 5432, "work mem" = "1MB" }
      ·              ────
    9 │ extensions = ["unit@", "hstore", "hstore@1"]
      ╰────
     help: leave it out: the lab gives each server its own place
     × found `work mem`
      ╭─[./scenario.toml:8:27]
    7 │ [topology.nodes.writer]
    8 │ settings = { port = 5432, "work mem" = "1MB" }
      ·                           ─────┬────
      ·                                ╰── expected the name of a setting
    9 │ extensions = ["unit@", "hstore", "hstore@1"]
      ╰────
     × found "unit@"
       ╭─[./scenario.toml:9:15]
     8 │ settings = { port = 5432, "work mem" = "1MB" }
     9 │ extensions = ["unit@", "hstore", "hstore@1"]
       ·               ───┬───
       ·                  ╰── expected an extension, as "unit", or "unit@7" for a version
    10 │
       ╰────
     × extension "hstore" is asked for twice
       ╭─[./scenario.toml:9:34]
     8 │ settings = { port = 5432, "work mem" = "1MB" }
     9 │ extensions = ["unit@", "hstore", "hstore@1"]
       ·                                  ──────────
    10 │
       ╰────
    "#);
}

#[test]
fn what_is_to_be_installed() {
    fn check(line: &str, expected: &[&str]) {
        let text = whole(&format!(
            "[topology]\nengine = \"mariadb\"\nversion = \"11.8\"\n[topology.nodes.a]\npackages = {line}"
        ));
        let loaded = load(folder(&[("scenario.toml", text.as_bytes())]).path());
        let problems = loaded.err().map(|errors| errors.problems().to_vec()).unwrap_or_default();
        let said: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(said, expected, "{text}");
    }
    check("[\"mariadb-plugin-rocksdb\", \"libjemalloc2=5.3.0-1\"]", &[]);
    check("[\"x1\", \"x1=2\"]", &["package \"x1\" is asked for twice"]);
    check("[\"a; reboot\"]", &["found \"a; reboot\""]);
    check("[\"a\\nRUN reboot\"]", &["found \"a\nRUN reboot\""]);
}

#[test]
fn who_replicates_whom() {
    fn check(lines: &str, expected: &[&str]) {
        let text = whole(&format!("[topology]\nengine = \"postgres\"\nversion = \"15\"\n{lines}"));
        let loaded = load(folder(&[("scenario.toml", text.as_bytes())]).path());
        let problems = loaded.err().map(|errors| errors.problems().to_vec()).unwrap_or_default();
        let said: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.line, problem.message)).collect();
        assert_eq!(said, expected, "{text}");
    }
    let family = "[topology.nodes.far]\nreplicates = \"near\"\n[topology.nodes.near]\nreplicates = \"first\"\n[topology.nodes.first]\n";
    check(family, &[]);
    let with = |more: &str| format!("{family}{more}");
    check(&with("[topology.nodes.second]"), &["11: a second node that replicates no other is not supported yet"]);
    check(&with("[topology.nodes.lost]\nreplicates = \"nobody\""), &["12: no node is called \"nobody\""]);
    check(
        &with("[topology.nodes.old]\nreplicates = \"first\"\nversion = \"13\""),
        &["13: a physical replica of version 13 cannot read the log of version 15"],
    );
    check(&with("[topology.nodes.own]\nreplicates = \"own\""), &["12: node \"own\" replicates itself"]);
    check(
        "[topology.nodes.first]\n[topology.nodes.a]\nreplicates = \"b\"\n[topology.nodes.b]\nreplicates = \"a\"",
        &["8: node \"a\" replicates itself, by way of others", "10: node \"b\" replicates itself, by way of others"],
    );
    check(
        &with(
            "[limits]\nlag = \"1s\"\n[[step]]\nname = \"a\"\non = \"far\"\ncommand = \"true\"\n[[step]]\nname = \"b\"\non = \"far\"\nas = \"app\"\nsql = \"SELECT 1\"",
        ),
        &[
            "13: `command` on a replica, as on \"far\" is not supported yet",
            "20: `as` on a replica, as on \"far\" is not supported yet",
        ],
    );
    check(
        "[limits]\nlag = \"1s\"\n[[step]]\nname = \"a\"\non = \"readers\"\nwait = { for = \"caught_up\", deadline = \"1s\" }",
        &["7: no node replicates another", "10: no node replicates another", "11: no node replicates another"],
    );
    check(
        "[[step]]\nname = \"a\"\nwait = { for = \"caught_up\", sql = \"SELECT true\", deadline = \"1s\" }",
        &["8: `for` beside `sql`"],
    );
}

#[track_caller]
fn said_of_nodes(engine: &str, version: &str, lines: &str) -> Vec<String> {
    let text = whole(&format!("[topology]\nengine = \"{engine}\"\nversion = \"{version}\"\n{lines}"));
    let loaded = load(folder(&[("scenario.toml", text.as_bytes())]).path());
    let problems = loaded.err().map(|errors| errors.problems().to_vec()).unwrap_or_default();
    problems.iter().map(|problem| format!("{}: {}", problem.line, problem.message)).collect()
}

const PAIR: &str = "[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n";

#[test]
fn who_writes_to_whom() {
    fn check(lines: &str, expected: &[&str]) {
        assert_eq!(said_of_nodes("mariadb", "11.8", lines), expected, "{lines}");
    }
    check(PAIR, &[]);
    let with = |more: &str| format!("{PAIR}{more}");
    check(&with("[topology.nodes.c]\nreplicates = \"b\"\n[topology.nodes.d]\nreplicates = \"c\""), &[]);
    check(&with("[topology.nodes.c]"), &["10: a second node that replicates no other is not supported yet"]);
    check(
        &with("[topology.nodes.c]\npeers = [\"d\"]\n[topology.nodes.d]\npeers = [\"c\"]"),
        &["10: a second pair is not supported yet"],
    );
    check(
        "[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\nreplicates = \"a\"",
        &["7: node \"a\" names \"b\" as its peer, and is not named in return"],
    );
    check(
        &PAIR.replace("[\"a\"]", "[\"a\"]\nreplicates = \"a\""),
        &["9: node \"b\" has a peer and replicates another as well"],
    );
    check("[topology.nodes.a]\npeers = [\"a\"]", &["7: node \"a\" is its own peer"]);
    check("[topology.nodes.a]\npeers = [\"c\"]", &["7: no node is called \"c\""]);
    check("[topology.nodes.a]\npeers = []", &["7: found an empty list"]);
    check(
        &PAIR.replace("[\"b\"]", "[\"b\", \"c\"]"),
        &[
            "7: a group of more than two peers is not supported yet",
            // The other names it, and is named first.
        ],
    );
    check(
        &PAIR.replace("[\"a\"]", "[\"a\"]\nversion = \"10.11\""),
        &["7: nodes \"a\" and \"b\" are a pair of different versions"],
    );
}

#[test]
fn a_pair_of_postgres() {
    assert_eq!(said_of_nodes("postgres", "16", PAIR), [""; 0]);
    assert_eq!(said_of_nodes("postgres", "15", PAIR), ["7: a pair of Postgres needs version 16 or a newer one"]);
    let wal = PAIR.replace("[\"a\"]", "[\"a\"]\nsettings = { wal_level = \"replica\" }");
    assert_eq!(said_of_nodes("postgres", "17", &wal), ["10: a pair needs `wal_level = \"logical\"`"]);
    let replica = |of: &str| format!("{PAIR}[topology.nodes.c]\nreplicates = \"{of}\"\n");
    assert_eq!(said_of_nodes("postgres", "17", &replica("a")), [""; 0]);
    assert_eq!(
        said_of_nodes("postgres", "17", &replica("b")),
        ["11: a replica of the second of a pair, as of \"b\", is not supported yet"]
    );
}

const SUBSCRIBER: &str = "[topology.nodes.a]\n[topology.nodes.w]\nsubscribes = { to = \"a\", publication = \"feed\", tables = [\"public.*\"] }\n";

#[test]
fn who_subscribes_to_whom() {
    fn check(version: &str, lines: &str, expected: &[&str]) {
        assert_eq!(said_of_nodes("postgres", version, lines), expected, "{lines}");
    }
    check("13", SUBSCRIBER, &[]);
    check("13", &format!("{SUBSCRIBER}version = \"17\""), &[]);
    check("17", &format!("{SUBSCRIBER}version = \"13\""), &[]);
    check("15", &format!("{SUBSCRIBER}[topology.nodes.s]\nreplicates = \"a\""), &[]);
    check("15", &SUBSCRIBER.replace(", tables = [\"public.*\"]", ""), &[]);
    let to = |to: &str, more: &str| format!("{}{more}", SUBSCRIBER.replace("to = \"a\"", &format!("to = \"{to}\"")));
    check("15", &to("x", ""), &["8: no node is called \"x\""]);
    check("15", &to("w", ""), &["8: node \"w\" subscribes to itself"]);
    let standby = "[topology.nodes.s]\nreplicates = \"a\"";
    check("15", &to("s", standby), &["8: node \"s\" is a standby, and publishes from version 16 on alone"]);
    check("16", &to("s", standby), &["8: a subscriber of a standby, as of \"s\", is not supported yet"]);
    let second = "[topology.nodes.v]\nsubscribes = { to = \"a\", publication = \"feed\" }";
    check("15", &format!("{SUBSCRIBER}{second}"), &[]);
    check("15", &to("v", second), &["8: a subscriber of a subscriber, as of \"v\", is not supported yet"]);
    check(
        "15",
        &format!("{SUBSCRIBER}[topology.nodes.s]\nreplicates = \"w\""),
        &["10: a replica of a subscriber, as of \"w\", is not supported yet"],
    );
    check(
        "15",
        &format!("{SUBSCRIBER}replicates = \"a\""),
        &["8: node \"w\" subscribes and replicates another as well"],
    );
    let pair = format!("{PAIR}[topology.nodes.w]\nsubscribes = {{ to = \"b\", publication = \"feed\" }}");
    check("17", &pair, &["11: a subscriber of one of a pair, as of \"b\", is not supported yet"]);
    check(
        "15",
        &SUBSCRIBER.replace("nodes.a]", "nodes.a]\nsettings = { wal_level = \"replica\" }"),
        &["7: node \"a\", to which \"w\" subscribes, needs `wal_level = \"logical\"`"],
    );
    let tables = |tables: &str| SUBSCRIBER.replace("[\"public.*\"]", tables);
    check("15", &tables("[\"public.orders\", \"sales.*\"]"), &[]);
    check("15", &tables("[]"), &["8: found an empty list"]);
    for wrong in ["orders", "public.", ".orders", "*.*", "public.orders_*"] {
        check("15", &tables(&format!("[\"{wrong}\"]")), &[&format!("8: found \"{wrong}\"")]);
    }
    assert_eq!(said_of_nodes("mariadb", "11.8", SUBSCRIBER), ["8: mariadb has no subscriptions"]);
}

#[test]
fn what_runs_on_a_subscriber() {
    fn check(step: &str, expected: &[&str]) {
        let lines = format!("{SUBSCRIBER}[limits]\nlag = \"1s\"\n[[step]]\nname = \"s\"\n{step}\n");
        assert_eq!(said_of_nodes("postgres", "15", &lines), expected, "{step}");
    }
    check("on = \"w\"\nsql = \"SELECT 1\"", &[]);
    check("on = \"w\"\nwait = { for = \"caught_up\", deadline = \"1s\" }", &[]);
    check("compare = { nodes = [\"a\", \"w\"] }", &[]);
    check(
        "on = \"readers\"\nsql = \"SELECT 1\"",
        &["13: no node holds all that the writer does, so there are no readers"],
    );
    check("on = \"w\"\ncommand = \"true\"", &["11: `command` on a subscriber, as on \"w\" is not supported yet"]);
    check(
        "sql = \"SELECT 1\"\n[[setup]]\nwait = { for = \"caught_up\", deadline = \"1s\" }",
        &["14: `wait` in setup where a node subscribes"],
    );
    let text = whole(&format!(
        "[topology]\nengine = \"postgres\"\nversion = \"15\"\n{SUBSCRIBER}[[step]]\nname = \"s\"\non = \"all\"\nsql = \"SELECT 1\"\n"
    ));
    let scenario = load(folder(&[("scenario.toml", text.as_bytes())]).path()).unwrap();
    assert_eq!((scenario.steps[0].on.clone(), &*scenario.writer().name), (vec!["a".to_owned(), "w".to_owned()], "a"));
}

#[test]
fn where_steps_run() {
    #[track_caller]
    fn check(engine: &str, more: &str, step: &str, on: &[&str], at_once: usize) {
        let lines = format!("[topology]\nengine = \"{engine}\"\nversion = \"17\"\n{PAIR}{more}");
        let text = format!(
            "{}\n[[step]]\nname = \"one\"\n{step}\n",
            whole(&format!("{lines}\n[[step]]\nname = \"x\"\nsql = \"SELECT 1\""))
        );
        let scenario = load(folder(&[("scenario.toml", text.as_bytes())]).path()).unwrap();
        assert_eq!(scenario.steps[1].on, on);
        assert_eq!(scenario.steps[1].at_once, at_once);
        assert_eq!((&*scenario.writer().name, scenario.writer().replicates.as_ref()), ("a", None));
    }
    let c = "[topology.nodes.c]\nreplicates = \"a\"\n";
    check("postgres", "", "sql = \"SELECT 1\"", &["a"], 1);
    check("postgres", "", "on = \"writer\"\nsql = \"SELECT 1\"", &["a"], 1);
    check("postgres", c, "on = \"all\"\nsql = \"SELECT 1\"", &["a", "b", "c"], 1);
    check("postgres", c, "on = \"all\"\nat_once = \"all\"\nsql = \"SELECT 1\"", &["a", "b", "c"], 3);
    check("postgres", c, "on = \"readers\"\nat_once = 2\nsql = \"SELECT 1\"", &["b", "c"], 2);
    check("postgres", c, "on = [\"c\", \"writer\"]\nsql = \"SELECT 1\"", &["c", "a"], 1);
    check("postgres", c, "on = \"all\"\nrestart = true", &["a", "b", "c"], 1);
    check("postgres", c, "restart = \"c\"", &["c"], 1);
    check("postgres", c, "compare = { nodes = [\"b\", \"a\"] }", &["b"], 1);
}

#[test]
fn shards_have_every_node_each() {
    let shards = |count: &str, step: &str| {
        let text = whole(&format!(
            "[topology]\nengine = \"mariadb\"\nversion = \"11.8\"\nshards = {count}\n{PAIR}\
             [topology.nodes.c]\nreplicates = \"b\"\n[[step]]\nname = \"x\"\nsql = \"SELECT 1\"\n{step}"
        ));
        load(folder(&[("scenario.toml", text.as_bytes())]).path())
    };
    let scenario = shards("2", "").unwrap();
    let topology = &scenario.topology;
    let names: Vec<&str> = topology.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a.1", "b.1", "c.1", "a.2", "b.2", "c.2"]);
    assert_eq!(topology.writers().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["a.1", "a.2"]);
    let second = topology.node("c.2").unwrap();
    assert_eq!(
        (second.shard, second.replicates.as_deref(), &*topology.writer_of(second).name),
        (Some(2), Some("b.2"), "a.2")
    );
    let check = |on: &str, expected: &[&str]| {
        let scenario = shards("2", &format!("[[step]]\nname = \"one\"\n{on}\nsql = \"SELECT 1\"\n")).unwrap();
        assert_eq!(scenario.steps.last().unwrap().on, expected, "{on}");
    };
    check("", &["a.1", "a.2"]);
    check("on = \"writer\"", &["a.1", "a.2"]);
    check("on = \"readers\"", &["b.1", "c.1", "b.2", "c.2"]);
    check("on = \"all\"", &["a.1", "b.1", "c.1", "a.2", "b.2", "c.2"]);
    check("on = \"side:b\"", &["b.1", "b.2"]);
    check("on = \"shard:2\"", &["a.2", "b.2", "c.2"]);
    check("on = [\"b.2\", \"side:a\"]", &["b.2", "a.1", "a.2"]);
    let wrong = |count: &str, on: &str, expected: &str| {
        let errors = shards(count, &format!("[[step]]\nname = \"one\"\n{on}\nsql = \"SELECT 1\"\n")).unwrap_err();
        assert_eq!(errors.problems().iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(), [expected]);
    };
    wrong("2", "on = \"shard:3\"", "found shard \"3\"");
    wrong("2", "on = \"a\"", "no node is called \"a\"");
    wrong("2", "on = \"a.3\"", "no node is called \"a.3\"");
    wrong("65", "", "found 65");
    assert!(shards("0", "").is_err());
}

#[test]
fn setup_goes_into_both_where_ddl_does_not_go_over() {
    let on = |engine: &str, version: &str| {
        let nodes = format!("[topology]\nengine = \"{engine}\"\nversion = \"{version}\"\n{PAIR}");
        let text = whole(&format!("{nodes}[[setup]]\nsql = \"SELECT 1\"\n"));
        let folder = folder(&[("scenario.toml", text.as_bytes())]);
        load(folder.path()).unwrap().setup[0].on.clone()
    };
    assert_eq!(on("postgres", "17"), ["a", "b"]);
    assert_eq!(on("mariadb", "11.8"), ["a"]);
}

#[test]
fn mistakes_of_steps_on_several_nodes() {
    fn check(engine: &str, step: &str, expected: &[&str]) {
        let version = if engine == "mysql" { "9.7" } else { "17" };
        let lines = format!("{PAIR}[[step]]\nname = \"s\"\n{step}\n");
        assert_eq!(said_of_nodes(engine, version, &lines), expected, "{step}");
    }
    let of_postgres = |step: &str, expected: &[&str]| check("postgres", step, expected);
    of_postgres("on = [\"a\", \"writer\"]\nsql = \"SELECT 1\"", &["12: node \"a\" is named twice"]);
    of_postgres("on = []\nsql = \"SELECT 1\"", &["12: found an empty list"]);
    of_postgres("on = [\"side:c\"]\nsql = \"SELECT 1\"", &["12: no side is called \"c\""]);
    of_postgres("on = \"shard:1\"\nsql = \"SELECT 1\"", &["12: the topology has no shards"]);
    of_postgres("on = \"all\"\ncommand = \"true\"", &[]);
    of_postgres("on = \"all\"\ncompare = { nodes = [\"a\", \"b\"] }", &["12: `on` beside `compare`"]);
    of_postgres("compare = { nodes = [\"a\"] }", &["12: found less than two nodes"]);
    of_postgres("compare = { nodes = [\"a\", \"a\"] }", &["12: node \"a\" is named twice"]);
    of_postgres("compare = { nodes = [\"a\", \"x\"] }", &["12: no node is called \"x\""]);
    of_postgres(
        "sql = \"SELECT 1\"\nreplicated = false",
        &["13: a session of Postgres cannot keep what it writes out of the log"],
    );
    check("mysql", "sql = \"SELECT 1\"\nreplicated = false", &[]);
    of_postgres(
        "sql = \"SELECT 1\"\n[[setup]]\ncompare = { nodes = [\"a\", \"b\"] }",
        &["13: `compare` in setup of a pair of Postgres"],
    );
    check("mysql", "wait = \"1s\"\nreplicated = false", &["13: `replicated` goes with `sql` or `file`"]);
}
