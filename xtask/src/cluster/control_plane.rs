//! etcd, the API server with its audit log, controller-manager and scheduler: daemons of the first node.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::programs::Programs;
use super::settings::{DNS_DOMAIN, Node, POD_CIDR, SERVICE_CIDR, State};
use super::{daemon, kubectl, needs};
use crate::run;

const START: Duration = Duration::from_secs(90);
pub(super) const APISERVER: &str = "kube-apiserver";

/// One line per answered request of anybody, without bodies: what RBAC is judged by.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  userGroups: [\"system:nodes\", \"system:masters\"]
- level: None
  users: [\"system:kube-controller-manager\", \"system:kube-scheduler\", \"system:kube-proxy\"]
- level: Metadata
";

pub(super) fn start(state: &State, programs: &Programs, node: &Node) -> Result<()> {
    let name = node.name();
    let data = state.root().join("etcd");
    fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
    let etcd = needs::find("etcd").context("etcd")?;
    daemon::start(state, &name, "etcd", &etcd, &etcd_args(&data))?;
    daemon::ready(state, &name, "etcd", START, || {
        let mut curl = daemon::inside(state, &name, "curl")?;
        Ok(run::read(curl.args(["-sf", "-m", "2", "http://127.0.0.1:2379/health"]))
            .is_ok_and(|text| text.contains("true")))
    })?;
    let audit = state.root().join("audit");
    fs::create_dir_all(&audit)?;
    fs::write(audit.join("policy.yaml"), AUDIT_POLICY)?;
    daemon::start(state, &name, APISERVER, &programs.kube(APISERVER), &apiserver_args(state, node))?;
    wait_api(state, programs, node)?;
    let pki = state.pki().display().to_string();
    let manager = [
        format!("--kubeconfig={}", state.config_of("controller-manager").display()),
        "--use-service-account-credentials".to_owned(),
        format!("--service-account-private-key-file={pki}/sa.key"),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--cluster-signing-cert-file={pki}/ca.crt"),
        format!("--cluster-signing-key-file={pki}/ca.key"),
        "--allocate-node-cidrs".to_owned(),
        format!("--cluster-cidr={POD_CIDR}"),
        "--node-cidr-mask-size=24".to_owned(),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
    ];
    daemon::start(
        state,
        &name,
        "kube-controller-manager",
        &programs.kube("kube-controller-manager"),
        &manager,
    )?;
    let scheduler = [
        format!("--kubeconfig={}", state.config_of("scheduler").display()),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
    ];
    daemon::start(state, &name, "kube-scheduler", &programs.kube("kube-scheduler"), &scheduler)
}

pub(super) fn wait_api(state: &State, programs: &Programs, node: &Node) -> Result<()> {
    let address = format!("{}:6443", node.address());
    daemon::ready(state, &node.name(), APISERVER, START, || {
        // the first connection refused is cheaper to learn than a kubectl started
        TcpStream::connect(&address).with_context(|| format!("connect to {address}"))?;
        Ok(kubectl::read(state, programs, &["get", "--raw", "/readyz"])? == "ok")
    })
}

fn etcd_args(data: &Path) -> Vec<String> {
    let (client, peer) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    [
        "--name=wake".to_owned(),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=wake={peer}"),
    ]
    .into()
}

fn apiserver_args(state: &State, node: &Node) -> Vec<String> {
    let pki = state.pki().display().to_string();
    let audit = state.root().join("audit").display().to_string();
    [
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        "--bind-address=0.0.0.0".to_owned(),
        "--secure-port=6443".to_owned(),
        format!("--advertise-address={}", node.address()),
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--kubelet-client-certificate={pki}/apiserver-kubelet.crt"),
        format!("--kubelet-client-key={pki}/apiserver-kubelet.key"),
        format!("--kubelet-certificate-authority={pki}/ca.crt"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={pki}/front-proxy.crt"),
        format!("--proxy-client-key-file={pki}/front-proxy.key"),
        format!("--service-account-issuer=https://kubernetes.default.svc.{DNS_DOMAIN}"),
        format!("--service-account-key-file={pki}/sa.pub"),
        format!("--service-account-signing-key-file={pki}/sa.key"),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={audit}/policy.yaml"),
        format!("--audit-log-path={audit}/audit.log"),
    ]
    .into()
}
