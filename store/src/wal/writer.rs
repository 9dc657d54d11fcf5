//! The one thread that writes the WAL: what queued while the last fdatasync ran goes into the next.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use super::record::BatchRecord;
use super::{MAGIC, file_path};
use crate::batch::Admitted;
use crate::disk::{Disk, DiskFile};

/// Bounds of the writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterLimits {
    pub(crate) file_bytes: u64,
    pub(crate) group_bytes: usize,
}

/// An admitted batch on its way to the disk.
#[derive(Debug)]
pub(crate) struct Job(pub(crate) Box<Admitted>);

/// Where written batches go; called by the writer thread alone.
pub(crate) trait Sink: Send {
    /// The batch with this first lsn is durable, in the file of this first lsn.
    fn written(&mut self, admitted: Admitted, lsn: i64, file_lsn: i64, record_bytes: u64);
    /// The batch was not written; nothing of it is on disk.
    fn refused(&mut self, admitted: Admitted, error: &io::Error);
    /// Nobody knows what is on disk: the store must stop.
    fn failed(&mut self, operation: &'static str, error: &io::Error, unanswered: Vec<Admitted>);
    /// A group is durable; the sync took so long, if there is a clock.
    fn synced(&mut self, bytes: u64, took: Option<Duration>);
    /// A monotonic time, if there is a clock.
    fn time(&self) -> Option<Duration>;
    /// A group is about to be written: whether the open file, if there is one, may be appended to. If not, it was
    /// given up and may be gone.
    fn begin(&mut self, file_lsn: Option<i64>) -> bool;
    /// The group was answered.
    fn end(&mut self);
}

/// The writer's state.
pub(crate) struct Writer<S> {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    limits: WriterLimits,
    next_lsn: i64,
    file: Option<OpenFile>,
    sink: S,
}

struct OpenFile {
    file: Box<dyn DiskFile>,
    first_lsn: i64,
    bytes: u64,
}

/// Why there is no file to write to: without room one waits, after a failed sync one stops.
enum OpenFileError {
    Write(io::Error),
    Sync(io::Error),
}

impl<S: Sink> Writer<S> {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        limits: WriterLimits,
        next_lsn: i64,
        sink: S,
    ) -> Self {
        Self { disk, folder, limits, next_lsn, file: None, sink }
    }

    /// Writes until an fsync fails, and answers until every sender is gone.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut buffer = Vec::new();
        while let Ok(Job(first)) = jobs.recv() {
            let mut group = vec![*first];
            let mut bytes = group[0].zstd_payload.len();
            while bytes < self.limits.group_bytes {
                match jobs.try_recv() {
                    Ok(Job(next)) => {
                        bytes += next.zstd_payload.len();
                        group.push(*next);
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            if !self.write(group, &mut buffer) {
                break;
            }
        }
        // after a failure: whoever comes until the store is closed still gets an answer
        while let Ok(Job(late)) = jobs.recv() {
            self.sink.failed("sync", &io::Error::other("the log has stopped"), vec![*late]);
        }
    }

    /// Writes one group; false if the store must stop.
    fn write(&mut self, group: Vec<Admitted>, buffer: &mut Vec<u8>) -> bool {
        if !self.sink.begin(self.file.as_ref().map(|open| open.first_lsn)) {
            self.file = None;
        }
        let goes_on = self.write_group(group, buffer);
        self.sink.end();
        goes_on
    }

    fn write_group(&mut self, group: Vec<Admitted>, buffer: &mut Vec<u8>) -> bool {
        match self.ensure_file() {
            Ok(()) => {}
            Err(OpenFileError::Write(error)) => {
                group.into_iter().for_each(|admitted| self.sink.refused(admitted, &error));
                return true;
            }
            Err(OpenFileError::Sync(error)) => {
                self.sink.failed("sync", &error, group);
                return false;
            }
        }
        let Some(open) = self.file.as_mut() else { return true };
        buffer.clear();
        let mut lsn = self.next_lsn;
        let mut ends = Vec::with_capacity(group.len());
        for admitted in &group {
            let record = BatchRecord {
                lsn,
                key: admitted.key.clone(),
                now_ns: admitted.now_ns,
                unpacked_bytes: admitted.unpacked_bytes,
                zstd_payload: admitted.zstd_payload.clone(),
            };
            record.encode(buffer);
            ends.push((lsn, record.len() as u64));
            lsn += admitted.places;
        }
        if let Err(error) = open.file.write_all(buffer) {
            // a part may be on disk: cut it off, or the next record would follow garbage
            if let Err(cut) = open.file.truncate(open.bytes) {
                self.sink.failed("cut", &cut, group);
                return false;
            }
            group.into_iter().for_each(|admitted| self.sink.refused(admitted, &error));
            return true;
        }
        let before = self.sink.time();
        if let Err(error) = open.file.sync() {
            self.sink.failed("sync", &error, group);
            return false;
        }
        let took = before.and_then(|before| self.sink.time()?.checked_sub(before));
        open.bytes += buffer.len() as u64;
        let (file_lsn, full) = (open.first_lsn, open.bytes >= self.limits.file_bytes);
        self.next_lsn = lsn;
        self.sink.synced(buffer.len() as u64, took);
        for (admitted, (lsn, bytes)) in group.into_iter().zip(ends) {
            self.sink.written(admitted, lsn, file_lsn, bytes);
        }
        if full {
            self.file = None;
        }
        true
    }

    fn ensure_file(&mut self) -> Result<(), OpenFileError> {
        if self.file.is_some() {
            return Ok(());
        }
        let path = file_path(&self.folder, self.next_lsn);
        let mut file = self.disk.create(&path).map_err(OpenFileError::Write)?;
        file.write_all(MAGIC).map_err(OpenFileError::Write)?;
        file.sync().map_err(OpenFileError::Sync)?;
        self.disk.sync_dir(&self.folder).map_err(OpenFileError::Sync)?;
        self.file = Some(OpenFile { file, first_lsn: self.next_lsn, bytes: MAGIC.len() as u64 });
        Ok(())
    }
}
