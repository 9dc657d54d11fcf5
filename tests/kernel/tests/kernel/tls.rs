//! TLS: what a client and a server say to each other under encryption becomes spans, as many as were made.

mod asyncio;
mod chain;
pub(crate) mod fake;
mod older;
mod programs;
mod streams;

use std::io::Write as _;
use std::process::{Child, Stdio};

use agent::kernel::lent::Lent;
use agent::kernel::{KernelFeatures, Settings, TlsMode};
use agent::window::sample::Row;
use proto::v1::SpanRow;

use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::{Attached, eventually};
use crate::requires::{Need, requires};

pub(crate) const NEEDS: &[Need] = &[Need::Root, Need::Btf, Need::Cgroup2];

/// The two probes, of which the second looks at the processes of one cgroup.
struct Pair {
    requests: Attached,
    tls: Attached,
    cgroup: u64,
}

impl Pair {
    fn new(cgroup: &Cgroup) -> Self {
        // maps are lent by one requests probe to one of TLS
        let features = KernelFeatures { lent: Lent::default(), ..crate::features().clone() };
        let settings = Settings {
            attach_cgroup: Some(cgroup.directory().into()),
            tls: TlsMode::On,
            max_spans: 1_000_000,
            ..Settings::default()
        };
        let requests = Attached::of_node(&features, &agent::probe::requests::PROBE, &settings);
        let tls = Attached::of_node(&features, &agent::probe::tls::PROBE, &settings);
        Self { requests, tls, cgroup: cgroup.id() }
    }

    fn drain(&mut self) {
        self.requests.drain();
        self.tls.drain();
    }

    fn spans(&self) -> Vec<SpanRow> {
        let of_row = |row: &Row| match row {
            Row::Spans(spans) => spans.rows(),
            _ => Vec::new(),
        };
        self.requests.rows(self.cgroup).flat_map(of_row).collect()
    }

    /// Waits until both ends of requests for `/warm` are seen.
    #[track_caller]
    fn warm(&mut self) {
        eventually("spans of both ends", || {
            self.drain();
            let spans = self.spans();
            ["server", "client"].iter().all(|kind| count(&spans, kind, "/warm", "200") > 0)
        });
    }

    /// Nothing was lost since this was asked last; what began before a library was found may have been.
    fn losses(&mut self) -> Vec<String> {
        self.drain();
        let sinks = [&mut self.requests.sink, &mut self.tls.sink];
        let losses = sinks.into_iter().flat_map(|sink| std::mem::take(&mut sink.losses));
        losses.filter(|loss| loss.signal == "span").map(|loss| format!("{loss:?}")).collect()
    }
}

fn count(spans: &[SpanRow], kind: &str, path: &str, status: &str) -> usize {
    let is = |span: &&SpanRow| {
        let of = |key: &str| span.attributes.get(key).map_or("", String::as_str);
        span.kind == kind && of("url.path") == path && of("http.response.status_code") == status
    };
    spans.iter().filter(is).count()
}

/// A sixth missing, a sixth broken, of `number` made at each end.
#[track_caller]
fn assert_all(spans: &[SpanRow], number: usize) {
    for kind in ["server", "client"] {
        let counts = ["/ok 200", "/missing 404", "/broken 500"].map(|wanted| {
            let (path, status) = wanted.split_once(' ').unwrap();
            count(spans, kind, path, status)
        });
        assert_eq!(counts, [number * 4 / 6, number / 6, number / 6], "{kind}");
    }
    let made: Vec<&SpanRow> = spans.iter().filter(|span| span.attributes["url.path"] != "/warm").collect();
    assert_eq!(made.len(), number * 2, "each once");
    for span in made {
        assert_eq!(span.attributes.get("network.peer.address").map(String::as_str), Some("127.0.0.1"));
        assert_eq!(span.attributes.get("tls.established").map(String::as_str), Some("true"));
        assert!(span.duration_ns > 0 && span.duration_ns < 60_000_000_000, "{span:?}");
    }
}

fn go(child: &mut Child) {
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_request_under_a_library_of_the_programs_own_is_a_span() {
    const NAME: &str = "every_request_under_a_library_of_the_programs_own_is_a_span";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "tls").unwrap();
    let mut pair = Pair::new(&cgroup);
    let mut child = cgroup
        .enter(&mut child::command("tls 300"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    pair.warm();
    pair.losses();
    go(&mut child);
    let losses = pair.losses();
    assert_all(&pair.spans(), 300);
    assert_eq!(losses, [""; 0]);
}
