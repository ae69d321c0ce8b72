//! Protection: who can read the repository, who knows the password and a program with the token see a preview, nobody else
//! does; and what is wrong closes it and is said.

use std::collections::BTreeMap;

use bivouac::app::stage::{MAINTAINER, NAME, NAMESPACE, REPOSITORY, SIGN_IN, STRANGER};
use bivouac::crd::{Phase, Repository};
use bivouac::seams::body;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::commands::{all_requests, done};
use crate::support::{World, one};

const PASSWORD: &str = "sparks fly upward";
const TOKEN: &str = "a-token-for-end-to-end-tests";
const GITHUB: &str = "http://github.test";

struct Page {
    url: String,
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

/// A person's browser: it keeps cookies by host, follows redirects and agrees at GitHub.
#[derive(Clone, Default)]
struct Browser {
    jar: BTreeMap<String, BTreeMap<String, String>>,
    person: &'static str,
}

impl Browser {
    fn of(person: &'static str) -> Self {
        Self { person, ..Self::default() }
    }

    async fn ask(&mut self, world: &World, (method, url, form): (Method, &str, &str)) -> Page {
        let (_, rest) = url.split_once("://").expect("a scheme");
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut request = http::Request::builder()
            .method(&method)
            .uri(format!("/{path}"))
            .header(header::HOST, host)
            .header(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
            .header(header::ACCEPT, "text/html,*/*")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", if method == Method::POST { "same-origin" } else { "none" })
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if method == Method::POST {
            let (scheme, _) = url.split_once("://").expect("a scheme");
            request = request.header(header::ORIGIN, format!("{scheme}://{host}"));
        }
        let kept = self.jar.entry(host.to_owned()).or_default();
        if !kept.is_empty() {
            let all: Vec<_> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, all.join("; "));
        }
        let request = request.body(body(form.to_owned())).expect("a request");
        let answer = if url.starts_with(GITHUB) {
            world.stage.github.transport().oneshot(request).await
        } else if url.starts_with(SIGN_IN) {
            world.stage.send_to_gate(request).await
        } else {
            world.stage.send(request).await
        };
        let (parts, content) = answer.expect("an answer").into_parts();
        for value in parts.headers.get_all(header::SET_COOKIE) {
            let text = value.to_str().expect("text");
            let (name, rest) = text.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            let kept = self.jar.entry(host.to_owned()).or_default();
            if rest.contains("Max-Age=0") {
                kept.remove(name);
            } else {
                kept.insert(name.to_owned(), value.to_owned());
            }
        }
        let bytes = content.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Page { url: url.to_owned(), status: parts.status, headers: parts.headers, text }
    }

    async fn open(&mut self, world: &World, url: &str) -> Page {
        let page = self.ask(world, (Method::GET, url, "")).await;
        self.go_on(world, page).await
    }

    async fn go_on(&mut self, world: &World, mut page: Page) -> Page {
        for _ in 0..12 {
            if let Some(to) = page.headers.get(header::LOCATION) {
                let to = absolute(&page.url, to.to_str().expect("an address"));
                page = self.ask(world, (Method::GET, &to, "")).await;
            } else if page.text.contains("Authorize as") {
                let end = page.text.find(&format!("Authorize as {}", self.person)).expect("him");
                let start = page.text[..end].rfind("<form").expect("a form");
                let form = fields(&page.text[start..end]);
                let url = format!("{GITHUB}/login/oauth/authorize");
                page = self.ask(world, (Method::POST, &url, &form)).await;
            } else {
                return page;
            }
        }
        unreachable!("led in a circle, last to {}", page.url);
    }

    /// The page that offers the ways in.
    async fn ways(&mut self, world: &World, url: &str) -> Page {
        let closed = self.open(world, url).await;
        assert_eq!(closed.status, StatusCode::UNAUTHORIZED, "{}", closed.text);
        self.open(world, &link(&closed)).await
    }
}

fn absolute(base: &str, to: &str) -> String {
    let origin: Vec<&str> = base.splitn(4, '/').take(3).collect();
    if to.starts_with('/') { format!("{}{to}", origin.join("/")) } else { to.to_owned() }
}

fn link(page: &Page) -> String {
    let (_, rest) = page.text.split_once("href=\"").expect("a link");
    absolute(&page.url, &plain(rest.split('"').next().expect("an end")))
}

fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"))
}

fn fields(form: &str) -> String {
    let form = form.split("</form>").next().unwrap_or_default();
    let inputs = form.split("<input ").skip(1).filter_map(|input| {
        let value = |name: &str| {
            let (_, rest) = input.split_once(&format!("{name}=\""))?;
            Some(plain(rest.split('"').next()?))
        };
        Some(format!("{}={}", encode(&value("name")?), encode(&value("value")?)))
    });
    inputs.collect::<Vec<_>>().join("&")
}

/// An App that people can sign in to, and a Repository that asks for it.
async fn protected(world: &World, protect: Value) {
    let github = &world.stage.github;
    let app = github.register_app("camp", "acme", None, &[("metadata", "read")]).expect("an App");
    github.install_app(app, "acme", None).expect("installed");
    github.set_callbacks(app, &[&format!("{SIGN_IN}/.bivouac/callback")]).expect("set");
    let (id, secret) = github.client_of(app).expect("a client");
    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({"stringData": {"clientId": id, "clientSecret": secret}}));
    secrets.patch(NAME, &PatchParams::default(), &patch).await.expect("a Secret");
    let doors = json!({
        "metadata": {"name": "doors"}, "stringData": {"password": PASSWORD, "bypass": TOKEN},
    });
    let doors = serde_json::from_value(doors).expect("a Secret");
    secrets.create(&PostParams::default(), &doors).await.expect("a Secret");
    world.policy(json!({"url": {"protect": protect}})).await;
}

fn all_ways() -> Value {
    json!({
        "signIn": "GitHub",
        "password": {"secretName": "doors", "key": "password"},
        "bypass": {"secretName": "doors", "key": "bypass"},
    })
}

async fn address(world: &World, number: u64) -> String {
    format!(
        "http://{}",
        world.status(number).await.expect("a status").hosts.first().expect("a host")
    )
}

/// Until the routes are turned to the gate.
async fn behind_the_gate(world: &World, url: &str) {
    world
        .until("the gate answers", async || {
            let page = Browser::default().open(world, url).await;
            (page.status == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await;
}

async fn condition(world: &World) -> Option<(String, String)> {
    let api: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let status = api.get(NAME).await.ok()?.status?;
    let found = status.conditions.into_iter().find(|one| one.r#type == "SignIn")?;
    Some((found.status, found.reason))
}

/// A camp that is ready; its page is not for everybody.
async fn closed_camp(world: &World) -> (u64, String) {
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .until("it is ready, and says so", async || {
            let status = world.status(number).await?;
            let ready = status.holds("Ready") && status.revision.as_deref() == Some(head.as_str());
            let comment = world.comment(number).filter(|_| ready)?;
            (comment.contains("### Preview is ready") && comment.contains(&head)).then_some(())
        })
        .await;
    (number, head)
}

#[tokio::test(start_paused = true)]
async fn who_can_read_the_repository_signs_in_and_sees_the_preview() {
    let world = World::new(720).await;
    world.stage.github.make_private(REPOSITORY).expect("private");
    protected(&world, all_ways()).await;
    let (number, head) = closed_camp(&world).await;
    let url = address(&world, number).await;
    behind_the_gate(&world, &url).await;
    world
        .until("it is said that people sign in", async || {
            (condition(&world).await? == ("True".into(), "Ready".into())).then_some(())
        })
        .await;

    let mut ada = Browser::of(MAINTAINER);
    let ways = ada.ways(&world, &format!("{url}/?of=it")).await;
    let shown = ada.open(&world, &link(&ways)).await;
    assert_eq!((shown.status, shown.url), (StatusCode::OK, format!("{url}/?of=it")));
    assert!(shown.text.contains(&head), "{}", shown.text);
    assert_eq!(shown.headers["x-robots-tag"], "noindex, nofollow");
    assert_eq!(world.stage.github.visitors_tokens(), 0, "nothing of the sign-in is kept");

    let mut sam = Browser::of(STRANGER);
    let ways = sam.ways(&world, &url).await;
    let refused = sam.open(&world, &link(&ways)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert_eq!(sam.open(&world, &url).await.status, StatusCode::UNAUTHORIZED);

    // The password is another way, a token that of programs.
    let (_, form) = ways.text.split_once("action=\"/.bivouac/password\"").expect("a form");
    for (password, status) in [("sparks", StatusCode::UNAUTHORIZED), (PASSWORD, StatusCode::OK)] {
        let form = format!("{}&password={}", fields(form), encode(password));
        let to = format!("{SIGN_IN}/.bivouac/password");
        let page = sam.ask(&world, (Method::POST, &to, &form)).await;
        assert_eq!(sam.go_on(&world, page).await.status, status, "{password}");
    }
    let mut test = Browser::default();
    assert_eq!(
        test.open(&world, &format!("{url}/?bivouac-bypass={TOKEN}")).await.status,
        StatusCode::OK
    );
    let robots = Browser::default().open(&world, &format!("{url}/robots.txt")).await;
    assert_eq!(robots.text, "User-agent: *\nDisallow: /\n");
}

#[tokio::test(start_paused = true)]
async fn only_who_is_let_in_wakes_a_protected_preview() {
    let world = World::new(721).await;
    protected(&world, all_ways()).await;
    let (number, _) = closed_camp(&world).await;
    let url = address(&world, number).await;
    behind_the_gate(&world, &url).await;
    done(&world, number, "/preview sleep", MAINTAINER).await;
    world
        .until("it sleeps", async || {
            (world.status(number).await?.phase == Some(Phase::Asleep)).then_some(())
        })
        .await;
    let mut sam = Browser::of(STRANGER);
    assert_eq!(sam.open(&world, &url).await.status, StatusCode::UNAUTHORIZED);
    for (method, path) in [(Method::POST, "wake"), (Method::GET, "state")] {
        let page = sam.ask(&world, (method, &format!("{url}/.bivouac/{path}"), "word=x")).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let mut ada = Browser::of(MAINTAINER);
    let ways = ada.ways(&world, &url).await;
    let waiting = ada.open(&world, &link(&ways)).await;
    assert_eq!(waiting.status, StatusCode::SERVICE_UNAVAILABLE);
    let (_, rest) = waiting.text.split_once("name=\"word\" value=\"").expect("a word");
    let form = format!("word={}", rest.split('"').next().expect("an end"));
    let woken = ada.ask(&world, (Method::POST, &format!("{url}/.bivouac/wake"), &form)).await;
    assert!(woken.status.is_success() || woken.status.is_redirection(), "{}", woken.text);
    let requests = all_requests(&world).await;
    assert!(
        requests
            .iter()
            .any(|request| request.spec.by.login == MAINTAINER && request.spec.verb == "wake")
    );
    world
        .until("it shows itself", async || {
            (ada.clone().open(&world, &url).await.status == StatusCode::OK).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_closes_a_preview_and_a_changed_one_ends_what_it_opened() {
    let world = World::new(722).await;
    protected(&world, json!({"password": {"secretName": "doors", "key": "password"}})).await;
    let (number, _) = closed_camp(&world).await;
    let url = address(&world, number).await;
    behind_the_gate(&world, &url).await;
    let mut somebody = Browser::default();
    let ways = somebody.ways(&world, &url).await;
    let form = format!("{}&password={}", fields(&ways.text), encode(PASSWORD));
    let to = format!("{SIGN_IN}/.bivouac/password");
    let page = somebody.ask(&world, (Method::POST, &to, &form)).await;
    assert_eq!(somebody.go_on(&world, page).await.status, StatusCode::OK);

    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({"stringData": {"password": "another password"}}));
    secrets.patch("doors", &PatchParams::default(), &patch).await.expect("rotated");
    world
        .until("the old one counts no more", async || {
            let status = somebody.clone().open(&world, &url).await.status;
            (status == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await;
    secrets.delete("doors", &kube::api::DeleteParams::default()).await.expect("deleted");
    let page = world
        .until("it says what is lacking", async || {
            let page = Browser::default().open(&world, &url).await;
            (page.status == StatusCode::SERVICE_UNAVAILABLE).then_some(page)
        })
        .await;
    assert!(
        page.text.contains("the Secret by which people would be let in is missing"),
        "{}",
        page.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_gate_within_the_previews_lets_nobody_in_and_the_repository_says_so() {
    let world = World::new(723).await;
    protected(&world, all_ways()).await;
    world.policy(json!({"url": {"host": "localhost"}})).await;
    world
        .until("the Repository says so", async || {
            (condition(&world).await? == ("False".into(), "GateWithinPreviews".into()))
                .then_some(())
        })
        .await;
    world.policy(json!({"url": {"protect": null}})).await;
    world
        .until("nobody is asked any more", async || condition(&world).await.is_none().then_some(()))
        .await;
}
