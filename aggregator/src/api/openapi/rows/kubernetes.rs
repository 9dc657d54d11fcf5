//! Rows of the API: what Kubernetes says, and what changed in it.
#![expect(dead_code, reason = "these types only describe what is written row by row")]

use utoipa::ToSchema;

row! {
    /// An Event of Kubernetes.
    KubeEvent {
        /// When it was seen last.
        ts: String,
        /// `Normal` or `Warning`.
        r#type: Option<String>,
        reason: Option<String>,
        /// For people.
        note: Option<String>,
        regarding_kind: Option<String>,
        regarding_name: Option<String>,
        regarding_uid: Option<String>,
        /// Who reports it.
        controller: Option<String>,
        action: Option<String>,
        /// How often it was seen so far.
        count: i64,
        first_ts: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
    }
}

row! {
    /// What became of an object of Kubernetes.
    ObjectChange {
        /// When it was heard; of a creation, when the object was made.
        ts: String,
        /// `created`, `updated` or `deleted`.
        change: Option<String>,
        kind: Option<String>,
        name: Option<String>,
        uid: Option<String>,
        /// 0 where the kind has none.
        generation: i64,
        resource_version: Option<String>,
        /// JSON: `{"field": [before, after]}`.
        diff: Option<String>,
        /// `watched`: as it happened; `listed`: found after a time without a watch.
        seen: Option<String>,
    }
}
