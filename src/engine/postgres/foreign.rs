//! Tables whose rows lie on another server. Whatever reads them connects there, and there is most often production.
//!
//! A partitioned table reaches it through foreign partitions, an ordinary one through foreign tables that inherit from it. Manual:
//! "Foreign Data", "Inheritance".

/// A common table expression, `reaches_out(oid)`, for behind `WITH RECURSIVE`: the tables with a foreign one below them, however far.
pub(super) const REACHES_OUT: &str = "
reaches_out(oid) AS (
    SELECT h.inhparent FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid WHERE c.relkind = 'f'
    UNION SELECT h.inhparent FROM reaches_out below JOIN pg_catalog.pg_inherits h ON h.inhrelid = below.oid)";
