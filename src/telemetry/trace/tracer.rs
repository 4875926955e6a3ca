//! Where spans are made: the decision whether a call is recorded, and the way of its spans to the exporter.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tracing::info;

use super::client::Client;
use super::config::Otel;
use super::context::{TRACESTATE, TraceContext, TraceId};
use super::export::{Exporter, Exporting, Target};
use super::health::Health;
use super::ids;
use super::queue::Queue;
use super::sampler::Sampler;
use super::settings::{Destination, Settings};
use super::span::{Kind, Parent, Span, Value, cut};
use crate::findings::Findings;
use crate::telemetry::logs::Stream;
use crate::telemetry::metrics::Collect;
use crate::tls;

/// Makes spans, or none. Clones share one queue.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    sampler: Sampler,
    queue: Arc<Queue>,
}

/// Where a call stands in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The call.
    pub(crate) own: TraceContext,
    /// What has caused it, if that is known.
    pub(crate) parent: Option<TraceContext>,
    /// What the call causes: the context of its worker, or of the server that is called.
    pub(crate) next: TraceContext,
}

/// A span of a trace that is recorded, while it lasts.
#[derive(Debug)]
pub(crate) struct Pending {
    recorder: Arc<Recorder>,
    trace: Trace,
    state: Option<Box<str>>,
}

/// When a span was, and what it is about.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: std::borrow::Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    /// What went wrong, if it failed.
    pub(crate) failure: Option<String>,
}

impl Tracer {
    /// Makes spans as the section `otel` and OpenTelemetry's variables ask for, and exports them until the result is finished. Without the
    /// section, there are none.
    ///
    /// # Errors
    /// If a certificate cannot be used.
    pub fn start(
        otel: Option<&Otel>,
        variables: &[(OsString, OsString)],
    ) -> Result<(Self, Option<Exporting>), tls::Error> {
        // They were reported when the configuration was read.
        let mut findings = Findings::default();
        let settings = otel.and_then(|otel| Settings::of(otel, variables, &mut findings));
        let Some(Settings { destination, resource, sampler, pace }) = settings else {
            return Ok((Self::default(), None));
        };
        let target = match destination {
            Destination::Stdout => Target::Console(Stream::Stdout),
            Destination::Stderr => Target::Console(Stream::Stderr),
            Destination::Collector(endpoint) => {
                info!(target: "otel", endpoint = endpoint.origin(), "exporting spans");
                let is_compressed = endpoint.is_compressed;
                Target::Collector { client: Box::new(Client::new(*endpoint)?), is_compressed }
            }
        };
        let queue = Arc::new(Queue::new(pace.capacity, pace.batch));
        let (resource, health) = (resource.into(), Health::default());
        let exporter = Exporter { queue: Arc::clone(&queue), target, resource, pace, health };
        let recorder = Recorder { sampler, queue };
        Ok((Self(Some(Arc::new(recorder))), Some(Exporting::start(exporter))))
    }

    /// Its figures, if there are spans at all.
    pub(crate) fn figures(&self) -> Option<Arc<dyn Collect>> {
        self.0.as_ref().map(|recorder| Arc::clone(&recorder.queue) as Arc<dyn Collect>)
    }

    /// Decides about a call with these headers. `None` if its headers are to be passed on as they are: there is no tracing, or its caller
    /// has decided against it.
    #[inline]
    pub(crate) fn incoming(&self, headers: &HeaderMap) -> Option<Trace> {
        let mut trace = self.0.as_ref()?.trace(TraceContext::of_headers(headers))?;
        // Of a trace that is not recorded, one span is as good as another.
        if trace.own.is_sampled() {
            trace.next = trace.own.at(ids::span_id());
        }
        Some(trace)
    }

    /// Decides about a call that this server makes, which `cause` has caused, if that is known.
    #[inline]
    pub(crate) fn outgoing(&self, cause: Option<TraceContext>) -> Option<Trace> {
        self.0.as_ref()?.trace(cause)
    }

    /// The span of a call, if it is recorded. It keeps the `tracestate` of the headers.
    pub(crate) fn pending(&self, trace: Trace, headers: Option<&HeaderMap>) -> Option<Pending> {
        let recorder = self.0.as_ref().filter(|_| trace.own.is_sampled())?;
        let state = headers.filter(|_| trace.parent.is_some()).and_then(tracestate);
        Some(Pending { recorder: Arc::clone(recorder), trace, state })
    }
}

/// The headers `tracestate`, joined as the standard asks for; `None` if there are none, or they are malformed or too long.
fn tracestate(headers: &HeaderMap) -> Option<Box<str>> {
    let parts = headers.get_all(&TRACESTATE).iter().map(|part| part.to_str());
    let state = parts.collect::<Result<Vec<_>, _>>().ok()?.join(",");
    (1..=MAX_STATE).contains(&state.len()).then(|| state.into())
}

/// Bytes of a `tracestate` that is kept, at most: as many as the standard asks for.
const MAX_STATE: usize = 512;

impl Recorder {
    fn trace(&self, parent: Option<TraceContext>) -> Option<Trace> {
        let decided = parent.map(|parent| parent.is_sampled());
        if decided == Some(false) && self.sampler.follows_parent() {
            return None;
        }
        let trace_id = parent.map_or_else(ids::trace_id, |parent| parent.trace_id);
        let is_sampled = self.sampler.samples(trace_id, decided);
        let own = TraceContext::new(trace_id, ids::span_id(), is_sampled);
        Some(Trace { own, parent, next: own })
    }
}

impl Trace {
    /// Its id, if it is recorded.
    #[inline]
    pub(crate) fn recorded(&self) -> Option<TraceId> {
        Some(self.own.trace_id).filter(|_| self.own.is_sampled())
    }

    /// The `traceparent` for what the call causes.
    pub(crate) fn traceparent(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(&self.next.traceparent()).ok()?;
        // Different in every call, so that HTTP/2 need not remember it.
        value.set_sensitive(true);
        Some(value)
    }
}

impl Pending {
    /// Records the call, and what it consisted of. The first of the parts that is [`Kind::Client`] is what [`Trace::next`] names.
    pub(crate) fn end(&self, whole: Part, parts: impl IntoIterator<Item = Part>) {
        let now = (Instant::now(), SystemTime::now());
        let Trace { own, parent, next } = self.trace;
        let parent = parent.map(|parent| Parent { id: parent.span_id, is_remote: true });
        let inner = Parent { id: own.span_id, is_remote: false };
        let mut spans = vec![self.span(own, parent, whole, now)];
        for part in parts {
            let context = if part.kind == Kind::Client { next } else { own.at(ids::span_id()) };
            spans.push(self.span(context, Some(inner), part, now));
        }
        self.recorder.queue.push(spans);
    }

    fn span(
        &self,
        context: TraceContext,
        parent: Option<Parent>,
        part: Part,
        (now, time): (Instant, SystemTime),
    ) -> Span {
        let Part { name, kind, start, end, attributes, failure } = part;
        let ago = now.saturating_duration_since(start);
        Span {
            name,
            kind,
            context,
            parent,
            state: self.state.clone(),
            start: time.checked_sub(ago).unwrap_or(time),
            took: end.saturating_duration_since(start),
            attributes,
            failure: failure.map(|failure| cut(&failure).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_tracestates_are_one_list() {
        let state = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&TRACESTATE, HeaderValue::from_str(value).unwrap());
            }
            tracestate(&headers).map(String::from)
        };
        assert_eq!(state(&["a=1", "b=2,c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(state(&[&"a".repeat(256), &"b".repeat(255)]).map(|state| state.len()), Some(512));
        for none in [&[][..], &[""], &["a=1", "\u{e4}"], &[&"a".repeat(256), &"b".repeat(256)]] {
            assert_eq!(state(none), None, "{none:?}");
        }
    }
}
