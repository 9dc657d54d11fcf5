//! What every long-lived binary needs, and nothing of what either of them does.
//!
//! `clock` is the only source of time; `config` reads the one YAML file of a binary and writes its example and its
//! reference; `log` and `metrics` are the telemetry of the telemetry; `admin` serves `/metrics`, `/healthz` and
//! `/readyz`; `http` is how every HTTP listener is served; `otlp` posts to an OTLP endpoint; `shutdown` ends everything in
//! order and names who is late; `private` keeps what is written to its owner; `tls` is TLS whose certificates change
//! without a restart.
#![forbid(unsafe_code)]

pub mod admin;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod http;
pub mod log;
pub mod metrics;
pub mod otlp;
pub mod private;
pub mod shutdown;
pub mod tls;
