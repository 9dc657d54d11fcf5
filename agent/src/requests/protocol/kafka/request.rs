//! Heads of Kafka's requests: key, version, correlation id and client.

use super::super::bytes::Cursor;
use super::apis;

/// The highest version that is taken for one.
pub(super) const MAX_VERSION: i16 = 25;
/// The largest message that a broker takes by default is 1 MiB; this allows for a hundred.
pub(super) const MAX_LEN: i32 = 100 << 20;
/// Bytes of a client's id.
const MAX_CLIENT: usize = 64;

/// The head of a request.
pub(super) struct Request<'a> {
    pub(super) key: i16,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) client: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads what is behind the length; none if it does not look like a request.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (key, version, correlation) = (cursor.i16()?, cursor.i16()?, cursor.i32()?);
        apis::name(key)?;
        if !(0..=MAX_VERSION).contains(&version) {
            return None;
        }
        let client = match cursor.i16()? {
            -1 => None,
            len @ 0..=512 => Some(cursor.take(usize::try_from(len).ok()?)?),
            _ => return None,
        };
        if version >= apis::flexible_from(key) {
            tags(&mut cursor)?;
        }
        Some(Self { key, version, correlation, client, body: cursor.rest })
    }
}

/// Whether the first bytes of a connection are a request's; strict, since its head has little to go by.
pub(in super::super) fn is_request(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    let Some(len) = cursor.i32() else { return false };
    let seen = cursor.rest.len();
    let Some(request) = Request::read(cursor.rest) else { return false };
    let whole = usize::try_from(len).is_ok_and(|len| len >= seen && len <= MAX_LEN as usize);
    let named = request.client.and_then(client_id).is_some();
    whole && named && request.version <= 20 && request.correlation >= 0
}

/// Passes over the tagged fields of a head.
pub(super) fn tags(cursor: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..cursor.varint()?.min(64) {
        cursor.varint()?;
        let len = cursor.varint()?;
        cursor.take(len as usize)?;
    }
    Some(())
}

/// A client's name of itself, if it is a plain one.
pub(super) fn client_id(bytes: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    if bytes.is_empty() || bytes.len() > MAX_CLIENT || !bytes.iter().all(plain) {
        return None;
    }
    String::from_utf8(bytes.to_vec()).ok()
}
