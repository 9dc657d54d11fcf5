//! cgroups that a test makes and removes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use agent::kernel::KernelFeatures;

/// A directory of the cgroup2 hierarchy; removed when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    id: u64,
}

impl Cgroup {
    /// Makes `wake-test-<pid>-<n>-<name>` below the hierarchy's root.
    pub(crate) fn new(features: &KernelFeatures, name: &str) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = features.cgroup2.as_deref().ok_or("no cgroup2 hierarchy is mounted")?;
        let directory = root.join(format!("wake-test-{}-{number}-{name}", std::process::id()));
        fs::create_dir(&directory).map_err(|error| format!("make {}: {error}", directory.display()))?;
        let id = fs::metadata(&directory).map_err(|error| error.to_string())?.ino();
        Ok(Self { directory, id })
    }

    /// Makes one inside it; it must be dropped first.
    pub(crate) fn child(&self, name: &str) -> Result<Self, String> {
        let directory = self.directory.join(name);
        fs::create_dir(&directory).map_err(|error| format!("make {}: {error}", directory.display()))?;
        let id = fs::metadata(&directory).map_err(|error| error.to_string())?.ino();
        Ok(Self { directory, id })
    }

    /// Its id: the directory's inode.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Its path from the hierarchy's root, as the kernel names it.
    pub(crate) fn path(&self) -> String {
        let root = crate::features().cgroup2.as_deref().unwrap_or(Path::new("/"));
        format!("/{}", self.directory.strip_prefix(root).unwrap_or(&self.directory).display())
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a command start inside it: the child moves itself between fork and exec.
    pub(crate) fn enter<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        Self::enter_at(&self.directory, command)
    }

    /// The same for any cgroup's directory.
    pub(crate) fn enter_at<'c>(directory: &Path, command: &'c mut Command) -> &'c mut Command {
        let procs = directory.join("cgroup.procs");
        let file = fs::OpenOptions::new().write(true).open(&procs).unwrap();
        // SAFETY: between fork and exec the closure only writes to a file that is already open.
        unsafe {
            command.pre_exec(move || {
                let mut file = &file;
                file.write_all(b"0")
            })
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // a directory is busy until its last process is reaped; the test has waited for its children
        for _ in 0..200 {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::yield_now(),
                _ => return,
            }
        }
    }
}
