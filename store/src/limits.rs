//! What the store may use, and when it seals and forgets. All bounds; each says what happens when it is reached.

/// Bounds of a store. [`Limits::default`] is the 2 GiB profile, [`Limits::small`] the 512 MiB one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Size of one WAL file, bytes.
    pub wal_file_bytes: u64,
    /// All WAL files together, bytes: above it every table is sealed, so that files can go.
    pub wal_soft_bytes: u64,
    /// All WAL files together, bytes: above it batches are refused (`wal_full`).
    pub wal_hard_bytes: u64,
    /// The most that one fdatasync carries, bytes.
    pub group_commit_bytes: usize,
    /// Memory of the head, bytes: above it batches are refused (`head_full`).
    pub head_bytes: usize,
    /// Log bodies in the head, bytes: above it the log is sealed.
    pub seal_log_bytes: usize,
    /// Rows of the log in the head: above it the log is sealed.
    pub seal_log_rows: usize,
    /// Memory of any other table's head, bytes: above it that table is sealed.
    pub seal_table_bytes: usize,
    /// Age of a table's oldest row in the head since it arrived, seconds: above it that table is sealed.
    pub seal_age_s: u64,
    /// A row's time may lie this far back, seconds; older ones are rejected (`too_old`).
    pub max_past_s: u64,
    /// A row's time may lie this far ahead, seconds; newer ones are rejected (`too_new`).
    pub max_future_s: u64,
    /// Footers, page indexes and sketches kept in memory, bytes; the least recently used go first.
    pub cache_bytes: usize,
    /// Batches that are decoded or wait for the WAL at the same time; further ones wait.
    pub batches_in_flight: usize,
    /// The most that the store's files may take, bytes; above 85 % of it the oldest segments are dropped.
    pub max_disk_bytes: u64,
    /// Share of the file system in use from which the oldest segments are dropped, all but the last GiB, percent.
    pub disk_drop_percent: u8,
    /// Share of the file system in use from which batches are refused (`disk_full`), percent.
    pub disk_refuse_percent: u8,
    /// So many segments of one table and hour are merged into one; fewer once the hour is long over.
    pub compact_segments: usize,
    /// Files that are merged into one segment, bytes.
    pub compact_bytes: u64,
    /// A segment that left the catalog is unlinked after this time, seconds, when no snapshot holds it.
    pub delete_after_s: u64,
    /// How long each table's rows are kept, and how many bytes at most.
    pub retention: [Retention; crate::Table::COUNT],
}

/// How long a table's rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A segment goes when its newest row is older, seconds.
    pub age_s: u64,
    /// The table's oldest segments go while it takes more, bytes.
    pub max_bytes: u64,
}

const MIB: usize = 1 << 20;
const DAY: u64 = 86_400;

impl Default for Limits {
    fn default() -> Self {
        let days = |days: u64| Retention { age_s: days * DAY, max_bytes: u64::MAX };
        Self {
            wal_file_bytes: 64 << 20,
            wal_soft_bytes: 1 << 30,
            wal_hard_bytes: 2 << 30,
            group_commit_bytes: 4 * MIB,
            head_bytes: 384 * MIB,
            seal_log_bytes: 128 * MIB,
            seal_log_rows: 1_000_000,
            seal_table_bytes: 128 * MIB,
            seal_age_s: 65 * 60,
            max_past_s: DAY,
            max_future_s: 600,
            cache_bytes: 96 * MIB,
            batches_in_flight: 16,
            max_disk_bytes: u64::MAX,
            disk_drop_percent: 85,
            disk_refuse_percent: 95,
            compact_segments: 4,
            compact_bytes: 512 << 20,
            delete_after_s: 5,
            retention: [
                days(7),
                days(14),
                days(14),
                days(30),
                days(7),
                days(7),
                days(14),
                days(14),
                days(30),
                days(30),
                days(90),
                days(7),
                days(30),
            ],
        }
    }
}

impl Limits {
    /// The 512 MiB profile: small seals, small caches.
    pub fn small() -> Self {
        Self {
            wal_soft_bytes: 256 << 20,
            wal_hard_bytes: 1 << 30,
            head_bytes: 96 * MIB,
            seal_log_bytes: 32 * MIB,
            seal_log_rows: 250_000,
            seal_table_bytes: 16 * MIB,
            cache_bytes: 24 * MIB,
            batches_in_flight: 8,
            compact_bytes: 128 << 20,
            ..Self::default()
        }
    }

    /// How long this table's rows are kept.
    pub fn retention(&self, table: crate::Table) -> Retention {
        self.retention[table.index()]
    }
}
