//! PURE · the text of the sticky comment: a [`CommentView`] in, Markdown out. No time, no ids, nothing that changes
//! while nothing happens.
//!
//! Text from outside (titles, branches, log lines, paths, names) reaches the templates only through `escape`: it can
//! neither end its code span or fence, nor mention anybody, nor become a link, an image, HTML or a marker.

mod context;
pub(in crate::domain) mod escape;
mod marker;
pub(in crate::domain) mod words;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use handlebars::Handlebars;
use sha2::{Digest, Sha256};

use super::id::Revision;
use context::{Caps, Context};
pub use marker::Marker;

/// Heading of the last text of a pull request that is closed: see [`is_last_word`].
const LAST_WORD: &str = "### Preview is gone";
/// GitHub's limit for a comment, in characters; the marker's line takes its part.
const MOST: usize = 65_536;
/// Room for the marker.
const FOR_MARKER: usize = 512;

/// Everything that the comment shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentView {
    /// Name of this installation.
    pub instance: String,
    /// Namespace of the service, where the Environment is.
    pub namespace: String,
    /// Name of the Environment.
    pub environment: String,
    /// What a command begins with.
    pub prefix: String,
    /// The commit that this is about.
    pub revision: Option<Commit>,
    /// The commit of the base branch that it was merged with, when the merge is what is rendered.
    pub merged_with: Option<Commit>,
    /// Where the work stands.
    pub phase: Phase,
    /// The apps with their addresses.
    pub apps: Vec<AppUrl>,
    /// When the camp ends if nothing happens.
    pub expires_at: Option<DateTime<Utc>>,
    /// That end is near: people are warned of it.
    pub ending: Option<Ending>,
    /// From the commit being seen to ready; fixed once it is.
    pub took: Option<Duration>,
    /// What was rendered and how it was found.
    pub rendered_from: Vec<RenderedFrom>,
    /// What the running commit changed in the camp.
    pub changes: Option<Changes>,
    /// What people should know about the preview, though nothing is refused for it.
    pub notes: Vec<String>,
    /// The log of what failed when the camp ended.
    pub log_of_end: Option<LogTail>,
    /// The rules that were asked, with their answers.
    pub why: Vec<String>,
}

/// An end that is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub at: DateTime<Utc>,
    /// A push or a wish gives more time.
    pub renewable: bool,
}

/// A commit and its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The hash.
    pub revision: Revision,
    /// The page for people.
    pub url: String,
}

/// One app and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppUrl {
    /// Name of the app.
    pub app: String,
    /// Its address.
    pub url: String,
}

/// What a commit changed in a camp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The commit that ran before.
    pub since: Commit,
    /// Objects that were not there before.
    pub added: Objects,
    /// Objects that are otherwise now.
    pub changed: Objects,
    /// Objects that are there no more.
    pub removed: Objects,
}

/// Objects with which one thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// `Kind/name` of the first ones.
    pub named: Vec<String>,
    /// How many there are in all.
    pub count: usize,
}

/// A path that was rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFrom {
    /// The path in the repository.
    pub path: String,
    /// Found by our order of places, without a preview file.
    pub guessed: bool,
}

/// Something that a rule refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Id of the rule.
    pub rule: String,
    /// The file, when it is known.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Something that does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What, and why.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTail {
    /// Whose log: pod and container.
    pub of: String,
    /// The last lines.
    pub lines: Vec<String>,
}

/// Where the work stands, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The commit is from somebody whose commits need a yes.
    AwaitingApproval {
        /// Why it does: a fork, a bot.
        reason: String,
        /// The base commit that the yes is given for.
        base: Revision,
    },
    /// It will not get a preview as it is.
    NotEligible {
        /// Why not.
        reason: String,
    },
    /// Switched off by what the platform team set.
    Forbidden {
        /// Which rule, or what stands in the way.
        reason: String,
    },
    /// A limit is reached.
    Queued {
        /// Which limit.
        reason: String,
    },
    /// On its way.
    Working {
        /// What is being done.
        stage: String,
    },
    /// All addresses answer.
    Ready,
    /// Nothing of it runs; it keeps its addresses and its data.
    Asleep {
        /// Why it sleeps.
        reason: String,
    },
    /// It was ready, and something is not now.
    Degraded {
        /// It never was, and this much time was given to it.
        overdue: Option<String>,
        /// Each cause.
        problems: Vec<Problem>,
        /// The log of what fails.
        log: Option<LogTail>,
    },
    /// What the commit holds may not be applied; whatever ran before is left as it was.
    Refused {
        /// Each reason.
        findings: Vec<Finding>,
    },
    /// The merge with the base branch is what would be rendered, and they contradict each other.
    Conflict {
        /// With what, and what to do.
        reason: String,
        /// The commit that goes on meanwhile.
        running: Option<Revision>,
    },
    /// It did not work.
    Failed {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
        /// The log of what fails.
        log: Option<LogTail>,
        /// Id under which the service's log has the details.
        incident: Option<String>,
    },
    /// Somebody said `want: Down`.
    Down,
    /// Its time was up.
    Expired {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// The pull request is closed, the camp is being taken down.
    Closing {
        /// What holds it up.
        blocked_by: Option<String>,
    },
    /// The pull request is closed and nothing is left.
    Closed {
        /// How long the camp stood; `None` when there never was one.
        lived: Option<Duration>,
        /// How many revisions were deployed.
        revisions: u32,
        /// The last address.
        last_url: Option<String>,
    },
}

/// The Markdown without its marker, and what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentText {
    text: String,
    hash: String,
}

impl CommentText {
    /// SHA-256 over the text, hex. Two equal hashes: nothing to write.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The whole body: the marker's line, then the text.
    #[must_use]
    pub fn body(&self, marker: &Marker) -> String {
        format!("{marker}\n\n{}", self.text)
    }
}

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each template.
        const TEMPLATES: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../../templates/comments/", $name, ".md.hbs")),
        )),*];
    };
}

templates!(
    "asleep",
    "awaiting-approval",
    "changes",
    "closed",
    "closing",
    "commit",
    "conflict",
    "degraded",
    "down",
    "expired",
    "failed",
    "foot",
    "forbidden",
    "log",
    "not-eligible",
    "notes",
    "queued",
    "ready",
    "refused",
    "urls",
    "working",
);

static REGISTRY: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    // A bare `{{x}}` is a code span: what nobody thought about is safe.
    registry.register_escape_fn(escape::code);
    escape::register(&mut registry);
    for (name, text) in TEMPLATES {
        #[expect(clippy::expect_used, reason = "built in; each one is parsed by every test")]
        registry
            .register_template_string(name, text)
            .expect("the built-in template is well-formed");
    }
    registry
});

/// Renders the comment. Too long a text is shortened: first the rules asked, then logs, then findings and addresses.
///
/// # Panics
/// Never with the built-in templates: each is rendered in a test, and the context has every field in every phase.
#[must_use]
pub fn render(view: &CommentView) -> CommentText {
    let mut text = String::new();
    for caps in Caps::IN_ORDER {
        let context = Context::new(view, caps);
        #[expect(clippy::expect_used, reason = "every phase has a golden file with this template")]
        let rendered = REGISTRY
            .render(template(&view.phase), &context)
            .expect("the context always has every field that a template names");
        text = tidy(&rendered);
        if text.chars().count() <= MOST - FOR_MARKER {
            break;
        }
    }
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    CommentText { text, hash }
}

/// Whether a comment says that its preview is gone: it stays true when the record is forgotten, and may stay.
#[must_use]
pub fn is_last_word(body: &str) -> bool {
    body.lines().map(str::trim_end).find(|line| line.starts_with("### ")) == Some(LAST_WORD)
}

/// No more than one empty line in a row outside of fences, one line break at the end.
fn tidy(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            Some(open) if line == open => fence = None,
            None if ticks >= 3 => fence = Some(&line[..ticks]),
            _ => {}
        }
        let empty = line.trim().is_empty();
        if empty && fence.is_none() && lines.last().is_none_or(|last| last.is_empty()) {
            continue;
        }
        lines.push(if empty && fence.is_none() { "" } else { line });
    }
    while lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines.join("\n") + "\n"
}

fn template(phase: &Phase) -> &'static str {
    match phase {
        Phase::AwaitingApproval { .. } => "awaiting-approval",
        Phase::NotEligible { .. } => "not-eligible",
        Phase::Forbidden { .. } => "forbidden",
        Phase::Queued { .. } => "queued",
        Phase::Working { .. } => "working",
        Phase::Ready => "ready",
        Phase::Asleep { .. } => "asleep",
        Phase::Degraded { .. } => "degraded",
        Phase::Refused { .. } => "refused",
        Phase::Conflict { .. } => "conflict",
        Phase::Failed { .. } => "failed",
        Phase::Down => "down",
        Phase::Expired { .. } => "expired",
        Phase::Closing { .. } => "closing",
        Phase::Closed { .. } => "closed",
    }
}
