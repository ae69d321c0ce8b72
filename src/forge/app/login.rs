//! PURE (but for the blinding inside the signature) · how the service logs in: a token, or an App's id with its key,
//! parsed and checked; and the JWT that an App signs. What is secret is in no `Debug` and in no error.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A JWT begins so much before it is made: GitHub's clock may be behind ours.
const BEFORE: i64 = 60;
/// And ends so much after. GitHub takes ten minutes at most, counted on its own clock.
const AFTER: i64 = 540;
/// A client id of GitHub's has 20 characters.
const LONGEST_ID: usize = 64;

/// How the service logs in at a forge.
#[derive(Clone)]
pub enum Login {
    /// A personal access token.
    Token(SecretString),
    /// A GitHub App.
    App(AppLogin),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::App(app) => app.fmt(f),
        }
    }
}

/// A GitHub App: its id, its key, and where it is installed when that was written down. A clone is the same one.
#[derive(Clone)]
pub struct AppLogin(Arc<Inner>);

struct Inner {
    id: String,
    key: Arc<dyn SigningKey>,
    fingerprint: String,
    installation: Option<u64>,
}

impl fmt::Debug for AppLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AppLogin");
        shown.field("id", &self.0.id).field("installation", &self.0.installation);
        shown.finish_non_exhaustive()
    }
}

/// What is wrong with the values of an App. None of them is quoted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApp {
    /// Neither a number nor a client id.
    #[error(
        "appId must be the App's id, a number, or its client id: both are on the App's settings page"
    )]
    Id,
    /// No number.
    #[error(
        "installationId must be a number, the last part of the installation's address; it may be left out"
    )]
    Installation,
    /// Not a PEM text that holds a private key.
    #[error(
        "privateKey can't be read: {found}; it must be the whole PEM file that GitHub gave, from \"BEGIN RSA PRIVATE KEY\" \
         (PKCS#1) or \"BEGIN PRIVATE KEY\" (PKCS#8) to its END line"
    )]
    Unreadable {
        /// What it is instead.
        found: &'static str,
    },
    /// A key of another kind, or a weak one.
    #[error(
        "privateKey holds a key that can't sign for an App: it must be an RSA key of 2048 to 4096 bits, as PKCS#1 or PKCS#8"
    )]
    Unusable,
}

impl AppLogin {
    /// Checks the values of a Secret. A key in one line with `\n` written out is taken, too: so it comes out of many
    /// secret stores.
    pub fn parse(
        app_id: &str,
        private_key: &SecretString,
        installation: Option<&str>,
    ) -> Result<Self, InvalidApp> {
        let id = app_id.trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(plain) {
            return Err(InvalidApp::Id);
        }
        let installation = installation
            .map(|text| text.trim().parse().map_err(|_| InvalidApp::Installation))
            .transpose()?;
        let key = signing_key(private_key)?;
        let public = key.public_key().ok_or(InvalidApp::Unusable)?;
        let fingerprint = hex::encode(Sha256::digest(public.as_ref()));
        Ok(Self(Arc::new(Inner { id: id.to_owned(), key, fingerprint, installation })))
    }

    /// The App's id, as it was written.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The installation that was written down.
    pub(super) fn installation(&self) -> Option<u64> {
        self.0.installation
    }

    /// Tells Apps, keys and installations apart; holds nothing secret.
    pub(in crate::forge) fn fingerprint(&self) -> String {
        let Inner { id, key: _, fingerprint, installation } = &*self.0;
        format!("{id} {fingerprint} {installation:?}")
    }

    /// The App's own pass, for ten minutes at most. `None` when the key can't sign, which `parse` has ruled out.
    pub(in crate::forge) fn jwt(&self, now: DateTime<Utc>) -> Option<SecretString> {
        let id = &self.0.id;
        // An older GitHub Enterprise Server takes a number only.
        let issuer = id.parse::<u64>().map_or_else(|_| Value::from(id.as_str()), Value::from);
        let now = now.timestamp();
        let claims = json!({"iat": now - BEFORE, "exp": now + AFTER, "iss": issuer}).to_string();
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","typ":"JWT"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signer = self.0.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
        let signature = signer.sign(message.as_bytes()).ok()?;
        Some(SecretString::from(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn signing_key(pem: &SecretString) -> Result<Arc<dyn SigningKey>, InvalidApp> {
    let text = pem.expose_secret().trim();
    let one_line = !text.contains('\n') && text.contains("\\n");
    let unfolded =
        SecretString::from(if one_line { text.replace("\\n", "\n") } else { text.into() });
    let der = PrivateKeyDer::from_pem_slice(unfolded.expose_secret().as_bytes())
        .map_err(|_| InvalidApp::Unreadable { found: what_it_is(text) })?;
    let key = rustls::crypto::ring::sign::any_supported_type(&der).ok();
    key.filter(|key| key.algorithm() == SignatureAlgorithm::RSA).ok_or(InvalidApp::Unusable)
}

/// What somebody put there instead of a key, by its looks.
fn what_it_is(text: &str) -> &'static str {
    let begins = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    if begins("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        "it is encrypted with a password"
    } else if begins("OPENSSH PRIVATE KEY") {
        "it is a key for SSH"
    } else if begins("PUBLIC KEY") || begins("RSA PUBLIC KEY") || begins("CERTIFICATE") {
        "it is only the public half"
    } else if text.starts_with("LS0tLS1CRUdJTi") {
        "it is encoded in base64 once too often"
    } else if begins("RSA PRIVATE KEY") || begins("PRIVATE KEY") {
        "it is cut off or damaged"
    } else {
        "it is no PEM text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PKCS8: &str = include_str!("../../sandbox/github/testdata/app.pem");
    const PKCS1: &str = include_str!("../../sandbox/github/testdata/app-2.pem");
    const ELLIPTIC: &str = include_str!("../../sandbox/github/testdata/ec.pem");

    fn app(key: &str) -> Result<AppLogin, InvalidApp> {
        AppLogin::parse("12\n", &key.into(), Some("34"))
    }

    fn json(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// The key of a `SubjectPublicKeyInfo`: what stands in its last field, a bit string.
    fn public_key(app: &AppLogin) -> Vec<u8> {
        let info = app.0.key.public_key().unwrap();
        let info: &[u8] = info.as_ref();
        // An RSA key of 2048 bits with the usual exponent is a sequence of 270 bytes.
        info[info.len() - 270..].to_vec()
    }

    #[test]
    fn a_jwt_has_the_claims_that_github_wants_and_is_signed_by_the_key() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        for key in [PKCS1, PKCS8, &PKCS1.replace('\n', "\\n")] {
            let app = app(key).unwrap();
            let jwt = app.jwt(now).unwrap();
            let parts: Vec<&str> = jwt.expose_secret().split('.').collect();
            assert_eq!(parts.len(), 3);
            assert_eq!(json(parts[0]), json!({"alg": "RS256", "typ": "JWT"}));
            let claims = json(parts[1]);
            assert_eq!(claims, json!({"iat": 1_799_999_940, "exp": 1_800_000_540, "iss": 12}));
            assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 600);
            let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
            let message = jwt.expose_secret().rsplit_once('.').unwrap().0;
            let (_, rs256) = algorithms
                .mapping
                .iter()
                .find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)
                .unwrap();
            let verify = |message: &str, app: &AppLogin| {
                rs256[0].verify_signature(&public_key(app), message.as_bytes(), &signature).is_ok()
            };
            assert!(verify(message, &app));
            assert!(!verify(&message.replace('.', "A."), &app), "another message");
            let other = if key == PKCS8 { PKCS1 } else { PKCS8 };
            assert!(!verify(message, &super::tests::app(other).unwrap()), "another key");
        }
        let by_client = AppLogin::parse("Iv23liAbc", &PKCS8.into(), None).unwrap();
        let jwt = by_client.jwt(now).unwrap();
        assert_eq!(json(jwt.expose_secret().split('.').nth(1).unwrap())["iss"], "Iv23liAbc");
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_and_the_key_is_not() {
        let unreadable = |found| InvalidApp::Unreadable { found };
        let cut: String = PKCS8.chars().take(600).collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(&PKCS8[40..]);
        for (key, expected) in [
            ("", unreadable("it is no PEM text")),
            ("ghp_0123456789", unreadable("it is no PEM text")),
            (cut.as_str(), unreadable("it is cut off or damaged")),
            (encoded.as_str(), unreadable("it is encoded in base64 once too often")),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
                unreadable("it is encrypted with a password"),
            ),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
                unreadable("it is only the public half"),
            ),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", InvalidApp::Unusable),
            (ELLIPTIC, InvalidApp::Unusable),
        ] {
            let error = app(key).unwrap_err();
            assert_eq!(error, expected, "{key:.40}");
            let words = error.to_string();
            assert!(words.contains("PKCS#1") && words.contains("PKCS#8"), "{words}");
        }
    }

    #[test]
    fn ids_are_checked_and_debug_shows_no_key() {
        let parse = |id, installation| AppLogin::parse(id, &PKCS8.into(), installation).err();
        let long = "1".repeat(65);
        for bad in ["", " ", "a b", "12/../x", &long] {
            assert_eq!(parse(bad, None), Some(InvalidApp::Id), "{bad}");
        }
        for bad in ["", "x", "-1", "1.5"] {
            assert_eq!(parse("1", Some(bad)), Some(InvalidApp::Installation), "{bad}");
        }
        let shown = format!("{:?}", Login::App(app(PKCS8).unwrap()));
        assert_eq!(shown, "AppLogin { id: \"12\", installation: Some(34), .. }");
        assert_eq!(format!("{:?}", Login::Token("ghp_x".into())), "Token");
        let fingerprints = [app(PKCS8).unwrap().fingerprint(), app(PKCS1).unwrap().fingerprint()];
        assert_ne!(fingerprints[0], fingerprints[1]);
    }
}
