//! What is measured: the rows of the tables.

use crate::contender::Contender::{
    self, Aio, Apart, Causeway, Classic, Concurrent, Direct, Echo, Fpm, Observed, OneClassic, Protobuf,
    RoadRunner, Routed, Scraped, Together, Traced, TracedShare, Unfenced, Uvicorn,
};
use crate::message::Message;

/// The application of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// The cheapest worker possible.
    C,
    /// `workers/php/examples/app.php`.
    Php,
    /// `workers/python/examples/app.py`.
    Python,
    /// `tools/bench/workers/app.py`, whose handlers are coroutines where the worker speaks protocol 2.
    Handlers,
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
    /// RPCs of clients of a real Centrifugo, which are WebSockets: `in_flight` at a time of each.
    Clients { clients: usize, in_flight: usize, message: Message },
    /// A worker's calls of `centrifuge.Publish` over `rpc.listen`, one at a time on each connection. Without a bridge, as many at a time on
    /// one connection, as a bridge has.
    Publish { connections: usize },
    /// Messages into this many subscription streams, through `stream.Publish`; then a reset, and the stop.
    Streams { streams: usize },
    /// This many scrapes of the metrics, while a few callers call.
    Scrapes { number: usize },
    /// Nothing after the start.
    Idle,
}

/// The table that a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// What a bridge costs.
    Bridges,
    /// What workers at rest cost.
    Idle,
    /// What bridge and workers cost together.
    Workers,
    /// The same behind a real Centrifugo.
    Clients,
    /// What subscription streams cost.
    Streams,
    /// What traces cost.
    Traces,
    /// What a scrape of the metrics costs, and whom it delays.
    Scrapes,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) table: Table,
    pub(crate) workers: usize,
    pub(crate) app: App,
    pub(crate) relay: Relay,
    pub(crate) work: Work,
    pub(crate) contenders: &'static [Contender],
}

impl Row {
    /// Calls per second that the waiting of the handlers allows with as many calls in flight.
    pub(crate) fn ideal(&self) -> Option<f64> {
        let (in_flight, message) = match self.work {
            Work::Calls { connections, streams, message } => (connections * streams, message),
            Work::Clients { clients, in_flight, message } => (clients * in_flight, message),
            Work::Publish { .. } | Work::Streams { .. } | Work::Scrapes { .. } | Work::Idle => return None,
        };
        Some(in_flight as f64 / message.waits()?.as_secs_f64())
    }
}

const ALL: &[Contender] = &[Causeway, Echo, RoadRunner];
const BRIDGES: &[Contender] = &[Causeway, RoadRunner];

/// A message of usual size.
const SMALL: Message = Message::Rpc(100);

/// Four workers in C over pipes.
const fn calls(name: &'static str, connections: usize, streams: usize, message: Message) -> Row {
    let work = Work::Calls { connections, streams, message };
    let (table, app, relay) = (Table::Bridges, App::C, Relay::Pipes);
    Row { name, table, workers: 4, app, relay, work, contenders: ALL }
}

const fn idle(name: &'static str, workers: usize) -> Row {
    Row { table: Table::Idle, workers, work: Work::Idle, contenders: BRIDGES, ..calls(name, 0, 0, SMALL) }
}

const fn publish(name: &'static str, connections: usize) -> Row {
    let contenders = &[Causeway, Direct, RoadRunner];
    Row { work: Work::Publish { connections }, contenders, ..calls(name, 0, 0, SMALL) }
}

/// Python workers with one call at a time, or with many.
const fn concurrent(name: &'static str, streams: usize, message: Message) -> Row {
    let contenders = &[Concurrent, Classic, OneClassic, Aio];
    Row { table: Table::Workers, app: App::Handlers, contenders, ..calls(name, 1, streams, message) }
}

/// The same behind Centrifugo.
const fn clients(name: &'static str, clients: usize, in_flight: usize, message: Message) -> Row {
    let work = Work::Clients { clients, in_flight, message };
    let contenders = &[Concurrent, Classic, Aio, Uvicorn, RoadRunner];
    Row { table: Table::Clients, app: App::Handlers, work, contenders, ..calls(name, 0, 0, message) }
}

/// One worker in C with many calls at a time.
pub(crate) const PROTOCOL_2: Row = Row {
    app: App::C,
    contenders: &[Concurrent, Classic, OneClassic, Echo],
    ..concurrent("C handler, 1 x 256", 256, SMALL)
};

/// Streams that no worker is held by.
pub(crate) const STREAMS: Row = Row {
    table: Table::Streams,
    workers: 2,
    work: Work::Streams { streams: 10_000 },
    contenders: &[Causeway],
    ..calls("10,000 streams, 2 workers", 0, 0, SMALL)
};

/// All rows, in the order of the tables.
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
    PROTOCOL_2,
    concurrent("Python handler, 1 x 256", 256, SMALL),
    Row {
        contenders: &[Concurrent, Classic, Aio],
        ..concurrent("Python handler waits 50 ms, 1 x 1000", 1000, Message::Wait)
    },
    clients("Python handler, 200 clients", 200, 1, SMALL),
    clients("Python handler waits 50 ms, 200 clients x 5", 200, 5, Message::Wait),
    Row {
        app: App::Php,
        contenders: &[Classic, Protobuf, Fpm, RoadRunner],
        ..clients("PHP handler, 200 clients", 200, 1, SMALL)
    },
    STREAMS,
    Row {
        table: Table::Traces,
        contenders: &[Causeway, TracedShare, Traced],
        ..calls("1 x 32, spans over gRPC", 1, 32, SMALL)
    },
    // In each of four pools.
    Row {
        table: Table::Scrapes,
        workers: 125,
        work: Work::Scrapes { number: 200 },
        contenders: &[Observed, Scraped],
        ..calls("500 workers, 8 callers", 0, 0, SMALL)
    },
];
