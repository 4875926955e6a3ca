//! End-to-end tests: a real `causeway serve`, real workers, a real gRPC client.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod api;
mod architecture;
mod both_ways;
mod chaos;
mod check;
mod closed_streams;
mod command_line;
mod commands;
mod demo;
mod docs;
mod examples;
mod faults;
mod h2spec;
mod handshake;
mod http2;
mod init;
mod interactive;
mod json;
mod lifecycle;
mod limits;
mod max_jobs;
mod meaning;
mod migration;
mod neighbours;
mod numbered;
mod observed;
mod packages;
mod page;
mod pages;
mod pid_one;
mod pools;
mod prometheus;
mod proxy;
mod real;
mod redis_locks;
mod relays;
mod reload;
mod replay;
mod reset;
mod rpc;
mod rr;
mod rr_client;
mod scaling;
mod service;
mod slow;
mod sockets;
mod streamed;
mod streams;
mod support;
mod tls;
mod traces;
mod upgrade;
