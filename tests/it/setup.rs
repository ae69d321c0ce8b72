//! `bivouac github setup`: from the page on this machine over GitHub and back, until the App serves a repository.

use std::sync::{Arc, Mutex};

use axum::Router;
use bivouac::app::setup::{Done, Settings, Setup, Store};
use bivouac::app::stage::{DOMAIN, NAME, NAMESPACE, REPOSITORY};
use bivouac::crd::Repository;
use bivouac::forge::{ApiUrl, MadeApp};
use bivouac::gate::Origin;
use bivouac::sandbox::github::Outcome;
use bivouac::seams::{BoxError, Rng, Transport, body};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{World, one};

const LOOPBACK: &str = "127.0.0.1:5000";

/// A browser: pages on loopback are the setup's, all others GitHub's.
struct Browser {
    here: Router,
    github: Transport,
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    text: String,
}

impl Browser {
    async fn send(&self, method: &str, url: &str, host: &str, form: &str) -> Page {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer: Response<_> = if url.starts_with(&format!("http://{LOOPBACK}")) {
            let path = url.trim_start_matches(&format!("http://{LOOPBACK}")).to_owned();
            let request = request.uri(path).body(axum::body::Body::from(form.to_owned()));
            let answer = self.here.clone().oneshot(request.expect("a request")).await;
            answer.expect("an answer").map(|body| body.map_err(BoxError::from).boxed_unsync())
        } else {
            let request = request.body(body(form.to_owned())).expect("a request");
            self.github.clone().oneshot(request).await.expect("an answer")
        };
        let location = answer.headers().get(header::LOCATION);
        let location = location.map(|to| to.to_str().expect("an address").to_owned());
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a page").to_bytes();
        Page { status, location, text: String::from_utf8(bytes.to_vec()).expect("a text") }
    }

    async fn open(&self, url: &str) -> Page {
        self.send("GET", url, LOOPBACK, "").await
    }

    /// Posts the form of a page, as it stands there.
    async fn submit(&self, page: &Page, base: &str) -> Page {
        let (_, form) = page.text.split_once("<form method=\"post\" action=\"").expect("a form");
        let (action, form) = form.split_once('"').expect("an action");
        let action = plain(action);
        let url = if action.starts_with('/') { format!("{base}{action}") } else { action };
        let inputs = form.split("<input ").skip(1).map(|input| {
            let value = |name: &str| {
                let (_, rest) = input.split_once(&format!("{name}=\"")).expect("an attribute");
                plain(rest.split_once('"').expect("an end").0)
            };
            format!("{}={}", encode(&value("name")), encode(&value("value")))
        });
        let form = inputs.collect::<Vec<_>>().join("&");
        self.send("POST", &url, "github.test", &form).await
    }
}

fn plain(text: &str) -> String {
    let marks = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    marks.iter().fold(text.to_owned(), |text, (mark, plain)| text.replace(mark, plain))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }
        })
        .collect()
}

fn store_of(world: &World, name: &'static str, fails: &Arc<Mutex<u32>>) -> Store {
    let api: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let fails = fails.clone();
    Arc::new(move |made: MadeApp| {
        let (api, fails) = (api.clone(), fails.clone());
        Box::pin(async move {
            {
                let mut left = fails.lock().expect("a number");
                if *left > 0 {
                    *left -= 1;
                    return Err("the cluster is away".into());
                }
            }
            let secret: Secret = serde_json::from_value(json!({
                "metadata": {"name": name},
                "stringData": {
                    "appId": made.id.to_string(),
                    "privateKey": made.private_key.expose_secret(),
                    "webhookSecret": made.webhook_secret.expose_secret(),
                    "clientId": made.client_id,
                    "clientSecret": made.client_secret.expose_secret(),
                },
            }))
            .map_err(|error| error.to_string())?;
            let created = api.create(&PostParams::default(), &secret).await;
            created.map_err(|error| error.to_string())?;
            Ok(format!("its Secret is {name}"))
        })
    })
}

fn setup(world: &World, fails: u32) -> (Setup, Browser) {
    let settings = Settings {
        api: ApiUrl::parse("http://github.test/api/v3", true).expect("an address"),
        web: "http://github.test".into(),
        organization: Some("acme".into()),
        name: "Acme's camps".into(),
        webhook: "http://bivouac.test/webhook".into(),
        gate: Some(Origin::parse("https://gate.example.com").expect("an address")),
        public: false,
        authority: LOOPBACK.into(),
    };
    let github = world.stage.github.transport();
    let store = store_of(world, "acme-app", &Arc::new(Mutex::new(fails)));
    let setup = Setup::new(settings, github.clone(), store, &Rng::seeded(7));
    let here = setup.router();
    (setup, Browser { here, github })
}

/// From the first page to the address that GitHub leads back to.
async fn through_github(setup: &Setup, browser: &Browser) -> String {
    let page = browser.open(&setup.address()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let shown = browser.submit(&page, "").await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    assert!(shown.text.contains("pull_requests: write"), "{}", shown.text);
    let back = browser.submit(&shown, "http://github.test").await;
    assert_eq!(back.status, StatusCode::FOUND, "{}", back.text);
    back.location.expect("the way back")
}

#[tokio::test(start_paused = true)]
async fn an_app_is_made_its_secret_written_and_it_serves_a_repository() {
    let world = World::new(1).await;
    world.stage.github.lead_hooks(world.stage.receiver.clone());
    let (setup, browser) = setup(&world, 0);
    let back = through_github(&setup, &browser).await;
    let page = browser.open(&back).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let Done { slug, id, install, stored } = setup.done().await.expect("done");
    assert_eq!((slug.as_str(), stored.as_str()), ("acme-s-camps", "its Secret is acme-app"));
    assert!(page.text.contains(&install) && page.text.contains(&stored), "{}", page.text);
    let secret: Secret = Api::namespaced(world.stage.admin.clone(), NAMESPACE)
        .get("acme-app")
        .await
        .expect("a Secret");
    let data = secret.data.expect("data");
    for key in ["appId", "privateKey", "webhookSecret", "clientId", "clientSecret"] {
        let value = String::from_utf8(data[key].0.clone()).expect("a text");
        assert!(!value.is_empty() && (key.ends_with("Id") || !page.text.contains(&value)), "{key}");
    }
    // People can sign in to it, and are led to the gate.
    let (client, client_secret) = world.stage.github.client_of(id).expect("a client");
    assert_eq!(
        (data["clientId"].0.as_slice(), data["clientSecret"].0.as_slice()),
        (client.as_bytes(), client_secret.as_bytes())
    );
    let back_to = "https%3A%2F%2Fgate.example.com%2F.bivouac%2Fcallback";
    let asked = format!(
        "http://github.test/login/oauth/authorize?client_id={client}&redirect_uri={back_to}"
    );
    assert!(browser.open(&asked).await.text.contains("Authorize as"));
    // Loaded once more, it is the same App.
    assert_eq!(browser.open(&back).await.status, StatusCode::OK);

    // It is all that the service needs: installed and named, it serves.
    world.lose_webhooks(true);
    world.stage.github.revoke_token(&world.stage.tokens.service);
    world.stage.github.install_app(id, "acme", Some(&[REPOSITORY])).expect("an installation");
    let api: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let patch = json!({"spec": {"forge": {"github": {"credentials": {"secretName": "acme-app"}}}}});
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a Repository");
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .until("it is ready, and the App's bot says so", async || {
            let status = world.status(number).await?;
            let comments = world.stage.github.comments(REPOSITORY, number).ok()?;
            let told = comments.iter().find(|comment| comment.author == "acme-s-camps[bot]")?;
            let ready = status.holds("Ready") && status.revision.as_deref() == Some(&head);
            (ready && told.body.contains(DOMAIN)).then_some(())
        })
        .await;
    // Its webhook is signed with what stands in the Secret.
    let hook = world.stage.hook;
    let of_app = |id: u64| id != hook;
    let deliveries: Vec<_> = (1000..3000)
        .filter(|id| of_app(*id))
        .flat_map(|id| world.stage.github.deliveries(id))
        .filter(|delivery| delivery.event == "pull_request")
        .collect();
    assert!(
        deliveries.iter().any(|delivery| delivery.outcome == Outcome::Answered(202)),
        "{deliveries:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_code_that_did_not_begin_here_is_not_taken() {
    let world = World::new(2).await;
    world.stage.github.lead_hooks(world.stage.receiver.clone());
    let (setup, browser) = setup(&world, 0);
    let back = through_github(&setup, &browser).await;
    let (address, state) = back.rsplit_once("&state=").expect("a state");
    let exchanged = |world: &World| {
        let requests = world.stage.github.requests();
        requests.iter().filter(|r| r.path.contains("conversions")).count()
    };
    for wrong in [
        address.to_owned(),
        format!("{address}&state="),
        format!("{address}&state={}", "0".repeat(state.len())),
        format!("{address}&state={}", &state[..state.len() - 1]),
    ] {
        assert_eq!(browser.open(&wrong).await.status, StatusCode::FORBIDDEN, "{wrong}");
    }
    // Nor a page under another name, as of one that had its address changed to this machine's.
    for host in ["evil.example", "127.0.0.1:5001", "localhost:5000"] {
        let page = browser.send("GET", &back, host, "").await;
        assert_eq!(page.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    // And the first page is for those who know its address.
    for path in ["/", "/callback", "/0123456789abcdef"] {
        let page = browser.open(&format!("http://{LOOPBACK}{path}")).await;
        assert!(!page.status.is_success() && !page.text.contains("manifest"), "{path}");
    }
    assert_eq!(exchanged(&world), 0, "nothing was exchanged");
    let code = format!("http://{LOOPBACK}/callback?code=../../app&state={state}");
    assert_eq!(browser.open(&code).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(exchanged(&world), 0, "what is no code is not sent");
    assert_eq!(browser.open(&back).await.status, StatusCode::OK, "the right one still is");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_could_not_be_stored_is_not_lost() {
    let world = World::new(3).await;
    world.stage.github.lead_hooks(world.stage.receiver.clone());
    let (setup, browser) = setup(&world, 1);
    let back = through_github(&setup, &browser).await;
    let page = browser.open(&back).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.text.contains("the cluster is away"), "{}", page.text);
    // The code is spent; the page is loaded again all the same.
    assert_eq!(browser.open(&back).await.status, StatusCode::OK);
    assert_eq!(setup.done().await.expect("done").stored, "its Secret is acme-app");
}
