//! A cgroup path's name: systemd unit, container of any runtime, pod, or the path itself. Pure.
//!
//! The last segment that names a container decides, so a cgroup made inside a container belongs to that container;
//! without one the last systemd unit; without that the whole path. Forms: agent design, section 7.

#[cfg(test)]
mod tests;

/// What a path says about its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// `nginx.service`, `docker/4c01db0b339c`, `pod/<uid>`, `/some/path`
    pub workload: String,
    /// systemd_unit | container | cgroup
    pub kind: &'static str,
    /// The pod's uid, with dashes, where the path holds one.
    pub pod_uid: String,
    /// The container's id or name.
    pub container: String,
    /// How many segments of the path name the workload; what lies deeper is part of it.
    pub depth: usize,
}

/// Whether this cgroup lies inside the one that its workload is named for.
pub fn is_nested(path: &str) -> bool {
    name(path).depth < path.split('/').filter(|segment| !segment.is_empty()).count()
}

/// Names a path as it is seen from the hierarchy's root, e.g. `/system.slice/nginx.service`.
pub fn name(path: &str) -> Name {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let pod_uid = segments.iter().rev().find_map(|segment| pod_uid(segment)).unwrap_or_default();
    for (index, segment) in segments.iter().enumerate().rev() {
        let parent =
            index.checked_sub(1).and_then(|before| segments.get(before)).copied().unwrap_or_default();
        if let Some((runtime, container)) = container(segment, parent, !pod_uid.is_empty()) {
            let workload = match runtime {
                _ if !pod_uid.is_empty() => format!("pod/{pod_uid}"),
                "lxc" | "nspawn" => format!("{runtime}/{container}"),
                _ => format!("{runtime}/{}", short(&container)),
            };
            return Name { workload, kind: "container", pod_uid, container, depth: index + 1 };
        }
    }
    let depth = segments.len();
    if let Some(index) = segments.iter().rposition(|segment| self::pod_uid(segment).is_some()) {
        let workload = format!("pod/{pod_uid}");
        return Name { workload, kind: "container", pod_uid, container: String::new(), depth: index + 1 };
    }
    if let Some((index, unit)) = segments.iter().enumerate().rev().find(|(_, segment)| is_unit(segment)) {
        return Name { workload: unescape(unit), kind: "systemd_unit", depth: index + 1, ..Name::default() };
    }
    if let Some(slice) = segments.last().filter(|segment| segment.ends_with(".slice")) {
        return Name { workload: unescape(slice), kind: "systemd_unit", depth, ..Name::default() };
    }
    Name { workload: format!("/{}", segments.join("/")), kind: "cgroup", depth, ..Name::default() }
}

/// Twelve digits are what `docker ps` shows and enough to tell containers of one host apart.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_unit(segment: &str) -> bool {
    [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|suffix| segment.ends_with(suffix))
}

/// The runtime and the container that one segment names.
fn container(segment: &str, parent: &str, in_pod: bool) -> Option<(&'static str, String)> {
    // crio-conmon watches a container and is none
    if segment.starts_with("crio-conmon-") || segment.starts_with("libpod-conmon-") {
        return None;
    }
    // drivers mixed: `...-pod<uid>.slice:cri-containerd:<id>`
    if let Some((rest, id)) = segment.rsplit_once(':')
        && is_hex(id, 64)
    {
        let runtime = rest.rsplit(':').next().unwrap_or_default();
        return Some((runtime_named(runtime).unwrap_or("container"), id.to_owned()));
    }
    let bare = segment.strip_suffix(".scope").or_else(|| segment.strip_suffix(".service")).unwrap_or(segment);
    if let Some((prefix, id)) = bare.rsplit_once('-')
        && is_hex(id, 64)
        && let Some(runtime) = runtime_named(prefix)
    {
        return Some((runtime, id.to_owned()));
    }
    if is_hex(segment, 64) {
        let runtime = runtime_named(parent).unwrap_or(if in_pod { "containerd" } else { "container" });
        return Some((runtime, segment.to_owned()));
    }
    if let Some(name) = segment.strip_prefix("lxc.payload.") {
        return Some(("lxc", name.to_owned()));
    }
    if parent == "lxc" {
        return Some(("lxc", segment.to_owned()));
    }
    if let Some(machine) = bare.strip_prefix("machine-").filter(|_| segment.ends_with(".scope")) {
        return Some(("nspawn", unescape(machine)));
    }
    if parent == "podruntime" {
        return Some(("podruntime", segment.to_owned()));
    }
    None
}

fn runtime_named(prefix: &str) -> Option<&'static str> {
    Some(match prefix {
        "docker" => "docker",
        "cri-containerd" | "containerd" => "containerd",
        "crio" => "crio",
        "libpod" | "libpod_parent" => "podman",
        "nerdctl" => "nerdctl",
        "buildkit" => "buildkit",
        "machine.slice" => "podman",
        _ => return None,
    })
}

/// `pod<uid>` of cgroupfs, `kubepods-...-pod<uid with _>.slice` of systemd; a static pod's uid is 32 hex digits.
fn pod_uid(segment: &str) -> Option<String> {
    let head = segment.split(':').next().unwrap_or(segment);
    let bare = head.strip_suffix(".slice").unwrap_or(head);
    let uid = match bare.strip_prefix("pod") {
        Some(uid) => uid,
        None => {
            bare.rsplit_once("-pod").filter(|(prefix, _)| prefix.contains("kubepods")).map(|(_, uid)| uid)?
        }
    };
    let uid = unescape(uid).replace('_', "-");
    let is_uuid = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (is_uuid || is_hex(&uid, 32)).then_some(uid)
}

/// systemd writes `-` in a name as `\x2d`.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        plain.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii);
        match byte {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                plain.push_str("\\x");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}
