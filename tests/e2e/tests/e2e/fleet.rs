//! One host's Wake: an aggregator, an agent, a directory of logs; started, killed and asked by the tests.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Generous: CI has two cores, and they are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Aggregator,
    Agent,
}

pub(crate) struct Fleet {
    dir: TempDir,
    api: u16,
    admin: u16,
    /// OTLP/gRPC and OTLP/HTTP.
    pub(crate) otlp: [u16; 2],
    aggregator: Option<Child>,
    agent: Option<Child>,
    lines: u64,
    /// What is asked of whoever comes, where anything is.
    is_secured: bool,
}

/// An operator's token in a fleet that is secured.
pub(crate) const TOKEN: &str = "an-operators-token-of-e2e";
/// One that may read and send for the namespace `shop` alone.
pub(crate) const SHOP_TOKEN: &str = "a-token-of-the-shop-alone";

impl Fleet {
    /// Writes both configs and starts nothing. `probes` is the agent's section of that name, in YAML flow style.
    pub(crate) fn new(probes: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("wake-e2e-").tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        let [ingest, api, admin, grpc, http] = free_ports();
        let otlp = [grpc, http];
        let (aggregator, agent) = (None, None);
        let fleet = Self { dir, api, admin, otlp, aggregator, agent, lines: 0, is_secured: false };
        let at = |name: &str| fleet.path(name).display().to_string();
        fs::write(
            fleet.path("aggregator.yaml"),
            format!(
                "version: 1\ndata_dir: {}\ningest: {{listen: \"127.0.0.1:{ingest}\"}}\n\
                 otlp: {{grpc_listen: \"127.0.0.1:{grpc}\", http_listen: \"127.0.0.1:{http}\", max_request_mib: 1}}\n\
                 api: {{listen: \"127.0.0.1:{api}\"}}\nstore: {{profile: small, seal_age_s: 1, disk_refuse_percent: 100, disk_drop_percent: 100}}\n",
                at("data")
            ),
        )
        .unwrap();
        fs::write(
            fleet.path("agent.yaml"),
            format!(
                "version: 1\nnode: {{name: e2e-node}}\nstate_dir: {}\nwindow: {{seconds: 1}}\n\
                 export: {{kind: wake, endpoint: \"http://127.0.0.1:{ingest}\"}}\n\
                 admin: {{listen: \"127.0.0.1:{admin}\"}}\nprobes: {probes}\n\
                 logs: {{globs: [], containers: [], from: beginning, journal: {{enabled: false}}, \
                 workloads: [{{glob: {}/*.log, workload: e2e}}]}}\n",
                at("state"),
                at("logs")
            ),
        )
        .unwrap();
        fleet
    }

    /// Logs only: no eBPF, no rights needed, quick to start.
    pub(crate) fn logs_only() -> Self {
        let off = "{enabled: false}";
        Self::new(&format!(
            "{{flows: {off}, syscalls: {off}, sched: {off}, block: {off}, process: {off}, cgroups: {off}, usage: {off}}}"
        ))
    }

    /// Adds sections to the aggregator's config.
    pub(crate) fn configure(&self, sections: &str) {
        let mut file = OpenOptions::new().append(true).open(self.path("aggregator.yaml")).unwrap();
        file.write_all(sections.as_bytes()).unwrap();
    }

    /// The aggregator asks for a token whoever sends over OTLP.
    pub(crate) fn asks_senders(&self, more: &str) {
        let tokens = self.path("tokens.yaml").display().to_string();
        let text = format!(
            "version: 1\ntokens:\n- {{name: op, token: {TOKEN}, operator: true}}\n\
             - {{name: shop, token: {SHOP_TOKEN}, namespaces: [shop]}}\n"
        );
        fs::write(&tokens, text).unwrap();
        let config = fs::read_to_string(self.path("aggregator.yaml")).unwrap();
        let auth = format!("auth: {{mode: tokens, token_file: {tokens}}}");
        let with = format!("max_request_mib: 1, {auth}{more}");
        fs::write(self.path("aggregator.yaml"), config.replace("max_request_mib: 1", &with)).unwrap();
    }

    /// Every listener speaks TLS with certificates of the aggregator's own CA, and asks for a token.
    pub(crate) fn secure(&mut self) {
        self.asks_senders(", tls: true");
        let at = |name: &str| self.path(name).display().to_string();
        let auth = format!("auth: {{mode: tokens, token_file: {}}}", at("tokens.yaml"));
        self.configure(&format!("tls: {{mode: issued, ca_dir: {}}}\n{auth}\n", at("ca")));
        self.is_secured = true;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn start(&mut self, part: Part) {
        let (name, config) = match part {
            Part::Aggregator => ("wake-aggregator", "aggregator.yaml"),
            Part::Agent => ("wake-agent", "agent.yaml"),
        };
        let log =
            OpenOptions::new().create(true).append(true).open(self.path(&format!("{name}.out"))).unwrap();
        let child = Command::new(program(name))
            .arg("--config")
            .arg(self.path(config))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let slot = self.slot(part);
        assert!(slot.is_none(), "{name} runs already");
        *slot = Some(child);
    }

    fn slot(&mut self, part: Part) -> &mut Option<Child> {
        match part {
            Part::Aggregator => &mut self.aggregator,
            Part::Agent => &mut self.agent,
        }
    }

    pub(crate) fn pid(&mut self, part: Part) -> u32 {
        self.slot(part).as_ref().unwrap().id()
    }

    /// As the kernel's OOM killer does it.
    pub(crate) fn kill(&mut self, part: Part) {
        let mut child = self.slot(part).take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// As a service manager does it; how long it took. Panics unless it ended well.
    pub(crate) fn stop(&mut self, part: Part) -> Duration {
        let mut child = self.slot(part).take().unwrap();
        let began = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = self.poll("the end of the process", || child.try_wait().unwrap());
        assert!(status.success(), "{part:?} ended with {status}\n{}", self.outputs());
        began.elapsed()
    }

    /// Waits until `/readyz` says so.
    pub(crate) fn ready(&self, part: Part) {
        if self.is_secured && part == Part::Aggregator {
            self.poll("the aggregator to be ready", || self.rows(&["sql", "SELECT 1 AS n"]));
            return;
        }
        let port = if part == Part::Aggregator { self.api } else { self.admin };
        self.poll(&format!("{part:?} to be ready"), || {
            get(port, "/readyz")
                .is_some_and(|answer| {
                    answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200")
                })
                .then_some(())
        });
    }

    /// Asks the aggregator to seal now, and does not wait for it.
    pub(crate) fn seal_soon(&self) {
        let port = self.api;
        std::thread::spawn(move || request(port, "POST", "/api/v1/admin/seal"));
    }

    /// Segments of logs, once the aggregator answers.
    pub(crate) fn log_segments(&self) -> u64 {
        self.poll("the aggregator's metrics", || {
            let answer = get(self.api, "/metrics")?;
            let line = answer
                .lines()
                .find(|line| line.contains("store_segments{") && line.contains("table=\"log\""))?;
            line.rsplit(' ').next()?.parse().ok()
        })
    }

    /// A metric of the aggregator, by its name without the prefix and its labels; nothing while it is not there.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let answer = get(self.api, "/metrics")?;
        let line = answer
            .lines()
            .find(|line| line.strip_prefix("wake_aggregator_").is_some_and(|line| line.starts_with(name)))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// The body that the agent's own endpoint answers, once it listens.
    pub(crate) fn admin(&self, path: &str) -> Option<String> {
        Some(get(self.admin, path)?.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// Waits until every probe of the agent has its state: what can be attached is.
    pub(crate) fn attached(&self) {
        const PROBES: usize = 9;
        self.poll("the agent's probes", || {
            let probes: Vec<Value> = serde_json::from_str(&self.admin("/probes")?).ok()?;
            (probes.len() >= PROBES).then_some(())
        });
    }

    /// Asks until there is an answer.
    pub(crate) fn poll<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}\n{}", self.outputs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `wake` with these arguments, against this fleet.
    pub(crate) fn wake(&self, args: &[&str]) -> Output {
        let mut wake = Command::new(program("wake"));
        let scheme = if self.is_secured { "https" } else { "http" };
        wake.env("WAKE_SERVER", format!("{scheme}://127.0.0.1:{}", self.api));
        // as in a container, which has no certificates of a system
        wake.envs([("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")]);
        if self.is_secured {
            wake.env("WAKE_CA", self.path("ca/ca.crt")).env("WAKE_TOKEN", TOKEN);
        }
        wake.args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// The rows that `wake -o json` prints; none if it fails, as while the aggregator is away.
    pub(crate) fn rows(&self, args: &[&str]) -> Option<Vec<Value>> {
        let mut all = vec!["-o", "json"];
        all.extend(args);
        let output = self.wake(&all);
        if !output.status.success() {
            return None;
        }
        Some(
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }

    /// Appends `count` numbered lines to a log; numbers go on over all calls.
    pub(crate) fn write_lines(&mut self, file: &str, count: u64) {
        let mut log =
            OpenOptions::new().create(true).append(true).open(self.path("logs").join(file)).unwrap();
        let mut text = String::new();
        for number in self.lines..self.lines + count {
            text.push_str(&format!("level=info number={number:08} the quick brown fox\n"));
        }
        log.write_all(text.as_bytes()).unwrap();
        self.lines += count;
    }

    /// As logrotate does it: rename, create anew.
    pub(crate) fn rotate(&self, file: &str) {
        let logs = self.path("logs");
        let newest =
            (1..).map(|number| logs.join(format!("{file}.{number}"))).find(|path| !path.exists()).unwrap();
        fs::rename(logs.join(file), newest).unwrap();
        File::create(logs.join(file)).unwrap();
    }

    /// Waits until every line that was written can be found; then none may be there twice.
    pub(crate) fn expect_every_line_once(&self) {
        let want = self.lines;
        let counts = || {
            let query = "SELECT count(*) AS n, count(DISTINCT body) AS d FROM log WHERE workload = 'e2e'";
            let rows = self.rows(&["sql", query])?;
            let count = |name: &str| rows.first()?.get(name)?.as_u64();
            Some((count("n")?, count("d")?))
        };
        let mut last = (0, 0);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            last = counts().unwrap_or(last);
            assert!(
                last.0 <= want,
                "{} rows of {want} lines ({} distinct): some are doubled\n{}",
                last.0,
                last.1,
                self.outputs()
            );
            if last == (want, want) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!(
            "{want} lines were written, {} rows ({} distinct) are found\n{}",
            last.0,
            last.1,
            self.outputs()
        );
    }

    /// The end of what both programs printed, for a failing test.
    pub(crate) fn outputs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.path(&format!("{name}.out"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        tail("wake-agent") + &tail("wake-aggregator")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in [self.agent.as_mut(), self.aggregator.as_mut()].into_iter().flatten() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A program of this workspace, built beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace --all-targets", path.display());
    path
}

/// Rounds of the kill tests: more in the full run.
pub(crate) fn rounds() -> u32 {
    if std::env::var_os("WAKE_FULL").is_some() { 50 } else { 10 }
}

/// Records that a test cannot run here, for `cargo xtask test` to tell.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("wake-skip: {test}: {reason}\n");
    print!("{line}");
    if let Some(file) = std::env::var_os("WAKE_SKIPS") {
        OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Ports below those that the kernel gives to connections, so that nobody is given one while its owner is dead.
fn free_ports() -> [u16; 5] {
    let mut random = Random(u64::from(std::process::id()) ^ FLEETS.fetch_add(1, Ordering::Relaxed) << 32);
    let mut taken = Vec::new();
    while taken.len() < 5 {
        let port = u16::try_from(15_000 + random.below(17_000)).unwrap();
        taken.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    let ports: Vec<u16> = taken.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    ports.try_into().unwrap()
}

/// Fleets that this process has made.
static FLEETS: AtomicU64 = AtomicU64::new(0);

fn get(port: u16, path: &str) -> Option<String> {
    request(port, "GET", path)
}

fn request(port: u16, method: &str, path: &str) -> Option<String> {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A small generator with a printed seed (splitmix64): moments to kill at, that can be had again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(test: &str) -> Self {
        let seed = match std::env::var("WAKE_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => u64::from(std::process::id()) ^ 0x5eed_0000_0000,
        };
        println!("{test}: WAKE_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
