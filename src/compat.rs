//! The RoadRunner that this bridge stands in for, as workers, operators and clients see it.

/// Its version: workers read it from `RR_VERSION`, callers of RPC from `rpc.Version`.
pub(crate) const VERSION: &str = "2025.1.15";

/// The name of its plugin for Centrifugo: the mode that workers read from `RR_MODE`, and the name of the default pool.
pub(crate) const PLUGIN: &str = "centrifuge";
