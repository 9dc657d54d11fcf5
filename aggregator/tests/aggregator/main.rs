//! The aggregator as its users meet it: a real server on loopback, a real gRPC client, real HTTP.

mod agent;
mod hostile;
mod killed;
mod limits;
mod rest;
mod server;
mod text;
