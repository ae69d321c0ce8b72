//! GitHub's pages on which an App is made from a manifest: shows what it may do, asks for its name, makes it, and leads the
//! browser back with a code; and the exchange of that code. I/O: the App's hook is set up, and pinged.
//!
//! Nobody logs in here: the App belongs to the organisation that the address names, or to the first person.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::super::call::{self, Reply};
use super::super::handle::HookConfig;
use super::super::model::AccountKind;
use super::super::refusal::Refusal;
use super::super::server::Answer;
use super::super::state::State;
use super::super::views::encode;
use super::super::{GitHub, hooks};
use super::{escape, html};

/// The key of every App that is made here: no RSA key can be made without a library that makes them. It is no secret.
const KEY: &str = include_str!("../testdata/app-2.pem");
/// A code is good for an hour.
const CODE_LIFE: chrono::Duration = chrono::Duration::hours(1);
/// Characters of a name.
const LONGEST_NAME: usize = 34;

#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    url: String,
    redirect_url: String,
    hook_attributes: Option<HookAttributes>,
    #[serde(default)]
    callback_urls: Vec<String>,
    #[serde(default)]
    default_permissions: BTreeMap<String, String>,
    #[serde(default)]
    default_events: Vec<String>,
}

#[derive(Deserialize)]
struct HookAttributes {
    url: String,
}

impl GitHub {
    /// A form that was posted: of the page elsewhere that brings the manifest, or of our own.
    pub(in crate::sandbox::github) fn make_app(
        &self,
        path: &str,
        query: &str,
        body: &Bytes,
    ) -> Answer {
        let text = String::from_utf8_lossy(body);
        let (form, query) = (call::query(&text), call::query(query));
        let made = match path.trim_matches('/') {
            "settings/apps" => self.make(&form),
            _ => self.show(path, &query, &form),
        };
        made.unwrap_or_else(|refusal| {
            let words = format!("<h1>Not possible</h1><p>{}</p>", escape(&refusal.message));
            let status = StatusCode::from_u16(refusal.status);
            html(status.unwrap_or(StatusCode::BAD_REQUEST), "Not possible", &words, false)
        })
    }

    fn show(
        &self,
        path: &str,
        query: &BTreeMap<String, String>,
        form: &BTreeMap<String, String>,
    ) -> Result<Answer, Refusal> {
        let text = form.get("manifest").map(String::as_str).unwrap_or_default();
        let manifest = read(text)?;
        let state = self.state();
        let mut parts = path.trim_matches('/').split('/');
        let owner = if parts.next() == Some("organizations") {
            parts.next().map(str::to_owned)
        } else {
            let mut people = state.accounts.values().filter(|a| a.kind == AccountKind::User);
            people.next().map(|person| person.login.clone())
        };
        let owner = owner.ok_or_else(Refusal::not_found)?;
        state.need_account(&owner)?;
        let rows = manifest.default_permissions.iter();
        let rows = rows.map(|(name, level)| format!("{}: {}", escape(name), escape(level)));
        let rows = rows.collect::<Vec<_>>().join("</li><li>");
        let hidden = |name: &str, value: &str| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
        };
        let content = format!(
            "<h1>Create GitHub App</h1><p>For {owner}. Events: {events}. It may:</p><ul><li>{rows}</li></ul>\
             <form method=\"post\" action=\"/settings/apps\">{manifest}{state}{who}\
             <label>Name <input name=\"name\" value=\"{name}\"></label> \
             <button type=\"submit\">Create GitHub App for {owner}</button></form>",
            owner = escape(&owner),
            events = escape(&manifest.default_events.join(", ")),
            manifest = hidden("manifest", text),
            state = hidden("state", query.get("state").map(String::as_str).unwrap_or_default()),
            who = hidden("owner", &owner),
            name = escape(manifest.name.as_deref().unwrap_or_default()),
        );
        let mut answer = html(StatusCode::OK, "Create GitHub App", &content, false);
        // Browsers look at where a form's answer leads, too.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
        let policy = HeaderValue::from_static(policy);
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        Ok(answer)
    }

    fn make(&self, form: &BTreeMap<String, String>) -> Result<Answer, Refusal> {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let manifest = read(field("manifest"))?;
        let name = field("name").trim().to_owned();
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(Refusal::unprocessable("Name must have 1 to 34 characters"));
        }
        let slug: String = name
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        if self.state().apps.values().any(|app| app.slug == slug) {
            return Err(Refusal::unprocessable("Name is already in use"));
        }
        let permissions: Vec<(&str, &str)> =
            manifest.default_permissions.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let id = self.register_app(&slug, field("owner"), Some(KEY), &permissions)?;
        let (code, secret, way) = {
            let mut state = self.state();
            let made =
                (state.rng.uuid().simple().to_string(), state.rng.uuid().simple().to_string());
            let until = state.now() + CODE_LIFE;
            state.codes.insert(made.0.clone(), (id, until));
            if let Some(app) = state.apps.get_mut(&id) {
                app.callbacks.clone_from(&manifest.callback_urls);
            }
            (made.0, made.1, state.way_of_hooks.clone())
        };
        if let Some(hook) = manifest.hook_attributes {
            let transport = way.map(|hooks::Sink(transport)| transport);
            let events = manifest.default_events;
            self.add_app_hook(id, HookConfig { url: hook.url, transport, secret, events })?;
        }
        let separator = if manifest.redirect_url.contains('?') { '&' } else { '?' };
        let (to, state) = (&manifest.redirect_url, encode(field("state")));
        let location = format!("{to}{separator}code={code}&state={state}");
        let mut answer = html(StatusCode::FOUND, "Created", "", false);
        let location = HeaderValue::from_str(&location).map_err(Refusal::broken)?;
        answer.headers_mut().insert(header::LOCATION, location);
        Ok(answer)
    }
}

fn read(text: &str) -> Result<Manifest, Refusal> {
    let manifest: Manifest = serde_json::from_str(text).map_err(|error| {
        Refusal::unprocessable(format!("Invalid GitHub App configuration: {error}"))
    })?;
    let wrong = |what: &str| {
        Err(Refusal::unprocessable(format!("Invalid GitHub App configuration: {what}")))
    };
    let address = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    if !address(&manifest.url) || !address(&manifest.redirect_url) {
        return wrong("url and redirect_url must be addresses");
    }
    if manifest.hook_attributes.as_ref().is_some_and(|hook| !address(&hook.url)) {
        return wrong("hook_attributes.url must be an address");
    }
    if manifest
        .default_permissions
        .values()
        .any(|level| !matches!(level.as_str(), "read" | "write" | "admin"))
    {
        return wrong("permissions are read, write or admin");
    }
    Ok(manifest)
}

impl State {
    /// The secrets of an App that was made from a manifest, once for its code.
    pub(in crate::sandbox::github) fn convert_manifest(
        &mut self,
        code: &str,
    ) -> Result<Reply, Refusal> {
        let (id, until) = self.codes.remove(code).ok_or_else(Refusal::not_found)?;
        let app =
            self.apps.get(&id).filter(|_| self.now() < until).ok_or_else(Refusal::not_found)?;
        let mut answer = self.app_json(app);
        let scope = hooks::Scope::App(id);
        let hook = self.hooks.values().find(|hook| hook.scope == scope);
        answer["pem"] = KEY.into();
        answer["webhook_secret"] = json!(hook.map(|hook| hook.secret.clone()));
        answer["client_secret"] = super::sign_in::client_secret(app).into();
        Ok(Reply::created(answer))
    }
}
