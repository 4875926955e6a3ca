//! What is measured: the rows of the table.

use crate::message::Message;

/// A contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// With its defaults.
    Causeway,
    /// Another binary of Causeway, to measure a change; in each row with Causeway.
    Before,
    /// `pool.fence: false`.
    Unfenced,
    /// Ten pools in `centrifuge.pools`, the last of which answers.
    Routed,
    /// Slow calls beside the load, with a pool of their own.
    Apart,
    /// Slow calls beside the load, in one pool with as many workers.
    Together,
    /// A bare tonic server.
    Echo,
    /// A `grpc.aio` server.
    Aio,
    /// The binary in `$RR`.
    RoadRunner,
    /// No bridge: the load calls Centrifugo directly.
    Direct,
}

/// The application of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// The cheapest worker possible.
    C,
    /// `workers/php/examples/app.php`.
    Php,
    /// `workers/python/examples/app.py`.
    Python,
}

/// The relay to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relay {
    Pipes,
    Tcp,
    Unix,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Calls: `streams` at a time on each connection.
    Calls { connections: usize, streams: usize, message: Message },
    /// A worker's calls of `centrifuge.Publish` over `rpc.listen`, one at a time on each connection. Without a bridge, as many at a time on
    /// one connection, as a bridge has.
    Publish { connections: usize },
    /// Nothing after the start.
    Idle,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) workers: usize,
    pub(crate) app: App,
    pub(crate) relay: Relay,
    pub(crate) work: Work,
    pub(crate) contenders: &'static [Contender],
}

use Contender::{Aio, Apart, Causeway, Direct, Echo, RoadRunner, Routed, Together, Unfenced};

const ALL: &[Contender] = &[Causeway, Echo, RoadRunner];
const BRIDGES: &[Contender] = &[Causeway, RoadRunner];

/// A message of usual size.
const SMALL: Message = Message::Rpc(100);

/// Four workers in C over pipes.
const fn calls(name: &'static str, connections: usize, streams: usize, message: Message) -> Row {
    let work = Work::Calls { connections, streams, message };
    Row { name, workers: 4, app: App::C, relay: Relay::Pipes, work, contenders: ALL }
}

const fn idle(name: &'static str, workers: usize) -> Row {
    Row { name, workers, app: App::C, relay: Relay::Pipes, work: Work::Idle, contenders: BRIDGES }
}

const fn publish(name: &'static str, connections: usize) -> Row {
    let contenders = &[Causeway, Direct, RoadRunner];
    Row { work: Work::Publish { connections }, contenders, ..idle(name, 4) }
}

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    calls("one call at a time", 1, 1, SMALL),
    Row { contenders: &[Causeway, Unfenced, Routed, Echo, RoadRunner], ..calls("1 x 32", 1, 32, SMALL) },
    calls("8 x 16", 8, 16, SMALL),
    calls("connect, 1 x 32", 1, 32, Message::Connect),
    Row {
        contenders: &[Causeway, Apart, Together],
        ..calls("connect beside slow calls, 1 x 32", 1, 32, Message::Connect)
    },
    Row { contenders: BRIDGES, ..calls("1 x 256, 4 workers", 1, 256, SMALL) },
    Row { workers: 64, ..calls("1 x 256, 64 workers", 1, 256, SMALL) },
    Row { workers: 500, contenders: BRIDGES, ..calls("1 x 32, 500 workers", 1, 32, SMALL) },
    calls("16 KB, 1 x 32", 1, 32, Message::Rpc(16 << 10)),
    calls("1 MB, 1 x 4", 1, 4, Message::Rpc(1 << 20)),
    Row { relay: Relay::Unix, contenders: BRIDGES, ..calls("unix relay, 1 x 32", 1, 32, SMALL) },
    Row { relay: Relay::Tcp, contenders: BRIDGES, ..calls("tcp relay, 1 x 32", 1, 32, SMALL) },
    Row { app: App::Php, contenders: BRIDGES, ..calls("PHP, 1 x 32", 1, 32, SMALL) },
    Row {
        app: App::Python,
        contenders: &[Causeway, Aio, RoadRunner],
        ..calls("Python, 1 x 32", 1, 32, SMALL)
    },
    publish("publish over RPC, 1 connection", 1),
    publish("publish over RPC, 16 connections", 16),
    idle("idle, 1 worker", 1),
    idle("idle, 64 workers", 64),
    idle("idle, 500 workers", 500),
];

impl Contender {
    /// Whether slow calls beside the load keep busy every worker that may answer them.
    pub(crate) fn has_slow_calls(self) -> bool {
        matches!(self, Apart | Together)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Causeway => "Causeway",
            Self::Before => "Causeway before",
            Unfenced => "Causeway, no fence",
            Routed => "Causeway, ten routes",
            Apart => "slow calls in their own pool",
            Together => "slow calls in the same pool",
            Echo => "bare tonic",
            Aio => "grpc.aio",
            RoadRunner => "RoadRunner",
            Direct => "no bridge",
        }
    }

    /// Its colour in the picture.
    pub(crate) fn colour(self) -> &'static str {
        match self {
            Causeway => "#1667b7",
            Self::Before => "#777777",
            Unfenced => "#7fb3e6",
            Routed => "#4a8f9c",
            Apart => "#5aa86f",
            Together => "#b5472f",
            Echo => "#2f8f4e",
            Aio => "#8a5fbf",
            RoadRunner => "#d0622b",
            Direct => "#b8a13a",
        }
    }
}
