//! A TLS library of OpenSSL's functions in this very binary: its records have the form of TLS, and its cipher is none.
//!
//! Virtual machines have no OpenSSL; what the agent relies on are the functions, and the socket that they use inside.
#![expect(unsafe_code, reason = "functions under OpenSSL's names, for the agent to find")]

use std::io::{BufRead as _, Read as _, Write as _, stdin};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A session.
struct Session {
    stream: TcpStream,
    /// Plaintext that was read and not taken yet.
    rest: Vec<u8>,
}

const HANDSHAKE: u8 = 0x16;
const DATA: u8 = 0x17;
const MASK: u8 = 0x5a;

impl Session {
    fn send(&mut self, kind: u8, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let mut record = vec![kind, 3, 3, length[0], length[1]];
        record.extend(bytes.iter().map(|byte| byte ^ MASK));
        self.stream.write_all(&record).unwrap();
    }

    /// The next record; `None` at the end.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 5];
        if self.stream.read_exact(&mut head).is_err() {
            return None;
        }
        let mut bytes = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        self.stream.read_exact(&mut bytes).ok()?;
        bytes.iter_mut().for_each(|byte| *byte ^= MASK);
        Some(bytes)
    }
}

/// # Safety
/// `session` is a session, `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn SSL_read(session: *mut Session, buffer: *mut u8, length: i32) -> i32 {
    // SAFETY: the caller's.
    let (session, buffer) =
        unsafe { (&mut *session, std::slice::from_raw_parts_mut(buffer, usize::try_from(length).unwrap())) };
    if session.rest.is_empty() {
        let Some(bytes) = session.receive() else { return 0 };
        session.rest = bytes;
    }
    let count = buffer.len().min(session.rest.len());
    buffer[..count].copy_from_slice(&session.rest[..count]);
    session.rest.drain(..count);
    i32::try_from(count).unwrap()
}

/// # Safety
/// `session` is a session, `buffer` has `length` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn SSL_write(session: *mut Session, buffer: *const u8, length: i32) -> i32 {
    // SAFETY: the caller's.
    let (session, buffer) =
        unsafe { (&mut *session, std::slice::from_raw_parts(buffer, usize::try_from(length).unwrap())) };
    session.send(DATA, buffer);
    length
}

/// # Safety
/// `session` is a session.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn SSL_do_handshake(session: *mut Session, is_client: i32) -> i32 {
    // SAFETY: the caller's.
    let session = unsafe { &mut *session };
    if is_client == 1 {
        session.send(HANDSHAKE, b"hello, are you there?");
        session.receive().unwrap();
    } else {
        session.receive().unwrap();
        session.send(HANDSHAKE, b"hello, yes");
    }
    1
}

/// # Safety
/// `session` is a session, made by `Box`, that is used no more.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn SSL_free(session: *mut Session) {
    // SAFETY: the caller's.
    drop(unsafe { Box::from_raw(session) });
}

/// As a program uses the library.
struct Secured(*mut Session);

impl Drop for Secured {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and used no more.
        unsafe { SSL_free(self.0) };
    }
}

impl Secured {
    fn new(stream: TcpStream, is_client: bool) -> Self {
        stream.set_nodelay(true).unwrap();
        let secured = Self(Box::into_raw(Box::new(Session { stream, rest: Vec::new() })));
        // SAFETY: a session of this process.
        assert_eq!(unsafe { SSL_do_handshake(secured.0, i32::from(is_client)) }, 1);
        secured
    }

    fn write(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).unwrap();
        // SAFETY: a session of this process, and bytes of this length.
        assert_eq!(unsafe { SSL_write(self.0, bytes.as_ptr(), length) }, length);
    }

    /// A head up to its empty line, some bytes at a time; `None` at the end.
    fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut piece = [0; 64];
            // SAFETY: a session of this process, and room for so many bytes.
            let count = unsafe { SSL_read(self.0, piece.as_mut_ptr(), 64) };
            if count == 0 {
                return None;
            }
            head.extend_from_slice(&piece[..usize::try_from(count).unwrap()]);
        }
        Some(String::from_utf8(head).unwrap())
    }
}

fn serve(stream: TcpStream) {
    let mut secured = Secured::new(stream, false);
    while let Some(head) = secured.head() {
        let status = match head.split(' ').nth(1).unwrap() {
            "/missing" => "404 Not Found",
            "/broken" => "500 Internal Server Error",
            _ => "200 OK",
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nServer: made for a test\r\n\r\n");
        secured.write(answer.as_bytes());
    }
}

/// Asks for `/warm` until a line comes, then makes `number` requests: two thirds fine, a sixth missing, a sixth broken.
pub(crate) fn work(number: u64) {
    static GO: AtomicBool = AtomicBool::new(false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let first = listener.accept().unwrap().0;
        let first = thread::spawn(move || serve(first));
        serve(listener.accept().unwrap().0);
        first.join().unwrap();
    });
    let ask = |client: &mut Secured, path: &str| {
        client.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        client.head().unwrap();
    };
    let mut client = Secured::new(TcpStream::connect(address).unwrap(), true);
    thread::spawn(|| {
        stdin().lock().lines().next();
        GO.store(true, Ordering::Relaxed);
    });
    while !GO.load(Ordering::Relaxed) {
        ask(&mut client, "/warm");
        #[expect(clippy::disallowed_methods, reason = "a pause between two requests")]
        thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(client);
    let mut client = Secured::new(TcpStream::connect(address).unwrap(), true);
    for index in 0..number {
        ask(
            &mut client,
            ["/ok", "/missing", "/ok", "/ok", "/broken", "/ok"][usize::try_from(index % 6).unwrap()],
        );
    }
    drop(client);
    server.join().unwrap();
}
