//! The `wake` program; all of it is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // the client refuses to be built without one, whatever the address; a second is no harm
    drop(rustls::crypto::ring::default_provider().install_default());
    cli::main()
}
