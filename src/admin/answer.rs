//! Answers.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// An answer with its whole body.
pub(super) type Answer = Response<Bytes>;

/// The content type of plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// An answer of this content type.
pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A line of text for people. Source of the headers: Go's `http.Error`, which RoadRunner uses.
pub(super) fn plain(status: StatusCode, line: &'static str) -> Answer {
    let mut answer = answer(status, TEXT, line);
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
