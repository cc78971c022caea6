//! A dress rehearsal for database releases: bring up a database like production's, replay the release plan on it while probes
//! measure what users would feel, and say whether the release passed.
//!
//! `ARCHITECTURE.md` says which module does what and which may import which.

pub mod cli;
pub mod commands;
pub mod diff;
pub mod engine;
pub mod event;
pub mod finding;
pub mod lab;
pub mod lint;
pub mod outcome;
pub mod rehearsal;
pub mod report;
pub mod scenario;
pub mod settings;
pub mod snapshot;
pub mod stats;
pub mod topology;
