//! The patterns that are new, gone or surging against a range before.

use std::collections::HashMap;

use store::Pattern;

/// A pattern surges at so many times the lines of the range before, and at so many lines.
const SURGE_TIMES: u64 = 4;
const SURGE_LINES: u64 = 10;
/// Patterns of as many words that one is compared with, where it has no equal.
const MOST_ALIKE: usize = 1_000;

/// A pattern, and its lines in what it is compared with.
pub(super) type Compared = (Pattern, Option<u64>);

/// The patterns that are new, gone or surging, with their lines in the range before, which ends at `since_ns`.
/// Of a `version`, both ranges have its lines alone.
pub(super) fn compared(
    show: &str,
    since_ns: i64,
    version: Option<&str>,
    now: Vec<Pattern>,
    before: &[Pattern],
) -> Vec<Compared> {
    if show == "gone" {
        let here = Others::new(&now);
        let gone = before.iter().filter(|pattern| here.lines(pattern) == 0);
        return gone.map(|pattern| (Pattern { lines: 0, ..pattern.clone() }, Some(pattern.lines))).collect();
    }
    let there = Others::new(before);
    let least = if show == "new" { 1 } else { SURGE_LINES };
    let rows = now.into_iter().filter(|pattern| pattern.lines >= least).map(|pattern| {
        let lines = there.lines(&pattern);
        (pattern, Some(lines))
    });
    let keep = |(pattern, before): &Compared| {
        // what the registry has seen before the range is not new, however long ago that was
        let was_known = match version {
            Some(version) => {
                pattern.versions.iter().any(|of| of.version == version && of.first_ns < since_ns)
            }
            None => pattern.known_since_ns < since_ns,
        };
        match (show, before.unwrap_or(0)) {
            ("new", before) => before == 0 && !was_known,
            (_, 0) => was_known,
            (_, before) => pattern.lines >= before.saturating_mul(SURGE_TIMES),
        }
    };
    rows.filter(keep).collect()
}

/// Patterns that one is compared with. One that has no equal there may stand in others that were merged, or were not.
pub(super) struct Others<'a> {
    lines: HashMap<(u64, &'a str, &'a str), u64>,
    /// By how many words they have: patterns of which one covers the other have as many.
    by_words: HashMap<(&'a str, &'a str, usize), Vec<&'a Pattern>>,
}

impl<'a> Others<'a> {
    pub(super) fn new(patterns: impl IntoIterator<Item = &'a Pattern>) -> Self {
        let mut others = Self { lines: HashMap::new(), by_words: HashMap::new() };
        for pattern in patterns {
            let (namespace, workload) = (pattern.namespace.as_str(), pattern.workload.as_str());
            others.lines.insert((pattern.id, namespace, workload), pattern.lines);
            let key = (namespace, workload, words(pattern));
            others.by_words.entry(key).or_default().push(pattern);
        }
        others
    }

    /// Lines of the same pattern there, else of those that it covers or that cover it.
    pub(super) fn lines(&self, pattern: &Pattern) -> u64 {
        let equal = self.lines.get(&key(pattern));
        equal.copied().unwrap_or_else(|| self.alike(pattern).map(|other| other.lines).sum())
    }

    /// Whether there is such a pattern, with lines or without.
    pub(super) fn has(&self, pattern: &Pattern) -> bool {
        self.lines.contains_key(&key(pattern)) || self.alike(pattern).next().is_some()
    }

    fn alike<'s>(&'s self, pattern: &'s Pattern) -> impl Iterator<Item = &'s Pattern> {
        let (_, namespace, workload) = key(pattern);
        let alike = self.by_words.get(&(namespace, workload, words(pattern)));
        let alike = alike.into_iter().flatten().copied().take(MOST_ALIKE);
        alike.filter(move |other| pattern.covers(other) || other.covers(pattern))
    }
}

fn key(pattern: &Pattern) -> (u64, &str, &str) {
    (pattern.id, &pattern.namespace, &pattern.workload)
}

fn words(pattern: &Pattern) -> usize {
    pattern.text.split(' ').count()
}

#[cfg(test)]
mod tests {
    use store::Pattern;

    use super::compared;

    fn pattern(id: u64, lines: u64) -> Pattern {
        Pattern {
            id,
            lines,
            namespace: "shop".to_owned(),
            workload: "cart".to_owned(),
            text: format!("pattern{id}"),
            known_since_ns: i64::MAX,
            ..Pattern::default()
        }
    }

    #[test]
    fn patterns_are_new_gone_or_surging() {
        let known = |id, lines| Pattern { known_since_ns: 50, ..pattern(id, lines) };
        let now = vec![
            pattern(1, 50),
            known(2, 9),
            known(3, 40),
            known(4, 100),
            // long ago, and not in the range before
            known(6, 12),
            known(7, 9),
        ];
        let before = vec![pattern(2, 1), pattern(3, 10), pattern(4, 90), pattern(5, 7)];
        let ids = |show: &str| -> Vec<(u64, u64, Option<u64>)> {
            let rows = compared(show, 100, None, now.clone(), &before);
            rows.into_iter().map(|(pattern, before)| (pattern.id, pattern.lines, before)).collect()
        };
        assert_eq!(ids("new"), [(1, 50, Some(0))]);
        assert_eq!(ids("gone"), [(5, 0, Some(7))]);
        assert_eq!(ids("surging"), [(3, 40, Some(10)), (6, 12, Some(0))]);
    }

    #[test]
    fn a_word_that_varied_in_one_range_only_makes_nothing_new_or_gone() {
        let of = |id, lines, text: &str| Pattern { text: text.to_owned(), ..pattern(id, lines) };
        let merged = vec![of(1, 40, "user <*> left")];
        let single = vec![of(2, 3, "user ann left"), of(3, 4, "user bob left"), of(4, 9, "disk full")];
        let ids = |show: &str, now: &[Pattern], before: &[Pattern]| -> Vec<(u64, Option<u64>)> {
            let rows = compared(show, 100, None, now.to_vec(), before);
            rows.into_iter().map(|(pattern, before)| (pattern.id, before)).collect()
        };
        assert_eq!(ids("new", &merged, &single), []);
        assert_eq!(ids("gone", &merged, &single), [(4, Some(9))]);
        assert_eq!(ids("surging", &merged, &single), [(1, Some(7))]);
        assert_eq!(ids("new", &single, &merged), [(4, Some(0))]);
        assert_eq!(ids("gone", &single, &merged), []);
    }
}
