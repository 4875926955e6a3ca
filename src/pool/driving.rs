//! The task that drives the connection of a worker with several requests in flight, and passes on what the pool has to know of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::core::Reason;
use super::mailbox::Message;
use super::parts::Parts;
use super::unit::Member;
use crate::worker::{Driver, Notice};

/// How long a worker may be silent, at least, before it may be killed for that: a busy machine makes one silent for a while.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs until the connection has ended.
pub(super) async fn drive(mut driver: Driver, member: Arc<Member>, parts: Arc<Parts>) {
    let (pid, pool) = (member.status.pid(), parts.label());
    let Parts { units, mailbox, .. } = &*parts;
    let patience = member.recipe.exec_ttl.unwrap_or(member.recipe.abandon_ttl).max(PATIENCE);
    let mut silent_at = None;
    loop {
        let notice = tokio::select! {
            biased;
            notice = driver.next() => notice,
            () = silence(silent_at) => {
                silent_at = None;
                units.set_silent(&member, true);
                continue;
            }
        };
        match notice {
            Notice::Credit(credit) => units.set_credit(&member, credit as usize),
            Notice::Misnumbered => mailbox.send(Message::Due(member.id, Reason::Misnumbered)),
            Notice::NumbersUsedUp => mailbox.send(Message::Due(member.id, Reason::Numbers)),
            Notice::Silent => {
                let in_hand = driver.in_hand();
                warn!(target: "server", pid, pool, in_hand, "worker does not respond: its event loop may be blocked");
                silent_at = Instant::now().checked_add(patience);
            }
            Notice::Back => {
                info!(target: "server", pid, pool, "worker responds again");
                silent_at = None;
                units.set_silent(&member, false);
            }
            Notice::Ended(fault) => {
                units.end_of(&member, &fault);
                return;
            }
            Notice::Left => return,
        }
    }
}

/// Resolves at this time, if there is one.
async fn silence(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
