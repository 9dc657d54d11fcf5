//! Encodings of log bodies, without a store around them: of generated lines, of a data folder's `bodies.otlp`, and of real
//! files line by line.
//!
//! Times are CPU time of the one thread that works, so that other work on the machine matters less. Every answer is
//! compared with a scan of the lines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use store::LogRequest;
use store::measure::{Bodies, Coded, Coder};

use crate::report::Report;
use crate::store::{generate, otlp, truth};

#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// A folder with `bodies.otlp` and `truth.json`. Without it and without `--file`, lines are generated.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The most lines of it, all by default; or how many are generated, 1,000,000 by default.
    #[arg(long)]
    lines: Option<u64>,
    /// A text file, one line each; may be given several times. Times are made up, a millisecond apart.
    #[arg(long)]
    file: Vec<PathBuf>,
    /// Write the figures and the machine's facts to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Of generated lines.
const SEED: u64 = 1;

/// Times and bodies by workload.
type Streams = BTreeMap<String, Vec<(i64, Vec<u8>)>>;

/// Blocks of one source, and what they cost.
#[derive(Default)]
struct Source {
    blocks: Vec<(Bodies, Option<Coded>)>,
    lines: usize,
    text: usize,
    plain: usize,
    zstd: usize,
    template: usize,
    head: usize,
    tokens: usize,
    templates: usize,
    encode_s: f64,
}

pub(crate) fn run(args: &LogsArgs) -> Result<()> {
    let mut report = Report::default();
    for path in &args.file {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let mut source = Source::default();
        let mut bodies = Bodies::default();
        for (at, line) in (0_i64..).zip(text.split(|byte| *byte == b'\n')) {
            source.push(&mut bodies, line, 1_795_262_400_000_000_000 + at * 1_000_000)?;
        }
        source.encode(bodies)?;
        source.report(&path.display().to_string(), &mut report)?;
    }
    let mut streams = Streams::new();
    let mut keep = |workload: &str, ts: i64, body: &[u8]| {
        streams.entry(workload.to_owned()).or_default().push((ts, body.to_vec()));
    };
    if let Some(data) = &args.data {
        let truth = std::fs::read(data.join("truth.json")).context("read truth.json of the data folder")?;
        let truth = serde_json::from_slice(&truth).context("parse truth.json")?;
        let mut left = args.lines.unwrap_or(u64::MAX);
        otlp::each_line(data, |workload, ts, body| {
            if left > 0 {
                left -= 1;
                keep(workload, ts, body);
            }
        })?;
        search("data folder", streams, truth, &mut report)?;
    } else if args.file.is_empty() {
        let truth = generate::each_line(args.lines.unwrap_or(1_000_000), SEED, keep)?;
        search("generated lines", streams, truth, &mut report)?;
    }
    report.write(args.json.as_deref())
}

/// Encodes lines by workload, and asks for what is known to be in them.
fn search(name: &str, streams: Streams, truth: truth::Truth, report: &mut Report) -> Result<()> {
    let mut all = Source::default();
    for mut lines in streams.into_values() {
        lines.sort_by_key(|(ts, _)| *ts);
        let mut bodies = Bodies::default();
        for (ts, body) in lines {
            all.push(&mut bodies, &body, ts)?;
        }
        all.encode(bodies)?;
    }
    all.report(name, report)?;
    let contains = |text: &str| LogRequest { contains: vec![text.into()], ..LogRequest::default() };
    let mut questions: Vec<(String, LogRequest)> = Vec::new();
    let first = |words: &[truth::WordCount]| words.first().map(|word| word.word.clone());
    for (name, word) in [
        ("trace id", first(&truth.traces)),
        ("rare word", first(&truth.rare)),
        ("part of a word", first(&truth.infix)),
        ("word", truth.word_level_per_minute.keys().next().cloned()),
        ("digits", Some("7731".to_owned())),
        ("nowhere", Some("no such text".to_owned())),
    ] {
        questions.extend(word.map(|word| (name.to_owned(), contains(&word))));
    }
    let regex = if truth.regex.is_empty() { "time.?out [a-z]+".to_owned() } else { truth.regex };
    questions.push(("regex".to_owned(), LogRequest { regexes: vec![regex], ..LogRequest::default() }));
    let upper = LogRequest { ignore_case: true, ..contains("TIMEOUT") };
    questions.push(("word, any case".to_owned(), upper));
    questions.push((
        "without a word".to_owned(),
        LogRequest { excludes: vec![b"timeout".to_vec()], ..LogRequest::default() },
    ));
    for (name, request) in questions {
        let start = cpu_s()?;
        let mut hits = 0;
        for (bodies, coded) in &all.blocks {
            hits += coded.as_ref().map_or(Ok(0), |coded| coded.count(bodies, &request))?;
        }
        report.figure(&format!("find {name}: CPU ms, all blocks, no blooms"), (cpu_s()? - start) * 1e3);
        report.figure(&format!("find {name}: lines"), hits);
    }
    Ok(())
}

impl Source {
    fn push(&mut self, bodies: &mut Bodies, line: &[u8], ts: i64) -> Result<()> {
        if bodies.is_full(line.len()) {
            self.encode(std::mem::take(bodies))?;
        }
        bodies.push(line, ts);
        Ok(())
    }

    fn encode(&mut self, bodies: Bodies) -> Result<()> {
        let mut coder = Coder::new()?;
        let start = cpu_s()?;
        let coded = coder.encode(&bodies)?;
        self.encode_s += cpu_s()? - start;
        let plain = bodies.plain_bytes()?;
        self.lines += bodies.len();
        self.text += bodies.text_bytes();
        self.plain += plain;
        self.zstd += bodies.zstd_bytes()?;
        self.template += coded.as_ref().map_or(plain, Coded::bytes);
        self.head += coded.as_ref().map_or(0, Coded::head_bytes);
        self.tokens += coded.as_ref().map_or(0, |coded| coded.tokens);
        self.templates += coded.as_ref().map_or(0, Coded::templates);
        self.blocks.push((bodies, coded));
        Ok(())
    }

    fn report(&self, name: &str, report: &mut Report) -> Result<()> {
        let share = |bytes: usize| 100.0 * bytes as f64 / self.text.max(1) as f64;
        report.figure(&format!("{name}: lines"), self.lines);
        report.figure(&format!("{name}: text bytes"), self.text);
        report.figure(&format!("{name}: plain pages, % of text"), share(self.plain));
        report.figure(&format!("{name}: one zstd 1 frame a block, % of text"), share(self.zstd));
        report.figure(&format!("{name}: templates and columns, % of text"), share(self.template));
        report.figure(&format!("{name}: of that heads, % of text"), share(self.head));
        report
            .figure(&format!("{name}: tokens for blooms, % of text at 15 bits"), share(self.tokens * 15 / 8));
        report.figure(&format!("{name}: templates"), self.templates);
        report.figure(
            &format!("{name}: blocks without templates"),
            self.blocks.iter().filter(|block| block.1.is_none()).count(),
        );
        report.figure(&format!("{name}: encode, M lines per CPU s"), self.lines as f64 / self.encode_s / 1e6);
        let start = cpu_s()?;
        for (bodies, coded) in &self.blocks {
            let exact = coded.as_ref().map_or(Ok(true), |coded| coded.is_exact(bodies))?;
            ensure!(exact, "{name}: a block does not give its lines back");
        }
        let decode_s = cpu_s()? - start;
        report.figure(&format!("{name}: decode, M lines per CPU s"), self.lines as f64 / decode_s / 1e6);
        Ok(())
    }
}

/// CPU time of this thread so far, s.
fn cpu_s() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("read schedstat")?;
    let ns: f64 = text.split(' ').next().unwrap_or_default().parse().context("parse schedstat")?;
    Ok(ns / 1e9)
}
