use super::*;

fn found(pages: u64, stored_bytes: u64) -> facts::Found {
    let table = Table {
        schema: "public".into(),
        name: "t".into(),
        part_of: None,
        columns: Vec::new(),
        estimated_rows: None,
        stored_bytes,
        privileges: Vec::new(),
        condition: None,
    };
    facts::Found { table, pages, has_pages: true }
}

fn check(found: &facts::Found, part_bytes: u64, expected: &[&str]) {
    let parts = parts(found, part_bytes);
    let conditions: Vec<&str> = parts.iter().map(|part| part.condition.as_deref().unwrap_or("all")).collect();
    assert_eq!(conditions, expected);
}

#[test]
fn pages_are_parted_without_gap_and_the_last_part_has_no_end() {
    check(&found(0, 0), 100, &["all"]);
    check(&found(10, 199), 100, &["all"]);
    check(&found(10, 250), 100, &["ctid >= '(0,0)' AND ctid < '(5,0)'", "ctid >= '(5,0)'"]);
    // More bytes than pages, for most of them lie elsewhere.
    check(&found(2, 1000), 100, &["ctid >= '(0,0)' AND ctid < '(1,0)'", "ctid >= '(1,0)'"]);
    check(&found(1, 1000), 100, &["all"]);
    check(
        &found(7, 300),
        100,
        &[
            "ctid >= '(0,0)' AND ctid < '(2,0)'",
            "ctid >= '(2,0)' AND ctid < '(4,0)'",
            "ctid >= '(4,0)' AND ctid < '(6,0)'",
            "ctid >= '(6,0)'",
        ],
    );
    check(&facts::Found { has_pages: false, ..found(10, 1000) }, 100, &["all"]);
}
