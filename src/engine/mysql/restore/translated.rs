//! What MariaDB's and older MySQL's dumps say that MySQL no longer understands, left out on the way in.
//!
//! `NO_AUTO_CREATE_USER` went with MySQL 8.0 and says nothing of anything but `GRANT`; every routine of such a dump is made under it. The
//! first line of MariaDB's dumps is a command of MariaDB's client (chapters "Server SQL Modes" and "mariadb-dump" of the manuals).

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// A line that sets a mode is no longer.
const MOST_OF_LINE: u64 = 4096;

/// A mode that MySQL no longer knows.
pub const MODE: &str = "NO_AUTO_CREATE_USER";

/// Copies a dump, every line to its own line; answers whether [`MODE`] was left out.
///
/// # Errors
/// Of reading, or of writing.
pub async fn copy(
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> std::io::Result<bool> {
    let mut from = BufReader::with_capacity(1 << 16, from);
    let (mut line, mut begins, mut left_out) = (Vec::new(), true, false);
    loop {
        line.clear();
        if (&mut from).take(MOST_OF_LINE).read_until(b'\n', &mut line).await? == 0 {
            to.flush().await?;
            return Ok(left_out);
        }
        if begins && line.starts_with(br"/*M!999999\-") {
            to.write_all(b"\n").await?;
        } else if let Some(without) = begins.then(|| without_mode(&line)).flatten() {
            left_out = true;
            to.write_all(without.as_bytes()).await?;
        } else {
            to.write_all(&line).await?;
        }
        begins = line.ends_with(b"\n");
    }
}

/// A line that sets sql_mode, and the mode among others, without it.
fn without_mode(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let sets = line.strip_prefix("/*!").map_or(line, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let upper = sets.trim_start().to_ascii_uppercase();
    if !upper.starts_with("SET ") || !upper.contains("SQL_MODE") || !line.contains(MODE) {
        return None;
    }
    let ways = [format!(",{MODE}"), format!("{MODE},"), MODE.to_owned()];
    let way = ways.iter().find(|way| line.contains(way.as_str()))?;
    Some(line.replace(way.as_str(), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_sets_the_mode_is_changed() {
        async fn check(dump: &str, expected: &str) {
            let mut out = Vec::new();
            let left_out = copy(&mut dump.as_bytes(), &mut out).await.expect("memory can be read");
            assert_eq!(String::from_utf8(out).expect("text"), expected);
            assert_eq!(left_out, dump.contains("SET sql_mode") && dump != expected);
        }
        check("/*M!999999\\- enable the sandbox mode */ \nSELECT 1;\n", "\nSELECT 1;\n").await;
        check("/*!50003 SET sql_mode = 'A,NO_AUTO_CREATE_USER,B' */ ;\nx", "/*!50003 SET sql_mode = 'A,B' */ ;\nx")
            .await;
        check("SET sql_mode='NO_AUTO_CREATE_USER';", "SET sql_mode='';").await;
        check("SET sql_mode='NO_AUTO_CREATE_USER,A';", "SET sql_mode='A';").await;
        let rows = format!("INSERT INTO t VALUES ('{}SET sql_mode=NO_AUTO_CREATE_USER');\n", "x".repeat(5000));
        let mut out = Vec::new();
        assert!(!copy(&mut rows.as_bytes(), &mut out).await.expect("memory can be read"));
        assert_eq!(out, rows.as_bytes());
    }
}
