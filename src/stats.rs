//! Pure maths over what was measured: histograms merged and read, intervals united and cut.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{DeserializeError, Deserializer, Serializer, V2DeflateSerializer};

#[cfg(test)]
mod tests;

#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    #[error("the histogram is not base64")]
    NotBase64(#[from] base64::DecodeError),
    #[error("the histogram is not one in HDR's V2 form")]
    NotHistogram(#[from] DeserializeError),
}

/// Latencies in microseconds, with three significant digits.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { histogram: Histogram::new(3).expect("three digits are within 0 to 5") }
    }
}

impl Latencies {
    /// Reads an HDR histogram in its V2 form, deflated or not, in base64.
    ///
    /// # Errors
    /// [`StatsError`] if the text is neither.
    pub fn decode(text: &str) -> Result<Latencies, StatsError> {
        let bytes = STANDARD.decode(text)?;
        let mut histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice())?;
        // A histogram that was read has the range that it was written with, and would refuse a wider one's values.
        histogram.auto(true);
        Ok(Latencies { histogram })
    }

    /// The V2 form, deflated, in base64.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.histogram, &mut bytes).expect("a vector takes every byte");
        STANDARD.encode(bytes)
    }

    pub fn record_us(&mut self, microseconds: u64) {
        self.histogram.record(microseconds).expect("a histogram that grows takes any value");
    }

    pub fn add(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).expect("a histogram that grows takes any other");
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency in milliseconds that `percent` of all operations did not exceed; 0 when there were none.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        // The bucket's upper end can lie above the largest value seen.
        self.histogram.value_at_percentile(percent).min(self.histogram.max()) as f64 / 1e3
    }

    /// In milliseconds; 0 when there were none.
    pub fn max_ms(&self) -> f64 {
        self.histogram.max() as f64 / 1e3
    }
}

/// A stretch of time in milliseconds; its end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub start_ms: f64,
    pub end_ms: f64,
}

impl Interval {
    /// An end before the start makes an empty interval at the start.
    pub fn new(start_ms: f64, end_ms: f64) -> Interval {
        Interval { start_ms, end_ms: end_ms.max(start_ms) }
    }

    pub fn length_ms(self) -> f64 {
        self.end_ms - self.start_ms
    }

    /// Whether they share a moment; an empty interval shares the one it stands at.
    pub fn overlaps(self, other: Interval) -> bool {
        if self.length_ms() == 0.0 || other.length_ms() == 0.0 {
            return self.start_ms <= other.end_ms && other.start_ms <= self.end_ms;
        }
        self.start_ms < other.end_ms && other.start_ms < self.end_ms
    }

    /// What lies within `span`, or nothing.
    pub fn within(self, span: Interval) -> Option<Interval> {
        let cut = Interval { start_ms: self.start_ms.max(span.start_ms), end_ms: self.end_ms.min(span.end_ms) };
        (cut.end_ms > cut.start_ms).then_some(cut)
    }
}

/// The intervals as few as possible, in order, none touching another.
pub fn union(intervals: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
    let mut sorted: Vec<Interval> = intervals.into_iter().collect();
    sorted.sort_by(|a, b| a.start_ms.total_cmp(&b.start_ms));
    let mut united: Vec<Interval> = Vec::new();
    for interval in sorted {
        match united.last_mut() {
            Some(last) if interval.start_ms <= last.end_ms => last.end_ms = last.end_ms.max(interval.end_ms),
            _ => united.push(interval),
        }
    }
    united
}

/// Length of the union in milliseconds.
pub fn covered_ms(intervals: impl IntoIterator<Item = Interval>) -> f64 {
    // A sum of nothing is minus zero, which a reader of the JSON would wonder at.
    union(intervals).into_iter().map(Interval::length_ms).fold(0.0, |sum, length| sum + length)
}

/// What is left of `interval` outside all of `spans`.
pub fn outside(interval: Interval, spans: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::new();
    let mut from = interval.start_ms;
    for span in union(spans.iter().copied()) {
        if span.start_ms > from {
            left.extend(Interval::new(from, span.start_ms).within(interval));
        }
        from = from.max(span.end_ms);
    }
    left.extend(Interval::new(from, interval.end_ms).within(interval));
    left
}
