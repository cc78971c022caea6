//! Steps of a program: run beside the node, its output kept, its statements recovered from the server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::command::{self, CommandEnded, CommandRequest, End};
use super::failure::Failure;
use super::routing;
use super::step::{Cut, Ended, Runner, Running, could_not};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::recover::{self, Recording, Recovered};
use crate::engine::said;
use crate::engine::waits::Waits;
use crate::event::{Event, Statement, StepError, with_causes};
use crate::scenario::{Command, Invocation};

/// For the server to have kept everything up to the program's end.
const RECOVER: Duration = Duration::from_secs(10);

/// For the server to say who is there.
const ANSWERS: Duration = Duration::from_secs(5);

pub(super) async fn run(runner: &Runner<'_>, running: &Running<'_>, command: &Command) -> Result<Ended, Cut> {
    let endpoint = runner.endpoint(running).await?;
    let mut command = substituted(runner, command);
    if let Some(routes) = runner.routes() {
        for (name, value) in routing::environment(runner.folder, &routes.routing()) {
            command.env.entry(name.to_owned()).or_insert(value);
        }
    }
    let file = output_file(runner.folder, running);
    let output = runner.folder.join(&file);
    let clock = runner.events.clock;
    let superuser = running.node.endpoint();
    // A program of another role may have been given the node's own URL as well.
    let mut roles = vec![endpoint.user.clone(), superuser.user.clone()];
    roles.dedup();
    let guest = runner.routes().map(|routes| routes.invite(running.node.name(), &roles));
    let ours = |application: &str| application.starts_with("rehearsal");
    let recording = recover::begin(&superuser, &roles, ours, &move || clock.now_ms()).await;
    let mut recording = recording.map_err(|error| Cut::Harness(Failure::harness(error.as_ref(), None)))?;
    let passwords = runner.topology.passwords();
    let request = CommandRequest {
        command: &command,
        endpoint: &endpoint,
        passwords: &passwords,
        scratch: running.node.lab_folder(),
        output: &output,
        cancel: running.cancel,
    };
    let secrets = command::secrets_of(&request);
    let ended = recording.beside(command::run(&request)).await;
    let recovered = recovered(runner, running, recording).await;
    if let Some(guest) = guest.filter(|guest| guest.is_left()) {
        guest.leaves(still_there(&superuser, &roles).await);
    }
    let told = recovered.map(|recovered| tell_statements(runner, running, recovered, &secrets));
    match ended {
        Ok(CommandEnded { end: End::Cancelled, .. }) => Err(Cut::Cancelled),
        // Without its statements nobody can say what a program did.
        Ok(ended) => {
            told?;
            let judged = judged(endpoint.engine, &ended, runner.show_values, &file);
            Ok(Ended { output: Some(file), ..judged })
        }
        Err(error) if error.is_the_machines() => Err(Cut::Harness(Failure::harness(&error, error.hint()))),
        Err(error) => Ok(could_not(&error)),
    }
}

/// Sessions of these roles that the server has though the program has ended: it hears of that once a statement is over.
async fn still_there(superuser: &Endpoint, roles: &[String]) -> Vec<i32> {
    let asked = timeout(ANSWERS, async { Waits::connect(superuser).await?.clients().await });
    let clients = match asked.await {
        Ok(Ok(clients)) => clients,
        Ok(Err(_)) | Err(_) => {
            tracing::debug!("nobody could say what a program left on a node");
            return Vec::new();
        }
    };
    clients.into_iter().filter(|client| roles.contains(&client.user)).map(|client| client.pid).collect()
}

/// A program's own words may hold row values, so without leave they stay in its output alone.
fn judged(engine: EngineKind, ended: &CommandEnded, show_values: bool, output: &str) -> Ended {
    let (what, exit) = match ended.end {
        End::Exited(0) => return Ended::default(),
        End::Exited(status) => (format!("exit status {status}"), Some(status)),
        End::Killed(signal) => (format!("killed by signal {signal}"), None),
        End::Cancelled => unreachable!("told apart by the caller"),
    };
    let what = match (reason(engine, &ended.tail), said_by_server(engine, &ended.tail)) {
        (Some(line), _) if show_values => format!("{what}: {line}"),
        (_, Some(line)) => {
            let told = said::passed_on(engine, line).unwrap_or_else(|| "the server refused a statement".to_owned());
            format!("{what}: {told}; its output is in {output}")
        }
        (Some(_), None) => format!("{what}; its output is in {output}"),
        (None, None) => what,
    };
    Ended::with(StepError { what, sql: None, place: None, exit })
}

/// The line that says why: the last that calls itself an error, else the last with words in it. Below their errors, clients of the
/// server write the place in the statement, and details that hold row values.
fn reason(engine: EngineKind, tail: &[String]) -> Option<&str> {
    let calls_itself_so = |line: &str| ["ERROR:", "FATAL:", "error:"].iter().any(|mark| line.contains(mark));
    let is_error = |line: &&String| calls_itself_so(line) || said::is_the_servers(engine, line);
    let has_words = |line: &&String| line.chars().any(char::is_alphanumeric);
    let line = tail.iter().rev().find(is_error).or_else(|| tail.iter().rev().find(has_words))?;
    Some(line.trim())
}

/// The last error of the server that the program passed on. Of those in the server's own words, values can be told from the words.
fn said_by_server(engine: EngineKind, tail: &[String]) -> Option<&str> {
    tail.iter().rev().find(|line| said::is_the_servers(engine, line)).map(|line| line.trim())
}

/// What the program ran, whichever role ran it.
async fn recovered(runner: &Runner<'_>, running: &Running<'_>, recording: Recording) -> Result<Recovered, Cut> {
    recording.finish(runner.show_values, RECOVER).await.map_err(|error| {
        let name = &running.step.name;
        let error = with_causes(error.as_ref());
        let what = format!("the statements of step \"{name}\" could not be recovered: {error}");
        Cut::Harness(Failure::Harness { what, hint: None, log: Vec::new() })
    })
}

/// What the program ran counts even where the program itself failed.
fn tell_statements(runner: &Runner<'_>, running: &Running<'_>, recovered: Recovered, secrets: &[String]) {
    for statement in recovered.statements {
        let statement = without(secrets, statement);
        runner.events.send(Event::StatementEnded {
            step: running.index,
            role: running.role,
            node: running.node.name().to_owned(),
            statement: Box::new(statement),
        });
    }
    if recovered.left_out > 0 {
        let (left_out, name) = (recovered.left_out, &running.step.name);
        let what = format!("{left_out} more statements of the program in step \"{name}\" are not listed");
        runner.events.send(Event::Warned { what });
    }
}

/// Its text, and what the server said of it.
fn without(secrets: &[String], mut statement: Statement) -> Statement {
    let hidden = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"));
    statement.sql = hidden(&statement.sql);
    if let Some(error) = &mut statement.error {
        error.message = hidden(&error.message);
    }
    statement
}

pub(super) fn substituted(runner: &Runner<'_>, command: &Command) -> Command {
    let run = match &command.run {
        Invocation::Shell(line) => Invocation::Shell(runner.substitute(line)),
        Invocation::Argv(words) => Invocation::Argv(words.iter().map(|word| runner.substitute(word)).collect()),
    };
    let env: BTreeMap<String, String> =
        command.env.iter().map(|(name, value)| (name.clone(), runner.substitute(value))).collect();
    Command { run, dir: command.dir.clone(), env }
}

/// A new file's name. A step can be taken back by several programs.
fn output_file(folder: &Path, running: &Running<'_>) -> String {
    let name = format!("step-{}{}", running.index + 1, suffix(running));
    let further = (2..).map(|nth| format!("{name}-{nth}.log"));
    let mut names = std::iter::once(format!("{name}.log")).chain(further);
    names.find(|file| !folder.join(file).exists()).expect("there is no end of numbers")
}

fn suffix(running: &Running<'_>) -> &'static str {
    match running.role {
        crate::event::StepRole::Setup => "-setup",
        crate::event::StepRole::Plan => "",
        crate::event::StepRole::Undo => "-undo",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SqlError;

    #[test]
    fn what_a_program_says_holds_no_values() {
        let check_on = |engine, line: &str, expected: &str| {
            let ended = CommandEnded { end: End::Exited(3), elapsed: Duration::ZERO, tail: vec![line.to_owned()] };
            let told = |show_values| judged(engine, &ended, show_values, "step-1.log").error.expect("it failed").what;
            assert_eq!(told(false), expected);
            assert_eq!(told(true), format!("exit status 3: {line}"));
        };
        let check = |line: &str, expected: &str| check_on(EngineKind::Postgres, line, expected);
        check(
            "psql:a.sql:1: ERROR:  customer Ann (ann@example.org) has open orders",
            "exit status 3: the server refused a statement; its output is in step-1.log",
        );
        check(
            "psql:a.sql:1: ERROR:  relation \"t\" does not exist",
            "exit status 3: psql:a.sql:1: ERROR:  relation \"t\" does not exist; its output is in step-1.log",
        );
        check("row 42", "exit status 3; its output is in step-1.log");
        check_on(
            EngineKind::Mariadb,
            "ERROR 1644 (45000) at line 1: customer Ann has open orders",
            "exit status 3: the server refused a statement; its output is in step-1.log",
        );
        check_on(
            EngineKind::Mysql,
            "ERROR 1062 (23000) at line 1: Duplicate entry 'Ann' for key 't.mail'",
            "exit status 3: ERROR 1062 (23000) at line 1: Duplicate entry '…' for key 't.mail'; its output is in step-1.log",
        );
    }

    #[test]
    fn a_recovered_statement_holds_no_password() {
        let message = "no user app with s3cr%2Det or s3cr-et".to_owned();
        let code = "1133".to_owned();
        let error = SqlError { code, message, table: None, column: None, constraint: None, position: None };
        let sql = "SET PASSWORD FOR app = PASSWORD('s3cr-et')".to_owned();
        let secrets = ["s3cr-et", "s3cr%2Det"].map(str::to_owned);
        let told = without(&secrets, Statement { sql, error: Some(error), ..Statement::default() });
        assert_eq!(told.sql, "SET PASSWORD FOR app = PASSWORD('…')");
        assert_eq!(told.error.expect("the error stays").message, "no user app with … or …");
    }

    #[test]
    fn the_reason_is_the_line_that_says_so() {
        let check = |tail: &[&str], expected: Option<&str>| {
            let tail: Vec<String> = tail.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(reason(EngineKind::Postgres, &tail), expected, "{tail:?}");
        };
        let error = "ERROR:  column \"nope\" does not exist";
        check(&["fine so far", error, "LINE 1: SELECT nope", "               ^"], Some(error));
        check(
            &["ERROR:  duplicate key", "DETAIL:  Key (email)=(ann@example.org) already exists."],
            Some("ERROR:  duplicate key"),
        );
        check(
            &["Traceback (most recent call last):", "ValueError: no such revision", ""],
            Some("ValueError: no such revision"),
        );
        check(&["  ^", ""], None);
        check(&[], None);
    }
}
