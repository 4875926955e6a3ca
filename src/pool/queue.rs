//! Requests that wait for a worker: how many there are, whether another one may wait, and whether waiting makes sense.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    fence,
};

use tokio::sync::{Notify, watch};

use super::Error;
use super::core::Availability;
use super::mailbox::{Mailbox, Message};

/// The queue. Its order is kept by `Permits`.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    availability: watch::Sender<Availability>,
    /// Whether the pool can grow, so that the actor should hear of requests that wait.
    can_grow: AtomicBool,
    /// How many workers have to leave and were not found idle.
    leaving: AtomicUsize,
    /// Whether a removal waits until no request waits.
    is_emptying: AtomicBool,
    emptied: Notify,
    mailbox: Mailbox,
}

/// A request in the queue; dropping it leaves the queue.
#[derive(Debug)]
#[must_use = "a waiter that is dropped leaves the queue"]
pub(super) struct Waiter<'a> {
    queue: &'a Queue,
    served: bool,
}

impl Queue {
    pub(super) fn new(mailbox: Mailbox) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            availability: watch::Sender::new(Availability::Serving),
            can_grow: AtomicBool::new(false),
            leaving: AtomicUsize::new(0),
            is_emptying: AtomicBool::new(false),
            emptied: Notify::new(),
            mailbox,
        }
    }

    /// Joins the queue, unless `limit` requests wait already.
    pub(super) fn join(&self, limit: Option<usize>) -> Result<Waiter<'_>, Error> {
        let before = self.waiting.fetch_add(1, Relaxed);
        let waiter = Waiter { queue: self, served: false };
        match limit {
            Some(limit) if before >= limit => Err(Error::QueueFull { limit }),
            _ => Ok(waiter),
        }
    }

    /// How many requests wait for a worker.
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Whether a request finds a worker, and when that changes.
    pub(super) fn availability(&self) -> watch::Receiver<Availability> {
        self.availability.subscribe()
    }

    pub(super) fn is_serving(&self) -> bool {
        *self.availability.borrow() == Availability::Serving
    }

    pub(super) fn announce(&self, availability: Availability) {
        self.availability.send_replace(availability);
    }

    pub(super) fn set_can_grow(&self, can_grow: bool) {
        self.can_grow.store(can_grow, Relaxed);
    }

    /// A request has waited for a while: perhaps there can be more workers.
    pub(super) fn ask_for_more(&self) {
        if self.can_grow.load(Relaxed) {
            self.mailbox.send(Message::Waiting);
        }
    }

    /// Resolves when no request waits.
    pub(super) async fn emptied(&self) {
        self.is_emptying.store(true, SeqCst);
        fence(SeqCst);
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Sets how many workers have to leave and were not found idle yet. To be called before they are looked for.
    pub(super) fn set_leaving(&self, count: usize) {
        self.leaving.store(count, SeqCst);
        fence(SeqCst);
    }
}

impl Waiter<'_> {
    /// Leaves the queue with a worker.
    pub(super) fn served(mut self) {
        self.served = true;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let before = self.queue.waiting.fetch_sub(1, Relaxed);
        // An idle worker that has to leave may have been promised to this request, and is idle again.
        fence(SeqCst);
        if !self.served && self.queue.leaving.load(SeqCst) > 0 {
            self.queue.mailbox.send(Message::LeftQueue);
        }
        if before == 1 && self.queue.is_emptying.load(SeqCst) {
            self.queue.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_leaves_the_queue_unserved_triggers_a_search_for_leaving_workers() {
        let (mailbox, mut messages) = Mailbox::new();
        let queue = Queue::new(mailbox);
        drop(queue.join(None).unwrap());
        queue.set_leaving(1);
        queue.join(None).unwrap().served();
        assert!(messages.try_recv().is_err());
        drop(queue.join(None).unwrap());
        assert!(matches!(messages.try_recv(), Ok(Message::LeftQueue)));
    }

    #[tokio::test]
    async fn a_queue_is_emptied_when_the_last_request_has_left_it() {
        let queue = Queue::new(Mailbox::new().0);
        queue.emptied().await;
        let waiters = [queue.join(None).unwrap(), queue.join(None).unwrap()];
        let leave = async {
            for waiter in waiters {
                tokio::task::yield_now().await;
                waiter.served();
            }
        };
        tokio::join!(queue.emptied(), leave);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_full_queue_refuses_and_a_dropped_request_leaves_it() {
        let queue = Queue::new(Mailbox::new().0);
        let waiter = queue.join(Some(1)).unwrap();
        assert_eq!(queue.join(Some(1)).err(), Some(Error::QueueFull { limit: 1 }));
        assert_eq!(queue.len(), 1);
        drop(waiter);
        assert!(queue.join(Some(1)).is_ok());
        assert_eq!(queue.len(), 0);
    }
}
