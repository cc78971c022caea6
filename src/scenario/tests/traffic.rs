//! Workloads and consumers: what they say, and what is wrong with them.

use super::*;

fn with(lines: &str) -> TempDir {
    folder(&[("scenario.toml", whole(lines).as_bytes()), ("buy.sql", b"SELECT 1;")])
}

const TOPOLOGY: &str = "[topology]\nengine = \"postgres\"\nversion = \"15\"\n";

#[test]
fn what_is_left_out_has_its_usual_value() {
    let lines = r#"
[[workload]]
name = "buy"
file = "buy.sql"
rate = "90/m"
[[workload]]
name = "look"
file = "buy.sql"
rate = "50/s"
on = "writer"
during = "during"
"#;
    let folder = with(lines);
    let scenario = load(folder.path()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    let told: Vec<_> =
        scenario.workloads.iter().map(|each| (each.name.as_str(), each.rate_per_s, each.during)).collect();
    assert_eq!(told, [("buy", 1.5, During::All), ("look", 50.0, During::During)]);
    assert_eq!(scenario.workloads[0].file, folder.path().join("buy.sql"));
}

#[test]
fn consumers_take_commands_as_steps_do() {
    let lines = format!(
        "{TOPOLOGY}[topology.consumers.search]\nof = \"primary\"\ncommand = [\"follow\", \"--feed\"]\nas = \"reader\"\n\
         [topology.consumers.mail]\nof = \"primary\"\ncommand = {{ run = \"mail\", env = {{ KEY = \"env:KEY\" }} }}\n"
    );
    let folder = with(&lines);
    let scenario = load(folder.path()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    let [search, mail] = &scenario.topology.consumers[..] else { panic!("two consumers") };
    assert_eq!(
        (search.name.as_str(), search.of.as_str(), search.run_as.as_deref()),
        ("search", "primary", Some("reader"))
    );
    assert_eq!(search.command.run, Invocation::Argv(vec!["follow".into(), "--feed".into()]));
    assert_eq!((mail.name.as_str(), &mail.command.run), ("mail", &Invocation::Shell("mail".into())));
    assert_eq!(mail.command.env["KEY"], "env:KEY");
    // As the log keeps them.
    let text = serde_json::to_string(&scenario).unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
}

#[test]
fn mistakes_are_told_where_they_stand() {
    let check = |lines: &str, expected: &[&str]| {
        let errors = load(with(lines).path()).expect_err(lines);
        let told: Vec<String> =
            errors.problems().iter().map(|problem| format!("{}: {}", problem.line, problem.message)).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told:?}: {expected}");
        }
    };
    check("[[workload]]\nname = \"a\"\nfile = \"none.sql\"\nrate = \"1/s\"\n", &["none.sql"]);
    check("[[workload]]\nname = \"a\"\nfile = \"buy.sql\"\n", &["rate"]);
    for rate in ["0/s", "-1/s", "1e-20/s", "0.5/h", "1e10/s", "10001/s", "NaN/s", "inf/s"] {
        let lines = format!("[[workload]]\nname = \"a\"\nfile = \"buy.sql\"\nrate = \"{rate}\"\n");
        check(&lines, &[&format!("found \"{rate}\"")]);
    }
    check("[[workload]]\nname = \"a\"\nfile = \"buy.sql\"\nrate = \"1/s\"\nduring = \"never\"\n", &["never"]);
    check("[[workload]]\nname = \"a\"\nfile = \"buy.sql\"\nrate = \"1/s\"\non = \"b\"\n", &["b"]);
    check(
        "[[workload]]\nname = \"a\"\nfile = \"buy.sql\"\nrate = \"1/s\"\non = \"all\"\n",
        &["`on = \"all\"` in a workload"],
    );
    let twice = "[[workload]]\nname = \"a\"\nfile = \"buy.sql\"\nrate = \"1/s\"\n";
    check(&format!("{twice}{twice}"), &["\"a\""]);
    let consumer = |lines: &str| format!("{TOPOLOGY}[topology.consumers.search]\n{lines}");
    check(&consumer("of = \"b\"\ncommand = \"x\"\n"), &["b"]);
    check(&consumer("of = \"primary\"\n"), &["command"]);
    let follows = |of: &str| format!("[topology.consumers.c]\nof = \"{of}\"\ncommand = \"x\"\nas = \"reader\"\n");
    let nodes = "[topology.nodes.a]\n[topology.nodes.w]\nsubscribes = { to = \"a\", publication = \"feed\" }\n\
                 [topology.nodes.r]\nreplicates = \"a\"\n";
    check(&format!("{TOPOLOGY}{nodes}{}", follows("w")), &["`as` on a subscriber, as on \"w\""]);
    check(&format!("{TOPOLOGY}{nodes}{}", follows("r")), &["`as` on a replica, as on \"r\""]);
    let pair = "[topology]\nengine = \"mariadb\"\nversion = \"11.8\"\n\
                [topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n";
    let folder = with(&format!("{pair}{}", follows("b")));
    assert!(load(folder.path()).is_ok(), "a peer has its own logins");
    check(&consumer("of = \"primary\"\ncommand = []\n"), &["an empty list"]);
    check(&consumer("of = \"primary\"\ncommand = \"x ${node.b.url}\"\n"), &["b"]);
    check(
        &format!("{TOPOLOGY}[topology.consumers.\"../x\"]\nof = \"primary\"\ncommand = \"x\"\n"),
        &["found \"../x\""],
    );
}
