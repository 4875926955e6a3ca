//! The pool's actor: executes the effects that the core decides on, and feeds it with what happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::alarms::{Alarm, Alarms};
use super::change::{self, Change};
use super::core::{Core, Effect, Event, Reason, ResetEnd, WorkerId};
use super::driving::drive;
use super::forecast::{Forecast, Verdict};
use super::idle::Idle;
use super::lease::Lease;
use super::mailbox::Message;
use super::one_shot;
use super::parts::Parts;
use super::recipe::Recipe;
use super::resets::Resets;
use super::slots::{Slot, Slots};
use super::slow::Watch;
use super::staff::Staff;
use super::supervision::{Supervision, shrink_interval};
use super::unit::{Member, Unit};
use super::{Config, Error};
use crate::offload;
use crate::worker::{self, BootError, Booted, Launcher};

/// The shortest time after which a standby that is not needed takes the place of a worker that is nearly exhausted.
const STANDBY_PATIENCE: Duration = Duration::from_secs(10);

/// The one task through which births, deaths and shutdown pass.
pub(super) struct Actor {
    core: Core,
    parts: Arc<Parts>,
    staff: Staff,
    alarms: Alarms,
    supervision: Supervision,
    forecast: Forecast,
    launcher: Arc<Launcher>,
    /// The slow requests of the workers of all generations that there are.
    watches: Vec<Arc<Watch>>,
    slots: Slots,
    first_boot: Option<oneshot::Sender<Result<(), String>>>,
    booting: HashMap<WorkerId, Booting>,
    resets: Resets,
    /// A request that has just asked for a worker of its own.
    asking: Option<one_shot::Reply>,
    /// What the core hears first.
    start: Event,
    has_ended: bool,
}

/// A worker that is being started.
struct Booting {
    recipe: Arc<Recipe>,
    slot: Slot,
    /// Dropping it calls the start off; None once that has happened.
    call_off: Option<oneshot::Sender<()>>,
    /// The request that it is started for, if it is for one alone.
    one_shot: Option<one_shot::Reply>,
}

impl Actor {
    pub(super) fn new(
        parts: Arc<Parts>,
        launcher: Arc<Launcher>,
        config: &Config,
        required: bool,
        first_boot: oneshot::Sender<Result<(), String>>,
    ) -> Self {
        Self {
            core: Core::new(if config.debug { 0 } else { config.num_workers }, change::scaling(config)),
            staff: Staff::new(Arc::clone(&parts)),
            parts,
            alarms: Alarms::default(),
            supervision: Supervision::new(),
            forecast: Forecast::default(),
            launcher,
            watches: Vec::new(),
            slots: Slots::new(Idle::<Unit>::slots()),
            first_boot: Some(first_boot),
            booting: HashMap::new(),
            resets: Resets::default(),
            asking: None,
            start: if required { Event::Start } else { Event::StartOptional },
            has_ended: false,
        }
    }

    /// Runs until no worker is left and none will be started.
    pub(super) async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
        mut one_shots: mpsc::UnboundedReceiver<one_shot::Reply>,
    ) {
        self.notify_core(self.start.clone());
        self.set_limits_alarm();
        self.watch_for_slow(self.parts.recipe.get().slow.clone());
        while !self.has_ended {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => return,
                },
                Some(reply) = one_shots.recv() => self.on_one_shot(reply),
                alarm = self.alarms.next() => self.on_alarm(alarm),
            }
        }
        // The program may exit when the mailbox is closed: the relay's socket file has to be gone by then.
        drop(self);
        drop(messages);
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Boot(id, result) => self.on_boot(id, *result),
            Message::NoSlot(id) => self.on_boot_failed(id, "worker limit reached"),
            Message::Exited(id, exit) => {
                self.forecast.end(id);
                if let Some(left) = self.staff.remove(id, exit) {
                    self.notify_core(Event::Exited { id, useful: left.was_useful, how: left.how });
                }
            }
            Message::Returned(unit) => self.staff.stop(*unit),
            Message::Leaving(unit, reason) => {
                self.notify_core(Event::Retire(unit.member.id, reason));
                self.staff.stop(*unit);
            }
            Message::Leave(id, reason) => self.notify_core(Event::Retire(id, reason)),
            Message::Due(id, reason) => self.notify_core(Event::Due(id, reason)),
            Message::Faulty(id) => self.notify_core(Event::Retire(id, Reason::Faulty)),
            Message::Progress(id) => self.on_progress(id),
            Message::Reconsider(id) => self.on_reconsider(id),
            Message::Abandoned(id) => {
                self.notify_core(Event::Abandoned(id));
                self.check_queue();
            }
            Message::CameBack(id) => self.notify_core(Event::CameBack(id)),
            Message::Lost(id) => self.on_lost(id),
            Message::Waiting => self.check_queue(),
            Message::LeftQueue => self.staff.find_leaving(),
            Message::Measured(memory) => self.check_limits(&memory),
            Message::Reset(reply) => self.on_reset(reply),
            Message::Configure(change) => self.on_configure(*change),
            Message::Resize { more, reply } => {
                let before = self.core.target();
                self.notify_core(if more { Event::Add } else { Event::Remove });
                let _ = reply.send(self.core.target() != before);
            }
            Message::Ping(reply) => drop(reply.send(())),
            Message::Drain => {
                self.notify_core(Event::Drain);
                self.launcher.close();
            }
            Message::Shutdown => {
                self.notify_core(Event::Shutdown);
                self.launcher.close();
            }
            Message::KillAll => self.staff.kill_all(),
        }
    }

    fn on_alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Pause => {
                self.notify_core(Event::PauseOver);
                self.check_queue();
            }
            Alarm::LookAgain => self.check_queue(),
            Alarm::BeginReset => self.begin_reset(),
            Alarm::Reset => {
                if self.resets.expire(Instant::now()) {
                    self.notify_core(Event::ResetTimeout);
                } else {
                    self.begin_reset();
                }
                self.set_reset_alarm();
            }
            Alarm::Standbys => self.notify_core(Event::StandbysWaited),
            Alarm::Limits => self.measure(),
            Alarm::Slow => self.find_slow(),
            Alarm::Shrink => self.shrink(),
        }
    }

    /// What counts is how it is now: messages of several tasks come in any order.
    fn on_lost(&mut self, id: WorkerId) {
        let is_abandoned = self.staff.member(id).is_some_and(|member| self.parts.units.is_abandoned(member));
        self.notify_core(if is_abandoned { Event::Abandoned(id) } else { Event::CameBack(id) });
        self.check_queue();
    }

    /// A worker has had the number of requests at which it was to report.
    fn on_progress(&mut self, id: WorkerId) {
        let now = self.supervision.now();
        let Some(member) = self.staff.member(id) else { return };
        let Some(most) = member.recipe.max_jobs else { return };
        match self.forecast.check(id, most, member.executions(), now) {
            Verdict::ReportAt(executions) => member.report_at(executions),
            Verdict::NearlyExhausted => self.notify_core(Event::NearlyExhausted(id)),
        }
    }

    /// Decides between a worker and its successor, which has waited for long.
    fn on_reconsider(&mut self, id: WorkerId) {
        let now = self.supervision.now();
        let Some(member) = self.staff.member(id) else { return };
        let Some(most) = member.recipe.max_jobs else { return };
        if let Some(executions) = self.forecast.reconsider(id, most, member.executions(), now) {
            member.report_at(executions);
            self.notify_core(Event::FarFromExhausted(id));
        } else {
            self.notify_core(Event::Due(id, Reason::MaxJobs));
        }
    }

    fn on_reset(&mut self, reply: oneshot::Sender<ResetEnd>) {
        self.resets.add(reply, Instant::now().checked_add(self.parts.recipe.get().reset_timeout));
        self.set_reset_alarm();
        self.begin_reset();
    }

    /// Puts other settings in force, and replaces the workers if they live by any of these.
    fn on_configure(&mut self, Change { recipe, target, scaling, replaced }: Change) {
        self.watch_for_slow(recipe.slow.clone());
        self.parts.recipe.replace(recipe);
        self.notify_core(Event::Configured { target, scaling });
        self.set_limits_alarm();
        if let Some(reply) = replaced {
            self.on_reset(reply);
        }
    }

    /// Begins a reset, if one has been asked for, now or when its time has come.
    fn begin_reset(&mut self) {
        let now = Instant::now();
        match self.resets.begins_in(now, self.forecast.boot()) {
            None => {}
            Some(Duration::ZERO) => {
                self.resets.begin(now);
                self.notify_core(Event::Reset);
            }
            Some(later) => self.alarms.set(Alarm::BeginReset, later),
        }
    }

    fn set_reset_alarm(&mut self) {
        match self.resets.expires_at() {
            Some(at) => self.alarms.set(Alarm::Reset, at.saturating_duration_since(Instant::now())),
            None => self.alarms.clear(Alarm::Reset),
        }
    }

    /// A request wants a worker of its own.
    fn on_one_shot(&mut self, reply: one_shot::Reply) {
        self.asking = Some(reply);
        self.notify_core(Event::OneShot);
        // Unless the core took it, the pool is shutting down, and the request hears of it now.
        self.asking = None;
    }

    fn on_boot(&mut self, id: WorkerId, result: Result<Booted, BootError>) {
        let Booted { process, exchange, numbered } = match result {
            Ok(booted) => booted,
            Err(error) => return self.on_boot_failed(id, &error.to_string()),
        };
        let Some(Booting { recipe, slot, call_off, one_shot }) = self.booting.remove(&id) else {
            return;
        };
        let concurrency = numbered.as_ref().map(|numbered| numbered.concurrency);
        let pid = process.status().pid();
        info!(target: "server", pid, pool = self.parts.label(), concurrency, "worker ready");
        let (exit, mailbox) = (process.status().exited(), self.parts.mailbox.clone());
        tokio::spawn(async move { mailbox.send(Message::Exited(id, exit.await)) });
        let member = Arc::new(Member::new(id, Arc::clone(process.status()), recipe, concurrency, slot));
        if let Some(numbered) = numbered {
            tokio::spawn(drive(numbered.driver, Arc::clone(&member), Arc::clone(&self.parts)));
        }
        self.staff.add(process, Arc::clone(&member));
        let unit = Box::new(Unit { exchange, member: Arc::clone(&member) });
        if call_off.is_none() {
            member.retire();
            return self.staff.stop(*unit);
        }
        // Without the time in which it waited to be started.
        let boot = member.status.age();
        self.forecast.observe_boot(boot);
        self.parts.counters.boot(boot);
        self.parts.roster.add(Arc::clone(&member));
        let units = &self.parts.units;
        if let Some(reply) = one_shot {
            // It leaves after its request. When that has gone meanwhile, dropping the lease lets the worker go as well.
            member.retire();
            drop(reply.send(Ok(Lease::new(unit, Arc::clone(units), Instant::now()))));
        } else {
            self.staff.hold(unit);
        }
        self.notify_core(Event::Booted(id));
    }

    fn on_boot_failed(&mut self, id: WorkerId, reason: &str) {
        let booting = self.booting.remove(&id);
        match booting {
            Some(Booting { one_shot: Some(reply), .. }) => {
                self.note_failed_boot(reason);
                let _ = reply.send(Err(Error::NoWorkers { reason: reason.to_owned() }));
            }
            // One that was called off is no failure.
            Some(Booting { call_off: None, .. }) => {}
            _ => {
                self.note_failed_boot(reason);
                self.log_failed_boot(reason);
            }
        }
        self.notify_core(Event::BootFailed(id, reason.to_owned()));
    }

    fn note_failed_boot(&self, reason: &str) {
        self.parts.counters.failed_boot();
        self.parts.recent.boot_failed(reason);
    }

    /// Logged once per streak, and again when the streak has grown tenfold: a worker that cannot start would fill the log.
    fn log_failed_boot(&self, reason: &str) {
        let (attempts, pool) = (self.core.streak() + 1, self.parts.label());
        if self.first_boot.is_some() {
            // `serve` reports it.
        } else if attempts == 1 || attempts.is_multiple_of(10) {
            error!(target: "server", pool, attempts, error = reason, "cannot start worker");
        } else {
            debug!(target: "server", pool, attempts, error = reason, "cannot start worker");
        }
    }

    fn notify_core(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.handle(event, &mut effects);
        // What the core has started from now on is of its generation.
        self.parts.recipe.renew(self.core.generation());
        for effect in effects {
            self.execute(effect);
        }
        self.parts.roster.set_target(self.core.target());
        self.parts.queue.set_can_grow(self.core.can_grow());
        // The event may have ended a reset during which another one was asked for.
        self.begin_reset();
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(id) => self.spawn(id, None),
            Effect::SpawnOneShot(id) => {
                let reply = self.asking.take();
                self.spawn(id, reply);
            }
            Effect::Lend(id) => {
                self.forecast.begin(id, self.supervision.now());
                self.staff.lend(id);
            }
            Effect::WatchStandbys => {
                // Each waits through one alarm and goes at the next one.
                let patience = STANDBY_PATIENCE.max(self.forecast.boot() * 4);
                self.alarms.set(Alarm::Standbys, patience);
            }
            Effect::Reconsider(id) => self.parts.mailbox.send(Message::Reconsider(id)),
            Effect::Retire(id, reason) => self.retire(id, reason),
            Effect::Kill(id, reason) => self.staff.kill(id, reason),
            Effect::Pause(time) => self.alarms.set(Alarm::Pause, time),
            Effect::LookAgain(time) => self.alarms.set(Alarm::LookAgain, time),
            Effect::ResetOver(end) => {
                self.resets.end(&end, self.parts.label());
                self.set_reset_alarm();
            }
            Effect::Announce(availability) => self.parts.queue.announce(availability),
            Effect::FirstBoot(result) => {
                if let Some(waiting) = self.first_boot.take() {
                    let _ = waiting.send(result);
                }
            }
            Effect::Ended => {
                self.parts.units.close();
                self.has_ended = true;
            }
        }
    }

    /// Starts a worker from the recipe in force, for one request alone or for all.
    fn spawn(&mut self, id: WorkerId, one_shot: Option<one_shot::Reply>) {
        let (mailbox, launcher) = (self.parts.mailbox.clone(), Arc::clone(&self.launcher));
        let Some(slot) = self.slots.assign() else {
            if let Some(reply) = one_shot {
                let _ = reply.send(Err(Error::NoWorkers { reason: "worker limit reached".into() }));
            }
            return mailbox.send(Message::NoSlot(id));
        };
        let recipe = self.parts.recipe.get();
        let (call_off, called_off) = oneshot::channel();
        let booting = Booting { recipe: Arc::clone(&recipe), slot, call_off: Some(call_off), one_shot };
        self.booting.insert(id, booting);
        tokio::spawn(async move {
            let result = launcher.boot(&recipe.launch, called_off).await;
            drop(launcher);
            mailbox.send(Message::Boot(id, Box::new(result)));
        });
    }

    fn retire(&mut self, id: WorkerId, reason: Reason) {
        match self.booting.get_mut(&id) {
            Some(booting) => drop(booting.call_off.take()),
            None => self.staff.retire(id, reason),
        }
    }

    /// Lets the core know of requests that wait, if there are any.
    fn check_queue(&mut self) {
        // A worker takes as many of them as it may have in flight.
        let requests = self.parts.queue.len().div_ceil(self.staff.concurrency());
        if requests > 0 {
            self.notify_core(Event::Waiting { requests, now: self.supervision.now() });
            self.set_shrink_alarm();
        }
    }

    fn set_limits_alarm(&mut self) {
        let recipe = self.parts.recipe.get();
        if recipe.limits.exist() {
            self.alarms.set(Alarm::Limits, recipe.watch_tick);
        }
    }

    /// Looks at these requests as well.
    fn watch_for_slow(&mut self, watch: Option<Arc<Watch>>) {
        self.watches.extend(watch);
        self.find_slow();
    }

    /// Logs requests that are slow, if there are any, and looks again later.
    fn find_slow(&mut self) {
        // One that nothing else holds is of workers that have gone.
        self.watches.retain(|watch| Arc::strong_count(watch) > 1);
        for watch in &self.watches {
            if let Some(found) = watch.find(Instant::now()) {
                let parts = Arc::clone(&self.parts);
                tokio::spawn(async move { parts.recent.slow(found.log(parts.label()).await) });
            }
        }
        if let Some(interval) = self.watches.iter().map(|watch| watch.interval()).min() {
            self.alarms.set(Alarm::Slow, interval);
        }
    }

    /// Begins a check of the limits; memory is read off `/proc` on a thread that may block.
    fn measure(&mut self) {
        if self.parts.recipe.get().limits.memory == 0 {
            return self.check_limits(&HashMap::new());
        }
        let mailbox = self.parts.mailbox.clone();
        offload::background(move || {
            let usage = worker::usage_by_group();
            let memory = usage.into_iter().map(|(group, usage)| (group, usage.resident)).collect();
            mailbox.send(Message::Measured(memory));
        });
    }

    /// Ends a check of the limits.
    fn check_limits(&mut self, memory: &HashMap<u32, u64>) {
        for (id, reason) in self.supervision.breaches(&self.staff.samples(memory)) {
            self.notify_core(if reason.is_hard() {
                Event::Retire(id, reason)
            } else {
                Event::Due(id, reason)
            });
        }
        self.set_limits_alarm();
    }

    /// While there are workers that were added for a load, the actor checks from time to time whether the load is over.
    fn set_shrink_alarm(&mut self) {
        if self.core.extra() > 0 && !self.alarms.is_set(Alarm::Shrink) {
            self.alarms.set(Alarm::Shrink, shrink_interval(self.parts.recipe.get().idle_timeout));
        }
    }

    /// Lets one worker go, if the pool can do without.
    fn shrink(&mut self) {
        if let Some(id) = self.supervision.unneeded(&self.staff.lent(), self.parts.recipe.get().idle_timeout)
        {
            self.notify_core(Event::Unneeded(id));
        }
        self.set_shrink_alarm();
    }
}
