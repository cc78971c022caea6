//! Replication as it is observed: a heartbeat that is committed where writes go and read where they arrive.
//!
//! The heartbeat has a database of its own, so that neither a dump nor a plan nor a diff meets it.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, from_value_opt};
use tokio::sync::Mutex;

use super::connect::{DriverError, in_time, leave, opened, own_settings, with};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::replication::{Position, Standing};

/// Where the heartbeat lies.
const DATABASE: &str = "rehearsal_heartbeat";

const CONNECT: Duration = Duration::from_secs(5);
/// Of questions that no user's lock holds up.
const ANSWER: Duration = Duration::from_secs(20);
/// A thread that is stopped ends what it is applying first.
const STOP: Duration = Duration::from_secs(120);
/// The servers' own default, in seconds.
const USUAL_RETRY_S: u32 = 60;
/// Waits for nobody's lock for long.
const SESSION: &str = "lock_wait_timeout = 1, innodb_lock_wait_timeout = 1";

/// Where writes go.
pub struct Heart {
    connection: Mutex<Conn>,
}

impl Heart {
    /// Makes the heartbeat's database, where it is not there yet.
    ///
    /// # Errors
    /// The driver's.
    pub async fn make(superuser: &Endpoint) -> Result<(), DriverError> {
        let mut connection = open(&superuser.in_database("")).await?;
        for statement in [
            "CREATE DATABASE IF NOT EXISTS rehearsal_heartbeat",
            "CREATE TABLE IF NOT EXISTS rehearsal_heartbeat.beat
                (id tinyint NOT NULL PRIMARY KEY, number bigint NOT NULL) ENGINE = InnoDB",
            "INSERT IGNORE INTO rehearsal_heartbeat.beat VALUES (1, 0)",
        ] {
            connection.query_drop(statement).await?;
        }
        leave(connection).await;
        Ok(())
    }

    /// # Errors
    /// The driver's.
    pub async fn connect(superuser: &Endpoint) -> Result<Heart, DriverError> {
        Ok(Heart { connection: Mutex::new(open(&superuser.in_database(DATABASE)).await?) })
    }

    /// Commits a number.
    ///
    /// # Errors
    /// The driver's.
    pub async fn beat(&self, number: i64) -> Result<(), DriverError> {
        let mut connection = self.connection.lock().await;
        connection.query_drop(format!("UPDATE beat SET number = {number} WHERE id = 1")).await
    }
}

/// Where they arrive.
pub struct Pulse {
    connection: Mutex<Conn>,
    engine: EngineKind,
}

impl Pulse {
    /// # Errors
    /// The driver's; also while the heartbeat's database has not arrived.
    pub async fn connect(superuser: &Endpoint) -> Result<Pulse, DriverError> {
        let connection = Mutex::new(open(&superuser.in_database(DATABASE)).await?);
        Ok(Pulse { connection, engine: superuser.engine })
    }

    /// The heartbeat's number that the replica shows.
    ///
    /// # Errors
    /// The driver's.
    pub async fn read(&self) -> Result<i64, DriverError> {
        let mut connection = self.connection.lock().await;
        Ok(connection.query_first("SELECT number FROM beat WHERE id = 1").await?.unwrap_or_default())
    }

    /// What the replica wrote itself, as one of a pair, it has: nobody sends that back to it.
    ///
    /// Chapters "Functions Used with Global Transaction Identifiers (GTIDs)" of MySQL's manual and "MASTER_GTID_WAIT" of MariaDB's.
    ///
    /// # Errors
    /// The driver's.
    pub async fn standing(&self, to: &Position) -> Result<Standing, DriverError> {
        let mut connection = self.connection.lock().await;
        // There is no other kind of position here.
        let Position::Gtid(to) = to else { return Ok(Standing::default()) };
        let (has_it, to) = match self.engine {
            EngineKind::Mysql => ("SELECT GTID_SUBSET(?, @@GLOBAL.gtid_executed)", to.clone()),
            _ => {
                let own: Option<u32> = connection.query_first("SELECT @@GLOBAL.server_id").await?;
                ("SELECT MASTER_GTID_WAIT(?, 0) = 0", of_others(to, own.unwrap_or_default()))
            }
        };
        let has_it = connection.exec_first::<bool, _, _>(has_it, (to,)).await?.unwrap_or(false);
        let status = Status::of(&mut connection).await?;
        let words = status.ailment().unwrap_or_else(|| "it receives the log and has not applied all of it".to_owned());
        Ok(Standing {
            has_it,
            missing_bytes: None,
            progress: status.applied,
            receiving: status.receives,
            halted: !status.applies,
            words,
        })
    }
}

/// Of "domain-server-number" in a row, those that another server wrote.
fn of_others(gtids: &str, own: u32) -> String {
    let is_own = |gtid: &&str| gtid.split('-').nth(1) == Some(own.to_string().as_str());
    gtids.split(',').filter(|gtid| !is_own(gtid)).collect::<Vec<_>>().join(",")
}

/// What a replica says of itself (chapter "SHOW REPLICA STATUS" of the manuals).
#[derive(Debug, Default)]
struct Status {
    /// It replicates somebody.
    replicates: bool,
    receives: bool,
    applies: bool,
    /// Bytes into the other's log up to which it has applied it.
    applied: u64,
    receiver_error: Option<(u64, String)>,
    /// The words hold row values.
    applier_error: Option<u64>,
}

impl Status {
    async fn of(connection: &mut Conn) -> Result<Status, DriverError> {
        let Some(row) = connection.query_first::<Row, _>("SHOW REPLICA STATUS").await? else {
            return Ok(Status::default());
        };
        // MariaDB keeps the old names of the columns.
        let find = |names: [&str; 2]| {
            let index = row.columns_ref().iter().position(|column| names.contains(&column.name_str().as_ref()))?;
            row.as_ref(index)
        };
        let text =
            |names| find(names).and_then(|value| from_value_opt::<String>(value.clone()).ok()).unwrap_or_default();
        let number =
            |names| find(names).and_then(|value| from_value_opt::<u64>(value.clone()).ok()).unwrap_or_default();
        let one = |name| [name, name];
        let (receiver, applier) = (number(one("Last_IO_Errno")), number(one("Last_SQL_Errno")));
        Ok(Status {
            replicates: true,
            receives: text(["Replica_IO_Running", "Slave_IO_Running"]) == "Yes",
            applies: text(["Replica_SQL_Running", "Slave_SQL_Running"]) == "Yes",
            applied: number(["Exec_Source_Log_Pos", "Exec_Master_Log_Pos"]),
            receiver_error: (receiver != 0).then(|| (receiver, text(one("Last_IO_Error")))),
            applier_error: (applier != 0).then_some(applier),
        })
    }

    fn ailment(&self) -> Option<String> {
        if !self.replicates {
            return Some("it replicates nobody".to_owned());
        }
        if let Some(number) = self.applier_error {
            return Some(format!("its applier stopped at error {number}"));
        }
        if let Some((number, words)) = &self.receiver_error {
            return Some(format!("it receives no log: {words} ({number})"));
        }
        match (self.applies, self.receives) {
            (false, _) => Some("its applier is stopped".to_owned()),
            (true, false) => Some("it receives no log".to_owned()),
            (true, true) => None,
        }
    }
}

async fn open(endpoint: &Endpoint) -> Result<Conn, DriverError> {
    let settings = format!("SET SESSION {}, {SESSION}", own_settings(endpoint.engine));
    opened(&endpoint.named("rehearsal heartbeat"), &settings, CONNECT).await
}

/// The transactions that the server has in its log: as one set (MySQL), or as the last of each domain (MariaDB).
///
/// # Errors
/// The driver's.
pub async fn written_by(superuser: &Endpoint) -> Result<String, DriverError> {
    let written = match superuser.engine {
        EngineKind::Mysql => "SELECT @@GLOBAL.gtid_executed",
        _ => "SELECT @@GLOBAL.gtid_current_pos",
    };
    let ask = async |connection: &mut Conn| connection.query_first::<String, _>(written).await;
    Ok(in_time(ANSWER, with(&superuser.in_database(""), CONNECT, ask)).await?.unwrap_or_default())
}

/// Why the replica gets or applies nothing any more; none while it does. An applier's own words hold row values, and only its error's
/// number is given.
///
/// # Errors
/// The driver's.
pub async fn ailment(superuser: &Endpoint) -> Result<Option<String>, DriverError> {
    let ask = async |connection: &mut Conn| Ok(Status::of(connection).await?.ailment());
    in_time(ANSWER, with(&superuser.in_database(""), CONNECT, ask)).await
}

/// Gives the replica the intervals that production's has: after which it looks again for whom it lost, and at which MySQL's source tells
/// that it has nothing to send.
///
/// # Errors
/// The driver's.
pub async fn as_in_production(replica: &Endpoint) -> Result<(), DriverError> {
    let mysql = replica.engine == EngineKind::Mysql;
    let tell = async |connection: &mut Conn| {
        let statements = if mysql {
            // Its manual, "CHANGE REPLICATION SOURCE TO": half of the time after which a silent source counts as lost.
            let heartbeat: Option<f64> = connection.query_first("SELECT @@GLOBAL.replica_net_timeout / 2").await?;
            let heartbeat = heartbeat.unwrap_or_default();
            [
                "STOP REPLICA IO_THREAD".to_owned(),
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_CONNECT_RETRY = {USUAL_RETRY_S}, SOURCE_HEARTBEAT_PERIOD = {heartbeat}"
                ),
                "START REPLICA IO_THREAD".to_owned(),
            ]
        } else {
            [
                "STOP SLAVE".to_owned(),
                format!("CHANGE MASTER TO MASTER_CONNECT_RETRY = {USUAL_RETRY_S}"),
                "START SLAVE".to_owned(),
            ]
        };
        for statement in statements {
            connection.query_drop(statement).await?;
        }
        Ok(())
    };
    in_time(STOP, with(&replica.in_database(""), CONNECT, tell)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_wrote_itself_is_not_waited_for() {
        assert_eq!(of_others("1-1-50,2-2-30", 2), "1-1-50");
        assert_eq!(of_others("0-12-7", 2), "0-12-7");
        assert_eq!(of_others("2-2-30", 2), "");
        assert_eq!(of_others("", 2), "");
    }
}
