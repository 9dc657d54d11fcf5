//! Which protocol a connection speaks, by the first bytes of one direction.

use super::{Direction, Protocol};

/// A guess by the first bytes that one side sent; `None` rather than a wrong one.
pub fn infer(bytes: &[u8]) -> Option<(Protocol, Direction)> {
    if bytes.starts_with(b"PRI * HTTP/2.0\r\n") {
        return Some((Protocol::Http2, Direction::Request));
    }
    if bytes.starts_with(b"HTTP/1.") {
        return Some((Protocol::Http1, Direction::Response));
    }
    None
}
