//! What the fuzz targets in `fuzz/` call: recorded cases, which come from other people's machines.
//!
//! No input may make any of these panic or break what is asserted. The tests replay the corpus through the same table, so
//! that a finding stays found. Hidden: no program uses this.

use crate::judge::{export, read};

/// A target's name in `fuzz/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: [Target; 2] = [("effects_case", effects_case), ("effects_export", effects_export)];

/// `case.json`, an empty line, `series.csv`.
pub fn effects_case(data: &[u8]) {
    let cut = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (json, series) = data.split_at(cut);
    if let Ok(case) = read::bytes(json, series.trim_ascii_start()) {
        let case = case.check().expect("a case that was read is whole");
        assert_eq!(effects::judge::judge(&case).len(), case.changes.len(), "every change is judged");
    }
}

/// The time of a change, a line break, one export of somebody's monitoring.
pub fn effects_export(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (at, export) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(case) = export::bytes(export, at) {
        assert_eq!(effects::judge::judge(&case).len(), 1, "the change is judged");
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_and_changes_of_it_do_no_harm() {
        super::replay::all(&super::TARGETS);
    }
}
