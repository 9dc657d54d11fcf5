//! Whether the aggregator can do its work here: store, certificate, rights at the API server, optional parts.

use std::time::Duration;

use daemon::doctor::{Check, certificate};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, PostParams};
use store::StoreStats;

use crate::config::Config;
use crate::config::security::{AuthMode, TlsMode, split};
use crate::metrics::ExportState;

/// How long the API server may take for all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Seconds behind the end from which an export is told of.
const FAR_BEHIND_S: i64 = 60;

/// A right: group, resource, subresource, verb, namespace (all when empty), what it is for.
type Right = (&'static str, &'static str, &'static str, &'static str, String, &'static str);

/// What is watched for names.
const WATCHED: [(&str, &str); 13] = [
    ("", "pods"),
    ("", "nodes"),
    ("", "namespaces"),
    ("", "services"),
    ("discovery.k8s.io", "endpointslices"),
    ("networking.k8s.io", "servicecidrs"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
    ("events.k8s.io", "events"),
];

/// Optional parts that are a Service, by its label `app.kubernetes.io/name`, and what it is good for.
const SERVICES: [(&str, &str, &str); 2] = [
    ("prometheus", "Prometheus", "it can scrape the aggregator's /metrics"),
    ("alertmanager", "Alertmanager", "Wake sends it nothing; rules over Wake's metrics can"),
];

/// Optional parts by their API group.
const PARTS: [(&str, &str, &str); 3] = [
    ("monitoring.coreos.com", "Prometheus Operator", "without it, add /metrics to Prometheus by hand"),
    ("cert-manager.io", "cert-manager", "without it, tls.mode: issued makes certificates"),
    ("metrics.k8s.io", "metrics-server", "Wake does not need it"),
];

/// The label, and how many Services with it are looked at.
const NAME: &str = "app.kubernetes.io/name";
const MOST_SERVICES: u32 = 50;

/// How the store stands.
pub(crate) fn store(stats: &StoreStats) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.push(match &stats.stopped {
        Some(why) => {
            Check::fail("store", format!("takes nothing any more: {why}"), "mend the disk, then restart")
        }
        None if stats.disk_full => {
            Check::fail("store", "the disk is full: batches are refused", "enlarge the volume or keep less")
        }
        None => Check::ok("store", "takes batches"),
    });
    if stats.counters.lost_records > 0 {
        let found = format!("{} records were damaged at start", stats.counters.lost_records);
        checks.push(Check::warn("store", found, "acknowledged data is lost; see the log of the start"));
    }
    checks
}

/// How doors are kept.
pub(crate) fn security(config: &Config, valid_s: Option<(i64, i64)>, now_s: i64) -> Vec<Check> {
    let tls = match (config.tls.mode, valid_s) {
        (TlsMode::None, _) => Check::ok("tls", "plain text, on loopback only"),
        (_, Some(valid_s)) => certificate("tls", valid_s, now_s),
        (_, None) => Check::warn("tls", "the certificate cannot be read", ""),
    };
    let auth = match config.auth.mode {
        AuthMode::None => Check::ok("auth", "nobody is asked, on loopback only"),
        AuthMode::Tokens => Check::ok("auth", "by a token file"),
        AuthMode::Kubernetes => Check::ok("auth", "by Kubernetes: get pods/log in each namespace"),
    };
    vec![tls, auth]
}

/// How the export over OTLP stands.
pub(crate) fn export(state: &[ExportState]) -> Vec<Check> {
    let check = |state: &ExportState| {
        let ExportState { signal, behind_s, lost, waits, .. } = state;
        let area = format!("export of {signal}");
        let lost_too =
            if *lost > 0 { format!("; {lost} records lost since the start") } else { String::new() };
        match waits {
            Some(why) if *behind_s >= FAR_BEHIND_S => {
                let found = format!("has been behind for {behind_s} s: {why}{lost_too}");
                Check::fail(&area, found, "mend the endpoint, or export.otlp in the aggregator's config")
            }
            Some(why) => Check::warn(&area, format!("{why}{lost_too}"), "it is tried again"),
            None if *behind_s >= FAR_BEHIND_S => {
                let found = format!("has been behind for {behind_s} s{lost_too}");
                Check::warn(&area, found, "the endpoint takes less than comes in")
            }
            None if *lost > 0 => {
                let advice = "wake_aggregator_otlp_export_lost_records and the table loss say why";
                Check::warn(&area, format!("sends what comes in{lost_too}"), advice)
            }
            None => Check::ok(&area, String::from("sends what comes in")),
        }
    };
    state.iter().map(check).collect()
}

/// Everything about the API server; `client` is there when Kubernetes is used.
pub(crate) async fn kubernetes(config: &Config, client: Option<kube::Client>) -> Vec<Check> {
    let Some(client) = client else {
        return vec![Check::ok("kubernetes", "not used")];
    };
    let looked = tokio::time::timeout(PATIENCE, async {
        let mut checks = match client.apiserver_version().await {
            Ok(version) => vec![Check::ok("kubernetes", format!("API server {}", version.git_version))],
            Err(error) => return vec![unreachable(&crate::chain(&error))],
        };
        checks.push(rights(config, &client).await);
        checks.extend(parts(&client).await);
        checks.extend(services(&client).await);
        checks
    });
    looked.await.unwrap_or_else(|_elapsed| vec![unreachable("no answer in time")])
}

fn unreachable(why: &str) -> Check {
    let advice = "names go on from the last state; see that the API server runs and is reached from this pod";
    Check::fail("kubernetes", format!("the API server is not reached: {why}"), advice)
}

fn needed(config: &Config) -> Vec<Right> {
    let mut rights: Vec<Right> = Vec::new();
    for (group, resource) in WATCHED {
        for verb in ["list", "watch"] {
            rights.push((group, resource, "", verb, String::new(), "names of pods and peers"));
        }
    }
    let asks = config.auth.mode == AuthMode::Kubernetes;
    if asks || !config.tls.enrol_service_accounts.is_empty() {
        let why = "who asks, and which agents enrol";
        rights.push(("authentication.k8s.io", "tokenreviews", "", "create", String::new(), why));
    }
    if asks {
        let why = "what who asks may see";
        rights.push(("authorization.k8s.io", "subjectaccessreviews", "", "create", String::new(), why));
    }
    if let Some((namespace, _)) = split(&config.tls.ca_secret) {
        rights.push(("", "secrets", "", "get", namespace.to_owned(), "the CA"));
    }
    rights
}

/// What this process itself may do, asked rule by rule.
async fn rights(config: &Config, client: &kube::Client) -> Check {
    let area = "api rights";
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let (mut lacking, mut asked) = (Vec::new(), 0);
    for (group, resource, subresource, verb, namespace, why) in needed(config) {
        // one Secret is read by its name
        let name = (resource == "secrets").then(|| split(&config.tls.ca_secret)).flatten();
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: (!subresource.is_empty()).then(|| subresource.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: (!namespace.is_empty()).then_some(namespace),
            name: name.map(|(_, name)| name.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        match reviews.create(&PostParams::default(), &review).await {
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => asked += 1,
            Ok(_) => lacking.push(format!("{verb} {resource} ({why})")),
            Err(error) => return Check::warn(area, format!("cannot be asked: {}", crate::chain(&error)), ""),
        }
    }
    if lacking.is_empty() {
        return Check::ok(area, format!("all {asked} that are needed"));
    }
    let advice =
        "apply the ClusterRole of deploy/ (helm upgrade), and see that it is bound to this service account";
    Check::fail(area, format!("lacking: {}", lacking.join(", ")), advice)
}

async fn parts(client: &kube::Client) -> Vec<Check> {
    let groups = match client.list_api_groups().await {
        Ok(groups) => groups,
        Err(error) => {
            let found = format!("API groups cannot be listed: {}", crate::chain(&error));
            return vec![Check::warn("optional parts", found, "")];
        }
    };
    let is_there = |name: &str| groups.groups.iter().any(|group| group.name == name);
    let parts = PARTS.iter().map(|(group, name, without)| match is_there(group) {
        true => Check::ok("optional parts", format!("{name} is there")),
        false => Check::ok("optional parts", format!("{name} is not there; {without}")),
    });
    parts.collect()
}

/// Prometheus and Alertmanager, where somebody runs them as Services with the usual label.
async fn services(client: &kube::Client) -> Vec<Check> {
    let names: Vec<&str> = SERVICES.iter().map(|(name, ..)| *name).collect();
    let label = format!("{NAME} in ({})", names.join(","));
    let services: Api<Service> = Api::all(client.clone());
    let found = match services.list_metadata(&ListParams::default().labels(&label).limit(MOST_SERVICES)).await
    {
        Ok(found) => found.items,
        Err(error) => {
            let found = format!("Services cannot be listed: {}", crate::chain(&error));
            return vec![Check::warn("optional parts", found, "")];
        }
    };
    let place = |name: &str| {
        let service = found.iter().find(|service| service.labels().get(NAME).is_some_and(|is| is == name))?;
        Some(format!("{}/{}", service.metadata.namespace.as_deref()?, service.metadata.name.as_deref()?))
    };
    let parts = SERVICES.iter().map(|(name, shown, good_for)| match place(name) {
        Some(place) => Check::ok("optional parts", format!("{shown} is there ({place}): {good_for}")),
        None => Check::ok(
            "optional parts",
            format!("{shown} is not there: no Service has the label {NAME}={name}"),
        ),
    });
    parts.collect()
}
