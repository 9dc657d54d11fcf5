//! What the client's process does: one thread and one connection each, requests one after the other.
//!
//! At a rate each connection has its own fixed times, and a latency counts from the time that its request was due, so a
//! server that falls behind is seen to.

use std::io::{BufRead as _, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Step, Target, Took};
use super::servers::BODY;
use crate::store::quantile;

/// A connection, plain or encrypted.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

struct Connection {
    stream: Box<dyn Stream>,
    request: Vec<u8>,
    is_postgres: bool,
    buffer: Vec<u8>,
}

pub(crate) fn run(target: &str) -> Result<()> {
    let target: Target = serde_json::from_str(target).context("the target")?;
    let mut connections: Vec<Connection> =
        (0..target.connections).map(|_| Connection::open(&target)).collect::<Result<_>>()?;
    for line in std::io::stdin().lock().lines() {
        let step: Step = serde_json::from_str(&line?)?;
        let took = all(&mut connections, step)?;
        println!("{}", serde_json::to_string(&took)?);
    }
    Ok(())
}

fn all(connections: &mut [Connection], step: Step) -> Result<Took> {
    let barrier = Arc::new(Barrier::new(connections.len()));
    let every = if step.rate > 0.0 { connections.len() as f64 / step.rate } else { 0.0 };
    let count = connections.len() as f64;
    let (latencies, took) = std::thread::scope(|scope| -> Result<(Vec<f64>, Duration)> {
        let start = Instant::now();
        let threads: Vec<_> = connections
            .iter_mut()
            .enumerate()
            .map(|(number, connection)| {
                let barrier = Arc::clone(&barrier);
                // spread over the time between two requests
                let offset = every * number as f64 / count;
                scope.spawn(move || {
                    barrier.wait();
                    connection.repeat(every, offset, step.seconds)
                })
            })
            .collect();
        let mut latencies = Vec::new();
        for thread in threads {
            let Ok(of_one) = thread.join() else { bail!("a connection's thread ended badly") };
            latencies.extend(of_one?);
        }
        Ok((latencies, start.elapsed()))
    })?;
    Ok(Took {
        sent: latencies.len() as u64,
        rate: latencies.len() as f64 / took.as_secs_f64(),
        p50_us: quantile(&latencies, 0.5),
        p99_us: quantile(&latencies, 0.99),
        cpu_us: 0.0,
    })
}

impl Connection {
    fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(&target.address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let is_postgres = target.kind == "postgres";
        let stream: Box<dyn Stream> =
            if target.kind == "nginx-tls" { Box::new(encrypted(stream, target)?) } else { Box::new(stream) };
        let request = if is_postgres {
            message(b'Q', b"SELECT value FROM bench WHERE id = 7\0")
        } else {
            b"GET /bench HTTP/1.1\r\nhost: localhost\r\nuser-agent: wake-bench\r\naccept: */*\r\n\r\n"
                .to_vec()
        };
        let mut connection = Self { stream, request, is_postgres, buffer: vec![0; 16 << 10] };
        if is_postgres {
            let parameters = b"\x00\x03\x00\x00user\0postgres\0database\0postgres\0\0";
            let length = u32::try_from(parameters.len() + 4)?.to_be_bytes();
            connection.stream.write_all(&[&length[..], parameters].concat())?;
            connection.answer()?;
        }
        Ok(connection)
    }

    /// Requests every so many seconds from `offset` on, or one after the other, until the time is over.
    fn repeat(&mut self, every: f64, offset: f64, seconds: Duration) -> Result<Vec<f64>> {
        let start = Instant::now();
        let mut latencies = Vec::with_capacity(1 << 16);
        loop {
            let mut due = start.elapsed();
            if every > 0.0 {
                due = Duration::from_secs_f64(offset + every * latencies.len() as f64);
                if let Some(wait) = due.checked_sub(start.elapsed()) {
                    std::thread::sleep(wait);
                }
            }
            if due >= seconds {
                return Ok(latencies);
            }
            self.stream.write_all(&self.request)?;
            self.answer()?;
            latencies.push((start.elapsed().saturating_sub(due)).as_nanos() as f64 / 1e3);
        }
    }

    /// Reads one answer.
    fn answer(&mut self) -> Result<()> {
        let mut length = 0;
        loop {
            let room = self.buffer.get_mut(length..).context("an answer is longer than thought")?;
            let read = self.stream.read(room)?;
            ensure!(read > 0, "the server has closed the connection");
            length += read;
            let seen = self.buffer.get(..length).unwrap_or_default();
            let is_whole = if self.is_postgres {
                seen.ends_with(b"Z\0\0\0\x05I")
            } else {
                let end = seen.windows(4).position(|four| four == b"\r\n\r\n");
                end.is_some_and(|end| seen.len() >= end + 4 + BODY)
            };
            if is_whole {
                return Ok(());
            }
        }
    }
}

fn message(kind: u8, text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[kind][..], &length, text].concat()
}

fn encrypted(stream: TcpStream, target: &Target) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&target.certificate).context("the server's certificate")?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, stream))
}
