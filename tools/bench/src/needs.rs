//! What contenders need that may be missing on this machine.

use crate::contender::Contender;
use crate::plan::{App, Row, Work};

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Centrifugo,
    RoadRunner,
    Php,
    Fpm,
    Protobuf,
    Grpc,
    Uvicorn,
    /// A Causeway that knows protocol 2.
    ProtocolTwo,
    /// The same of the other binary.
    ProtocolTwoBefore,
    /// A Causeway that knows subscription streams.
    Streams,
    /// The same of the other binary.
    StreamsBefore,
}

impl Need {
    /// What a contender needs in a row.
    pub(crate) fn of(row: &Row, contender: Contender) -> Vec<Self> {
        let mut needs = Vec::new();
        if matches!(row.work, Work::Clients { .. }) {
            needs.push(Self::Centrifugo);
        }
        if matches!(row.work, Work::Streams { .. }) {
            needs.push(if contender == Contender::Before { Self::StreamsBefore } else { Self::Streams });
        }
        match contender {
            Contender::Echo | Contender::Direct => return needs,
            Contender::Aio => return [needs, vec![Self::Grpc]].concat(),
            Contender::Uvicorn => return [needs, vec![Self::Uvicorn]].concat(),
            Contender::Fpm => return [needs, vec![Self::Fpm]].concat(),
            Contender::RoadRunner => needs.push(Self::RoadRunner),
            Contender::Concurrent => needs.push(Self::ProtocolTwo),
            Contender::BeforeConcurrent => needs.push(Self::ProtocolTwoBefore),
            _ => {}
        }
        match row.app {
            App::C => {}
            App::Php => needs.push(Self::Php),
            App::Python | App::Handlers => needs.push(Self::Protobuf),
        }
        needs
    }

    /// What is skipped without it, and why.
    pub(crate) fn missing(self) -> &'static str {
        match self {
            Self::Centrifugo => {
                "the rows through Centrifugo: neither $CENTRIFUGO nor target/bin/centrifugo is there"
            }
            Self::RoadRunner => "RoadRunner: $RR is not set to its binary",
            Self::Php => "workers in PHP: php is not installed",
            Self::Fpm => "php-fpm: nginx and php-fpm are not installed",
            Self::Protobuf => "workers in Python: $PYTHON has no protobuf",
            Self::Grpc => "grpc.aio: $PYTHON has no grpcio and protobuf",
            Self::Uvicorn => "uvicorn: $PYTHON has no uvicorn, uvloop and httptools",
            Self::ProtocolTwo => "protocol 2: this version of Causeway does not know it",
            Self::ProtocolTwoBefore => "protocol 2 before: that version of Causeway does not know it",
            Self::Streams => "streams: this version of Causeway does not know them",
            Self::StreamsBefore => "streams before: that version of Causeway does not know them",
        }
    }
}
