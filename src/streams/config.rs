//! `centrifuge.streams`.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected};

/// Streams that may be open at a time, at most, whatever is configured: HTTP/2 has 31 bits for them, memory much less.
const MOST: u32 = 10_000_000;

/// The settings of subscription streams (Causeway's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Streams that may be open at a time; 100,000.
    #[serde(deserialize_with = "max")]
    pub max: u32,
    /// Messages that wait in a stream for a client that does not read; 64.
    #[serde(deserialize_with = "buffer")]
    pub buffer: u32,
    /// What happens to a message beyond that.
    pub overflow: Overflow,
    /// Streams that are opened per second, at most; 0: no limit.
    pub open_rate: u32,
}

/// What happens to a stream whose buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// It is closed with an error, so that the client subscribes again.
    #[default]
    Close,
    /// Its oldest message is dropped.
    DropOldest,
}

impl Default for Config {
    fn default() -> Self {
        Self { max: 100_000, buffer: 64, overflow: Overflow::Close, open_rate: 0 }
    }
}

fn max<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    at_least_one(deserializer, MOST, "a number from 1 to 10000000")
}

fn buffer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    at_least_one(deserializer, 65_536, "a number from 1 to 65536")
}

fn at_least_one<'de, D: Deserializer<'de>>(
    deserializer: D,
    most: u32,
    expected: &'static str,
) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(D::Error::invalid_value(Unexpected::Unsigned(number.into()), &expected))
}
