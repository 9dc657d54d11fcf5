use proto::v1::{KubeContainer, KubePod};

use super::{Joining, Wishes, of};

fn pod(settings: &[(&str, &str)]) -> KubePod {
    let container = |name: &str| KubeContainer { name: name.into(), ..KubeContainer::default() };
    KubePod {
        containers: vec![container("app"), container("proxy")],
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..KubePod::default()
    }
}

#[track_caller]
fn check(settings: &[(&str, &str)], container: &str, expected: Wishes, wrong: &[&str]) {
    assert_eq!(of(&pod(settings), container), (expected, wrong.iter().map(ToString::to_string).collect()));
}

fn off() -> Wishes {
    Wishes { is_off: true, ..Wishes::default() }
}

#[test]
fn without_annotations_everything_is_as_configured() {
    check(&[], "app", Wishes::default(), &[]);
    // others of ours are not the logs' business
    check(&[("requests", "off"), ("logsomething", "x")], "app", Wishes::default(), &[]);
}

#[test]
fn a_pod_or_one_container_of_it_is_left_out() {
    for value in ["off", "false", " No "] {
        check(&[("logs", value)], "app", off(), &[]);
    }
    check(&[("logs", "on")], "app", Wishes::default(), &[]);
    check(&[("proxy.logs", "off")], "app", Wishes::default(), &[]);
    check(&[("proxy.logs", "off")], "proxy", off(), &[]);
    // the container has the last word
    check(&[("app.logs", "on"), ("logs", "off")], "app", Wishes::default(), &[]);
    check(&[("app.logs", "on"), ("logs", "off")], "proxy", off(), &[]);
}

#[test]
fn what_is_not_understood_leaves_the_logs_out() {
    let wrong = "wake.dev/logs: \"of\" is neither on nor off, and taken as off";
    check(&[("logs", "of")], "app", off(), &[wrong]);
    check(&[("logs", "")], "app", off(), &["wake.dev/logs: \"\" is neither on nor off, and taken as off"]);
}

#[test]
fn hints_of_a_container_win_over_the_pods() {
    let joined = |joining| Wishes { joining, ..Wishes::default() };
    check(&[("logs.multiline", "off")], "app", joined(Joining::Off), &[]);
    check(&[("logs.multiline", "on")], "app", joined(Joining::Rules), &[]);
    let first = || Joining::FirstLine(r"^\d{4}-".to_owned());
    check(&[("logs.first-line", r"^\d{4}-")], "app", joined(first()), &[]);
    check(&[("logs.multiline", "on"), ("logs.first-line", r"^\d{4}-")], "app", joined(first()), &[]);
    let both = [("logs.multiline", "off"), ("app.logs.first-line", r"^\d{4}-")];
    check(&both, "app", joined(first()), &[]);
    check(&both, "proxy", joined(Joining::Off), &[]);
    check(&[("logs.parse", "off")], "app", Wishes { is_plain: true, ..Wishes::default() }, &[]);
}

#[test]
fn mistakes_are_told_and_change_nothing_else() {
    check(
        &[
            ("logs.multiline", "maybe"),
            ("logs.parse", "json"),
            ("logs.colour", "red"),
            ("logs.first-line", ""),
        ],
        "app",
        Wishes::default(),
        &[
            "wake.dev/logs.colour: there is no such annotation",
            "wake.dev/logs.first-line: is empty",
            "wake.dev/logs.multiline: \"maybe\" is neither on nor off",
            "wake.dev/logs.parse: \"json\" is neither on nor off",
        ],
    );
    let wrong = "wake.dev/prxoy.logs: the pod has no container \"prxoy\"";
    check(&[("prxoy.logs", "off")], "app", Wishes::default(), &[wrong]);
}
