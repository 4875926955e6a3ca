//! The fence: which frames of a worker belong to the request in hand.
//!
//! An answer carries nothing that ties it to its request. So each request is followed, in the same write, by a control frame that
//! asks for the worker's pid. A worker handles frames one after the other, so its echo says that it is done with the request, whatever
//! it sent:
//!
//! ```text
//!   us:      request ─ pid? ───────────────────────▶
//!   worker:            answer ─ pid ───────────────▶   the answer; the worker is idle again
//!                      answer ─ answer ─ pid ──────▶   the first one counts, the second one is surplus
//!                      pid ────────────────────────▶   the handler ended without an answer
//!                      pid ─ answer ───────────────▶   the worker reads ahead: only order ties answers to requests
//! ```
//!
//! Once a worker has sent an unrequested frame, the next requests have a fence in front as well: what still comes before the echo of that
//! one is left over from earlier. So has a request before which a frame has begun to arrive.
//!
//! A frame that comes behind the echo of its own request was sent by something that does not follow the order of requests, such as a
//! thread. Once one worker *strayed* so, no answer of any worker of this pool is believed before its echo, since they all run the same
//! program: it is held, and if a second one comes before the echo, either could belong to the request: neither is
//! delivered then.
//!
//! ```text
//!   worker:            answer ─ pid ───────────────▶   held until the echo, then delivered
//!                      answer ─ answer ─ pid ──────▶   either may be another request's: the request fails, the worker is replaced
//! ```
//!
//! An early echo is no evidence of reading ahead if the worker sends its pid more often than it was asked for it: then the echo before the
//! answer may be one that it made up. The fence that was turned off for such a worker is turned on again.
//!
//! This module is pure: events in, verdicts out. Time (the grace period for a missing answer) and bytes are the connection's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What all workers of one pool have in common: what their order of frames is worth.
#[derive(Debug)]
pub(super) struct Order {
    /// Whether the fence means anything to them.
    fenced: AtomicBool,
    /// One of them has answered unasked.
    strays: AtomicBool,
}

impl Order {
    /// `fenced` is `pool.fence`.
    pub(super) fn new(fenced: bool) -> Arc<Self> {
        Arc::new(Self { fenced: AtomicBool::new(fenced), strays: AtomicBool::new(false) })
    }

    #[cfg(test)]
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced.load(Relaxed)
    }
}

/// One worker's side of the fence.
#[derive(Debug)]
pub(super) struct Fence {
    order: Arc<Order>,
    request: Option<Pending>,
    /// The worker once sent an unrequested frame, or did not answer.
    doubtful: bool,
    /// The last request ended without an answer: one that comes now shows that the worker reads ahead.
    unanswered: bool,
    /// How many echoes the worker owes.
    owed: u32,
    /// The fence was turned off for what this worker did.
    has_turned_off: bool,
}

/// The request in hand, until its worker is done with it.
#[derive(Debug, Clone, Copy)]
struct Pending {
    stage: Stage,
    /// Whether there is a fence behind it.
    fenced: bool,
    /// The request before it ended without an answer, so an answer behind an early echo may be that one's.
    after_unanswered: bool,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The echo of the fence in front of it is still to come.
    Behind,
    /// The worker is at it.
    Open,
    /// The answer has come; the echo of the fence behind it has not.
    Answered,
    /// What may be the answer has come and is held until the echo, since these workers stray.
    Held,
    /// The echo has come, and no answer before it.
    EarlyEcho,
}

/// Which control frames go with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// One in front of it.
    pub(super) front: bool,
    /// One behind it.
    pub(super) behind: bool,
}

/// What a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The answer to the request in hand.
    Answer,
    /// The answer, and the first sign that these workers read ahead; the fence is off from now on.
    AnswerAfterEcho,
    /// Perhaps the answer to the request in hand. Keep it until [`Verdict::Release`].
    Hold,
    /// The echo has come, and what was held is the answer.
    Release,
    /// An unrequested frame. Drop it.
    Surplus,
    /// An unrequested frame, and the first one that came behind its echo: these workers stray. Drop it.
    Stray,
    /// An unrequested frame, which shows that these workers read ahead; the fence is off from now on.
    LateAnswer,
    /// This may be the answer to the request in hand or to an earlier one. It can be delivered to neither, nor can the worker be trusted
    /// to be in step again.
    Ambiguous,
    /// The handler ended without an answer, or the worker reads ahead: wait for the grace period.
    EarlyEcho,
    /// The worker makes up echoes: they do not separate its answers.
    MadeUp,
    /// The fence is on again: the echo that showed that this worker reads ahead was made up.
    FencedAgain,
    /// Nothing to do.
    Nothing,
}

impl Fence {
    pub(super) fn new(order: Arc<Order>) -> Self {
        Self { order, request: None, doubtful: false, unanswered: false, owed: 0, has_turned_off: false }
    }

    /// The worker sends more than can be read before its next request.
    pub(super) fn distrust(&mut self) {
        self.doubtful = true;
    }

    /// A request is about to be written.
    pub(super) fn begin(&mut self) -> Placement {
        self.place(self.doubtful)
    }

    /// A request is about to be written while a frame of an earlier time is still arriving.
    pub(super) fn begin_in_front(&mut self) -> Placement {
        self.place(true)
    }

    fn place(&mut self, front: bool) -> Placement {
        let fenced = self.order.fenced.load(Relaxed);
        let placement = Placement { front: fenced && front, behind: fenced };
        self.owed += u32::from(placement.front) + u32::from(placement.behind);
        self.request = Some(Pending {
            stage: if placement.front { Stage::Behind } else { Stage::Open },
            fenced,
            after_unanswered: std::mem::take(&mut self.unanswered),
        });
        placement
    }

    /// Whether the worker is done with whatever it was asked.
    pub(super) fn is_settled(&self) -> bool {
        self.request.is_none()
    }

    /// Whether what comes now was sent before the request in hand was read.
    pub(super) fn is_behind(&self) -> bool {
        self.request.is_some_and(|request| request.stage == Stage::Behind)
    }

    /// Whether what comes now is an answer to the request in hand, or a part of it.
    pub(super) fn is_open(&self) -> bool {
        let is_believed = |fenced: bool| !fenced || !self.order.strays.load(Relaxed);
        self.request.is_some_and(|request| request.stage == Stage::Open && is_believed(request.fenced))
    }

    /// A response frame came.
    pub(super) fn on_response(&mut self) -> Verdict {
        let Some(request) = &mut self.request else { return self.on_idle_response() };
        match request.stage {
            Stage::Open if request.fenced && self.order.strays.load(Relaxed) => {
                request.stage = Stage::Held;
                Verdict::Hold
            }
            Stage::Open if request.fenced => {
                request.stage = Stage::Answered;
                Verdict::Answer
            }
            Stage::Open => {
                self.request = None;
                Verdict::Answer
            }
            Stage::Held => Verdict::Ambiguous,
            // Of workers that stray this may as well be a late answer to an earlier request.
            Stage::EarlyEcho if self.order.strays.load(Relaxed) => Verdict::Ambiguous,
            Stage::EarlyEcho => {
                self.order.fenced.store(false, Relaxed);
                self.has_turned_off = true;
                if request.after_unanswered {
                    return Verdict::Ambiguous;
                }
                self.request = None;
                Verdict::AnswerAfterEcho
            }
            Stage::Behind if !request.after_unanswered => self.stray(),
            Stage::Behind | Stage::Answered => {
                self.doubtful = true;
                Verdict::Surplus
            }
        }
    }

    fn on_idle_response(&mut self) -> Verdict {
        if std::mem::take(&mut self.unanswered) {
            self.order.fenced.store(false, Relaxed);
            self.has_turned_off = true;
            Verdict::LateAnswer
        } else {
            self.stray()
        }
    }

    /// A response came behind its own echo.
    fn stray(&mut self) -> Verdict {
        self.doubtful = true;
        if self.order.fenced.load(Relaxed) && !self.order.strays.swap(true, Relaxed) {
            Verdict::Stray
        } else {
            Verdict::Surplus
        }
    }

    /// A pid came.
    pub(super) fn on_echo(&mut self) -> Verdict {
        let Some(owed) = self.owed.checked_sub(1) else { return self.on_made_up_echo() };
        self.owed = owed;
        let Some(request) = &mut self.request else { return Verdict::Nothing };
        match request.stage {
            Stage::Behind => request.stage = Stage::Open,
            Stage::Answered => self.request = None,
            Stage::Held => {
                self.request = None;
                return Verdict::Release;
            }
            Stage::Open if request.fenced => {
                request.stage = Stage::EarlyEcho;
                return Verdict::EarlyEcho;
            }
            Stage::Open | Stage::EarlyEcho => {}
        }
        Verdict::Nothing
    }

    /// An unrequested pid came.
    fn on_made_up_echo(&mut self) -> Verdict {
        if self.request.is_some_and(|request| request.stage == Stage::EarlyEcho) {
            return Verdict::MadeUp;
        }
        if !std::mem::take(&mut self.has_turned_off) {
            return Verdict::Nothing;
        }
        self.doubtful = true;
        self.order.fenced.store(true, Relaxed);
        Verdict::FencedAgain
    }

    /// The time in which an answer could still follow its early echo is over.
    pub(super) fn give_up(&mut self) {
        if self.request.is_some_and(|request| request.stage == Stage::EarlyEcho) {
            self.request = None;
            self.doubtful = true;
            self.unanswered = true;
        }
    }
}

#[cfg(test)]
#[path = "fence_tests.rs"]
mod tests;
