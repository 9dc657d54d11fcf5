//! Real programs: nginx and curl with OpenSSL, and a server and a client that Go's compiler makes here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proto::v1::SpanRow;

use super::{NEEDS, Pair, assert_all, count, go};
use crate::cgroup::Cgroup;
use crate::probes::eventually;
use crate::requests::grpc::{self, Place};
use crate::requires::{Need, requires};

/// Ends with the test: asked to, since it must end its own children.
pub(super) struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        _ = self.0.wait();
    }
}

/// A copy of the system's OpenSSL, so that programs of others that run the same file meet no program of this test.
pub(super) fn library(place: &Path) -> Option<PathBuf> {
    let found = ["/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib64/libssl.so.3", "/usr/lib/libssl.so.3"];
    let from = found.iter().find(|path| fs::metadata(path).is_ok())?;
    let to = place.join("libssl.so.3");
    fs::copy(from, &to).unwrap();
    Some(to)
}

pub(super) fn certificate(place: &Place) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(&place.0)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// nginx in the cgroup, with the library beside it.
pub(super) fn nginx(place: &Place, cgroup: &Cgroup, port: u16, http2: &str) -> Ended {
    let conf = format!(
        "daemon off;\nworker_processes 2;\npid nginx.pid;\nerror_log error.log;\nuser root;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; \
         scgi_temp_path e;\n\
         server {{ listen 127.0.0.1:{port} ssl{http2}; ssl_certificate cert.pem; ssl_certificate_key key.pem;\n\
         location = /warm {{ return 200 warm; }} location = /ok {{ return 200 hello; }} location = /missing {{ return 404 no; }}\n\
         location = /broken {{ return 500 oh; }} }} }}\n"
    );
    place.write("nginx.conf", &conf);
    let child = cgroup
        .enter(Command::new("nginx").arg("-p").arg(&place.0).args(["-c", "nginx.conf"]))
        .env("LD_LIBRARY_PATH", &place.0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Ended(child)
}

/// One curl for many requests on few connections; true where all were answered.
fn curl(place: &Place, cgroup: &Cgroup, port: u16, paths: &[&str], flags: &[&str]) -> bool {
    let urls = paths.iter().map(|path| format!("https://127.0.0.1:{port}{path}"));
    let arguments = urls.flat_map(|url| [url, "-o".to_owned(), "/dev/null".to_owned()]);
    cgroup
        .enter(Command::new("curl").args(["-ks"]).args(flags).args(arguments))
        .env("LD_LIBRARY_PATH", &place.0)
        .current_dir(&place.0)
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
}

const OPENSSL: [Need; 3] = [Need::Tool("nginx"), Need::Tool("curl"), Need::Tool("openssl")];

/// 30 requests of each of 10 curls, over HTTP/1 or HTTP/2.
fn openssl(name: &'static str, http2: &str, flags: &[&str]) {
    if !requires(name, NEEDS) || !requires(name, &OPENSSL) {
        return;
    }
    let place = Place::new(name);
    if library(&place.0).is_none() {
        return crate::requires::skip(name, "needs libssl.so.3");
    }
    certificate(&place);
    place.write("body", &"a body ".repeat(3_000));
    let cgroup = Cgroup::new(crate::features(), name).unwrap();
    let port = free_port();
    let _server = nginx(&place, &cgroup, port, http2);
    let mut pair = Pair::new(&cgroup);
    eventually("an answer to /warm that is seen at both ends", || {
        curl(&place, &cgroup, port, &["/warm"], flags);
        pair.drain();
        let spans = pair.spans();
        ["server", "client"].iter().all(|kind| count(&spans, kind, "/warm", "200") > 0)
    });
    pair.losses();
    for _ in 0..10 {
        let paths = ["/ok", "/missing", "/ok", "/ok", "/broken", "/ok"].repeat(5);
        assert!(curl(&place, &cgroup, port, &paths, flags));
    }
    // the last answers' ends come with the end of their connections
    eventually("as many spans as requests", || {
        pair.drain();
        pair.spans().iter().filter(|span| span.attributes["url.path"] != "/warm").count() >= 600
    });
    let losses = pair.losses();
    assert_all(&pair.spans(), 300);
    assert_eq!(losses, [""; 0]);
}

#[test]
fn nginx_and_curl_over_openssl() {
    openssl("nginx_and_curl_over_openssl", "", &["--http1.1"]);
}

/// Bodies of 21,000 bytes, which nginx reads once it has answered.
#[test]
fn nginx_answers_before_it_has_read_the_body() {
    let flags = ["--http1.1", "-H", "Expect:", "--data-binary", "@body"];
    openssl("nginx_answers_before_it_has_read_the_body", "", &flags);
}

#[test]
fn nginx_and_curl_over_openssl_and_http2() {
    openssl("nginx_and_curl_over_openssl_and_http2", " http2", &["--http2"]);
}

/// The Go program as an emulated machine has it, which has no compiler.
fn go_program_of_the_machine(flags: &[&str]) -> Option<PathBuf> {
    std::env::var_os("WAKE_GO_PAIR").filter(|_| flags.is_empty()).map(PathBuf::from)
}

/// Builds the Go program; `None` where it could not be, which is told.
fn go_program(name: &str, place: &Place, flags: &[&str]) -> Option<PathBuf> {
    place.write("go.mod", "module pair\n\ngo 1.21\n");
    place.write("main.go", include_str!("../../../go/pair.go"));
    let program = place.0.join("pair");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .args(flags)
        .arg(".")
        .env("GOFLAGS", "-mod=mod")
        .current_dir(&place.0)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        crate::requires::skip(name, "needs Go's compiler");
        return None;
    }
    Some(program)
}

fn go_pair(name: &'static str, build: &[&str]) {
    let made = go_program_of_the_machine(build);
    if !requires(name, NEEDS) || made.is_none() && !requires(name, &[Need::Tool("go")]) {
        return;
    }
    let place = Place::new(name);
    let Some(program) = made.or_else(|| go_program(name, &place, build)) else { return };
    let found = agent::tls::binary::examine(&fs::File::open(&program).unwrap(), "pair").unwrap().unwrap();
    assert_eq!(found.library, "go");
    let cgroup = Cgroup::new(crate::features(), name).unwrap();
    let mut pair = Pair::new(&cgroup);
    let mut child = cgroup
        .enter(Command::new(program).arg("300"))
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

#[test]
fn a_go_server_and_client() {
    go_pair("a_go_server_and_client", &[]);
}

#[test]
fn a_go_server_and_client_without_symbols_that_can_be_moved() {
    go_pair(
        "a_go_server_and_client_without_symbols_that_can_be_moved",
        &["-ldflags=-s -w", "-buildmode=pie"],
    );
}

/// gRPC of Go over TLS: the same calls as in plain text.
#[test]
fn grpc_of_go_over_tls() {
    grpc_of_go("grpc_of_go_over_tls", 288, "few");
}

/// What one call of the library carries is of many streams.
#[test]
fn many_streams_of_grpc_of_go_over_tls() {
    grpc_of_go("many_streams_of_grpc_of_go_over_tls", 1_536, "many");
}

fn grpc_of_go(name: &'static str, number: usize, form: &str) {
    if !requires(name, NEEDS) || !requires(name, &[Need::Tool("go")]) {
        return;
    }
    let place = Place::new(name);
    let Some(program) = grpc::go_pair(name, &place) else { return };
    let cgroup = Cgroup::new(crate::features(), name).unwrap();
    let mut pair = Pair::new(&cgroup);
    let mut child = cgroup
        .enter(Command::new(program).args([&number.to_string(), "tls", form]))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let is_warm = |spans: &[SpanRow], kind: &str| {
        spans.iter().any(|span| span.kind == kind && span.name == "shop.Cart/Warm")
    };
    eventually("a call that is seen at both ends", || {
        pair.drain();
        let spans = pair.spans();
        ["server", "client"].iter().all(|kind| is_warm(&spans, kind))
    });
    pair.losses();
    go(&mut child);
    eventually("as many spans as calls", || {
        pair.drain();
        grpc::are_all(&pair.spans(), number)
    });
    let losses = pair.losses();
    let spans = pair.spans();
    grpc::assert_calls(&spans, number);
    assert!(spans.iter().all(|span| span.attributes.get("tls.established").is_some_and(|is| is == "true")));
    assert_eq!(losses, [""; 0]);
}

/// Node has OpenSSL in itself and moves the encrypted bytes on its own.
#[test]
fn node_over_the_openssl_in_it() {
    const NAME: &str = "node_over_the_openssl_in_it";
    if !requires(NAME, NEEDS) || !requires(NAME, &[Need::Tool("node"), Need::Tool("openssl")]) {
        return;
    }
    let place = Place::new(NAME);
    certificate(&place);
    let script = place.write("pair.js", include_str!("pair.js"));
    let cgroup = Cgroup::new(crate::features(), NAME).unwrap();
    let mut pair = Pair::new(&cgroup);
    let mut child = cgroup
        .enter(Command::new("node").arg(script).arg("300"))
        .current_dir(&place.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    pair.warm();
    pair.losses();
    go(&mut child);
    pair.losses();
    let spans = pair.spans();
    let made = |kind: &str| {
        ["/ok 200", "/missing 404", "/broken 500"].map(|wanted| {
            let (path, status) = wanted.split_once(' ').unwrap();
            count(&spans, kind, path, status)
        })
    };
    assert_eq!(made("server"), [200, 50, 50]);
    assert_eq!(made("client"), [200, 50, 50]);
}
