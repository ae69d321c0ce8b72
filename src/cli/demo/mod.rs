//! `bivouac demo`: the main job, played and checked on the embedded sandbox.

mod narrator;
mod story;

use clap::Args;

use super::Outcome;
use crate::app::stage::{self, Stage, Wiring};
use crate::seams::{Clock, Rng};
use narrator::Narrator;

/// Play the life of pull requests on an embedded Kubernetes and GitHub, and check every step.
///
/// Nothing is mocked: real commits, signed webhooks, a real API server's rules, HTTP. Ends with 0 when everything was
/// as promised, with 1 and the reason when it was not.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Leave everything running until Ctrl-C, and print where it is
    #[arg(long)]
    keep: bool,
    /// One JSON object a line, for machines
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(super) fn run(self) -> Outcome {
        let Self { keep, json } = self;
        let folder = tempfile::tempdir()?;
        super::runtime()?.block_on(async {
            let mut narrator = Narrator::new(json);
            narrator.begin("an embedded Kubernetes and GitHub, and the service between them");
            let stage =
                Stage::build(folder.path(), Wiring::Sockets, Clock::system(), Rng::system())
                    .await?;
            narrator.done(&format!("{} is served", stage::REPOSITORY));
            story::play(&stage, &mut narrator).await?;
            if keep {
                stay(&stage, &mut narrator).await?;
            }
            stage.end().await;
            narrator.end();
            Ok(())
        })
    }
}

/// Another pull request, left open, and where to look at everything.
async fn stay(stage: &Stage, narrator: &mut Narrator) -> Outcome {
    let number = story::leave_one_open(stage, narrator).await?;
    let Some(at) = &stage.addresses else { return Err("the demo has no addresses".into()) };
    let url = story::url_of(stage, number).await?;
    let host = url.trim_start_matches("http://").split(':').next().unwrap_or_default().to_owned();
    narrator.say("preview", &url);
    narrator.say(
        "preview by curl",
        &format!("curl --resolve {host}:{}:127.0.0.1 {url}/", at.ingress.port()),
    );
    narrator
        .say("pull request", &format!("http://{}/{}/pull/{number}", at.github, stage::REPOSITORY));
    narrator.say("git", &format!("http://{}/{}.git", at.github, stage::REPOSITORY));
    narrator.say(
        "kubectl",
        &format!(
            "export KUBECONFIG={}; kubectl -n {} get env -o wide",
            at.kubeconfig.display(),
            stage::NAMESPACE
        ),
    );
    narrator.say(
        "sleep",
        &format!(
            "kubectl -n {} patch env {}-pr-{number} --type merge -p '{{\"spec\":{{\"power\":\"Asleep\"}}}}'; then open \
             the preview, which wakes it",
            stage::NAMESPACE,
            stage::NAME
        ),
    );
    narrator.say("end", "Ctrl-C");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
