//! Random lives of pull requests: every promise holds in the end, the same seed draws the same steps, and a planted bug
//! for each promise is found. `.ci/run` plays five hundred seeds with the released program.

use bivouac::app::simulate::{Flaw, Outcome, run_alone};

/// Pull requests of a run here.
const LIVES: usize = 2;

fn lived(seed: u64, flaw: Option<Flaw>) -> Outcome {
    run_alone(seed, LIVES, flaw).expect("a run")
}

#[test]
fn every_promise_holds_in_the_end() {
    for seed in 1..=8 {
        let Outcome { steps, broken, .. } = lived(seed, None);
        assert_eq!(broken, Vec::<String>::new(), "seed {seed}:\n{}", steps.join("\n"));
    }
}

/// The first line in which two logs differ, with the lines before it.
fn difference(one: &[String], two: &[String]) -> Option<String> {
    let at = (0..one.len().max(two.len())).find(|at| one.get(*at) != two.get(*at))?;
    let before = one[at.saturating_sub(3)..at].join("\n");
    Some(format!("{before}\nonce: {:?}\nthen: {:?}", one.get(at), two.get(at)))
}

#[test]
fn the_same_seed_gives_the_same_requests_byte_for_byte() {
    for seed in [2, 3, 5, 11] {
        let (one, two) = (lived(seed, None), lived(seed, None));
        assert!(one.cluster_requests > 500, "something happened: {}", one.cluster_requests);
        assert_eq!(one.steps, two.steps);
        let differ = difference(&one.requests, &two.requests);
        assert_eq!(differ, None, "seed {seed}: {}", differ.clone().unwrap_or_default());
        assert_eq!(one.digest, two.digest);
    }
    assert_ne!(lived(3, None).digest, lived(4, None).digest);
}

/// What a bug breaks.
fn promise(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::CommentsUnseen => "exactly one comment by us",
        Flaw::CommentKept => "the comment says the truth",
        Flaw::DeploymentKept => "no deployment is left active",
        Flaw::NamespaceKept => "no environment is left",
        Flaw::RecordNotMade | Flaw::HeadRemembered => "no environment is missing",
        Flaw::ForkTrusted => "nothing of an unapproved commit",
        Flaw::OthersTaken => "comments of others",
        Flaw::AskedAgain => "requests are few",
    }
}

#[test]
fn a_planted_bug_for_each_promise_is_found() {
    for flaw in Flaw::ALL {
        let found = (1..=8).find(|seed| {
            let broken = lived(*seed, Some(flaw)).broken;
            broken.iter().any(|broken| broken.starts_with(promise(flaw)))
        });
        assert!(found.is_some(), "{flaw:?} breaks {:?} in no run", promise(flaw));
    }
}
