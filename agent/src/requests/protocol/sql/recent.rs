//! Statements that come again: most clients send the same few texts, each time anew, and to read one takes longer than all
//! else that is done for its span.

use std::sync::Arc;

use super::{Dialect, Statement};
use crate::requests::hash::print;

/// Statements of one connection that are kept, and bytes of one.
const MOST: usize = 4;
const MOST_BYTES: usize = 1_024;

/// The last statements of a connection: what may be kept of them, and a print of what was sent.
pub(in super::super) struct Recent {
    dialect: Dialect,
    kept: Vec<Kept>,
    /// The place of the next one.
    next: usize,
}

struct Kept {
    length: usize,
    print: u64,
    cut: bool,
    statement: Arc<Statement>,
}

impl Recent {
    pub(in super::super) fn new(dialect: Dialect) -> Self {
        Self { dialect, kept: Vec::new(), next: 0 }
    }

    /// As `Statement::read`.
    pub(in super::super) fn read(&mut self, sql: &[u8], cut: bool) -> Arc<Statement> {
        let end = memchr::memchr(0, sql).unwrap_or(sql.len());
        let sql = &sql[..end];
        if sql.len() > MOST_BYTES {
            return Arc::new(Statement::read(sql, self.dialect, cut));
        }
        let (length, print) = (sql.len(), print(sql));
        let is_it = |kept: &&Kept| (kept.length, kept.print, kept.cut) == (length, print, cut);
        if let Some(kept) = self.kept.iter().find(is_it) {
            return Arc::clone(&kept.statement);
        }
        let statement = Arc::new(Statement::read(sql, self.dialect, cut));
        let kept = Kept { length, print, cut, statement: Arc::clone(&statement) };
        match self.kept.get_mut(self.next) {
            Some(oldest) => *oldest = kept,
            None => self.kept.push(kept),
        }
        self.next = (self.next + 1) % MOST;
        statement
    }

    /// Bytes that they take.
    pub(in super::super) fn memory(&self) -> usize {
        const EACH: usize = 256;
        self.kept.iter().map(|kept| EACH + kept.statement.text.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Dialect, MOST, MOST_BYTES, Recent, Statement};

    #[test]
    fn a_statement_that_comes_again_is_the_one_that_was_read() {
        let mut recent = Recent::new(Dialect::Postgres);
        let texts: Vec<String> =
            (0..MOST).map(|number| format!("SELECT a FROM b{number} WHERE c = 1")).collect();
        let first: Vec<_> = texts.iter().map(|text| recent.read(text.as_bytes(), false)).collect();
        for (text, first) in texts.iter().zip(&first) {
            let again = recent.read(format!("{text}\0behind").as_bytes(), false);
            assert!(Arc::ptr_eq(&again, first));
            assert_eq!(*again, Statement::read(text.as_bytes(), Dialect::Postgres, false));
        }
        // one that was cut may be the begin of another
        let cut = recent.read(texts[3].as_bytes(), true);
        assert!(cut.cut && !Arc::ptr_eq(&cut, &first[3]));
        // which took the place of the oldest
        assert!(Arc::ptr_eq(&recent.read(texts[1].as_bytes(), false), &first[1]));
        assert!(!Arc::ptr_eq(&recent.read(texts[0].as_bytes(), false), &first[0]));
        let before = recent.memory();
        recent.read("x".repeat(MOST_BYTES + 1).as_bytes(), false);
        assert_eq!((recent.memory(), recent.kept.len()), (before, MOST));
    }
}
