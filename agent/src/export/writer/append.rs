//! One batch onto the disk: packed, appended, synced; then its marks count.

use crate::export::SharedSpool;
use crate::export::batch::Unpacked;
use crate::export::spool::SpoolError;
use crate::logs::checkpoint::Checkpoints;
use crate::metrics::export::ExportMetrics;

pub(super) fn append(
    spool: &SharedSpool,
    checkpoints: Option<&Checkpoints>,
    batch: &Unpacked,
    metrics: &ExportMetrics,
) -> Result<(), SpoolError> {
    let packed = batch.pack().map_err(|error| SpoolError::Append {
        path: std::path::PathBuf::new(),
        source: std::io::Error::other(error),
    })?;
    spool.lock().append(&packed)?;
    let is_synced = sync(spool);
    if let Some(checkpoints) = checkpoints.filter(|_| is_synced && !packed.marks.is_empty()) {
        checkpoints.commit(&packed.marks);
    }
    metrics.batches.inc();
    metrics.batch_bytes.inc_by(packed.unpacked_bytes);
    metrics.compressed_bytes.inc_by(packed.zstd_payload.len() as u64);
    for (signal, count) in &packed.rows {
        metrics.rows(signal).inc_by(*count);
    }
    spool.ready.notify_one();
    Ok(())
}

/// Syncs without holding the spool, so that the client goes on sending meanwhile.
fn sync(spool: &SharedSpool) -> bool {
    let (file, ids) = match spool.lock().unsynced() {
        Ok(unsynced) => unsynced,
        Err(error) => {
            tracing::error!(%error, "spool not synced");
            return false;
        }
    };
    match file.sync_data() {
        Ok(()) => {
            spool.lock().synced(ids);
            true
        }
        Err(error) => {
            // the records stay unsent until a later sync succeeds
            tracing::error!(%error, "spool not synced");
            spool.lock().not_synced(ids);
            false
        }
    }
}
