//! The processes of a pool's workers, from their boot to their exit, and how they are made to leave.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::{debug, warn};

use super::core::{Reason, WorkerId};
use super::parts::Parts;
use super::policy::{Limits, Sample};
use super::recent::Death;
use super::unit::{Member, Unit};
use crate::worker::{Exit, Process, State};

/// A worker that lived for so long was of some use, requests or not.
const USEFUL_AGE: Duration = Duration::from_secs(1);

/// A worker that closed its relay mostly exits by itself; so much time has it to do so with a status of its own.
const OWN_EXIT: Duration = Duration::from_millis(100);

/// At shutdown, how long a worker may go on with a request that has no answer yet: its caller has gone, and no other waits for it.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// At shutdown, how long a worker may go on with what it does after its answer: a request well served, but one that may never end.
const LAST_WORK: Duration = Duration::from_secs(10);

/// The workers that have booted and not exited.
#[derive(Debug)]
pub(super) struct Staff {
    parts: Arc<Parts>,
    workers: BTreeMap<WorkerId, Worker>,
    /// The units of workers that no request has been lent yet.
    standbys: BTreeMap<WorkerId, Box<Unit>>,
    /// Workers that have to leave, and were not found idle: they are in a request, or promised to one.
    not_found: BTreeSet<WorkerId>,
}

#[derive(Debug)]
struct Worker {
    process: Process,
    member: Arc<Member>,
    /// It cannot be talked to any more, and was not leaving before.
    is_faulty: bool,
    /// Why it is killed.
    killed: Option<Reason>,
}

/// What is left of a worker.
pub(super) struct Leftover {
    /// Whether it ever had a request, or lived for long.
    pub(super) was_useful: bool,
    /// How it ended.
    pub(super) how: String,
}

impl Staff {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts, workers: BTreeMap::new(), standbys: BTreeMap::new(), not_found: BTreeSet::new() }
    }

    /// A worker has booted.
    pub(super) fn add(&mut self, process: Process, member: Arc<Member>) {
        self.workers.insert(member.id, Worker { process, member, is_faulty: false, killed: None });
    }

    /// Keeps the unit of a worker until it is lent.
    pub(super) fn hold(&mut self, unit: Box<Unit>) {
        self.standbys.insert(unit.member.id, unit);
    }

    /// Lends a worker to requests from now on.
    pub(super) fn lend(&mut self, id: WorkerId) {
        if let Some(unit) = self.standbys.remove(&id) {
            self.parts.units.lend(unit);
        }
    }

    /// The pool's record of a worker.
    pub(super) fn member(&self, id: WorkerId) -> Option<&Arc<Member>> {
        self.workers.get(&id).map(|worker| &worker.member)
    }

    /// A process is gone: no request shall be sent to it, though it may have died while it was idle.
    pub(super) fn remove(&mut self, id: WorkerId, exit: Exit) -> Option<Leftover> {
        self.found(id);
        drop(self.standbys.remove(&id));
        let Worker { member, is_faulty, killed, .. } = self.workers.remove(&id)?;
        let asked_to_leave = member.is_retiring() && !is_faulty;
        drop(self.parts.units.recall(&member));
        self.parts.roster.remove(id);
        self.parts.counters.had_capacity(member.capacity());
        let (pid, pool) = (member.status.pid(), self.parts.label());
        if asked_to_leave {
            debug!(target: "server", pid, pool, %exit, "worker stopped");
            if let Some(reason) = killed {
                self.note_death(&member, reason.name(), exit);
            }
        } else if is_faulty && exit.was_killed() {
            let reason = Reason::Faulty;
            warn!(target: "server", pid, pool, %reason, "worker killed");
            self.parts.counters.restart(Some(reason));
            self.note_death(&member, reason.name(), exit);
        } else {
            warn!(target: "server", pid, pool, %exit, "worker died");
            self.parts.counters.restart(None);
            self.note_death(&member, "died", exit);
        }
        let was_useful = member.executions() > 0 || member.status.age() >= USEFUL_AGE;
        Some(Leftover { was_useful, how: exit.to_string() })
    }

    /// Keeps a death for those who ask later.
    fn note_death(&self, member: &Member, reason: &'static str, exit: Exit) {
        self.parts.recent.death(Death {
            at: SystemTime::now(),
            pid: member.status.pid(),
            reason,
            exit: exit.to_string(),
            last_words: member.status.last_words(),
            requests: member.executions(),
            age: member.status.age(),
        });
    }

    /// Lets a worker leave after the request in hand, if any.
    pub(super) fn retire(&mut self, id: WorkerId, reason: Reason) {
        let Some(Worker { process, member, .. }) = self.workers.get(&id) else { return };
        if member.retire() {
            self.parts.counters.restart(Some(reason));
        }
        member.set_leaving();
        debug!(target: "server", pid = member.status.pid(), pool = self.parts.label(), %reason, "retiring worker");
        if reason == Reason::Shutdown {
            // No caller is left. When it is done, or idle, it has as long as any other to leave.
            let patience = if member.status.has_answered() { LAST_WORK } else { LAST_REQUEST };
            process.finish(member.recipe.destroy_timeout.min(patience));
        }
        if let Some(unit) = self.standbys.remove(&id) {
            return self.stop(*unit);
        }
        // Noted first, so that a request which leaves the queue from now on triggers another search.
        self.not_found.insert(id);
        self.find_leaving();
    }

    /// Kills a worker that cannot be talked to.
    pub(super) fn kill(&mut self, id: WorkerId, reason: Reason) {
        drop(self.standbys.remove(&id));
        let Some(Worker { process, member, is_faulty, killed }) = self.workers.get_mut(&id) else { return };
        let is_first = member.retire();
        if reason == Reason::MaxMemoryHard {
            member.set_too_large();
        }
        // It may be idle; no request shall be sent to it any more.
        drop(self.parts.units.recall(member));
        if reason == Reason::Faulty {
            // It may have died, which closes its relay: `remove` learns how it ended.
            *is_faulty |= is_first;
        } else {
            if is_first {
                self.parts.counters.restart(Some(reason));
            }
            *killed = Some(reason);
            let (pid, pool) = (member.status.pid(), self.parts.label());
            warn!(target: "server", pid, pool, %reason, "killing worker");
        }
        let patience = if reason == Reason::MaxMemoryHard { Duration::ZERO } else { OWN_EXIT };
        process.stop(None, patience);
    }

    pub(super) fn kill_all(&self) {
        self.workers.values().for_each(|worker| worker.process.kill());
    }

    /// Takes workers that have to leave out of the idle ones. One that is not among them is in a request, and comes back from it; or
    /// it is promised to a request, which may leave the queue without it, and then it is looked for again.
    pub(super) fn find_leaving(&mut self) {
        self.parts.queue.set_leaving(self.not_found.len());
        for id in self.not_found.clone() {
            let unit = self.workers.get(&id).and_then(|worker| self.parts.units.recall(&worker.member));
            if let Some(unit) = unit {
                self.stop(*unit);
            }
        }
    }

    /// Stops a worker that is in no request.
    pub(super) fn stop(&mut self, unit: Unit) {
        let Unit { exchange, member } = unit;
        self.found(member.id);
        if let Some(worker) = self.workers.get(&member.id) {
            worker.process.stop(Some(exchange), member.recipe.destroy_timeout);
        }
    }

    /// How many requests the newest worker may have in flight.
    pub(super) fn concurrency(&self) -> usize {
        let newest = self.workers.last_key_value().and_then(|(_, worker)| worker.member.concurrency);
        newest.unwrap_or(1)
    }

    /// Samples of the workers that are not leaving, with the limits of each; `memory` is that of process groups.
    pub(super) fn samples(&self, memory: &HashMap<u32, u64>) -> Vec<(Sample, Limits)> {
        let members = self.workers.values().map(|worker| &worker.member);
        let serving = members.filter(|member| !member.is_retiring());
        serving.map(|member| (sample(member, memory), member.recipe.limits)).collect()
    }

    /// Samples of the workers that are lent to requests.
    pub(super) fn lent(&self) -> Vec<Sample> {
        let members = self.workers.values().map(|worker| &worker.member);
        let lent = members.filter(|member| !member.is_retiring() && !self.standbys.contains_key(&member.id));
        lent.map(|member| sample(member, &HashMap::new())).collect()
    }

    fn found(&mut self, id: WorkerId) {
        if self.not_found.remove(&id) {
            self.parts.queue.set_leaving(self.not_found.len());
        }
    }
}

fn sample(member: &Member, memory: &HashMap<u32, u64>) -> Sample {
    let status = &member.status;
    Sample {
        id: member.id,
        age: status.age(),
        executions: member.executions(),
        working: status.state() == State::Working,
        memory: memory.get(&status.group()).copied().unwrap_or(0),
    }
}
