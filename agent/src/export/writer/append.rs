//! One batch onto the disk: packed, appended, synced; then its marks count.

use crate::export::SharedSpool;
use crate::export::batch::Unpacked;
use crate::export::spool::{BatchId, SpoolError};
use crate::logs::checkpoint::Checkpoints;
use crate::metrics::export::ExportMetrics;

pub(super) fn append(
    spool: &SharedSpool,
    checkpoints: Option<&Checkpoints>,
    batch: &mut Unpacked,
    metrics: &ExportMetrics,
) -> Result<BatchId, SpoolError> {
    let packed = batch.pack().map_err(|error| SpoolError::Append {
        path: std::path::PathBuf::new(),
        source: std::io::Error::other(error),
    })?;
    let id = {
        let mut spool = spool.lock();
        let id = spool.append(&packed)?;
        if spool.keeps_recent() {
            spool.remember(id, batch.encoded());
        }
        id
    };
    sync(spool, checkpoints);
    metrics.batches.inc();
    metrics.batch_bytes.inc_by(packed.unpacked_bytes);
    metrics.compressed_bytes.inc_by(packed.zstd_payload.len() as u64);
    for (signal, count) in &packed.rows {
        metrics.rows(signal).inc_by(*count);
    }
    spool.ready.notify_one();
    Ok(id)
}

/// Syncs without holding the spool, so that the client goes on sending meanwhile. The marks of what is durable count,
/// also those of batches whose own sync had failed.
fn sync(spool: &SharedSpool, checkpoints: Option<&Checkpoints>) {
    let (file, ids) = spool.lock().unsynced();
    if let Err(error) = file.sync_data() {
        // the records stay unsent until they stand in another file
        tracing::error!(%error, "spool not synced");
        spool.lock().not_synced();
        return;
    }
    let marks = spool.lock().synced(&ids);
    if let Some(checkpoints) = checkpoints.filter(|_| !marks.is_empty()) {
        checkpoints.commit(&marks);
    }
}
