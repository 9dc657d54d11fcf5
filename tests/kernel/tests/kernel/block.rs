//! Block I/O: what a program writes past the page cache to a device of its own is counted to the byte.
//!
//! The device is a loop device over a file in the temporary directory, made and removed by the test.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use agent::kernel::Settings;
use agent::probe::block::PROBE;
use agent::window::sample::Row;

use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::Attached;
use crate::requires::{Need, requires, skip};

const SET_FD: libc::Ioctl = 0x4C00;
const CLEAR_FD: libc::Ioctl = 0x4C01;
const GET_FREE: libc::Ioctl = 0x4C82;
const BLOCK: usize = 4096;

/// A loop device; given back when dropped.
struct Loop {
    device: File,
    path: PathBuf,
    backing: PathBuf,
}

impl Loop {
    fn new(bytes: u64) -> std::io::Result<Self> {
        let backing = std::env::temp_dir().join(format!("wake-block-test-{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&backing)?;
        file.set_len(bytes)?;
        let made = Self::attach(&file);
        match made {
            Ok((device, path)) => Ok(Self { device, path, backing }),
            Err(error) => {
                std::fs::remove_file(&backing)?;
                Err(error)
            }
        }
    }

    fn attach(file: &File) -> std::io::Result<(File, PathBuf)> {
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        // SAFETY: this ioctl takes no argument and returns a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) };
        if number < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        // SAFETY: this ioctl takes a file descriptor, which is open.
        if unsafe { libc::ioctl(device.as_raw_fd(), SET_FD, file.as_raw_fd()) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok((device, path))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // SAFETY: this ioctl takes no argument.
        unsafe { libc::ioctl(self.device.as_raw_fd(), CLEAR_FD) };
        drop(std::fs::remove_file(&self.backing));
    }
}

#[test]
fn direct_writes_are_counted_to_the_byte() {
    const NAME: &str = "direct_writes_are_counted_to_the_byte";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let disk = match Loop::new(1 << 24) {
        Ok(disk) => disk,
        Err(error) => return skip(NAME, &format!("no loop device: {error}")),
    };
    let cgroup = Cgroup::new(crate::features(), "block").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let work = format!("direct_writes 100 {}", disk.path.display());
    let status = cgroup.enter(&mut child::command(&work)).status().unwrap();
    assert!(status.success());
    probe.drain();
    let name = disk.path.file_name().unwrap().to_string_lossy().into_owned();
    let (mut operations, mut bytes, mut timed) = (0, 0, 0);
    for row in probe.rows(cgroup.id()) {
        if let Row::Block(row) = row
            && row.device == name
            && row.operation == "write"
        {
            operations += row.operations;
            bytes += row.bytes;
            timed += row.latency_hist.iter().map(|count| u64::from(*count)).sum::<u64>();
        }
    }
    assert_eq!((operations, bytes, timed), (100, 100 * BLOCK as u64, 100));
}

/// The child's part: `number` writes of one block each, past the page cache, each waited for.
pub(crate) fn direct_writes(number: u64, device: &str) {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(device).unwrap();
    let layout = std::alloc::Layout::from_size_align(BLOCK, BLOCK).unwrap();
    // SAFETY: the layout has a size; the block is checked, filled with zeros, and given back.
    unsafe {
        let block = std::alloc::alloc_zeroed(layout);
        assert!(!block.is_null());
        for index in 0..number {
            let at = i64::try_from(index).unwrap() * BLOCK as i64;
            let written = libc::pwrite(file.as_raw_fd(), block.cast(), BLOCK, at);
            assert_eq!(written, BLOCK as isize, "{}", std::io::Error::last_os_error());
        }
        std::alloc::dealloc(block, layout);
    }
}
