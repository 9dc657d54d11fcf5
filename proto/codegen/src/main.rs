//! Generates `proto/src/generated/wake.v1.rs` with no protoc: protox compiles, tonic-prost-build writes.
//!
//! Run by `cargo xtask codegen`; the result is committed, so that building Wake needs only stable Rust.

use std::path::Path;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("proto/codegen lies in proto/")?;
    let files = ["wake/v1/enrol.proto", "wake/v1/ingest.proto", "wake/v1/kube.proto", "wake/v1/rows.proto"];
    let descriptors = protox::compile(files, [proto])?;
    tonic_prost_build::configure()
        .bytes(".wake.v1.Batch.zstd_payload")
        .bytes(".wake.v1.LogRow.body")
        .btree_map(".")
        .out_dir(proto.join("src/generated"))
        .compile_fds(descriptors)
        .context("generate code from the descriptors")
}
