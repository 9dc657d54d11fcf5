//! Texts of cgroup and proc files, as `crate::fuzz` gives them.

use super::parse;

/// Every parser over the same text.
pub fn files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    parse::keyed(&text, "usage_usec");
    parse::single(&text);
    assert!(parse::cpu_max(&text).is_none_or(|cores| cores > 0.0), "a limit is above nothing");
    parse::io_stat(&text);
    parse::blkio(&text);
    parse::pressure(&text, "some");
    parse::stat(&text);
    parse::proc_io(&text, "rchar");
}
