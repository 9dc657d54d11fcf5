//! Who asks, and whose rows they may see.
//!
//! In: the `Authorization` header. Out: a [`Caller`] with the [`Scope`] that every view of the store is narrowed to, or
//! a refusal that says what to do. `tokens` knows a file of static tokens, `kubernetes` asks the API server.
//! Does not: filter rows (the store's views do) nor decide what an endpoint answers.

pub(crate) mod cache;
pub(crate) mod digest;
pub(crate) mod kubernetes;
pub(crate) mod once;
pub(crate) mod tokens;

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use proto::error::ErrorCode;
use store::Scope;

use self::kubernetes::Reviews;
use self::tokens::TokenFile;

/// The most bytes of a token: service account tokens have about one thousand.
const MOST_TOKEN_BYTES: usize = 16 << 10;

/// How callers prove who they are.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Nobody is asked: on loopback only, which the config's check holds.
    Open,
    /// By a file of tokens.
    Tokens(TokenFile),
    /// By the API server.
    Kubernetes(Reviews),
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name; none where nobody is asked.
    pub(crate) user: Option<String>,
    /// Their groups.
    pub(crate) groups: Vec<String>,
    /// Whose rows they may see.
    pub(crate) scope: Scope,
    /// To ask again later.
    token: Option<Token>,
}

impl Caller {
    pub(crate) fn new(user: impl Into<String>, groups: Vec<String>, scope: Scope) -> Self {
        Self { user: Some(user.into()), groups, scope, token: None }
    }

    /// Whether they see everything, and may do what concerns everything.
    pub(crate) fn is_operator(&self) -> bool {
        self.scope.is_all()
    }
}

/// A bearer token; never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// Why a caller is not served.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Denied {
    #[error("no token came with the request (`Authorization: Bearer TOKEN`)")]
    Missing,
    #[error("`Authorization` is not `Bearer TOKEN`")]
    Malformed,
    #[error("the token is not valid: {0}")]
    Invalid(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("who asks cannot be checked now: {0}")]
    Unavailable(String),
}

impl Denied {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Missing | Self::Malformed | Self::Invalid(_) => ErrorCode::Unauthenticated,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::Unavailable(_) => ErrorCode::Unavailable,
        }
    }
}

impl Access {
    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// If they do not say, or it is not true, or may see nothing at all.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Denied> {
        if let Self::Open = self {
            return Ok(Caller { user: None, groups: Vec::new(), scope: Scope::All, token: None });
        }
        let token = bearer(headers)?;
        self.of_token(token).await
    }

    /// The same caller as of now.
    ///
    /// # Errors
    /// If their token is no longer valid, or they may see nothing any more.
    pub(crate) async fn again(&self, caller: &Caller) -> Result<Caller, Denied> {
        match &caller.token {
            Some(token) => self.of_token(token.clone()).await,
            None => Ok(caller.clone()),
        }
    }

    async fn of_token(&self, token: Token) -> Result<Caller, Denied> {
        let caller = match self {
            Self::Open => Caller::new("", Vec::new(), Scope::All),
            Self::Tokens(file) => file.caller(&token)?,
            Self::Kubernetes(reviews) => reviews.caller(&token).await?,
        };
        Ok(Caller { token: Some(token), ..caller })
    }
}

/// The one bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Token, Denied> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (given.next(), given.next()) else {
        return Err(if headers.contains_key(AUTHORIZATION) { Denied::Malformed } else { Denied::Missing });
    };
    let text = header.to_str().map_err(|_not_text| Denied::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Denied::Malformed)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MOST_TOKEN_BYTES {
        return Err(Denied::Malformed);
    }
    Ok(Token::new(token))
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;
    use axum::http::{HeaderMap, HeaderValue};

    use super::{Denied, Token, bearer};

    #[test]
    fn only_one_bearer_token_is_taken() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])).unwrap(), Token::new("abc"));
        assert_eq!(bearer(&headers(&["bearer  abc"])).unwrap(), Token::new("abc"));
        assert!(matches!(bearer(&headers(&[])), Err(Denied::Missing)));
        let long = format!("Bearer {}", "x".repeat(20_000));
        for bad in [&["Basic abc"][..], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer b"], &[&long]] {
            assert!(matches!(bearer(&headers(bad)), Err(Denied::Malformed)), "{bad:?}");
        }
        assert_eq!(format!("{:?}", Token::new("abc")), "Token(..)");
    }
}
