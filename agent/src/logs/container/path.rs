//! What the path of a container's log says about it.

use std::path::Path;

use crate::window::sample::PodContainer;

/// A container as its log's path names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    /// Attributes under their OpenTelemetry names.
    pub(crate) attributes: Vec<(&'static str, String)>,
    /// The runtime's id, 64 hex digits, where the path has it.
    pub(crate) id: Option<String>,
    /// The container of a pod that the path names.
    pub(crate) pod: Option<PodContainer>,
}

/// `.../pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log` or docker's `.../containers/<id>/<id>-json.log`.
pub(crate) fn of_path(path: &Path) -> Container {
    let parts: Vec<&str> = path.iter().rev().take(3).filter_map(|part| part.to_str()).collect();
    let [file, directory, above] = parts[..] else { return Container::default() };
    if let Some(id) = file.strip_suffix("-json.log") {
        if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let attributes = vec![("container.id", id.to_owned())];
            return Container { attributes, id: Some(id.to_owned()), pod: None };
        }
        return Container::default();
    }
    // names of namespaces and pods hold no underscore
    let mut pod = above.splitn(3, '_');
    let (Some(namespace), Some(name), Some(uid)) = (pod.next(), pod.next(), pod.next()) else {
        return Container::default();
    };
    let mut attributes = vec![
        ("k8s.namespace.name", namespace.to_owned()),
        ("k8s.pod.name", name.to_owned()),
        ("k8s.pod.uid", uid.to_owned()),
        ("k8s.container.name", directory.to_owned()),
    ];
    let restarts = file.split('.').next().filter(|count| count.parse::<u32>().is_ok());
    attributes.extend(restarts.map(|count| ("k8s.container.restart_count", count.to_owned())));
    let pod = [namespace, name, uid, directory].iter().all(|part| !part.is_empty()).then(|| PodContainer {
        namespace: namespace.to_owned(),
        pod: name.to_owned(),
        uid: uid.to_owned(),
        container: directory.to_owned(),
    });
    Container { attributes, id: None, pod }
}

#[cfg(test)]
mod tests {
    use super::of_path;
    use std::path::Path;

    #[test]
    fn a_pod_path_names_namespace_pod_uid_container_and_restarts() {
        let path = "/var/log/pods/shop_cart-7d9_0a1b-2c/app/3.log";
        let container = of_path(Path::new(path));
        let values: Vec<&str> = container.attributes.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["shop", "cart-7d9", "0a1b-2c", "app", "3"]);
        let pod = container.pod.unwrap();
        let names = [&pod.namespace, &pod.pod, &pod.uid, &pod.container];
        assert_eq!(names, ["shop", "cart-7d9", "0a1b-2c", "app"]);
    }

    #[test]
    fn a_docker_path_names_the_container_and_others_nothing() {
        let id = "a".repeat(64);
        let path = format!("/var/lib/docker/containers/{id}/{id}-json.log");
        assert_eq!(of_path(Path::new(&path)).id, Some(id));
        for path in ["/var/log/pods/x/y/z.log", "/a", "/", "/var/lib/docker/containers/x/x-json.log"] {
            assert_eq!(of_path(Path::new(path)), super::Container::default(), "{path}");
        }
    }
}
