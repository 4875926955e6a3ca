//! The pool's hands: carries out what the core decides, and tells it what happened.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use super::alarms::{Alarm, Alarms};
use super::core::{Core, Effect, Event, Reason, ResetEnd, Scaling, WorkerId};
use super::lease::Lease;
use super::limits::Supervision;
use super::shared::{Message, OneShotReply, Shared};
use super::{Config, Error};
use crate::worker::{BootError, Connection, Exit, Launcher, Process};

/// A worker that lived for so long was of some use, requests or not.
const USEFUL_AGE: Duration = Duration::from_secs(1);

/// A worker that closed its relay mostly exits by itself; so much time has it to do so with a status of its own.
const OWN_EXIT: Duration = Duration::from_millis(100);

/// At the end, how long a worker may go on with a request that has no answer yet: its caller has gone, and nobody waits for it.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// At the end, how long a worker may go on with what it does after its answer: a request well served, but one that may never end.
const LAST_WORK: Duration = Duration::from_secs(10);

/// The one task through which births, deaths and the end pass.
pub(super) struct Actor {
    pub(super) core: Core,
    pub(super) shared: Arc<Shared>,
    pub(super) alarms: Alarms,
    pub(super) supervision: Supervision,
    pub(super) processes: HashMap<WorkerId, Process>,
    launcher: Arc<Launcher>,
    destroy_timeout: Duration,
    first_boot: Option<oneshot::Sender<Result<(), String>>>,
    /// Starts that go on; dropping the sender calls one off.
    booting: HashMap<WorkerId, oneshot::Sender<()>>,
    /// Those who wait for the end of the reset that goes on.
    resets: Vec<oneshot::Sender<ResetEnd>>,
    /// A request that has just asked for a worker of its own.
    asking: Option<OneShotReply>,
    /// Requests whose own worker is starting.
    one_shot: HashMap<WorkerId, OneShotReply>,
    /// Workers that have to leave, and were not found idle: they are in a request, or promised to one.
    not_found: BTreeSet<WorkerId>,
    ended: bool,
}

impl Actor {
    pub(super) fn new(
        shared: Arc<Shared>,
        launcher: Launcher,
        config: &Config,
        first_boot: oneshot::Sender<Result<(), String>>,
    ) -> Self {
        let scaling = config
            .dynamic_allocator
            .as_ref()
            .map(|scaling| Scaling { most: scaling.max_workers, per_second: scaling.spawn_rate });
        Self {
            core: Core::new(if config.debug { 0 } else { config.num_workers }, scaling),
            shared,
            alarms: Alarms::default(),
            supervision: Supervision::new(config),
            processes: HashMap::new(),
            launcher: Arc::new(launcher),
            destroy_timeout: config.destroy_timeout,
            first_boot: Some(first_boot),
            booting: HashMap::new(),
            resets: Vec::new(),
            asking: None,
            one_shot: HashMap::new(),
            not_found: BTreeSet::new(),
            ended: false,
        }
    }

    /// Runs until no worker is left and none will be started.
    pub(super) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        self.tell_core(Event::Start);
        self.start_supervision();
        while !self.ended {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => return,
                },
                alarm = self.alarms.next() => self.on_alarm(alarm),
            }
        }
        // Whoever waits for the end of the messages may end the program: the relay's socket file has to be gone by then.
        drop(self);
        drop(messages);
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Boot(id, result) => self.on_boot(id, *result),
            Message::Exited(id, exit) => self.on_exited(id, exit),
            Message::Returned(connection) => self.stop(connection),
            Message::Leaving(connection, reason) => {
                self.tell_core(Event::Retire(connection.status().id(), reason));
                self.stop(connection);
            }
            Message::Faulty(id) => self.tell_core(Event::Retire(id, Reason::Faulty)),
            Message::Due(id, reason) => self.tell_core(Event::Due(id, reason)),
            Message::Abandoned(id) => {
                self.tell_core(Event::Abandoned(id));
                self.look_at_queue();
            }
            Message::CameBack(id) => self.tell_core(Event::CameBack(id)),
            Message::Waiting => self.look_at_queue(),
            Message::LeftQueue => self.look_for_leaving(),
            Message::Measured(memory) => self.look_at_limits(&memory),
            Message::OneShot(reply) => {
                self.asking = Some(reply);
                self.tell_core(Event::OneShot);
                // Unless the core took it, the pool ends, and whoever asked hears of it now.
                self.asking = None;
            }
            Message::Reset(reply) => {
                self.resets.push(reply);
                if !self.alarms.is_set(Alarm::Reset) {
                    self.alarms.set(Alarm::Reset, self.shared.reset_timeout);
                }
                self.tell_core(Event::Reset);
            }
            Message::Resize { more, reply } => {
                let before = self.core.target();
                self.tell_core(if more { Event::Add } else { Event::Remove });
                let _ = reply.send(self.core.target() != before);
            }
            Message::Shutdown => {
                self.tell_core(Event::Shutdown);
                self.launcher.close();
            }
            Message::KillAll => self.processes.values().for_each(Process::kill),
        }
    }

    fn on_alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Pause => {
                self.tell_core(Event::PauseOver);
                self.look_at_queue();
            }
            Alarm::LookAgain => self.look_at_queue(),
            Alarm::Reset => self.tell_core(Event::ResetTimeout),
            Alarm::Limits => self.measure(),
            Alarm::Shrink => self.shrink(),
        }
    }

    /// Lets the core know of requests that wait, if there are any.
    fn look_at_queue(&mut self) {
        let requests = self.shared.waiting();
        if requests > 0 {
            self.tell_core(Event::Waiting { requests, now: self.supervision.now() });
            self.expect_shrinking();
        }
    }

    fn on_boot(&mut self, id: WorkerId, result: Result<(Process, Box<Connection>), BootError>) {
        let wanted = self.booting.remove(&id).is_some();
        match result {
            Ok((process, connection)) => {
                info!(target: "server", pid = process.status().pid(), "worker is ready");
                let (exit, shared) = (process.status().exited(), Arc::clone(&self.shared));
                tokio::spawn(async move { shared.tell(Message::Exited(id, exit.await)) });
                self.processes.insert(id, process);
                if !wanted {
                    return self.stop(connection);
                }
                if let Some(reply) = self.one_shot.remove(&id) {
                    self.hand_over(connection, reply);
                } else {
                    self.shared.admit(connection);
                }
                self.tell_core(Event::Booted(id));
            }
            Err(error) => match self.one_shot.remove(&id) {
                Some(reply) => {
                    let reason = error.to_string();
                    let _ = reply.send(Err(Error::NoWorkers { reason: reason.clone() }));
                    self.tell_core(Event::BootFailed(id, reason));
                }
                None => self.on_boot_failed(id, &error, wanted),
            },
        }
    }

    /// A worker for one request; when that has gone meanwhile, dropping the lease lets the worker go as well.
    fn hand_over(&mut self, connection: Box<Connection>, reply: OneShotReply) {
        match self.shared.admit_for_one(connection) {
            Ok(connection) => drop(reply.send(Ok(Lease::new(connection, Arc::clone(&self.shared))))),
            Err(connection) => {
                let reason = "worker limit reached".into();
                let _ = reply.send(Err(Error::NoWorkers { reason }));
                self.stop(connection);
            }
        }
    }

    /// Told once per streak, and again when the streak has grown tenfold: a worker that cannot start would fill the log.
    fn on_boot_failed(&mut self, id: WorkerId, error: &BootError, wanted: bool) {
        let attempts = self.core.streak() + 1;
        if wanted && self.first_boot.is_none() {
            if attempts == 1 || attempts.is_multiple_of(10) {
                error!(target: "server", attempts, %error, "a worker cannot be started");
            } else {
                debug!(target: "server", attempts, %error, "a worker cannot be started");
            }
        }
        self.tell_core(Event::BootFailed(id, error.to_string()));
    }

    fn on_exited(&mut self, id: WorkerId, exit: Exit) {
        self.found(id);
        let Some(process) = self.processes.remove(&id) else { return };
        let status = process.status();
        let asked_to_leave = status.is_retiring();
        self.shared.release_slot(id);
        let useful = status.executions() > 0 || status.age() >= USEFUL_AGE;
        if asked_to_leave {
            debug!(target: "server", pid = status.pid(), %exit, "worker stopped");
        } else {
            warn!(target: "server", pid = status.pid(), %exit, "worker died and is replaced");
            self.shared.counters.restart(None);
        }
        self.tell_core(Event::Exited { id, useful, how: exit.to_string() });
    }

    pub(super) fn tell_core(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.handle(event, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        self.shared.tell_size(self.core.target(), self.core.can_grow());
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(id) => self.spawn(id),
            Effect::SpawnOneShot(id) => {
                if let Some(reply) = self.asking.take() {
                    self.one_shot.insert(id, reply);
                }
                self.spawn(id);
            }
            Effect::Retire(id, reason) => self.retire(id, reason),
            Effect::Kill(id, reason) => self.kill(id, reason),
            Effect::Pause(time) => self.alarms.set(Alarm::Pause, time),
            Effect::LookAgain(time) => self.alarms.set(Alarm::LookAgain, time),
            Effect::ResetOver(end) => {
                self.alarms.clear(Alarm::Reset);
                self.on_reset_over(&end);
            }
            Effect::Announce(availability) => self.shared.announce(availability),
            Effect::FirstBoot(result) => {
                if let Some(waiting) = self.first_boot.take() {
                    let _ = waiting.send(result);
                }
            }
            Effect::Ended => {
                self.shared.close();
                self.ended = true;
            }
        }
    }

    fn on_reset_over(&mut self, end: &ResetEnd) {
        match end {
            ResetEnd::Done => info!(target: "server", "all workers have been replaced"),
            ResetEnd::BootFailed(reason) => {
                error!(target: "server", %reason, "the reset failed; the old workers go on");
            }
            ResetEnd::TimedOut => {
                error!(target: "server", "the reset took too long; workers that were not replaced go on");
            }
            ResetEnd::Closed => {}
        }
        for waiting in self.resets.drain(..) {
            let _ = waiting.send(end.clone());
        }
    }

    fn spawn(&mut self, id: WorkerId) {
        let (sender, called_off) = oneshot::channel();
        self.booting.insert(id, sender);
        let (launcher, shared) = (Arc::clone(&self.launcher), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let result = launcher.boot(id, called_off).await;
            drop(launcher);
            shared.tell(Message::Boot(id, Box::new(result)));
        });
    }

    fn retire(&mut self, id: WorkerId, reason: Reason) {
        if self.booting.remove(&id).is_some() {
            return;
        }
        let Some(process) = self.processes.get(&id) else { return };
        if process.status().retire() {
            self.shared.counters.restart(Some(reason));
        }
        debug!(target: "server", pid = process.status().pid(), %reason, "worker is asked to leave");
        if reason == Reason::Shutdown {
            // No caller is left. When it is done, or idle, it has as long as any other to leave.
            let patience = if process.status().has_answered() { LAST_WORK } else { LAST_REQUEST };
            process.finish(self.destroy_timeout.min(patience));
        }
        // Noted first, so that whoever leaves the queue from now on lets us look again.
        self.not_found.insert(id);
        self.look_for_leaving();
    }

    fn kill(&mut self, id: WorkerId, reason: Reason) {
        let Some(process) = self.processes.get(&id) else { return };
        let status = process.status();
        if status.retire() {
            self.shared.counters.restart(Some(reason));
        }
        if reason == Reason::Faulty {
            // What it did has been told where it was seen.
            debug!(target: "server", pid = status.pid(), %reason, "worker is killed");
        } else {
            warn!(target: "server", pid = status.pid(), %reason, "worker is killed");
        }
        process.stop(None, OWN_EXIT);
    }

    /// Takes workers that have to leave out of the idle ones. One that is not among them is in a request, and comes back from it; or
    /// it is promised to a request, which may leave the queue without it, and then it is looked for again.
    fn look_for_leaving(&mut self) {
        self.shared.set_leaving(self.not_found.len());
        for id in self.not_found.clone() {
            if let Some(connection) = self.shared.take_idle(id) {
                self.stop(connection);
            }
        }
    }

    fn found(&mut self, id: WorkerId) {
        if self.not_found.remove(&id) {
            self.shared.set_leaving(self.not_found.len());
        }
    }

    /// Says goodbye to a worker that nobody uses.
    fn stop(&mut self, connection: Box<Connection>) {
        let id = connection.status().id();
        self.found(id);
        if let Some(process) = self.processes.get(&id) {
            process.stop(Some(connection), self.destroy_timeout);
        }
    }
}
