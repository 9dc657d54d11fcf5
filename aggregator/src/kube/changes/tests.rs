use std::sync::Arc;

use super::{Known, diff, may_be_news, row};
use crate::kube::Change;
use crate::kube::object::{Detail, Kind, Object, Scale};

fn deployment(replicas: i32, image: &str) -> Object {
    let images = vec![("app".into(), image.into())].into();
    let scale = Scale { replicas: Some(replicas), ready: Some(replicas), images, ..Scale::default() };
    Object {
        kind: Kind::Deployment,
        namespace: "shop".into(),
        name: "cart".into(),
        uid: "u1".into(),
        resource_version: "7".into(),
        generation: 2,
        created_ns: 5_000,
        deleting_ns: None,
        labels: Box::default(),
        settings: Box::default(),
        owner: None,
        detail: Detail::Workload(Box::new(scale)),
    }
}

fn change(old: Option<Object>, new: Option<Object>, is_listed: bool) -> Change {
    Change { old: old.map(Arc::new), new: new.map(Arc::new), at_ns: 9_000, is_listed }
}

#[track_caller]
fn check(change: Change, expected: Option<(&str, u64, &str)>) {
    let found = may_be_news(&change, &Known::default()).then(|| row(&change)).flatten();
    let found = found.as_ref().map(|(_, row)| (row.change.as_str(), row.ts, row.diff.as_str()));
    assert_eq!(found, expected);
}

#[test]
fn an_update_says_what_changed_and_a_heartbeat_nothing() {
    let (one, two) = (deployment(1, "shop:1"), deployment(3, "shop:2"));
    let differs = r#"{"image/app":["shop:1","shop:2"],"replicas":[1,3]}"#;
    check(change(Some(one.clone()), Some(two), false), Some(("updated", 9_000, differs)));
    let mut beat = one.clone();
    beat.resource_version = "8".into();
    if let Detail::Workload(scale) = &mut beat.detail {
        scale.ready = Some(0);
    }
    check(change(Some(one), Some(beat), false), None);
}

#[test]
fn what_came_and_went_is_told_and_what_was_there_before_is_not() {
    let object = deployment(1, "shop:1");
    let all = r#"{"image/app":[null,"shop:1"],"replicas":[null,1]}"#;
    check(change(None, Some(object.clone()), false), Some(("created", 5_000, all)));
    check(change(None, Some(object.clone()), true), None);
    check(change(Some(object.clone()), None, false), Some(("deleted", 9_000, "")));
    let slice = Object { kind: Kind::EndpointSlice, detail: Detail::Namespace, ..object };
    check(change(None, Some(slice), false), None);
}

#[test]
fn a_difference_is_bounded_and_says_so() {
    let many =
        |value: &str| (0..200).map(|key| (format!("labels/{key:03}"), value.repeat(20).into())).collect();
    let text = diff(&many("a"), &many("b"));
    assert!(text.len() < super::MOST_DIFF_BYTES + 64, "{}", text.len());
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let left_out = fields["left_out"][1].as_u64().unwrap();
    assert_eq!(fields.len() as u64 - 1 + left_out, 200);
}
