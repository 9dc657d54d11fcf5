//! Attaches the probes one after the other; each ends in a state of its own, and the agent runs whatever they say.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use daemon::shutdown::{Phase, Shutdown};

use super::tree::Mended;
use super::{Attached, Driver, lock};
use crate::kernel::node::Node;
use crate::kernel::{KernelFeatures, Settings};
use crate::probe::{AttachError, Probe, Sink};

impl Driver {
    /// Cgroup events first, then the walk of the tree, then everything that needs names.
    pub(super) fn attach(&mut self, shutdown: &Shutdown, sink: &mut Sink) -> Vec<Attached> {
        let started = self.clock.monotonic();
        let Settings { cgroup_root, host_owner, .. } = &self.settings;
        let features = KernelFeatures::of_node(cgroup_root.as_deref(), *host_owner);
        self.tell_node(&features);
        let mut attached = Vec::new();
        let mut is_walked = false;
        for probe in self.probes {
            if shutdown.has_begun(Phase::Intake) {
                break;
            }
            if !is_walked && probe.name != "cgroups" {
                is_walked = true;
                self.walk_first();
            }
            if self.settings.disabled.iter().any(|name| name == probe.name) {
                self.states.disabled(probe.name, "switched off in the config");
                continue;
            }
            attached.extend(self.attach_one(probe, &features));
            self.poll(&mut attached, sink);
        }
        if !is_walked {
            self.walk_first();
        }
        // the kernel's types are the largest thing that the agent ever reads
        let kernel = features.release.clone();
        drop(features);
        crate::kernel::memory::give_back();
        self.health.ready("probes");
        let took_ms = (self.clock.monotonic() - started).as_millis();
        tracing::info!(kernel, took_ms, probes = self.states.line(), "probes attached");
        attached
    }

    fn tell_node(&self, features: &KernelFeatures) {
        let Node { level, is_host_owner, unknown } = &features.node;
        if let Some(error) = unknown {
            tracing::warn!(error, "the node's cgroup is not known");
        } else if *level > 0 {
            let root = features.cgroup2.as_deref().unwrap_or(Path::new("")).display();
            tracing::info!(%root, level, host_owner = is_host_owner, "only what is below this cgroup is told");
        }
    }

    /// One probe; its state says what became of it.
    pub(super) fn attach_one(&self, probe: &'static Probe, features: &KernelFeatures) -> Option<Attached> {
        if let Some(needed) = probe.needs.filter(|needed| !self.states.is_running(needed)) {
            self.states.without(probe.name, needed);
            return None;
        }
        let attach = || (probe.attach)(features, &self.settings);
        match catch_unwind(AssertUnwindSafe(attach)) {
            Ok(Ok(running)) => {
                self.states.running(probe.name, running.missing());
                let fds = running.wake_fds();
                return Some(Attached { name: probe.name, needs: probe.needs, running, fds });
            }
            Ok(Err(error)) => self.refuse(probe.name, &error),
            Err(_) => self.states.failed(probe.name, "panic", "attaching panicked; the log has the place"),
        }
        None
    }

    fn refuse(&self, name: &'static str, error: &AttachError) {
        self.states.not_attached(name, error);
        if let AttachError::Failed { .. } = error {
            tracing::warn!(probe = name, %error, "probe not attached");
        }
    }

    /// What is found now lived before the agent: its usage so far is not ours.
    fn walk_first(&mut self) {
        let now = self.clock.monotonic();
        let Some(tree) = &mut self.tree else { return };
        let mended = tree.walk(&mut lock(&self.identities), now);
        let Some(usage) = &mut self.usage else { return };
        for Mended { event, is_new } in &mended {
            usage.apply(event, *is_new);
        }
        usage.begin();
    }
}

#[cfg(test)]
mod tests;
