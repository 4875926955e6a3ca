//! Signs of life for systemd's watchdog (`WatchdogSec=`), which restarts a service that sends none.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{Notifier, invalid};

/// How often the manager wants a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watchdog {
    within: Duration,
}

impl Watchdog {
    /// Reads the interval in microseconds, if it is meant for this process, which has `own` as its pid.
    ///
    /// # Errors
    /// If it is no positive number.
    pub(super) fn of(microseconds: Option<&str>, pid: Option<&str>, own: u32) -> io::Result<Option<Self>> {
        let Some(text) = microseconds.filter(|_| pid.is_none_or(|pid| pid.parse() == Ok(own))) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number @ 1_u64..) => Ok(Some(Self { within: Duration::from_micros(number) })),
            _ => Err(invalid("WATCHDOG_USEC", "a positive number of microseconds")),
        }
    }

    /// Sends a sign of life twice per interval, each time after `respond` has resolved, which asks every pool's actor. If one does not
    /// answer, none is sent until it does. While the server shuts down and actors end, so that `serving` is false, it is enough that the
    /// runtime runs this.
    pub(crate) async fn run<R: Future<Output = ()>>(
        self,
        notifier: Notifier,
        respond: impl Fn() -> R,
        mut serving: watch::Receiver<bool>,
    ) {
        let mut ticks = interval(self.within / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            tokio::select! {
                biased;
                // Also if there is no server any more.
                () = async { drop(serving.wait_for(|serving| !serving).await) } => {}
                () = respond() => {}
            }
            notifier.alive().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::net::UnixDatagram;

    use tokio::time::{Instant, timeout};

    use super::*;

    /// How many signs of life are sent within ten seconds by a watchdog of one second.
    async fn signs(respond: impl AsyncFn(), serving: bool) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (_sender, serving) = watch::channel(serving);
        let watchdog = Watchdog { within: Duration::from_secs(1) };
        let running = watchdog.run(Notifier::open(path.to_str()).unwrap(), || respond(), serving);
        let signs = Cell::new(0);
        let counting = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                while socket.recv(&mut [0; 64]).is_ok() {
                    signs.set(signs.get() + 1);
                }
            }
        };
        let _ = timeout(Duration::from_millis(9900), async { tokio::join!(running, counting) }).await;
        signs.get()
    }

    #[tokio::test(start_paused = true)]
    async fn no_sign_of_life_is_sent_while_an_actor_does_not_answer() {
        assert_eq!(signs(async || {}, true).await, 20);
        assert_eq!(signs(std::future::pending, true).await, 0);
        let begin = Instant::now();
        let stuck_for_a_while = async || tokio::time::sleep_until(begin + Duration::from_secs(5)).await;
        let sent = signs(stuck_for_a_while, true).await;
        assert!((9..=11).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn actors_that_have_ended_are_not_asked_during_the_shutdown() {
        assert_eq!(signs(std::future::pending, false).await, 20);
    }

    #[test]
    fn the_interval_counts_if_it_is_meant_for_this_process() {
        let read = |time, pid| Watchdog::of(time, pid, 7);
        let second = Some(Watchdog { within: Duration::from_secs(1) });
        assert_eq!(read(Some("1000000"), None).unwrap(), second);
        assert_eq!(read(Some("1000000"), Some("7")).unwrap(), second);
        assert_eq!(read(Some("1000000"), Some("8")).unwrap(), None);
        assert_eq!(read(None, Some("7")).unwrap(), None);
        for text in ["0", "-1", "1s", ""] {
            assert!(read(Some(text), None).is_err(), "{text}");
        }
    }
}
