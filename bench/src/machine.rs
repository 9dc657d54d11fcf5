//! The facts of the machine that a figure was measured on.

use serde::Serialize;

#[derive(Serialize, Debug)]
pub(crate) struct Machine {
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    pub memory_kib: u64,
    pub load_1m: f64,
    pub measured_at: String,
    pub version: &'static str,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let line = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines()
                .find(|line| line.starts_with(key))
                .and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let first = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            kernel: first("/proc/sys/kernel/osrelease"),
            cpu: line("/proc/cpuinfo", "model name"),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory_kib: line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0),
            load_1m: first("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
            measured_at: jiff::Timestamp::now().to_string(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}
