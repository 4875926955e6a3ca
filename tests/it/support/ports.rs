//! Ports for programs that cannot be asked for the one that they have found.

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;

/// Below those that the system gives to listeners without a port and to connections; 10,000 above, where Redis has a cluster's own
/// connections, nobody listens on the addresses of the tests either.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of this address that is free, at random: tests that look for one at the same time find different ones.
pub fn free_port(host: &str) -> u16 {
    let chance = |step: u16| RandomState::new().hash_one(step) % u64::from(COUNT);
    let mut ports = (0..COUNT).map(|step| FIRST + u16::try_from(chance(step)).unwrap());
    ports.find(|port| TcpListener::bind((host, *port)).is_ok()).expect("a free port")
}
