//! `bivouac github setup`: makes a GitHub App with everything that the service needs, and writes its Secret.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cluster::{self, Cluster};
use super::{Misuse, Trouble, output, runtime};
use crate::app;
use crate::app::setup::{Done, Settings, Setup, Store, web_of};
use crate::domain::id::RepoName;
use crate::forge::{ApiUrl, MadeApp};
use crate::gate::Origin;
use crate::seams::{Clock, Rng};

/// GitHub's name of an App has at most this many characters.
const LONGEST_NAME: usize = 34;

/// Set things up at GitHub.
#[derive(Args, Debug)]
pub(super) struct GitHub {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a GitHub App with everything that the service needs, and write its Secret
    Setup(Flags),
}

/// Below the options.
const MORE: &str = "\
It prints an address on this machine (and opens it in a browser where there is one): a page leads to GitHub, GitHub
shows what the App may do and asks for its name, and leads back here. Number, key and webhook secret go straight into
the Secret; they are never shown. Then install the App for the repositories that are to be served.

Exit codes: 0 the App is made and its Secret is written; 1 it failed, or the time was up; 2 it was called wrongly.";

/// Make a GitHub App with everything that the service needs, and write its Secret.
#[derive(Args, Debug)]
#[command(after_long_help = MORE)]
struct Flags {
    #[command(flatten)]
    cluster: Cluster,
    /// Where GitHub sends deliveries: the service's address with /webhook
    #[arg(long, value_name = "URL")]
    webhook_url: String,
    /// The gate's own address (`--gate-url` of serve), where people sign in who want to see a protected preview
    #[arg(long, value_name = "URL")]
    gate_url: Option<String>,
    /// Organisation that is to own the App; your own account when it is not given
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Name of the App, which nobody else at GitHub may have; you can change it there
    #[arg(long, default_value = "bivouac")]
    name: String,
    /// Name of the Secret
    #[arg(long, default_value = "bivouac-app")]
    secret: String,
    /// Write the Secret as a manifest into this file (readable by you alone), and not into a cluster
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The App may be installed by others than its owner, too
    #[arg(long)]
    public: bool,
    /// API of a GitHub Enterprise Server, which ends with /api/v3
    #[arg(long, value_name = "URL", default_value = "https://api.github.com")]
    api_url: String,
    /// Port on this machine; a free one when it is not given
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Open no browser
    #[arg(long)]
    no_browser: bool,
    /// Wait so long for you, as 90s or 30m; GitHub's code is good for an hour
    #[arg(long, default_value = "30m", value_parser = cluster::timeout)]
    timeout: Duration,
    /// Talk to GitHub over plain http too: for one on this machine only
    #[arg(long, env = "BIVOUAC_ALLOW_HTTP", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    allow_http: bool,
}

impl GitHub {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        let Self { what: What::Setup(flags) } = self;
        runtime()?.block_on(flags.work())
    }
}

impl Flags {
    async fn work(self) -> Result<ExitCode, Trouble> {
        let api = ApiUrl::parse(&self.api_url, self.allow_http).map_err(Misuse::of)?;
        self.check()?;
        self.gate()?;
        let store = self.store().await?;
        let transport = crate::forge::https_transport(self.allow_http, app::CONNECT, app::TOTAL)?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.port)).await?;
        let settings = Settings {
            web: web_of(&api),
            api,
            organization: self.organization.clone(),
            name: self.name.clone(),
            webhook: self.webhook_url.clone(),
            gate: self.gate()?,
            public: self.public,
            authority: listener.local_addr()?.to_string(),
        };
        let setup = Setup::new(settings, transport, store, &Rng::system());
        let address = setup.address();
        output::say(&format!("open this address in a browser on this machine:\n  {address}\n"));
        if !self.no_browser && std::io::stderr().is_terminal() {
            open(&address);
        }
        let stop = CancellationToken::new();
        let server = axum::serve(listener, setup.router())
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let wait = async {
            let clock = Clock::system();
            let done = tokio::select! {
                biased;
                done = setup.done() => done,
                () = clock.sleep(self.timeout) => None,
            };
            stop.cancel();
            done
        };
        let (served, done) = futures::future::join(server.into_future(), wait).await;
        served?;
        let Some(Done { slug, id, install, stored }) = done else {
            return Err(format!("nobody came back from GitHub within {:?}", self.timeout).into());
        };
        output::print(&format!(
            "the App {slug} ({id}) is made; {stored}\ninstall it for your repositories: {install}\n\
             then name the Secret {} in forge.github.credentials of each Repository\n",
            self.secret
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    fn gate(&self) -> Result<Option<Origin>, Misuse> {
        let parsed = self.gate_url.as_deref().map(Origin::parse).transpose();
        parsed.map_err(|error| Misuse::says(format!("--gate-url: {error}")))
    }

    fn check(&self) -> Result<(), Misuse> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.contains(char::is_control)
        {
            return Err(Misuse::says(format!("--name: write 1 to {LONGEST_NAME} characters")));
        }
        let webhook: http::Uri = self.webhook_url.parse().map_err(|error| {
            Misuse::with("--webhook-url is no address", Box::new(error) as Trouble)
        })?;
        let secure = webhook.scheme_str() == Some("https");
        if !(secure || self.allow_http && webhook.scheme_str() == Some("http")) {
            return Err(Misuse::says("--webhook-url: write https://HOST/webhook"));
        }
        if webhook.path() != "/webhook" {
            return Err(Misuse::says("--webhook-url: the service listens at /webhook"));
        }
        if let Some(owner) = &self.organization
            && RepoName::parse(owner, "x").is_err()
        {
            return Err(Misuse::says("--organization: write its name as in its address"));
        }
        Ok(())
    }

    /// Where the secrets go. Whether they can go there is tried before anybody is sent to GitHub: the key is given once.
    async fn store(&self) -> Result<Store, Trouble> {
        let (name, namespace) = (self.secret.clone(), self.cluster.namespace.clone());
        if let Some(file) = self.file.clone() {
            if file.exists() {
                let text = format!("--file {}: there is a file already", file.display());
                return Err(Misuse::says(text).into());
            }
            return Ok(Arc::new(move |made| {
                let written = write(&file, &manifest(&name, &namespace, &made));
                let told = format!("its Secret is in {}", file.display());
                Box::pin(async move { written.map(|()| told).map_err(|error| error.to_string()) })
            }));
        }
        let api: Api<Secret> = Api::namespaced(self.cluster.client().await?, &namespace);
        let try_only = PostParams { dry_run: true, ..PostParams::default() };
        let trial = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        match api.create(&try_only, &trial).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let text = format!(
                    "there is a Secret {name} in namespace {namespace}: delete it, or write another --secret"
                );
                return Err(Misuse::says(text).into());
            }
            Err(error) => return Err(Misuse::with("the Secret can't be written", error).into()),
        }
        Ok(Arc::new(move |made| {
            let (api, name, namespace) = (api.clone(), name.clone(), namespace.clone());
            Box::pin(async move {
                let secret = serde_json::from_value(object(&name, &namespace, &made));
                let secret = secret.map_err(|error| error.to_string())?;
                let created = api.create(&PostParams::default(), &secret).await;
                created.map_err(|error| error.to_string())?;
                Ok(format!("its Secret is {name} in namespace {namespace}"))
            })
        }))
    }
}

fn object(name: &str, namespace: &str, made: &MadeApp) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {
            "appId": made.id.to_string(),
            "privateKey": made.private_key.expose_secret(),
            "webhookSecret": made.webhook_secret.expose_secret(),
            "clientId": made.client_id,
            "clientSecret": made.client_secret.expose_secret(),
        },
    })
}

fn manifest(name: &str, namespace: &str, made: &MadeApp) -> String {
    // JSON is YAML, and kubectl takes both.
    format!("{:#}\n", object(name, namespace, made))
}

fn write(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    let mut out =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    out.write_all(text.as_bytes())
}

/// Opens a browser, where there is one; else the printed address is there.
fn open(address: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(program);
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn() {
        tracing::debug!("no browser: {error}");
    }
}
