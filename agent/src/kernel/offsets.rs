//! Offsets from BTF into the programs' globals, and the self-check that they mean what they say.

use agent_common::fields::Field;

use super::KernelFeatures;
use super::btf::{Btf, FieldError};
use crate::probe::AttachError;

/// The offset of a field, or why there is none.
pub(super) fn resolve(btf: &Btf, field: &Field) -> Result<u32, FieldError> {
    let mut last = FieldError::Absent;
    for (container, path) in field.places {
        match btf.field(container, path) {
            Ok(place) if field.size == 0 || place.size == field.size => return Ok(place.offset),
            Ok(_other_size) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Offsets for all fields: `u32::MAX` where an optional one is absent, which is told in `missing`.
pub(super) fn globals(
    features: &KernelFeatures,
    fields: &[Field],
    missing: &mut Vec<String>,
) -> Result<Vec<(&'static str, u32)>, AttachError> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let Some(btf) = features.btf.as_deref() else {
        return Err(AttachError::Unsupported {
            code: "no_btf",
            detail: "/sys/kernel/btf/vmlinux cannot be read: needs a kernel with CONFIG_DEBUG_INFO_BTF"
                .into(),
        });
    };
    if let Some(detail) = &features.offset_mismatch {
        return Err(AttachError::Failed { code: "offset_mismatch", detail: detail.clone() });
    }
    let mut found = Vec::with_capacity(fields.len());
    for field in fields {
        let offset = match (resolve(btf, field), field.missing) {
            (Ok(offset), _) => offset,
            (Err(_), Some(what)) => {
                if !what.is_empty() {
                    missing.push(what.to_owned());
                }
                u32::MAX
            }
            (Err(error), None) => {
                let names: Vec<String> =
                    field.places.iter().map(|(of, path)| format!("{of}.{path}")).collect();
                return Err(AttachError::Unsupported {
                    code: "field_missing",
                    detail: format!("{}: {error} in this kernel", names.join(" or ")),
                });
            }
        };
        found.push((field.global, offset));
    }
    missing.sort();
    missing.dedup();
    Ok(found)
}
