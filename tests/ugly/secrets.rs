//! Passwords are in no log, report or output, and servers are reached from this machine alone.

use std::fs;

use crate::docker;
use crate::support::{LABS, Room, SCENARIO, has, in_ci};

#[test]
fn passwords_are_nowhere() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        let steps = "\
[[step]]\nname = \"told to a program\"\ncommand = \"printenv PGPASSWORD >../secret; echo $PGPASSWORD $DATABASE_URL; psql -c \\\"SELECT '$PGPASSWORD'\\\"\"\n\
[[step]]\nname = \"put into SQL\"\nsql = \"SELECT length('${node.primary.url}')\"\n\
[[step]]\nname = \"put into SQL that fails\"\nsql = \"SELECT '${node.primary.url}'::int\"\n";
        room.write("shop.sql", "CREATE TABLE goods (id int PRIMARY KEY);\n");
        room.write("scenario.toml", SCENARIO.replace("\"empty\"", "\"shop.sql\"") + steps);
        room.write("../secret", "");
        fs::set_permissions(room.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
        let mut command = room.command();
        command.args(["run", "scenario.toml", "--out", "out", "--lab", lab, "-vvv"]);
        let ended = room.start(command).end();
        ended.exits(1).tells(&["put into SQL that fails"]);
        if lab == "docker" {
            ended.says(&["DEBUG"]);
        }
        let secret = fs::read_to_string(room.path("secret")).expect("the program wrote it");
        let secret = secret.trim();
        assert!(secret.len() >= 16, "no password was told to the program");
        for (path, text) in room.texts() {
            assert!(!text.contains(secret), "a password is in {}", path.display());
        }
        ended.assert_reports(&room, "failed");
        room.assert_clean();
    }
}

/// What the environment gives to a program or a snapshot is no one's to read either.
#[test]
fn secrets_of_the_environment_are_nowhere() {
    if !has("native") {
        return;
    }
    const SECRET: &str = "correct-horse-battery";
    let room = Room::new();
    room.scenario("[[step]]\nname = \"one\"\ncommand = { run = \"echo $TOKEN; psql -c \\\"SELECT '$TOKEN'\\\"; exit 3\", env = { TOKEN = \"env:UGLY_TOKEN\" } }\n");
    let mut command = room.command();
    command.args(["run", "scenario.toml", "--out", "out", "--lab", "native", "-vv"]).env("UGLY_TOKEN", SECRET);
    room.start(command).end().exits(1);
    for (path, text) in room.texts() {
        assert!(!text.contains(SECRET), "a secret is in {}", path.display());
    }
    room.assert_clean();

    drop(room);
    let room = Room::new();
    let text = SCENARIO.replace("from = \"empty\"", "from = \"env:UGLY_URL\"\nunmasked = true");
    room.write("scenario.toml", text + "[[step]]\nname = \"one\"\nsql = \"SELECT 1\"\n");
    for url in [&format!("postgresql://bob:{SECRET}@127.0.0.1:1/shop"), &format!("nonsense://{SECRET}")] {
        let mut command = room.command();
        command.args(["run", "scenario.toml", "--out", "out", "--lab", "native", "-vv"]).env("UGLY_URL", url);
        let ended = room.start(command).end();
        assert!([2, 3].contains(&ended.exit), "{}{}", ended.stdout, ended.stderr);
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains("hint: "), "{}{}", ended.stdout, ended.stderr);
        for (path, text) in room.texts() {
            assert!(!text.contains(SECRET), "a secret is in {}", path.display());
        }
        room.assert_clean();
        let _ = fs::remove_dir_all(room.path("work/out"));
    }
}

/// What stands in rows is in nothing that a run leaves, unless it was asked for.
#[test]
fn values_of_rows_are_nowhere() {
    if !has("native") {
        return;
    }
    const VALUES: [&str; 2] = ["ann", "correct-horse-battery"];
    let room = Room::new();
    room.scenario(
        "[[setup]]\nfile = \"rows.sql\"\n[[step]]\nname = \"one\"\nfile = \"one.sql\"\nwhen_failed = \"continue\"\n\
         [[step]]\nname = \"two\"\nfile = \"two.sql\"\n",
    );
    let rows = "INSERT INTO orders SELECT 1, chr(97) || 'nn@example.org'; INSERT INTO orders SELECT 2, replace('correct horse battery', ' ', '-')";
    room.write("rows.sql", rows);
    let one = "SELECT note AS name FROM orders WHERE id = 1 \\gset\n\\echo :name\nSELECT count(*) FROM orders WHERE note = :'name';\n\
        DO $$ DECLARE one text; BEGIN FOR one IN SELECT note FROM orders LOOP RAISE NOTICE 'merging %', one; END LOOP; END $$;\n\
        SELECT note::int FROM orders;";
    room.write("one.sql", one);
    room.write("two.sql", "DO $$ BEGIN RAISE EXCEPTION 'order of % is open', (SELECT max(note) FROM orders); END $$;");
    let ended = room.rehearse("native");
    ended.exits(1).tells(&["order of … is open"]);
    for (path, text) in room.texts() {
        for value in VALUES {
            // The page's own script and style hold words as well.
            let words = text.split(|c: char| !(c.is_alphanumeric() || c == '-'));
            assert!(!words.into_iter().any(|word| word == value), "{value} is in {}", path.display());
        }
    }
    ended.assert_reports(&room, "failed");
    let open = ["run", "scenario.toml", "--out", "open", "--lab", "native", "--show-values"];
    room.run(&open).exits(1).tells(&["order of correct-horse-battery is open"]);
    room.assert_clean();
}

#[test]
fn servers_listen_on_loopback_alone() {
    for lab in LABS.into_iter().filter(|lab| has(lab)) {
        let room = Room::new();
        room.scenario("[[step]]\nname = \"one\"\nsql = \"SELECT pg_sleep(60)\"\n");
        let mut run = room.begin(lab);
        run.reaches_step();
        let addresses = if lab == "native" { listening(&room) } else { published(&room) };
        assert!(!addresses.is_empty(), "the server listens nowhere");
        for address in &addresses {
            assert!(["127.0.0.1", "::1"].contains(&address.as_str()), "the server listens on {address}");
        }
        run.signal(rustix::process::Signal::INT);
        run.end().exits(130);
        room.assert_clean();
    }
}

/// Addresses on which the processes of this room listen.
pub fn listening(room: &Room) -> Vec<String> {
    let mut found = Vec::new();
    for pid in room.pids() {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let sockets: Vec<String> = files
            .flatten()
            .filter_map(|file| {
                fs::read_link(file.path())
                    .ok()?
                    .to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')
                    .map(str::to_owned)
            })
            .collect();
        for table in ["tcp", "tcp6"] {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            for line in text.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if fields[3] == "0A" && sockets.iter().any(|inode| inode == fields[9]) {
                    found.push(match fields[1].split(':').next().expect("an address") {
                        "0100007F" => "127.0.0.1".to_owned(),
                        "00000000000000000000000001000000" => "::1".to_owned(),
                        other => other.to_owned(),
                    });
                }
            }
        }
    }
    found
}

pub fn published(room: &Room) -> Vec<String> {
    let container = room.containers().pop().expect("a container");
    docker::published(&container)
}

/// What a trigger remarks to every probe holds a row's values.
#[test]
fn what_the_server_remarks_to_probes_is_nowhere() {
    if !has("native") {
        return;
    }
    let room = Room::new();
    let remarks = "CREATE FUNCTION remark() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN RAISE NOTICE 'remarked on %', NEW; RETURN NEW; END$$;
        CREATE TRIGGER remark BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION remark()";
    room.scenario(&format!(
        "[[setup]]\nsql = \"\"\"{remarks}\"\"\"\n[[step]]\nname = \"one\"\nsql = \"ALTER TABLE orders ADD COLUMN a int\"\n"
    ));
    let ended = room.rehearse("native");
    ended.exits(0);
    let report = ended.report();
    let inserts = report["probes"].as_array().expect("probes").iter().find(|probe| probe["name"] == "orders insert");
    assert_eq!(inserts.map(|probe| probe["dropped"].is_null()), Some(true), "nobody inserted: {report}");
    for (path, text) in room.texts() {
        assert!(!text.contains("remarked on ("), "a remark is in {}", path.display());
    }
    room.assert_clean();
}

/// Neither is what a program on MariaDB wrote into its statements, or the server into its errors; and passwords are nowhere.
#[test]
fn what_a_program_says_to_mariadb_is_nowhere() {
    if !has("native") || (!in_ci() && !std::path::Path::new("/usr/sbin/mariadbd").exists()) {
        return;
    }
    const VALUES: [&str; 2] = ["correct-horse-battery", "4711471147"];
    let room = Room::new();
    room.write("shop.sql", "CREATE TABLE goods (id bigint PRIMARY KEY, note varchar(80));\n");
    let sql = "INSERT INTO goods VALUES (4711471147, 'correct-horse-battery');
        UPDATE goods SET note = CONCAT(note, '-correct-horse-battery') WHERE id = 4711471147;
        INSERT INTO goods VALUES (4711471147, 'correct-horse-battery');";
    room.write("goods.sql", sql);
    let scenario = "name = \"ugly\"\n[topology]\nengine = \"mariadb\"\nversion = \"10.11\"\n[snapshot]\nfrom = \"shop.sql\"\n\
        [[step]]\nname = \"goods\"\ncommand = { run = \"printenv MYSQL_PWD >../secret; mysql <goods.sql\", env = { HOME = \"/nowhere\" } }\n";
    room.write("scenario.toml", scenario);
    room.write("../secret", "");
    fs::set_permissions(room.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let ended = room.run(&["run", "scenario.toml", "--out", "out", "--lab", "native", "-vvv"]);
    ended.exits(1).tells(&["ERROR 1062 (23000) at line 3: Duplicate entry '…' for key 'PRIMARY'"]);
    let secret = fs::read_to_string(room.path("secret")).expect("the program wrote it");
    let secret = secret.trim();
    assert!(secret.len() >= 16, "no password was told to the program");
    let statements = ended.report()["steps"][0]["statements"].clone();
    assert_eq!(statements.as_array().map(Vec::len), Some(3), "{statements}");
    assert_eq!(statements[2]["error"]["code"], "1062", "{statements}");
    for (path, text) in room.texts() {
        assert!(!text.contains(secret), "a password is in {}", path.display());
        // A program's own output is kept as it was written.
        let is_output = path.ends_with("step-1.log");
        for value in VALUES.into_iter().filter(|_| !is_output) {
            assert!(!text.contains(value), "{value} is in {}", path.display());
        }
    }
    room.assert_clean();
}
