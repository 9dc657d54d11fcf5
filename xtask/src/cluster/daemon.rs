//! Daemons of a node: started in its cgroups and namespaces, found again by the pid that is written down, as long as
//! the process of that number is in the node's cgroup: the number may be another's by now.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::settings::{CGROUP, State};
use super::wait;

/// Joins `$2` below the cluster's cgroup in every hierarchy (cgroup2 and systemd's in a slice, as systemd would have
/// it), then becomes the rest of its arguments.
const JOIN: &str = r#"
root=$1 service=$2; shift 2
for hierarchy in /sys/fs/cgroup/*/; do
  group=$hierarchy$root
  [ -d "$group" ] || continue
  case "$service:$hierarchy" in
    :*) ;;
    *:*/unified/|*:*/systemd/) group=$group/system.slice/$service.service; mkdir -p "$group";;
  esac
  echo $$ > "$group/cgroup.procs"
done
exec setsid "$@"
"#;

/// The process that holds a node's namespaces.
pub(super) const HOLDER: &str = "holder";

/// Starts `command` in the node's cgroup but not yet in its namespaces.
pub(super) fn start_outside(state: &State, node: &str, daemon: &str, command: &[&OsStr]) -> Result<()> {
    let service = if daemon == HOLDER { "" } else { daemon };
    let log = state.log(node, daemon);
    for dir in ["log", "pid", "run"] {
        fs::create_dir_all(state.node(node).join(dir))?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("create {}", log.display()))?;
    let mut child = Command::new("sh")
        .args(["-ec", JOIN, "sh", &format!("{CGROUP}/{node}"), service])
        .args(command)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {daemon} of {node}"))?;
    let file = pid_file(state, node, daemon);
    fs::write(&file, child.id().to_string()).with_context(|| format!("write {}", file.display()))?;
    wait::until(&format!("{daemon} in the cgroup of {node}"), Duration::from_secs(10), || {
        // what has ended already is told by whoever waits for it
        Ok(pid(state, node, daemon).is_some() || child.try_wait()?.is_some())
    })
}

/// Starts `daemon` inside the node; its command line is written down, so that `start_again` can repeat it.
pub(super) fn start(state: &State, node: &str, daemon: &str, program: &Path, args: &[String]) -> Result<()> {
    let mut line = vec![program.display().to_string()];
    line.extend_from_slice(args);
    fs::create_dir_all(state.node(node).join("run"))?;
    let file = state.node(node).join("run").join(daemon);
    fs::write(&file, line.join("\0")).with_context(|| format!("write {}", file.display()))?;
    start_again(state, node, daemon)
}

/// Starts `daemon` as it was started first.
pub(super) fn start_again(state: &State, node: &str, daemon: &str) -> Result<()> {
    if alive(state, node, daemon) {
        bail!("{daemon} of {node} runs already");
    }
    let file = state.node(node).join("run").join(daemon);
    let line = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let mut command = enter(state, node)?;
    command.extend(line.split('\0').map(str::to_owned));
    let command: Vec<&OsStr> = command.iter().map(OsStr::new).collect();
    start_outside(state, node, daemon, &command)
}

/// A command that runs inside the node's namespaces (the pid namespace is the machine's).
pub(super) fn inside(state: &State, node: &str, program: &str) -> Result<Command> {
    let enter = enter(state, node)?;
    let mut command = Command::new(&enter[0]);
    command.args(&enter[1..]).arg(program);
    Ok(command)
}

fn enter(state: &State, node: &str) -> Result<Vec<String>> {
    let holder = pid(state, node, HOLDER).with_context(|| format!("{node} is not up"))?.as_raw_nonzero();
    let mut command = vec!["nsenter".to_owned()];
    for (flag, kind) in [("mount", "mnt"), ("uts", "uts"), ("cgroup", "cgroup"), ("net", "net")] {
        command.push(format!("--{flag}=/proc/{holder}/ns/{kind}"));
    }
    command.push("--".to_owned());
    Ok(command)
}

/// Sends `signal`; for those that end it, waits until it has gone.
pub(super) fn signal(state: &State, node: &str, daemon: &str, signal: Signal) -> Result<()> {
    let pid = pid(state, node, daemon).with_context(|| format!("{daemon} of {node} does not run"))?;
    kill_process(pid, signal).with_context(|| format!("signal {daemon} of {node}"))?;
    if signal != Signal::TERM && signal != Signal::KILL {
        return Ok(());
    }
    wait::until(&format!("end of {daemon}"), Duration::from_secs(20), || Ok(!alive(state, node, daemon)))
}

/// Whether it runs; one that ended and waits for its parent does not.
pub(super) fn alive(state: &State, node: &str, daemon: &str) -> bool {
    let Some(pid) = pid(state, node, daemon) else { return false };
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The pid that is written down, if it is still one of this node.
fn pid(state: &State, node: &str, daemon: &str) -> Option<Pid> {
    let text = fs::read_to_string(pid_file(state, node, daemon)).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).ok()?;
    is_in(&groups, node).then_some(pid)
}

/// Whether `/proc/<pid>/cgroup` names the node's cgroup, or one below it.
fn is_in(groups: &str, node: &str) -> bool {
    let root = format!("/{CGROUP}/{node}");
    groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| {
        path.match_indices(&root)
            .any(|(at, _)| matches!(path.as_bytes().get(at + root.len()), None | Some(b'/')))
    })
}

fn pid_file(state: &State, node: &str, daemon: &str) -> std::path::PathBuf {
    state.node(node).join("pid").join(daemon)
}

/// Waits for `done`; if that fails, the end of the daemon's log says why.
pub(super) fn ready(
    state: &State,
    node: &str,
    daemon: &str,
    patience: Duration,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let waited = wait::until(&format!("{daemon} on {node}"), patience, || {
        if !alive(state, node, daemon) {
            bail!("it has ended");
        }
        done()
    });
    waited.with_context(|| {
        let log = state.log(node, daemon);
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n  ");
        format!("{} ends:\n  {tail}\n ", log.display())
    })
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn a_process_of_another_is_none_of_the_node() {
        let of = |path: &str| format!("12:cpu:{path}\n1:name=systemd:/user.slice\n0::{path}\n");
        assert!(is_in(&of("/wake-cluster/node1"), "node1"));
        assert!(is_in(&of("/box/wake-cluster/node1/system.slice/etcd.service"), "node1"));
        for other in ["/", "/system.slice/ssh.service", "/wake-cluster/node10/system.slice", "/wake-cluster"]
        {
            assert!(!is_in(&of(other), "node1"), "{other}");
        }
        assert!(!is_in("", "node1"));
    }
}
