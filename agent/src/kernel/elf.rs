//! One question to an object file: what lies in the section of this name.

/// The bytes of a section of a little-endian 64-bit ELF; `None` where it has none, or is no ELF.
pub(super) fn section<'a>(object: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    if !object.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(word8(object, 0x28)?).ok()?;
    let (stride, count, names) = (half(object, 0x3a)?, half(object, 0x3c)?, half(object, 0x3e)?);
    let names = body(object, table.checked_add(stride.checked_mul(names)?)?)?;
    for index in 0..count {
        let header = table.checked_add(stride.checked_mul(index)?)?;
        let name = names.get(word4(object, header)?..)?;
        if name.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
            return body(object, header);
        }
    }
    None
}

fn body(object: &[u8], header: usize) -> Option<&[u8]> {
    let start = usize::try_from(word8(object, header.checked_add(0x18)?)?).ok()?;
    let size = usize::try_from(word8(object, header.checked_add(0x20)?)?).ok()?;
    object.get(start..start.checked_add(size)?)
}

fn half(object: &[u8], at: usize) -> Option<usize> {
    object.get(at..)?.first_chunk::<2>().map(|bytes| usize::from(u16::from_le_bytes(*bytes)))
}

fn word4(object: &[u8], at: usize) -> Option<usize> {
    object.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize)
}

fn word8(object: &[u8], at: usize) -> Option<u64> {
    object.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::section;

    const OBJECT: &[u8] = include_bytes!("../../ebpf-objects/x86_64/syscalls.o");

    #[test]
    fn a_section_is_found_by_its_whole_name() {
        assert_eq!(section(OBJECT, "license"), Some(&b"GPL\0"[..]));
        assert_eq!(section(OBJECT, "licens"), None);
        assert_eq!(section(b"not an object", "license"), None);
    }

    #[test]
    fn a_damaged_object_has_no_section_and_does_no_harm() {
        for cut in 0..OBJECT.len().min(4096) {
            _ = section(OBJECT.get(..cut).unwrap(), "license");
        }
        let mut bytes = OBJECT.to_vec();
        for at in 0..64 {
            bytes[at] ^= 0xff;
            _ = section(&bytes, "license");
            bytes[at] ^= 0xff;
        }
    }
}
