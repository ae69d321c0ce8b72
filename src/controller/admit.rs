//! Stage *admit*: may this bundle be applied now? Checks of the head and images of the bundle are looked for; what they
//! say is decided by the domain. In: a bundle; out: the bundle, maybe with digests, or a wait that is shown. I/O with the
//! forge, registries, and home.
//!
//! It comes after *guard* and so never before the approval of an untrusted source: nothing is asked for one.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::deploy::{judge, until};
use super::error::ReconcileError;
use super::look::QUIET;
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::stored;
use super::tell::{self, Telling};
use super::{Context, observe};
use crate::crd::{AdmissionState, AdmissionStatus, AwaitedEntry, Phase};
use crate::domain::admit::images::{ImageRef, images, pinned};
use crate::domain::admit::{self, Admission, Awaited, Images, Known, checks};
use crate::domain::bundle::Bundle;
use crate::domain::check;
use crate::domain::decision::Decision;
use crate::domain::id::Revision;
use crate::domain::status::{Judgement, bounded};
use crate::registry::{Found, PullCredentials, With};

/// The key of a pull secret.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// Images that are asked for at once.
const AT_ONCE: usize = 4;
/// Images of one bundle that are asked for. One with more of them is told so.
const MOST_IMAGES: usize = 100;
/// Things that the status names.
const NAMED: usize = 20;
/// Pauses between two looks at checks, which events tell of: this is for those that are lost.
const CHECKS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(120));
/// Pauses between two looks at images, of which nobody tells.
const IMAGES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// What came of it.
pub(super) enum Admitted {
    /// It may be applied.
    Yes(Bundle),
    /// Not yet, or not any more.
    No(Held),
}

/// A commit that is held back.
pub(super) struct Held {
    text: String,
    word: &'static str,
    given_up: bool,
    pause: (Duration, Duration),
}

/// Whether the record's last word on these inputs is that they wait.
pub(super) fn holds_back(record: &Record, inputs_digest: &str) -> bool {
    record.status.admission.as_ref().is_some_and(|admission| {
        admission.inputs_digest == inputs_digest && admission.state != AdmissionState::Admitted
    })
}

/// Asks for all that is awaited. `digest`: of the inputs. A commit that somebody went back to ran before.
pub(super) async fn admit(
    context: &Context,
    record: &mut Record,
    served: &Served,
    digest: &str,
    bundle: Bundle,
    went_back: bool,
) -> Result<Admitted, ReconcileError> {
    let rules = &served.policy.admit;
    let awaits_images = rules.images != Images::Never;
    if went_back || (rules.checks.is_empty() && !awaits_images) {
        record.status.admission = None;
        record.set_awaits(context, None).await?;
        return Ok(Admitted::Yes(bundle));
    }
    let before = record.status.admission.take().filter(|one| one.inputs_digest == digest);
    // One that was rendered anew has no digests: they are looked up once more.
    let prefixes = &served.policy.isolation.image_registries;
    let listed = |image: &str| ImageRef::parse(image).is_some_and(|one| one.is_listed(prefixes));
    let unpinned = rules.images == Images::Pin
        && images(&bundle).iter().any(|image| !image.contains('@') && listed(image));
    if !unpinned && before.as_ref().is_some_and(|one| one.state == AdmissionState::Admitted) {
        record.status.admission = before;
        return Ok(Admitted::Yes(bundle));
    }
    let now = context.clock.now();
    let since = before.map_or(now.into(), |one| one.since);
    let mut awaited = Vec::new();
    if rules.checks.is_empty() {
        record.set_awaits(context, None).await?;
    } else {
        let head = record.status.head.as_ref();
        let head = head.and_then(|head| Revision::parse(&head.revision).ok());
        let head = head.ok_or(ReconcileError::Stale)?;
        // Before the forge is asked: an event that comes in between finds the record.
        record.set_awaits(context, Some(head.as_str())).await?;
        let seen = served.forge.checks_at(&head).await.map_err(ReconcileError::Forge)?;
        let own = check::name(context.instance.name.as_str());
        awaited.extend(checks::known(&rules.checks, &seen, &own));
    }
    let mut digests = BTreeMap::new();
    if awaits_images {
        awaited.extend(look_for_images(context, record, served, &bundle, &mut digests).await?);
    }
    let admission = admit::admit(rules, &awaited, since.0, now);
    let status = |state, what: &[(String, String)]| AdmissionStatus {
        inputs_digest: digest.to_owned(),
        state,
        since,
        waits: what.iter().take(NAMED).map(entry).collect(),
    };
    let open_checks = awaited.iter().any(|one| one.what.starts_with("check "));
    let open_images = awaited
        .iter()
        .any(|one| one.what.starts_with("image ") && matches!(one.known, Known::NotYet(_)));
    let short = served_short(record);
    let held = match admission {
        Admission::Go => {
            record.status.admission = Some(status(AdmissionState::Admitted, &[]));
            // Not what was applied before it.
            let commit = format!("commit {short} may be applied");
            judge(context, record, &Judgement::unknown("Applied", "Admitted", commit.clone()));
            // What comes now is counted from now on, and not from the beginning of the wait.
            judge(context, record, &Judgement::unknown("Ready", "Admitted", commit));
            let bundle = match rules.images {
                Images::Pin if !digests.is_empty() => {
                    let bundle = pinned(bundle, &digests);
                    stored::keep(context, record, &bundle).await?;
                    bundle
                }
                _ => bundle,
            };
            return Ok(Admitted::Yes(bundle));
        }
        Admission::Wait { what } => {
            record.status.admission = Some(status(AdmissionState::Waiting, &what));
            let at = since.0.format("%Y-%m-%d %H:%M:%S UTC");
            Held {
                text: format!("commit {short} waits for {} since {at}", admit::list(&what)),
                word: "Awaiting",
                given_up: false,
                pause: if open_images { IMAGES } else { CHECKS },
            }
        }
        Admission::GiveUp { word, reason, what } => {
            record.status.admission = Some(status(AdmissionState::GivenUp, &what));
            let again = if open_checks { "; it goes on when that has passed" } else { "" };
            Held {
                text: format!("commit {short} is not deployed: {reason}{again}"),
                word,
                given_up: true,
                pause: CHECKS,
            }
        }
    };
    Ok(Admitted::No(held))
}

fn entry((what, state): &(String, String)) -> AwaitedEntry {
    AwaitedEntry { what: bounded(what, 320), state: bounded(state, 512) }
}

fn served_short(record: &Record) -> String {
    let head = record.status.head.as_ref();
    head.and_then(|head| head.revision.get(..7)).unwrap_or_default().to_owned()
}

/// What registries say of the images of a bundle. Digests go into `digests`, by the image as it is written.
async fn look_for_images(
    context: &Context,
    record: &mut Record,
    served: &Served,
    bundle: &Bundle,
    digests: &mut BTreeMap<String, String>,
) -> Result<Vec<Awaited>, ReconcileError> {
    let prefixes = &served.policy.isolation.image_registries;
    let (mut asked, mut unchecked) = (Vec::new(), Vec::new());
    for image in images(bundle) {
        match ImageRef::parse(&image).filter(|one| one.is_listed(prefixes)) {
            Some(one) => asked.push((image, one)),
            None => unchecked.push(image),
        }
    }
    note_unchecked(record, &unchecked);
    if asked.len() > MOST_IMAGES {
        let what = format!("image {} and others", asked.first().map_or("", |(image, _)| image));
        let why = format!("the bundle has more than {MOST_IMAGES} images");
        return Ok(vec![Awaited { what, known: Known::Failed(why) }]);
    }
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let credentials = pull_credentials(context, record, served).await?;
    let with = With { credentials: &credentials, token_hosts: &served.policy.admit.token_hosts };
    let questions: Vec<_> = asked
        .iter()
        .map(|(image, one)| async move { (image, context.registries.find(one, with).await) })
        .collect();
    let answers: Vec<_> = stream::iter(questions).buffered(AT_ONCE).collect().await;
    let mut awaited = Vec::new();
    for (image, found) in answers {
        let known = match found {
            Found::There { digest } => {
                digests.insert(image.clone(), digest);
                Known::There
            }
            Found::Missing(why) => Known::NotYet(why.to_string()),
            Found::Trouble(why) => Known::NotYet(bounded(&why, 200)),
            Found::Refused(why) => Known::Failed(bounded(&why, 300)),
        };
        awaited.push(Awaited { what: format!("image {}", bounded(image, 300)), known });
    }
    Ok(awaited)
}

/// People see which images nobody looked for.
fn note_unchecked(record: &mut Record, unchecked: &[String]) {
    const RULE: &str = "await";
    record.status.notes.retain(|note| note.rule.as_deref() != Some(RULE));
    if unchecked.is_empty() {
        return;
    }
    let named = unchecked.iter().take(3).map(|image| bounded(image, 100));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = unchecked.len().saturating_sub(3);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let text = format!(
        "images not checked, because isolation.imageRegistries does not list their registry: {named}{more}"
    );
    if record.status.notes.len() >= super::build::FINDINGS {
        record.status.notes.pop();
    }
    record.status.notes.push(crate::crd::NoteEntry {
        rule: Some(RULE.into()),
        file: None,
        line: None,
        message: bounded(&text, 512),
    });
}

/// The logins of the pull secrets that this record's camp gets, and of no others.
async fn pull_credentials(
    context: &Context,
    record: &Record,
    served: &Served,
) -> Result<PullCredentials, ReconcileError> {
    let untrusted = record.status.head.as_ref().is_none_or(observe::is_untrusted);
    let mut known = PullCredentials::default();
    for secret in served.policy.guardrails.pull_secrets_for(untrusted) {
        let api: Api<Secret> = Api::namespaced(context.home.clone(), &context.namespace);
        let found = api.get_opt(&secret.name).await;
        let found =
            found.map_err(|error| ReconcileError::record("read an image pull secret", error))?;
        // That one is missing or broken is told where it is put into the camp.
        let json = found.and_then(|found| found.data?.remove(DOCKER_CONFIG));
        if let Some(json) = json
            && let Err(error) = known.add(&json.0)
        {
            tracing::warn!(secret.name = secret.name, "a pull secret is not used: {error}");
        }
    }
    Ok(known)
}

/// Shows what a commit waits for, and what runs meanwhile.
pub(super) async fn show(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    digest: String,
    held: Held,
) -> Result<Next, ReconcileError> {
    let Held { text, word, given_up, pause: (shortest, longest) } = held;
    let goes_on = record.status.short_revision.as_ref();
    let goes_on = goes_on.map(|short| format!("; commit {short} goes on")).unwrap_or_default();
    let text = format!("{text}{goes_on}");
    record.status.findings.clear();
    record.status.inputs_digest = Some(digest);
    record.status.phase = Some(if given_up { Phase::Failed } else { Phase::Progressing });
    record.status.reason = Some(bounded(&text, 1024));
    judge(context, record, &Judgement::yes("Rendered", "Rendered", "waits to be applied"));
    judge(context, record, &Judgement::no("Ready", word, text));
    record.save(context).await?;
    let since = record.status.admission.as_ref().map_or(context.clock.now(), |one| one.since.0);
    let age = (context.clock.now() - since).to_std().unwrap_or_default();
    // What is there within some seconds is not worth a text.
    if given_up || age >= QUIET {
        tell::tell(context, record, served, &Telling::of(decision));
    }
    if given_up {
        return Ok(until(context, record, context.intervals.resync));
    }
    let pause =
        if age < QUIET { QUIET.saturating_sub(age) } else { (age / 10).clamp(shortest, longest) };
    // Not later than it is given up.
    let left = served.policy.admit.timeout.saturating_sub(age).max(Duration::from_secs(1));
    Ok(until(context, record, pause.min(left)))
}
