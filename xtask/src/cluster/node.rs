//! One node: cgroups, namespaces, containerd with its images, and, once the API server answers, kubelet and kube-proxy.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::settings::{DNS_ADDRESS, DNS_DOMAIN, Node, POD_CIDR, REGISTRY, State};
use super::{cgroups, daemon, kubectl, needs, network};
use crate::cluster::programs::Programs;
use crate::run;

const SCRIPT: &str = include_str!("node.sh");
const START: Duration = Duration::from_secs(60);
/// Below the node's directory: what its kubelet runs whatever the API server says.
pub(super) const MANIFESTS: &str = "manifests";

/// Namespaces, file system, containerd.
pub(super) fn make(state: &State, node: &Node, nodes: &[Node]) -> Result<()> {
    let (name, dir) = (node.name(), state.node(&node.name()));
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    cgroups::make(&name)?;
    network::make(node)?;
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for other in nodes {
        hosts.push_str(&format!("{} {}\n", other.address(), other.name()));
    }
    fs::write(dir.join("hosts"), hosts)?;
    fs::write(dir.join("node.sh"), SCRIPT)?;
    let net = format!("--net=/run/netns/{}", node.netns());
    let (script, dir_text) = (dir.join("node.sh"), dir.display().to_string());
    let mut line: Vec<&OsStr> =
        ["nsenter", &net, "unshare", "--mount", "--uts", "--cgroup", "--", "sh"].map(OsStr::new).into();
    line.extend([script.as_os_str(), OsStr::new(&name), OsStr::new(&dir_text)]);
    daemon::start_outside(state, &name, daemon::HOLDER, &line)?;
    daemon::ready(state, &name, daemon::HOLDER, START, || Ok(dir.join("ready").is_file()))?;
    let config = dir.join("containerd.toml");
    fs::write(&config, containerd(&dir)?)?;
    let program = needs::find("containerd").context("containerd")?;
    daemon::start(
        state,
        &name,
        "containerd",
        &program,
        &["--config".to_owned(), config.display().to_string()],
    )
}

/// Loads an image archive into the node's containerd.
pub(super) fn import(state: &State, node: &Node, archive: &Path) -> Result<()> {
    let name = node.name();
    let ctr = needs::find("ctr").context("ctr")?.display().to_string();
    daemon::ready(state, &name, "containerd", START, || {
        Ok(run::read(daemon::inside(state, &name, &ctr)?.arg("version")).is_ok())
    })?;
    let mut command = daemon::inside(state, &name, &ctr)?;
    run::read(command.args(["-n", "k8s.io", "images", "import"]).arg(archive)).map(drop)
}

/// kubelet and kube-proxy.
pub(super) fn join(state: &State, programs: &Programs, node: &Node) -> Result<()> {
    let (name, dir) = (node.name(), state.node(&node.name()));
    let (kubelet, proxy) = (dir.join("kubelet.yaml"), dir.join("kube-proxy.yaml"));
    fs::create_dir_all(dir.join(MANIFESTS))?;
    fs::write(&kubelet, kubelet_config(state, node))?;
    fs::write(&proxy, proxy_config(state, node))?;
    let args = [
        format!("--config={}", kubelet.display()),
        format!("--kubeconfig={}", state.config_of(&format!("kubelet-{name}")).display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", node.address()),
        format!(
            "--node-labels=topology.kubernetes.io/region=test,topology.kubernetes.io/zone={}",
            node.zone()
        ),
        "--root-dir=/var/lib/kubelet".to_owned(),
        "--cert-dir=/var/lib/kubelet/pki".to_owned(),
        format!("--pod-infra-container-image={REGISTRY}/pause:1"),
    ];
    daemon::start(state, &name, "kubelet", &programs.kube("kubelet"), &args)?;
    let args = [format!("--config={}", proxy.display())];
    daemon::start(state, &name, "kube-proxy", &programs.kube("kube-proxy"), &args)
}

/// What a network daemon would do: the plugin's file, which makes the node Ready, and the routes to it.
pub(super) fn connect(state: &State, programs: &Programs, node: &Node, nodes: &[Node]) -> Result<()> {
    let name = node.name();
    let mut cidr = String::new();
    daemon::ready(state, &name, "kubelet", Duration::from_secs(90), || {
        let path = ["get", "node", name.as_str(), "-o", "jsonpath={.spec.podCIDR}"];
        cidr = kubectl::read(state, programs, &path)?;
        Ok(!cidr.is_empty())
    })?;
    let dir = state.node(&name).join("cni");
    let text = format!(
        r#"{{"cniVersion":"0.4.0","name":"wake","plugins":[
 {{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
   "ipam":{{"type":"host-local","ranges":[[{{"subnet":"{cidr}"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}}},
 {{"type":"portmap","capabilities":{{"portMappings":true}}}}]}}"#
    );
    fs::write(dir.join(".new"), text)?;
    fs::rename(dir.join(".new"), dir.join("10-wake.conflist"))?;
    for other in nodes.iter().filter(|other| *other != node) {
        network::route(other, &cidr, node)?;
    }
    Ok(())
}

pub(super) fn wait_ready(state: &State, programs: &Programs, node: &Node) -> Result<()> {
    let name = node.name();
    let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    daemon::ready(state, &name, "kubelet", Duration::from_secs(120), || {
        Ok(kubectl::read(state, programs, &["get", "node", name.as_str(), "-o", path])? == "True")
    })
}

fn containerd(dir: &Path) -> Result<String> {
    let cni = dir.join("cni");
    fs::create_dir_all(&cni)?;
    let runc = needs::find("runc").context("runc")?;
    // without CAP_SYS_RESOURCE a negative oom_score_adj is refused: containers then do not start at all
    Ok(format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{REGISTRY}/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{}"
    conf_dir = "{}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{}"
"#,
        needs::CNI,
        cni.display(),
        runc.display()
    ))
}

fn kubelet_config(state: &State, node: &Node) -> String {
    let (name, pki) = (node.name(), state.pki().display().to_string());
    let manifests = state.node(&name).join(MANIFESTS).display().to_string();
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {pki}/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {pki}/kubelet-{name}.crt
tlsPrivateKeyFile: {pki}/kubelet-{name}.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
staticPodPath: {manifests}
fileCheckFrequency: 5s
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
resolvConf: /etc/resolv.conf
clusterDomain: {DNS_DOMAIN}
clusterDNS: [{DNS_ADDRESS}]
volumePluginDir: /var/lib/kubelet/volume-plugins
containerLogMaxSize: 1Mi
containerLogMaxFiles: 3
containerLogMonitorInterval: 3s
syncFrequency: 10s
evictionHard: {{memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%"}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
"#
    )
}

fn proxy_config(state: &State, node: &Node) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {}}}
mode: iptables
clusterCIDR: {POD_CIDR}
hostnameOverride: {}
oomScoreAdj: 0
conntrack: {{maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}}
"#,
        state.config_of("proxy").display(),
        node.name()
    )
}
