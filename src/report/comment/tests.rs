//! The sticky comment against a GitHub in process.
#[cfg(test)]
use super::*;
use crate::domain::comment::{CommentView, Phase, render};
use crate::forge::fake::{Fake, ME};

fn plan(stage: &str, recorded: Option<Recorded>) -> CommentPlan {
    let view = CommentView {
        instance: "main".into(),
        namespace: "bivouac".into(),
        environment: "shop-pr-7".into(),
        prefix: "/preview".into(),
        revision: None,
        merged_with: None,
        phase: Phase::Working { stage: stage.into() },
        apps: Vec::new(),
        expires_at: None,
        ending: None,
        took: None,
        rendered_from: Vec::new(),
        changes: None,
        notes: Vec::new(),
        log_of_end: None,
        why: Vec::new(),
    };
    CommentPlan {
        pr: PrNumber(7),
        instance: "main".into(),
        record: "uid-1".into(),
        recorded,
        text: render(&view),
    }
}

fn body_of(plan: &CommentPlan, instance: &str, record: &str, sequence: u64) -> String {
    plan.text.body(&Marker::new(instance, record, sequence))
}

fn ids(fake: &Fake) -> Vec<u64> {
    fake.state().comments.iter().map(|comment| comment.0).collect()
}

fn sequence_of(fake: &Fake, id: u64) -> u64 {
    let state = fake.state();
    let comment = state.comments.iter().find(|comment| comment.0 == id).unwrap();
    Marker::find(&comment.2).unwrap().sequence
}

#[tokio::test(start_paused = true)]
async fn it_is_made_once_and_written_only_when_it_changed() {
    let fake = Fake::new();
    let forge = fake.forge();
    let first = post(&forge, &plan("fetching", None)).await.unwrap();
    assert!(first.wrote);
    assert_eq!((ids(&fake), first.recorded.sequence), (vec![first.recorded.id], 1));
    fake.take_log();

    let again = post(&forge, &plan("fetching", Some(first.recorded.clone()))).await.unwrap();
    assert_eq!((again.wrote, &again.recorded), (false, &first.recorded));
    assert_eq!(fake.take_log(), Vec::<String>::new(), "an equal text asks nothing");

    let second = post(&forge, &plan("applying", Some(first.recorded.clone()))).await.unwrap();
    assert_eq!((second.wrote, second.recorded.sequence), (true, 2));
    assert_eq!(ids(&fake), [first.recorded.id]);
    assert_eq!(fake.take_log().len(), 2, "one read, one write");
    assert_eq!(sequence_of(&fake, first.recorded.id), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_record_missed_is_found_again() {
    let fake = Fake::new();
    let forge = fake.forge();
    let first = post(&forge, &plan("fetching", None)).await.unwrap();
    // The service died before it noted the id.
    let again = post(&forge, &plan("fetching", None)).await.unwrap();
    assert_eq!((again.wrote, again.recorded), (false, first.recorded));
    assert_eq!(ids(&fake).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_deleted_is_made_anew() {
    let fake = Fake::new();
    let forge = fake.forge();
    let first = post(&forge, &plan("fetching", None)).await.unwrap();
    fake.state().comments.clear();
    let second = post(&forge, &plan("applying", Some(first.recorded.clone()))).await.unwrap();
    assert!(second.wrote && second.recorded.id != first.recorded.id);
    assert_eq!(ids(&fake), [second.recorded.id]);
    assert_eq!(second.recorded.sequence, 2, "the count goes on");
}

#[tokio::test(start_paused = true)]
async fn comments_of_others_and_of_other_installations_are_left_alone() {
    let fake = Fake::new();
    let forge = fake.forge();
    let it = plan("fetching", None);
    let theirs = vec![
        (1, 77, body_of(&it, "main", "uid-1", 9)), // a user copied our marker
        (2, ME, body_of(&it, "other", "uid-1", 9)), // another installation with our token
        (3, ME, format!("> {}", body_of(&it, "main", "uid-1", 9))), // a quote
        (4, ME, "hello".to_owned()),
    ];
    fake.state().comments.clone_from(&theirs);
    let posted = post(&forge, &it).await.unwrap();
    assert_eq!(ids(&fake), [1, 2, 3, 4, posted.recorded.id]);
    assert_eq!(fake.state().comments[..4], theirs[..]);
    // A recorded id that points to somebody else's comment is not believed.
    let wrong = Recorded { id: 1, ..posted.recorded.clone() };
    let again = post(&forge, &plan("applying", Some(wrong))).await.unwrap();
    assert_eq!(again.recorded.id, posted.recorded.id);
    assert_eq!(fake.state().comments[..4], theirs[..]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_wins_and_our_others_go_on_all_pages() {
    let fake = Fake::new();
    let forge = fake.forge();
    let it = plan("applying", None);
    {
        let mut state = fake.state();
        state.most_per_page = 2;
        state.comments = (1..=5).map(|id| (id, 77, "talk".to_owned())).collect();
        state.comments.push((6, ME, body_of(&plan("a", None), "main", "uid-1", 1)));
        state.comments.push((7, 77, "talk".to_owned()));
        state.comments.push((8, ME, body_of(&plan("b", None), "main", "uid-1", 1)));
    }
    let posted = post(&forge, &it).await.unwrap();
    assert_eq!(posted.recorded.id, 6);
    assert_eq!(ids(&fake), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_are_made_at_once_the_older_stays_with_our_text() {
    let fake = Fake::new();
    let forge = fake.forge();
    let it = plan("applying", None);
    fake.state().racing = Some((900, ME, body_of(&plan("other", None), "main", "uid-1", 1)));
    let posted = post(&forge, &it).await.unwrap();
    assert_eq!((posted.recorded.id, ids(&fake)), (900, vec![900]));
    assert_eq!(fake.state().comments[0].2, body_of(&it, "main", "uid-1", 1));
}

#[tokio::test(start_paused = true)]
async fn the_count_never_goes_back() {
    let fake = Fake::new();
    let forge = fake.forge();
    let recorded = Recorded { id: 5, url: String::new(), hash: String::new(), sequence: 3 };
    let newer = body_of(&plan("newer", None), "main", "uid-1", 6);
    fake.state().comments = vec![(5, ME, newer.clone())];
    let error = post(&forge, &plan("older", Some(recorded.clone()))).await.unwrap_err();
    assert!(matches!(error, ReportError::Superseded { theirs: 6, ours: 4, .. }), "{error}");
    assert_eq!(fake.state().comments[0].2, newer);
    // With the count taken over it goes on.
    let caught_up = Recorded { sequence: 6, ..recorded };
    let posted = post(&forge, &plan("older", Some(caught_up))).await.unwrap();
    assert_eq!((posted.recorded.sequence, sequence_of(&fake, 5)), (7, 7));
    // A record that was made from scratch takes the comment over and counts on.
    let fresh = CommentPlan { record: "uid-2".into(), ..plan("scratch", None) };
    let posted = post(&forge, &fresh).await.unwrap();
    assert_eq!((posted.recorded.id, posted.recorded.sequence), (5, 8));
}

#[tokio::test(start_paused = true)]
async fn refusals_come_back_with_their_class() {
    for (status, class, ends) in [
        (401, Class::UserMustAct, true),
        (404, Class::UserMustAct, true),
        (410, Class::UserMustAct, true),
        (502, Class::Transient { not_before: None }, false),
    ] {
        let fake = Fake::new();
        let forge = fake.forge();
        forge.viewer().await.unwrap();
        fake.answer_instead(status, &[], "");
        let error = post(&forge, &plan("x", None)).await.unwrap_err();
        assert_eq!((error.class(), error.ends_the_telling()), (class, ends), "{status}");
        assert!(fake.state().comments.is_empty());
    }
}
