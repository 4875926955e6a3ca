//! Who is measured: Causeway in its variants, and its alternatives.

/// A contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// With its defaults.
    Causeway,
    /// Another binary of Causeway, to measure a change; beside [`Causeway`](Self::Causeway) and [`Classic`](Self::Classic).
    Before,
    /// With a section `status`, and `metrics`.
    Observed,
    /// The same, while the metrics are scraped.
    Scraped,
    /// A call in a hundred is traced.
    TracedShare,
    /// All calls are traced.
    Traced,
    /// `pool.fence: false`.
    Unfenced,
    /// Ten pools in `centrifuge.pools`, the last of which answers.
    Routed,
    /// Slow calls beside the load, with a pool of their own.
    Apart,
    /// Slow calls beside the load, in one pool with as many workers.
    Together,
    /// One worker of protocol 2, with many requests at a time.
    Concurrent,
    /// The same with the other binary of Causeway.
    BeforeConcurrent,
    /// Four workers with one request at a time.
    Classic,
    /// The same in PHP with protobuf, where the package would choose JSON.
    Protobuf,
    /// One worker with one request at a time.
    OneClassic,
    /// A bare tonic server.
    Echo,
    /// A `grpc.aio` server.
    Aio,
    /// An application behind uvicorn, which Centrifugo calls over HTTP.
    Uvicorn,
    /// php-fpm behind nginx, which Centrifugo calls over HTTP.
    Fpm,
    /// The binary in `$RR`.
    RoadRunner,
    /// No bridge: the load calls Centrifugo directly.
    Direct,
}

impl Contender {
    /// The contender that measures the same with another binary.
    pub(crate) fn before(self) -> Option<Self> {
        match self {
            Self::Causeway | Self::Classic => Some(Self::Before),
            Self::Concurrent => Some(Self::BeforeConcurrent),
            _ => None,
        }
    }

    /// Whether slow calls beside the load keep busy every worker that may answer them.
    pub(crate) fn has_slow_calls(self) -> bool {
        matches!(self, Self::Apart | Self::Together)
    }

    /// Whether it sends spans.
    pub(crate) fn is_traced(self) -> bool {
        matches!(self, Self::TracedShare | Self::Traced)
    }

    /// Whether its workers speak protocol 2.
    pub(crate) fn is_concurrent(self) -> bool {
        matches!(self, Self::Concurrent | Self::BeforeConcurrent)
    }

    /// Whether Centrifugo calls it over HTTP.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Uvicorn | Self::Fpm)
    }

    /// How many workers it has in a row for this many.
    pub(crate) fn workers(self, workers: usize) -> usize {
        match self {
            Self::Together => 2 * workers,
            Self::Concurrent | Self::BeforeConcurrent | Self::OneClassic => 1,
            Self::Classic | Self::Protobuf => 4,
            _ => workers,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Causeway => "Causeway",
            Self::Before => "Causeway before",
            Self::Observed => "Causeway, not scraped",
            Self::Scraped => "Causeway, scraped",
            Self::TracedShare => "Causeway, 1 % traced",
            Self::Traced => "Causeway, all traced",
            Self::Unfenced => "Causeway, no fence",
            Self::Routed => "Causeway, ten routes",
            Self::Apart => "slow calls in their own pool",
            Self::Together => "slow calls in the same pool",
            Self::Concurrent => "Causeway, protocol 2, 1 worker",
            Self::BeforeConcurrent => "Causeway before, protocol 2, 1 worker",
            Self::Classic => "Causeway, 4 classic workers",
            Self::Protobuf => "Causeway, 4 classic workers, protobuf",
            Self::OneClassic => "Causeway, 1 classic worker",
            Self::Echo => "bare tonic",
            Self::Aio => "grpc.aio",
            Self::Uvicorn => "uvicorn",
            Self::Fpm => "nginx, php-fpm",
            Self::RoadRunner => "RoadRunner",
            Self::Direct => "no bridge",
        }
    }

    /// Its colour in the picture.
    pub(crate) fn colour(self) -> &'static str {
        match self {
            Self::Causeway | Self::Concurrent | Self::Observed => "#1667b7",
            Self::Before => "#777777",
            Self::BeforeConcurrent => "#aaaaaa",
            Self::Unfenced | Self::Classic | Self::TracedShare => "#7fb3e6",
            Self::Routed | Self::OneClassic | Self::Traced => "#4a8f9c",
            Self::Scraped | Self::Apart | Self::Protobuf => "#5aa86f",
            Self::Together => "#b5472f",
            Self::Echo => "#2f8f4e",
            Self::Aio => "#8a5fbf",
            Self::Uvicorn => "#c2448e",
            Self::Fpm => "#5f6fbf",
            Self::RoadRunner => "#d0622b",
            Self::Direct => "#b8a13a",
        }
    }
}
