//! What was found out about this kernel is true.

use agent::kernel::KernelFeatures;

use crate::requires::{Need, requires};

#[test]
fn offsets_from_btf_agree_with_proc() {
    if !requires("offsets_from_btf_agree_with_proc", &[Need::Root, Need::Btf]) {
        return;
    }
    let features = KernelFeatures::probe();
    assert_eq!(features.offset_mismatch, None);
    assert!(features.has_btf && features.offsets_checked);
    assert!(features.possible_cpus >= 1);
    assert!(features.version() >= (5, 10), "{}", features.release);
}
