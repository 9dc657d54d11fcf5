//! A child process under measurement: its CPU time and memory as the kernel counts them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A server that was started for a benchmark; ended when dropped.
#[derive(Debug)]
pub(crate) struct Measured {
    child: Child,
    peak_anon_kib: Arc<AtomicU64>,
}

/// What each thread had run at one moment.
#[derive(Debug)]
pub(crate) struct Threads(BTreeMap<PathBuf, u64>);

impl Threads {
    /// What the threads that live now have run since `before`; what one that has ended since ran is not in it.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let ran = |(thread, run): (&PathBuf, &u64)| {
            run.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        Duration::from_nanos(self.0.iter().map(ran).sum())
    }
}

impl Measured {
    pub(crate) fn start(binary: &Path, args: &[&str], log: &Path) -> Result<Self> {
        let log = std::fs::File::create(log).context("make the log file")?;
        let child = Command::new(binary)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let peak_anon_kib = Arc::new(AtomicU64::new(0));
        let (pid, peak) = (child.id(), Arc::clone(&peak_anon_kib));
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            while let Some(anon) = status_kib(pid, "RssAnon") {
                peak.fetch_max(anon, Ordering::Relaxed);
                tick.tick().await;
            }
        });
        Ok(Self { child, peak_anon_kib })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn peak_anon_mib(&self) -> f64 {
        self.peak_anon_kib.load(Ordering::Relaxed) as f64 / 1024.0
    }

    pub(crate) fn rss_mib(&self) -> f64 {
        status_kib(self.pid(), "VmRSS").unwrap_or(0) as f64 / 1024.0
    }

    /// User and system time of all its threads, dead ones too; in clock ticks of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))
            .context("read the process's stat")?;
        let after = stat.rsplit_once(')').context("parse stat")?.1;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks: u64 = fields.get(11).context("utime")?.parse::<u64>()?
            + fields.get(12).context("stime")?.parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Time on a CPU of each thread that lives now, in nanoseconds: fine enough for one query.
    pub(crate) fn threads(&self) -> Result<Threads> {
        let mut threads = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid())).context("list threads")? {
            let path = task?.path();
            // a thread may end while it is read
            let schedstat = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            if let Some(run) = schedstat.split(' ').next().and_then(|run| run.parse::<u64>().ok()) {
                threads.insert(path, run);
            }
        }
        Ok(Threads(threads))
    }

    /// Waits until it uses less than 4 % of a core for a second.
    pub(crate) async fn settle(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(300) {
            let before = self.cpu()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.cpu()? - before < Duration::from_millis(40) {
                return Ok(());
            }
        }
        bail!("the server did not come to rest within 300 s")
    }

    /// SIGTERM, then the time until it is gone.
    pub(crate) async fn stop(mut self) -> Result<Duration> {
        let start = Instant::now();
        terminate(self.pid());
        while start.elapsed() < Duration::from_secs(30) {
            if self.child.try_wait()?.is_some() {
                return Ok(start.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the server ignored SIGTERM for 30 s")
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            println!("a child could not be waited for");
        }
    }
}

fn status_kib(pid: u32, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn terminate(pid: u32) {
    if let Ok(pid) = i32::try_from(pid)
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
        && rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_err()
    {
        println!("{pid:?} was gone already");
    }
}

/// A binary that `cargo xtask bench` built beside this one.
pub(crate) fn sibling(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let path = own.with_file_name(name);
    if !path.try_exists()? {
        bail!("{} is not built; run this through `cargo xtask bench`", path.display());
    }
    Ok(path)
}

/// Bytes allocated on disk below a folder.
pub(crate) fn disk_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() { disk_bytes(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(total)
}
