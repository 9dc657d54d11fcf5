//! Records of the identity ring.

use agent_common::cgroups::{ATTACHED, Event, MADE, PATH_LEN, REMOVED};

use crate::kernel::batch::record;
use crate::window::sample::CgroupEvent;

/// What a record says; `None` for one that is too short, of an unknown kind, or made without its path. The path is told
/// from the node's root, which lies so many levels below the hierarchy's.
pub fn event(bytes: &[u8], node_level: u32) -> Option<CgroupEvent> {
    let event: Event = record(bytes)?;
    match event.kind {
        REMOVED => Some(CgroupEvent::Removed { id: event.id }),
        MADE | ATTACHED => {
            let length = (event.path_len as usize).min(PATH_LEN).checked_sub(1)?;
            let path = String::from_utf8_lossy(event.path.get(..length)?).into_owned();
            let path = below(&path, node_level)?.to_owned();
            Some(CgroupEvent::Made { id: event.id, path })
        }
        _ => None,
    }
}

/// A path without its first names.
fn below(path: &str, levels: u32) -> Option<&str> {
    let mut rest = path.strip_prefix('/').map(|_| path)?;
    for _ in 0..levels {
        let names = rest.strip_prefix('/').filter(|names| !names.is_empty())?;
        rest = names.find('/').map_or("", |at| &names[at..]);
    }
    Some(if rest.is_empty() { "/" } else { rest })
}

#[cfg(test)]
mod tests {
    use super::event;
    use crate::window::sample::CgroupEvent;

    fn bytes(kind: u32, path: &[u8], path_len: u32) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), path_len.to_le_bytes()].concat();
        bytes.extend_from_slice(&42_u64.to_le_bytes());
        bytes.extend_from_slice(path);
        bytes.resize(528, 0);
        bytes
    }

    #[test]
    fn births_and_deaths_are_read() {
        let made = Some(CgroupEvent::Made { id: 42, path: "/a/b".into() });
        let event = |bytes: Vec<u8>| event(&bytes, 0);
        assert_eq!(event(bytes(1, b"/a/b\0junk", 5)), made);
        assert_eq!(event(bytes(3, b"/a/b", 5)), made);
        assert_eq!(event(bytes(2, b"", 0)), Some(CgroupEvent::Removed { id: 42 }));
        assert_eq!(event(bytes(1, b"", 0)), None);
        assert_eq!(event(bytes(9, b"/a", 3)), None);
    }

    #[test]
    fn paths_begin_at_the_nodes_root() {
        let check = |path: &str, levels, expected| assert_eq!(super::below(path, levels), expected, "{path}");
        check("/lab/node1/kubepods/x", 2, Some("/kubepods/x"));
        check("/lab/node1", 2, Some("/"));
        check("/", 0, Some("/"));
        check("/lab", 2, None);
        check("/", 1, None);
        check("lab", 0, None);
    }

    #[test]
    fn no_bytes_do_harm() {
        let mut seed = 3_u64;
        for length in 0..600 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 40) as u8 % 5
                })
                .collect();
            drop(event(&bytes, length as u32 % 4));
        }
    }
}
