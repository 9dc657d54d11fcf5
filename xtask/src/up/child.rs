//! One of the two programs: started with its output in a log, watched, stopped.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Program;
use super::needs::Rights;
use crate::{clock, http, out, tree};

/// Lines of the log that are shown when a program ends by itself.
const TAIL: usize = 20;
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: std::process::Child,
    log: PathBuf,
    through_sudo: bool,
}

impl Child {
    /// Starts `name` in a process group of its own: Ctrl-C reaches only this program, which then stops them in order.
    pub(super) fn start(name: &'static str, bin: &Path, program: &Program, rights: &Rights) -> Result<Self> {
        let log = File::create(&program.log).with_context(|| format!("create {}", program.log.display()))?;
        let through_sudo = matches!(rights, Rights::Sudo);
        let mut command = Command::new(if through_sudo { "sudo" } else { "env" });
        if through_sudo {
            command.args(["-n", "env"]);
        }
        command.args(program.environment.iter().map(|(key, value)| format!("{key}={value}")));
        if let Some(setpriv) = tree::find_program("setpriv", &[]) {
            // even if this program is killed, they end
            command.arg(setpriv).args(["--pdeathsig", "TERM", "--"]);
        }
        command.arg(bin.join(name)).arg("--config").arg(&program.config);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let process = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name, process, log: program.log.clone(), through_sudo })
    }

    /// Polls `/readyz`; says every 2 s what it waits for.
    pub(super) fn wait_ready(
        &mut self,
        address: SocketAddr,
        patience: Duration,
        stop: &Receiver<i32>,
    ) -> Result<()> {
        let began = clock::now();
        let mut said = began;
        while began.elapsed() < patience {
            self.check()?;
            if stop.recv_timeout(LOOK).is_ok() {
                bail!("interrupted while {} started", self.name);
            }
            let reason = match http::get(address, "/readyz") {
                Ok((200, _)) => {
                    out::note(&format!(
                        "{} is ready after {:.1} s",
                        self.name,
                        began.elapsed().as_secs_f64()
                    ));
                    return Ok(());
                }
                Ok((_, reasons)) => reasons.trim_end().replace('\n', "; "),
                Err(_) => "not listening yet".to_owned(),
            };
            if said.elapsed() >= Duration::from_secs(2) {
                said = clock::now();
                out::note(&format!("waiting for {}: {reason}", self.name));
            }
        }
        bail!("{} is not ready after {} s; its log says:\n{}", self.name, patience.as_secs(), self.tail())
    }

    /// An error if the program has ended, with the end of its log.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.process.try_wait().with_context(|| format!("look after {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}); its log ends:\n{}", self.name, self.tail()),
        }
    }

    fn tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL)..];
        format!("  {}\n  (all of it: {})", last.join("\n  "), self.log.display())
    }

    /// Asks it to end; after `patience` ends it. Its name, if that was needed.
    pub(super) fn stop(mut self, patience: Duration) -> Option<String> {
        let began = clock::now();
        self.signal(Signal::TERM);
        while began.elapsed() < patience {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return None;
            }
            clock::pause(LOOK);
        }
        self.signal(Signal::KILL);
        self.process.wait().ok();
        Some(self.name.to_owned())
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        if !self.through_sudo {
            // it may have ended by itself just now
            kill_process(pid, signal).ok();
            return;
        }
        // sudo passes TERM on to what it runs; only root may send it
        let number = signal.as_raw().to_string();
        let mut pids = vec![pid.as_raw_nonzero().to_string()];
        if signal == Signal::KILL {
            pids.extend(descendants(&pids[0]));
        }
        Command::new("sudo").args(["-n", "kill", "-s", &number]).args(pids).status().ok();
    }
}

impl Drop for Child {
    /// An error on the way must not leave a program behind.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let began = clock::now();
            while began.elapsed() < Duration::from_secs(2) && matches!(self.process.try_wait(), Ok(None)) {
                clock::pause(LOOK);
            }
            if matches!(self.process.try_wait(), Ok(None)) {
                self.signal(Signal::KILL);
            }
        }
    }
}

fn descendants(pid: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut all = Vec::new();
    for child in children.split_whitespace() {
        all.push(child.to_owned());
        all.extend(descendants(child));
    }
    all
}
