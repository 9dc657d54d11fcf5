//! Texts of cgroup and proc files → numbers. Pure: what cannot be read is `None`, never zero.

/// The value of `key value` lines such as `cpu.stat` and `memory.stat`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A file with one number; `max` is none.
pub(super) fn single(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `cpu.max`: quota and period in microseconds → cores; `max` is none.
pub(super) fn cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    cores(quota.parse().ok()?, period.parse().ok()?)
}

/// A quota per period → cores.
pub(super) fn cores(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// Sums over devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
    pub(super) read_ops: u64,
    pub(super) write_ops: u64,
}

/// `io.stat` of v2. An empty file means that nothing was read or written yet.
pub(super) fn io_stat(text: &str) -> Io {
    let mut io = Io::default();
    for field in text.split_whitespace() {
        let Some((key, value)) = field.split_once('=') else { continue };
        let Ok(value) = value.parse::<u64>() else { continue };
        match key {
            "rbytes" => io.read_bytes = io.read_bytes.saturating_add(value),
            "wbytes" => io.write_bytes = io.write_bytes.saturating_add(value),
            "rios" => io.read_ops = io.read_ops.saturating_add(value),
            "wios" => io.write_ops = io.write_ops.saturating_add(value),
            _ => {}
        }
    }
    io
}

/// `blkio.throttle.io_service_bytes` or `.io_serviced` of v1: read and write sums; none when no line is there.
pub(super) fn blkio(text: &str) -> Option<(u64, u64)> {
    let (mut read, mut write, mut is_empty) = (0_u64, 0_u64, true);
    for line in text.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(kind), Some(value)) = (fields.next(), fields.next()) else { continue };
        let Ok(value) = value.parse::<u64>() else { continue };
        is_empty = false;
        match kind {
            "Read" => read = read.saturating_add(value),
            "Write" => write = write.saturating_add(value),
            _ => {}
        }
    }
    (!is_empty || text.contains("Total 0")).then_some((read, write))
}

/// The `total` in microseconds of the `some` or `full` line of a pressure file.
pub(super) fn pressure(text: &str, kind: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) is_kernel: bool,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    pub(super) threads: u64,
    pub(super) started_ticks: u64,
    pub(super) resident_pages: u64,
}

/// Parses it; the name may hold spaces and parentheses, so it ends at the last one.
pub(super) fn stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let (_, comm) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    const PF_KTHREAD: u64 = 0x0020_0000;
    Some(Stat {
        comm: comm.to_owned(),
        is_kernel: number(6)? & PF_KTHREAD != 0,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
        threads: number(17)?,
        started_ticks: number(19)?,
        resident_pages: number(21)?,
    })
}

/// A line `key: value` of `/proc/<pid>/io`.
pub(super) fn proc_io(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{Io, blkio, cpu_max, io_stat, keyed, pressure, proc_io, single, stat};

    #[test]
    fn numbers_come_out_of_each_form() {
        let cpu = "usage_usec 120\nuser_usec 100\nsystem_usec 20\nnr_periods 3\n";
        assert_eq!((keyed(cpu, "usage_usec"), keyed(cpu, "nr_throttled")), (Some(120), None));
        assert_eq!((single("max\n"), single("42\n")), (None, Some(42)));
        assert_eq!((cpu_max("max 100000\n"), cpu_max("50000 100000\n")), (None, Some(0.5)));
        let io =
            "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=10 wbytes=20 rios=30 wios=40\n";
        assert_eq!(io_stat(io), Io { read_bytes: 11, write_bytes: 22, read_ops: 33, write_ops: 44 });
        let service = "8:0 Read 5\n8:0 Write 6\n8:0 Sync 11\n8:0 Total 11\nTotal 11\n";
        assert_eq!((blkio(service), blkio("Total 0\n"), blkio("")), (Some((5, 6)), Some((0, 0)), None));
        let psi = "some avg10=0.28 avg60=6.71 avg300=20.04 total=289\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(
            (pressure(psi, "some"), pressure(psi, "full"), pressure("", "some")),
            (Some(289), Some(7), None)
        );
        assert_eq!(proc_io("rchar: 1\nread_bytes: 9\n", "read_bytes"), Some(9));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let text = "12 (a) b (c) S 1 12 12 0 -1 4194304 100 0 0 0 7 8 0 0 20 0 3 0 555 1000 66 18446744073709551615 1";
        let stat = stat(text).unwrap();
        assert_eq!((stat.comm.as_str(), stat.user_ticks, stat.system_ticks), ("a) b (c", 7, 8));
        assert_eq!((stat.threads, stat.started_ticks, stat.resident_pages), (3, 555, 66));
    }

    #[test]
    fn nonsense_is_absent() {
        for text in ["", ")", "1 (a", "1 (a) S", "(", "\u{0}\n", "total=", "some total=x"] {
            assert_eq!(stat(text), None);
            assert_eq!(pressure(text, "some"), None);
            assert_eq!(keyed(text, "some"), None);
        }
    }
}
