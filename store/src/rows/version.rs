//! Which version of its workload a log line is of, as far as the row itself says.
//!
//! The first of: the attribute `service.version` (OpenTelemetry), the pod's label `app.kubernetes.io/version`, its label
//! `version`, and of a pod of a Deployment the hash of its template, which stands in the pod's name. '' where none is known.

use proto::v1::Identity;

/// The attribute of OpenTelemetry's resources.
pub(crate) const ATTRIBUTE: &str = "service.version";
/// Labels that say it, the first that a pod has.
const LABELS: [&str; 2] = ["app.kubernetes.io/version", "version"];
/// The longest version, bytes: longer ones are cut.
const MOST_BYTES: usize = 128;
/// The letters of names that Kubernetes makes up, and how many a pod's own has.
const MADE_UP: &str = "bcdfghjklmnpqrstvwxz2456789";
const POD_LETTERS: usize = 5;
/// The most letters of a template's hash.
const HASH_LETTERS: usize = 10;

/// The version of a row of this identity; `attribute` is its `service.version`, '' without one.
pub(crate) fn version_of<'a>(identity: &'a Identity, attribute: &'a str) -> &'a str {
    let of = Names {
        labels: &identity.labels,
        kind: &identity.workload_kind,
        workload: &identity.workload,
        pod: &identity.pod,
    };
    of.version(attribute)
}

/// What of an identity says the version.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a> {
    pub(crate) labels: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) workload: &'a str,
    pub(crate) pod: &'a str,
}

impl<'a> Names<'a> {
    /// The version of a row whose `service.version` is `attribute`, '' without one.
    pub(crate) fn version(&self, attribute: &'a str) -> &'a str {
        let label =
            || LABELS.iter().find_map(|key| label(self.labels, key)).filter(|label| !label.is_empty());
        let version = match attribute {
            "" => label().or_else(|| self.template_hash()).unwrap_or_default(),
            attribute => attribute,
        };
        &version[..version.floor_char_boundary(MOST_BYTES)]
    }

    /// `cart-7d9f8b6c5-x2x4z` of the Deployment `cart`: `7d9f8b6c5`. A name that Kubernetes had to cut has none.
    fn template_hash(&self) -> Option<&'a str> {
        if self.kind != "deployment" || self.workload.is_empty() {
            return None;
        }
        let (hash, own) = self.pod.strip_prefix(self.workload)?.strip_prefix('-')?.split_once('-')?;
        let is_made_up = |text: &str| text.chars().all(|letter| MADE_UP.contains(letter));
        let fits = (1..=HASH_LETTERS).contains(&hash.len()) && own.len() == POD_LETTERS;
        (fits && is_made_up(hash) && is_made_up(own)).then_some(hash)
    }
}

/// A label of `key=value,key=value`.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::version_of;
    use proto::v1::Identity;

    #[test]
    fn what_says_most_about_the_program_wins() {
        let identity = |labels: &str, kind: &str, pod: &str| Identity {
            labels: labels.to_owned(),
            workload: "cart".to_owned(),
            workload_kind: kind.to_owned(),
            pod: pod.to_owned(),
            ..Identity::default()
        };
        let long = "é".repeat(100);
        for (labels, kind, pod, attribute, expected) in [
            (
                "app=cart,app.kubernetes.io/version=1.4,version=v1",
                "deployment",
                "cart-7d9f8b6c5-x2x4z",
                "2.0",
                "2.0",
            ),
            (
                "app=cart,app.kubernetes.io/version=1.4,version=v1",
                "deployment",
                "cart-7d9f8b6c5-x2x4z",
                "",
                "1.4",
            ),
            ("app=cart,version=v1", "deployment", "cart-7d9f8b6c5-x2x4z", "", "v1"),
            ("app=cart,version=", "deployment", "cart-7d9f8b6c5-x2x4z", "", "7d9f8b6c5"),
            ("my-version=3", "deployment", "cart-7d9f8b6c5-x2x4z", "", "7d9f8b6c5"),
            ("", "stateful_set", "cart-0", "", ""),
            ("", "daemon_set", "cart-x2x4z", "", ""),
            ("", "deployment", "cart-7d9f8b6c5-x2x4", "", ""),
            ("", "deployment", "cart-main-x2x4z", "", ""),
            ("", "deployment", "", "", ""),
            ("", "", "", long.as_str(), &long[..128]),
        ] {
            assert_eq!(
                version_of(&identity(labels, kind, pod), attribute),
                expected,
                "{labels} {kind} {pod}"
            );
        }
    }
}
