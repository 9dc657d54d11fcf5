//! `kubectl wake`: the aggregator inside a cluster, reached through the API server by the kubeconfig.
//!
//! In: the kubeconfig and flags as kubectl has them. Out: an address on loopback behind which every connection is
//! forwarded to the aggregator's pod, and the token that the kubeconfig's user asks the API server with; the
//! aggregator has Kubernetes judge it. Does not: keep either after the command has ended.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer as _, ServiceExt as _};

use crate::args::Cli;

/// How the aggregator's pods are labelled.
const LABELS: &str = "app.kubernetes.io/name=wake,app.kubernetes.io/component=aggregator";
/// Its container port's name and number.
const PORT_NAME: &str = "api";
const PORT: u16 = 9401;
/// The ConfigMap with the CA of the aggregator's certificate, as the chart calls it, and its key.
const CA: (&str, &str) = ("wake-ca", "ca.crt");
/// How long a token for a service account is valid; ten minutes is the least.
const TOKEN_S: i64 = 600;

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct Cluster {
    /// Reach the aggregator in a cluster, by the kubeconfig; `kubectl wake` does so by itself
    #[arg(long, global = true)]
    pub(crate) kube: bool,
    /// The kubeconfig's context
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig; else KUBECONFIG, else the one in the home directory, else the pod's own service account
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Only rows of this namespace; `kubectl wake` takes the context's if none is named
    #[arg(long, global = true, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Rows of all namespaces
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// The namespace that Wake is installed in
    #[arg(long, global = true, default_value = "wake", value_name = "NAMESPACE")]
    pub(crate) wake_namespace: String,
    /// Ask as this service account, with a token of ten minutes: for users with a client certificate, which an
    /// aggregator cannot check
    #[arg(long, global = true, value_name = "NAMESPACE/NAME")]
    pub(crate) as_service_account: Option<String>,
}

/// The aggregator, as far as this process goes.
#[derive(Debug)]
pub(crate) struct Reached {
    /// On loopback.
    pub(crate) server: String,
    /// The context's namespace.
    pub(crate) namespace: String,
    /// `None`: the kubeconfig's user has none.
    pub(crate) token: Option<String>,
    /// What the aggregator's certificate comes from, PEM; `None` where it speaks plain text or `--ca` says it.
    pub(crate) ca: Option<String>,
}

/// Goes to the cluster if that is wanted: then the server is there, and the answer is the token to ask with. Narrows
/// the command to the namespace that is asked for.
pub(crate) async fn enter(args: &mut Cli) -> Result<Option<String>> {
    let mut namespace = args.cluster.namespace.clone();
    let mut token = None;
    if args.cluster.kube {
        let reached = args.cluster.reach(true, args.access.ca.is_some()).await?;
        namespace = namespace.or(Some(reached.namespace));
        (args.server, token) = (reached.server, reached.token);
        args.access.ca_pem = reached.ca;
    }
    if let Some(namespace) = namespace.filter(|_| !args.cluster.all_namespaces) {
        args.command.narrow(&namespace);
    }
    Ok(token)
}

impl Cluster {
    /// Finds the aggregator and forwards to it. `wants_token`: none was given otherwise; `has_ca`: one was.
    pub(crate) async fn reach(&self, wants_token: bool, has_ca: bool) -> Result<Reached> {
        // there is one provider; a second call changes nothing
        drop(rustls::crypto::ring::default_provider().install_default());
        let config = self.config().await?;
        let namespace = config.default_namespace.clone();
        let of_user = if wants_token { token_of(&config).await? } else { None };
        let client = Client::try_from(config).context("set up the Kubernetes client")?;
        let token = match &self.as_service_account {
            Some(account) if wants_token => Some(token_for(&client, account).await?),
            _ => of_user,
        };
        if wants_token && token.is_none() {
            bail!(
                "the kubeconfig's user has no token (a client certificate cannot be checked by the aggregator): ask \
                 as a service account with --as-service-account NAMESPACE/NAME, for which you need the right to \
                 create serviceaccounts/token, or give a token with --token-file"
            );
        }
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.wake_namespace);
        let (pod, port) = self.find(&pods).await?;
        let ca = if has_ca { None } else { self.ca(client).await? };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen on loopback")?;
        // loopback is among the names of every certificate that an aggregator gives itself
        let scheme = if has_ca || ca.is_some() { "https" } else { "http" };
        let server = format!("{scheme}://{}", listener.local_addr()?);
        tokio::spawn(forward(listener, pods, pod, port));
        Ok(Reached { server, namespace, token, ca })
    }

    /// The CA that the aggregator has published; `None` where there is none: then it speaks plain text, or has
    /// certificates that were given to it.
    async fn ca(&self, client: Client) -> Result<Option<String>> {
        let (name, key) = CA;
        let maps: Api<ConfigMap> = Api::namespaced(client, &self.wake_namespace);
        let found = maps.get_opt(name).await.with_context(|| {
            format!("read the ConfigMap {name} in {}; or name the CA with --ca", self.wake_namespace)
        })?;
        let data = found.and_then(|map| map.data).unwrap_or_default();
        Ok(data.get(key).filter(|pem| !pem.is_empty()).cloned())
    }

    async fn config(&self) -> Result<Config> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        if let Some(path) = &self.kubeconfig {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("read the kubeconfig {}", path.display()))?;
            return Config::from_custom_kubeconfig(file, &options)
                .await
                .with_context(|| format!("use the kubeconfig {}", path.display()));
        }
        if self.context.is_some() {
            return Config::from_kubeconfig(&options).await.context("use the kubeconfig");
        }
        Config::infer().await.context("find a kubeconfig, or the service account of a pod")
    }

    /// A pod that is ready, and its port.
    async fn find(&self, pods: &Api<Pod>) -> Result<(String, u16)> {
        let found = pods.list(&ListParams::default().labels(LABELS)).await.with_context(|| {
            format!("list pods in {}; --wake-namespace names another namespace", self.wake_namespace)
        })?;
        let ready = found.items.iter().find(|pod| is_ready(pod));
        match (ready, found.items.is_empty()) {
            (Some(pod), _) => {
                Ok((pod.metadata.name.clone().unwrap_or_default(), port_of(pod).unwrap_or(PORT)))
            }
            (None, true) => bail!(
                "no aggregator in namespace {} (pods with {LABELS}); --wake-namespace names another one",
                self.wake_namespace
            ),
            (None, false) => bail!("the aggregator in namespace {} is not ready", self.wake_namespace),
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn port_of(pod: &Pod) -> Option<u16> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().flat_map(|container| container.ports.as_deref().unwrap_or_default());
    let port = ports.find(|port| port.name.as_deref() == Some(PORT_NAME))?;
    u16::try_from(port.container_port).ok()
}

/// What the kubeconfig's user sends to the API server, whether it is written there, lies in a file or comes from a
/// plug-in program.
async fn token_of(config: &Config) -> Result<Option<String>> {
    let Some(layer) = config.auth_layer().context("get the kubeconfig's token")? else { return Ok(None) };
    let sent = layer.layer(tower::service_fn(|request: http::Request<Body>| {
        let header = request.headers().get(http::header::AUTHORIZATION).cloned();
        std::future::ready(Ok::<_, tower::BoxError>(http::Response::new(header)))
    }));
    let answer = sent
        .oneshot(http::Request::new(Body::empty()))
        .await
        .map_err(|error| anyhow!("get the kubeconfig's token: {error}"))?;
    let text = answer.body().as_ref().and_then(|header| header.to_str().ok());
    // a name and a password are nothing that the aggregator could have checked
    Ok(text.and_then(|text| text.strip_prefix("Bearer ")).map(str::to_owned))
}

async fn token_for(client: &Client, account: &str) -> Result<String> {
    let (namespace, name) = account
        .split_once('/')
        .ok_or_else(|| anyhow!("{account:?} is no service account; write it as NAMESPACE/NAME"))?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_S), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .with_context(|| format!("get a token for the service account {account}"))?;
    made.status
        .map(|status| status.token)
        .ok_or_else(|| anyhow!("the API server gave no token for {account}"))
}

/// Every connection gets a stream of its own to the pod.
async fn forward(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16) {
    while let Ok((connection, _)) = listener.accept().await {
        let (pods, pod) = (pods.clone(), pod.clone());
        tokio::spawn(async move {
            // whoever asked sees the connection end, and says so
            drop(carry(connection, &pods, &pod, port).await);
        });
    }
}

async fn carry(mut connection: TcpStream, pods: &Api<Pod>, pod: &str, port: u16) -> Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await.context("forward a port")?;
    let mut stream = forwarder.take_stream(port).context("forward a port")?;
    tokio::io::copy_bidirectional(&mut connection, &mut stream).await?;
    drop(stream);
    Ok(forwarder.join().await?)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::Config;
    use kube::config::{AuthInfo, ExecConfig};
    use serde_json::json;

    use super::{is_ready, port_of, token_of};

    fn config(auth: AuthInfo) -> Config {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.auth_info = auth;
        config
    }

    #[tokio::test]
    async fn the_users_token_is_found_wherever_the_kubeconfig_keeps_it() {
        let written = AuthInfo { token: Some("abc".to_owned().into()), ..AuthInfo::default() };
        assert_eq!(token_of(&config(written)).await.unwrap().as_deref(), Some("abc"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "def").unwrap();
        let path = file.path().to_str().map(str::to_owned);
        let in_file = AuthInfo { token_file: path, ..AuthInfo::default() };
        assert_eq!(token_of(&config(in_file)).await.unwrap().as_deref(), Some("def"));
        let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"ghi"}}"#;
        let exec = ExecConfig {
            api_version: Some("client.authentication.k8s.io/v1".to_owned()),
            command: Some("echo".to_owned()),
            args: Some(vec![answer.to_owned()]),
            ..serde_json::from_value(json!({})).unwrap()
        };
        let by_program = AuthInfo { exec: Some(exec), ..AuthInfo::default() };
        assert_eq!(token_of(&config(by_program)).await.unwrap().as_deref(), Some("ghi"));
        assert_eq!(token_of(&config(AuthInfo::default())).await.unwrap(), None);
    }

    #[test]
    fn a_ready_pod_and_its_port_are_known() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "wake-aggregator-0"},
            "spec": {"containers": [{"name": "a", "ports": [{"name": "grpc", "containerPort": 1}, {"name": "api", "containerPort": 77}]}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        assert!(is_ready(&pod));
        assert_eq!(port_of(&pod), Some(77));
        let ending: Pod = serde_json::from_value(json!({
            "metadata": {"deletionTimestamp": "2026-11-21T00:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        assert!(!is_ready(&ending) && port_of(&ending).is_none());
    }
}
