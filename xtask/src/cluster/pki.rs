//! The cluster's certificates and kubeconfigs: throw-away keys, made anew by each `up`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::settings::{DNS_DOMAIN, FIRST_SERVICE, Node, State};
use crate::run;

/// Who gets a kubeconfig, with the certificate's subject.
const USERS: [(&str, &str); 4] = [
    ("admin", "/O=system:masters/CN=wake-cluster-admin"),
    ("controller-manager", "/CN=system:kube-controller-manager"),
    ("scheduler", "/CN=system:kube-scheduler"),
    ("proxy", "/CN=system:kube-proxy"),
];

pub(super) fn make(state: &State, nodes: &[Node]) -> Result<()> {
    let dir = state.pki();
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    authority(&dir, "ca")?;
    authority(&dir, "front-proxy-ca")?;
    openssl(&dir, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "sa.key"])?;
    openssl(&dir, &["pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"])?;
    let server = nodes.first().context("there is a node")?.address();
    let names = format!(
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.{DNS_DOMAIN},\
         DNS:localhost,IP:127.0.0.1,IP:{server},IP:{FIRST_SERVICE}"
    );
    leaf(&dir, "apiserver", "/CN=kube-apiserver", "serverAuth", &names, "ca")?;
    leaf(&dir, "apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet", "clientAuth", "", "ca")?;
    leaf(&dir, "front-proxy", "/CN=front-proxy-client", "clientAuth", "", "front-proxy-ca")?;
    for (user, subject) in USERS {
        leaf(&dir, user, subject, "clientAuth", "", "ca")?;
        kubeconfig(state, user, &server)?;
    }
    for node in nodes {
        let (name, file) = (node.name(), format!("kubelet-{}", node.name()));
        let subject = format!("/O=system:nodes/CN=system:node:{name}");
        let names = format!("DNS:{name},IP:{},IP:127.0.0.1", node.address());
        leaf(&dir, &file, &subject, "clientAuth,serverAuth", &names, "ca")?;
        kubeconfig(state, &file, &server)?;
    }
    Ok(())
}

fn authority(dir: &Path, name: &str) -> Result<()> {
    let (key, crt, subject) =
        (format!("{name}.key"), format!("{name}.crt"), format!("/CN=wake-cluster-{name}"));
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut args = vec!["req", "-x509", "-days", "30", "-subj", &subject, "-keyout", &key, "-out", &crt];
    args.extend(curve);
    args.extend(["-addext", "basicConstraints=critical,CA:TRUE"]);
    args.extend(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
    openssl(dir, &args)
}

fn leaf(dir: &Path, name: &str, subject: &str, usage: &str, names: &str, authority: &str) -> Result<()> {
    let mut extensions = format!(
        "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage={usage}\n"
    );
    if !names.is_empty() {
        extensions.push_str(&format!("subjectAltName={names}\n"));
    }
    let [key, crt, csr, ext] = ["key", "crt", "csr", "ext"].map(|kind| format!("{name}.{kind}"));
    fs::write(dir.join(&ext), extensions).with_context(|| format!("write {ext}"))?;
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut args = vec!["req", "-subj", subject, "-keyout", &key, "-out", &csr];
    args.extend(curve);
    openssl(dir, &args)?;
    let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
    let sign = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "30"];
    let mut args = sign.to_vec();
    args.extend(["-extfile", &ext, "-out", &crt]);
    openssl(dir, &args)
}

fn openssl(dir: &Path, args: &[&str]) -> Result<()> {
    run::read(Command::new("openssl").current_dir(dir).args(args)).map(drop)
}

/// Certificates stay in their files: `user`'s kubeconfig names them by path.
fn kubeconfig(state: &State, user: &str, server: &str) -> Result<()> {
    let pki = state.pki().display().to_string();
    let text = format!(
        "apiVersion: v1\nkind: Config\n\
         clusters: [{{name: wake, cluster: {{server: \"https://{server}:6443\", certificate-authority: \"{pki}/ca.crt\"}}}}]\n\
         users: [{{name: {user}, user: {{client-certificate: \"{pki}/{user}.crt\", client-key: \"{pki}/{user}.key\"}}}}]\n\
         contexts: [{{name: wake-cluster, context: {{cluster: wake, user: {user}}}}}]\ncurrent-context: wake-cluster\n"
    );
    let path = state.config_of(user);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}
