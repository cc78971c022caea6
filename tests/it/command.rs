//! Programs of the plan, run for real, and what they ran recovered from the server's log.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rehearsal::engine::EngineKind;
use rehearsal::engine::endpoint::Endpoint;
use rehearsal::engine::postgres::connect::connect;
use rehearsal::engine::recover;
use rehearsal::rehearsal::clock::Clock;
use rehearsal::rehearsal::command::{CommandEnded, CommandError, CommandRequest, End, run};
use rehearsal::scenario::{Command, Invocation};
use tokio_util::sync::CancellationToken;

use crate::support::server::{database, programs};

fn shell(line: &str, dir: &Path) -> Command {
    Command { run: Invocation::Shell(line.into()), dir: dir.into(), env: BTreeMap::new() }
}

fn nowhere() -> Endpoint {
    Endpoint {
        engine: EngineKind::Postgres,
        host: "127.0.0.1".into(),
        port: 1,
        database: "shop".into(),
        user: "app".into(),
        password: "geh/eim!".into(),
        application: String::new(),
    }
}

struct Ran {
    result: Result<CommandEnded, CommandError>,
    output: String,
}

async fn ran(command: &Command, endpoint: &Endpoint, cancel: &CancellationToken) -> Ran {
    let output = command.dir.join("output.log");
    let passwords = ["of-the-superuser".to_owned(), "of/the-other".to_owned()];
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let (scratch, passwords) = (scratch.path(), &passwords);
    let result = run(&CommandRequest { command, endpoint, passwords, scratch, output: &output, cancel }).await;
    Ran { result, output: std::fs::read_to_string(output).unwrap_or_default() }
}

async fn ran_line(line: &str) -> Ran {
    let folder = tempfile::tempdir().expect("a temporary folder");
    ran(&shell(line, folder.path()), &nowhere(), &CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_kept_in_order_without_the_password() {
    let ran = ran_line("echo out; echo err >&2; echo \"$DATABASE_URL $PGPASSWORD\"; printf end; exit 7").await;
    let ended = ran.result.unwrap();
    assert_eq!(ended.end, End::Exited(7));
    assert_eq!(ran.output, "out\nerr\npostgresql://app:…@127.0.0.1:1/shop …\nend");
    assert_eq!(ended.tail, ["out", "err", "postgresql://app:…@127.0.0.1:1/shop …", "end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_own_passwords_are_kept_out_as_well() {
    let ran = ran_line("echo psql postgresql://postgres:of-the-superuser@127.0.0.1:1/shop").await;
    assert_eq!(ran.output, "psql postgresql://postgres:…@127.0.0.1:1/shop\n");
    let ran = ran_line("echo of/the-other mysql://root:of%2Fthe%2Dother@127.0.0.1:2/shop").await;
    assert_eq!(ran.output, "… mysql://root:…@127.0.0.1:2/shop\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_an_allow_list_and_what_the_step_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell("env | cut -d= -f1 | grep -v ^LC_ | sort | tr '\\n' ' '; echo $GREETING", folder.path());
    command.env.insert("GREETING".into(), "hello".into());
    let found = ran(&command, &nowhere(), &CancellationToken::new()).await.output;
    for name in found.split_whitespace() {
        let known = ["PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "LOGNAME", "GREETING", "hello"].contains(&name)
            || ["DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"].contains(&name)
            // The shell's own.
            || ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name);
        assert!(known, "{name} got through");
    }
    assert!(found.contains("DATABASE_URL") && found.ends_with("hello\n"), "{found}");
    command.env.insert("TOKEN".into(), "env:REHEARSAL_TEST_NOT_SET".into());
    std::fs::remove_file(folder.path().join("output.log")).unwrap();
    let error = ran(&command, &nowhere(), &CancellationToken::new()).await.result.unwrap_err();
    assert_eq!(error.to_string(), "REHEARSAL_TEST_NOT_SET, the value of TOKEN, is not set");
}

/// MySQL's and MariaDB's clients follow a file in the home folder before the environment.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_not_sent_to_another_server() {
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Endpoint { engine: EngineKind::Mariadb, ..nowhere() };
    let mut command =
        shell("cat \"$MYSQL_HOME/my.cnf\"; echo $MYSQL_HOST $MYSQL_TCP_PORT $DATABASE_URL", folder.path());
    command.env.insert("HOME".into(), home.path().to_string_lossy().into_owned());
    let found = ran(&command, &node, &CancellationToken::new()).await.output;
    let file = "[client]\nhost = \"127.0.0.1\"\nport = 1\nprotocol = tcp\nuser = \"app\"\npassword = \"…\"\n[mysql]\ndatabase = \"shop\"\n";
    assert_eq!(found, format!("{file}127.0.0.1 1 mysql://app:…@127.0.0.1:1/shop\n"));
    std::fs::remove_file(folder.path().join("output.log")).unwrap();
    std::fs::write(home.path().join(".my.cnf"), "[client]\nhost = production\n").unwrap();
    let error = ran(&command, &node, &CancellationToken::new()).await.result.unwrap_err();
    assert!(matches!(error, CommandError::SentElsewhere(_)) && error.is_the_machines(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_in_the_environment_is_left_out() {
    use std::os::unix::ffi::OsStrExt;

    // A process cannot safely change its own environment: the test runs itself once more, with the variables set.
    if std::env::var_os("LC_ODD").is_none() {
        let odd = std::ffi::OsStr::from_bytes(b"\xff");
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "command::what_is_no_text_in_the_environment_is_left_out", "--nocapture"])
            .envs([("LC_ODD", odd), ("ODD", odd)])
            .env(std::ffi::OsStr::from_bytes(b"LC_\xff"), "odd")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    assert_eq!(ran_line("env | grep -ci odd").await.output, "0\n");
}

fn alive(pid: &str) -> bool {
    // A zombie that init has yet to reap is dead.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn gone(pid: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    while alive(pid) {
        assert!(Instant::now() < until, "{pid} still runs");
        tokio::task::yield_now().await;
    }
}

/// Runs it until it has said a line, which it gives, and cancels it then.
async fn cancelled(line: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (command, cancel) = (shell(line, folder.path()), CancellationToken::new());
    let said = async {
        let said = line_of(&folder.path().join("output.log")).await;
        cancel.cancel();
        said
    };
    let endpoint = nowhere();
    let (ended, said) = tokio::join!(ran(&command, &endpoint, &cancel), said);
    assert_eq!(ended.result.expect("it was started").end, End::Cancelled);
    said
}

/// The first lines, once there are any.
async fn line_of(output: &Path) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < until, "it said nothing");
        if let Some(text) = std::fs::read_to_string(output).ok().filter(|text| text.ends_with('\n')) {
            return text.trim().to_owned();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_the_whole_group_even_one_that_ignores_sigterm() {
    gone(&cancelled("sleep 1000 & echo $!; wait").await).await;
    gone(&cancelled("trap '' TERM; echo $$; while :; do sleep 0.1; done").await).await;
    // It makes a group of its own.
    gone(&cancelled("exec timeout 1000 sh -c 'echo $$; exec sleep 1000'").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_beforehand_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let (command, cancel) = (shell("touch started", folder.path()), CancellationToken::new());
    cancel.cancel();
    assert_eq!(ran(&command, &nowhere(), &cancel).await.result.unwrap().end, End::Cancelled);
    assert!(!folder.path().join("started").exists());
}

/// Several lines, of which each is a secret as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_several_lines_is_kept_out() {
    const NAME: &str = "REHEARSAL_TEST_KEY";
    // A process cannot safely change its own environment: the test runs itself once more, with the variable set.
    if std::env::var_os(NAME).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "command::a_secret_of_several_lines_is_kept_out", "--nocapture"])
            .env(NAME, "-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell("echo \"$KEY\"; echo done", folder.path());
    command.env.insert("KEY".into(), format!("env:{NAME}"));
    let found = ran(&command, &nowhere(), &CancellationToken::new()).await.output;
    assert!(!found.contains("MIIE") && !found.contains("hkiG9") && found.ends_with("done\n"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_in_the_background_ends_with_it() {
    let started = Instant::now();
    let found = ran_line("sleep 1000 & echo $!").await;
    assert_eq!(found.result.unwrap().end, End::Exited(0));
    gone(found.output.trim()).await;
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_and_dropping_leave_nothing_running() {
    for dropped in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let command = shell("echo $$; exec sleep 1000", folder.path());
        let (endpoint, cancel) = (nowhere(), CancellationToken::new());
        let output = folder.path().join("output.log");
        let mut running = Box::pin(ran(&command, &endpoint, &cancel));
        let pid = tokio::select! { _ = &mut running => panic!("it sleeps"), pid = line_of(&output) => pid };
        assert!(alive(&pid));
        if dropped {
            drop(running);
        } else {
            cancel.cancel();
            assert_eq!(running.await.result.unwrap().end, End::Cancelled);
        }
        gone(&pid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell("", folder.path());
    command.run = Invocation::Argv(vec!["no-such-program-here".into()]);
    let error = ran(&command, &nowhere(), &CancellationToken::new()).await.result.unwrap_err();
    assert_eq!(error.to_string(), "there is no program no-such-program-here");
    command.dir = "/no/such/folder".into();
    let error = ran(&command, &nowhere(), &CancellationToken::new()).await.result.unwrap_err();
    assert_eq!(error.to_string(), "there is no folder /no/such/folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_programs_statements_are_recovered_from_the_log() {
    let Some(superuser) = database().await else { return };
    let admin = connect(&superuser, Duration::from_secs(10)).await.unwrap();
    let role = format!("migrator_{}", superuser.database);
    admin
        .client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role};
             ALTER ROLE {role} IN DATABASE {} SET log_min_duration_statement TO '5s'",
            superuser.database
        ))
        .await
        .unwrap();
    let clock = Clock::start();
    let ours = |application: &str| application.starts_with("rehearsal");
    let recording = recover::begin(&superuser, std::slice::from_ref(&role), ours, &|| clock.now_ms()).await.unwrap();
    let migrator = superuser.as_user(&role, "unused").named("");
    let folder = tempfile::tempdir().unwrap();
    let psql = programs().unwrap().join("psql");
    let line = format!(
        "{psql} -X -q -c 'CREATE TABLE t (a int)' -c 'SELECT pg_sleep(0.05)' -c \"INSERT INTO t VALUES (4711)\" && {psql} -X -c 'SELECT oops'",
        psql = psql.display()
    );
    let began_ms = clock.now_ms();
    let found = ran(&shell(&line, folder.path()), &migrator, &CancellationToken::new()).await;
    let ended_ms = clock.now_ms();
    assert_eq!(found.result.unwrap().end, End::Exited(1), "{}", found.output);
    // A session of our own as that role, which is not the program's.
    let probe = connect(&migrator.named("rehearsal probe"), Duration::from_secs(10)).await.unwrap();
    probe.client.batch_execute("SELECT 'not the program'").await.unwrap();

    let recovered = recording.finish(false, Duration::from_secs(20)).await.unwrap();
    let told: Vec<_> = recovered.statements.iter().map(|s| (s.command.as_str(), s.sql.as_str())).collect();
    let expected = [
        ("CREATE TABLE", "CREATE TABLE t (a int)"),
        ("SELECT", "SELECT pg_sleep(…)"),
        ("INSERT", "INSERT INTO t VALUES (…)"),
        ("SELECT", "SELECT oops"),
    ];
    assert_eq!(told, expected);
    let slept = &recovered.statements[1];
    assert!(slept.elapsed_ms >= 50.0 && slept.recovered, "{slept:?}");
    // The log's clock counts whole milliseconds.
    assert!(slept.started_ms > began_ms - 5.0 && slept.started_ms + slept.elapsed_ms < ended_ms + 5.0, "{slept:?}");
    assert_eq!(recovered.statements[3].error.as_ref().map(|error| error.code.as_str()), Some("42703"));
    let left = admin
        .client
        .query_one(
            "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole WHERE rolname = $1",
            &[&role],
        )
        .await
        .unwrap();
    assert_eq!(left.get::<_, String>(0), "{log_min_duration_statement=5s}");
}
