use crate::outcome::words;

#[test]
fn durations() {
    fn check(ms: f64, expected: &str) {
        assert_eq!(words::duration(ms), expected, "{ms}");
    }
    check(0.0, "0 s");
    check(0.42, "0.4 ms");
    check(3.0, "3 ms");
    check(420.4, "420 ms");
    check(999.6, "1 s");
    check(4214.0, "4.21 s");
    check(1500.0, "1.5 s");
    check(59_999.0, "1 min");
    check(192_000.0, "3 min 12 s");
    check(8_820_000.0, "2 h 27 min");
    check(7_200_000.0, "2 h");
}

#[test]
fn figures() {
    assert_eq!(words::number(0), "0");
    assert_eq!(words::number(999), "999");
    assert_eq!(words::number(50_000_000), "50,000,000");
    assert_eq!(words::count(1, "index"), "1 index");
    assert_eq!(words::count(2, "index"), "2 indexes");
    assert_eq!(words::count(1200, "row"), "1,200 rows");
    assert_eq!(words::bytes(999), "999 B");
    assert_eq!(words::bytes(12_340_000), "12.3 MB");
    assert_eq!(words::bytes(999_600_000), "1 GB");
    assert_eq!(words::percent(400_000, 50_000_000), "0.8 %");
    assert_eq!(words::percent(1, 50_000_000), "under 0.1 %");
}

#[test]
fn names() {
    assert_eq!(words::list::<&str>(&[], 3), "");
    assert_eq!(words::list(&["a"], 3), "a");
    assert_eq!(words::list(&["a", "b"], 3), "a and b");
    assert_eq!(words::list(&["a", "b", "c"], 3), "a, b and c");
    assert_eq!(words::list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
    assert_eq!(words::one_line("ALTER TABLE\n  orders;\n", 80), "ALTER TABLE orders");
    assert_eq!(words::one_line("abcdef", 4), "abc…");
    assert_eq!(words::bare("public.orders"), "orders");
    assert_eq!(words::bare("sales.orders"), "sales.orders");
    assert_eq!(words::sentence("the run"), "The run");
}

#[test]
fn dates() {
    assert_eq!(words::date("2026-11-22T01:02:03.456Z"), "2026-11-22 01:02 UTC");
    assert_eq!(words::date("unknown"), "unknown");
}
