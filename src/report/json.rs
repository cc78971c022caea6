//! `report.json`: the outcome, for programs.

use serde_json::{Number, Value};

use crate::outcome::Outcome;

/// The outcome as JSON, indented, times to the microsecond.
///
/// # Errors
/// If a figure is no JSON number, which no log can hold.
pub fn text(outcome: &Outcome) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(outcome)?;
    round(&mut value);
    let mut text = serde_json::to_string_pretty(&value)?;
    text.push('\n');
    Ok(text)
}

/// Clocks give more digits than they mean.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let rounded = number.as_f64().map(|figure| (figure * 1e3).round() / 1e3).and_then(Number::from_f64);
            if let Some(rounded) = rounded {
                *number = rounded;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(values) => values.values_mut().for_each(round),
        _ => {}
    }
}
