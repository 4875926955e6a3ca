//! Which pool answers a call. Pure: what is known of the call in, a name out.

use crate::compat;

/// What is known of a call before its message is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Call<'a> {
    /// Its type, as workers read it, such as `connect`.
    pub kind: &'a str,
    /// The method of an RPC, where it was looked for.
    pub method: Option<&'a str>,
    /// The channel, where it was looked for.
    pub channel: Option<&'a str>,
}

/// Returns the name of the pool that answers `call`: the default one, since no configuration names others yet.
pub(super) fn name_for(_call: &Call<'_>) -> &'static str {
    compat::PLUGIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_goes_to_the_default_pool() {
        let rpc = Call { kind: "rpc", method: Some("report.daily"), channel: None };
        let publish = Call { kind: "publish", method: None, channel: Some("chat:1") };
        for call in [rpc, publish, Call::default()] {
            assert_eq!(name_for(&call), compat::PLUGIN);
        }
    }
}
