//! The wire between agent and aggregator.
//!
//! `wake/v1/*.proto` → `generated` (committed; `cargo xtask codegen`) → `v1`, the row and message types that both
//! sides use. `error` holds the closed `ErrorCode` and its only mapping to gRPC and HTTP.

pub mod error;
pub mod histogram;
pub mod kube;

/// Messages and rows of wire version 1, generated from `proto/wake/v1/`.
#[allow(
    clippy::allow_attributes,
    clippy::all,
    clippy::clone_on_ref_ptr,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    unreachable_pub
)]
pub mod v1 {
    include!("generated/wake.v1.rs");
}

/// The wire version that this build speaks.
pub const WIRE_VERSION: u32 = 1;
/// The largest unpacked `Payload` that may be sent, bytes.
pub const MAX_PAYLOAD_BYTES: u64 = 4 << 20;
/// The largest log body, bytes; what is longer is cut and marked `truncated`.
pub const MAX_LOG_BODY_BYTES: usize = 1 << 20;
