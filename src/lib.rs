//! Causeway: a RoadRunner-compatible worker supervisor and Centrifugo bridge.
//!
//! Centrifugo asks over gRPC whether a client may connect, subscribe, publish or refresh, and what an RPC returns. Causeway passes each
//! request to one of its worker processes (PHP, Python, anything that speaks goridge) and returns the answer.
//!
//! ```text
//! Centrifugo ──gRPC──▶ proxy ──payload──▶ pools ──▶ pool ──lease──▶ worker ──frame──▶ relay ──▶ app.php / app.py
//!                        ◀── response bytes, untouched ────────────────────────────────────────────┘
//! app.php / app.py, operators ──goridge──▶ rpc ─┬─▶ api ──gRPC──▶ Centrifugo
//!                                               └─▶ pools
//! scrapers, probes, browsers ──HTTP──▶ admin ──▶ overview, pools, telemetry
//! ```
//!
//! In one sentence: a pure state machine decides about the pool, one actor executes its decisions, one task owns each process, and
//! everything else is a thin adapter.
//!
//! ARCHITECTURE.md has the modules, who may import whom, and the decisions worth knowing.

mod access;
pub mod admin;
pub mod api;
pub mod app;
pub mod cli;
mod codec;
pub mod compat;
pub mod config;
pub mod duration;
mod findings;
pub mod goridge;
pub mod grpc;
pub mod net;
mod offload;
mod os;
mod overview;
pub mod pool;
pub mod pool_names;
pub mod pools;
pub mod proto;
mod protobuf;
pub mod proxy;
mod relay;
pub mod request_type;
pub mod rpc;
mod secrets;
mod service;
mod single_flight;
pub mod streams;
pub mod telemetry;
pub mod tls;
pub mod watch;
pub mod worker;
