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
