//! The span of a call to Centrifugo.

use tokio::time::Instant;
use tonic::Code;

use super::Error;
use super::call::SERVICE;
use crate::grpc::CODES;
use crate::net::host_and_port;
use crate::telemetry::trace::{Kind, Part, Pending, Value, cut};

/// A call that is recorded. One that is dropped before its end was cancelled.
#[derive(Debug)]
pub(super) struct Recording {
    pending: Pending,
    method: String,
    address: String,
    start: Instant,
    code: Code,
    failure: Option<String>,
}

impl Recording {
    /// Of the call of `method` at `address`, which begins now.
    pub(super) fn begin(pending: Pending, method: &str, address: &str) -> Box<Self> {
        let (method, address) = (cut(method).to_owned(), address.to_owned());
        Box::new(Self {
            pending,
            method,
            address,
            start: Instant::now(),
            code: Code::Cancelled,
            failure: None,
        })
    }

    /// The call has ended.
    pub(super) fn end<T>(mut self, result: &Result<T, Error>) {
        match result {
            Ok(_) => self.code = Code::Ok,
            Err(error) => (self.code, self.failure) = (error.code(), Some(error.message().to_owned())),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let method = format!("{SERVICE}/{}", self.method);
        let code = CODES[self.code as usize];
        let mut attributes: Vec<(_, Value)> = vec![
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", method.clone().into()),
            ("rpc.response.status_code", code.into()),
        ];
        if let Some((host, port)) = host_and_port(&self.address) {
            attributes.push(("server.address", host.to_owned().into()));
            attributes.push(("server.port", u32::from(port).into()));
        }
        // Of a client's codes, all but OK are errors.
        let failure = (self.code != Code::Ok).then(|| self.failure.take().unwrap_or_default());
        if failure.is_some() {
            attributes.push(("error.type", code.into()));
        }
        let (start, end) = (self.start, Instant::now());
        self.pending
            .end(Part { name: method.into(), kind: Kind::Client, start, end, attributes, failure }, []);
    }
}
