//! The types of calls, and what of their messages routes can ask for.

/// The text of a message that a route can ask for. No message has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The method of an RPC.
    Method,
    /// The channel.
    Channel,
}

/// Centrifugo's own types: the names of its methods in lower case, with the subject of each and the number of its field.
///
/// Source: `proto/centrifugal/centrifugo/proxy.proto`. The channels of a `connect` are those that the client wants to be subscribed to, and
/// `notifychannelstate` has many events: neither has one channel. Those that open streams have a `SubscribeRequest`.
pub(crate) const TYPES: [(&str, Option<(Subject, u32)>); 13] = {
    const METHOD: Option<(Subject, u32)> = Some((Subject::Method, 11));
    const CHANNEL: Option<(Subject, u32)> = Some((Subject::Channel, 11));
    const FIRST: Option<(Subject, u32)> = Some((Subject::Channel, 1));
    [
        ("connect", None),
        ("refresh", None),
        ("subscribe", CHANNEL),
        ("publish", CHANNEL),
        ("rpc", METHOD),
        ("subrefresh", CHANNEL),
        ("notifycacheempty", FIRST),
        ("notifychannelstate", None),
        ("mappublish", CHANNEL),
        ("mapremove", CHANNEL),
        ("sharedpollrefresh", FIRST),
        ("subscribeunidirectional", CHANNEL),
        ("subscribebidirectional", CHANNEL),
    ]
};

/// The subject of calls of this type, and the number of its field. Unknown types have none.
pub(super) fn subject(kind: &str) -> Option<(Subject, u32)> {
    TYPES.iter().find(|(known, _)| *known == kind).and_then(|(_, subject)| *subject)
}

/// The type as routes and workers read it: `sub_refresh` and `SubRefresh` are `subrefresh`.
pub(crate) fn normalised(kind: &str) -> String {
    kind.replace('_', "").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn every_method_of_centrifugo_s_service_is_known_with_its_field() {
        let service =
            proto::descriptors().get_service_by_name("centrifugal.centrifugo.proxy.CentrifugoProxy").unwrap();
        assert_eq!(service.methods().len(), TYPES.len());
        for method in service.methods() {
            let kind = normalised(method.name());
            assert!(TYPES.iter().any(|(known, _)| *known == kind), "{kind}");
            let mut input = method.input();
            if method.is_client_streaming() {
                let first = input.get_field_by_name("subscribe_request").unwrap().kind();
                input = first.as_message().unwrap().clone();
            }
            let field = |name| input.get_field_by_name(name).map(|field| field.number());
            let expected = field("method").map(|number| (Subject::Method, number));
            let expected = expected.or_else(|| field("channel").map(|number| (Subject::Channel, number)));
            assert_eq!(subject(&kind), expected, "{kind}");
        }
    }
}
