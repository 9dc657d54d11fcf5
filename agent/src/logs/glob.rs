//! Path patterns: `*`, `?` and `[..]` inside a component, expanded against the file system or matched against a path.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Most directories that one expansion visits: a glob over a huge tree must not stall the reader.
const MAX_DIRECTORIES: usize = 4096;

/// An absolute path pattern, split at its components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    components: Vec<String>,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self { components: pattern.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect() }
    }

    /// Whether the pattern names this path.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let Some(text) = path.to_str() else { return false };
        let mut parts = text.split('/').filter(|part| !part.is_empty());
        self.components.iter().all(|pattern| parts.next().is_some_and(|part| matches_name(pattern, part)))
            && parts.next().is_none()
    }

    /// Adds the paths that exist now to `found`, and the directories whose entries were looked at to `directories`.
    pub(crate) fn expand(&self, found: &mut Vec<PathBuf>, directories: &mut BTreeSet<PathBuf>) {
        let mut visits = 0;
        visit(Path::new("/"), &self.components, &mut visits, found, directories);
    }
}

fn visit(
    base: &Path,
    rest: &[String],
    visits: &mut usize,
    found: &mut Vec<PathBuf>,
    directories: &mut BTreeSet<PathBuf>,
) {
    let Some((pattern, rest)) = rest.split_first() else { return };
    if !pattern.contains(['*', '?', '[']) {
        let path = base.join(pattern);
        if rest.is_empty() {
            directories.insert(base.to_owned());
            if path.symlink_metadata().is_ok() {
                found.push(path);
            }
        } else {
            visit(&path, rest, visits, found, directories);
        }
        return;
    }
    *visits += 1;
    if *visits > MAX_DIRECTORIES {
        return;
    }
    let Ok(entries) = fs::read_dir(base) else { return };
    directories.insert(base.to_owned());
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| matches_name(pattern, name))
        .collect();
    names.sort_unstable();
    for name in names {
        let path = base.join(name);
        if rest.is_empty() {
            found.push(path);
        } else if path.is_dir() {
            visit(&path, rest, visits, found, directories);
        }
    }
}

/// One component; as in the shell, `*` and `?` do not match a leading dot.
fn matches_name(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut in_name) = (0, 0);
    // where to go on when a match fails: behind the last star, one byte further in the name
    let mut retry: Option<(usize, usize)> = None;
    while in_name < name.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, in_name));
            at += 1;
        } else if let Some(next) = pattern.get(at..).and_then(|rest| matches_byte(rest, name[in_name])) {
            at += next;
            in_name += 1;
        } else if let Some((after_star, start)) = retry {
            retry = Some((after_star, start + 1));
            (at, in_name) = (after_star, start + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// The length of the pattern's first item if it matches this byte.
fn matches_byte(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => match class(pattern, byte) {
            Some((length, hit)) => hit.then_some(length),
            None => (byte == b'[').then_some(1),
        },
        &other => (other == byte).then_some(1),
    }
}

/// `[abc]`, `[a-z]`, `[!..]`: its length, and whether it holds the byte; `None` where it is not closed.
fn class(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut hit = false;
    loop {
        let &low = pattern.get(at)?;
        if low == b']' && at > first {
            return Some((at + 1, hit != negated));
        }
        if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|&high| high != b']') {
            hit |= (low..=*pattern.get(at + 2)?).contains(&byte);
            at += 3;
        } else {
            hit |= low == byte;
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Glob, matches_name};
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn components_match_as_in_a_shell() {
        let yes = [
            ("*.log", "a.log"),
            ("*", "x"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("*a*b*", "xxaxxb"),
        ];
        let no = [
            ("*.log", "a.log.1"),
            ("*", ".hidden"),
            ("a?c", "ac"),
            ("[a-c]x", "dx"),
            ("[!a]x", "ax"),
            ("", "x"),
        ];
        assert!(yes.iter().all(|(pattern, name)| matches_name(pattern, name)));
        assert!(!no.iter().any(|(pattern, name)| matches_name(pattern, name)));
        assert!(matches_name("[x", "[x") && matches_name(".*", ".hidden"));
    }

    #[test]
    fn a_path_must_have_as_many_components() {
        let glob = Glob::new("/var/log/*/*.log");
        assert!(glob.matches(Path::new("/var/log/nginx/access.log")));
        assert!(!glob.matches(Path::new("/var/log/access.log")));
        assert!(!glob.matches(Path::new("/var/log/a/b/access.log")));
    }

    #[test]
    fn expansion_names_files_and_the_directories_to_watch() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a/x.log", "b/y.log", "b/z.txt"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let (mut found, mut directories) = (Vec::new(), BTreeSet::new());
        Glob::new(root.path().join("*/*.log").to_str().unwrap()).expand(&mut found, &mut directories);
        assert_eq!(found, [root.path().join("a/x.log"), root.path().join("b/y.log")]);
        assert_eq!(directories.len(), 3);
    }
}
