//! Query parameters: read one by one, each mistake named by its parameter and place; unknown ones are mistakes too.

use regex_syntax::ParserBuilder;

use crate::api::error::ApiError;
use crate::api::time;

#[cfg(test)]
mod tests;

/// The most bytes of one parameter.
const MOST_BYTES: usize = 16 << 10;
/// The most parameters of one request.
const MOST_PARAMETERS: usize = 64;

/// The parameters of one request; each is taken once, what is left is unknown.
#[derive(Debug)]
pub(crate) struct Params {
    given: Vec<(String, String)>,
    now_ns: i64,
}

/// `from <= ts < to`, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
}

impl Range {
    /// Begin and end.
    pub(crate) fn ns(self) -> (i64, i64) {
        (self.from_ns, self.to_ns)
    }
}

impl Params {
    pub(crate) fn new(given: Vec<(String, String)>, now_ns: i64) -> Result<Self, ApiError> {
        if given.len() > MOST_PARAMETERS {
            return Err(ApiError::invalid(format!(
                "{} parameters; at most {MOST_PARAMETERS} are read",
                given.len()
            )));
        }
        if let Some((name, text)) = given.iter().find(|(_, text)| text.len() > MOST_BYTES) {
            let message = format!("is {} bytes long; at most {MOST_BYTES} are read", text.len());
            return Err(ApiError::parameter(name, MOST_BYTES, &message));
        }
        Ok(Self { given, now_ns })
    }

    /// Every value of a parameter that may repeat.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let (found, rest) = std::mem::take(&mut self.given).into_iter().partition(|(given, _)| given == name);
        self.given = rest;
        let found: Vec<(String, String)> = found;
        found.into_iter().map(|(_, text)| text).collect()
    }

    /// The value of a parameter that may not repeat.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut found = self.all(name);
        if found.len() > 1 {
            return Err(ApiError::parameter(name, 0, "is given more than once"));
        }
        Ok(found.pop())
    }

    /// Takes the parameter if it has exactly this value.
    pub(crate) fn take_exact(&mut self, name: &str, text: &str) -> bool {
        let before = self.given.len();
        self.given.retain(|(given, value)| given != name || value != text);
        self.given.len() < before
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, name: &str, default: u64, most: u64) -> Result<u64, ApiError> {
        let Some(text) = self.one(name)? else { return Ok(default) };
        let number: u64 = text
            .parse()
            .map_err(|_no_number| ApiError::parameter(name, first_not_digit(&text), "is no whole number"))?;
        if number > most {
            return Err(ApiError::parameter(name, 0, &format!("is above {most}")));
        }
        Ok(number)
    }

    /// `true` or `false`; also `1`, `0` and the name alone.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.one(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(ApiError::parameter(name, 0, "is neither true nor false")),
        }
    }

    /// One of the names.
    pub(crate) fn choice(
        &mut self,
        name: &str,
        names: &[&'static str],
    ) -> Result<Option<&'static str>, ApiError> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match names.iter().find(|known| **known == text) {
            Some(known) => Ok(Some(known)),
            None => Err(ApiError::parameter(name, 0, &format!("is none of {}", names.join(", ")))),
        }
    }

    /// A duration such as `30s`, `5m`, `1h`; whole seconds without a unit. At least a millisecond.
    pub(crate) fn duration_ns(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let ns = time::duration_ns(&text)
            .map_err(|error| ApiError::parameter(name, error.offset, error.message))?;
        if ns < 1_000_000 {
            return Err(ApiError::parameter(name, 0, "is below a millisecond"));
        }
        Ok(Some(ns))
    }

    /// A point in time.
    pub(crate) fn time(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        time::point_ns(&text, self.now_ns)
            .map(Some)
            .map_err(|error| ApiError::parameter(name, error.offset, error.message))
    }

    /// `from` and `to`; without them the last `default_s` seconds (0: everything) until the latest row.
    pub(crate) fn range(&mut self, default_s: u64) -> Result<Range, ApiError> {
        let from = self.time("from")?;
        let to = self.time("to")?.unwrap_or(i64::MAX);
        let default_ns = i64::try_from(default_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let from_ns = match from {
            Some(from) => from,
            None if default_s == 0 => i64::MIN,
            None => to.min(self.now_ns).saturating_sub(default_ns),
        };
        if from_ns > to {
            return Err(ApiError::parameter("from", 0, "lies after `to`"));
        }
        Ok(Range { from_ns, to_ns: to })
    }

    /// `where=key=value`, each split at its first `=`.
    pub(crate) fn wheres(&mut self) -> Result<Vec<(String, String)>, ApiError> {
        self.all("where")
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                Some(_) => Err(ApiError::parameter("where", 0, "has no key before its `=`")),
                None => Err(ApiError::parameter("where", text.len(), "is not key=value")),
            })
            .collect()
    }

    /// Regular expressions, checked here so that a mistake has a place.
    pub(crate) fn regexes(&mut self, name: &str) -> Result<Vec<String>, ApiError> {
        let found = self.all(name);
        for text in &found {
            let mut parser = ParserBuilder::new().utf8(false).build();
            if let Err(error) = parser.parse(text) {
                let (offset, message) = match &error {
                    regex_syntax::Error::Parse(error) => {
                        (error.span().start.offset, error.kind().to_string())
                    }
                    regex_syntax::Error::Translate(error) => {
                        (error.span().start.offset, error.kind().to_string())
                    }
                    other => (0, other.to_string()),
                };
                return Err(ApiError::parameter(
                    name,
                    offset,
                    &format!("is no regular expression: {message}"),
                ));
            }
        }
        Ok(found)
    }

    /// Refuses what was not taken.
    pub(crate) fn end(self) -> Result<(), ApiError> {
        match self.given.first() {
            Some((name, _)) => Err(ApiError::parameter(name, 0, "is not a parameter of this endpoint")),
            None => Ok(()),
        }
    }
}

fn first_not_digit(text: &str) -> usize {
    text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len())
}
