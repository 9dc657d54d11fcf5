//! Which private kernel fields the programs read, each through a global that holds its offset.

/// A field: where to find it, and the global of the object that gets its offset (`u32::MAX`: absent).
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the `Global<u32>` in the object.
    pub global: &'static str,
    /// Struct, then member path; alternatives in order of preference (renames).
    pub places: &'static [(&'static str, &'static str)],
    /// Size that the program reads; another size counts as absent. 0: any (an embedded struct).
    pub size: u32,
    /// What does not work without it, empty where another field stands in; `None`: the probe cannot run without it.
    pub missing: Option<&'static str>,
}

/// A field without which the probe does not run.
pub const fn required(
    global: &'static str,
    places: &'static [(&'static str, &'static str)],
    size: u32,
) -> Field {
    Field { global, places, size, missing: None }
}

/// A field that older or newer kernels may lack.
pub const fn optional(
    global: &'static str,
    places: &'static [(&'static str, &'static str)],
    size: u32,
    missing: &'static str,
) -> Field {
    Field { global, places, size, missing: Some(missing) }
}
