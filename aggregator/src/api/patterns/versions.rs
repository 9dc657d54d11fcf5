//! The patterns that are new in a version of a workload, or gone with it.
//!
//! Versions follow each other by the first line that is known of each, of whatever pattern: while one takes the other's
//! place both write, and what both have is neither new nor gone.

use std::collections::HashMap;

use store::Pattern;

use super::compared::{Compared, Others};

/// `new`: patterns that have lines of the version, and that no version had which began before it. `gone`: those that such
/// versions have lines of, and the version never had; with these lines.
pub(super) fn compared(show: &str, version: &str, patterns: Vec<Pattern>) -> Vec<Compared> {
    let began = Began::of(&patterns);
    let is_of = |pattern: &Pattern| pattern.versions.iter().any(|of| of.version == version);
    let (earlier, own): (Vec<(u64, &Pattern)>, Vec<&Pattern>) = (
        patterns.iter().filter_map(|pattern| Some((began.earlier(pattern, version)?, pattern))).collect(),
        patterns.iter().filter(|pattern| is_of(pattern)).collect(),
    );
    let mut found: Vec<Compared> = if show == "gone" {
        let others = Others::new(own);
        let gone = earlier.into_iter().filter(|(lines, pattern)| *lines > 0 && !others.has(pattern));
        gone.map(|(lines, pattern)| (Pattern { lines: 0, ..pattern.clone() }, Some(lines))).collect()
    } else {
        let others = Others::new(earlier.into_iter().map(|(_, pattern)| pattern));
        let new = own.into_iter().filter(|pattern| pattern.lines > 0 && !others.has(pattern));
        new.map(|pattern| (pattern.clone(), Some(0))).collect()
    };
    found.sort_by_key(|(pattern, before)| std::cmp::Reverse(pattern.lines.max(before.unwrap_or(0))));
    found
}

/// When versions of workloads began.
struct Began<'a>(HashMap<(&'a str, &'a str, &'a str), i64>);

impl<'a> Began<'a> {
    fn of(patterns: &'a [Pattern]) -> Self {
        let mut began = HashMap::new();
        for pattern in patterns {
            for version in &pattern.versions {
                let key = (pattern.namespace.as_str(), pattern.workload.as_str(), version.version.as_str());
                let first = began.entry(key).or_insert(version.first_ns);
                *first = version.first_ns.min(*first);
            }
        }
        Self(began)
    }

    /// If versions from before this one had the pattern: how many lines of theirs are in the range.
    fn earlier(&self, pattern: &Pattern, version: &str) -> Option<u64> {
        let began = self.first_ns(pattern, version)?;
        let earlier = |version: &str| self.first_ns(pattern, version).is_some_and(|first| first < began);
        let mut versions = pattern.versions.iter().filter(|of| earlier(&of.version)).peekable();
        // also where their versions were forgotten, or not told apart yet
        let is_known = versions.peek().is_some() || pattern.known_since_ns < began;
        is_known.then(|| versions.map(|of| of.lines).sum())
    }

    /// The first line of a version of the pattern's workload.
    fn first_ns(&self, pattern: &Pattern, version: &str) -> Option<i64> {
        self.0.get(&(pattern.namespace.as_str(), pattern.workload.as_str(), version)).copied()
    }
}

#[cfg(test)]
mod tests {
    use store::{Pattern, PatternVersion};

    use super::compared;

    fn pattern(text: &str, lines: u64, versions: &[(&str, u64, i64)]) -> Pattern {
        let versions = versions.iter().map(|(version, lines, first_ns)| PatternVersion {
            version: (*version).to_owned(),
            lines: *lines,
            first_ns: *first_ns,
            last_ns: *first_ns,
        });
        let versions: Vec<_> = versions.collect();
        Pattern {
            id: text.bytes().fold(0, |id: u64, byte| id.wrapping_mul(31).wrapping_add(byte.into())),
            namespace: "shop".to_owned(),
            workload: "cart".to_owned(),
            text: text.to_owned(),
            lines,
            known_since_ns: versions.iter().map(|version| version.first_ns).min().unwrap_or(5),
            versions,
            ..Pattern::default()
        }
    }

    #[track_caller]
    fn check(show: &str, version: &str, patterns: &[Pattern], expected: &[(&str, u64, u64)]) {
        let found = compared(show, version, patterns.to_vec());
        let found: Vec<_> =
            found.iter().map(|(pattern, before)| (&*pattern.text, pattern.lines, before.unwrap())).collect();
        assert_eq!(found, expected, "{show} {version}");
    }

    #[test]
    fn what_is_new_or_gone_in_a_version_is_told_from_what_merely_began_late() {
        let patterns = [
            pattern("both have", 4, &[("1", 9, 100), ("2", 4, 200)]),
            pattern("only old wrote", 0, &[("1", 7, 110)]),
            pattern("comes with two", 3, &[("2", 3, 210)]),
            // the new one was only the first to write it
            pattern("while both ran, it came", 2, &[("1", 1, 260), ("2", 2, 250)]),
            pattern("later three has it too now", 5, &[("2", 5, 220), ("3", 1, 300)]),
            // from before versions were told apart
            pattern("long known to the registry it was", 1, &[("2", 1, 230)]),
            pattern("user bob left the shop and never came", 1, &[("2", 1, 240)]),
            pattern("user <*> left the shop and never came", 0, &[("1", 2, 120)]),
        ];
        let mut patterns = patterns.to_vec();
        patterns[5].known_since_ns = 90;
        check("new", "2", &patterns, &[("later three has it too now", 5, 0), ("comes with two", 3, 0)]);
        check("gone", "2", &patterns, &[("only old wrote", 0, 7)]);
        check("new", "4", &patterns, &[]);
        check("gone", "4", &patterns, &[]);
        // nothing began before the first, but for what is not told apart
        let first = [pattern("both have", 9, &[("1", 9, 100), ("2", 4, 200)])];
        check("new", "1", &first, &[("both have", 9, 0)]);
    }
}
