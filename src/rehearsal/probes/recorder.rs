//! Latencies of one probe, by phase and step, in memory that does not grow with time.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

use crate::event::{Phase, ProbeSample, ProbeSummary};

/// Significant decimal digits that histograms keep.
const DIGITS: u8 = 3;

/// When an operation began: the phase, and within the plan the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct When {
    pub phase: Phase,
    pub step: Option<usize>,
}

#[derive(Debug)]
struct Counts {
    count: u64,
    errors: u64,
    missed: u64,
    /// From the intended start, in microseconds.
    latency: Histogram<u32>,
}

impl Counts {
    fn new() -> Counts {
        let latency = Histogram::new(DIGITS).expect("three digits are allowed");
        Counts { count: 0, errors: 0, missed: 0, latency }
    }
}

#[derive(Debug, Default)]
pub struct Recorder {
    kept: BTreeMap<When, Counts>,
    /// Since the last tick.
    count: u64,
    errors: u64,
    longest: Duration,
}

/// One operation's figures.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub latency: Duration,
    pub failed: bool,
    /// Starts that it let go by, and their distance.
    pub missed: u64,
    pub every: Duration,
}

impl Recorder {
    pub fn record(&mut self, when: When, figures: Figures) {
        let Figures { latency, failed, missed, every } = figures;
        self.count += 1;
        self.errors += u64::from(failed);
        self.longest = self.longest.max(latency);
        let counts = self.kept.entry(when).or_insert_with(Counts::new);
        counts.count += 1;
        counts.errors += u64::from(failed);
        counts.missed += missed;
        // Those who would have started meanwhile waited too, each one interval less.
        for behind in 0..=u32::try_from(missed).unwrap_or(u32::MAX) {
            let Some(waited) = latency.checked_sub(every.saturating_mul(behind)) else { break };
            counts.latency.record(micros(waited)).expect("it grows as it must");
        }
    }

    /// Keeps starts that were let go by, without an operation to tell of.
    pub fn missed(&mut self, when: When, starts: u64) {
        self.kept.entry(when).or_insert_with(Counts::new).missed += starts;
    }

    /// What came in since the last call; none if nothing did.
    pub fn sample(&mut self, probe: u32) -> Option<ProbeSample> {
        if self.count == 0 {
            return None;
        }
        let sample =
            ProbeSample { probe, count: self.count, errors: self.errors, max_ms: self.longest.as_secs_f64() * 1e3 };
        (self.count, self.errors, self.longest) = (0, 0, Duration::ZERO);
        Some(sample)
    }

    /// Takes the summaries of all times but `keep`.
    pub fn summaries(&mut self, probe: u32, keep: Option<When>) -> Vec<ProbeSummary> {
        let kept = keep.and_then(|when| self.kept.remove_entry(&when));
        let over = std::mem::replace(&mut self.kept, kept.into_iter().collect());
        over.into_iter().map(|(when, counts)| summary(probe, when, &counts)).collect()
    }
}

fn summary(probe: u32, when: When, counts: &Counts) -> ProbeSummary {
    let mut packed = Vec::new();
    V2DeflateSerializer::new().serialize(&counts.latency, &mut packed).expect("memory takes all that is written");
    ProbeSummary {
        probe,
        phase: when.phase,
        step: when.step,
        count: counts.count,
        errors: counts.errors,
        missed: counts.missed,
        histogram: base64::engine::general_purpose::STANDARD.encode(packed),
    }
}

/// For a histogram, whose lowest is one.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_starts_wait_one_interval_less_each() {
        let when = When { phase: Phase::Plan, step: Some(1) };
        let mut recorder = Recorder::default();
        let every = Duration::from_millis(20);
        recorder.record(when, Figures { latency: Duration::from_millis(100), failed: false, missed: 4, every });
        let latency = &recorder.kept[&when].latency;
        assert_eq!(latency.len(), 5);
        assert!(latency.max().abs_diff(100_000) <= 100);
        assert!(latency.min().abs_diff(20_000) <= 20);
        assert_eq!(recorder.sample(7).map(|sample| sample.count), Some(1));
        assert_eq!(recorder.sample(7), None);
        assert!(recorder.summaries(7, Some(when)).is_empty());
        let [summary] = &recorder.summaries(7, None)[..] else { panic!("one summary") };
        assert_eq!((summary.count, summary.missed, summary.step), (1, 4, Some(1)));
    }
}
