//! Whether the camp's URLs answer: asks each that a route of the running bundle serves, and notes it in the status. I/O:
//! the probe.

use std::time::Duration;

use futures::future::BoxFuture;

use super::Context;
use super::reconcile::Served;
use super::record::Record;
use crate::domain::bundle::Bundle;
use crate::domain::policy::Policy;
use crate::domain::reachable::{self, Silence, Target};
use crate::domain::status::bounded;

/// Pauses between the first questions to an address that has not answered yet: its route may be on its way, and people
/// wait for it.
const QUICK: [u64; 4] = [20, 50, 100, 200];
/// The same for one that did answer: a single question may be lost.
const AGAIN: [u64; 2] = [500, 1500];

/// An address that does not answer.
pub(super) struct Silent {
    /// The app.
    app: String,
    silence: Silence,
}

impl Silent {
    /// The line for people.
    pub(super) fn line(&self) -> String {
        format!("URL of {}: {}", self.app, self.silence.why)
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        self.silence.hint
    }
}

/// Writes down which path of each host the routes of a bundle serve, that was just applied and is not noted as such yet.
pub(super) fn note_routes(record: &mut Record, bundle: &Bundle, policy: &Policy) {
    if asks_once(policy) && record.status.digest.as_deref() != Some(bundle.digest.as_str()) {
        forget(record);
    }
    let routes = reachable::routes(&bundle.objects);
    for (entry, host) in record.status.urls.iter_mut().zip(&record.status.hosts) {
        entry.path = routes.get(host).cloned();
    }
}

/// Nothing is known of any address: nobody asks while what is behind them is not ready.
pub(super) fn forget(record: &mut Record) {
    for entry in &mut record.status.urls {
        (entry.reachable, entry.why) = (None, None);
    }
}

/// Whether an address that has answered is not asked again before something changes: where requests of any kind keep a camp
/// awake, the service's own may not.
fn asks_once(policy: &Policy) -> bool {
    policy.sleep.by_ingress
}

/// Asks every address that is to answer, side by side; gives those that don't.
pub(super) async fn ask(context: &Context, record: &mut Record, served: &Served) -> Vec<Silent> {
    let targets = if served.policy.url.probe {
        let both = record.status.urls.iter().zip(&record.status.hosts);
        let urls =
            both.map(|(entry, host)| (entry.app.as_str(), host.as_str(), entry.path.as_deref()));
        reachable::targets(urls, &served.policy.url)
    } else {
        Vec::new()
    };
    let answered = record.status.urls.iter().all(|entry| entry.reachable != Some(false))
        && targets.iter().all(|target| {
            record.status.urls.get(target.index).is_some_and(|entry| entry.reachable == Some(true))
        });
    if asks_once(&served.policy) && answered {
        return Vec::new();
    }
    let mut answers: Vec<BoxFuture<'_, Option<Silence>>> = Vec::new();
    for target in &targets {
        let before = record.status.urls.get(target.index).and_then(|entry| entry.reachable);
        answers.push(Box::pin(answer(context, target, before)));
    }
    let answers = futures::future::join_all(answers).await;
    forget(record);
    let mut silent = Vec::new();
    for (target, silence) in targets.into_iter().zip(answers) {
        if let Some(entry) = record.status.urls.get_mut(target.index) {
            entry.reachable = Some(silence.is_none());
            entry.why = silence.as_ref().map(|silence| bounded(&silence.why, 512));
        }
        silent.extend(silence.map(|silence| Silent { app: target.app, silence }));
    }
    silent
}

/// Asks one address, a few times when it is worth it; `None`: it answers.
async fn answer(context: &Context, target: &Target, before: Option<bool>) -> Option<Silence> {
    let pauses: &[u64] = match before {
        None => &QUICK,
        Some(true) => &AGAIN,
        // It has been asked a moment ago, and will be again.
        Some(false) => &[],
    };
    let mut silence = context.prober.ask(target).await?;
    for pause in pauses {
        if before.is_none() && !silence.young {
            break;
        }
        context.clock.sleep(Duration::from_millis(*pause)).await;
        silence = context.prober.ask(target).await?;
    }
    Some(silence)
}
