//! Every probe on this kernel, as lines for the table kernel × probe × program.
//!
//! `kernel-table\t<probe>\t<program>\t<state>\t<verified instructions>\t<reason>`; the probe's own line has no program.

use agent::kernel::Settings;
use agent::probe::AttachError;

use crate::cgroup::Cgroup;
use crate::requires::{Need, requires};

#[test]
fn every_probe_runs_or_says_why_not() {
    if !requires("every_probe_runs_or_says_why_not", &[Need::Root]) {
        return;
    }
    let features = crate::features();
    let cgroup = Cgroup::new(features, "table").ok();
    let settings = Settings {
        attach_cgroup: cgroup.as_ref().map(|cgroup| cgroup.directory().into()),
        ..Settings::default()
    };
    println!("\nkernel-release\t{}", features.release);
    let mut failed = Vec::new();
    for probe in agent::PROBES {
        match (probe.attach)(features, &settings) {
            Ok(running) => {
                line(probe.name, "", "running", None, &running.missing().join("; "));
                for program in running.programs() {
                    let insns = program.verified_insns;
                    line(probe.name, &program.program, &program.state, insns, &program.reason);
                }
            }
            Err(AttachError::Disabled(why)) => line(probe.name, "", "disabled", None, &why),
            Err(AttachError::Unsupported { code, detail }) => {
                line(probe.name, "", "unsupported", None, &format!("{code}: {detail}"));
            }
            Err(AttachError::Failed { code, detail }) => {
                line(probe.name, "", "failed", None, &format!("{code}: {detail}"));
                failed.push(probe.name);
            }
        }
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}

fn line(probe: &str, program: &str, state: &str, insns: Option<u32>, reason: &str) {
    let insns = insns.map(|count| count.to_string()).unwrap_or_default();
    let reason = reason.replace(['\n', '\t'], " ");
    println!("kernel-table\t{probe}\t{program}\t{state}\t{insns}\t{reason}");
}
