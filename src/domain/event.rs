//! PURE · a webhook's body → identities, and nothing else. Head, labels, state and titles are never looked at: they
//! are read from the forge before anything is decided.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::id::{PrNumber, RepoName, Revision};
use super::pull_request::Author;

/// What a delivery is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The repository named in the payload; whoever signed it must be allowed to speak for that one.
    pub repository: Option<RepositoryRef>,
    /// What happened, as far as we listen.
    pub event: Event,
}

/// A repository as a payload names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRef {
    /// Numeric id.
    pub id: u64,
    /// Owner and name.
    pub name: RepoName,
}

/// An event that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something happened to a pull request of `Delivery::repository`.
    PullRequest {
        /// Which action; only `Closed` makes a difference, and only in whether a record is made.
        action: Action,
        /// Its number.
        number: PrNumber,
    },
    /// Something happened to `Delivery::repository` as a whole, which its next look finds out.
    Repository,
    /// A branch of `Delivery::repository` is another commit, or gone: pull requests into it merge otherwise.
    Branch {
        /// Its name.
        name: String,
        /// It is no branch any more.
        gone: bool,
    },
    /// A check of a commit of `Delivery::repository` has ended.
    Checked {
        /// The commit.
        revision: Revision,
    },
    /// An App can do something else at an account than before.
    Installation {
        /// Login of the account, which owns the repositories.
        account: String,
        /// Those that are named; when none is, all of the account.
        repositories: Vec<RepositoryRef>,
    },
    /// Somebody wrote a comment on a pull request of `Delivery::repository`.
    Comment(Comment),
    /// Somebody pressed a button of a check run.
    Button(Button),
    /// GitHub tries whether the address answers.
    Ping,
    /// Nothing is to be done.
    Ignored {
        /// Why not; for the log.
        reason: &'static str,
    },
}

/// A comment that was just written. Its text is what somebody typed, and nothing is believed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The pull request.
    pub number: PrNumber,
    /// Its id.
    pub id: u64,
    /// Who wrote it.
    pub by: Author,
    /// When.
    pub at: DateTime<Utc>,
    /// Markdown.
    pub text: String,
}

/// A button of a check run that somebody pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// How whoever made the run calls it.
    pub external_id: String,
    /// What stands behind the button: verb and number of the pull request.
    pub identifier: String,
    /// Who pressed it.
    pub by: Author,
}

impl Button {
    /// Verb and pull request, when it is a button of this installation.
    #[must_use]
    pub fn of_instance(&self, instance: &str) -> Option<(String, PrNumber)> {
        let ours = format!("bivouac:v1:{instance}:");
        let head = self.external_id.strip_prefix(&ours)?;
        let (verb, number) = self.identifier.split_once(':')?;
        // What is on our buttons, and nothing else that somebody may have put there.
        let known = matches!(verb, "redeploy" | "extend" | "destroy");
        let number = number.parse().ok().filter(|n| (1..=i64::MAX.unsigned_abs()).contains(n))?;
        (known && Revision::parse(head).is_ok()).then(|| {
            let verb = if verb == "destroy" { "down" } else { verb };
            (verb.to_owned(), PrNumber(number))
        })
    }
}

/// The actions of `pull_request` that we listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new pull request.
    Opened,
    /// Open again.
    Reopened,
    /// New commits.
    Synchronize,
    /// Closed or merged.
    Closed,
    /// Title, text or base branch.
    Edited,
    /// A label more.
    Labeled,
    /// A label less.
    Unlabeled,
    /// No draft any more.
    ReadyForReview,
    /// A draft again.
    ConvertedToDraft,
}

/// Why a body can't be read. Says nothing of its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or not in the form that GitHub documents.
    #[error(
        "the body is not a {event} payload as JSON (line {line}, column {column}); is the webhook's content type application/json?"
    )]
    Malformed {
        /// The event named by the header, shortened.
        event: String,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// A part is missing that we need.
    #[error("the payload has no usable {field}")]
    Missing {
        /// Path of the field.
        field: &'static str,
    },
}

const OTHER_ACTION: &str = "no action that we listen to";
/// What `external_id` of our own check runs begins with.
const OWN_CHECK: &str = "bivouac:v1:";
const NO_BRANCH: &str = "about no branch";
/// Repositories that are read of one event of an installation.
const MOST_NAMED: usize = 10_000;

#[derive(Deserialize)]
struct RawRepository {
    id: u64,
    full_name: String,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "opened" => Self::Opened,
            "reopened" => Self::Reopened,
            "synchronize" => Self::Synchronize,
            "closed" => Self::Closed,
            "edited" => Self::Edited,
            "labeled" => Self::Labeled,
            "unlabeled" => Self::Unlabeled,
            "ready_for_review" => Self::ReadyForReview,
            "converted_to_draft" => Self::ConvertedToDraft,
            _ => return None,
        })
    }
}

/// Reads the identities out of a delivery. `name` is the header `X-GitHub-Event`.
pub fn parse(name: &str, body: &[u8]) -> Result<Delivery, EventError> {
    // As a map: a struct of serde would be read from an array too.
    let raw: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| EventError::Malformed {
            event: name
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                .take(40)
                .collect(),
            line: error.line(),
            column: error.column(),
        })?;
    let repository = raw.get("repository").and_then(repository);
    let event = match name {
        "ping" => Event::Ping,
        "pull_request" => pull_request(&raw)?,
        "issue_comment" => comment(&raw)?,
        "repository" => match action(&raw)? {
            "renamed" | "transferred" | "archived" | "unarchived" | "deleted" | "publicized"
            | "privatized" => Event::Repository,
            // A default branch, a description, topics.
            _ => Event::Ignored { reason: OTHER_ACTION },
        },
        // Our own check says what we know.
        "check_run" => match (action(&raw)?, text(&raw, &["check_run", "external_id"])) {
            ("requested_action", _) => button(&raw)?,
            (_, Some(id)) if id.starts_with(OWN_CHECK) => Event::Ignored { reason: "our own" },
            ("completed", _) => checked(&raw, &["check_run", "head_sha"])?,
            // One that was made when it had ended already.
            ("created", _) if text(&raw, &["check_run", "status"]) == Some("completed") => {
                checked(&raw, &["check_run", "head_sha"])?
            }
            _ => Event::Ignored { reason: OTHER_ACTION },
        },
        "check_suite" | "workflow_run" => match (action(&raw)?, name) {
            ("completed", "check_suite") => checked(&raw, &["check_suite", "head_sha"])?,
            ("completed", _) => checked(&raw, &["workflow_run", "head_sha"])?,
            _ => Event::Ignored { reason: OTHER_ACTION },
        },
        "status" => match text(&raw, &["state"]) {
            _ if text(&raw, &["context"]).is_some_and(is_own) => {
                Event::Ignored { reason: "our own" }
            }
            Some("pending") => Event::Ignored { reason: "a status that is not the last" },
            _ => checked(&raw, &["sha"])?,
        },
        "push" => {
            let gone = raw.get("deleted").and_then(Value::as_bool).unwrap_or_default();
            branch(&raw, "refs/heads/", gone)?
        }
        "delete" => match raw.get("ref_type").and_then(Value::as_str) {
            Some("branch") => branch(&raw, "", true)?,
            _ => Event::Ignored { reason: NO_BRANCH },
        },
        "installation" => match action(&raw)? {
            "created" | "deleted" | "suspend" | "unsuspend" | "new_permissions_accepted" => {
                installation(&raw, &["repositories"])?
            }
            _ => Event::Ignored { reason: OTHER_ACTION },
        },
        "installation_repositories" => match action(&raw)? {
            "added" | "removed" => {
                installation(&raw, &["repositories_added", "repositories_removed"])?
            }
            _ => Event::Ignored { reason: OTHER_ACTION },
        },
        _ => Event::Ignored { reason: "no event that we listen to" },
    };
    let of_one = matches!(
        event,
        Event::PullRequest { .. }
            | Event::Repository
            | Event::Branch { .. }
            | Event::Checked { .. }
            | Event::Comment(_)
            | Event::Button(_)
    );
    if of_one && repository.is_none() {
        return Err(EventError::Missing { field: "repository" });
    }
    Ok(Delivery { repository, event })
}

fn repository(value: &Value) -> Option<RepositoryRef> {
    let raw = RawRepository::deserialize(value).ok()?;
    let (owner, name) = raw.full_name.split_once('/')?;
    Some(RepositoryRef { id: raw.id, name: RepoName::parse(owner, name).ok()? })
}

fn action(raw: &Map<String, Value>) -> Result<&str, EventError> {
    let action = raw.get("action").and_then(Value::as_str);
    action.ok_or(EventError::Missing { field: "action" })
}

/// `ref` names a branch after `prefix`: what it is now is read from the forge.
fn branch(raw: &Map<String, Value>, prefix: &str, gone: bool) -> Result<Event, EventError> {
    let found = raw.get("ref").and_then(Value::as_str);
    let found = found.ok_or(EventError::Missing { field: "ref" })?;
    let named = found.strip_prefix(prefix).filter(|name| (1..=255).contains(&name.len()));
    Ok(match named {
        Some(name) => Event::Branch { name: name.to_owned(), gone },
        None => Event::Ignored { reason: NO_BRANCH },
    })
}

/// The text at a path.
fn text<'a>(raw: &'a Map<String, Value>, path: &[&str]) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(raw.get(*first)?, |value, part| value.get(part))?.as_str()
}

/// Whether a status is this service's, of whichever instance.
fn is_own(context: &str) -> bool {
    context.starts_with("bivouac") && context.ends_with(" / preview")
}

/// A check of the commit at `path` has ended.
fn checked(raw: &Map<String, Value>, path: &[&'static str]) -> Result<Event, EventError> {
    let field = path.last().copied().unwrap_or_default();
    let revision = text(raw, path).and_then(|sha| Revision::parse(sha).ok());
    revision.map(|revision| Event::Checked { revision }).ok_or(EventError::Missing { field })
}

fn installation(raw: &Map<String, Value>, lists: &[&str]) -> Result<Event, EventError> {
    let account = || raw.get("installation")?.get("account")?.get("login")?.as_str();
    let account = account().filter(|login| !login.is_empty());
    let account = account.ok_or(EventError::Missing { field: "installation.account.login" })?;
    let named = lists.iter().filter_map(|list| raw.get(*list)?.as_array()).flatten();
    let repositories = named.filter_map(repository).take(MOST_NAMED).collect();
    Ok(Event::Installation { account: account.to_owned(), repositories })
}

/// An account, as payloads name it.
fn account(value: Option<&Value>) -> Option<Author> {
    let value = value?;
    let login = value.get("login")?.as_str().filter(|login| (1..=100).contains(&login.len()))?;
    Some(Author {
        login: login.to_owned(),
        // The record of a command keeps it as a signed number.
        id: value.get("id")?.as_u64().filter(|id| *id <= i64::MAX.unsigned_abs())?,
        bot: value.get("type").and_then(Value::as_str) != Some("User"),
    })
}

/// Only a new comment on a pull request may be a command: whoever may edit a comment of somebody else must not be able to
/// speak for them.
fn comment(raw: &Map<String, Value>) -> Result<Event, EventError> {
    if action(raw)? != "created" {
        return Ok(Event::Ignored { reason: "a comment is a command only when it is new" });
    }
    let issue = raw.get("issue").and_then(Value::as_object);
    let issue = issue.ok_or(EventError::Missing { field: "issue" })?;
    if !issue.get("pull_request").is_some_and(Value::is_object) {
        return Ok(Event::Ignored { reason: "no pull request" });
    }
    let number = issue.get("number").and_then(Value::as_u64);
    let number = number.filter(|number| (1..=i64::MAX.unsigned_abs()).contains(number));
    let number = number.ok_or(EventError::Missing { field: "issue.number" })?;
    let found = raw.get("comment").ok_or(EventError::Missing { field: "comment" })?;
    let id = found.get("id").and_then(Value::as_u64);
    let at = found.get("created_at").and_then(Value::as_str);
    let at = at.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    // The author of the comment is who speaks; the sender of a delivery only caused it.
    let Some(by) = account(found.get("user")) else {
        return Ok(Event::Ignored { reason: "a comment of nobody" });
    };
    Ok(Event::Comment(Comment {
        number: PrNumber(number),
        id: id.ok_or(EventError::Missing { field: "comment.id" })?,
        by,
        at: at.ok_or(EventError::Missing { field: "comment.created_at" })?.to_utc(),
        text: found.get("body").and_then(Value::as_str).unwrap_or_default().to_owned(),
    }))
}

fn button(raw: &Map<String, Value>) -> Result<Event, EventError> {
    let run = raw.get("check_run").ok_or(EventError::Missing { field: "check_run" })?;
    let pressed = raw.get("requested_action").and_then(|action| action.get("identifier"));
    let pressed = pressed.and_then(Value::as_str);
    Ok(Event::Button(Button {
        external_id: run.get("external_id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        identifier: pressed
            .ok_or(EventError::Missing { field: "requested_action.identifier" })?
            .to_owned(),
        by: account(raw.get("sender")).ok_or(EventError::Missing { field: "sender" })?,
    }))
}

fn pull_request(raw: &Map<String, Value>) -> Result<Event, EventError> {
    let Some(action) = Action::parse(action(raw)?) else {
        return Ok(Event::Ignored { reason: OTHER_ACTION });
    };
    let inner = || raw.get("pull_request")?.get("number")?.as_u64();
    let number = raw.get("number").and_then(Value::as_u64).or_else(inner);
    // The record's schema keeps the number as a signed one, from 1.
    match number.filter(|number| (1..=i64::MAX.unsigned_abs()).contains(number)) {
        Some(number) => Ok(Event::PullRequest { action, number: PrNumber(number) }),
        None => Err(EventError::Missing { field: "number" }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body(action: &str) -> serde_json::Value {
        json!({
            "action": action, "number": 7, "pull_request": {"number": 7},
            "repository": {"id": 42, "full_name": "Acme/Shop"},
        })
    }

    fn read(name: &str, value: &serde_json::Value) -> Result<Delivery, EventError> {
        parse(name, value.to_string().as_bytes())
    }

    #[test]
    fn each_listed_action_gives_its_identities_and_no_other_does() {
        let repository =
            Some(RepositoryRef { id: 42, name: RepoName::parse("acme", "shop").unwrap() });
        for (text, action) in [
            ("opened", Action::Opened),
            ("reopened", Action::Reopened),
            ("synchronize", Action::Synchronize),
            ("closed", Action::Closed),
            ("edited", Action::Edited),
            ("labeled", Action::Labeled),
            ("unlabeled", Action::Unlabeled),
            ("ready_for_review", Action::ReadyForReview),
            ("converted_to_draft", Action::ConvertedToDraft),
        ] {
            let event = Event::PullRequest { action, number: PrNumber(7) };
            let expected = Delivery { repository: repository.clone(), event };
            assert_eq!(read("pull_request", &body(text)), Ok(expected), "{text}");
        }
        for other in ["assigned", "locked", "review_requested", "", "OPENED"] {
            let event = read("pull_request", &body(other)).unwrap().event;
            assert!(matches!(event, Event::Ignored { .. }), "{other}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (path, field) in [("action", "action"), ("repository", "repository")] {
            let mut value = body("opened");
            value.as_object_mut().unwrap().remove(path);
            assert_eq!(read("pull_request", &value), Err(EventError::Missing { field }));
        }
        let mut value = body("opened");
        value["number"] = json!(-1);
        value["pull_request"] = json!(null);
        assert_eq!(read("pull_request", &value), Err(EventError::Missing { field: "number" }));
        let deep = "[".repeat(100_000);
        for bad in ["", "{", "[]", "null", "payload=%7B%7D", deep.as_str()] {
            assert!(
                matches!(parse("pull_request", bad.as_bytes()), Err(EventError::Malformed { .. })),
                "{}",
                &bad[..bad.len().min(20)]
            );
        }
    }

    #[test]
    fn what_happens_to_a_whole_repository_or_branch_has_only_its_repository() {
        for (name, change, expected) in [
            ("repository", json!({"action": "renamed"}), Some(Event::Repository)),
            ("repository", json!({"action": "transferred"}), Some(Event::Repository)),
            ("repository", json!({"action": "archived"}), Some(Event::Repository)),
            ("repository", json!({"action": "deleted"}), Some(Event::Repository)),
            ("repository", json!({"action": "edited"}), None),
            (
                "push",
                json!({"ref": "refs/heads/a/b"}),
                Some(Event::Branch { name: "a/b".into(), gone: false }),
            ),
            (
                "push",
                json!({"ref": "refs/heads/main", "deleted": true}),
                Some(Event::Branch { name: "main".into(), gone: true }),
            ),
            ("push", json!({"ref": "refs/tags/v1"}), None),
            ("push", json!({"ref": "refs/heads/"}), None),
            (
                "delete",
                json!({"ref": "main", "ref_type": "branch"}),
                Some(Event::Branch { name: "main".into(), gone: true }),
            ),
            ("delete", json!({"ref": "v1", "ref_type": "tag"}), None),
            ("create", json!({"ref": "v1", "ref_type": "branch"}), None),
        ] {
            let mut payload = body("opened");
            json_patch::merge(&mut payload, &change);
            let event = read(name, &payload).unwrap().event;
            match expected {
                Some(expected) => assert_eq!(event, expected, "{name} {change}"),
                None => assert!(matches!(event, Event::Ignored { .. }), "{name} {change}"),
            }
            if name == "push" {
                payload["ref"] = json!(null);
                assert_eq!(read(name, &payload), Err(EventError::Missing { field: "ref" }));
            }
        }
    }

    #[test]
    fn an_installation_names_its_account_and_the_repositories_that_can_be_read() {
        let payload = json!({
            "action": "removed", "installation": {"id": 1, "account": {"login": "acme"}},
            "repositories_added": [],
            "repositories_removed": [{"id": 7, "full_name": "acme/shop"}, {"id": 8}, 9],
        });
        let shop = RepositoryRef { id: 7, name: RepoName::parse("acme", "shop").unwrap() };
        let event = Event::Installation { account: "acme".into(), repositories: vec![shop] };
        let expected = Delivery { repository: None, event };
        assert_eq!(read("installation_repositories", &payload), Ok(expected));
        let nobody = json!({"action": "deleted", "installation": {"id": 1}});
        let field = "installation.account.login";
        assert_eq!(read("installation", &nobody), Err(EventError::Missing { field }));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(name in "\\PC{0,20}|pull_request|ping|push|delete|repository|installation|installation_repositories", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&name, &bytes);
        }

        #[test]
        fn no_value_in_any_place_makes_it_panic(
            place in prop::sample::select(vec!["action", "number", "pull_request", "repository"]),
            value in prop_oneof![
                Just(json!(null)), Just(json!([])), Just(json!({})), Just(json!(1.5)), Just(json!(u64::MAX)),
                Just(json!({"id": -1, "full_name": "a"})), Just(json!({"id": 1, "full_name": "a/b/c"})),
                "\\PC{0,30}".prop_map(|s| json!(s)),
            ],
        ) {
            let mut payload = body("opened");
            payload[place] = value;
            if let Ok(Delivery { event: Event::PullRequest { number, .. }, .. }) = read("pull_request", &payload) {
                prop_assert!(number.0 >= 1);
            }
        }
    }
}
