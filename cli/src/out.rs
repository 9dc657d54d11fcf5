//! Standard output and standard error: the only module that writes to them.

use std::io::{self, IsTerminal as _, Write as _};

use crate::args::Output;

/// Where results go, and whether a person looks.
#[derive(Debug)]
pub(crate) struct Out {
    output: Output,
    /// Standard output is a terminal.
    pub(crate) terminal: bool,
    colour: bool,
}

/// What a text means; on a terminal it has a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Head,
    Dim,
    Good,
    Warn,
    Bad,
    Match,
}

impl Out {
    pub(crate) fn new(output: Output) -> Self {
        let terminal = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { output, terminal, colour: terminal && !refused && output == Output::Table }
    }

    /// Whether a program reads the results.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// `text` in the colour of its meaning, where colours are seen.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Head => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Match => "1;36",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// A result of several lines, written at once.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// The size of the terminal, columns and rows.
    pub(crate) fn size(&self) -> Option<(usize, usize)> {
        if !self.terminal {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        (size.ws_col > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
    }

    /// A remark about the result; goes to standard error. It is not worth failing for.
    pub(crate) fn remark(&self, text: &str) {
        writeln!(io::stderr().lock(), "{text}").ok();
    }

    /// What went wrong.
    pub(crate) fn error(&self, text: &str) {
        writeln!(io::stderr().lock(), "wake: {text}").ok();
    }
}

/// Whether the reader of our output closed it.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
