//! What a statement does, in a few words: its operations and the tables they name (`db.query.summary`).

use super::lexer::Token;

/// Bytes of a summary, and those that most have.
const MAX: usize = 255;
const USUAL: usize = 64;
/// Bytes of the longest word that is looked for: `STRAIGHT_JOIN`.
const MAX_KEYWORD: usize = 13;
/// Parentheses that are followed.
const MAX_DEPTH: usize = 32;

/// Words that a statement may begin with.
const STATEMENTS: [&str; 56] = [
    "ABORT",
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "INSERT",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "OPTIMIZE",
    "PREPARE",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TRUNCATE",
    "UNLOCK",
    "UPDATE",
    "USE",
    "VACUUM",
    "WITH",
];

/// Words behind which no table of a list follows.
const SEAMS: [&str; 18] = [
    "WHERE",
    "GROUP",
    "ORDER",
    "HAVING",
    "LIMIT",
    "UNION",
    "SET",
    "VALUES",
    "SELECT",
    "ON",
    "USING",
    "RETURNING",
    "WINDOW",
    "FOR",
    "OFFSET",
    "EXCEPT",
    "INTERSECT",
    "WHEN",
];

/// Kinds of objects behind CREATE, ALTER, DROP and TRUNCATE.
const OBJECTS: [&str; 14] = [
    "TABLE",
    "INDEX",
    "VIEW",
    "SCHEMA",
    "DATABASE",
    "SEQUENCE",
    "TYPE",
    "FUNCTION",
    "PROCEDURE",
    "TRIGGER",
    "ROLE",
    "USER",
    "EXTENSION",
    "POLICY",
];

/// Puts a summary together, a token at a time.
#[derive(Default)]
pub(super) struct Summary {
    text: String,
    operation: Option<String>,
    /// The operation is the statement's own, not one of a part of it in parentheses.
    is_own: bool,
    /// Of each open parenthesis and of the statement: whether FROM names tables there.
    frames: Vec<bool>,
    deeper: usize,
    /// The next name is a table.
    expects: bool,
    /// The name under way was a table, and a dot continues it.
    in_name: bool,
    /// In a list of tables.
    in_list: bool,
    after_dot: bool,
    /// The statement's first word is still to come.
    begins: bool,
    /// An object of CREATE and the like is to be named.
    defines: bool,
    before: Before,
}

/// What stood before.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Nothing,
    Open,
    Close,
    Explain,
    Other,
}

impl Summary {
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(USUAL), frames: vec![true], begins: true, ..Self::default() }
    }

    pub(super) fn take(&mut self, token: Token<'_>) {
        let before = match token {
            Token::Word(word) => self.word(word),
            Token::Name(name) => {
                self.name(name);
                Before::Other
            }
            Token::Literal => {
                (self.expects, self.in_name, self.after_dot) = (false, false, false);
                Before::Other
            }
            Token::Sign(sign) => self.sign(sign),
        };
        self.before = before;
    }

    /// The first operation, and the summary.
    pub(super) fn finish(self) -> (Option<String>, String) {
        (self.operation, self.text)
    }

    fn sign(&mut self, sign: char) -> Before {
        if sign == '.' && self.in_name {
            self.after_dot = true;
            return Before::Other;
        }
        self.in_name = false;
        match sign {
            '(' => {
                self.expects = false;
                if self.frames.len() < MAX_DEPTH {
                    self.frames.push(false)
                } else {
                    self.deeper += 1
                }
                return Before::Open;
            }
            ')' => {
                self.in_list = false;
                if self.deeper > 0 {
                    self.deeper -= 1;
                } else if self.frames.len() > 1 {
                    self.frames.pop();
                }
                return Before::Close;
            }
            ';' => {
                (self.begins, self.expects, self.in_list, self.defines) = (true, false, false, false);
                self.frames.truncate(1);
                self.deeper = 0;
                return Before::Nothing;
            }
            ',' => self.expects = self.in_list,
            _ => self.expects = false,
        }
        Before::Other
    }

    fn word(&mut self, word: &str) -> Before {
        if self.after_dot {
            self.name(word);
            return Before::Other;
        }
        let mut letters = [0; MAX_KEYWORD];
        let upper = upper(word, &mut letters);
        if std::mem::take(&mut self.begins) && STATEMENTS.contains(&upper) {
            return self.begin(upper);
        }
        let starts = matches!(self.before, Before::Nothing | Before::Open | Before::Close | Before::Explain);
        if self.in_list {
            self.in_list = !SEAMS.contains(&upper);
        }
        match upper {
            "SELECT" => {
                self.tables_here();
                self.operation("SELECT");
            }
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" if starts => return self.begin(upper),
            "FROM" if self.names_tables() => (self.expects, self.in_list) = (true, true),
            "JOIN" | "INTO" | "STRAIGHT_JOIN" => self.expects = true,
            "ANALYZE" | "VERBOSE" if self.before == Before::Explain => return Before::Explain,
            _ if self.defines && OBJECTS.contains(&upper) => {
                self.push(upper, ' ');
                (self.defines, self.expects) = (false, true);
            }
            "ONLY" | "LATERAL" | "IF" | "NOT" | "EXISTS" | "CONCURRENTLY" | "IGNORE" | "LOW_PRIORITY"
            | "TABLE"
                if self.expects => {}
            _ if self.expects => self.name(word),
            _ => self.in_name = false,
        }
        Before::Other
    }

    fn begin(&mut self, upper: &str) -> Before {
        self.expects = matches!(upper, "UPDATE" | "COPY" | "TRUNCATE" | "LOCK" | "CALL" | "REPLACE");
        self.defines = matches!(upper, "CREATE" | "ALTER" | "DROP");
        match upper {
            // What counts is what it is with.
            "WITH" => return Before::Other,
            "EXPLAIN" => {
                self.operation(upper);
                return Before::Explain;
            }
            "SELECT" | "DELETE" => self.tables_here(),
            // `FROM` names a file or a stream.
            "COPY" => self.frames = vec![false],
            _ => {}
        }
        self.operation(upper);
        Before::Other
    }

    fn operation(&mut self, word: &str) {
        let own = self.frames.len() == 1;
        if self.operation.is_none() || own && !self.is_own {
            self.operation = Some(word.to_owned());
            self.is_own = own;
        }
        self.push(word, ' ');
        self.in_name = false;
    }

    /// The table that is expected, or what follows its dot.
    fn name(&mut self, name: &str) {
        if std::mem::take(&mut self.after_dot) {
            self.push(name, '.');
        } else if std::mem::take(&mut self.expects) {
            self.push(name, ' ');
        } else {
            self.in_name = false;
            return;
        }
        self.in_name = true;
    }

    fn tables_here(&mut self) {
        if self.deeper == 0
            && let Some(frame) = self.frames.last_mut()
        {
            *frame = true;
        }
    }

    /// Not in `extract(year from …)`.
    fn names_tables(&self) -> bool {
        self.deeper == 0 && self.frames.last().copied().unwrap_or(false)
    }

    fn push(&mut self, word: &str, seam: char) {
        let blanks = word.chars().filter(|next| next.is_whitespace()).map(char::len_utf8).sum::<usize>();
        if self.text.len() + 1 + word.len() - blanks > MAX {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(seam);
        }
        if blanks == 0 {
            self.text.push_str(word);
        } else {
            self.text.extend(word.chars().filter(|next| !next.is_whitespace()));
        }
    }
}

/// A word in capitals; one that is too long for a keyword as it is.
fn upper<'a>(word: &'a str, letters: &'a mut [u8; MAX_KEYWORD]) -> &'a str {
    let Some(letters) = letters.get_mut(..word.len()) else { return word };
    letters.copy_from_slice(word.as_bytes());
    letters.make_ascii_uppercase();
    str::from_utf8(letters).unwrap_or(word)
}
