//! An enrolled certificate with its key, in one file for its owner only: it is whole or absent.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use daemon::tls::certificate::Described;
use daemon::tls::pem;

/// Between the parts of the file; PEM has no such line.
const CA: &str = "# ca\n";
const KEY: &str = "# key\n";

/// A certificate, its key, and the CA that came with it; all PEM.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) chain: String,
    pub(super) ca: String,
    pub(super) key: String,
    pub(super) described: Described,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kept").field("described", &self.described).finish_non_exhaustive()
    }
}

impl Kept {
    /// What is kept, if it can be used.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (chain, rest) = text.split_once(CA)?;
        let (ca, key) = rest.split_once(KEY)?;
        let first = pem::certificates("kept", chain.as_bytes()).ok()?;
        pem::certificates("kept", ca.as_bytes()).ok()?;
        pem::key("kept", key.as_bytes()).ok()?;
        let described = Described::of(first.first()?).ok()?;
        Some(Self { chain: chain.to_owned(), ca: ca.to_owned(), key: key.to_owned(), described })
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let Self { chain, ca, key, described: _ } = self;
        if let Some(parent) = path.parent() {
            daemon::private::directory(parent)?;
        }
        let new = path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(format!("{chain}{CA}{ca}{KEY}{key}").as_bytes())?;
        file.sync_all()?;
        fs::rename(new, path)
    }
}
