//! Records of the requests programs: a header, and the first bytes of a call.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use agent_common::requests::{
    DATA_LEN, EVENT_DATA, EVENT_END, HEAD_LEN, Header, IN, OUT, ROLE_CLIENT, ROLE_SERVER, TRANSPORT_UDP,
    is_request,
};

use agent_common::requests::line::{
    EVENT_ASKS, EVENT_CONNECT, EVENT_LINE, EVENT_OPENS, EVENT_RING, EVENT_SERVED, EVENT_SERVES, LINE_LEN,
    Line, MODE_FILE, MODE_KIND, MODE_PIPE, MODE_SOCKET,
};

use crate::kernel::batch;
use crate::requests::written::Target;

/// A record, as far as its bytes make sense.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// What the programs know of the call and its connection.
    pub header: Header,
    /// First bytes of the run, of calls before this one.
    pub head: &'a [u8],
    /// First bytes of the call.
    pub data: &'a [u8],
}

impl Piece<'_> {
    /// Whether the connection ended with it.
    pub fn is_end(&self) -> bool {
        self.header.event == EVENT_END
    }

    /// Whether its bytes went from the client to the server.
    pub fn is_request(&self) -> bool {
        is_request(self.header.role, self.header.direction)
    }

    /// Whether its owner is the client.
    pub fn is_client(&self) -> bool {
        self.header.role == ROLE_CLIENT
    }

    /// Whether it is a datagram of its own.
    pub fn is_datagram(&self) -> bool {
        self.header.transport == TRANSPORT_UDP
    }

    /// The owner's end.
    pub fn local(&self) -> SocketAddr {
        address(self.header.local, self.header.local_port)
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        address(self.header.peer, self.header.peer_port)
    }
}

fn address(words: [u32; 4], port: u16) -> SocketAddr {
    let mut bytes = [0_u8; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let v6 = Ipv6Addr::from(bytes);
    SocketAddr::new(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4), port)
}

/// A record of the ring; `None` for one that is cut or says what no program says. `head` lends the place for its earlier
/// bytes.
pub fn piece<'a>(bytes: &'a [u8], head: &'a mut [u8; HEAD_LEN]) -> Option<Piece<'a>> {
    let header: Header = batch::record(bytes)?;
    let is_known = matches!(header.event, EVENT_DATA | EVENT_END)
        && matches!(header.role, ROLE_CLIENT | ROLE_SERVER)
        && matches!(header.direction, IN | OUT);
    let length = header.data_len as usize;
    if !is_known || length > DATA_LEN {
        return None;
    }
    let data = bytes.get(size_of::<Header>()..)?.get(..length)?;
    *head = header.head;
    let head = head.get(..header.head_len as usize)?;
    Some(Piece { header, head, data })
}

/// A write, a connection or an io_uring that was made.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere<'a> {
    /// What the programs say of it.
    pub line: Line,
    /// Its first bytes.
    pub bytes: &'a [u8],
}

impl Elsewhere<'_> {
    /// Whether it tells of an io_uring.
    pub fn is_ring(&self) -> bool {
        self.line.event == EVENT_RING
    }

    /// Where the bytes went; `None` if that is no place for lines.
    pub fn target(&self) -> Option<Target> {
        let Line { mode, inode, device, position, total, .. } = self.line;
        match mode & MODE_KIND {
            MODE_FILE => {
                let start = position.checked_sub(total)?;
                Some(Target::File { device: user_device(device), inode, start })
            }
            MODE_PIPE | MODE_SOCKET => Some(Target::Stream { inode }),
            _ => None,
        }
    }
}

/// A device as `stat` has it: the kernel keeps 12 bits of major and 20 of minor.
fn user_device(device: u32) -> u64 {
    let (major, minor) = (device >> 20, device & 0xf_ffff);
    libc::makedev(major, minor)
}

/// A record of what a thread did elsewhere than on its connections; `None` for any other record.
pub fn elsewhere(bytes: &[u8]) -> Option<Elsewhere<'_>> {
    let event = bytes.get(..4)?.try_into().map(u32::from_ne_bytes).ok()?;
    let of_goroutines = matches!(event, EVENT_ASKS | EVENT_SERVES | EVENT_OPENS | EVENT_SERVED);
    if !of_goroutines && !matches!(event, EVENT_LINE | EVENT_RING | EVENT_CONNECT) {
        return None;
    }
    let line: Line = batch::record(bytes)?;
    if line.data_len > LINE_LEN {
        return None;
    }
    let data = bytes.get(size_of::<Line>()..)?.get(..line.data_len as usize)?;
    Some(Elsewhere { line, bytes: data })
}

#[cfg(test)]
mod tests {
    use agent_common::requests::HEAD_LEN;

    use super::{elsewhere, piece};

    #[test]
    fn a_record_that_is_cut_or_of_no_kind_is_none() {
        let mut head = [0; HEAD_LEN];
        let mut bytes = vec![0_u8; 160 + 4];
        assert!(piece(&bytes, &mut head).is_none());
        bytes[0] = 1;
        // role, direction, and four bytes of data, where the header has them
        bytes[121] = 1;
        bytes[122] = 2;
        bytes[144] = 4;
        let found = piece(&bytes, &mut head).unwrap();
        assert_eq!((found.data.len(), found.is_client(), found.is_request()), (4, true, true));
        bytes[144] = 5;
        assert!(piece(&bytes, &mut head).is_none());
        assert!(piece(&bytes[..100], &mut head).is_none());
    }

    #[test]
    fn a_line_is_whole_or_none() {
        let mut bytes = vec![0_u8; 72 + 3];
        assert!(elsewhere(&bytes).is_none());
        bytes[0] = 3;
        bytes[68] = 3;
        let found = elsewhere(&bytes).unwrap();
        assert!(found.bytes.len() == 3 && found.target().is_none());
        bytes[68] = 4;
        assert!(elsewhere(&bytes).is_none());
        bytes[68] = 0;
        bytes[0] = 4;
        assert!(elsewhere(&bytes).unwrap().bytes.is_empty());
        assert!(elsewhere(&bytes[..71]).is_none());
    }
}
