//! Rotated files of a log: names that are the log's name and a number or a date, from the oldest to the newest.

use std::cmp::Ordering;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::logs::record::SourceKey;
use crate::logs::tail::content::{born_ns, key_of};

/// Most rotated files of one log that are looked at, the newest.
const MAX_SIBLINGS: usize = 64;
/// What the names of compressed files end in.
const COMPRESSED: [&str; 4] = [".gz", ".bz2", ".xz", ".zst"];

/// A rotated file of a log.
#[derive(Clone, Debug)]
pub(crate) struct Sibling {
    pub(crate) path: PathBuf,
    pub(crate) key: SourceKey,
    born_ns: u64,
    /// `born_ns` is that, and not the last change.
    has_birth: bool,
    pub(crate) modified_ns: i128,
    rank: Rank,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rank {
    /// `app.log.2`: the larger, the older, as logrotate counts.
    Number(u32),
    /// `app.log-20261121`: the larger, the newer.
    Date(String),
}

impl Sibling {
    /// Whether the file was made at or after this time; not where the file system does not tell.
    pub(crate) fn is_born_since(&self, unix_ns: u64) -> bool {
        self.has_birth && self.born_ns >= unix_ns
    }

    /// Names the file among all that ever have its inode.
    pub(crate) fn identity(&self) -> (SourceKey, u64) {
        (self.key, self.born_ns)
    }
}

/// The same of an open file.
pub(crate) fn identity(metadata: &fs::Metadata) -> (SourceKey, u64) {
    // without a time of birth, the last change: these files are not written to any more
    let changed = || u64::try_from(modified_ns(metadata)).unwrap_or(0);
    (key_of(metadata), Some(born_ns(metadata)).filter(|&born| born > 0).unwrap_or_else(changed))
}

fn modified_ns(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// The rotated files of a log, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    pub(crate) rotated: Vec<Sibling>,
    /// Those that were compressed since; they are not read.
    pub(crate) compressed: Vec<Sibling>,
}

/// The rotated files of `log` beside it.
pub(crate) fn siblings(log: &Path) -> Siblings {
    let mut found = Siblings::default();
    let (Some(directory), Some(base)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return found;
    };
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let before = COMPRESSED.iter().find_map(|suffix| name.strip_suffix(suffix));
        let Some(rank) = rank(base, before.unwrap_or(name)) else { continue };
        let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
        let (key, born_ns) = identity(&metadata);
        let (has_birth, modified_ns) = (self::born_ns(&metadata) > 0, modified_ns(&metadata));
        let list = if before.is_some() { &mut found.compressed } else { &mut found.rotated };
        list.push(Sibling { path: entry.path(), key, born_ns, has_birth, modified_ns, rank });
    }
    for list in [&mut found.rotated, &mut found.compressed] {
        list.sort_by(older_first);
        let surplus = list.len().saturating_sub(MAX_SIBLINGS);
        list.drain(..surplus);
    }
    found
}

/// Whether `name` is a rotated file of the log `base` in the same directory.
pub(crate) fn is_rotated(base: &str, name: &str) -> bool {
    rank(base, name).is_some()
}

fn older_first(left: &Sibling, right: &Sibling) -> Ordering {
    match (&left.rank, &right.rank) {
        // logrotate counts up with age, some programs with time: the last write tells, the number only where it ties
        (Rank::Number(older), Rank::Number(newer)) => {
            left.modified_ns.cmp(&right.modified_ns).then_with(|| newer.cmp(older))
        }
        (Rank::Date(left), Rank::Date(right)) => left.cmp(right),
        _ => left.modified_ns.cmp(&right.modified_ns).then_with(|| left.path.cmp(&right.path)),
    }
}

fn rank(base: &str, name: &str) -> Option<Rank> {
    if let Some(suffix) = name.strip_prefix(base).and_then(|rest| rest.strip_prefix(['.', '-', '_'])) {
        return match suffix {
            "old" => Some(Rank::Number(1)),
            _ if suffix.len() <= 5 && suffix.bytes().all(|byte| byte.is_ascii_digit()) => {
                suffix.parse().ok().map(Rank::Number)
            }
            _ => is_date(suffix).then(|| Rank::Date(suffix.to_owned())),
        };
    }
    // app-20261121.log
    let (stem, extension) = base.rsplit_once('.')?;
    let middle = name.strip_prefix(stem)?.strip_suffix(extension)?.strip_suffix('.')?;
    let date = middle.strip_prefix(['.', '-', '_'])?;
    is_date(date).then(|| Rank::Date(date.to_owned()))
}

/// At least eight digits and nothing but what dates are written with.
fn is_date(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits >= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-_.:TZ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::is_rotated;

    #[test]
    fn numbers_and_dates_are_rotated_files_and_other_logs_are_not() {
        let rotated = [
            ("app.log", "app.log.1"),
            ("app.log", "app.log-20261121"),
            ("app.log", "app.log.2026-11-21-13:00"),
            ("app.log", "app-20261121.log"),
            ("0.log", "0.log.20261121-130000"),
            ("Xorg.0.log", "Xorg.0.log.old"),
            ("messages", "messages-20261121"),
        ];
        let others = [
            ("app.log", "app.log"),
            ("app.log", "app.log.1.gz"),
            ("app.log", "app.log.20261121.tmp"),
            ("worker.log", "worker-1.log"),
            ("app.log", "app.logger"),
            ("0.log", "1.log"),
        ];
        assert!(rotated.iter().all(|(base, name)| is_rotated(base, name)));
        assert!(!others.iter().any(|(base, name)| is_rotated(base, name)));
    }
}
