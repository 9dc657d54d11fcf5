//! Where runs of bytes of one kind end, looked for once: a hostile line may begin a secret at every fourth byte of one
//! run, and looking to its end each time would take the square of the line's length.

/// The last run that was looked at.
#[derive(Debug)]
pub(super) struct Run {
    belongs: fn(u8) -> bool,
    from: usize,
    end: usize,
}

impl Run {
    fn new(belongs: fn(u8) -> bool) -> Self {
        Self { belongs, from: 0, end: 0 }
    }

    /// Where the run ends that `from` is in, in the one text that this is used for; `from` itself where it is in none.
    pub(super) fn end(&mut self, text: &[u8], from: usize) -> usize {
        if (self.from..self.end).contains(&from) {
            return self.end;
        }
        let length = text.iter().skip(from).take_while(|&&byte| (self.belongs)(byte)).count();
        (self.from, self.end) = (from, from + length);
        self.end
    }
}

/// The kinds of runs that secrets are made of.
#[derive(Debug)]
pub(super) struct Runs {
    /// Letters, digits, `_` and `-`.
    pub(super) name: Run,
    /// The same, behind a dot: the claims and signature of a JWT, which are looked at from within its header.
    pub(super) claims: Run,
    /// A value without quotes.
    pub(super) value: Run,
}

impl Runs {
    /// For one text.
    pub(super) fn new() -> Self {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let value = |byte: u8| !byte.is_ascii_whitespace() && !b",;&\"')}]>\\".contains(&byte);
        Self { name: Run::new(name), claims: Run::new(name), value: Run::new(value) }
    }
}
