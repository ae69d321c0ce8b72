//! PURE · what is signed on the way of a sign-in, beyond the words themselves: typed content, PKCE's verifier, and prints of
//! secrets. Each word has its own purpose and is bound to the host that may read it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::gate::words::{Key, Purpose};

/// From a preview to the gate's own host: who is to be let in where.
pub(super) const BEGIN: Purpose = Purpose("sign-in begins");
/// From the gate's host to GitHub and back.
pub(super) const STATE: Purpose = Purpose("sign-in at the forge");
/// From the gate's host back to the preview.
pub(super) const HAND_OVER: Purpose = Purpose("sign-in ends");
/// The cookie of a preview.
pub(super) const SESSION: Purpose = Purpose("session of a preview");
/// Never a word; see [`print_of`].
const PRINT: Purpose = Purpose("print of a secret");
/// Never a word; see [`verifier`].
const VERIFIER: Purpose = Purpose("verifier of PKCE");

/// By what somebody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Means {
    SignIn,
    Password,
    Bypass,
}

/// Somebody wants to get in; said by the preview's host to the gate's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    /// The preview.
    pub(super) host: String,
    /// UID of its Repository: one that is made anew under an old name is another.
    pub(super) repository: String,
    /// Where he was.
    pub(super) path: String,
    /// Of the cookie that his browser was given: nobody else may come back with this.
    pub(super) mark: String,
}

/// What GitHub gives back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) begin: Begin,
    /// Tells two sign-ins of one browser apart.
    pub(super) id: String,
    /// Of the cookie on the gate's host.
    pub(super) mark: String,
}

/// By what, and who: what is left of a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LetIn {
    pub(super) by: Means,
    /// Login at GitHub.
    pub(super) visitor: Option<String>,
    /// Stands for what was shown (a password, say): with another one this is over.
    pub(super) print: String,
}

/// He may get in; said by the gate's host to the preview's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandOver {
    pub(super) begin: Begin,
    pub(super) let_in: LetIn,
}

/// The cookie of a preview.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    /// UID of the Repository.
    pub(super) repository: String,
    pub(super) let_in: LetIn,
}

/// A word that says `says` to `host` for `life`. `None`: it can't be written down, which no type of ours brings about.
pub(super) fn say<T: Serialize>(
    key: &Key,
    purpose: Purpose,
    host: &str,
    (now, life): (DateTime<Utc>, TimeDelta),
    says: &T,
) -> Option<String> {
    Some(key.sign(purpose, host, (now, life), &serde_json::to_string(says).ok()?))
}

/// What a word says to `host`; `None` when we did not sign it for this, or its time is up. Which of these it was is told to
/// nobody.
pub(super) fn hear<T: DeserializeOwned>(
    key: &Key,
    purpose: Purpose,
    host: &str,
    now: DateTime<Utc>,
    word: &str,
) -> Option<T> {
    serde_json::from_str(&key.read(purpose, host, now, word)?).ok()
}

/// What stands for a secret in a word: whoever reads the word learns nothing of the secret, and another secret has another.
pub(super) fn print_of(key: &Key, what: &str, secret: &[u8]) -> String {
    tag(key, PRINT, what, &URL_SAFE_NO_PAD.encode(secret))
}

/// PKCE's verifier for a sign-in: nobody but the gate can make it, so that it need not be kept.
pub(super) fn verifier(key: &Key, browser: &str, id: &str) -> String {
    tag(key, VERIFIER, browser, id)
}

/// A signature alone: 43 characters of base64.
fn tag(key: &Key, purpose: Purpose, about: &str, content: &str) -> String {
    let always = (DateTime::<Utc>::UNIX_EPOCH, TimeDelta::zero());
    let word = key.sign(purpose, about, always, content);
    word.rsplit_once('.').map_or_else(String::new, |(_, signature)| signature.to_owned())
}

/// In constant time, also in the length.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    Sha256::digest(one).ct_eq(&Sha256::digest(other)).into()
}

/// What may be shown of something that only one browser may know.
pub(super) fn mark_of(nonce: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(nonce.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "pr-7.preview.test";
    const ALL: [Purpose; 4] = [BEGIN, STATE, HAND_OVER, SESSION];

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 32]).unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn said() -> Begin {
        Begin { host: "a".into(), repository: "b".into(), path: "/c".into(), mark: "d".into() }
    }

    fn word(purpose: Purpose) -> String {
        say(&key(1), purpose, HOST, (at(0), TimeDelta::seconds(60)), &said()).unwrap()
    }

    fn heard(purpose: Purpose, host: &str, now: i64, word: &str) -> Option<Begin> {
        hear(&key(1), purpose, host, at(now), word)
    }

    #[test]
    fn a_word_is_good_for_its_purpose_its_host_and_its_time() {
        for signed in ALL {
            let word = word(signed);
            for asked in ALL {
                let ours = heard(asked, HOST, 59, &word);
                assert_eq!(ours.is_some(), signed == asked, "{signed:?} as {asked:?}");
            }
            assert_eq!(heard(signed, HOST, 0, &word), Some(said()));
            assert_eq!(heard(signed, HOST, 60, &word), None, "its time is up");
            assert_eq!(heard(signed, "pr-8.preview.test", 0, &word), None, "another host");
            assert_eq!(hear::<Begin>(&key(2), signed, HOST, at(0), &word), None, "another key");
            assert!(hear::<Session>(&key(1), signed, HOST, at(0), &word).is_none(), "another type");
        }
    }

    proptest! {
        #[test]
        fn a_word_in_which_one_character_is_another_is_none(at in 0_usize..400, to in "[A-Za-z0-9_.-]") {
            let good = word(HAND_OVER);
            let at = at % good.len();
            let mut bad = good.clone();
            bad.replace_range(at..=at, &to);
            let same = bad == good;
            prop_assert_eq!(heard(HAND_OVER, HOST, 0, &bad).is_some(), same, "{}", bad);
        }

        #[test]
        fn no_text_is_a_word(text in ".{0,300}") {
            prop_assert!(heard(SESSION, HOST, 0, &text).is_none());
        }
    }

    #[test]
    fn prints_and_verifiers_are_of_one_key_one_use_and_one_secret() {
        let print = |key: &Key, what, secret: &str| print_of(key, what, secret.as_bytes());
        assert_eq!(print(&key(1), "password", "x"), print(&key(1), "password", "x"));
        for other in [
            print(&key(1), "password", "y"),
            print(&key(2), "password", "x"),
            print(&key(1), "bypass", "x"),
        ] {
            assert_ne!(print(&key(1), "password", "x"), other);
        }
        // RFC 7636: 43 to 128 of the unreserved characters.
        assert_eq!(verifier(&key(1), "browser", "id").len(), 43);
        assert_ne!(verifier(&key(1), "browser", "id"), verifier(&key(1), "browser", "other"));
        assert_ne!(verifier(&key(1), "browser", "id"), verifier(&key(1), "other", "id"));
        assert!(same(b"a", b"a") && !same(b"a", b"b") && !same(b"a", b"a\0") && !same(b"", b"a"));
    }
}
