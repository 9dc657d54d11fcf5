//! What the programs could not keep, counted per CPU in the map `LOST`.

/// Entries of `LOST`: one count per reason.
pub const REASONS: u32 = 9;

/// A hash map took no new key.
pub const MAP_FULL: u32 = 0;
/// A ring had no room.
pub const RING_FULL: u32 = 1;
/// Two threads shared a slot; one sample is missing.
pub const SLOT_COLLISION: u32 = 2;
/// Beyond the event budget and its folding map.
pub const BUDGET: u32 = 3;
/// A read of kernel memory failed.
pub const READ_FAILED: u32 = 4;
/// A hash map took no new key, and what it would have held was added to a coarser one: only detail is missing.
pub const COARSER: u32 = 5;
/// Plaintext of TLS whose connection is not known.
pub const NO_SOCKET: u32 = 6;
/// A program was interrupted by itself on the same CPU, and what it held was in use.
pub const NESTED: u32 = 7;
/// Messages of a call that carries several, which are not looked at.
pub const UNREAD: u32 = 8;

/// The reason's name in the ledger.
pub const fn name(reason: u32) -> &'static str {
    match reason {
        MAP_FULL => "map_full",
        RING_FULL => "ring_full",
        SLOT_COLLISION => "slot_collision",
        BUDGET => "rate_limit",
        READ_FAILED => "read_failed",
        COARSER => "detail",
        NO_SOCKET => "no_socket",
        NESTED => "nested",
        UNREAD => "unread",
        _ => "other",
    }
}
