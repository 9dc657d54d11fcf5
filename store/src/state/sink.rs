//! What becomes of batches when the WAL's thread has written them, or could not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::error::ErrorCode;

use super::{RETRY_DISK_MS, Shared, WalFile};
use crate::batch::Admitted;
use crate::disk::is_full;
use crate::stats::Counts;
use crate::wal::Sink;
use crate::{Refused, Table};

/// Where the WAL's thread hands over what is durable.
pub(crate) struct WalSink(pub(crate) Arc<Shared>);

impl Sink for WalSink {
    fn written(&mut self, mut admitted: Admitted, lsn: i64, file_lsn: i64, record_bytes: u64) {
        let shared = &self.0;
        let key = admitted.key.clone();
        let answer = std::mem::take(&mut admitted.answer);
        let (now_ns, last) = (admitted.now_ns, lsn + admitted.places - 1);
        let published = {
            let mut state = shared.state();
            let published = state.publish(admitted, lsn);
            if let Ok(touched) = &published {
                state.dedupe.insert(&key, now_ns);
                let path = crate::wal::file_path(&shared.root.join("wal"), file_lsn);
                state.note_wal(WalFile {
                    first_lsn: file_lsn,
                    path,
                    bytes: record_bytes,
                    last_lsn: last,
                    tables: *touched,
                });
                if Table::ALL.iter().any(|table| shared.is_large(&state, *table)) {
                    shared.due.notify_one();
                }
            }
            published
        };
        match published {
            Ok(_) => {
                shared.complete(&key, Ok(answer));
                shared.rows.send_replace(last);
            }
            // the columns were made by us and checked; if they do not fit, searching on would be a lie
            Err(error) => {
                shared.stop(format!("rows of a batch do not fit their table: {error}"));
                shared.complete(&key, Err(Refused::later(ErrorCode::Internal, error.to_string(), 0)));
            }
        }
    }

    fn refused(&mut self, admitted: Admitted, error: &io::Error) {
        let full = is_full(error);
        let code = if full { ErrorCode::DiskFull } else { ErrorCode::Unavailable };
        let refused = Refused::later(code, format!("write the log: {error}"), RETRY_DISK_MS);
        self.0.complete(&admitted.key, Err(refused));
    }

    fn failed(&mut self, operation: &'static str, error: &io::Error, unanswered: Vec<Admitted>) {
        self.0.stop(format!("{operation} the log: {error}"));
        for admitted in unanswered {
            let detail = format!("the store has stopped: {operation} the log: {error}");
            let refused = Refused::later(ErrorCode::Unavailable, detail, RETRY_DISK_MS);
            self.0.complete(&admitted.key, Err(refused));
        }
    }

    fn synced(&mut self, bytes: u64, took: Option<Duration>) {
        Counts::add(&self.0.counts.syncs, 1);
        Counts::add(&self.0.counts.wal_bytes, bytes);
        if let Some(took) = took {
            self.0.sync_times.add(took);
        }
    }

    fn time(&self) -> Option<Duration> {
        self.0.stopwatch.get().map(|stopwatch| (stopwatch.0)())
    }

    fn begin(&mut self, file_lsn: Option<i64>) -> bool {
        let mut state = self.0.state();
        state.wal_writing = true;
        file_lsn.is_none_or(|first_lsn| first_lsn > state.wal_given_up)
    }

    fn end(&mut self) {
        self.0.state().wal_writing = false;
    }
}
