//! What psql, pg_restore and pg_dump say when they fail, taken apart: which line, object and table, and the server's words without
//! row values.

use super::RestoreError;
use crate::engine::postgres::blot;

/// What the server says of a full disk, in its own messages and in the operating system's.
const NO_SPACE: &str = "No space left on device";

/// The first error on a client program's standard error.
pub fn failed(program: &str, status: i32, stderr: &str) -> RestoreError {
    if stderr.contains(NO_SPACE) || stderr.contains("53100: ") {
        return RestoreError::DiskFull;
    }
    let lines: Vec<&str> = stderr.lines().collect();
    match lines.iter().position(|line| server_message(line).is_some()) {
        Some(at) => of_server(&lines, at),
        None => of_client(program, status, &lines),
    }
}

/// Whether the server itself wrote of a full disk.
pub fn speaks_of_full_disk(log: &[String]) -> bool {
    log.iter().any(|line| line.contains(NO_SPACE))
}

/// What follows the severity.
fn server_message(line: &str) -> Option<&str> {
    ["ERROR:  ", "FATAL:  ", "PANIC:  "].iter().find_map(|severity| line.split_once(severity).map(|(_, rest)| rest))
}

fn of_server(lines: &[&str], at: usize) -> RestoreError {
    let text = server_message(lines[at]).unwrap_or_default();
    let (code, text) = match text.split_once(": ") {
        Some((code, rest)) if is_sqlstate(code) => (Some(code.to_owned()), rest),
        _ => (None, text),
    };
    let context = lines[at..].iter().find_map(|line| line.strip_prefix("CONTEXT:  COPY "));
    RestoreError::Refused {
        line: script_line(lines[at]),
        object: context.map(copy_place).or_else(|| toc_entry(&lines[..at])).or_else(|| copied_table(lines[at])),
        message: blot::message(code.as_deref(), text),
        code,
    }
}

fn of_client(program: &str, status: i32, lines: &[&str]) -> RestoreError {
    if lines.iter().any(|line| {
        line.contains("server closed the connection unexpectedly") || line.contains("connection to server was lost")
    }) {
        return RestoreError::ServerLost;
    }
    let said = lines.iter().find_map(|line| {
        let (_, rest) = line.split_once("error: ").or_else(|| line.split_once("fatal: "))?;
        Some(rest)
    });
    match said.or_else(|| lines.last().copied()) {
        Some(text) if text.contains("unsupported version") || text.contains("server version mismatch") => {
            RestoreError::TooNew { program: program.to_owned(), message: text.to_owned() }
        }
        Some(text) => RestoreError::Client { program: program.to_owned(), message: blot::message(None, text) },
        None => RestoreError::Client { program: program.to_owned(), message: format!("ended with status {status}") },
    }
}

fn is_sqlstate(code: &str) -> bool {
    code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// `psql:<stdin>:12: ERROR: …`
fn script_line(line: &str) -> Option<u64> {
    line.strip_prefix("psql:<stdin>:")?.split(':').next()?.parse().ok()
}

/// `orders, line 2, column total: "abc"`, without the value.
fn copy_place(context: &str) -> String {
    let place = context.split(':').next().unwrap_or(context);
    format!("COPY {place}")
}

/// `pg_restore: from TOC entry 216; 1259 16389 TABLE orders shop`, as "TABLE orders shop".
fn toc_entry(before: &[&str]) -> Option<String> {
    let entry = before.iter().rev().find_map(|line| line.split_once("from TOC entry "))?.1;
    let (_, after) = entry.split_once("; ")?;
    Some(after.splitn(3, ' ').nth(2)?.to_owned())
}

/// `COPY failed for table "orders": ERROR: …`
fn copied_table(line: &str) -> Option<String> {
    let (_, after) = line.split_once("failed for table \"")?;
    Some(format!("COPY {}", after.split('"').next()?))
}

#[cfg(test)]
mod tests {
    use super::failed;

    #[test]
    fn the_place_and_the_words_are_told_and_values_are_not() {
        for (stderr, expected) in [
            (
                "psql:<stdin>:3: ERROR:  42P01: relation \"nope\" does not exist\nLINE 1: INSERT\nLOCATION:  x, y.c:1\n",
                "line 3: relation \"nope\" does not exist (42P01)",
            ),
            (
                "psql:<stdin>:12: ERROR:  22P02: invalid input syntax for type integer: \"abc\"\nCONTEXT:  COPY t, line 2, column a: \"abc\"\n",
                "line 12, COPY t, line 2, column a: invalid input syntax for type integer: \"…\" (22P02)",
            ),
            (
                "psql:<stdin>:9: ERROR:  23505: duplicate key value violates unique constraint \"t_pkey\"\nDETAIL:  Key (id)=(7) already exists.\nCONTEXT:  COPY t, line 2\n",
                "line 9, COPY t, line 2: duplicate key value violates unique constraint \"t_pkey\" (23505)",
            ),
            (
                "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 216; 1259 16389 TABLE orders shop\npg_restore: error: could not execute query: ERROR:  role \"shop\" does not exist\nCommand was: ALTER TABLE public.orders OWNER TO shop;\n",
                "TABLE orders shop: role \"shop\" does not exist",
            ),
            (
                "pg_restore: error: COPY failed for table \"t\": ERROR:  value \"999\" is out of range for type integer\n",
                "COPY t: value \"…\" is out of range for type integer",
            ),
            (
                "pg_restore: error: could not read from input file: end of file\n",
                "pg_restore: could not read from input file: end of file",
            ),
            (
                "pg_restore: error: unsupported version (1.16) in file header\n",
                "pg_restore is too old: unsupported version (1.16) in file header",
            ),
            (
                "psql:<stdin>:4: ERROR:  53100: could not extend file \"base/5/1\": No space left on device\n",
                "the disk is full",
            ),
            (
                "psql:<stdin>:4: server closed the connection unexpectedly\n\tThis probably means\n",
                "the server ended meanwhile",
            ),
            ("", "psql: ended with status 3"),
        ] {
            let program = if stderr.contains("pg_restore") { "pg_restore" } else { "psql" };
            assert_eq!(failed(program, 3, stderr).to_string(), expected, "{stderr}");
        }
    }
}
