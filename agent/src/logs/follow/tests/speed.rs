//! How many lines a second one core reads, parses and redacts. Prints; judges nothing.
//!
//! `WAKE_BENCH_LINES=2000000 cargo test --release -p agent --lib speed -- --nocapture`

use super::*;

/// Lines like those of web servers, services and the system.
fn line(random: &mut Random, out: &mut String) {
    use std::fmt::Write as _;
    let number = random.next();
    let written = match random.below(4) {
        0 => writeln!(
            out,
            r#"10.0.{}.{} - - [21/Nov/2026:13:24:58 +0000] "GET /api/items/{number} HTTP/1.1" 200 {} "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64)""#,
            random.below(256),
            random.below(256),
            random.below(100_000)
        ),
        1 => writeln!(
            out,
            r#"{{"ts":"2026-11-21T13:24:58.123Z","level":"info","msg":"order stored","order":{number},"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","took_ms":{}}}"#,
            random.below(900)
        ),
        2 => writeln!(
            out,
            "Nov 21 13:24:58 host sshd[{}]: Accepted publickey for root from 10.0.0.1 port 5{number}",
            random.below(9000)
        ),
        _ => writeln!(
            out,
            "2026-11-21T13:24:58.123456Z WARN worker pool=default queue={} latency={}ms retrying request {number:x}",
            random.below(100),
            random.below(900)
        ),
    };
    written.unwrap();
}

/// Of this thread.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn speed_of_read_parse_and_redact() {
    let count: usize =
        std::env::var("WAKE_BENCH_LINES").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let mut bench = Bench::new(|_, config| config.from = From::Beginning);
    let (mut random, mut text) = (Random::new(1), String::new());
    for _ in 0..count {
        line(&mut random, &mut text);
    }
    bench.append("a.log", &text);
    bench.start();
    let before = cpu_seconds();
    let (mut lines, mut bytes, mut more) = (0, 0, true);
    while more {
        more = bench.read();
        for chunk in bench.in_flight.drain(..) {
            lines += chunk.records.len();
            bytes += chunk.records.iter().map(|record| record.row.body.len()).sum::<usize>();
        }
    }
    let took = cpu_seconds() - before;
    assert_eq!(lines, count);
    println!(
        "{lines} lines, {bytes} bytes in {took:.3} s of CPU: {:.0} lines/s, {:.0} MB/s",
        lines as f64 / took,
        bytes as f64 / took / 1e6
    );
    let rules = Rules::build(&[]).unwrap();
    let before = cpu_seconds();
    let hits: u32 = text.lines().map(|line| redact(RawText::new(line.as_bytes()), &rules).hits()).sum();
    let took = cpu_seconds() - before;
    println!("redaction alone: {:.0} ns a line, {hits} hits", took * 1e9 / count as f64);
}
