use super::*;

fn baseline(key: &str, bytes: u64, unused_s: u64, [in_use, usable]: [bool; 2]) -> Listed {
    let manifest = Manifest {
        boot: String::new(),
        made: jiff::Timestamp::UNIX_EPOCH,
        lab: LabKind::Native,
        bytes,
        what: String::new(),
        volumes: BTreeSet::new(),
        content: serde_json::Value::Null,
    };
    let used = SystemTime::now() - Duration::from_secs(unused_s);
    Listed { key: key.to_owned(), manifest: Some(manifest), used, in_use, usable }
}

fn check(which: Prune, expected: &[&str]) {
    let listed = vec![
        baseline("new", 5, 1, [false, true]),
        baseline("live", 7, 10, [true, true]),
        baseline("damaged", 1, 20, [false, false]),
        baseline("old", 3, 100, [false, true]),
        baseline("kept", 2, 1000, [true, false]),
    ];
    let gone: Vec<String> = chosen(listed, which).into_iter().map(|baseline| baseline.key).collect();
    assert_eq!(gone, expected, "{which:?}");
}

#[test]
fn what_is_in_use_stays_and_the_longest_unused_goes_first() {
    check(Prune::All, &["new", "damaged", "old"]);
    check(Prune::Unusable, &["damaged"]);
    check(Prune::ToBytes(100), &["damaged"]);
    check(Prune::ToBytes(16), &["damaged"]);
    check(Prune::ToBytes(14), &["damaged", "old"]);
    check(Prune::ToBytes(4), &["new", "damaged", "old"]);
    check(Prune::UnusedFor(Duration::from_secs(50)), &["damaged", "old"]);
    check(Prune::UnusedFor(Duration::from_secs(5000)), &["damaged"]);
}
