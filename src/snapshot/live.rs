//! A live server as a snapshot: dumped once, by read-only transactions of `pg_dump`, or captured where its rows are masked or there is no
//! such program; and otherwise left alone.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;

use super::SnapshotError;
use super::capture::{self, CaptureError, CaptureRequest, Masking};
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::client_programs;
use crate::engine::postgres::dump::major;
use crate::engine::postgres::restore;
use crate::engine::url;
use crate::scenario::rules;

/// How long `pg_dump` has to end its workers.
const GRACE: Duration = Duration::from_secs(5);

/// Parameters of a URL that are secrets, and that no environment variable stands for.
const SECRETS: [&str; 4] = ["sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"];

/// A connection URL with its password apart: arguments can be read by everybody on the machine, a child's environment cannot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LiveUrl {
    bare: String,
    password: Option<String>,
}

/// Why a text is no [`LiveUrl`].
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Malformed,
    Secret(&'static str),
}

/// The URL that the variable holds.
///
/// # Errors
/// It is not set, holds no URL, or one with a secret that would stand on a command line.
pub(super) fn dumped_url(variable: &str) -> Result<LiveUrl, SnapshotError> {
    let variable = variable.to_owned();
    let Ok(text) = std::env::var(&variable) else { return Err(SnapshotError::NoVariable { variable }) };
    parse(&text).map_err(|fault| match fault {
        Fault::Malformed => SnapshotError::BadUrl { variable },
        Fault::Secret(what) => SnapshotError::SecretInUrl { variable, what },
    })
}

/// A live server that is captured.
pub(super) struct Source {
    endpoint: Endpoint,
    /// None = rows as they are.
    masking: Option<Masking>,
}

impl Source {
    /// The server that the variable's URL leads to, and the rules with their key. Connects to nothing.
    ///
    /// # Errors
    /// It is not set, or no URL that can be captured; the rules are wrong, or have no key.
    pub(super) fn new(variable: &str, rules: Option<&Path>) -> Result<Source, SnapshotError> {
        let variable = variable.to_owned();
        let Ok(text) = std::env::var(&variable) else { return Err(SnapshotError::NoVariable { variable }) };
        let endpoint = url::endpoint(&text).map_err(|source| SnapshotError::NotCaptured { variable, source })?;
        let masking = match rules {
            None => None,
            Some(path) => {
                let failed = |_| SnapshotError::BadRules { path: path.to_owned() };
                Some(Masking::by(rules::load(path).map_err(failed)?).map_err(SnapshotError::Key)?)
            }
        };
        Ok(Source { endpoint: endpoint.named("rehearsal snapshot"), masking })
    }

    /// # Errors
    /// As [`capture::capture`].
    pub(super) async fn capture(&self, folder: &Path, cancel: &CancellationToken) -> Result<(), SnapshotError> {
        let request = CaptureRequest {
            endpoint: &self.endpoint,
            folder,
            workers: super::jobs(),
            rate: None,
            part_bytes: capture::PART_BYTES,
            transform: None,
            masking: self.masking.as_ref(),
            cancel,
        };
        match capture::capture(&request, &mut |_| {}).await {
            Ok(_) => Ok(()),
            Err(CaptureError::Cancelled) => Err(SnapshotError::Cancelled),
            Err(error) => Err(SnapshotError::Capture(Box::new(error))),
        }
    }
}

/// Dumps to a new folder, with the client of the node's version: an older `pg_restore` cannot read what a newer `pg_dump` wrote.
///
/// # Errors
/// Those of [`dumped_url`], and what `pg_dump` says.
pub(super) async fn dump(
    variable: &str,
    to: &Path,
    (version, node): (&str, Option<&str>),
    cancel: &CancellationToken,
) -> Result<(), SnapshotError> {
    let LiveUrl { bare, password } = dumped_url(variable)?;
    let program = major(version)
        .and_then(|major| client_programs::of_major("pg_dump", major))
        .or_else(|| client_programs::newest("pg_dump"))
        .ok_or(SnapshotError::NoClientProgram { program: "pg_dump" })?;
    let mut command = client_programs::command(&program);
    command
        .args(["-Fd", "--no-sync", "--no-password", "--lock-wait-timeout=30s"])
        .arg(format!("--jobs={}", super::jobs()))
        .arg(format!("--dbname={bare}"))
        .arg("-f")
        .arg(to)
        .env("PGAPPNAME", "rehearsal snapshot")
        .env("LC_ALL", "C.UTF-8")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    if let Some(password) = &password {
        command.env("PGPASSWORD", password);
    }
    let child = command.spawn().map_err(SnapshotError::NoClient)?;
    let pid = child.id();
    let ending = child.wait_with_output();
    tokio::pin!(ending);
    let output = tokio::select! {
        output = &mut ending => output.map_err(SnapshotError::NoClient)?,
        () = cancel.cancelled() => {
            client_programs::ask_to_end(pid);
            // Past this it is killed, as it goes out of scope.
            let _ = tokio::time::timeout(GRACE, ending).await;
            return Err(SnapshotError::Cancelled);
        }
    };
    judge(&output, version, node)
}

fn judge(output: &Output, version: &str, node: Option<&str>) -> Result<(), SnapshotError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // "server version: 17.2; pg_dump version: 15.18 (…)"
    let dumped = said.split_once("server version: ").and_then(|(_, rest)| rest.split([';', ' ', '\n']).next());
    if let Some(dumped) = dumped.filter(|dumped| major(dumped) > major(version)) {
        return Err(super::newer_dump(dumped.to_owned(), version, node));
    }
    Err(restore::failed("pg_dump", output.status.code().unwrap_or(-1), &said).into())
}

/// Takes a URL apart as libpq does. Manual: "Connection URIs".
fn parse(text: &str) -> Result<LiveUrl, Fault> {
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| text.starts_with(scheme));
    let scheme = scheme.ok_or(Fault::Malformed)?;
    let (place, query) = text[scheme.len()..].split_once('?').unwrap_or((&text[scheme.len()..], ""));
    let (authority, database) = place.split_at(place.find('/').unwrap_or(place.len()));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    // What is no port may be part of a password, which an error message would repeat.
    if !hosts.split(',').all(is_host) {
        return Err(Fault::Malformed);
    }
    let mut password = password.map(decoded).transpose()?;
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Fault::Malformed)?;
        let name = decoded(name)?;
        if let Some(secret) = SECRETS.into_iter().find(|secret| *secret == name) {
            return Err(Fault::Secret(secret));
        }
        // As in libpq, what comes last holds.
        if name == "password" {
            password = Some(decoded(value)?);
        } else {
            kept.push(pair);
        }
    }
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok(LiveUrl { bare: format!("{scheme}{user}{hosts}{database}{query}"), password })
}

/// A host, an address in brackets, or nothing; and a port or none.
fn is_host(host: &str) -> bool {
    let after = match host.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((_, after)) => after,
            None => return false,
        },
        None => &host[host.find(':').unwrap_or(host.len())..],
    };
    after.is_empty() || after.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn decoded(text: &str) -> Result<String, Fault> {
    percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| Fault::Malformed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use super::{Fault, LiveUrl, judge, parse};

    fn check(url: &str, bare: &str, password: Option<&str>) {
        let expected = LiveUrl { bare: bare.into(), password: password.map(Into::into) };
        assert_eq!(parse(url), Ok(expected), "{url}");
    }

    #[test]
    fn no_password_stays_in_a_url() {
        check("postgresql://ann:s%40fe@db:6543/shop", "postgresql://ann@db:6543/shop", Some("s@fe"));
        check("postgres://ann:s@fe@db/shop", "postgres://ann@db/shop", Some("s@fe"));
        check(
            "postgresql://db/shop?user=ann&password=s%40fe&sslmode=require",
            "postgresql://db/shop?user=ann&sslmode=require",
            Some("s@fe"),
        );
        check("postgresql://ann:old@db/shop?%70assword=new", "postgresql://ann@db/shop", Some("new"));
        check("postgresql://db/shop?password=", "postgresql://db/shop", Some(""));
    }

    #[test]
    fn a_host_may_stand_elsewhere_or_be_many() {
        check("postgresql:///shop?host=/run/postgresql", "postgresql:///shop?host=/run/postgresql", None);
        check("postgresql://ann:x@/shop?host=/run/pg", "postgresql://ann@/shop?host=/run/pg", Some("x"));
        check("postgresql://ann@%2Frun%2Fpg/shop", "postgresql://ann@%2Frun%2Fpg/shop", None);
        check("postgresql://a:1,[::1]:2,c/shop?x=%26", "postgresql://a:1,[::1]:2,c/shop?x=%26", None);
        check("postgresql://", "postgresql://", None);
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(parse("postgresql://db/shop?sslpassword=x"), Err(Fault::Secret("sslpassword")));
        for url in ["mysql://ann@db/shop", "db/shop", "postgresql://ann:pa/ss@db/shop", "postgresql://db/shop?nothing"]
        {
            assert_eq!(parse(url), Err(Fault::Malformed), "{url}");
        }
    }

    #[test]
    fn a_server_newer_than_the_node_is_named_as_such() {
        let said = "pg_dump: error: aborting because of server version mismatch\n\
            pg_dump: detail: server version: 17.2 (Debian 17.2-1); pg_dump version: 15.18 (Debian 15.18-0+deb12u1)\n";
        let output = Output { status: ExitStatus::from_raw(256), stdout: Vec::new(), stderr: said.into() };
        let told = |node: &str| judge(&output, node, None).map_err(|error| error.to_string());
        assert_eq!(told("15"), Err("the snapshot comes from PostgreSQL 17.2, the node runs 15".to_owned()));
        // The node could take it: it is this machine's client that cannot.
        let client = "pg_dump is too old: aborting because of server version mismatch";
        assert_eq!(told("17"), Err(client.to_owned()));
    }
}
