//! PURE · the deployment of a pull request at the forge: from where its Environment stands, which deployment and which
//! status there are to be.
//!
//! All pull requests share one environment name at the forge: one of its own for each would stay there for ever. So the
//! deployments of a pull request are told from the others' by their task.

use sha2::{Digest, Sha256};

use super::id::{PrNumber, Revision};
use super::naming::Label;

/// Name of the environment at the forge, unless the Repository says another.
pub const ENVIRONMENT: &str = "preview";

/// Where an Environment stands, as far as a deployment tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This commit is on its way.
    Working(Revision),
    /// This commit runs.
    Ready(Revision),
    /// This commit runs, and something is wrong with it.
    Degraded(Revision),
    /// This commit will not run as it is. What ran before goes on.
    Failed(Revision),
    /// There is no camp, or it is going.
    None,
}

/// What a deployment's newest status is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way.
    InProgress,
    /// It runs.
    Success,
    /// It does not, or not well.
    Failure,
    /// It is gone; the forge shows a transient one as destroyed.
    Inactive,
}

impl State {
    /// As GitHub spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Inactive => "inactive",
        }
    }

    /// Words for people.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::InProgress => "The preview is being made",
            Self::Success => "The preview is ready",
            Self::Failure => "The preview has a problem: see the comment",
            Self::Inactive => "The preview is gone",
        }
    }
}

/// A deployment that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The commit.
    pub revision: Revision,
    /// What its newest status says.
    pub state: State,
    /// Where the preview is.
    pub url: Option<String>,
}

impl Wanted {
    /// SHA-256 of what it says, hex. Two equal ones: nothing to write.
    #[must_use]
    pub fn basis(&self) -> String {
        let Self { revision, state, url } = self;
        let text = format!("{revision}\n{}\n{}", state.name(), url.as_deref().unwrap_or_default());
        hex::encode(Sha256::digest(text.as_bytes()))
    }

    /// Other deployments of the pull request are over once this one is. Until then what ran before still runs.
    #[must_use]
    pub fn replaces_others(&self) -> bool {
        matches!(self.state, State::Success | State::Failure)
    }
}

/// What is to be at the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No active deployment of the pull request.
    Nothing,
    /// What is there, as it is.
    Keep,
    /// This one, and in the end no other.
    Stand(Wanted),
}

/// What is to be at the forge, given the commit of the deployment that was made last.
#[must_use]
pub fn wish(standing: &Standing, url: Option<&str>, made: Option<&str>) -> Wish {
    let web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    let url = url.filter(web).map(str::to_owned);
    let stand = |revision: &Revision, state, url| {
        Wish::Stand(Wanted { revision: revision.clone(), state, url })
    };
    match standing {
        Standing::None => Wish::Nothing,
        Standing::Working(revision) => stand(revision, State::InProgress, None),
        Standing::Ready(revision) => stand(revision, State::Success, url),
        Standing::Degraded(revision) => stand(revision, State::Failure, url),
        // One that was announced has failed. One that never was is not made for that.
        Standing::Failed(revision) if made == Some(revision.as_str()) => {
            stand(revision, State::Failure, None)
        }
        Standing::Failed(_) => Wish::Keep,
    }
}

fn prefix(instance: &str) -> String {
    format!("bivouac:{instance}:pr-")
}

/// By which the deployments of a pull request are found again.
#[must_use]
pub fn task(instance: &str, number: PrNumber) -> String {
    format!("{}{number}", prefix(instance))
}

/// By which the deployments of a branch's environment are found again.
#[must_use]
pub fn branch_task(instance: &str, environment: &str) -> String {
    format!("bivouac:{instance}:env-{environment}")
}

/// What a deployment of this installation is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A pull request.
    PullRequest(PrNumber),
    /// The environment of a branch, by its name: a task has no room for every branch's.
    Environment(String),
}

/// What a deployment of this installation is of; `None` for those of others.
#[must_use]
pub fn subject(instance: &str, task: &str) -> Option<Subject> {
    if let Some(number) = task.strip_prefix(&prefix(instance)) {
        let fine = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        return fine.then(|| number.parse().ok().map(PrNumber).map(Subject::PullRequest)).flatten();
    }
    let name = task.strip_prefix(&branch_task(instance, ""))?;
    let name = Label::parse(name)?;
    Some(Subject::Environment(name.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(digit: char) -> Revision {
        Revision::parse(&digit.to_string().repeat(40)).expect("a revision")
    }

    #[test]
    fn each_standing_has_its_status() {
        let (a, b) = (revision('a'), revision('b'));
        let url = Some("https://pr-7.example.com");
        let wanted = |state, url: Option<&str>| {
            Wish::Stand(Wanted { revision: a.clone(), state, url: url.map(str::to_owned) })
        };
        let (of_a, of_b) = (Some(a.as_str()), Some(b.as_str()));
        for (standing, made, expected) in [
            (Standing::None, of_a, Wish::Nothing),
            (Standing::Working(a.clone()), of_b, wanted(State::InProgress, None)),
            (Standing::Ready(a.clone()), None, wanted(State::Success, url)),
            (Standing::Degraded(a.clone()), of_a, wanted(State::Failure, url)),
            (Standing::Failed(a.clone()), of_a, wanted(State::Failure, None)),
            (Standing::Failed(a.clone()), of_b, Wish::Keep),
            (Standing::Failed(a.clone()), None, Wish::Keep),
        ] {
            assert_eq!(wish(&standing, url, made), expected, "{standing:?}");
        }
        let odd = wish(&Standing::Ready(a.clone()), Some("javascript:alert(1)"), None);
        assert_eq!(odd, wanted(State::Success, None));
    }

    #[test]
    fn a_task_names_installation_and_pull_request() {
        let task = task("demo", PrNumber(17));
        assert_eq!(task, "bivouac:demo:pr-17");
        assert_eq!(subject("demo", &task), Some(Subject::PullRequest(PrNumber(17))));
        let branch = branch_task("demo", "shop-main-0a1b2c3d");
        assert_eq!(branch, "bivouac:demo:env-shop-main-0a1b2c3d");
        let of_branch = Subject::Environment("shop-main-0a1b2c3d".into());
        assert_eq!(subject("demo", &branch), Some(of_branch));
        for (instance, task) in [
            ("other", task.as_str()),
            ("demo", "deploy:pr-17"),
            ("demo", "bivouac:demo:pr-"),
            ("demo", "bivouac:demo:pr-1x"),
            ("demo", "bivouac:demo:pr-+1"),
            ("other", branch.as_str()),
            ("demo", "bivouac:demo:env-"),
            ("demo", "bivouac:demo:env-a b"),
            ("demo", "bivouac:demo:tag-a"),
        ] {
            assert_eq!(subject(instance, task), None, "{task}");
        }
    }

    #[test]
    fn the_basis_follows_what_is_said() {
        let wanted = |state, url: Option<&str>| Wanted {
            revision: revision('a'),
            state,
            url: url.map(str::to_owned),
        };
        let ready = wanted(State::Success, Some("https://x"));
        assert_eq!(ready.basis(), ready.clone().basis());
        assert_ne!(ready.basis(), wanted(State::Failure, Some("https://x")).basis());
        assert_ne!(ready.basis(), wanted(State::Success, None).basis());
        assert!(ready.replaces_others() && !wanted(State::InProgress, None).replaces_others());
    }
}
