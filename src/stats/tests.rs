use super::*;

fn intervals(pairs: &[(f64, f64)]) -> Vec<Interval> {
    pairs.iter().map(|&(start, end)| Interval::new(start, end)).collect()
}

#[test]
fn intervals_are_united() {
    fn check(input: &[(f64, f64)], expected: &[(f64, f64)]) {
        assert_eq!(union(intervals(input)), intervals(expected), "{input:?}");
    }
    check(&[], &[]);
    check(&[(1.0, 2.0)], &[(1.0, 2.0)]);
    check(&[(5.0, 6.0), (1.0, 2.0)], &[(1.0, 2.0), (5.0, 6.0)]);
    check(&[(1.0, 3.0), (2.0, 4.0)], &[(1.0, 4.0)]);
    check(&[(1.0, 9.0), (2.0, 3.0)], &[(1.0, 9.0)]);
    check(&[(1.0, 2.0), (2.0, 3.0)], &[(1.0, 3.0)]);
    assert_eq!(covered_ms(intervals(&[(0.0, 10.0), (5.0, 12.0), (20.0, 21.0)])), 13.0);
}

#[test]
fn what_lies_outside_is_left() {
    fn check(interval: (f64, f64), spans: &[(f64, f64)], expected: &[(f64, f64)]) {
        let interval = Interval::new(interval.0, interval.1);
        assert_eq!(outside(interval, &intervals(spans)), intervals(expected), "{interval:?} without {spans:?}");
    }
    check((0.0, 10.0), &[], &[(0.0, 10.0)]);
    check((0.0, 10.0), &[(2.0, 4.0)], &[(0.0, 2.0), (4.0, 10.0)]);
    check((0.0, 10.0), &[(-5.0, 4.0)], &[(4.0, 10.0)]);
    check((0.0, 10.0), &[(4.0, 15.0)], &[(0.0, 4.0)]);
    check((0.0, 10.0), &[(-1.0, 11.0)], &[]);
    check((0.0, 10.0), &[(20.0, 30.0)], &[(0.0, 10.0)]);
    check((0.0, 10.0), &[(6.0, 7.0), (1.0, 2.0)], &[(0.0, 1.0), (2.0, 6.0), (7.0, 10.0)]);
}

#[test]
fn overlaps() {
    fn check(a: (f64, f64), b: (f64, f64), expected: bool) {
        let (a, b) = (Interval::new(a.0, a.1), Interval::new(b.0, b.1));
        assert_eq!(a.overlaps(b), expected, "{a:?} {b:?}");
        assert_eq!(b.overlaps(a), expected, "{b:?} {a:?}");
    }
    check((0.0, 2.0), (1.0, 3.0), true);
    check((0.0, 2.0), (2.0, 3.0), false);
    check((0.0, 2.0), (1.0, 1.0), true);
    check((0.0, 2.0), (3.0, 3.0), false);
    check((0.0, 9.0), (3.0, 4.0), true);
}

#[test]
fn histograms_survive_the_log_and_add_up() {
    let mut first = Latencies::default();
    (1..=50).for_each(|ms| first.record_us(ms * 1000));
    let mut second = Latencies::default();
    (51..=100).for_each(|ms| second.record_us(ms * 1000));
    let mut merged = Latencies::decode(&first.encode()).expect("its own form");
    merged.add(&Latencies::decode(&second.encode()).expect("its own form"));
    assert_eq!(merged.count(), 100);
    let near = |value: f64, expected: f64| (value - expected).abs() <= expected / 500.0;
    assert!(near(merged.percentile_ms(50.0), 50.0), "{}", merged.percentile_ms(50.0));
    assert!(near(merged.percentile_ms(99.0), 99.0), "{}", merged.percentile_ms(99.0));
    assert!(near(merged.max_ms(), 100.0), "{}", merged.max_ms());
}

#[test]
fn an_empty_histogram_reads_zero() {
    let empty = Latencies::default();
    assert_eq!((empty.count(), empty.percentile_ms(99.0), empty.max_ms()), (0, 0.0, 0.0));
}

#[test]
fn what_is_no_histogram_is_an_error() {
    assert!(matches!(Latencies::decode("no base64!"), Err(StatsError::NotBase64(_))));
    assert!(matches!(Latencies::decode("bm90IGEgaGlzdG9ncmFt"), Err(StatsError::NotHistogram(_))));
}
