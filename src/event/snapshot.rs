//! What is told of production snapshots: how far a capture is, what a folder holds, what is wrong with one.

use serde::{Deserialize, Serialize};

/// How far a capture is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaptureProgress {
    /// What a killed capture had left in the folder was taken away.
    pub started_over: bool,
    /// The table whose turn is next.
    pub table: Option<String>,
    /// Of the database; 0 as long as nothing is known of it.
    pub tables: u64,
    /// Read so far.
    pub rows: u64,
    /// Of these rows, as text.
    pub bytes: u64,
    /// On the server's disk: what is done, of all.
    pub done_bytes: u64,
    pub total_bytes: u64,
    pub elapsed_ms: f64,
}

/// What a snapshot folder holds, as far as people ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotSummary {
    pub format: u32,
    pub folder: String,
    /// "postgres".
    pub engine: String,
    pub server: String,
    pub database: String,
    pub captured: jiff::Timestamp,
    pub is_standby: bool,
    pub is_masked: bool,
    /// "users: email (email), name (first_name)".
    #[serde(default)]
    pub masked: Vec<String>,
    pub is_sampled: bool,
    /// "orders: 1%; 57 values, pairs, extremes and shapes, 43 of them drawn, 9 rows added for others".
    #[serde(default)]
    pub sampled: Vec<String>,
    /// What no row of the sample has: "orders.note: 3 shapes".
    #[serde(default)]
    pub missed: Vec<String>,
    /// "users (id): 100 keys that rows refer to and no row has".
    #[serde(default)]
    pub orphans: Vec<String>,
    pub encoding: String,
    pub collation: String,
    /// In the server's log.
    pub position: Option<String>,
    pub extensions: Vec<String>,
    pub roles: Vec<String>,
    pub sequences: u64,
    /// What the source has and the folder has not, and why.
    pub left_out: Vec<String>,
    pub tables: Vec<SnapshotTable>,
    pub rows: u64,
    /// Of the rows, as text.
    pub bytes: u64,
    /// Of the files that they are in.
    pub stored_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTable {
    pub table: String,
    pub columns: u64,
    pub rows: u64,
    pub production_rows: u64,
    pub bytes: u64,
    pub stored_bytes: u64,
    pub chunks: u64,
}

/// A file of a snapshot that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    pub table: Option<String>,
    /// Below the snapshot's folder; none = the folder as a whole.
    pub file: Option<String>,
    pub why: String,
}
