use super::*;

#[test]
fn versions_are_read_from_what_the_server_says_of_itself() {
    let check = |text: &str, expected: Option<&str>| assert_eq!(parse_version(text).as_deref(), expected, "{text:?}");
    check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some("15.18"));
    check("postgres (PostgreSQL) 18beta1\n", Some("18beta1"));
    check("psql (PostgreSQL) 15.18\n", None);
    check("", None);
}

#[test]
fn trouble_in_a_log() {
    let check = |lines: &[&str], expected| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(trouble(&lines), expected, "{lines:?}");
    };
    let killed = "2026-01-01 [7] LOG:  server process (PID 12) was terminated by signal 9: Killed";
    let was_killed = Trouble::Killed("server process (PID 12) was terminated by signal 9: Killed".into());
    let aborted = "2026-01-01 [7] LOG:  server process (PID 12) was terminated by signal 6: Aborted";
    let crashed = Trouble::Crashed("server process (PID 12) was terminated by signal 6: Aborted".into());
    let full = "PANIC:  could not write to file: No space left on device";
    check(&[], None);
    check(&["LOG:  checkpoint starting: time", "ERROR:  division by zero"], None);
    check(&["LOG:  server process (PID 12) exited with exit code 1"], None);
    check(&[killed, "LOG:  all server processes terminated; reinitializing"], Some(was_killed));
    check(&[aborted], Some(crashed));
    check(&[full, aborted], Some(Trouble::DiskFull));
    check(&[killed, full], Some(Trouble::DiskFull));
}
