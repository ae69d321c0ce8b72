//! I/O · GitHub's App manifest flow: the manifest that a browser carries there, and the exchange of the code that comes
//! back for the App's id, key and webhook secret. No login: the code is the proof, and good for an hour.

use std::time::Duration;

use http::{Request, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api_url::ApiUrl;
use super::error::{ForgeError, one_line};
use crate::seams::{Transport, ask, body};

/// The App as this version of the service wants it.
const MANIFEST: &str = include_str!("../../deploy/github-app.json");
/// The answer holds a key and a page of words.
const MOST_BYTES: usize = 256 * 1024;
/// GitHub answers within this time, or it does not.
const CALL: Duration = Duration::from_secs(30);
/// A code has 40 characters.
const LONGEST_CODE: usize = 200;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The App's name, which is one in all of GitHub; its owner may still change it.
    pub name: String,
    /// Its page for people.
    pub homepage: String,
    /// Where deliveries are sent.
    pub webhook: String,
    /// Where the browser comes back to.
    pub redirect: String,
    /// Where people are led back to who signed in to it; without it nobody can.
    pub callback: Option<String>,
    /// Others may install it, too.
    pub public: bool,
}

/// The manifest, as GitHub's page takes it.
#[must_use]
pub fn manifest(wanted: &Wanted) -> String {
    let Wanted { name, homepage, webhook, redirect, callback, public } = wanted;
    let mut manifest: Value = serde_json::from_str(MANIFEST).unwrap_or_else(|_| json!({}));
    manifest["name"] = name.clone().into();
    manifest["url"] = homepage.clone().into();
    manifest["hook_attributes"] = json!({ "url": webhook, "active": true });
    manifest["redirect_url"] = redirect.clone().into();
    manifest["public"] = (*public).into();
    if let Some(callback) = callback {
        manifest["callback_urls"] = json!([callback]);
        manifest["request_oauth_on_install"] = false.into();
    }
    manifest.to_string()
}

/// An App that was just made. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct MadeApp {
    /// Number.
    pub id: u64,
    /// Name in addresses.
    pub slug: String,
    /// Its page for people.
    pub html_url: String,
    /// Its key, as PEM.
    pub private_key: SecretString,
    /// What its deliveries are signed with.
    pub webhook_secret: SecretString,
    /// By what it is known where people sign in.
    pub client_id: String,
    /// And what it shows there.
    pub client_secret: SecretString,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    slug: String,
    html_url: String,
    pem: String,
    client_id: String,
    client_secret: String,
    webhook_secret: Option<String>,
}

/// Gets the App for the code.
pub async fn convert(
    transport: &Transport,
    api: &ApiUrl,
    code: &str,
) -> Result<MadeApp, ForgeError> {
    // The code is as good as the key for an hour: it is in no message.
    let call = || "POST /app-manifests/CODE/conversions".to_owned();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if code.is_empty() || code.len() > LONGEST_CODE || !code.bytes().all(plain) {
        let message = "the code is none that GitHub gives".to_owned();
        return Err(ForgeError::Invalid { call: call(), message });
    }
    let request = Request::post(format!("{api}/app-manifests/{code}/conversions"))
        .header(http::header::ACCEPT, "application/vnd.github+json")
        .header(http::header::USER_AGENT, "bivouac")
        .header("x-github-api-version", "2022-11-28")
        .body(body(""));
    let unexpected =
        |reason: &str| ForgeError::Unexpected { call: call(), reason: reason.to_owned() };
    let request = request.map_err(|_| unexpected("its address is none"))?;
    let unreached = |reason: &str, source| ForgeError::Unavailable {
        call: call(),
        reason: reason.to_owned(),
        source,
    };
    let (status, bytes) = tokio::time::timeout(CALL, ask(transport, request, MOST_BYTES))
        .await
        .map_err(|_| unreached("no answer in time", None))?
        .map_err(|error| unreached("the connection failed", Some(error)))?;
    match status {
        StatusCode::CREATED => {}
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
            let message = "the code was used before, or is older than an hour".to_owned();
            return Err(ForgeError::Invalid { call: call(), message });
        }
        status if status.is_server_error() => {
            return Err(unreached(&format!("HTTP {}", status.as_u16()), None));
        }
        status => return Err(unexpected(&format!("HTTP {}", status.as_u16()))),
    }
    let Answer { id, slug, html_url, pem, client_id, client_secret, webhook_secret } =
        serde_json::from_slice(&bytes).map_err(|_| unexpected("the body can't be read"))?;
    let secret = webhook_secret.filter(|secret| !secret.is_empty());
    let secret = secret.ok_or_else(|| unexpected("the App has no webhook secret"))?;
    Ok(MadeApp {
        id,
        slug: one_line(&slug),
        html_url: one_line(&html_url),
        private_key: pem.into(),
        webhook_secret: secret.into(),
        client_id: one_line(&client_id),
        client_secret: client_secret.into(),
    })
}
