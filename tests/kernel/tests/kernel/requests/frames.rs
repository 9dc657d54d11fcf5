//! What one call carries of HTTP/2 beyond one record.

use agent::kernel::Settings;
use agent::probe::requests::PROBE;

use super::{NEEDS, assert_lossless, count, run};
use crate::cgroup::Cgroup;
use crate::probes::Attached;
use crate::requires::{kernel_skipped, requires};

#[test]
fn every_stream_of_one_call_has_its_status() {
    const NAME: &str = "every_stream_of_one_call_has_its_status";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "streams").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let (work, streams) = match crate::features().makes_loops {
        true => ("http all-frames 3", 400),
        false => ("http frames 3", 36),
    };
    let spans = run(&mut probe, &cgroup, work);
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    for kind in ["server", "client"] {
        for status in ["200", "500"] {
            assert_eq!(count(&spans, kind, "/ok", status), 3 * streams / 2, "{kind} {status}");
        }
    }
    assert_eq!(spans.len(), 2 * 3 * streams, "each once");
    let is_marked = |key: &str| spans.iter().any(|span| span.attributes.contains_key(key));
    assert!(!is_marked("wake.truncated") && !is_marked("wake.at_least"));
    assert_lossless(&probe);
}
