//! `Request`: one command that somebody gave, until it is answered and a day longer. No I/O.
#![expect(unreachable_pub, reason = "kube's derive repeats the spec in a block of its own")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;
use crate::domain::command::Given;
use crate::domain::pull_request::Author;

/// One command that somebody gave. An entrance writes it, the controller carries it out and answers.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bivouac.dev",
    version = "v1alpha1",
    kind = "Request",
    plural = "requests",
    category = "bivouac",
    doc = "One command that somebody gave, until it is answered and a day longer.",
    namespaced,
    status = "RequestStatus",
    derive = "PartialEq",
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "Verb", type_ = "string", json_path = ".spec.verb"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by.login"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    validation = "self.metadata.name.size() <= 128"
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a Request is immutable: make another one"))]
#[serde(rename_all = "camelCase")]
pub struct RequestSpec {
    /// Name of the Environment in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// What is to be done, as it was typed. What no verb is called is answered with the verb that may have been meant.
    #[schemars(length(min = 1, max = 256))]
    pub verb: String,
    /// The words after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40), inner(length(max = 256)))]
    pub arguments: Vec<String>,
    /// Why the command can't be read; it is then only answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub slip: Option<String>,
    /// Where it was given.
    pub from: Origin,
    /// Who gave it.
    pub by: Requester,
    /// When it was given, as the forge says.
    pub at: Timestamp,
}

impl RequestSpec {
    /// A command as somebody gave it; `id` is that of the comment, delivery or event of a label it was given in.
    #[must_use]
    pub fn of_command(
        environment: &str,
        given: Given,
        from: (OriginKind, String),
        by: &Author,
        at: Timestamp,
    ) -> Self {
        let Given { verb, arguments, slip } = given;
        let (kind, id) = from;
        Self {
            environment: environment.to_owned(),
            verb,
            arguments,
            slip: slip.map(|slip| slip.text().to_owned()),
            from: Origin { kind, id },
            by: Requester {
                login: by.login.clone(),
                id: i64::try_from(by.id).unwrap_or(i64::MAX),
                bot: by.bot,
            },
            at,
        }
    }
}

/// Where a command was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// In what.
    pub kind: OriginKind,
    /// Its id there: of the comment, of the delivery, of the label's event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 100))]
    pub id: String,
}

/// In what a command was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OriginKind {
    /// A comment on the pull request.
    Comment,
    /// A button of the check run.
    Check,
    /// A label that was put on or taken off.
    Label,
    /// The dashboard.
    Dashboard,
    /// The REST API.
    Api,
    /// `kubectl` or our own command line.
    Cli,
    /// Somebody who opened a preview that sleeps. The gate has judged; nobody is asked again.
    Gate,
}

/// Who gave a command. What this account may do is asked of the forge when the command is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// Login at the forge.
    #[schemars(length(min = 1, max = 100))]
    pub login: String,
    /// Numeric id at the forge: who has the login later is somebody else.
    pub id: i64,
    /// An App or a machine account.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub bot: bool,
}

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    /// Where it stands.
    #[serde(default)]
    pub state: RequestState,
    /// What was done, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When it was carried out or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// The forge was told, or can't be.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub told: bool,
    /// Id of the reaction that says how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction: Option<i64>,
    /// The comment that answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplyRecord>,
}

/// A comment that answers a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyRecord {
    /// Its id.
    pub id: i64,
    /// Its id for GraphQL.
    #[schemars(length(max = 200))]
    pub node: String,
    /// A later answer took its place: it is folded up.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub minimized: bool,
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestState {
    /// It waits, or is being carried out.
    #[default]
    Pending,
    /// It was carried out.
    Done,
    /// It may not be, or has no sense now.
    Refused,
    /// It could not be.
    Failed,
}

/// What somebody may do about previews from the pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CommandPolicy {
    /// What a command begins with. Default: `/preview`.
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^[/!@.][A-Za-z0-9][A-Za-z0-9_/-]*$"))]
    pub prefix: String,
    /// Who may give which command: `read`, `triage`, `author` (of the pull request, or write), `write`, `maintain`,
    /// `admin`, `nobody` or `team:NAME`, by the command's name. Default: the table in docs/commands.md.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(
        extend("maxProperties" = 32),
        extend("additionalProperties" = {
            "type": "string", "maxLength": 105,
            "pattern": "^(read|triage|author|write|maintain|admin|nobody|team:[A-Za-z0-9_-]+)$",
        })
    )]
    pub verbs: std::collections::BTreeMap<String, String>,
    /// Logins of bots whose comments count. Those of others never do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 100)))]
    pub bots: Vec<String>,
    /// Labels that act like commands.
    pub labels: CommandLabels,
}

/// Labels that act like commands, with the rights of who puts them on. An empty name switches one off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CommandLabels {
    /// Put on: `up`, and approval of the head by those who may approve; taken off: `down`. Default: `preview`.
    #[schemars(length(max = 50))]
    pub up: String,
    /// Put on: `pin`; taken off: `unpin`. Default: `preview/keep`.
    #[schemars(length(max = 50))]
    pub keep: String,
    /// Put on: `sleep`; taken off: `wake`. Default: `preview/sleep`.
    #[schemars(length(max = 50))]
    pub sleep: String,
}

impl Default for CommandPolicy {
    fn default() -> Self {
        Self {
            prefix: "/preview".into(),
            verbs: std::collections::BTreeMap::new(),
            bots: Vec::new(),
            labels: CommandLabels::default(),
        }
    }
}

impl Default for CommandLabels {
    fn default() -> Self {
        Self { up: "preview".into(), keep: "preview/keep".into(), sleep: "preview/sleep".into() }
    }
}
