//! The figures that a rehearsal's own log holds.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use serde_json::Value;

/// A finished run's events, and when its command was given.
pub struct Run {
    events: Vec<Value>,
    spawned: SystemTime,
}

/// What watching took of this machine.
pub struct Cost {
    pub cpu_s: f64,
    pub operations: u64,
}

impl Run {
    /// # Errors
    /// The folder holds no log.
    pub fn read(out: &Path, spawned: SystemTime) -> anyhow::Result<Run> {
        let path = out.join("events.jsonl");
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let events = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(Run { events, spawned })
    }

    /// Seconds from the command to the plan's first step: the log's clock starts at the time of day that its first event gives.
    pub fn to_first_step_s(&self) -> anyhow::Result<f64> {
        let started: jiff::Timestamp = text(self.find("run-started", |_| true)?, "started")?.parse()?;
        let spawned = jiff::Timestamp::try_from(self.spawned)?;
        let before_s = started.duration_since(spawned).as_secs_f64();
        let step = self.find("step-started", of_plan)?;
        Ok(before_s + number(step, "at_ms")? / 1e3)
    }

    /// Seconds until the snapshot was restored and had its statistics.
    pub fn restored_s(&self) -> anyhow::Result<f64> {
        Ok(number(self.find("restored", |_| true)?, "elapsed_ms")? / 1e3)
    }

    /// Seconds of the plan's only step.
    pub fn step_s(&self) -> anyhow::Result<f64> {
        Ok(number(self.find("step-ended", of_plan)?, "elapsed_ms")? / 1e3)
    }

    /// # Errors
    /// The run was not watched.
    pub fn observing(&self) -> anyhow::Result<Cost> {
        let cost = self.find("observing-cost", |_| true)?;
        let operations = cost["probe_operations"].as_u64().context("no probe_operations in the log")?;
        Ok(Cost { cpu_s: number(cost, "harness_cpu_s")?, operations })
    }

    fn find(&self, event: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<&Value> {
        let found = self.events.iter().find(|record| record["event"] == event && wanted(record));
        found.with_context(|| format!("no {event} in the log"))
    }
}

fn of_plan(record: &Value) -> bool {
    record["role"] == "plan"
}

fn number(record: &Value, key: &str) -> anyhow::Result<f64> {
    record[key].as_f64().with_context(|| format!("no {key} in the log"))
}

fn text<'a>(record: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    record[key].as_str().with_context(|| format!("no {key} in the log"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Run;

    const LOG: &str = r#"{"seq":1,"at_ms":0.5,"event":"run-started","started":"1970-01-01T00:00:10.25Z"}
{"seq":2,"at_ms":500,"event":"step-started","role":"setup"}
{"seq":3,"at_ms":1500.0,"event":"step-started","role":"plan"}
{"seq":4,"at_ms":3500.0,"event":"step-ended","role":"plan","elapsed_ms":2000.0}
{"seq":5,"at_ms":3600.0,"event":"observing-cost","harness_cpu_s":0.25,"probe_operations":70}
"#;

    #[test]
    fn figures_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.jsonl"), LOG).unwrap();
        let run = Run::read(folder.path(), UNIX_EPOCH + Duration::from_secs(10)).unwrap();
        assert_eq!(run.to_first_step_s().unwrap(), 1.75);
        assert_eq!(run.step_s().unwrap(), 2.0);
        let cost = run.observing().unwrap();
        assert_eq!((cost.cpu_s, cost.operations), (0.25, 70));
    }

    #[test]
    fn a_log_cut_short_says_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.jsonl"), LOG.lines().next().unwrap()).unwrap();
        let run = Run::read(folder.path(), UNIX_EPOCH).unwrap();
        assert_eq!(run.to_first_step_s().unwrap_err().to_string(), "no step-started in the log");
    }
}
