//! What people see: the only module that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one output module of xtask")]

/// A step that begins now; goes to standard error, like all progress.
pub(crate) fn step(text: &str) {
    eprintln!("==> {text}");
}

/// A detail of the current step.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// A result that people or programs asked for; goes to standard output.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// What ends the verb.
pub(crate) fn error(text: &str) {
    eprintln!("error: {text}");
}
