//! Repeated measurements of one thing, in seconds, and their median.

use std::fmt;

#[derive(Debug, Default)]
pub struct Figures {
    values: Vec<f64>,
}

impl Figures {
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    /// NaN where nothing was measured.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            length if length.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    /// Of numbers without a unit.
    pub fn plain(&self) -> String {
        self.text("")
    }

    fn text(&self, unit: &str) -> String {
        let sorted = self.sorted();
        match (sorted.first(), sorted.last()) {
            (Some(least), Some(most)) => {
                format!("{:.3}{unit} (median of {}; {least:.3} to {most:.3})", self.median(), sorted.len())
            }
            _ => "not measured".to_owned(),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(" s"))
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[track_caller]
    fn check(values: &[f64], expected: &str) {
        assert_eq!(Figures { values: values.to_vec() }.to_string(), expected);
    }

    #[test]
    fn medians() {
        check(&[], "not measured");
        check(&[3.0, 1.0, 2.0], "2.000 s (median of 3; 1.000 to 3.000)");
        check(&[4.0, 1.0, 2.0, 3.0], "2.500 s (median of 4; 1.000 to 4.000)");
    }
}
