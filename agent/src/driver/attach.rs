//! Attaches the probes one after the other; each ends in a state of its own, and the agent runs whatever they say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use daemon::shutdown::Token;

use super::{Attached, Driver, lock};
use crate::kernel::KernelFeatures;
use crate::probe::{AttachError, Sink};

impl Driver {
    /// Cgroup events first, then the walk of the tree, then everything that needs names.
    pub(super) fn attach(&mut self, token: &Token, sink: &mut Sink) -> Vec<Attached> {
        let started = self.clock.monotonic();
        let features = KernelFeatures::probe();
        let mut attached = Vec::new();
        let mut is_walked = false;
        for probe in self.probes {
            if token.is_stopped() {
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
            let attach = || (probe.attach)(&features, &self.settings);
            match catch_unwind(AssertUnwindSafe(attach)) {
                Ok(Ok(running)) => {
                    self.states.running(probe.name, running.missing());
                    let fds = running.wake_fds();
                    attached.push(Attached { name: probe.name, running, fds });
                }
                Ok(Err(error)) => self.refuse(probe.name, &error),
                Err(_) => {
                    self.states.failed(probe.name, "panic", "attaching panicked; the log has the place")
                }
            }
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
        let events = tree.walk(&mut lock(&self.identities), now);
        let Some(usage) = &mut self.usage else { return };
        for event in &events {
            usage.apply(event, false);
        }
        usage.begin();
    }
}
