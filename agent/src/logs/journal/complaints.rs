//! What journalctl writes on standard error: taken as it comes, so that it never blocks, of which the last line is kept.

use std::io::{self, Read as _};
use std::process::ChildStderr;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Bytes of its end that are kept.
const KEPT: usize = 1024;
/// Reads at once: no more than the pipe holds.
const READS: usize = 64;

/// One journalctl's.
#[derive(Debug)]
pub(super) struct Complaints {
    pipe: Option<ChildStderr>,
    end: Vec<u8>,
}

impl Complaints {
    /// # Errors
    /// When the pipe cannot be made not to wait.
    pub(super) fn new(pipe: Option<ChildStderr>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
        }
        Ok(Self { pipe, end: Vec::new() })
    }

    /// Takes what is there.
    pub(super) fn take(&mut self) {
        let mut buffer = [0; KEPT];
        for _ in 0..READS {
            // also "nothing now" is an error here
            let Some(Ok(count @ 1..)) = self.pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) else { return };
            self.end.extend_from_slice(&buffer[..count]);
            self.end.drain(..self.end.len().saturating_sub(KEPT));
        }
    }

    /// The last line.
    pub(super) fn last_line(&mut self) -> String {
        self.take();
        let text = String::from_utf8_lossy(&self.end);
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim().to_owned()
    }
}
