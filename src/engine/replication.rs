//! Replication as it is observed, whatever the engine: a heartbeat that is committed where writes go and read where they arrive, and
//! positions in the log.

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::replication::pair::{SLOT, SUBSCRIPTION};
use crate::engine::server::BoxError;
use crate::engine::subscription::Feed;
use crate::engine::{mysql, postgres};

/// Up to where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Into the log, in bytes: physical replicas have the same one.
    Bytes(u64),
    /// A set of transactions, as the server writes it: each server has a log of its own.
    Gtid(String),
}

/// Where writes go.
pub enum Heart {
    Postgres(postgres::replication::Heart),
    Mysql(mysql::replication::Heart),
}

impl Heart {
    /// Makes the heartbeat's database, where it is not there yet.
    ///
    /// # Errors
    /// The driver's.
    pub async fn make(superuser: &Endpoint) -> Result<(), BoxError> {
        match superuser.engine {
            EngineKind::Postgres => postgres::replication::Heart::make(superuser).await?,
            EngineKind::Mysql | EngineKind::Mariadb => mysql::replication::Heart::make(superuser).await?,
        }
        Ok(())
    }

    /// # Errors
    /// The driver's.
    pub async fn connect(superuser: &Endpoint) -> Result<Heart, BoxError> {
        Ok(match superuser.engine {
            EngineKind::Postgres => Heart::Postgres(postgres::replication::Heart::connect(superuser).await?),
            EngineKind::Mysql | EngineKind::Mariadb => {
                Heart::Mysql(mysql::replication::Heart::connect(superuser).await?)
            }
        })
    }

    /// Commits a number, and says where the log ends then, in bytes, where replicas have the same log.
    ///
    /// # Errors
    /// The driver's.
    pub async fn beat(&self, number: i64) -> Result<Option<u64>, BoxError> {
        Ok(match self {
            Heart::Postgres(heart) => Some(heart.beat(number).await?),
            Heart::Mysql(heart) => heart.beat(number).await.map(|()| None)?,
        })
    }
}

/// What a replica shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The heartbeat's number; none where replication does not carry the heartbeat, and the position has to tell.
    pub number: Option<i64>,
    /// Up to where it has the writer's log, in bytes, where both have the same.
    pub replayed: Option<u64>,
}

/// How a replica stands to a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// It has everything up to there.
    pub has_it: bool,
    /// Bytes of the log that are missing, where both have the same.
    pub missing_bytes: Option<u64>,
    /// Grows as it goes on.
    pub progress: u64,
    /// It receives the log.
    pub receiving: bool,
    /// It applies nothing until somebody tells it to, or it is restarted.
    pub halted: bool,
    /// Why it has not, in a few words.
    pub words: String,
}

/// A subscription by which writes arrive, and where from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// The scenario's database there, as superuser.
    pub publisher: Endpoint,
    pub subscription: String,
    /// The publisher's, for it.
    pub slot: String,
}

impl Subscribed {
    /// As each of a pair subscribes to the other.
    pub fn of_pair(publisher: Endpoint) -> Subscribed {
        let (subscription, slot) = (SUBSCRIPTION.to_owned(), SLOT.to_owned());
        Subscribed { publisher, subscription, slot }
    }

    pub fn of_feed(publisher: Endpoint, feed: &Feed) -> Subscribed {
        let slot = postgres::server::slot(&feed.subscriber);
        Subscribed { publisher, subscription: feed.publication.clone(), slot }
    }
}

/// Where they arrive.
pub enum Pulse {
    Postgres(postgres::replication::Pulse),
    PostgresSubscriber(Box<postgres::replication::pair::SubscriberPulse>),
    Mysql(mysql::replication::Pulse),
}

impl Pulse {
    /// `to` is what it subscribes to, where the writes that are looked for come that way.
    ///
    /// # Errors
    /// The driver's; also while the heartbeat's database has not arrived.
    pub async fn connect(superuser: &Endpoint, to: Option<&Subscribed>) -> Result<Pulse, BoxError> {
        Ok(match (superuser.engine, to) {
            (EngineKind::Postgres, None) => Pulse::Postgres(postgres::replication::Pulse::connect(superuser).await?),
            (EngineKind::Postgres, Some(to)) => {
                let pulse = postgres::replication::pair::SubscriberPulse::connect(superuser, to).await?;
                Pulse::PostgresSubscriber(Box::new(pulse))
            }
            (EngineKind::Mysql | EngineKind::Mariadb, _) => {
                Pulse::Mysql(mysql::replication::Pulse::connect(superuser).await?)
            }
        })
    }

    /// # Errors
    /// The driver's.
    pub async fn read(&self) -> Result<Shown, BoxError> {
        Ok(match self {
            Pulse::Postgres(pulse) => pulse.read().await?,
            Pulse::PostgresSubscriber(pulse) => Shown { number: None, replayed: pulse.applied().await? },
            Pulse::Mysql(pulse) => Shown { number: Some(pulse.read().await?), replayed: None },
        })
    }

    /// # Errors
    /// The driver's.
    pub async fn standing(&self, to: &Position) -> Result<Standing, BoxError> {
        Ok(match self {
            Pulse::Postgres(pulse) => pulse.standing(to).await?,
            Pulse::PostgresSubscriber(pulse) => pulse.standing(to).await?,
            Pulse::Mysql(pulse) => pulse.standing(to).await?,
        })
    }
}

/// Makes ready what proves that a pair replicates: on both, before either follows the other.
///
/// # Errors
/// The driver's.
pub async fn prepare_proof(superuser: &Endpoint) -> Result<(), BoxError> {
    if superuser.engine == EngineKind::Postgres {
        // Replication does not carry it, and positions are asked for there.
        Heart::make(superuser).await?;
        postgres::replication::pair::prepare_proof(superuser).await?;
    }
    Ok(())
}

/// Commits a row on one of a pair. Numbers grow.
///
/// # Errors
/// The driver's.
pub async fn put_proof(superuser: &Endpoint, number: i32) -> Result<(), BoxError> {
    match superuser.engine {
        EngineKind::Postgres => postgres::replication::pair::put_proof(superuser, number).await?,
        EngineKind::Mysql | EngineKind::Mariadb => {
            Heart::make(superuser).await?;
            Heart::connect(superuser).await?.beat(number.into()).await?;
        }
    }
    Ok(())
}

/// Whether that row is there.
///
/// # Errors
/// The driver's; also while what is to hold it has not arrived.
pub async fn has_proof(superuser: &Endpoint, number: i32) -> Result<bool, BoxError> {
    Ok(match superuser.engine {
        EngineKind::Postgres => postgres::replication::pair::has_proof(superuser, number).await?,
        EngineKind::Mysql | EngineKind::Mariadb => {
            let shown = Pulse::connect(superuser, None).await?.read().await?;
            shown.number.is_some_and(|shown| shown >= number.into())
        }
    })
}

/// Takes away what the proof left in the scenario's database; the heartbeat stays.
///
/// # Errors
/// The driver's.
pub async fn remove_proof(superuser: &Endpoint) -> Result<(), BoxError> {
    if superuser.engine == EngineKind::Postgres {
        postgres::replication::pair::remove_proof(superuser).await?;
    }
    Ok(())
}

/// Up to where the writer has written.
///
/// # Errors
/// The driver's.
pub async fn written_by(superuser: &Endpoint) -> Result<Position, BoxError> {
    Ok(match superuser.engine {
        EngineKind::Postgres => Position::Bytes(postgres::replication::written_by(superuser).await?),
        EngineKind::Mysql | EngineKind::Mariadb => Position::Gtid(mysql::replication::written_by(superuser).await?),
    })
}

/// Why a replica gets or applies nothing any more, in the server's words without a row's values; none while it does.
///
/// # Errors
/// The driver's.
pub async fn ailment(replica: &Endpoint) -> Result<Option<String>, BoxError> {
    Ok(match replica.engine {
        // A physical replica that does not stream says so in its log.
        EngineKind::Postgres => None,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::replication::ailment(replica).await?,
    })
}

/// Takes back what made a replica quicker to look for whom it lost while everything was made ready.
///
/// # Errors
/// The driver's.
pub async fn as_in_production(replica: &Endpoint) -> Result<(), BoxError> {
    match replica.engine {
        EngineKind::Postgres => postgres::replication::as_in_production(replica).await?,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::replication::as_in_production(replica).await?,
    }
    Ok(())
}
