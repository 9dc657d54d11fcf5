//! Conntrack's table over netlink, in the network namespace that the agent runs in: the node's, where it is on the host's
//! network. Needs CAP_NET_ADMIN and no probe.
//!
//! Bounded: an answer beyond `MAX_BYTES`, or that takes longer than `MOST`, is cut and says so; a kernel that does not
//! answer is left after a second.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use daemon::clock::Clock;
use rustix::io::retry_on_intr;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// The most that one reading takes from the kernel: some 150,000 entries.
const MAX_BYTES: usize = 32 << 20;
/// The kernel sends no larger run.
const RUN_BYTES: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(1);
/// The whole answer.
const MOST: Duration = Duration::from_secs(2);

/// A netlink socket to netfilter.
#[derive(Debug)]
pub struct Netfilter {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was read.
    Whole,
    /// There was more than is read at once, or in time, or the table changed meanwhile.
    Cut,
}

/// What a run of messages means for the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More is to come.
    More,
    /// That was all.
    Done,
    /// That was the end, and something may have been missed.
    Torn,
    /// The kernel refuses, with this errno.
    Refused(i32),
}

impl Netfilter {
    /// Opens it.
    ///
    /// # Errors
    /// Where the kernel has no netfilter, or does not let us.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        // best effort: the kernel waits for us anyway
        if let Err(error) = set_socket_recv_buffer_size(&socket, 1 << 20) {
            tracing::debug!(%error, "netlink buffer not enlarged");
        }
        Ok(Self { socket, buffer: vec![0; RUN_BYTES], sequence: 0 })
    }

    /// Sends a request and gives each run of the answer to `visit`, with the number of the request.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn ask(
        &mut self,
        clock: &Clock,
        request: impl FnOnce(u32) -> Vec<u8>,
        mut visit: impl FnMut(u32, &[u8]) -> Next,
    ) -> io::Result<Ended> {
        let began = clock.monotonic();
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence);
        retry_on_intr(|| send(&self.socket, &request, SendFlags::empty()))?;
        let mut read = 0;
        loop {
            let (length, _) = retry_on_intr(|| recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()))?;
            read += length;
            match visit(self.sequence, self.buffer.get(..length).unwrap_or_default()) {
                Next::More if read >= MAX_BYTES || clock.monotonic() - began >= MOST => {
                    // what is left of the answer goes with the socket
                    *self = Self::open()?;
                    return Ok(Ended::Cut);
                }
                Next::More if length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Next::More => {}
                Next::Done => return Ok(Ended::Whole),
                Next::Torn => return Ok(Ended::Cut),
                Next::Refused(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}
