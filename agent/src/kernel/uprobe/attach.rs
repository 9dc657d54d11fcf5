//! Programs at places of a file, and away again.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use super::{Uprobes, Way, sys};

/// Where a program goes in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The program's name in the object.
    pub program: &'static str,
    /// Offsets in the file.
    pub offsets: Vec<u64>,
    /// When the function that begins there returns, rather than when it begins.
    pub is_return: bool,
}

/// Programs at a file; dropping it takes them away.
#[derive(Debug)]
pub struct Hook {
    _descriptors: Vec<OwnedFd>,
    places: usize,
}

impl Hook {
    /// How many places of the file have a program.
    pub fn places(&self) -> usize {
        self.places
    }
}

impl Uprobes {
    /// Puts programs at places of an open file, all or none; those that the kernel did not take are `missing`.
    pub fn attach(&self, file: &File, places: &[Place]) -> io::Result<Hook> {
        // by the descriptor: the very file that was looked at, whatever its name means by now
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let mut descriptors = Vec::new();
        let mut count = 0;
        for Place { program, offsets, is_return } in places {
            if self.refused.contains_key(*program) {
                continue;
            }
            let program = self.programs.get(*program).ok_or(io::ErrorKind::NotFound)?.as_fd();
            count += offsets.len();
            match self.way {
                Way::Multi => descriptors.push(sys::link(program, &path, offsets, *is_return)?),
                Way::Perf { kind, return_bit } => {
                    let config = if *is_return { 1_u64 << return_bit } else { 0 };
                    for offset in offsets {
                        descriptors.push(sys::event(program, kind, config, &path, *offset)?);
                    }
                }
            }
        }
        Ok(Hook { _descriptors: descriptors, places: count })
    }
}
