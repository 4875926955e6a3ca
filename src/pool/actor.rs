//! The pool's hands: carries out what the core decides, and tells it what happened.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use tracing::{debug, error, info, warn};

use super::Config;
use super::core::{Core, Effect, Event, Reason, WorkerId};
use super::shared::{Message, Shared};
use crate::worker::{BootError, Exit, Launcher, Link, Process};

/// A worker that lived for so long was of some use, requests or not.
const USEFUL_AGE: Duration = Duration::from_secs(1);

/// A worker that closed its relay mostly exits by itself; so much time has it to do so with a status of its own.
const OWN_EXIT: Duration = Duration::from_millis(100);

/// The one task through which births, deaths and the end pass.
pub(super) struct Actor {
    core: Core,
    shared: Arc<Shared>,
    launcher: Arc<Launcher>,
    destroy_timeout: Duration,
    first_boot: Option<oneshot::Sender<Result<(), String>>>,
    /// Starts that go on; dropping the sender calls one off.
    booting: HashMap<WorkerId, oneshot::Sender<()>>,
    processes: HashMap<WorkerId, Process>,
    pause: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Actor {
    pub(super) fn new(
        shared: Arc<Shared>,
        launcher: Launcher,
        config: &Config,
        first_boot: oneshot::Sender<Result<(), String>>,
    ) -> Self {
        Self {
            core: Core::new(config.num_workers),
            shared,
            launcher: Arc::new(launcher),
            destroy_timeout: config.destroy_timeout,
            first_boot: Some(first_boot),
            booting: HashMap::new(),
            processes: HashMap::new(),
            pause: None,
            ended: false,
        }
    }

    /// Runs until no worker is left and none will be started.
    pub(super) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        self.tell_core(Event::Start);
        while !self.ended {
            let pause = self.pause.as_mut();
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => return,
                },
                () = async { match pause { Some(pause) => pause.await, None => std::future::pending().await } } => {
                    self.pause = None;
                    self.tell_core(Event::PauseOver);
                }
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Boot(id, result) => self.on_boot(id, *result),
            Message::Exited(id, exit) => self.on_exited(id, exit),
            Message::Returned(link) => self.stop(link),
            Message::Leaving(link, reason) => {
                let id = link.status().id();
                link.status().retire();
                self.tell_core(Event::Retire(id, reason));
                self.stop(link);
            }
            Message::Faulty(id) => self.tell_core(Event::Retire(id, Reason::Faulty)),
            Message::Shutdown => self.tell_core(Event::Shutdown),
            Message::KillAll => self.processes.values().for_each(Process::kill),
        }
    }

    fn on_boot(&mut self, id: WorkerId, result: Result<(Process, Box<Link>), BootError>) {
        let wanted = self.booting.remove(&id).is_some();
        match result {
            Ok((process, link)) => {
                info!(target: "server", pid = process.status().pid(), "worker is ready");
                let (exit, shared) = (process.status().exited(), Arc::clone(&self.shared));
                tokio::spawn(async move { shared.tell(Message::Exited(id, exit.await)) });
                self.processes.insert(id, process);
                if wanted {
                    self.shared.seat(link);
                    self.tell_core(Event::Booted(id));
                } else {
                    self.stop(link);
                }
            }
            Err(error) => self.on_boot_failed(id, &error, wanted),
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
        self.shared.unseat(id);
        let Some(process) = self.processes.remove(&id) else { return };
        let status = process.status();
        let useful = status.executions() > 0 || status.age() >= USEFUL_AGE;
        if status.is_retiring() {
            debug!(target: "server", pid = status.pid(), %exit, "worker stopped");
        } else {
            warn!(target: "server", pid = status.pid(), %exit, "worker died and is replaced");
        }
        self.tell_core(Event::Exited { id, useful, how: exit.to_string() });
    }

    fn tell_core(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.handle(event, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(id) => self.spawn(id),
            Effect::Retire(id, reason) => self.retire(id, reason),
            Effect::Kill(id, reason) => {
                if let Some(process) = self.processes.get(&id) {
                    let status = process.status();
                    status.retire();
                    debug!(target: "server", pid = status.pid(), %reason, "worker is killed");
                    process.stop(None, OWN_EXIT);
                }
            }
            Effect::Pause(time) => self.pause = Some(Box::pin(tokio::time::sleep(time))),
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

    fn spawn(&mut self, id: WorkerId) {
        let (sender, called_off) = oneshot::channel();
        self.booting.insert(id, sender);
        let (launcher, shared) = (Arc::clone(&self.launcher), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let result = launcher.boot(id, called_off).await;
            shared.tell(Message::Boot(id, Box::new(result)));
        });
    }

    fn retire(&mut self, id: WorkerId, reason: Reason) {
        if self.booting.remove(&id).is_some() {
            return;
        }
        let Some(process) = self.processes.get(&id) else { return };
        process.status().retire();
        debug!(target: "server", pid = process.status().pid(), %reason, "worker is asked to leave");
        match self.shared.take_idle(id) {
            Some(link) => self.stop(link),
            // When the pool ends, no caller is left: what this worker still does has as long as any other to come to its end.
            None if reason == Reason::Shutdown => process.stop(None, self.destroy_timeout),
            None => {}
        }
    }

    /// Says goodbye to a worker that nobody uses.
    fn stop(&mut self, link: Box<Link>) {
        if let Some(process) = self.processes.get(&link.status().id()) {
            process.stop(Some(link), self.destroy_timeout);
        }
    }
}
