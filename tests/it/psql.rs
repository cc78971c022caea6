//! A release's session against the real psql: the same settings, the same statements on the wire, the same database afterwards.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::describe;
use rehearsal::engine::postgres::measure::{CLOCK, Lineage, baseline_sql, measure_sql};
use rehearsal::engine::postgres::psql::Script;
use rehearsal::engine::postgres::run::{RunOptions, ScriptError, Summary, Watch, run};
use rehearsal::engine::postgres::session::ReleaseSession;
use rehearsal::engine::script::Source;
use rehearsal::event::{Place, Statement};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::server;

const DEADLINE: Duration = Duration::from_secs(10);

/// What a client sent: statements, and COPY's rows.
#[derive(Debug, Default, Clone)]
struct Sent {
    statements: Vec<String>,
    rows: Vec<u8>,
}

/// Passes one connection on and keeps what the client sends.
async fn recorder(to: &Endpoint) -> (Endpoint, Arc<Mutex<Sent>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it has one").port();
    let sent = Arc::new(Mutex::new(Sent::default()));
    let (kept, server) = (Arc::clone(&sent), (to.host.clone(), to.port));
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut server = TcpStream::connect(server).await.expect("the server");
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let up = async {
            let startup = from_client.read_u32().await.expect("a length");
            to_server.write_u32(startup).await.expect("it takes it");
            let mut body = vec![0; startup as usize - 4];
            from_client.read_exact(&mut body).await.expect("a startup message");
            to_server.write_all(&body).await.expect("it takes it");
            while let Ok(tag) = from_client.read_u8().await {
                let length = from_client.read_u32().await.expect("a length");
                let mut body = vec![0; length as usize - 4];
                from_client.read_exact(&mut body).await.expect("a message");
                note(&mut kept.lock().expect("nobody panics"), tag, &body);
                to_server.write_u8(tag).await.expect("it takes it");
                to_server.write_u32(length).await.expect("it takes it");
                to_server.write_all(&body).await.expect("it takes it");
            }
        };
        let down = tokio::io::copy(&mut from_server, &mut to_client);
        tokio::select! { () = up => {}, _ = down => {} }
    });
    (Endpoint { port, ..to.clone() }, sent)
}

fn note(sent: &mut Sent, tag: u8, body: &[u8]) {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    match tag {
        b'Q' => sent.statements.push(text(body)),
        b'P' => sent.statements.push(text(&body[1..])),
        b'd' => sent.rows.extend_from_slice(body),
        _ => {}
    }
}

#[derive(Default)]
pub struct Watched {
    pub statements: Vec<Statement>,
    pub said: Vec<String>,
    pub retried: Vec<(usize, u32)>,
}

impl Watch for Watched {
    fn started(&mut self, index: usize, _: &str, _: &Place) {
        assert_eq!(index, self.statements.len());
    }

    fn ended(&mut self, statement: Statement) {
        self.statements.push(statement);
    }

    fn retried(&mut self, index: usize, attempt: u32, _: u32, _: Duration) {
        self.retried.push((index, attempt));
    }

    fn said(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
}

pub fn options() -> RunOptions {
    RunOptions { origin: Instant::now(), retry: None, timeout: Some(Duration::from_secs(60)), show_values: false }
}

pub async fn release(
    session: &mut ReleaseSession,
    source: Source,
    folder: &Path,
    options: &RunOptions,
) -> (Result<Summary, ScriptError>, Watched) {
    let mut script = Script::open(source, folder).expect("the script opens");
    let mut watched = Watched::default();
    let result = run(session, &mut script, options, &mut watched, &CancellationToken::new()).await;
    (result, watched)
}

fn psql(at: &Endpoint) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(server::programs().expect("the server is there").join("psql"));
    command.args(["-X", "-v", "ON_ERROR_STOP=1", "-q", "-At"]).arg(at.url() + "?sslmode=disable&gssencmode=disable");
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").kill_on_drop(true).stdin(Stdio::null());
    command
}

async fn dump(at: &Endpoint) -> String {
    let mut command = tokio::process::Command::new(server::programs().expect("the server is there").join("pg_dump"));
    let output = command.arg(at.url()).output().await.expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// Statements of the tool's own.
fn is_own(sql: &str) -> bool {
    sql == CLOCK || sql == measure_sql(15) || baseline_sql(15).contains(&sql) || sql == "SHOW lock_timeout"
}

async fn compare(file: &str) {
    let Some(ours) = server::database().await else { return };
    let theirs = server::database().await.expect("there was one before");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/psql");
    let (recorded_psql, by_psql) = recorder(&theirs).await;
    let output = psql(&recorded_psql).arg("-f").arg(file).current_dir(&folder).output().await.expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let (recorded_ours, by_us) = recorder(&ours).await;
    let mut session =
        ReleaseSession::connect(&recorded_ours, &ours, Lineage::default(), DEADLINE).await.expect("it connects");
    let (result, watched) = release(&mut session, Source::File(folder.join(file)), &folder, &options()).await;
    let summary = result.expect("the script runs");
    session.close().await;

    let by_psql = by_psql.lock().expect("nobody panics").clone();
    let by_us = by_us.lock().expect("nobody panics").clone();
    // The databases' names and the recorders' ports differ.
    let alike = |sql: &str| sql.replace(&theirs.database, "DB").replace(&ours.database, "DB");
    let expected: Vec<String> =
        by_psql.statements.iter().filter(|sql| !describe::is_empty(sql)).map(|sql| alike(sql)).collect();
    let sent: Vec<String> = by_us.statements.iter().filter(|sql| !is_own(sql)).map(|sql| alike(sql)).collect();
    assert_eq!(sent, expected);
    assert_eq!(watched.statements.len(), expected.len());
    assert_eq!(summary.statements, expected.len());
    let rows = |sent: &Sent| String::from_utf8_lossy(&sent.rows).replace("\n\\.\n", "\n").replace("\r\n", "\n");
    assert_eq!(rows(&by_us), rows(&by_psql));
    assert_eq!(alike(&dump(&ours).await), alike(&dump(&theirs).await));
}

#[tokio::test]
async fn quotes_as_psql_reads_them() {
    compare("quotes.sql").await;
}

#[tokio::test]
async fn bodies_as_psql_reads_them() {
    compare("bodies.sql").await;
}

#[tokio::test]
async fn transactions_as_psql_runs_them() {
    compare("transactions.sql").await;
}

#[tokio::test]
async fn commands_as_psql_carries_them_out() {
    compare("commands.sql").await;
}

#[tokio::test]
async fn rows_as_psql_sends_them() {
    compare("rows.sql").await;
}

/// Every setting that is the same for all sessions of a server, or comes from how the session was started.
#[tokio::test]
async fn the_session_is_psqls() {
    const SETTINGS: &str = "SELECT name, setting, reset_val, source FROM pg_settings ORDER BY name";
    let Some(at) = server::database().await else { return };
    let output = psql(&at).args(["-F", "\t", "-c", SETTINGS]).output().await.expect("psql runs");
    let theirs = String::from_utf8(output.stdout).expect("it is UTF-8");
    let mut session =
        ReleaseSession::connect(&at.named("whatever"), &at, Lineage::default(), DEADLINE).await.expect("it connects");
    let rows = session.rows_as_text(SETTINGS, None, &CancellationToken::new()).await.expect("it answers");
    let ours: String = rows
        .iter()
        .map(|row| row.iter().map(|value| value.as_deref().unwrap_or_default()).collect::<Vec<_>>().join("\t") + "\n")
        .collect();
    assert!(ours.contains("application_name\tpsql\tpsql\tclient\n"), "{ours}");
    assert!(ours.lines().count() > 300);
    assert_eq!(ours, theirs);
    session.close().await;
}
