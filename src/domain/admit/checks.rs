//! PURE · check runs and commit statuses of a commit → what is known of each check that is awaited.

use super::{Awaited, Known, words};

/// A check run or a commit status, as the forge shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Name of the run, or context of the status.
    pub name: String,
    /// How it stands.
    pub state: State,
}

/// How a check stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is on its way, in the forge's word.
    Open(String),
    /// It passed, or was skipped.
    Passed,
    /// It did not, in the forge's word.
    Failed(String),
}

impl State {
    /// Of a check run: `status` and, when that is `completed`, `conclusion`.
    #[must_use]
    pub fn of_run(status: &str, conclusion: Option<&str>) -> Self {
        match (status, conclusion) {
            ("completed", Some("success" | "neutral" | "skipped")) => Self::Passed,
            ("completed", Some(other)) => Self::Failed(words(other)),
            (other, _) => Self::Open(words(&other.replace('_', " "))),
        }
    }

    /// Of a commit status.
    #[must_use]
    pub fn of_status(state: &str) -> Self {
        match state {
            "success" => Self::Passed,
            "failure" | "error" => Self::Failed(words(state)),
            other => Self::Open(words(other)),
        }
    }
}

/// What is known of each awaited check. Of several with one name all must have passed. `own`: the name of this service's
/// own check, which is concluded by the preview that would wait for it.
#[must_use]
pub fn known(awaited: &[String], seen: &[Seen], own: &str) -> Vec<Awaited> {
    awaited
        .iter()
        .map(|name| {
            let what = format!("check {}", words(name));
            if name == own {
                let why = "it is this service's own and waits for the preview itself";
                return Awaited { what, known: Known::Failed(why.into()) };
            }
            let mut known = None;
            for one in seen.iter().filter(|one| one.name == *name) {
                known = Some(match (known, &one.state) {
                    (Some(Known::Failed(word)), _) => Known::Failed(word),
                    (_, State::Failed(word)) => Known::Failed(word.clone()),
                    (Some(Known::NotYet(word)), _) => Known::NotYet(word),
                    (_, State::Open(word)) => Known::NotYet(word.clone()),
                    (_, State::Passed) => Known::There,
                });
            }
            Awaited { what, known: known.unwrap_or_else(|| Known::NotYet("not started".into())) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, status: &str, conclusion: Option<&str>) -> Seen {
        Seen { name: name.into(), state: State::of_run(status, conclusion) }
    }

    fn of(seen: &[Seen]) -> Known {
        known(&["build".into()], seen, "bivouac / preview").remove(0).known
    }

    #[test]
    fn a_check_passes_as_github_counts_it() {
        for passed in ["success", "neutral", "skipped"] {
            assert_eq!(of(&[run("build", "completed", Some(passed))]), Known::There, "{passed}");
        }
        for failed in
            ["failure", "cancelled", "timed_out", "action_required", "stale", "startup_failure"]
        {
            let expected = Known::Failed(failed.into());
            assert_eq!(of(&[run("build", "completed", Some(failed))]), expected);
        }
        for open in ["queued", "in_progress", "waiting", "requested", "pending"] {
            assert!(matches!(of(&[run("build", open, None)]), Known::NotYet(_)), "{open}");
        }
        for (state, expected) in [
            ("success", Known::There),
            ("error", Known::Failed("error".into())),
            ("pending", Known::NotYet("pending".into())),
        ] {
            let status = Seen { name: "build".into(), state: State::of_status(state) };
            assert_eq!(of(&[status]), expected);
        }
    }

    #[test]
    fn of_several_with_one_name_all_must_pass() {
        let (passed, open, failed) = (
            run("build", "completed", Some("success")),
            run("build", "queued", None),
            run("build", "completed", Some("failure")),
        );
        assert_eq!(of(&[]), Known::NotYet("not started".into()));
        assert_eq!(of(&[run("other", "completed", Some("success"))]), of(&[]));
        assert_eq!(of(&[passed.clone(), open.clone()]), Known::NotYet("queued".into()));
        assert_eq!(of(&[open.clone(), passed.clone()]), Known::NotYet("queued".into()));
        for all in [[passed, open.clone(), failed.clone()], [failed.clone(), failed, open]] {
            assert_eq!(of(&all), Known::Failed("failure".into()));
        }
    }

    #[test]
    fn the_services_own_check_is_never_waited_for() {
        let own = known(&["bivouac / preview".into()], &[], "bivouac / preview").remove(0).known;
        assert!(matches!(own, Known::Failed(_)));
    }
}
