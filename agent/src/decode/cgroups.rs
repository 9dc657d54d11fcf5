//! Records of the identity ring.

use agent_common::cgroups::{ATTACHED, Event, MADE, PATH_LEN, REMOVED};

use crate::kernel::batch::record;
use crate::window::sample::CgroupEvent;

/// What a record says; `None` for one that is too short, of an unknown kind, or made without its path.
pub fn event(bytes: &[u8]) -> Option<CgroupEvent> {
    let event: Event = record(bytes)?;
    match event.kind {
        REMOVED => Some(CgroupEvent::Removed { id: event.id }),
        MADE | ATTACHED => {
            let length = (event.path_len as usize).min(PATH_LEN).checked_sub(1)?;
            let path = String::from_utf8_lossy(event.path.get(..length)?).into_owned();
            path.starts_with('/').then_some(CgroupEvent::Made { id: event.id, path })
        }
        _ => None,
    }
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
        assert_eq!(event(&bytes(1, b"/a/b\0junk", 5)), made);
        assert_eq!(event(&bytes(3, b"/a/b", 5)), made);
        assert_eq!(event(&bytes(2, b"", 0)), Some(CgroupEvent::Removed { id: 42 }));
        assert_eq!(event(&bytes(1, b"", 0)), None);
        assert_eq!(event(&bytes(9, b"/a", 3)), None);
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
            drop(event(&bytes));
        }
    }
}
