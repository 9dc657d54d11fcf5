//! Real gRPC: servers and clients of tonic and of grpc-go say how many calls ended how, and as many spans say the same.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use agent::kernel::Settings;
use agent::probe::requests::PROBE;
use proto::v1::SpanRow;

use super::{NEEDS, assert_lossless, run, spans};
use crate::cgroup::Cgroup;
use crate::probes::{Attached, eventually};
use crate::requires::{Need, kernel_skipped, requires, skip};

/// Of six calls of a pair: service and method, status, how many.
const CALLS: [(&str, &str, usize); 5] =
    [("Add", "0", 2), ("List", "0", 1), ("Add", "5", 1), ("Add", "13", 1), ("Add", "14", 1)];

/// A directory of a test's own.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wake-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Builds the pair of grpc-go; `None` where it could not be, which is told.
pub(crate) fn go_pair(name: &str, place: &Place) -> Option<PathBuf> {
    for (file, text) in [
        ("main.go", include_str!("../../../go/grpc/main.go")),
        ("go.mod", include_str!("../../../go/grpc/go.mod")),
        ("go.sum", include_str!("../../../go/grpc/go.sum")),
    ] {
        std::fs::write(place.0.join(file), text).unwrap();
    }
    let program = place.0.join("pair");
    let built = Command::new("go")
        .args(["build", "-mod=mod", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(&place.0)
        .stderr(Stdio::null())
        .status();
    if !built.is_ok_and(|status| status.success()) {
        skip(name, "needs Go's compiler and the module google.golang.org/grpc");
        return None;
    }
    Some(program)
}

fn of<'a>(span: &'a SpanRow, key: &str) -> &'a str {
    span.attributes.get(key).map_or("", String::as_str)
}

/// Whether both ends have all of so many calls.
pub(crate) fn are_all(spans: &[SpanRow], number: usize) -> bool {
    spans.iter().filter(|span| of(span, "rpc.method") != "Warm").count() >= number * 2
}

/// Both ends have all calls with their statuses, each once.
#[track_caller]
pub(crate) fn assert_calls(spans: &[SpanRow], number: usize) {
    let spans: Vec<&SpanRow> = spans.iter().filter(|span| of(span, "rpc.method") != "Warm").collect();
    for kind in ["server", "client"] {
        for (method, code, share) in CALLS {
            let is_one = |span: &&&SpanRow| {
                span.kind == kind
                    && of(span, "rpc.method") == method
                    && of(span, "rpc.grpc.status_code") == code
            };
            let found: Vec<&&SpanRow> = spans.iter().filter(is_one).collect();
            assert_eq!(found.len(), number * share / 6, "{kind} {method} {code}: {:#?}", spans.first());
            for span in found {
                assert_eq!(span.name, format!("shop.Cart/{method}"));
                assert_eq!((of(span, "rpc.system"), of(span, "rpc.service")), ("grpc", "shop.Cart"));
                let is_failure = if kind == "client" { code != "0" } else { ["13", "14"].contains(&code) };
                assert_eq!(span.status == "error", is_failure, "{kind} {code}");
            }
        }
    }
    assert_eq!(spans.len(), number * 2, "each once");
}

#[test]
fn calls_between_tonic_and_tonic() {
    const NAME: &str = "calls_between_tonic_and_tonic";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "tonic").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "grpc 288");
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    assert_calls(&spans, 288);
    assert_lossless(&probe);
}

/// Bodies are passed over, and what ends them is found.
#[test]
fn statuses_behind_answers_of_tonic_of_a_mebibyte() {
    const NAME: &str = "statuses_behind_answers_of_tonic_of_a_mebibyte";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "heavy").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let spans = run(&mut probe, &cgroup, "grpc_heavy 48");
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    for kind in ["server", "client"] {
        for code in ["0", "13"] {
            let is_one = |span: &&SpanRow| span.kind == kind && of(span, "rpc.grpc.status_code") == code;
            let found: Vec<&SpanRow> = spans.iter().filter(is_one).collect();
            assert_eq!(found.len(), 24, "{kind} {code}");
            assert!(
                found
                    .iter()
                    .all(|span| span.name == "shop.Cart/Heavy" && of(span, "wake.truncated").is_empty())
            );
        }
    }
    assert_eq!(spans.len(), 96, "each once");
    assert_lossless(&probe);
}

#[test]
fn calls_between_grpc_go_and_grpc_go() {
    go_and_go("calls_between_grpc_go_and_grpc_go", 288, "few");
}

/// What one call to the kernel carries is of many streams, and the statuses lie behind it.
#[test]
fn calls_of_many_streams_between_grpc_go_and_grpc_go() {
    go_and_go("calls_of_many_streams_between_grpc_go_and_grpc_go", 1_536, "many");
}

fn go_and_go(name: &'static str, number: usize, form: &str) {
    if !requires(name, NEEDS) || !requires(name, &[Need::Tool("go")]) {
        return;
    }
    let place = Place::new(name);
    let Some(program) = go_pair(name, &place) else { return };
    let cgroup = Cgroup::new(crate::features(), "grpc-go").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let ended = cgroup
        .enter(Command::new(program).args([&number.to_string(), form]))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(ended.success());
    eventually("as many spans as calls", || {
        probe.drain();
        are_all(&spans(&probe, &cgroup), number)
    });
    assert_calls(&spans(&probe, &cgroup), number);
    assert_lossless(&probe);
}
