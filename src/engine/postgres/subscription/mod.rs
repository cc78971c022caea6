//! Logical replication of some tables (chapter "Logical Replication" of the manual): what is published, what a subscriber needs to hold it,
//! and whether it has it.

pub mod publication;
pub mod shape;
pub mod synchronised;

/// Where a row is put to prove that rows arrive; gone before anybody looks.
pub const PROOF: &str = "rehearsal_proof";
