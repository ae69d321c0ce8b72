//! PURE · a token in the form in which it is sent. Its `Debug` shows nothing, and neither does that of the header.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

/// What proves to the forge who asks.
#[derive(Clone)]
pub(super) struct Pass {
    token: SecretString,
    header: HeaderValue,
}

impl Pass {
    /// `None` for what can't be a token: nothing, or no visible ASCII.
    pub(super) fn new(token: &SecretString) -> Option<Self> {
        // One with a line break at its end is a file that was put into a Secret.
        let text = token.expose_secret().trim();
        if text.is_empty() {
            return None;
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        Some(Self { token: SecretString::from(text), header })
    }

    /// The value of `Authorization`, marked sensitive.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// For git, which sends it in another form.
    pub(super) fn token(&self) -> SecretString {
        self.token.clone()
    }

    /// The same one.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.token.expose_secret() == other.token.expose_secret()
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pass")
    }
}
