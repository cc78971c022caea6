//! Running programs inside a container, with input, output, exit code and a deadline.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::engine::host::{ExecOutput, HostError};
use crate::lab::feed;
use crate::lab::native::keep_end;

/// Writes its own process id, which is its group's too, then becomes the program.
const NOTE_PID: &str = "echo $$ >\"$0\" && exec \"$@\"";

/// Waits for a program to begin, for a minute at most, and kills it with its children.
const KILL_GROUP: &str = r#"
for _ in $(seq 600); do
    [ -s "$0" ] && { kill -s KILL -- "-$(cat "$0")"; exit; }
    sleep 0.1
done
"#;

/// Where standard output goes: into memory, or piece by piece to somebody.
pub enum Sink<'a> {
    Memory(&'a mut Vec<u8>),
    File(&'a mut tokio::fs::File),
}

/// A program for a container.
pub struct Run<'a> {
    pub user: &'a str,
    pub env: &'a [(String, String)],
    pub argv: Vec<&'a str>,
}

/// Both ends of an attached program.
pub struct Attached {
    pub id: String,
    pub output: Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// One container as a place to run things.
#[derive(Debug, Clone)]
pub struct Inside {
    pub docker: Docker,
    pub container: String,
}

impl Inside {
    /// Runs a program to its end; past the deadline it is killed with its children.
    pub async fn run(
        &self,
        run: &Run<'_>,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        sink: Sink<'_>,
        deadline: Duration,
    ) -> Result<ExecOutput, HostError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pid_file = format!("/tmp/rehearsal-exec-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let program = run.argv.first().copied().unwrap_or_default();
        let mut stderr = Vec::new();
        let ended = tokio::time::timeout(deadline, self.run_to_end(run, &pid_file, stdin, sink, &mut stderr)).await;
        match ended {
            Ok(Ok(status)) => {
                Ok(ExecOutput { status, stdout: Vec::new(), stderr: String::from_utf8_lossy(&stderr).into_owned() })
            }
            Ok(Err(error)) => Err(could_not_run(program, error)),
            Err(_) => {
                self.kill_group(&pid_file).await?;
                let said = String::from_utf8_lossy(&stderr).into_owned();
                let last = said.lines().last().unwrap_or("nothing").to_owned();
                Err(HostError::Deadline { what: program.to_owned(), deadline, last })
            }
        }
    }

    /// Runs a script of ours as root; its standard output.
    pub async fn script(&self, script: &str, arguments: &[&str], deadline: Duration) -> Result<String, HostError> {
        let mut argv = vec!["sh", "-c", script, "sh"];
        argv.extend(arguments);
        let mut stdout = Vec::new();
        let run = Run { user: "0", env: &[], argv };
        let output = self.run(&run, &mut tokio::io::empty(), Sink::Memory(&mut stdout), deadline).await?;
        if output.status != 0 {
            return Err(HostError::Failed {
                what: format!("a script in the container ended with {}: {}", output.status, output.stderr.trim_end()),
                source: None,
            });
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Starts a program and leaves it to itself; the id to ask about it.
    pub async fn detached(&self, user: &str, env: &[(String, String)], argv: Vec<&str>) -> Result<String, HostError> {
        let program = argv.first().copied().unwrap_or_default().to_owned();
        let id = self.create(&Run { user, env, argv }, false).await;
        let id = id.map_err(|error| could_not_run(&program, error))?;
        let options = StartExecOptions { detach: true, ..StartExecOptions::default() };
        self.docker.start_exec(&id, Some(options)).await.map_err(|error| could_not_run(&program, error))?;
        Ok(id)
    }

    /// Starts a program with both ends in our hands.
    pub async fn attached(&self, run: &Run<'_>) -> Result<Attached, bollard::errors::Error> {
        let id = self.create(run, true).await?;
        let options = StartExecOptions { output_capacity: Some(64 * 1024), ..StartExecOptions::default() };
        match self.docker.start_exec(&id, Some(options)).await? {
            StartExecResults::Attached { output, input } => Ok(Attached { id, output, input }),
            StartExecResults::Detached => Err(std::io::Error::other("the engine did not attach").into()),
        }
    }

    /// The exit code of a program, if it has ended.
    pub async fn exit_code(&self, id: &str) -> Result<Option<i64>, bollard::errors::Error> {
        let found = self.docker.inspect_exec(id).await?;
        Ok(if found.running == Some(true) { None } else { found.exit_code })
    }

    async fn create(&self, run: &Run<'_>, attach: bool) -> Result<String, bollard::errors::Error> {
        let options = CreateExecOptions {
            attach_stdin: Some(attach),
            attach_stdout: Some(attach),
            attach_stderr: Some(attach),
            env: Some(run.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            cmd: Some(run.argv.iter().map(|word| (*word).to_owned()).collect()),
            user: Some(run.user.to_owned()),
            ..CreateExecOptions::default()
        };
        Ok(self.docker.create_exec(&self.container, options).await?.id)
    }

    async fn run_to_end(
        &self,
        run: &Run<'_>,
        pid_file: &str,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        sink: Sink<'_>,
        stderr: &mut Vec<u8>,
    ) -> Result<i32, bollard::errors::Error> {
        let mut argv = vec!["sh", "-c", NOTE_PID, pid_file];
        argv.extend(&run.argv);
        let Attached { id, output, mut input } = self.attached(&Run { user: run.user, env: run.env, argv }).await?;
        let fed = async {
            feed(stdin, &mut input).await?;
            std::future::pending().await
        };
        tokio::select! {
            drained = drain(output, sink, stderr) => drained?,
            // Its output's end is the program's, whether or not it has read everything; only what cannot be read ends it here.
            failed = fed => return failed,
        }
        loop {
            // The output can end a moment before the engine knows the exit code.
            if let Some(code) = self.exit_code(&id).await? {
                return Ok(i32::try_from(code).unwrap_or(-1));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Of a program that may not have begun yet.
    async fn kill_group(&self, pid_file: &str) -> Result<(), HostError> {
        let kill = vec!["sh", "-c", KILL_GROUP, pid_file];
        self.detached("0", &[], kill).await.map(|_| ())
    }
}

async fn drain(
    mut output: Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    mut sink: Sink<'_>,
    stderr: &mut Vec<u8>,
) -> Result<(), bollard::errors::Error> {
    while let Some(piece) = output.next().await {
        match piece? {
            LogOutput::StdErr { message } => keep_end(stderr, &message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => match &mut sink {
                Sink::Memory(memory) => memory.extend_from_slice(&message),
                Sink::File(file) => file.write_all(&message).await?,
            },
            LogOutput::StdIn { .. } => {}
        }
    }
    if let Sink::File(file) = sink {
        file.flush().await?;
    }
    Ok(())
}

fn could_not_run(program: &str, error: bollard::errors::Error) -> HostError {
    HostError::CouldNotRun { program: program.to_owned(), source: error.into() }
}
