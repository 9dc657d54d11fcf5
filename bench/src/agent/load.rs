//! Fixed work: syscalls, context switches, packets, HTTP requests on loopback, connections, short processes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::report::Report;
use crate::store::quantile;

const SYSCALLS: u32 = 2_000_000;
const SWITCHES: u32 = 200_000;
const PACKETS: u32 = 300_000;
const REQUESTS: usize = 50_000;
const STREAM_MIB: usize = 512;

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
                syscall_ns: syscalls(),
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

    pub(crate) fn report_added(&self, alone: &Self, report: &mut Report) {
        report.figure("added: ns per syscall", self.syscall_ns - alone.syscall_ns);
        report.figure("added: ns per switch", self.switch_ns - alone.switch_ns);
        report.figure("added: ns per UDP packet, both sides", self.packet_ns - alone.packet_ns);
        report.figure("added: us per MiB", self.stream_us_per_mib - alone.stream_us_per_mib);
        report.figure("added: CPU us per HTTP request", self.request_cpu_us - alone.request_cpu_us);
    }
}

fn syscalls() -> f64 {
    let start = Instant::now();
    for _ in 0..SYSCALLS {
        std::hint::black_box(rustix::process::getppid());
    }
    start.elapsed().as_nanos() as f64 / f64::from(SYSCALLS)
}

/// Two threads hand one byte to and fro.
fn switches() -> Result<f64> {
    let (mut there, mut there_end) = std::io::pipe().context("make a pipe")?;
    let (mut back, mut back_end) = std::io::pipe().context("make a pipe")?;
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while there.read(&mut byte).is_ok_and(|count| count == 1) && back_end.write_all(&byte).is_ok() {}
    });
    let start = Instant::now();
    let mut byte = [7];
    for _ in 0..SWITCHES {
        there_end.write_all(&byte)?;
        back.read_exact(&mut byte)?;
    }
    let took = start.elapsed().as_nanos() as f64 / f64::from(2 * SWITCHES);
    drop(there_end);
    drop(echo.join());
    Ok(took)
}

fn packets() -> Result<f64> {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    a.connect(b.local_addr()?)?;
    let mut buffer = [0; 64];
    let start = Instant::now();
    for _ in 0..PACKETS {
        a.send(&buffer)?;
        b.recv(&mut buffer)?;
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(PACKETS))
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
    let start = Instant::now();
    for _ in 0..STREAM_MIB {
        socket.write_all(&block)?;
    }
    drop(socket);
    drop(sink.join());
    Ok(start.elapsed().as_micros() as f64 / STREAM_MIB as f64)
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

/// Opens this many loopback connections and sends a byte over each; they live as long as the answer.
pub(crate) async fn hold_connections(count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted)
        .context("raise the limit of open files")?;
    tokio::task::spawn_blocking(move || {
        let mut held = Vec::with_capacity(count);
        let mut listener = TcpListener::bind("127.0.0.1:0")?;
        for index in 0..count {
            // a fresh listening port for every 20,000: ephemeral ports run out else
            if index % 20_000 == 19_999 {
                listener = TcpListener::bind("127.0.0.1:0")?;
            }
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            client.write_all(b"x")?;
            held.push((client, server));
        }
        Ok(held)
    })
    .await
    .context("open connections")?
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
