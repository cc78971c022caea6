//! Statistics for the planner. Manual: "ANALYZE", and "vacuumdb" for the stages.

use std::fmt::Write as _;

use super::names::quoted;

/// The script that gathers them for these tables, or for all when there are none. In stages: with one bucket, with ten, then in full,
/// so that plans are bearable early, as `vacuumdb --analyze-in-stages` does.
pub fn script(tables: &[String], stages: bool) -> String {
    let targets: Vec<String> = tables.iter().map(|table| quoted(table)).collect();
    let analyze = format!("ANALYZE {};\n", targets.join(", ")).replace("ANALYZE ;", "ANALYZE;");
    if !stages {
        return analyze;
    }
    let mut script = String::new();
    for setting in
        ["SET default_statistics_target = 1", "SET default_statistics_target = 10", "RESET default_statistics_target"]
    {
        let delay = if setting.ends_with("= 1") { "SET vacuum_cost_delay = 0;\n" } else { "" };
        let _ = write!(script, "{setting};\n{delay}{analyze}");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_the_tables_and_the_stages() {
        assert_eq!(script(&[], false), "ANALYZE;\n");
        assert_eq!(script(&["a".into(), "b.c".into()], false), "ANALYZE \"public\".\"a\", \"b\".\"c\";\n");
        assert_eq!(
            script(&[], true),
            "SET default_statistics_target = 1;\nSET vacuum_cost_delay = 0;\nANALYZE;\n\
             SET default_statistics_target = 10;\nANALYZE;\nRESET default_statistics_target;\nANALYZE;\n"
        );
    }
}
