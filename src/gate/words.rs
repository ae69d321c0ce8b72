//! PURE · words that the gate gives to a browser and believes when they come back: signed, for one purpose, one host and
//! a short time. Nothing of them is kept anywhere: every replica has the same key.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// A key that is shorter can be guessed.
const LEAST_BYTES: usize = 32;
/// Nobody gets a longer word from us, so a longer one is none of ours.
const LONGEST: usize = 4096;

/// What words are signed with: the content of a Secret at home that every replica reads.
#[derive(Clone)]
pub(super) struct Key(Arc<SecretSlice<u8>>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// What a word is for. One that was made for something else is worth nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purpose(pub(super) &'static str);

impl Key {
    /// `None`: too short.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= LEAST_BYTES).then(|| Self(Arc::new(bytes.to_vec().into())))
    }

    /// A word that says `content` to `host`, for `long`.
    pub(super) fn sign(
        &self,
        purpose: Purpose,
        host: &str,
        (now, long): (DateTime<Utc>, TimeDelta),
        content: &str,
    ) -> String {
        let until = (now + long).timestamp();
        let content = URL_SAFE_NO_PAD.encode(content);
        let mac = self.mac(purpose, host, until, &content).finalize().into_bytes();
        format!("{until}.{content}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// What a word of ours says; `None`: it is none, or it was said to somebody else, for something else, or too long ago.
    pub(super) fn read(
        &self,
        purpose: Purpose,
        host: &str,
        now: DateTime<Utc>,
        word: &str,
    ) -> Option<String> {
        if word.len() > LONGEST {
            return None;
        }
        let (until, rest) = word.split_once('.')?;
        let (content, mac) = rest.split_once('.')?;
        let until: i64 = until.parse().ok()?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(purpose, host, until, content).verify_slice(&mac).ok()?;
        if now.timestamp() >= until {
            return None;
        }
        String::from_utf8(URL_SAFE_NO_PAD.decode(content).ok()?).ok()
    }

    fn mac(&self, purpose: Purpose, host: &str, until: i64, content: &str) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("any key");
        // With their lengths before them, no part can be moved into its neighbour.
        for part in [purpose.0, host, &until.to_string(), content] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAKE: Purpose = Purpose("wake");

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 32]).expect("a key")
    }

    #[test]
    fn a_word_is_believed_by_whom_and_for_what_and_as_long_as_it_was_given() {
        let (now, minute) = (DateTime::<Utc>::UNIX_EPOCH, TimeDelta::minutes(1));
        let word = key(1).sign(WAKE, "a.test", (now, minute), "x.y");
        let read =
            |key: Key, purpose, host: &str, at, word: &str| key.read(purpose, host, at, word);
        assert_eq!(read(key(1), WAKE, "a.test", now, &word).as_deref(), Some("x.y"));
        let last = now + minute - TimeDelta::seconds(1);
        assert!(read(key(1), WAKE, "a.test", last, &word).is_some());
        assert_eq!(read(key(1), WAKE, "a.test", now + minute, &word), None);
        assert_eq!(read(key(1), WAKE, "b.test", now, &word), None);
        assert_eq!(read(key(1), Purpose("cookie"), "a.test", now, &word), None);
        assert_eq!(read(key(2), WAKE, "a.test", now, &word), None);
        let (_, rest) = word.split_once('.').expect("parts");
        assert_eq!(read(key(1), WAKE, "a.test", now, &format!("99999999999.{rest}")), None);
        for at in 0..word.len() {
            let mut bytes = word.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(bytes).expect("text");
            assert_eq!(read(key(1), WAKE, "a.test", now, &other), None, "{other}");
        }
        for none in ["", ".", "..", "1.2.3", "x.y.z"] {
            assert_eq!(read(key(1), WAKE, "a.test", now, none), None);
        }
    }

    #[test]
    fn a_short_key_is_none() {
        assert!(Key::new(&[7; 31]).is_none());
    }
}
