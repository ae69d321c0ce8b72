//! The client against a GitHub in process.
#[cfg(test)]
use std::time::Duration;

use serde_json::json;

use super::fake::{Fake, ME, pull};
use super::{ApiUrl, Apis, Class, ForgeError, Permission};
use crate::domain::id::{PrNumber, RepoName};
use crate::domain::pull_request::State;
use crate::seams::Clock;

fn category<T>(result: Result<T, ForgeError>) -> &'static str {
    result.map_or_else(|error| error.category(), |_| "ok")
}

#[tokio::test(start_paused = true)]
async fn the_token_goes_out_and_never_comes_back_in_words() {
    let fake = Fake::new();
    let forge = fake.forge();
    let info = forge.repository().await.unwrap();
    assert_eq!(
        (info.id, info.private, info.archived, info.permission),
        (42, true, false, Some(Permission::Write))
    );
    assert_eq!(info.name, RepoName::parse("acme", "shop").unwrap());
    assert_eq!(fake.state().last_headers, ("Bearer s3cret".into(), "bivouac".into()));
    assert_eq!(forge.repository_by_id(42).await.unwrap(), info);
    fake.answer_instead(401, &[], "{\"message\": \"Bad credentials\"}");
    let error = forge.repository().await.unwrap_err();
    let words = format!("{error} {error:?} {forge:?}");
    assert!(words.contains("GET /repos/acme/shop") && !words.contains("s3cret"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_is_read_whole_and_an_unchanged_one_costs_nothing() {
    let fake = Fake::new();
    let forge = fake.forge();
    let mut fork = pull(7);
    fork["head"]["repo"] = json!(null);
    fork["user"] = json!(null);
    fake.state().pulls = vec![fork];
    let read = forge.pull_request(PrNumber(7)).await.unwrap();
    assert_eq!(read.labels, ["a", "b"]);
    assert!(read.is_from_fork() && read.state == State::Open && !read.merged);
    assert_eq!(read.author.login, "ghost");
    assert_eq!(forge.pull_request(PrNumber(7)).await.unwrap(), read);
    assert_eq!(
        fake.take_log(),
        ["GET /repos/acme/shop/pulls/7", "GET /repos/acme/shop/pulls/7 304"]
    );
    fake.state().pulls[0]["state"] = json!("closed");
    fake.state().pulls[0]["merged_at"] = json!("2026-01-01T00:00:00Z");
    let read = forge.pull_request(PrNumber(7)).await.unwrap();
    assert!(read.merged && read.state == State::Closed);
    assert_eq!(category(forge.pull_request(PrNumber(8)).await), "NotFound");
}

#[tokio::test(start_paused = true)]
async fn odd_answers_are_errors_and_prove_nothing() {
    let fake = Fake::new();
    let forge = fake.forge();
    for (place, value) in [
        ("/state", json!("merged")),
        ("/head/sha", json!("main")),
        ("/head", json!(7)),
        ("/base/repo/name", json!("../x")),
        ("/number", json!(9)),
    ] {
        let mut odd = pull(7);
        *odd.pointer_mut(place).unwrap() = value;
        fake.answer_instead(200, &[], &odd.to_string());
        assert_eq!(category(forge.pull_request(PrNumber(7)).await), "Unexpected", "{place}");
    }
    for body in ["", "{", "[]", "null", "<html>"] {
        fake.answer_instead(200, &[], body);
        assert_eq!(category(forge.pull_request(PrNumber(7)).await), "Unexpected", "{body}");
    }
    // In a list the others are still read.
    let mut odd = pull(2);
    odd["head"] = json!({});
    fake.state().pulls = vec![pull(1), odd, pull(3)];
    let numbers: Vec<u64> =
        forge.open_pull_requests().await.unwrap().iter().map(|p| p.number.0).collect();
    assert_eq!(numbers, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read_and_an_unchanged_sweep_costs_nothing() {
    let fake = Fake::new();
    let forge = fake.forge();
    fake.state().pulls = (1..=250).map(pull).collect();
    assert_eq!(forge.open_pull_requests().await.unwrap().len(), 250);
    assert_eq!(fake.take_log().len(), 3);
    assert_eq!(forge.open_pull_requests().await.unwrap().len(), 250);
    let log = fake.take_log();
    assert!(log.len() == 3 && log.iter().all(|line| line.ends_with("304")), "{log:?}");
    fake.state().pulls[150]["draft"] = json!(true);
    let drafts = forge.open_pull_requests().await.unwrap().iter().filter(|p| p.draft).count();
    assert_eq!(drafts, 1);
    fake.state().most_per_page = 1;
    assert_eq!(category(forge.open_pull_requests().await), "TooLarge");
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_name_and_class() {
    for (status, expected) in [
        (400, "Invalid"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (410, "Gone"),
        (418, "Unexpected"),
        (422, "Invalid"),
        (429, "RateLimited"),
        (451, "Gone"),
        (500, "Unavailable"),
        (502, "Unavailable"),
        (503, "Unavailable"),
        (304, "Unexpected"),
        (302, "Unexpected"),
    ] {
        let fake = Fake::new();
        // Without such a header a 403 would be taken for a limit.
        fake.answer_instead(
            status,
            &[("x-ratelimit-remaining", "4999")],
            "{\"message\": \"no\", \"errors\": [{\"message\": \"why\"}]}",
        );
        let error = fake.forge().repository().await.unwrap_err();
        assert_eq!(error.category(), expected, "{status}");
        assert_eq!(
            error.ends_the_telling(),
            [401, 403, 404, 410, 451].contains(&status),
            "{status}"
        );
        let transient = matches!(error.class(), Class::Transient { .. });
        assert_eq!(
            transient,
            matches!(expected, "Unexpected" | "RateLimited" | "Unavailable"),
            "{status}"
        );
    }
    let fake = Fake::new();
    fake.answer_instead(422, &[], "{\"message\": \"no\", \"errors\": [{\"message\": \"why\"}]}");
    let error = fake.forge().create_comment(PrNumber(7), "x").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "POST /repos/acme/shop/issues/7/comments: the forge refuses the request: no; why"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_rate_limit_nothing_goes_out_before_its_time() {
    let fake = Fake::new();
    let forge = fake.forge();
    fake.answer_instead(403, &[], "{\"message\": \"You have exceeded a secondary rate limit.\"}");
    assert_eq!(category(forge.repository().await), "RateLimited");
    assert_eq!(category(forge.repository().await), "RateLimited");
    assert_eq!(fake.take_log().len(), 1, "the second one must not be sent");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(category(forge.repository().await), "ok");
}

#[tokio::test(start_paused = true)]
async fn a_renamed_repository_is_followed_and_another_host_is_not() {
    let fake = Fake::new();
    let forge = fake.forge();
    let info = forge.named(RepoName::parse("acme", "old").unwrap()).repository().await.unwrap();
    assert_eq!(info.id, 42);
    fake.take_log();
    let evil = forge.named(RepoName::parse("acme", "evil").unwrap());
    assert_eq!(category(evil.repository().await), "Unexpected");
    assert_eq!(fake.take_log(), ["GET /repos/acme/evil"]);
    for _ in 0..10 {
        fake.answer_instead(301, &[("location", "/api/v3/repos/acme/shop")], "");
    }
    assert_eq!(category(forge.repository().await), "Unexpected");
}

#[tokio::test(start_paused = true)]
async fn rights_are_the_highest_that_is_true_and_a_login_stays_in_its_place() {
    let fake = Fake::new();
    let forge = fake.forge();
    assert_eq!(forge.permission("mona").await.unwrap(), Permission::Maintain);
    fake.take_log();
    let _ = forge.permission("../../user?x=").await;
    assert_eq!(
        fake.take_log(),
        ["GET /repos/acme/shop/collaborators/%2E%2E%2F%2E%2E%2Fuser%3Fx%3D/permission"]
    );
    assert_eq!(forge.viewer().await.unwrap().id, ME);
    assert_eq!(forge.viewer().await.unwrap().id, ME);
    assert_eq!(fake.take_log(), ["GET /user"]);
}

#[tokio::test(start_paused = true)]
async fn comments_are_made_changed_and_removed() {
    let fake = Fake::new();
    let forge = fake.forge();
    let made = forge.create_comment(PrNumber(7), "one").await.unwrap();
    assert_eq!((made.body.as_str(), made.author.id, made.on), ("one", ME, Some(PrNumber(7))));
    assert_eq!(forge.update_comment(made.id, "two").await.unwrap().body, "two");
    assert_eq!(forge.comment(made.id).await.unwrap().body, "two");
    assert_eq!(forge.comments(PrNumber(7)).await.unwrap().len(), 1);
    forge.delete_comment(made.id).await.unwrap();
    forge.delete_comment(made.id).await.unwrap();
    assert_eq!(category(forge.comment(made.id).await), "NotFound");
}

#[tokio::test(start_paused = true)]
async fn a_dead_or_silent_peer_is_unavailable_and_a_huge_answer_is_cut_off() {
    let clock = Clock::simulated(chrono::DateTime::UNIX_EPOCH);
    let url = ApiUrl::parse("https://ghe.test", false).unwrap();
    let name = RepoName::parse("acme", "shop").unwrap();
    let silent = crate::seams::Transport::new(tower::service_fn(|_| {
        futures::future::pending::<Result<http::Response<_>, crate::seams::BoxError>>()
    }));
    let dead = crate::seams::Transport::new(tower::service_fn(async |_| {
        Err::<http::Response<_>, _>(crate::seams::BoxError::from("refused"))
    }));
    let huge = crate::seams::Transport::new(tower::service_fn(async |_| {
        Ok(http::Response::new(crate::seams::body(vec![b' '; (32 << 20) + 1])))
    }));
    for (transport, expected) in
        [(silent, "Unavailable"), (dead, "Unavailable"), (huge, "TooLarge")]
    {
        let api = Apis::new(transport, clock.clone()).api(&url, &"t".into()).unwrap();
        assert_eq!(category(api.forge(name.clone()).repository().await), expected);
    }
}

#[tokio::test]
async fn one_client_for_each_token() {
    let fake = Fake::new();
    let apis = Apis::new(fake.transport(), Clock::system());
    let url = ApiUrl::parse("https://ghe.test/api/v3", false).unwrap();
    for empty in ["", " \n", "a\nb"] {
        assert_eq!(category(apis.api(&url, &empty.into())), "Unauthorized", "{empty:?}");
    }
    for n in 0..300 {
        apis.api(&url, &format!("token-{n}").into()).unwrap();
    }
}

#[test]
fn an_api_has_a_plain_address() {
    for fine in ["https://api.github.com", "https://ghe.test/api/v3/", "https://ghe.test:8443"] {
        assert_eq!(
            ApiUrl::parse(fine, false).map(|u| u.to_string()).unwrap(),
            fine.trim_end_matches('/')
        );
    }
    assert!(ApiUrl::parse("http://127.0.0.1:1", true).is_ok());
    for bad in [
        "http://127.0.0.1:1",
        "ftp://x",
        "api.github.com",
        "https://",
        "https://u:p@h",
        "https://h/?q",
        "https://h/#f",
        "/x",
        "",
    ] {
        assert!(ApiUrl::parse(bad, false).is_err(), "{bad}");
    }
}
