//! What rows of events, changes and spans must say.

use clap::Args;

/// Texts that a row must have.
#[derive(Clone, Debug, Args)]
pub(crate) struct Texts {
    /// Text that names, arguments, notes or attributes contain, exactly as given; all must be there
    #[arg(short = 't', long = "text", value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// The same as a word: not a part of a longer word
    #[arg(short, long = "word", value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

impl Texts {
    /// The parameters `contains` and `word`.
    pub(crate) fn params(&self) -> impl Iterator<Item = (&'static str, String)> {
        let texts = self.texts.iter().map(|text| ("contains", text.clone()));
        texts.chain(self.words.iter().map(|word| ("word", word.clone())))
    }
}
