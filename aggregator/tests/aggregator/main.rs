//! The aggregator as its users meet it: a real server on loopback, a real gRPC client, real HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic rather than return errors")]

mod access;
mod agent;
mod apiserver;
mod certificates;
mod counts;
mod hostile;
mod killed;
mod kubernetes;
mod limits;
mod requests;
mod rest;
mod server;
mod text;
mod tls;
mod words;
