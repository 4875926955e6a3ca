//! Centrifugo's messages, and those of RPC methods: typed ones for tests and for programs that embed this crate, and descriptors for code
//! that handles any message.
//!
//! Centrifugo's requests, and workers' calls in protobuf, pass through as bytes and need none of this. The descriptors serve RPC methods,
//! calls in JSON, MessagePack and gob, and the command line. Generated from `proto/` by `cargo xtask proto`.

pub mod json;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// Centrifugo's server API, `centrifugal.centrifugo.api`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]
#[rustfmt::skip]
#[path = "generated/api.rs"]
pub mod api;

/// The proxy service that Centrifugo calls, `centrifugal.centrifugo.proxy`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]
#[rustfmt::skip]
#[path = "generated/proxy.rs"]
pub mod proxy;

/// Arguments and results of RPC methods, `causeway.rpc`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]
#[rustfmt::skip]
#[path = "generated/rpc.rs"]
pub mod rpc;

/// The descriptors of Centrifugo's messages and services. The first call decodes them, which takes some megabytes of memory.
pub fn descriptors() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| pool(include_bytes!("generated/descriptor.bin")));
    &POOL
}

/// The descriptors of the messages of RPC methods.
pub(crate) fn rpc_descriptors() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| pool(include_bytes!("generated/rpc.bin")));
    &POOL
}

fn pool(descriptors: &[u8]) -> DescriptorPool {
    // The bytes are part of the program, and tests read them.
    DescriptorPool::decode(descriptors).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a table without its header, split at tabs.
    fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
        table.lines().skip(1).map(|line| line.split('\t').collect())
    }

    #[test]
    fn all_messages_and_fields_are_those_of_centrifugo() {
        let tables = [
            ("proxy", include_str!("../../tests/vectors/centrifugo-proxy-messages.tsv")),
            ("api", include_str!("../../tests/vectors/centrifugo-api-messages.tsv")),
        ];
        for (package, table) in tables {
            for row in rows(table) {
                let name = format!("centrifugal.centrifugo.{package}.{}", row[0]);
                let message =
                    descriptors().get_message_by_name(&name).unwrap_or_else(|| panic!("{name} is missing"));
                let Some(field) = row.get(1).filter(|field| !field.is_empty()) else { continue };
                let found =
                    message.get_field_by_name(field).unwrap_or_else(|| panic!("{name}.{field} is missing"));
                assert_eq!(found.number().to_string(), row[2], "{name}.{field}");
                assert_eq!(found.is_list(), row[4] == "repeated", "{name}.{field}");
            }
        }
    }

    #[test]
    fn all_methods_are_those_of_centrifugo() {
        let tables = [
            include_str!("../../tests/vectors/centrifugo-proxy-methods.tsv"),
            include_str!("../../tests/vectors/centrifugo-api-methods.tsv"),
        ];
        for row in tables.into_iter().flat_map(rows) {
            let service = descriptors().get_service_by_name(&format!("{}.{}", row[0], row[1])).unwrap();
            let method = service.methods().find(|method| method.name() == row[2]).unwrap();
            assert_eq!((method.input().name(), method.output().name()), (row[3], row[4]));
            assert_eq!(method.is_client_streaming().to_string(), row[5]);
            assert_eq!(method.is_server_streaming().to_string(), row[6]);
        }
    }
}
