//! Fixed work: syscalls, context switches, packets, HTTP requests on loopback, connections, short processes.
//!
//! Times per operation are those of the best of many short batches, which a busy machine spoils least.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::report::Report;
use crate::store::quantile;

/// Batches of each kind of work, and operations in one.
const SYSCALLS: (u32, u32) = (400, 5_000);
const SWITCHES: (u32, u32) = (1_000, 100);
const PACKETS: (u32, u32) = (500, 200);
const STREAM_MIB: (u32, u32) = (64, 8);
const REQUESTS: usize = 50_000;

/// Nanoseconds per operation in the best batch.
fn best((batches, operations): (u32, u32), mut operation: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..batches {
        let start = Instant::now();
        for _ in 0..operations {
            operation()?;
        }
        least = least.min(start.elapsed().as_nanos() as f64 / f64::from(operations));
    }
    Ok(least)
}

/// What one round of the work took.
#[derive(Debug)]
pub(crate) struct Load {
    syscall_ns: f64,
    switch_ns: f64,
    packet_ns: f64,
    stream_us_per_mib: f64,
    request_us: Vec<f64>,
    request_cpu_us: f64,
}

impl Load {
    pub(crate) async fn run_all() -> Result<Self> {
        tokio::task::spawn_blocking(|| {
            let (request_us, request_cpu_us) = http_requests()?;
            Ok(Self {
                syscall_ns: syscalls()?,
                switch_ns: switches()?,
                packet_ns: packets()?,
                stream_us_per_mib: stream()?,
                request_us,
                request_cpu_us,
            })
        })
        .await
        .context("run the load")?
    }

    pub(crate) fn report(&self, when: &str, report: &mut Report) {
        report.figure(&format!("{when}: ns per getppid"), self.syscall_ns);
        report.figure(&format!("{when}: ns per pipe ping-pong switch"), self.switch_ns);
        report.figure(&format!("{when}: ns per loopback UDP packet"), self.packet_ns);
        report.figure(&format!("{when}: us per MiB in one stream"), self.stream_us_per_mib);
        report.figure(&format!("{when}: HTTP p50 us"), quantile(&self.request_us, 0.5));
        report.figure(&format!("{when}: HTTP p99 us"), quantile(&self.request_us, 0.99));
        report.figure(&format!("{when}: CPU us per HTTP request, both sides"), self.request_cpu_us);
    }

    /// What it took more than `base` did.
    pub(crate) fn report_above(&self, base: &Self, what: &str, report: &mut Report) {
        report.figure(&format!("{what}: ns per syscall"), self.syscall_ns - base.syscall_ns);
        report.figure(&format!("{what}: ns per switch"), self.switch_ns - base.switch_ns);
        report.figure(&format!("{what}: ns per UDP packet, both ends"), self.packet_ns - base.packet_ns);
        report.figure(&format!("{what}: us per MiB"), self.stream_us_per_mib - base.stream_us_per_mib);
        let p50 = |load: &Self| quantile(&load.request_us, 0.5);
        let p99 = |load: &Self| quantile(&load.request_us, 0.99);
        report.figure(&format!("{what}: HTTP p50 us"), p50(self) - p50(base));
        report.figure(&format!("{what}: HTTP p99 us"), p99(self) - p99(base));
        report.figure(&format!("{what}: CPU us per HTTP request"), self.request_cpu_us - base.request_cpu_us);
    }
}

fn syscalls() -> Result<f64> {
    best(SYSCALLS, || {
        std::hint::black_box(rustix::process::getppid());
        Ok(())
    })
}

/// Two threads hand one byte to and fro; two switches each time.
fn switches() -> Result<f64> {
    let (mut there, mut there_end) = std::io::pipe().context("make a pipe")?;
    let (mut back, mut back_end) = std::io::pipe().context("make a pipe")?;
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while there.read(&mut byte).is_ok_and(|count| count == 1) && back_end.write_all(&byte).is_ok() {}
    });
    let mut byte = [7];
    let took = best(SWITCHES, || {
        there_end.write_all(&byte)?;
        Ok(back.read_exact(&mut byte)?)
    })?;
    drop(there_end);
    drop(echo.join());
    Ok(took / 2.0)
}

fn packets() -> Result<f64> {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    a.connect(b.local_addr()?)?;
    let mut buffer = [0; 64];
    best(PACKETS, || {
        a.send(&buffer)?;
        b.recv(&mut buffer)?;
        Ok(())
    })
}

fn stream() -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sink = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let mut buffer = vec![0; 1 << 18];
        while socket.read(&mut buffer)? > 0 {}
        Ok(())
    });
    let mut socket = TcpStream::connect(address)?;
    let block = vec![7; 1 << 20];
    let took = best(STREAM_MIB, || Ok(socket.write_all(&block)?))?;
    drop(socket);
    drop(sink.join());
    Ok(took / 1e3)
}

/// Connections of one byte each way, one after the other.
pub(crate) async fn connections(count: u32) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        for _ in 0..count {
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            let (mut server, _) = listener.accept()?;
            client.write_all(b"x")?;
            let mut byte = [0];
            server.read_exact(&mut byte)?;
            server.write_all(&byte)?;
            client.read_exact(&mut byte)?;
        }
        Ok(())
    })
    .await
    .context("connect")?
}

/// One keep-alive connection, one request at a time; latencies in microseconds and CPU of both sides per request.
fn http_requests() -> Result<(Vec<f64>, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let mut buffer = [0; 4096];
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n{}", "x".repeat(1024));
        while socket.read(&mut buffer)? > 0 {
            socket.write_all(answer.as_bytes())?;
        }
        Ok(())
    });
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut latencies = Vec::with_capacity(REQUESTS);
    let mut buffer = [0; 4096];
    let cpu = own_cpu()?;
    for _ in 0..REQUESTS {
        let start = Instant::now();
        socket.write_all(b"GET /bench HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut left = 1024 + 41;
        while left > 0 {
            left -= socket.read(&mut buffer)?.min(left);
        }
        latencies.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    let cpu = (own_cpu()? - cpu).as_micros() as f64 / REQUESTS as f64;
    drop(socket);
    drop(server.join());
    Ok((latencies, cpu))
}

fn own_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("parse stat")?.1.split_whitespace().collect();
    let ticks: u64 =
        fields.get(11).context("utime")?.parse::<u64>()? + fields.get(12).context("stime")?.parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Connections that one process holds: two descriptors each, and a limit that not every root may raise.
const PER_PROCESS: usize = 8_000;

/// Processes that hold connections; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Held(Vec<Child>);

impl Drop for Held {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            if child.wait().is_err() {
                println!("a child could not be waited for");
            }
        }
    }
}

/// Opens this many loopback connections in processes of their own, and sends a byte over each.
pub(crate) fn hold_connections(count: usize) -> Result<Held> {
    let mut held = Held(Vec::new());
    let mut left = count;
    while left > 0 {
        let part = left.min(PER_PROCESS);
        left -= part;
        let mut child = Command::new(std::env::current_exe().context("find this program")?)
            .args(["agent", "--hold", &part.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a process that holds connections")?;
        let mut line = String::new();
        let output = child.stdout.take().context("its output")?;
        std::io::BufReader::new(output).read_line(&mut line).context("wait until it holds them")?;
        held.0.push(child);
        anyhow::ensure!(line.trim() == "held", "a process could not hold {part} connections");
    }
    Ok(held)
}

/// What such a process does.
pub(crate) async fn hold_until_eof(count: usize) -> Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted)
        .context("raise the limit of open files")?;
    tokio::task::spawn_blocking(move || {
        let mut held = Vec::with_capacity(count);
        // each process has a listening port of its own, so that ephemeral ports do not run out
        let listener = TcpListener::bind("127.0.0.1:0")?;
        for _ in 0..count {
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            client.write_all(b"x")?;
            held.push((client, server));
        }
        println!("held");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    })
    .await
    .context("hold connections")?
}

/// Starts `/bin/true` this often, evenly over the time.
pub(crate) async fn short_processes(count: u32, over: Duration) -> Result<()> {
    let mut tick = tokio::time::interval(over / count);
    for _ in 0..count {
        tick.tick().await;
        tokio::process::Command::new("/bin/true").status().await.context("run /bin/true")?;
    }
    Ok(())
}
