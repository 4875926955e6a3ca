//! The decisions under random events.

use std::time::Duration;

use proptest::prelude::*;

use super::core::{Core, Outcome};
use crate::compat::Compat;
use crate::rpc::locks::claim::{Claim, Mode};

/// Events with few names, so that claims meet.
#[derive(Debug, Clone)]
enum Step {
    Claim { resource: u8, id: u8, is_write: bool, ttl: Option<u8>, wait: u8 },
    Release { resource: u8, id: u8 },
    Force { resource: u8 },
    Update { resource: u8, id: u8, ttl: Option<u8> },
    Leave { nth: usize },
    Later { millis: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (resource, id) = (0..2_u8, 0..4_u8);
    prop_oneof![
        4 => (resource.clone(), id.clone(), any::<bool>(), proptest::option::of(1..30_u8), 0..30_u8)
            .prop_map(|(resource, id, is_write, ttl, wait)| Step::Claim { resource, id, is_write, ttl, wait }),
        2 => (resource.clone(), id.clone()).prop_map(|(resource, id)| Step::Release { resource, id }),
        1 => resource.clone().prop_map(|resource| Step::Force { resource }),
        1 => (resource, id, proptest::option::of(0..30_u8))
            .prop_map(|(resource, id, ttl)| Step::Update { resource, id, ttl }),
        1 => (0..8_usize).prop_map(|nth| Step::Leave { nth }),
        2 => (0..20_u8).prop_map(|millis| Step::Later { millis }),
    ]
}

proptest! {
    /// Whatever happens: a writer is alone, no claim waits that could be granted, each waiter is answered or still queued, and nothing is left
    /// at the end.
    #[test]
    fn writers_are_alone_and_no_claim_waits_in_vain(
        steps in proptest::collection::vec(step(), 1..120),
        is_v3 in any::<bool>(),
    ) {
        let mut core = Core::new(if is_v3 { Compat::V3 } else { Compat::V2025 }, 0);
        let mut now = Duration::ZERO;
        let mut waiting: Vec<(u64, String, String)> = Vec::new();
        let mut last_token = 0;
        let millis = |time: u8| Duration::from_millis(time.into());
        for step in steps {
            match step {
                Step::Claim { resource, id, is_write, ttl, wait } => {
                    let claim = Claim {
                        resource: resource.to_string(),
                        id: id.to_string(),
                        mode: if is_write { Mode::Write } else { Mode::Read },
                        ttl: ttl.map(millis),
                        wait: millis(wait),
                        is_fenced: false,
                    };
                    if let Outcome::Waiting(ticket) = core.claim(now, claim.clone()) {
                        waiting.push((ticket, claim.resource, claim.id));
                    }
                }
                Step::Release { resource, id } => {
                    core.release(now, &resource.to_string(), &id.to_string());
                }
                Step::Force { resource } => drop(core.force_release(now, &resource.to_string())),
                Step::Update { resource, id, ttl } => {
                    core.update_ttl(now, &resource.to_string(), &id.to_string(), ttl.map(millis));
                }
                Step::Leave { nth } if nth < waiting.len() => {
                    let (ticket, resource, id) = waiting.remove(nth);
                    core.leave(now, &resource, &id, ticket);
                }
                Step::Leave { .. } => {}
                Step::Later { millis: time } => {
                    now += millis(time);
                    core.advance(now);
                }
            }
            for (ticket, token) in core.take_answers() {
                waiting.retain(|(waiter, ..)| *waiter != ticket);
                prop_assert!(token.is_none_or(|token| token > last_token));
                last_token = token.unwrap_or(last_token);
            }
            let mut queued = 0;
            for name in ["0", "1"] {
                let Some(resource) = core.resource(name) else { continue };
                let writers = resource.holds.values().filter(|hold| hold.mode == Mode::Write).count();
                prop_assert!(writers == 0 || resource.holds.len() == 1);
                let first = resource.queue.first_key_value().map(|(_, waiter)| waiter.mode);
                prop_assert!(first.is_none() || !resource.holds.is_empty());
                prop_assert!(first != Some(Mode::Read) || writers == 1);
                prop_assert!(!resource.is_unused());
                queued += resource.queue.len();
            }
            prop_assert_eq!(queued, waiting.len());
            core.size();
        }
        for name in ["0", "1"] {
            while core.force_release(now, name) {}
        }
        prop_assert_eq!((core.size(), core.next_alarm()), ((0, 0), None));
    }
}
