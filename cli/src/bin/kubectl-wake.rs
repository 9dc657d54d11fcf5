//! `kubectl wake`: the `wake` program as a plug-in of kubectl, which finds it by this name.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::kubectl_main()
}
