//! Locks in Redis, shared with other servers: RoadRunner 3's and Causeway's.
//!
//! ```text
//!  claim ──▶ Redis ──▶ queue of the resource: the first asks, the others wait for their turn
//!              │          ▲ messages and timers: ask again (signals)
//!              └──▶ attempt ──▶ client ──script──▶ the node that has the key (nodes, endpoint)
//!                     └ lost or abandoned ──▶ releaser: takes it back, whenever Redis can be asked
//! ```
//!
//! Redis decides, by one script ([`script`]) and by its own clock. This server keeps no belief of what is held: a lock is what the last
//! answer said, and a holder that was paused for longer than its time to live finds that out by its token.
//!
//! Invariants:
//! - No grant without an answer of Redis that says so and that is younger than the lock's time to live.
//! - A claim that fails, is abandoned or is too late leaves nothing behind: what Redis may have granted is taken back, and a later claim of
//!   the same id waits for that.
//! - Among the waiters of this server, first come, first served. Between servers, whoever asks first after a change; a claim that does not
//!   wait asks at once.
//! - A waiter is never forgotten: it asks again on a message, when the first lock expires, and every [`LOOK`].
//! - No command is repeated that may have been executed. Each runs in a task of its own, so that a caller that does not read its replies
//!   holds up no other.
//!
//! Source: RoadRunner 3's locks plugin, for keys, members, scores, channels and the meaning of each operation.

mod client;
mod endpoint;
pub(super) mod error;
mod nodes;
mod queues;
mod releaser;
mod script;
mod signals;
mod slot;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;

pub(crate) use error::Error;

use super::claim::{Claim, Token};
use super::config::RedisConfig;
use super::error::LockError;
use super::limits::{LimitReached, MAX_NAME};
use super::owners::{Key, deadline};
use client::Client;
use queues::Queues;
use releaser::Releaser;
use script::{Call, Prospect, Reply};
use signals::{Signal, Signals};

/// How often a waiter asks although nothing has happened: messages may be lost, and keys deleted.
const LOOK: Duration = Duration::from_secs(5);

/// The least time between two questions of a waiter that were not caused by a message.
const LEAST: Duration = Duration::from_millis(1);

/// The driver.
#[derive(Debug)]
pub(super) struct Redis {
    client: Client,
    queues: Queues,
    signals: Signals,
    releaser: Releaser,
}

/// What has come of an attempt.
enum Attempt {
    Granted(Grant),
    Refused { prospect: Prospect, is_reader: bool },
}

/// A lock that Redis has granted. It is taken back unless it is accepted.
struct Grant {
    releaser: Releaser,
    claim: Claim,
    token: Token,
    /// Before the claim was sent.
    begun: Instant,
    is_accepted: bool,
}

impl Redis {
    /// Connects, and checks that the script can be run.
    ///
    /// # Errors
    /// If Redis does not answer, or refuses it.
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, Error> {
        let client = Client::new(config);
        client.run(Call::new("exists", "", "*"), None).await?;
        let addrs = config.addrs.join(",");
        info!(target: "lock", driver = "redis", addrs, db = config.db, "lock backend initialized");
        Ok(Self {
            queues: Queues::default(),
            signals: Signals::new(client.clone()),
            releaser: Releaser::new(client.clone()),
            client,
        })
    }

    /// See [`super::Locks::lock`].
    pub(super) async fn lock(&self, claim: Claim) -> Result<Option<Token>, LockError> {
        check_names(&claim.resource, &claim.id)?;
        if claim.wait.is_zero() {
            return Ok(match self.attempt(&claim, false).await? {
                Attempt::Granted(grant) => grant.accept(),
                Attempt::Refused { .. } => None,
            });
        }
        let until = deadline(Instant::now(), claim.wait);
        let waiter = self.queues.join(&claim)?;
        let Some(turn) = waiter.try_turn() else {
            let mut signal = self.signals.join(&Call::claim(&claim, false).key);
            signal.catch_up();
            // Readers that want to write do not wait behind those that wait for them.
            return match self.attempt_until(until, &claim, true).await? {
                Attempt::Granted(grant) => Ok(grant.accept()),
                Attempt::Refused { prospect: Prospect::None, .. } => Ok(None),
                Attempt::Refused { is_reader: true, .. } => self.wait(&claim, until, Some(signal)).await,
                Attempt::Refused { .. } => match timeout_at(until, waiter.turn()).await {
                    Ok(_turn) => self.wait(&claim, until, Some(signal)).await,
                    Err(_) => Ok(None),
                },
            };
        };
        let granted = self.wait(&claim, until, None).await;
        drop(turn);
        granted
    }

    /// Asks again and again.
    async fn wait(
        &self,
        claim: &Claim,
        until: Instant,
        signal: Option<Signal>,
    ) -> Result<Option<Token>, LockError> {
        let mut signal = signal;
        loop {
            if let Some(signal) = &mut signal {
                signal.catch_up();
            }
            let expiry = match self.attempt_until(until, claim, false).await? {
                Attempt::Granted(grant) => return Ok(grant.accept()),
                Attempt::Refused { prospect: Prospect::None, .. } => return Ok(None),
                Attempt::Refused { prospect: Prospect::After(expiry), .. } => expiry,
            };
            let signal = signal.get_or_insert_with(|| self.signals.join(&Call::claim(claim, false).key));
            let pause = expiry.map_or(LOOK, |expiry| expiry.clamp(LEAST, LOOK));
            let asks_again = async {
                tokio::select! {
                    () = signal.changed() => {}
                    () = sleep(pause) => {}
                }
            };
            if timeout_at(until, asks_again).await.is_err() {
                return Ok(None);
            }
        }
    }

    async fn attempt_until(&self, until: Instant, claim: &Claim, only_own: bool) -> Result<Attempt, Error> {
        match timeout_at(until, self.attempt(claim, only_own)).await {
            Ok(attempt) => attempt,
            // The attempt goes on, and takes back what it gets.
            Err(_) => Err(Error::Late),
        }
    }

    /// Asks once. Dropping the future takes back what is granted.
    async fn attempt(&self, claim: &Claim, only_own: bool) -> Result<Attempt, Error> {
        let (answer, answered) = oneshot::channel();
        let (client, releaser, claim) = (self.client.clone(), self.releaser.clone(), claim.clone());
        tokio::spawn(async move {
            let key = key_of(&claim);
            releaser.settled(&key).await;
            if answer.is_closed() {
                return;
            }
            let begun = Instant::now();
            let result = client.run_here(&Call::claim(&claim, only_own)).await;
            let until = claim.ttl.map(|ttl| deadline(Instant::now(), ttl));
            let attempt = match result {
                Ok(reply) if reply.is_done => {
                    let token = reply.token();
                    Ok(Attempt::Granted(Grant { releaser, claim, token, begun, is_accepted: false }))
                }
                Ok(reply) => Ok(refused(reply)),
                Err(error) => {
                    if error.is_uncertain() {
                        releaser.start(key, Call::undo(&claim), until);
                    }
                    Err(error)
                }
            };
            // A caller that has gone drops it, and a grant is taken back.
            let _ = answer.send(attempt);
        });
        answered.await.unwrap_or(Err(Error::Late))
    }

    /// See [`super::Locks::release`].
    pub(super) async fn release(
        &self,
        resource: &str,
        id: &str,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        self.run("release", resource, id, None, patience).await
    }

    /// See [`super::Locks::force_release`].
    pub(super) async fn force_release(
        &self,
        resource: &str,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        self.run("force", resource, "", None, patience).await
    }

    /// See [`super::Locks::exists`].
    pub(super) async fn exists(
        &self,
        resource: &str,
        id: &str,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        self.run("exists", resource, id, None, patience).await
    }

    /// See [`super::Locks::update_ttl`].
    pub(super) async fn update_ttl(
        &self,
        resource: &str,
        id: &str,
        ttl: Option<Duration>,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        self.run("ttl", resource, id, ttl, patience).await
    }

    async fn run(
        &self,
        operation: &'static str,
        resource: &str,
        id: &str,
        ttl: Option<Duration>,
        patience: Option<Duration>,
    ) -> Result<bool, LockError> {
        check_names(resource, id)?;
        let call = Call::new(operation, resource, id).with_ttl(ttl);
        Ok(self.client.run(call, patience).await?.is_done)
    }

    /// Releases a lock as soon as Redis can be asked, unless it has expired by then.
    pub(super) fn release_later(&self, key: Key, until: Option<Instant>) {
        let call = Call::new("release", &key.0, &key.1);
        self.releaser.start(key, call, until);
    }

    /// Whether locks are to be released that could not be released yet.
    pub(super) fn is_releasing(&self) -> bool {
        !self.releaser.is_idle()
    }
}

impl Grant {
    /// Returns the token, unless the lock may have expired by now: this process may have been stopped meanwhile.
    fn accept(mut self) -> Option<Token> {
        self.is_accepted = self.claim.ttl.is_none_or(|ttl| self.begun.elapsed() < ttl);
        self.is_accepted.then_some(self.token)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if !self.is_accepted {
            let until = self.claim.ttl.map(|ttl| deadline(self.begun, ttl));
            self.releaser.start(key_of(&self.claim), Call::undo(&self.claim), until);
        }
    }
}

fn refused(reply: Reply) -> Attempt {
    Attempt::Refused { prospect: reply.prospect(), is_reader: reply.is_of_reader() }
}

fn key_of(claim: &Claim) -> Key {
    (claim.resource.as_str().into(), claim.id.as_str().into())
}

fn check_names(resource: &str, id: &str) -> Result<(), LimitReached> {
    let longest = resource.len().max(id.len());
    if longest > MAX_NAME { Err(LimitReached::Name(longest)) } else { Ok(()) }
}
