//! The simulation: events in the order of their times.
//!
//! Calls arrive at random at each node. A node sends each to a bridge, in turn or always to one; there it waits for a worker, first come,
//! first served. A worker that has a call finishes it, though its deadline has passed. A call whose deadline passes in the queue is dropped. A
//! killed bridge loses the calls that it has; nodes repeat them by the policy of `causeway dns-txt`, within its throttling.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::plan::Plan;
use crate::random::Random;
use crate::report::Report;

/// The policy of `causeway dns-txt`: the first pause and the longest one, in seconds, and the tokens of its throttling.
const BACKOFF: f64 = 0.02;
const MAX_BACKOFF: f64 = 0.2;
const TOKENS: f64 = 1000.0;

/// How long a simulation goes on after the load, in seconds: users who repeat calls may keep a fleet busy for ever.
const AFTER: f64 = 60.0;

/// A point of time in nanoseconds.
type Time = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The next call of a node.
    Arrival {
        node: usize,
    },
    /// A client that has lost its node connects again.
    Return {
        node: usize,
    },
    /// A node sends a call, for the first time or again.
    Sending {
        call: usize,
    },
    /// A worker has finished a call, unless its bridge was killed since.
    Done {
        bridge: usize,
        life: u32,
        call: usize,
    },
    /// The deadline of a call.
    Deadline {
        call: usize,
    },
    Kill {
        bridge: usize,
    },
    Back {
        bridge: usize,
    },
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    /// Its deadline passed.
    Deadline,
    /// The queue was full.
    Full,
    /// Its bridge was killed, or there was none.
    Unavailable,
}

#[derive(Debug)]
struct Call {
    node: usize,
    /// When it began to wait for the worker that it has.
    queued: Time,
    attempts: u32,
    /// Whether it waits in a queue at this moment.
    is_waiting: bool,
    runs: u32,
    has_ended: bool,
}

#[derive(Debug, Default)]
struct Bridge {
    is_away: bool,
    /// How often it was killed.
    life: u32,
    busy: usize,
    queue: VecDeque<usize>,
    /// Those in the queue whose deadlines have not passed.
    waiting: usize,
    running: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    next: usize,
    tokens: f64,
}

/// A simulation.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    plan: &'a Plan,
    random: Random,
    now: Time,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    numbers: u64,
    calls: Vec<Call>,
    bridges: Vec<Bridge>,
    nodes: Vec<Node>,
    report: Report,
}

impl<'a> Fleet<'a> {
    /// Simulates a plan until its last call has ended, or for [`AFTER`] longer than the load lasts.
    pub(crate) fn run(plan: &'a Plan) -> Report {
        let mut fleet = Self {
            plan,
            random: Random::new(plan.seed),
            now: 0,
            events: BinaryHeap::new(),
            numbers: 0,
            calls: Vec::new(),
            bridges: (0..plan.bridges).map(|_| Bridge::default()).collect(),
            // Nodes do not begin with the same bridge.
            nodes: (0..plan.nodes).map(|next| Node { next, tokens: TOKENS }).collect(),
            report: Report::new(plan),
        };
        fleet.prepare();
        let end = nanos(plan.seconds + AFTER);
        while let Some(Reverse((time, _, event))) = fleet.events.pop() {
            if time > end {
                break;
            }
            fleet.now = time;
            fleet.handle(event);
        }
        fleet.report
    }

    fn prepare(&mut self) {
        for node in 0..self.plan.nodes {
            self.next_arrival(node);
        }
        if let Some(time) = self.plan.kill {
            self.after(time, Event::Kill { bridge: 0 });
        }
        if let Some([time, clients, within]) = self.plan.lost.as_deref() {
            let (mut left, mut node) = (*clients, 0);
            while left >= 1.0 {
                let wait = time + within * self.random.unit();
                self.after(wait, Event::Return { node });
                // Those of the last node go to the others.
                node = (node + 1) % self.plan.nodes.saturating_sub(1).max(1);
                left -= 1.0;
            }
        }
    }

    fn after(&mut self, seconds: f64, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((self.now + nanos(seconds), self.numbers, event)));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival { node } => {
                self.next_arrival(node);
                self.begin(node);
            }
            Event::Return { node } => self.begin(node),
            Event::Sending { call } => self.send(call),
            Event::Done { bridge, life, call } => self.done(bridge, life, call),
            Event::Deadline { call } => self.deadline(call),
            Event::Kill { bridge } => self.kill(bridge),
            Event::Back { bridge } => self.bridges[bridge].is_away = false,
        }
    }

    fn next_arrival(&mut self, node: usize) {
        #[expect(clippy::cast_precision_loss, reason = "numbers of nodes are small")]
        let mean = self.plan.nodes as f64 / self.plan.rate;
        let wait = self.random.exponential(mean);
        if seconds(self.now) + wait < self.plan.seconds {
            self.after(wait, Event::Arrival { node });
        }
    }

    /// A new call of this node.
    fn begin(&mut self, node: usize) {
        let call = self.calls.len();
        self.calls.push(Call {
            node,
            queued: self.now,
            attempts: 0,
            is_waiting: false,
            runs: 0,
            has_ended: false,
        });
        self.report.offered += 1;
        self.after(self.plan.timeout, Event::Deadline { call });
        self.send(call);
    }

    fn send(&mut self, call: usize) {
        if self.calls[call].has_ended {
            return;
        }
        self.calls[call].attempts += 1;
        let Some(bridge) = self.pick(self.calls[call].node) else { return self.unavailable(call) };
        self.calls[call].queued = self.now;
        let queue = self.plan.queue;
        let at = &mut self.bridges[bridge];
        if at.busy < self.plan.workers {
            self.start(bridge, call);
        } else if queue > 0 && at.waiting >= queue {
            self.end(call, End::Full);
        } else {
            at.queue.push_back(call);
            at.waiting += 1;
            self.calls[call].is_waiting = true;
        }
    }

    /// The bridge for the next call of a node.
    fn pick(&mut self, node: usize) -> Option<usize> {
        let (count, next) = (self.bridges.len(), &mut self.nodes[node].next);
        let from = *next % count;
        let found = (from..from + count).map(|at| at % count).find(|at| !self.bridges[*at].is_away)?;
        // With pick_first, all nodes have the same first one.
        *next = if self.plan.pick_first { 0 } else { found + 1 };
        Some(found)
    }

    fn start(&mut self, bridge: usize, call: usize) {
        let work = if self.plan.even { self.plan.work } else { self.random.exponential(self.plan.work) };
        let waited = seconds(self.now - self.calls[call].queued);
        self.report.started(waited, work);
        self.calls[call].runs += 1;
        let at = &mut self.bridges[bridge];
        at.busy += 1;
        at.running.push(call);
        let life = at.life;
        self.after(work, Event::Done { bridge, life, call });
    }

    fn done(&mut self, bridge: usize, life: u32, call: usize) {
        let at = &mut self.bridges[bridge];
        if at.life != life {
            return;
        }
        at.busy -= 1;
        at.running.retain(|running| *running != call);
        self.end(call, End::Answered);
        while let Some(next) = self.bridges[bridge].queue.pop_front() {
            if !self.calls[next].has_ended {
                self.calls[next].is_waiting = false;
                self.bridges[bridge].waiting -= 1;
                return self.start(bridge, next);
            }
        }
    }

    fn deadline(&mut self, call: usize) {
        if self.calls[call].is_waiting && !self.calls[call].has_ended {
            let bridge = self.bridges.iter().position(|bridge| bridge.queue.contains(&call));
            if let Some(bridge) = bridge {
                self.bridges[bridge].waiting -= 1;
            }
        }
        self.end(call, End::Deadline);
    }

    fn kill(&mut self, bridge: usize) {
        let at = &mut self.bridges[bridge];
        at.is_away = true;
        at.life += 1;
        at.busy = 0;
        at.waiting = 0;
        let lost: Vec<usize> = at.running.drain(..).chain(at.queue.drain(..)).collect();
        self.after(self.plan.away, Event::Back { bridge });
        for call in lost {
            self.calls[call].is_waiting = false;
            self.unavailable(call);
        }
    }

    /// A call has failed: it is repeated if the policy allows.
    fn unavailable(&mut self, call: usize) {
        let Call { node, attempts, has_ended, .. } = self.calls[call];
        if has_ended {
            return;
        }
        let tokens = &mut self.nodes[node].tokens;
        *tokens = (*tokens - 1.0).max(0.0);
        if attempts >= self.plan.attempts || *tokens <= TOKENS / 2.0 {
            return self.end(call, End::Unavailable);
        }
        self.report.repeated += 1;
        let pause = (BACKOFF * f64::from(1 << attempts.min(10)) / 2.0).min(MAX_BACKOFF);
        let jitter = 0.8 + 0.4 * self.random.unit();
        self.after(pause * jitter, Event::Sending { call });
    }

    fn end(&mut self, call: usize, end: End) {
        let at = &mut self.calls[call];
        if at.has_ended {
            return;
        }
        at.has_ended = true;
        let node = at.node;
        self.report.ended(end, seconds(self.now), at.runs);
        if end == End::Answered {
            let tokens = &mut self.nodes[node].tokens;
            *tokens = (*tokens + 1.0).min(TOKENS);
        } else if self.plan.again > 0.0 && self.random.unit() < self.plan.again {
            self.report.again += 1;
            let pause = self.plan.again_after * (0.5 + self.random.unit());
            self.after(pause, Event::Return { node });
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times are positive and short")]
fn nanos(seconds: f64) -> Time {
    (seconds * 1e9) as Time
}

#[expect(clippy::cast_precision_loss, reason = "times are short")]
fn seconds(time: Time) -> f64 {
    time as f64 / 1e9
}
