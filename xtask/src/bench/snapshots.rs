//! How long a capture and a restore of some size take, against the engines' own programs on the same server, and what masking costs; with the
//! most memory that each of ours took.
//!
//! Both sides read one server with two sessions, compress, and write to the same disk. Both restores end with the tables' statistics.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::in_turns;
use super::recorded::Run;
use crate::figures::Figures;
use crate::setup::{self, postgres_programs};
use crate::terminal::{say, tell};

/// Between two looks at how much memory a process has had.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes of rows with their indexes that one order and its share of customers take, about.
const ORDER_BYTES: u64 = 420;

const KEY: (&str, &str) = ("REHEARSAL_MASK_KEY", "a key for the benchmark of masking");

struct Engine {
    name: &'static str,
    topology: &'static str,
    /// With `$ORDERS` and `$CUSTOMERS`.
    load: &'static str,
    dumper: &'static str,
    restorer: &'static str,
}

const ENGINES: [Engine; 2] = [
    Engine {
        name: "postgres",
        topology: "engine = \"postgres\"\nversion = \"15\"\n[topology.nodes.primary]\nsettings = { max_wal_size = \"4GB\" }\n",
        load: POSTGRES_LOAD,
        dumper: "pg_dump -Fd -j2 -Z1",
        restorer: "pg_restore -j2, ANALYZE",
    },
    Engine {
        name: "mariadb",
        topology: "engine = \"mariadb\"\nversion = \"10.11\"\n",
        load: MARIADB_LOAD,
        dumper: "mydumper -t 2 -c",
        restorer: "myloader -t 2, ANALYZE",
    },
];

/// # Errors
/// A program is missing, or one of them fails.
pub fn run(binary: &Path, folder: &Path, pairs: u32, megabytes: u64) -> anyhow::Result<()> {
    setup::provide(&[&setup::MARIADB, &setup::MYDUMPER])?;
    for engine in &ENGINES {
        let room = folder.join(format!("snapshots-{}", engine.name));
        fs::create_dir_all(&room)?;
        let source = Source::start(engine, binary, room, megabytes)?;
        let measured = source.measure(pairs);
        source.call(&["down"], &[])?;
        measured?;
        fs::remove_dir_all(&source.folder)?;
    }
    Ok(())
}

/// A server that holds what is captured.
struct Source<'a> {
    engine: &'a Engine,
    binary: &'a Path,
    folder: PathBuf,
    megabytes: u64,
    port: String,
    password: String,
}

/// The seconds that a command took, and the most memory that it had, in MiB.
struct Took {
    elapsed_s: f64,
    peak_mib: f64,
}

impl<'a> Source<'a> {
    fn start(engine: &'a Engine, binary: &'a Path, folder: PathBuf, megabytes: u64) -> anyhow::Result<Source<'a>> {
        let orders = megabytes * 1_000_000 / ORDER_BYTES;
        let load =
            engine.load.replace("$ORDERS", &orders.to_string()).replace("$CUSTOMERS", &(orders / 10).to_string());
        fs::write(folder.join("load.sql"), load)?;
        let setup = "[snapshot]\nfrom = \"empty\"\n[[setup]]\nname = \"load\"\nfile = \"load.sql\"\n";
        let scenario = format!("name = \"source\"\n[topology]\n{}{setup}{STEP}", engine.topology);
        fs::write(folder.join("source.toml"), scenario)?;
        let restored = format!(
            "name = \"restored\"\n[topology]\n{}[snapshot]\nfrom = \"shop\"\n[probes]\nauto = false\n{STEP}",
            engine.topology
        );
        fs::write(folder.join("restored.toml"), restored)?;
        fs::write(folder.join("rules.toml"), RULES)?;
        let mut source = Source { engine, binary, folder, megabytes, port: String::new(), password: String::new() };
        say(&format!("{} MB of {}: made", megabytes, engine.name));
        source.call(&["up", "source.toml", "--lab", "native", "--format", "json"], &[])?;
        let up: Value = serde_json::from_str(&fs::read_to_string(source.folder.join("said"))?)?;
        source.port = up["nodes"][0]["port"].to_string();
        let passwords = up["passwords"].as_str().context("no file of passwords")?;
        let passwords = fs::read_to_string(passwords)?;
        source.password = passwords.trim().rsplit([':', ' ']).next().context("no password")?.to_owned();
        Ok(source)
    }

    fn measure(&self, pairs: u32) -> anyhow::Result<()> {
        let [mut ours, mut theirs, mut masked] = [Figures::default(), Figures::default(), Figures::default()];
        let [mut restored, mut their_restored] = [Figures::default(), Figures::default()];
        let [mut capture_mib, mut mask_mib, mut restore_mib] = [0.0_f64; 3];
        for pair in 0..pairs {
            say(&format!("{}: pair {} of {pairs}", self.engine.name, pair + 1));
            let (a, b) = in_turns(pair, || self.capture(&["--unmasked"]), || self.dump())?;
            ours.add(a.elapsed_s);
            theirs.add(b);
            capture_mib = capture_mib.max(a.peak_mib);
            let (a, b) = in_turns(pair, || self.restore(), || self.restore_dump())?;
            restored.add(a.elapsed_s);
            their_restored.add(b);
            restore_mib = restore_mib.max(a.peak_mib);
            let a = self.capture(&["--rules", "rules.toml"])?;
            masked.add(a.elapsed_s);
            mask_mib = mask_mib.max(a.peak_mib);
        }
        let Engine { name, dumper, restorer, .. } = self.engine;
        tell(&format!("capture of {} MB of {name}: {ours}, {capture_mib:.0} MiB at most", self.megabytes));
        tell(&format!("  {dumper}: {theirs}"));
        tell(&format!("  ratio: {:.2}", ours.median() / theirs.median()));
        tell(&format!("  with five columns masked: {masked}, {mask_mib:.0} MiB at most"));
        tell(&format!("  ratio to without: {:.2}", masked.median() / ours.median()));
        tell(&format!("restore of it: {restored}, {restore_mib:.0} MiB at most"));
        tell(&format!("  {restorer}: {their_restored}"));
        tell(&format!("  ratio: {:.2}", restored.median() / their_restored.median()));
        Ok(())
    }

    fn capture(&self, how: &[&str]) -> anyhow::Result<Took> {
        self.clear("shop")?;
        let scheme = if self.engine.name == "postgres" { "postgresql://postgres" } else { "mysql://root" };
        let url = format!("{scheme}:{}@127.0.0.1:{}/rehearsal", self.password, self.port);
        let arguments = ["snapshot", "capture", "env:SOURCE", "--out", "shop", "--workers", "2", "--quiet"];
        self.call(&[arguments.as_slice(), how].concat(), &[("SOURCE", &url), KEY])
    }

    /// A whole rehearsal; the seconds are those of the restore alone, as its log has them.
    fn restore(&self) -> anyhow::Result<Took> {
        // Masked rows were captured last in all pairs but the first.
        self.capture(&["--unmasked"])?;
        self.clear("out")?;
        let spawned = SystemTime::now();
        let arguments = ["run", "restored.toml", "--lab", "native", "--quiet", "--out", "out"];
        let took = self.call(&arguments, &[("REHEARSAL_NO_CACHE", "1")])?;
        let elapsed_s = Run::read(&self.folder.join("out"), spawned)?.restored_s()?;
        Ok(Took { elapsed_s, ..took })
    }

    fn dump(&self) -> anyhow::Result<f64> {
        self.clear("dump")?;
        let mut command = match self.engine.name {
            "postgres" => self.postgres("pg_dump", &["-Fd", "-j2", "-Z1", "-f", "dump", "rehearsal"])?,
            _ => self.mariadb("mydumper", &["-B", "rehearsal", "-o", "dump", "-t", "2", "-c"]),
        };
        self.timed(&mut command)
    }

    fn restore_dump(&self) -> anyhow::Result<f64> {
        if !self.folder.join("dump").exists() {
            self.dump()?;
        }
        if self.engine.name == "postgres" {
            for sql in ["DROP DATABASE IF EXISTS copy", "CREATE DATABASE copy"] {
                self.timed(&mut self.postgres("psql", &["-qc", sql, "postgres"])?)?;
            }
            let restored_s = self.timed(&mut self.postgres("pg_restore", &["-j2", "-d", "copy", "dump"])?)?;
            let analyzed_s =
                self.timed(&mut self.postgres("psql", &["-qc", "ANALYZE", "-c", "CHECKPOINT", "copy"])?)?;
            self.timed(&mut self.postgres("psql", &["-qc", "DROP DATABASE copy", "postgres"])?)?;
            return Ok(restored_s + analyzed_s);
        }
        let sql = |sql: &str| self.timed(&mut self.mariadb("mariadb", &["-e", sql]));
        sql("DROP DATABASE IF EXISTS copy; CREATE DATABASE copy")?;
        let restored_s = self.timed(&mut self.mariadb("myloader", &["-B", "copy", "-d", "dump", "-t", "2", "-o"]))?;
        let analyzed_s = sql("ANALYZE TABLE copy.customers, copy.orders, copy.notes")?;
        sql("DROP DATABASE copy")?;
        Ok(restored_s + analyzed_s)
    }

    fn postgres(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let programs = postgres_programs().context("no Postgres 15 on this machine")?;
        let mut command = Command::new(programs.join(program));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port]).args(arguments);
        command.env("PGPASSWORD", &self.password);
        Ok(command)
    }

    fn mariadb(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(["-h", "127.0.0.1", "-u", "root", "-P", &self.port, &format!("--password={}", self.password)])
            .args(arguments);
        command
    }

    fn timed(&self, command: &mut Command) -> anyhow::Result<f64> {
        Ok(self.done(command)?.elapsed_s)
    }

    fn call(&self, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Took> {
        let mut command = Command::new(self.binary);
        command.args(arguments).envs(environment.iter().copied());
        self.done(command.env("REHEARSAL_LAB_DIR", self.folder.join("lab")))
    }

    /// Runs to the end in the folder; what it says is in files, so that nobody waits for a server that inherited a pipe.
    fn done(&self, command: &mut Command) -> anyhow::Result<Took> {
        let name = command.get_program().to_os_string();
        let said = |file: &str| fs::File::create(self.folder.join(file));
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(said("said")?).stderr(said("errors")?);
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("could not run {}", name.display()))?;
        let (status, peak_mib) = watched(&mut child)?;
        let elapsed_s = began.elapsed().as_secs_f64();
        let errors = fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
        ensure!(status.success(), "{}: {status}\n{}", name.display(), errors.trim_end());
        Ok(Took { elapsed_s, peak_mib })
    }

    fn clear(&self, name: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

/// Waits, and looks meanwhile at the most memory that the process has had, which only grows.
fn watched(child: &mut Child) -> anyhow::Result<(std::process::ExitStatus, f64)> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak_mib = 0.0_f64;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak_mib));
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak_mib = peak_mib.max(peak.unwrap_or(0.0) / 1024.0);
        std::thread::sleep(LOOK_EVERY);
    }
}

const STEP: &str = "[[step]]\nname = \"nothing\"\nsql = \"SELECT 1\"\n";

/// Two columns of the largest table, and three of another.
const RULES: &str = r#"
[[mask]]
column = "customers.email"
as = "email"
[[mask]]
column = "customers.name"
as = "name"
[[mask]]
column = "customers.phone"
as = "phone"
[[mask]]
column = "orders.note"
as = "text"
[[mask]]
column = "orders.placed"
as = "date"
[[mask]]
name = "*"
as = "keep"
reason = "made up"
"#;

const POSTGRES_LOAD: &str = "
CREATE TABLE customers (id bigint PRIMARY KEY, email varchar(80) NOT NULL UNIQUE, name text NOT NULL, phone text, joined date NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL, status integer NOT NULL, amount numeric(12, 2) NOT NULL,
  placed timestamp NOT NULL, note text, doc jsonb NOT NULL);
CREATE TABLE notes (id bigint PRIMARY KEY, order_id bigint NOT NULL, body text NOT NULL);
INSERT INTO customers SELECT n, 'user' || n || '@example.com', 'Ann Other ' || n, '+49 30 ' || 1000000 + n, date '2010-01-01' + (n % 5000)::int
  FROM generate_series(1, $CUSTOMERS) n;
INSERT INTO orders SELECT n, n % $CUSTOMERS + 1, n % 7, n % 100000 / 7.0, timestamp '2015-01-01' + n * interval '1 minute',
  CASE WHEN n % 4 > 0 THEN 'please leave it with the neighbour of number ' || n % 997 END,
  jsonb_build_object('items', n % 9, 'sku', md5(n::text), 'gift', n % 2 = 0) FROM generate_series(1, $ORDERS) n;
INSERT INTO notes SELECT n, n * 5, repeat(md5(n::text) || ' ', 6) FROM generate_series(1, $ORDERS / 5) n;
CREATE INDEX ON orders (customer);
CREATE INDEX ON orders (placed);
CREATE INDEX ON notes (order_id);
ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers;
ALTER TABLE notes ADD FOREIGN KEY (order_id) REFERENCES orders;
VACUUM ANALYZE;
";

const MARIADB_LOAD: &str = "
CREATE TABLE customers (id bigint PRIMARY KEY, email varchar(80) NOT NULL UNIQUE, name varchar(80) NOT NULL, phone varchar(30), joined date NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL, status int NOT NULL, amount decimal(12, 2) NOT NULL,
  placed datetime NOT NULL, note text, doc json NOT NULL, KEY (customer), KEY (placed), FOREIGN KEY (customer) REFERENCES customers (id));
CREATE TABLE notes (id bigint PRIMARY KEY, order_id bigint NOT NULL, body text NOT NULL, KEY (order_id), FOREIGN KEY (order_id) REFERENCES orders (id));
INSERT INTO customers SELECT seq, CONCAT('user', seq, '@example.com'), CONCAT('Ann Other ', seq), CONCAT('+49 30 ', 1000000 + seq),
  '2010-01-01' + INTERVAL seq % 5000 DAY FROM seq_1_to_$CUSTOMERS;
INSERT INTO orders SELECT seq, seq % $CUSTOMERS + 1, seq % 7, seq % 100000 / 7.0, '2015-01-01' + INTERVAL seq MINUTE,
  CASE WHEN seq % 4 > 0 THEN CONCAT('please leave it with the neighbour of number ', seq % 997) END,
  JSON_OBJECT('items', seq % 9, 'sku', MD5(seq), 'gift', seq % 2 = 0) FROM seq_1_to_$ORDERS;
INSERT INTO notes SELECT id, id, REPEAT(CONCAT(MD5(id), ' '), 6) FROM orders WHERE id % 5 = 0;
ANALYZE TABLE customers, orders, notes;
";
