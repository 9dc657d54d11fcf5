//! What an owner is called: a cgroup by its entry, everything else by what is told with it.

use std::sync::Arc;

use agent_common::workload::{COMM_LEN, HOST_BIT, MAX_HOST_COMMS, host_key};
use proto::v1;

use super::{Entry, Identities};
use crate::window::sample::{CgroupEvent, Owner, PodContainer, Row, Sample};
use std::time::Duration;

/// Most log files and configured names whose identity is kept in memory; more are made anew.
const MAX_NAMED: usize = 4_096;
/// Digits of a container's id that name it where nothing else does.
const SHORT_ID: usize = 12;

impl Identities {
    /// The identity of an owner; `None` for a cgroup that is not known (yet).
    pub fn resolve(&mut self, owner: &Owner) -> Option<Arc<v1::Identity>> {
        match owner {
            Owner::Workload(key) if key & HOST_BIT != 0 => {
                let comm = self.host_comms.get(key).cloned();
                if comm.is_none() && *key != HOST_BIT {
                    return None;
                }
                Some(self.host(comm.as_deref().unwrap_or("other")))
            }
            Owner::Workload(id) if *id == self.root_id || *id == 0 => Some(self.host("other")),
            Owner::Workload(id) => {
                let entry = self.cgroups.get(id)?;
                let is_waiting = entry.waits_until.is_some_and(|until| self.now < until);
                (!is_waiting).then(|| Arc::clone(&entry.identity))
            }
            Owner::Host(comm) => Some(self.host(comm)),
            Owner::Pod(pod) => Some(self.pod(pod)),
            Owner::Container(id) => match self.of_container(id) {
                Some(owner) => self.resolve(&owner),
                None => {
                    let short = id.get(..SHORT_ID).unwrap_or(id);
                    Some(self.kept(id, "container", &format!("container/{short}")))
                }
            },
            Owner::File(path) => {
                Some(self.kept(path, "file", &format!("file/{}", path.trim_start_matches('/'))))
            }
            Owner::Named(name) => Some(self.kept(name, "named", name)),
        }
    }

    /// A process of the root cgroup tells the name behind its key, where its executable is called as its task.
    pub fn learn(&mut self, sample: &Sample) {
        let (Owner::Workload(key), Row::Process(row)) = (&sample.owner, &sample.row) else { return };
        if key & HOST_BIT == 0 || self.host_comms.contains_key(key) {
            return;
        }
        let name = row.executable.rsplit('/').next().unwrap_or_default();
        let mut comm = [0; COMM_LEN];
        // the kernel keeps 15 bytes and a zero
        for (slot, byte) in comm.iter_mut().take(COMM_LEN - 1).zip(name.bytes()) {
            *slot = byte;
        }
        if host_key(&comm) == *key {
            let comm = String::from_utf8_lossy(&comm).trim_end_matches('\0').to_owned();
            self.apply(&CgroupEvent::HostComm { key: *key, comm }, Duration::ZERO);
        }
    }

    /// What an owner is called that nobody ever named: its path, or its id.
    pub fn unnamed(&self, owner: &Owner) -> Arc<v1::Identity> {
        if let Owner::Container(id) = owner
            && let Some(owner) = self.of_container(id)
        {
            return self.unnamed(&owner);
        }
        if let Owner::Workload(id) = owner
            && let Some(entry) = self.cgroups.get(id)
        {
            return Arc::clone(&entry.identity);
        }
        let (key, kind) = match owner {
            Owner::Workload(key) if key & HOST_BIT != 0 => (0, "host_process"),
            Owner::Workload(key) => (*key, "cgroup"),
            Owner::Host(_) | Owner::File(_) | Owner::Named(_) | Owner::Pod(_) | Owner::Container(_) => {
                (0, "cgroup")
            }
        };
        let workload = if kind == "cgroup" { format!("cgroup/{key}") } else { String::from("host/other") };
        Arc::new(v1::Identity { workload, workload_kind: kind.to_owned(), cgroup_id: key, ..self.blank() })
    }

    fn host(&mut self, comm: &str) -> Arc<v1::Identity> {
        // kworker/0:1 and its siblings are one workload
        let comm = comm.split('/').next().filter(|name| !name.is_empty()).unwrap_or("other");
        let is_full = self.hosts.len() >= MAX_HOST_COMMS as usize;
        let comm = if is_full && !self.hosts.contains_key(comm) { "other" } else { comm };
        if let Some(identity) = self.hosts.get(comm) {
            return Arc::clone(identity);
        }
        let identity = Arc::new(v1::Identity {
            workload: format!("host/{comm}"),
            workload_kind: String::from("host_process"),
            cgroup_id: self.root_id,
            ..self.blank()
        });
        self.hosts.insert(comm.to_owned(), Arc::clone(&identity));
        identity
    }

    /// A container's log names the pod, and so the pod's cgroups from then on; both are the workload `pod/<uid>`.
    fn pod(&mut self, owner: &PodContainer) -> Arc<v1::Identity> {
        if let Some(identity) = self.pods.identity(owner) {
            return identity;
        }
        let identity = Arc::new(self.of_log(owner));
        self.pods.keep(owner, &identity);
        let unnamed =
            |entry: &&mut Entry| entry.identity.pod_uid == owner.uid && entry.identity.pod.is_empty();
        for entry in self.cgroups.values_mut().filter(unnamed) {
            let identity = Arc::make_mut(&mut entry.identity);
            identity.namespace.clone_from(&owner.namespace);
            identity.pod.clone_from(&owner.pod);
        }
        identity
    }

    /// The one identity of a file, or of a name given in the config.
    fn kept(&mut self, key: &str, kind: &'static str, workload: &str) -> Arc<v1::Identity> {
        if let Some(identity) = self.named.get(&(kind, key.to_owned())) {
            return Arc::clone(identity);
        }
        let identity = Arc::new(v1::Identity {
            workload: workload.to_owned(),
            workload_kind: kind.to_owned(),
            ..self.blank()
        });
        if self.named.len() >= MAX_NAMED {
            self.named.clear();
        }
        self.named.insert((kind, key.to_owned()), Arc::clone(&identity));
        identity
    }
}
