//! What the catalog knows of a segment; `meta.json` beside it says the same.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Table;
use crate::civil::date;

/// The last file of a segment to be written.
pub(crate) const META: &str = "meta.json";
/// The only tenant so far.
pub(crate) const TENANT: &str = "default";
/// Version of `meta.json` and of entries.
pub(crate) const VERSION: u32 = 1;
const HOUR_NS: i64 = 3_600_000_000_000;

/// A segment's description. Fields are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) table: String,
    pub(crate) tenant: String,
    /// 0: as sealed; 1: compacted within its hour; 2: within its day.
    pub(crate) level: u32,
    /// The folder, relative to the store.
    pub(crate) path: String,
    pub(crate) files: Vec<FileEntry>,
    pub(crate) rows: u64,
    /// Text of log bodies, bytes.
    pub(crate) text_bytes: u64,
    pub(crate) min_ts: i64,
    pub(crate) max_ts: i64,
    pub(crate) min_lsn: i64,
    pub(crate) max_lsn: i64,
    /// For tables sorted by namespace, where each one's rows lie.
    pub(crate) namespaces: Vec<NamespaceRows>,
    /// The folders of the segments whose rows it took over, when it came of a compaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaces: Vec<String>,
    /// The release that wrote the segment; '' where it did not say so yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) written_by: String,
}

/// The release that this is.
pub(crate) fn this_release() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// One file of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
}

/// The rows of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceRows {
    pub(crate) namespace: String,
    pub(crate) first_row: u64,
    pub(crate) rows: u64,
}

impl Entry {
    pub(crate) fn table(&self) -> Option<Table> {
        Table::from_name(&self.table)
    }

    /// All files, bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The folder, if its name cannot lead out of the store.
    pub(crate) fn folder(&self, root: &Path) -> Option<PathBuf> {
        let path = Path::new(&self.path);
        let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        (plain && path.starts_with("seg")).then(|| root.join(path))
    }
}

/// `seg/<tenant>/<table>/<date>/<hour>` for rows of this hour.
pub(crate) fn hour_folder(table: Table, ts: i64) -> PathBuf {
    let hours = ts.div_euclid(HOUR_NS);
    let (year, month, day) = date(hours.div_euclid(24));
    let hour = hours.rem_euclid(24);
    PathBuf::from("seg")
        .join(TENANT)
        .join(table.name())
        .join(format!("{year:04}-{month:02}-{day:02}"))
        .join(format!("{hour:02}"))
}

/// `seg/<tenant>/<table>/<date>/day` for all rows of this day.
pub(crate) fn day_folder(table: Table, ts: i64) -> PathBuf {
    hour_folder(table, ts).with_file_name("day")
}

#[cfg(test)]
mod tests {
    use super::hour_folder;
    use crate::Table;

    #[test]
    fn an_hour_has_its_folder() {
        let folder = hour_folder(Table::Log, 1_795_262_400_000_000_000);
        assert_eq!(folder.to_str(), Some("seg/default/log/2026-11-21/12"));
    }
}
