//! The kernel's counters of a cgroup hold those of everything below it; here each keeps only its own share. Pure.

use std::collections::HashMap;

use proto::v1;

/// Own CPU time below this share of what the counters say is the skew of reading one file after the other.
const SKEW: f64 = 0.02;

/// Takes from every row the rows of the cgroups right below it; what has no share of its own goes.
pub(super) fn own_share(rows: &mut HashMap<u64, v1::UsageRow>, paths: &HashMap<u64, String>) {
    let by_path: HashMap<&str, u64> = paths.iter().map(|(id, path)| (path.as_str(), *id)).collect();
    let mut below: HashMap<u64, Vec<v1::UsageRow>> = HashMap::new();
    for (id, path) in paths {
        let (Some(row), Some(parent)) = (rows.get(id), nearest(path, &by_path)) else { continue };
        below.entry(parent).or_default().push(row.clone());
    }
    for (parent, children) in below {
        let Some(row) = rows.get_mut(&parent) else { continue };
        let whole = row.cpu_usage_ns.unwrap_or(0);
        for child in &children {
            subtract(row, child);
        }
        let is_skew = row.cpu_usage_ns.unwrap_or(0) as f64 <= whole as f64 * SKEW;
        if is_skew && row.pids_current.unwrap_or(0) == 0 {
            rows.remove(&parent);
        }
    }
}

/// The nearest ancestor that is followed.
fn nearest(path: &str, by_path: &HashMap<&str, u64>) -> Option<u64> {
    let mut path = path;
    while let Some((parent, _)) = path.rsplit_once('/') {
        if let Some(id) = by_path.get(parent) {
            return Some(*id);
        }
        path = parent;
    }
    None
}

fn subtract(row: &mut v1::UsageRow, child: &v1::UsageRow) {
    let less = |slot: &mut Option<u64>, value: Option<u64>| {
        if let (Some(whole), Some(part)) = (slot.as_mut(), value) {
            *whole = whole.saturating_sub(part);
        }
    };
    less(&mut row.cpu_usage_ns, child.cpu_usage_ns);
    less(&mut row.cpu_user_ns, child.cpu_user_ns);
    less(&mut row.cpu_system_ns, child.cpu_system_ns);
    less(&mut row.memory_current, child.memory_current);
    less(&mut row.memory_working_set, child.memory_working_set);
    less(&mut row.memory_events_max, child.memory_events_max);
    less(&mut row.memory_events_oom, child.memory_events_oom);
    less(&mut row.memory_events_oom_kill, child.memory_events_oom_kill);
    less(&mut row.pids_current, child.pids_current);
    less(&mut row.io_read_bytes, child.io_read_bytes);
    less(&mut row.io_write_bytes, child.io_write_bytes);
    less(&mut row.io_read_ops, child.io_read_ops);
    less(&mut row.io_write_ops, child.io_write_ops);
    // these are no sums: nobody knows the share
    row.memory_peak = None;
    row.psi_cpu_some_us = None;
    row.psi_memory_some_us = None;
    row.psi_memory_full_us = None;
    row.psi_io_some_us = None;
    row.psi_io_full_us = None;
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proto::v1::UsageRow;

    use super::own_share;

    #[test]
    fn shares_add_up_to_what_the_top_used() {
        let all =
            [(1, "/a", 1000_u64), (2, "/a/x", 400), (3, "/a/y/z", 500), (4, "/s", 700), (5, "/s/u", 695)];
        let row = |cpu| UsageRow { cpu_usage_ns: Some(cpu), ..Default::default() };
        let mut rows: HashMap<u64, UsageRow> = all.iter().map(|(id, _, cpu)| (*id, row(*cpu))).collect();
        let paths = all.iter().map(|(id, path, _)| (*id, (*path).to_owned())).collect();
        own_share(&mut rows, &paths);
        let mut shares: Vec<_> = rows.iter().map(|(id, row)| (*id, row.cpu_usage_ns.unwrap())).collect();
        shares.sort_unstable();
        assert_eq!(shares, [(1, 100), (2, 400), (3, 500), (5, 695)]);
    }
}
