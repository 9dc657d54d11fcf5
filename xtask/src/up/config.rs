//! Addresses that are free, directories, and the config files that say so.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Program;
use super::needs::Rights;
use crate::{out, tree};

/// First line of a config that is ours to rewrite.
const MARK: &str = "# Written by `cargo xtask up` at each start. Remove this line to keep your own version.";

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) state: PathBuf,
    pub(crate) ingest: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) aggregator: Program,
    pub(crate) agent: Program,
}

/// Where an agent that gets its rights through sudo keeps its spool: root does not write where a user may rename.
const ROOT_STATE: &str = "/var/lib/wake/agent";

pub(super) fn prepare(state: Option<&Path>, rights: &Rights) -> Result<Layout> {
    let state = match state {
        Some(dir) => std::path::absolute(dir).context("find the state directory")?,
        None => default_state()?,
    };
    for dir in ["aggregator", "agent", "log"] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state.join(dir))
            .with_context(|| format!("create {}", state.join(dir).display()))?;
    }
    let ingest = free(9400, &[])?;
    let api = free(9401, &[ingest])?;
    let admin = free(9402, &[ingest, api])?;
    for (wanted, got) in [(9400, ingest), (9401, api), (9402, admin)] {
        if got.port() != wanted {
            out::note(&format!("port {wanted} is taken; using {}", got.port()));
        }
    }
    let agent_state = agent_state(&state, rights);
    if !agent_state.starts_with(&state) {
        out::note(&format!("wake-agent keeps its spool in {}", agent_state.display()));
    }
    let (aggregator, agent) = (state.join("aggregator.yaml"), state.join("agent.yaml"));
    write(
        &aggregator,
        &format!(
            "version: 1\ndata_dir: {}\ningest:\n  listen: {ingest}\napi:\n  listen: {api}\n",
            quoted(&state.join("aggregator"))
        ),
    )?;
    write(
        &agent,
        &format!(
            "version: 1\nstate_dir: {}\nexport:\n  kind: wake\n  endpoint: http://{ingest}\nadmin:\n  listen: {admin}\n",
            quoted(&agent_state)
        ),
    )?;
    let pair = |key: &str, value: String| (key.to_owned(), value);
    let aggregator = Program {
        config: aggregator,
        log: state.join("log/aggregator.log"),
        environment: vec![
            pair("WAKE_AGGREGATOR__INGEST__LISTEN", ingest.to_string()),
            pair("WAKE_AGGREGATOR__API__LISTEN", api.to_string()),
        ],
    };
    let agent = Program {
        config: agent,
        log: state.join("log/agent.log"),
        environment: vec![
            pair("WAKE_AGENT__EXPORT__ENDPOINT", format!("http://{ingest}")),
            pair("WAKE_AGENT__ADMIN__LISTEN", admin.to_string()),
        ],
    };
    Ok(Layout { state, ingest, api, admin, aggregator, agent })
}

fn agent_state(state: &Path, rights: &Rights) -> PathBuf {
    match rights {
        Rights::Sudo => PathBuf::from(ROOT_STATE),
        Rights::Own | Rights::None { .. } => state.join("agent"),
    }
}

fn default_state() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/wake"));
    }
    tree::from_home("XDG_STATE_HOME", ".local/state")
}

/// A double-quoted YAML string; paths hold no control characters worth keeping.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// Writes our own version, unless a person has made the file theirs.
fn write(path: &Path, text: &str) -> Result<()> {
    match fs::read_to_string(path) {
        Ok(old) if !old.starts_with(MARK) => {
            out::note(&format!("{}: left as you wrote it", path.display()));
            Ok(())
        }
        _ => fs::write(path, format!("{MARK}\n{text}")).with_context(|| format!("write {}", path.display())),
    }
}

/// The first free loopback port from `from` on.
fn free(from: u16, taken: &[SocketAddr]) -> Result<SocketAddr> {
    for port in from..from.saturating_add(100) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if !taken.contains(&address) && TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port on 127.0.0.1 from {from} on")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::agent_state;
    use crate::up::needs::Rights;

    #[test]
    fn root_does_not_write_into_a_users_directory() {
        let home = Path::new("/home/a/.local/state/wake");
        assert_eq!(agent_state(home, &Rights::Sudo), Path::new("/var/lib/wake/agent"));
        assert_eq!(agent_state(home, &Rights::Own), home.join("agent"));
    }
}
