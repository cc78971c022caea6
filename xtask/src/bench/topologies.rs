//! How long until a topology is proven: every node up, and a row written where rows are written and read on each of the others.
//! `rehearsal up` against a shell script that starts the same servers by the engines' own tools, one after the other.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::in_turns;
use crate::figures::Figures;
use crate::terminal::{say, tell};
use crate::{docker, setup};

/// Seconds for a script, from its start to its end.
const DEADLINE: &str = "300";

const SCRIPT: &str = include_str!("topologies.sh");

struct Topology {
    /// As the script knows it.
    name: &'static str,
    image: &'static str,
    /// `[topology]` and the nodes.
    nodes: &'static str,
    /// What proves it, once the table is everywhere.
    proof: &'static str,
}

const TOPOLOGIES: [Topology; 4] = [
    Topology {
        name: "mariadb-replicas",
        image: "rehearsal/mariadb:10.11",
        nodes: "engine = \"mariadb\"\nversion = \"10.11\"\n[topology.nodes.a]\n[topology.nodes.b]\nreplicates = \"a\"\n[topology.nodes.c]\n\
                replicates = \"a\"\n",
        proof: READ_ON_REPLICAS,
    },
    Topology {
        name: "mariadb-pair",
        image: "rehearsal/mariadb:10.11",
        nodes: "engine = \"mariadb\"\nversion = \"10.11\"\n[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\npeers = [\"a\"]\n",
        proof: READ_ON_BOTH,
    },
    Topology {
        name: "mariadb-shards",
        image: "rehearsal/mariadb:10.11",
        nodes: "engine = \"mariadb\"\nversion = \"10.11\"\nshards = 4\n[topology.nodes.a]\npeers = [\"b\"]\n[topology.nodes.b]\n\
                peers = [\"a\"]\n",
        proof: READ_ON_BOTH_OF_EACH,
    },
    Topology {
        name: "postgres-standbys",
        image: "rehearsal/postgres:15",
        nodes: "engine = \"postgres\"\nversion = \"15\"\n[topology.nodes.a]\n[topology.nodes.b]\nreplicates = \"a\"\n[topology.nodes.c]\n\
                replicates = \"a\"\n",
        proof: READ_ON_REPLICAS,
    },
];

const READ_ON_REPLICAS: &str = r#"
[[setup]]
on = ["b", "c"]
wait = { sql = "SELECT COUNT(*) = 1 FROM proof", deadline = "60s" }
"#;

const READ_ON_BOTH: &str = r#"
[[setup]]
on = "b"
wait = { sql = "SELECT COUNT(*) = 1 FROM proof", deadline = "60s" }
[[setup]]
on = "b"
sql = "INSERT INTO proof VALUES (2)"
[[setup]]
wait = { sql = "SELECT COUNT(*) = 2 FROM proof", deadline = "60s" }
"#;

const READ_ON_BOTH_OF_EACH: &str = r#"
[[setup]]
on = "side:b"
at_once = "all"
wait = { sql = "SELECT COUNT(*) = 1 FROM proof", deadline = "60s" }
[[setup]]
on = "side:b"
at_once = "all"
sql = "INSERT INTO proof VALUES (2)"
[[setup]]
at_once = "all"
wait = { sql = "SELECT COUNT(*) = 2 FROM proof", deadline = "60s" }
"#;

/// Each topology in each lab that this machine has.
///
/// # Errors
/// One does not come up, by the program or by the script.
pub fn run(binary: &Path, folder: &Path, pairs: u32) -> anyhow::Result<()> {
    setup::provide(&[&setup::POSTGRES, &setup::MARIADB])?;
    for topology in &TOPOLOGIES {
        for lab in ["native", "docker"] {
            if lab == "docker" && !(which::which("docker").is_ok() && docker::has_image(topology.image)?) {
                say(&format!("no docker on the path, or no {}: the Docker lab is left out", topology.image));
                continue;
            }
            topology.measure(binary, folder, lab, pairs)?;
        }
    }
    Ok(())
}

impl Topology {
    fn measure(&self, binary: &Path, folder: &Path, lab: &str, pairs: u32) -> anyhow::Result<()> {
        let scenario = self.write(folder)?;
        let (mut ours, mut plain, mut ratios) = (Figures::default(), Figures::default(), Figures::default());
        for pair in 0..pairs {
            say(&format!("{}, {lab}: pair {} of {pairs}", self.name, pair + 1));
            let (a, b) = in_turns(pair, || up_and_down(binary, &scenario, lab), || self.by_script(lab))?;
            ours.add(a);
            plain.add(b);
            ratios.add(a / b);
        }
        tell(&format!("{} proven, {lab} lab: {ours}", self.name));
        tell(&format!("  a script with the engine's own tools: {plain}"));
        tell(&format!("  ratio, pair by pair: {}", ratios.plain()));
        Ok(())
    }

    fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let folder = folder.join(self.name);
        fs::create_dir_all(&folder)?;
        let Topology { name, nodes, proof, .. } = self;
        let head = format!("name = \"{name}\"\n[topology]\n{nodes}[snapshot]\nfrom = \"empty\"\n");
        fs::write(folder.join("scenario.toml"), format!("{head}{TABLE}{proof}{STEP}"))?;
        Ok(folder)
    }

    /// Seconds until the script has proven it. Its servers are gone again.
    fn by_script(&self, lab: &str) -> anyhow::Result<f64> {
        // Short: a socket's path has to fit into 108 bytes.
        let folder = tempfile::Builder::new().prefix("rehearsal-bench-").tempdir()?;
        let mut command = Command::new("timeout");
        command.args([DEADLINE, "sh", "-c", SCRIPT, "topologies.sh", self.name, lab]).arg(folder.path());
        if lab == "native" {
            command.args(free_ports()?.map(|port| port.to_string()));
        } else {
            command.arg(self.image);
        }
        let began = Instant::now();
        let mut script = Script::start(&mut command)?;
        script.proven()?;
        let elapsed_s = began.elapsed().as_secs_f64();
        script.end()?;
        Ok(elapsed_s)
    }
}

/// `CREATE TABLE` has come to all before anybody asks for a row of it.
const TABLE: &str = r#"
[[setup]]
sql = "CREATE TABLE proof (n int PRIMARY KEY); INSERT INTO proof VALUES (1)"
[[setup]]
wait = { for = "caught_up", deadline = "60s" }
"#;

const STEP: &str = "[[step]]\nname = \"nothing\"\nsql = \"SELECT 1\"\n";

/// Seconds of `rehearsal up`, whose setup proves it. `rehearsal down` is not counted.
fn up_and_down(binary: &Path, scenario: &Path, lab: &str) -> anyhow::Result<f64> {
    let call = |arguments: &[&str]| -> anyhow::Result<()> {
        let said = tempfile::NamedTempFile::new()?;
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(scenario).env("REHEARSAL_LAB_DIR", scenario.join("lab"));
        // The script makes all of it anew as well.
        command.env("REHEARSAL_NO_CACHE", "1");
        // A file, so that nobody waits for a server that inherited it.
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.reopen()?).status()?;
        let told = fs::read_to_string(said.path()).unwrap_or_default();
        ensure!(status.success(), "rehearsal {}: {status}\n{}", arguments.join(" "), told.trim_end());
        Ok(())
    };
    let began = Instant::now();
    call(&["up", ".", "--quiet", "--lab", lab])?;
    let elapsed_s = began.elapsed().as_secs_f64();
    call(&["down"])?;
    Ok(elapsed_s)
}

/// Free a moment ago, one for each server of the largest topology: the engines' own tools find none by themselves.
fn free_ports() -> anyhow::Result<[u16; 8]> {
    let listeners = [(); 8].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let mut ports = [0; 8];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        let listener = listener.as_ref().map_err(|error| anyhow::anyhow!("no port is free: {error}"))?;
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Takes all of it down at the end of its standard input, so with this.
struct Script {
    child: Child,
    said: tempfile::NamedTempFile,
}

impl Script {
    fn start(command: &mut Command) -> anyhow::Result<Script> {
        let said = tempfile::NamedTempFile::new()?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said.reopen()?).spawn();
        Ok(Script { child: child.context("could not run timeout")?, said })
    }

    fn proven(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        let output = self.child.stdout.as_mut().expect("it was piped");
        BufReader::new(output).read_line(&mut line)?;
        let told = fs::read_to_string(self.said.path()).unwrap_or_default();
        ensure!(line == "proven\n", "the script that starts the same servers failed\n{}", told.trim_end());
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the script ended with {status}");
        Ok(())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It has ended, or ends now.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{TOPOLOGIES, Topology};
    use crate::setup::MARIADB;
    use crate::terminal::ci;

    #[test]
    fn a_script_proves_and_refuses() {
        if !MARIADB.is_here() {
            assert!(!ci(), "no MariaDB 10.11 on this machine, and CI=true skips nothing");
            return;
        }
        let [_, pair, ..] = TOPOLOGIES;
        assert!(pair.by_script("native").unwrap() > 0.0);
        let unknown = Topology { name: "mariadb-ring", ..pair };
        let refused = unknown.by_script("native").unwrap_err().to_string();
        assert!(refused.contains("no topology mariadb-ring"), "{refused}");
    }
}
