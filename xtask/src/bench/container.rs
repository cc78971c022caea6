//! A bare Postgres in a container: `docker run`, and nothing of ours.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::setup::POSTGRES_MAJOR;

/// Seconds until which a container must be ready.
const READY_DEADLINE: &str = "60";

/// Seconds from `docker run` to the answer to a first query. The container goes again.
///
/// # Errors
/// The container does not start, or the server in it does not.
pub fn first_query(image: &str) -> anyhow::Result<f64> {
    let path = format!("export PATH=$PATH:/usr/lib/postgresql/{POSTGRES_MAJOR}/bin");
    let serve = format!("{path}; initdb -A trust -U postgres -D /tmp/data && exec postgres -D /tmp/data -k /tmp");
    let query = format!("{path}; psql -X -h /tmp -U postgres -c 'SELECT 1'");
    let began = Instant::now();
    let run = ["run", "--detach", "--rm", "--user", "postgres", "--entrypoint", "sh", image, "-c", &serve];
    let container = Container { id: docker(&run)?.trim().to_owned() };
    container.ready()?;
    docker(&["exec", &container.id, "sh", "-c", &query])?;
    Ok(began.elapsed().as_secs_f64())
}

struct Container {
    id: String,
}

impl Container {
    /// Follows the log to the line with which a server opens.
    fn ready(&self) -> anyhow::Result<()> {
        let mut follow = Command::new("timeout")
            .args([READY_DEADLINE, "docker", "logs", "--follow", &self.id])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("could not run timeout")?;
        let log = BufReader::new(follow.stderr.take().expect("it was piped"));
        let ready = log.lines().map_while(Result::ok).any(|line| line.contains("ready to accept connections"));
        // It may have ended by itself.
        let _ = follow.kill();
        follow.wait()?;
        ensure!(ready, "the server in a container was not ready within {READY_DEADLINE} s");
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // With --rm, what cannot be removed is gone already.
        let _ = docker(&["rm", "--force", "--volumes", &self.id]);
    }
}

fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output =
        Command::new("docker").args(arguments).stdin(Stdio::null()).output().context("could not run docker")?;
    ensure!(
        output.status.success(),
        "docker {}: {}\n{}",
        arguments.first().unwrap_or(&""),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use crate::docker;
    use crate::terminal::ci;

    #[test]
    fn a_bare_container_answers() {
        let image = docker::postgres_image().unwrap();
        let (Some(image), Ok(_)) = (image, which::which("docker")) else {
            // The client is not installed for the tests: only the bench compares with it.
            assert!(!ci() || which::which("docker").is_err(), "no image with Postgres 15, and CI=true skips nothing");
            return;
        };
        assert!(super::first_query(&image).unwrap() > 0.0);
    }
}
