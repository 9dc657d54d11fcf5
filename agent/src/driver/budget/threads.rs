//! CPU time of the threads that read logs, as the kernel counts it per thread, in ticks of 10 ms.

use std::path::Path;
use std::time::Duration;

/// How these threads' names begin.
const LOGS: [&str; 2] = ["wake-logs", "wake-journal"];

/// Since their start; nothing where they do not run.
pub(super) fn log_cpu() -> Duration {
    of(Path::new("/proc/self/task"), rustix::param::clock_ticks_per_second())
}

fn of(tasks: &Path, ticks_per_second: u64) -> Duration {
    let Ok(entries) = std::fs::read_dir(tasks) else { return Duration::ZERO };
    let stats = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let ticks: u64 = stats.filter_map(|stat| ticks(&stat)).sum();
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / ticks_per_second.max(1)))
}

/// User and system time of one thread, if it reads logs.
fn ticks(stat: &str) -> Option<u64> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut times = tail.split_ascii_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    LOGS.contains(&name).then(|| Some(times.next()? + times.next()?))?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::of;

    #[test]
    fn only_log_threads_count() {
        let tasks = tempfile::tempdir().unwrap();
        for (id, name, ticks) in [(1, "wake-agent", 500), (2, "wake-logs", 30), (3, "wake-journal", 7)] {
            let directory = tasks.path().join(id.to_string());
            std::fs::create_dir(&directory).unwrap();
            let stat =
                format!("{id} ({name}) S 1 1 1 0 -1 4194304 1 0 0 0 {ticks} 5 0 0 20 0 2 0 50 1000 3 1 1");
            std::fs::write(directory.join("stat"), stat).unwrap();
        }
        assert_eq!(of(tasks.path(), 100), Duration::from_millis(10 * (30 + 5 + 7 + 5)));
    }

    #[test]
    fn a_thread_that_works_is_seen() {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("wake-logs".into()).spawn(move || {
            let mut sum = 0_u64;
            while wait.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
            }
        });
        let clock = daemon::clock::Clock::system();
        while super::log_cpu() < Duration::from_millis(30) {
            assert!(clock.monotonic() < Duration::from_secs(30), "no time was seen");
            std::thread::yield_now();
        }
        drop(done);
        thread.unwrap().join().unwrap();
    }
}
