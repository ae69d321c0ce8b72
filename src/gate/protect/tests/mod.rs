//! Protection as browsers and programs meet it, with the sandbox's GitHub, on a paused clock: who gets in, and each attack.

#[cfg(test)]
mod attacks;
mod entry;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use chrono::DateTime;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use secrecy::SecretSlice;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::secrets::Reader;
use super::*;
use crate::crd::{Environment, Repository};
use crate::domain::plain::in_query;
use crate::gate::site::Camp;
use crate::sandbox::github::{GitHub, Role};
use crate::seams::BoxError;

const GATE: &str = "https://gate.example.com";
const SHOP: &str = "https://shop-pr-7.preview.example.com";
const SHOP_8: &str = "https://shop-pr-8.preview.example.com";
const BLOG: &str = "https://blog-pr-1.preview.example.com";
const GITHUB: &str = "http://github.test";
const PASSWORD: &str = "correct horse";
const TOKEN: &str = "a-token-for-end-to-end-tests";

/// What a test may change while it goes on.
struct Setting {
    sites: BTreeMap<String, Site>,
    key: Option<Key>,
    secrets: Result<BTreeMap<&'static str, BTreeMap<&'static str, String>>, String>,
}

struct World {
    protect: Protect,
    github: GitHub,
    setting: Arc<Mutex<Setting>>,
    _dir: TempDir,
}

/// A page as the browser has it in the end.
#[derive(Debug)]
struct Page {
    url: String,
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

fn repository(name: &str, uid: &str, id: u64, protect: &Value) -> Repository {
    serde_json::from_value(json!({
        "apiVersion": "bivouac.dev/v1alpha1", "kind": "Repository",
        "metadata": {"name": name, "uid": uid},
        "spec": {
            "forge": {"github": {
                "owner": "acme", "name": name, "apiUrl": format!("{GITHUB}/api/v3"),
                "credentials": {"secretName": "app"},
            }},
            "url": {"host": "preview.example.com", "protect": protect},
        },
        "status": {"conditions": [], "forge": {"repositoryId": id, "permissions": []}},
    }))
    .expect("a Repository")
}

fn site(host: &str, repository: &Arc<Repository>) -> Site {
    let record: Environment = serde_json::from_value(json!({
        "apiVersion": "bivouac.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "e", "uid": "e"},
        "spec": {"repository": "r", "source": {"pullRequest": {"number": 7}}},
        "status": {"namespace": "camp-e", "hosts": [host]},
    }))
    .expect("an Environment");
    let camp = Arc::new(Camp::of(&record).expect("a camp"));
    Site { host: host.to_owned(), camp, repository: Arc::clone(repository) }
}

fn all_ways() -> Value {
    json!({
        "signIn": "GitHub",
        "password": {"secretName": "doors", "key": "password"},
        "bypass": {"secretName": "doors", "key": "bypass"},
    })
}

impl World {
    fn new() -> Self {
        Self::with(Some(GATE), &all_ways())
    }

    fn with(gate: Option<&str>, protect: &Value) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let start = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let clock = Clock::simulated(start);
        let github = GitHub::new(dir.path().join("git"), GITHUB, clock.clone(), Rng::seeded(1));
        for person in ["olga", "rita", "mallory"] {
            github.create_user(person).expect("a user");
        }
        github.create_org("acme", "olga").expect("an organisation");
        let shop = github.create_private_repo("acme/shop").expect("a repository");
        let blog = github.create_private_repo("acme/blog").expect("a repository");
        github.add_collaborator("acme/shop", "rita", Role::Read).expect("a reader");
        let app =
            github.register_app("camp", "acme", None, &[("metadata", "read")]).expect("an App");
        github.install_app(app, "acme", None).expect("installed");
        let back = format!("{}/.bivouac/callback", gate.unwrap_or(GATE));
        github.set_callbacks(app, &[&back]).expect("set");
        let (id, secret) = github.client_of(app).expect("a client");

        let shop = Arc::new(repository("shop", "uid-shop", shop, protect));
        let blog = Arc::new(repository("blog", "uid-blog", blog, protect));
        let sites = [(SHOP, &shop), (SHOP_8, &shop), (BLOG, &blog)];
        let sites = sites.map(|(url, of)| (host_of(url).to_owned(), site(host_of(url), of)));
        let doors =
            BTreeMap::from([("password", format!("{PASSWORD}\n")), ("bypass", TOKEN.to_owned())]);
        let app = BTreeMap::from([("clientId", id), ("clientSecret", secret)]);
        let setting = Arc::new(Mutex::new(Setting {
            sites: sites.into(),
            key: Key::new(&[1; 32]),
            secrets: Ok(BTreeMap::from([("doors", doors), ("app", app)])),
        }));
        let (of_sites, of_keys, of_secrets) = (setting.clone(), setting.clone(), setting.clone());
        let read: Reader = Arc::new(move |name| {
            let all = of_secrets.lock().expect("no panic").secrets.clone();
            Box::pin(async move {
                Ok(all?.get(name.as_str()).map(|values| {
                    let values = values.iter().map(|(key, value)| {
                        ((*key).to_owned(), SecretSlice::from(value.clone().into_bytes()))
                    });
                    Arc::new(values.collect())
                }))
            })
        });
        let protect = Protect::with(
            gate.map(|gate| Origin::parse(gate).expect("an origin")),
            (
                Arc::new(move |host| of_sites.lock().expect("no panic").sites.get(host).cloned()),
                Arc::new(move || of_keys.lock().expect("no panic").key.clone()),
            ),
            read,
            github.transport(),
            (clock, Rng::seeded(2)),
        );
        Self { protect, github, setting, _dir: dir }
    }

    fn change(&self, change: impl FnOnce(&mut Setting)) {
        change(&mut self.setting.lock().expect("no panic"));
    }

    fn change_repository(&self, name: &str, change: impl Fn(&mut Repository)) {
        self.change(|setting| {
            for site in setting.sites.values_mut() {
                if site.repository.metadata.name.as_deref() == Some(name) {
                    change(Arc::make_mut(&mut site.repository));
                }
            }
        });
    }

    fn set_secret(&self, key: &'static str, value: Option<&str>) {
        self.change(|setting| {
            let doors =
                setting.secrets.as_mut().expect("readable").get_mut("doors").expect("there");
            match value {
                Some(value) => doors.insert(key, value.to_owned()),
                None => doors.remove(key),
            };
        });
    }

    /// As the gate does it: its own host, then the known ones; an app behind them says what it was sent.
    async fn answer(&self, host: &str, request: Request) -> Response {
        let mut request = request;
        if let Some(answer) = self.protect.own(host, &mut request).await {
            return answer;
        }
        let site = self.setting.lock().expect("no panic").sites.get(host).cloned();
        let Some(site) = site else {
            let mut answer = Response::new(Body::from("unknown host"));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            return answer;
        };
        let mut answer = match self.protect.admit(&mut request, &site).await {
            Ok(Admitted { visitor, program }) => {
                let told = json!({
                    "app": true, "visitor": visitor, "program": program,
                    "path": request.uri().to_string(),
                    "headers": request.headers().iter()
                        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                        .collect::<Vec<_>>(),
                });
                let mut answer = Response::new(Body::from(told.to_string()));
                let set = HeaderValue::from_static("__Host-bivouac=by-the-app; Secure; Path=/");
                answer.headers_mut().append(header::SET_COOKIE, set);
                let theirs = HeaderValue::from_static("theirs=1");
                answer.headers_mut().append(header::SET_COOKIE, theirs);
                answer
            }
            Err(answer) => answer,
        };
        self.protect.leave(&site, &mut answer);
        answer
    }
}

fn host_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a scheme");
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.split(':').next().unwrap_or_default()
}

/// A browser: it keeps cookies by host, follows redirects, and says what browsers say.
#[derive(Clone, Default)]
struct Browser {
    jar: BTreeMap<String, BTreeMap<String, String>>,
    /// Every address that it was led to.
    seen: Vec<String>,
    /// Who he says he is at GitHub.
    person: &'static str,
    more: Vec<(&'static str, String)>,
}

impl Browser {
    fn of(person: &'static str) -> Self {
        Self { person, ..Self::default() }
    }

    /// One request, and its answer.
    async fn ask(&mut self, world: &World, method: &Method, url: &str, form: &str) -> Page {
        let host = host_of(url).to_owned();
        let path = url.splitn(4, '/').nth(3).map_or("/".to_owned(), |rest| format!("/{rest}"));
        let mut request = http::Request::builder()
            .method(method)
            .uri(&path)
            .header(header::HOST, &host)
            .header(header::ACCEPT, "text/html,*/*")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if method == Method::POST {
            let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
            request = request.header(header::ORIGIN, origin.join("/"));
        }
        let kept = self.jar.entry(host.clone()).or_default();
        if !kept.is_empty() {
            let all: Vec<String> =
                kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, all.join("; "));
        }
        let mut request = request.body(Body::from(form.to_owned())).expect("a request");
        for (name, value) in &self.more {
            let value = HeaderValue::from_str(value).expect("a value");
            request.headers_mut().insert(*name, value);
        }
        self.seen.push(url.to_owned());
        let answer = if url.starts_with(GITHUB) {
            let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
            let answer = world.github.transport().oneshot(request).await.expect("an answer");
            answer.map(Body::new)
        } else {
            world.answer(&host, request).await
        };
        for value in answer.headers().get_all(header::SET_COOKIE) {
            let text = value.to_str().expect("text");
            let (name, rest) = text.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            let kept = self.jar.entry(host.clone()).or_default();
            if rest.contains("Max-Age=0") {
                kept.remove(name);
            } else {
                kept.insert(name.to_owned(), value.to_owned());
            }
        }
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Page { url: url.to_owned(), status: parts.status, headers: parts.headers, text }
    }

    /// Until a page comes that leads nowhere; at GitHub the person agrees.
    async fn go_on(&mut self, world: &World, mut page: Page) -> Page {
        for _ in 0..12 {
            if let Some(to) = page.headers.get(header::LOCATION) {
                let to = absolute(&page.url, to.to_str().expect("an address"));
                page = self.ask(world, &Method::GET, &to, "").await;
            } else if page.url.starts_with(GITHUB) && page.text.contains("Authorize as") {
                let form = self.agree(&page.text);
                let url = format!("{GITHUB}/login/oauth/authorize");
                page = self.ask(world, &Method::POST, &url, &form).await;
            } else {
                return page;
            }
        }
        panic!("led in a circle: {:?}", self.seen);
    }

    fn agree(&self, text: &str) -> String {
        let end = text.find(&format!("Authorize as {}", self.person)).expect("the person");
        let start = text[..end].rfind("<form").expect("a form");
        fields_of(&text[start..end])
    }

    async fn open(&mut self, world: &World, url: &str) -> Page {
        let page = self.ask(world, &Method::GET, url, "").await;
        self.go_on(world, page).await
    }

    /// Opens a preview and follows the way to sign in, up to the page of the gate's host that offers the ways in.
    async fn ways(&mut self, world: &World, url: &str) -> Page {
        let closed = self.open(world, url).await;
        assert_eq!(closed.status, StatusCode::UNAUTHORIZED, "{closed:?}");
        let to = link(&closed);
        self.open(world, &to).await
    }

    /// By GitHub, to the end.
    async fn sign_in(&mut self, world: &World, url: &str) -> Page {
        let ways = self.ways(world, url).await;
        let to = link(&ways);
        self.open(world, &to).await
    }

    /// By the password, to the end.
    async fn type_in(&mut self, world: &World, url: &str, password: &str) -> Page {
        let ways = self.ways(world, url).await;
        self.submit(world, &ways, password).await
    }

    async fn submit(&mut self, world: &World, ways: &Page, password: &str) -> Page {
        let (_, form) = ways.text.split_once("action=\"/.bivouac/password\"").expect("a form");
        let form = format!("{}&password={}", fields_of(form), in_query(password));
        let url = format!("{GATE}/.bivouac/password");
        let page = self.ask(world, &Method::POST, &url, &form).await;
        self.go_on(world, page).await
    }

    fn session(&self, url: &str) -> String {
        self.jar[host_of(url)]["__Host-bivouac"].clone()
    }
}

fn absolute(base: &str, to: &str) -> String {
    if to.starts_with('/') {
        let origin: Vec<&str> = base.splitn(4, '/').take(3).collect();
        format!("{}{to}", origin.join("/"))
    } else {
        to.to_owned()
    }
}

/// Where the one link of a page leads to.
fn link(page: &Page) -> String {
    let (_, rest) = page.text.split_once("href=\"").unwrap_or_else(|| panic!("no link: {page:?}"));
    absolute(&page.url, &plain(rest.split('"').next().expect("an end")))
}

fn plain(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// The hidden fields of the first form.
fn fields_of(form: &str) -> String {
    let form = form.split("</form>").next().unwrap_or_default();
    let inputs = form.split("<input ").skip(1).filter_map(|input| {
        let value = |name: &str| {
            let (_, rest) = input.split_once(&format!("{name}=\""))?;
            Some(plain(rest.split('"').next()?))
        };
        Some(format!("{}={}", in_query(&value("name")?), in_query(&value("value")?)))
    });
    inputs.collect::<Vec<_>>().join("&")
}

/// What the app behind the gate was sent; `None`: it was sent nothing.
fn app(page: &Page) -> Option<Value> {
    let told: Value = serde_json::from_str(&page.text).ok()?;
    (page.status == StatusCode::OK && told["app"] == true).then_some(told)
}

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
