//! A process that sends and receives what a test tells it, in a cgroup and a network namespace of the test's.
//!
//! It is this very binary, started again for the one test `flows::traffic::speak`, which obeys commands from its
//! input, one a line, and answers each with a line.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::netns::{Host, Network};

const MARK: &str = "traffic: ";
const SWITCH: &str = "WAKE_TEST_TRAFFIC";
const PATIENCE: Duration = Duration::from_secs(20);

/// The process, as the test sees it.
#[derive(Debug)]
pub(crate) struct Traffic {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Traffic {
    /// Starts it.
    pub(crate) fn start(network: &Network, host: Host, cgroup: &Cgroup) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &network.name(host)]).arg(std::env::current_exe().unwrap());
        command.args(["flows::traffic::speak", "--exact", "--nocapture", "--test-threads", "1"]);
        command.env(SWITCH, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cgroup.enter(&mut command).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Gives one command and waits for its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "no answer to {command}");
            // the harness prints the test's name before, without ending its line
            if let Some((_, answer)) = line.trim_end().split_once(MARK) {
                let answer = answer.to_owned();
                assert!(!answer.starts_with("error"), "{command}: {answer}");
                return answer;
            }
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        if writeln!(self.input, "exit").is_err() || self.child.wait().is_err() {
            println!("traffic process {} did not end", self.child.id());
        }
    }
}

/// Not a test of anything: the child's side. Alone it has nothing to do.
#[test]
fn speak() {
    if std::env::var_os(SWITCH).is_none() {
        return;
    }
    let mut open = HashMap::new();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        if words == ["exit"] {
            return;
        }
        let answer = obey(&words, &mut open).unwrap_or_else(|error| format!("error {error}"));
        println!("{MARK}{answer}");
    }
}

fn obey(words: &[&str], open: &mut HashMap<String, TcpStream>) -> std::io::Result<String> {
    match words {
        ["tcp-serve", address] => tcp_serve(address),
        ["udp-serve", address] => udp_serve(address),
        ["udp", address, count, size] => udp(address, number(count), number(size)),
        ["udp-send", address, count, size] => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            // a rule that drops on output is an error of sending
            let sent =
                (0..number(count)).filter(|_| socket.send_to(&vec![b'u'; number(size)], address).is_ok());
            Ok(sent.count().to_string())
        }
        ["udp-sweep", host, first, last] => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            for port in number(first)..=number(last) {
                socket.send_to(b"sweep", format!("{host}:{port}"))?;
            }
            Ok("done".into())
        }
        ["tcp", address, count, send, receive] => {
            for _ in 0..number(count) {
                let mut stream = connect(address)?;
                talk(&mut stream, number(send), number(receive))?;
            }
            Ok("done".into())
        }
        ["open", name, address] => {
            let stream = connect(address)?;
            let port = stream.local_addr()?.port();
            open.insert((*name).to_owned(), stream);
            Ok(port.to_string())
        }
        ["talk", name, send, receive] => {
            let stream = open.get_mut(*name).ok_or(std::io::ErrorKind::NotFound)?;
            talk(stream, number(send), number(receive))?;
            Ok("done".into())
        }
        ["loop", name, count, send, receive] => {
            let stream = open.get_mut(*name).ok_or(std::io::ErrorKind::NotFound)?;
            for _ in 0..number(count) {
                talk(stream, number(send), number(receive))?;
            }
            Ok("done".into())
        }
        ["close", name] => {
            let mut stream = open.remove(*name).ok_or(std::io::ErrorKind::NotFound)?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut Vec::new())?;
            Ok("done".into())
        }
        ["refused", address] => match TcpStream::connect(address) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok("refused".into()),
            other => Ok(format!("error not refused: {other:?}")),
        },
        other => Ok(format!("error unknown command {other:?}")),
    }
}

fn number(word: &str) -> usize {
    word.parse().unwrap()
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends `send` bytes after two numbers, and reads the `receive` bytes that the server sends for it.
fn talk(stream: &mut TcpStream, send: usize, receive: usize) -> std::io::Result<()> {
    let mut bytes = vec![b'x'; 16 + send];
    bytes[..8].copy_from_slice(&(send as u64).to_le_bytes());
    bytes[8..16].copy_from_slice(&(receive as u64).to_le_bytes());
    stream.write_all(&bytes)?;
    stream.read_exact(&mut vec![0; receive])
}

fn tcp_serve(address: &str) -> std::io::Result<String> {
    let listener = TcpListener::bind(address)?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    Ok(port.to_string())
}

/// Until the client closes, or breaks off: the test sees that on the client's side.
fn answer(mut stream: TcpStream) {
    let mut head = [0; 16];
    while stream.read_exact(&mut head).is_ok() {
        let size = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap()) as usize;
        let (receive, send) = (size(&head[..8]), size(&head[8..]));
        if stream.read_exact(&mut vec![0; receive]).is_err() || stream.write_all(&vec![b'y'; send]).is_err() {
            return;
        }
    }
}

fn udp_serve(address: &str) -> std::io::Result<String> {
    let socket = UdpSocket::bind(address)?;
    let port = socket.local_addr()?.port();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while let Ok((size, from)) = socket.recv_from(&mut bytes) {
            if socket.send_to(&bytes[..size], from).is_err() {
                return;
            }
        }
    });
    Ok(port.to_string())
}

fn udp(address: &str, count: usize, size: usize) -> std::io::Result<String> {
    let server: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = vec![b'z'; size];
    for _ in 0..count {
        socket.send_to(&bytes, server)?;
        socket.recv_from(&mut bytes)?;
    }
    Ok(socket.local_addr()?.port().to_string())
}
