//! Finds what the last process left: whole records, oldest first; damaged ones are stepped over as far as their length
//! can be believed, and counted by the numbers that are missing.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::files::create;
use super::segment::{HEADER, behind, read_frame, read_header};
use super::{Place, Recovered, Segment, Spool, SpoolError};

/// What was read of one file.
struct Read {
    segment: Segment,
    epoch: u64,
    next_seq: u64,
    is_clean: bool,
}

impl Spool {
    /// Opens or makes the spool in `dir`. `now_ms` begins a new epoch where there is none, or where it was damaged.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(dir: &Path, max_bytes: u64, now_ms: u64) -> Result<(Self, Recovered), SpoolError> {
        let open = |path: PathBuf| move |source| SpoolError::Open { path, source };
        daemon::private::directory(dir).map_err(open(dir.to_path_buf()))?;
        let mut recovered = Recovered::default();
        let mut segments = BTreeMap::new();
        let mut places = BTreeMap::new();
        let mut last: Option<(u64, u64)> = None;
        let mut newest_epoch = 0;
        let mut is_clean = true;
        let numbers = numbered(dir).map_err(open(dir.to_path_buf()))?;
        let newest_number = numbers.keys().next_back().copied().unwrap_or(0);
        for (number, path) in numbers {
            let bytes = Bytes::from(fs::read(&path).map_err(open(path.clone()))?);
            let Some(read) = read_segment(&path, number, &bytes, &mut places, &mut recovered) else {
                tracing::error!(path = %path.display(), "spool file without a readable header set aside");
                set_aside(&path);
                is_clean = false;
                continue;
            };
            if let Some((epoch, expected)) = last
                && epoch == read.epoch
                && let Some((_, first)) = read_header(&bytes)
            {
                recovered.lost_batches += first.saturating_sub(expected);
            }
            last = Some((read.epoch, read.next_seq));
            newest_epoch = newest_epoch.max(read.epoch);
            is_clean &= read.is_clean;
            segments.insert(number, read.segment);
        }
        recovered.batches = places.len() as u64;
        let (epoch, next_seq) = match last {
            Some((epoch, next_seq)) if is_clean && epoch == newest_epoch => (epoch, next_seq),
            _ => {
                recovered.is_new_epoch = true;
                (now_ms.max(newest_epoch + 1), 1)
            }
        };
        let number = newest_number + 1;
        let (active, segment) = create(dir, number, epoch, next_seq)?;
        segments.insert(number, segment);
        let backlog = places.keys().copied().collect();
        // whose rows they held nobody knows any more
        let lost = (recovered.lost_batches > 0).then(|| ("batch".to_owned(), recovered.lost_batches));
        let lost = lost.into_iter().collect();
        let spool = Self {
            dir: dir.to_path_buf(),
            max_bytes,
            epoch,
            next_seq,
            segments,
            active: Arc::new(active),
            next_number: number + 1,
            is_broken: false,
            places,
            backlog,
            fresh: VecDeque::new(),
            unsynced: Vec::new(),
            fresh_is_next: true,
            lost,
            recent: super::Recent::default(),
        };
        Ok((spool, recovered))
    }
}

fn numbered(dir: &Path) -> std::io::Result<BTreeMap<u64, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_spool = path.extension().is_some_and(|extension| extension == "spool");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| is_spool) {
            found.insert(number, path);
        }
    }
    Ok(found)
}

fn set_aside(path: &Path) {
    if let Err(error) = fs::rename(path, path.with_extension("corrupt")) {
        tracing::error!(path = %path.display(), %error, "damaged spool file not set aside");
    }
}

fn read_segment(
    path: &Path,
    number: u64,
    bytes: &Bytes,
    places: &mut BTreeMap<(u64, u64), Place>,
    recovered: &mut Recovered,
) -> Option<Read> {
    let (epoch, first_seq) = read_header(bytes)?;
    let mut next_seq = first_seq;
    let mut at = HEADER;
    let mut unacked = 0;
    let mut is_clean = true;
    while at < bytes.len() {
        let Some((record, length)) = read_frame(&bytes.slice(at..)) else {
            tracing::warn!(path = %path.display(), at, length = bytes.len(), "damaged record in a spool file");
            is_clean = false;
            match behind(bytes, at).filter(|next| read_frame(&bytes.slice(*next..)).is_some()) {
                Some(next) => at = next,
                None => break,
            }
            continue;
        };
        recovered.lost_batches += record.seq.saturating_sub(next_seq);
        next_seq = record.seq + 1;
        let length_u32 = u32::try_from(length).unwrap_or(u32::MAX);
        let place = Place { segment: number, offset: at as u64, length: length_u32, rows: record.rows };
        places.insert((record.epoch, record.seq), place);
        if !record.marks.is_empty() {
            match serde_json::from_slice(&record.marks) {
                Ok(marks) => recovered.marks.push(marks),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "marks of a batch not readable")
                }
            }
        }
        unacked += 1;
        at += length;
    }
    let segment = Segment { path: path.to_path_buf(), bytes: bytes.len() as u64, unacked };
    Some(Read { segment, epoch, next_seq, is_clean })
}
