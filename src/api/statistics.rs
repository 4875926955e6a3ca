//! Durations of calls to Centrifugo's API by method and code.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;
use tonic::Code;

use crate::grpc::CODES;
use crate::telemetry::histogram::{BOUNDS, SecondsHistogram};
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, ready};

/// Centrifugo's methods; those of a later version count as `other`, since callers choose the names.
///
/// Source: `proto/centrifugal/centrifugo/api.proto`.
pub(crate) const METHODS: [&str; 40] = [
    "Publish",
    "Broadcast",
    "Batch",
    "Subscribe",
    "Unsubscribe",
    "Disconnect",
    "Presence",
    "PresenceStats",
    "History",
    "HistoryRemove",
    "Info",
    "RPC",
    "Refresh",
    "Channels",
    "Connections",
    "UpdateUserStatus",
    "GetUserStatus",
    "DeleteUserStatus",
    "BlockUser",
    "UnblockUser",
    "RevokeToken",
    "InvalidateUserTokens",
    "DeviceRegister",
    "DeviceUpdate",
    "DeviceRemove",
    "DeviceList",
    "DeviceTopicList",
    "DeviceTopicUpdate",
    "UserTopicList",
    "UserTopicUpdate",
    "SendPushNotification",
    "UpdatePushStatus",
    "CancelPush",
    "MapPublish",
    "MapRemove",
    "MapReadState",
    "MapReadStream",
    "MapStats",
    "MapClear",
    "SharedPollPublish",
];

/// The label of all other methods.
const OTHER: &str = "other";

type ByCode = [SecondsHistogram; CODES.len()];

/// Counts calls.
#[derive(Debug)]
pub(super) struct Statistics {
    /// By the place in [`METHODS`], from the first call on.
    methods: [OnceLock<Box<ByCode>>; METHODS.len()],
    other: OnceLock<Box<ByCode>>,
}

/// A call in flight. When it is dropped without a code, its caller went away.
#[must_use = "a call that is dropped at once counts as cancelled"]
pub(super) struct Timed<'a> {
    codes: &'a ByCode,
    began: Instant,
    code: Code,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { methods: [const { OnceLock::new() }; METHODS.len()], other: OnceLock::new() }
    }
}

impl Statistics {
    /// A call of this method begins.
    pub(super) fn begin(&self, method: &str) -> Timed<'_> {
        let known = METHODS.iter().position(|known| *known == method);
        let codes = known.map_or(&self.other, |number| &self.methods[number]);
        Timed { codes: codes.get_or_init(Box::default), began: Instant::now(), code: Code::Cancelled }
    }
}

impl Statistics {
    /// How many calls have ended so far, and how many of them without success.
    pub(super) fn counted(&self) -> (u64, u64) {
        let used = self.methods.iter().chain([&self.other]).filter_map(OnceLock::get);
        used.fold((0, 0), |(calls, failures), codes| {
            let all: u64 = codes.iter().map(|histogram| histogram.read().total()).sum();
            let fine = codes.first().map_or(0, |histogram| histogram.read().total());
            (calls + all, failures + all - fine.min(all))
        })
    }
}

impl Timed<'_> {
    /// The call has ended with this code.
    pub(super) fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if let Some(histogram) = usize::try_from(self.code as i32).ok().and_then(|code| self.codes.get(code))
        {
            histogram.observe(self.began.elapsed());
        }
    }
}

impl Collect for Statistics {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let mut family = FamilyText::new(
                "causeway_api_call_duration_seconds",
                CollectorKind::Histogram,
                "Duration of calls to Centrifugo's API in seconds, by method and gRPC code.",
            );
            let known = METHODS.iter().zip(&self.methods);
            for (method, codes) in known.chain([(&OTHER, &self.other)]) {
                for (code, histogram) in CODES.iter().zip(codes.get().into_iter().flat_map(|codes| &**codes))
                {
                    let read = histogram.read();
                    if read.total() > 0 {
                        let labels = [("code", *code), ("method", *method)];
                        family.histogram(&labels, &BOUNDS, &read.counts, read.sum.as_secs_f64());
                    }
                }
            }
            page.add(family);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use crate::telemetry::metrics::Page;

    #[test]
    fn every_method_of_the_api_is_known() {
        let service =
            proto::descriptors().get_service_by_name("centrifugal.centrifugo.api.CentrifugoApi").unwrap();
        assert_eq!(service.methods().len(), METHODS.len());
        for method in service.methods() {
            assert!(METHODS.contains(&method.name()), "{}", method.name());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_by_method_and_code_and_invented_methods_share_a_label() {
        let statistics = Arc::new(Statistics::default());
        statistics.begin("Publish").end(Code::Ok);
        drop(statistics.begin("Publish"));
        for number in 0..100 {
            statistics.begin(&format!("Invented{number}")).end(Code::Unimplemented);
        }
        assert_eq!(statistics.counted(), (102, 101));
        let mut page = Page::default();
        Arc::clone(&statistics).collect().await(&mut page);
        let page = page.finish();
        let counts: Vec<&str> = page.lines().filter(|line| line.contains("_count{")).collect();
        assert_eq!(
            counts,
            [
                r#"causeway_api_call_duration_seconds_count{code="OK",method="Publish"} 1"#,
                r#"causeway_api_call_duration_seconds_count{code="CANCELLED",method="Publish"} 1"#,
                r#"causeway_api_call_duration_seconds_count{code="UNIMPLEMENTED",method="other"} 100"#,
            ]
        );
    }
}
