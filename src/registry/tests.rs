//! The client against the sandbox's registries: which requests go out, with what.
#[cfg(test)]
use super::*;
use crate::sandbox::registry::{Access, Registry, RegistryFault};
use crate::seams::{Clock, Rng};

const DIGEST_OF_NOTHING: &str =
    "sha256:0000000000000000000000000000000000000000000000000000000000000000";

struct Bench {
    registry: Registry,
    client: Registries,
    credentials: PullCredentials,
    token_hosts: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let clock = Clock::simulated(chrono::DateTime::UNIX_EPOCH);
        let registry = Registry::new(clock.clone(), Rng::seeded(1));
        let client = Registries::new(registry.transport(), clock);
        let mut credentials = PullCredentials::default();
        let config = br#"{"auths": {"ghcr.io": {"username": "bot", "password": "s3cret"},
            "docker.io": {"username": "hub", "password": "s3cret"}}}"#;
        credentials.add(config).expect("a config");
        Self { registry, client, credentials, token_hosts: Vec::new() }
    }

    async fn find(&self, image: &str) -> Found {
        let image = ImageRef::parse(image).expect("an image");
        let with = With { credentials: &self.credentials, token_hosts: &self.token_hosts };
        self.client.find(&image, with).await
    }

    /// Method, address without query, and whether credentials went with it.
    fn asked(&self) -> Vec<String> {
        let all = self.registry.requests().into_iter();
        all.map(|one| {
            let url = one.url.split('?').next().unwrap_or_default().to_owned();
            let with =
                one.authorization.map(|value| value.split(' ').next().unwrap_or("").to_owned());
            format!("{} {url} {}", one.method, with.unwrap_or_default()).trim_end().to_owned()
        })
        .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_registry_is_asked_once_and_says_the_digest() {
    let bench = Bench::new();
    bench.registry.host("quay.io", Access::Open, None);
    let digest = bench.registry.push("quay.io", "acme/web", "1", "one");
    assert_eq!(bench.find("quay.io/acme/web:1").await, Found::There { digest: digest.clone() });
    assert_eq!(bench.find("quay.io/acme/web:2").await, Found::Missing(Missing::NotFound));
    let by_digest = format!("quay.io/acme/web@{digest}");
    assert_eq!(bench.find(&by_digest).await, Found::There { digest: digest.clone() });
    let other = format!("quay.io/acme/web@{DIGEST_OF_NOTHING}");
    assert_eq!(bench.find(&other).await, Found::Missing(Missing::NotFound));
    bench.registry.hide_digests("quay.io");
    assert_eq!(bench.find("quay.io/acme/web:1").await, Found::There { digest }, "by its bytes");
    let get = "GET https://quay.io/v2/acme/web/manifests/1";
    assert_eq!(bench.asked().last().map(String::as_str), Some(get));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_where_the_registry_says_with_the_credentials_of_the_registry() {
    let bench = Bench::new();
    let realm = "https://auth.docker.io/token".to_owned();
    let login = Some(("hub", "s3cret"));
    bench.registry.host("registry-1.docker.io", Access::Bearer { realm }, login);
    let digest = bench.registry.push("registry-1.docker.io", "library/nginx", "latest", "n");
    assert_eq!(bench.find("nginx").await, Found::There { digest });
    let manifest = "HEAD https://registry-1.docker.io/v2/library/nginx/manifests/latest";
    let expected = [
        manifest.to_owned(),
        "GET https://auth.docker.io/token Basic".to_owned(),
        format!("{manifest} Bearer"),
    ];
    assert_eq!(bench.asked(), expected);
}

#[tokio::test(start_paused = true)]
async fn credentials_never_go_to_another_domain_unless_it_is_listed() {
    for realm in [
        "https://ghcr.io.evil.test/token",
        "https://evil.test/token",
        "https://ghcr.io:8443/token",
        "https://user@ghcr.io/token",
        "http://ghcr.io/token",
        "https://169.254.169.254/token",
    ] {
        let bench = Bench::new();
        let access = Access::Bearer { realm: realm.into() };
        bench.registry.host("ghcr.io", access, Some(("bot", "s3cret")));
        bench.registry.push("ghcr.io", "acme/web", "1", "one");
        let found = bench.find("ghcr.io/acme/web:1").await;
        assert!(matches!(found, Found::Refused(_)), "{realm}: {found:?}");
        assert_eq!(bench.asked().len(), 1, "{realm}");
    }
    let mut bench = Bench::new();
    bench.token_hosts.push("login.test".into());
    let access = Access::Bearer { realm: "https://login.test/token".into() };
    bench.registry.host("ghcr.io", access, Some(("bot", "s3cret")));
    let digest = bench.registry.push("ghcr.io", "acme/web", "1", "one");
    assert_eq!(bench.find("ghcr.io/acme/web:1").await, Found::There { digest });
}

/// A private registry whose token service is at its own host.
fn private(bench: &Bench, host: &str, login: Option<(&str, &str)>) {
    bench.registry.host(host, Access::Bearer { realm: format!("https://{host}/token") }, login);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_once_till_it_ends() {
    let bench = Bench::new();
    private(&bench, "ghcr.io", Some(("bot", "s3cret")));
    let digest = bench.registry.push("ghcr.io", "acme/web", "1", "one");
    let there = Found::There { digest };
    let asked = async |image: &str, more: usize| {
        let before = bench.asked().len();
        let found = bench.find(image).await;
        assert_eq!(bench.asked().len() - before, more, "{image}: {:?}", bench.asked());
        found
    };
    assert_eq!(asked("ghcr.io/acme/web:1", 3).await, there);
    assert_eq!(asked("ghcr.io/acme/web:1", 1).await, there, "with the token at once");
    assert_eq!(asked("ghcr.io/acme/web:2", 1).await, Found::Missing(Missing::NotFound));
    assert_eq!(asked("ghcr.io/acme/api:1", 3).await, Found::Missing(Missing::NotFound), "its own");
    tokio::time::sleep(Duration::from_secs(289)).await;
    assert_eq!(asked("ghcr.io/acme/web:1", 1).await, there);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(asked("ghcr.io/acme/web:1", 3).await, there, "before it has ended");
    // One that counts no longer costs one request, and is replaced.
    bench.registry.withdraw_tokens();
    assert_eq!(asked("ghcr.io/acme/web:1", 4).await, there);
    assert_eq!(asked("ghcr.io/acme/web:1", 1).await, there);
}

#[tokio::test(start_paused = true)]
async fn a_token_serves_nobody_but_the_login_that_it_was_given_for() {
    let mut bench = Bench::new();
    private(&bench, "ghcr.io", Some(("bot", "s3cret")));
    let digest = bench.registry.push("ghcr.io", "acme/web", "1", "one");
    assert_eq!(bench.find("ghcr.io/acme/web:1").await, Found::There { digest });
    // Another Repository, whose secrets open nothing here, and one without any.
    let wrong = br#"{"auths": {"ghcr.io": {"username": "bot", "password": "guessed"}}}"#;
    for json in [&wrong[..], b"{}"] {
        bench.credentials = PullCredentials::default();
        bench.credentials.add(json).expect("a config");
        let found = bench.find("ghcr.io/acme/web:1").await;
        assert_eq!(found, Found::Missing(Missing::Denied));
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_token_goes_to_the_token_service_in_a_form_and_to_nobody_else() {
    let mut bench = Bench::new();
    private(&bench, "acme.azurecr.io", Some(("nobody", "knows")));
    bench.registry.set_identity("acme.azurecr.io", "refresh+me/=");
    let json = br#"{"auths": {"acme.azurecr.io": {"auth": "MDA6", "identitytoken": "refresh+me/="},
        "basic.test": {"identitytoken": "refresh+me/="}}}"#;
    bench.credentials.add(json).expect("a config");
    let digest = bench.registry.push("acme.azurecr.io", "web", "1", "one");
    let there = Found::There { digest };
    assert_eq!(bench.find("acme.azurecr.io/web:1").await, there);
    let manifest = "HEAD https://acme.azurecr.io/v2/web/manifests/1";
    let expected = [
        manifest.to_owned(),
        "POST https://acme.azurecr.io/token".to_owned(),
        format!("{manifest} Bearer"),
    ];
    assert_eq!(bench.asked(), expected);
    assert!(
        bench.registry.requests().iter().all(|one| !one.url.contains("refresh")),
        "in no address"
    );
    // Withdrawn, it opens nothing.
    bench.registry.withdraw_tokens();
    bench.registry.set_identity("acme.azurecr.io", "another");
    assert_eq!(bench.find("acme.azurecr.io/web:1").await, Found::Missing(Missing::Denied));
    // A registry that wants name and password does not get it.
    bench.registry.host("basic.test", Access::Basic, Some(("a", "b")));
    assert_eq!(bench.find("basic.test/web:1").await, Found::Missing(Missing::Denied));
    let sent = bench.registry.requests().into_iter().rfind(|one| one.url.contains("basic.test"));
    assert_eq!(sent.expect("a request").authorization, None);
}

#[test]
fn tokens_are_kept_within_bounds() {
    let now = chrono::DateTime::UNIX_EPOCH;
    let after = |seconds: i64| now + chrono::TimeDelta::seconds(seconds);
    let tokens = Tokens::default();
    let key = |number: usize| Key::of("x.test", &format!("r{number}"), None);
    let token = |seconds| tokens::Token::new(SecretString::from("Bearer x"), now, seconds);
    for number in 0..tokens::MOST + 20 {
        tokens.keep(key(number), token(Some(300 + number as u64)), now);
    }
    assert_eq!(tokens.len(), tokens::MOST);
    assert!(tokens.get(&key(0), now).is_none() && tokens.get(&key(tokens::MOST), now).is_some());
    // What ended makes room before what still counts.
    tokens.keep(
        key(0),
        tokens::Token::new(SecretString::from("Bearer y"), after(9000), None),
        after(9000),
    );
    assert_eq!(tokens.len(), 1);
    for (said, good_for) in
        [(Some(0), 0), (Some(1), 1), (Some(8), 4), (None, 50), (Some(u64::MAX), 3590)]
    {
        let tokens = Tokens::default();
        tokens.keep(key(1), token(said), now);
        assert_eq!(tokens.get(&key(1), after(good_for - 1)).is_some(), good_for > 0, "{said:?}");
        assert!(tokens.get(&key(1), after(good_for)).is_none(), "{said:?}");
    }
}

#[test]
fn one_owner_has_one_registrable_domain() {
    let may = |registry, realm| login::may_have_credentials(registry, realm, &[]);
    assert!(may("registry-1.docker.io", "auth.docker.io"));
    assert!(may("registry.gitlab.com", "gitlab.com"));
    assert!(may("registry.example.co.uk", "auth.example.co.uk:443"));
    for (registry, realm) in [
        ("one.co.uk", "two.co.uk"),
        ("one.github.io", "two.github.io"),
        ("one.azurecr.io", "two.example.com"),
        ("registry.internal", "auth.internal"),
        ("10.0.0.1", "10.0.0.2"),
        ("docker.io", "auth.docker.io:8443"),
    ] {
        assert!(!may(registry, realm), "{registry} {realm}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_takes_no_credentials_with_it_and_stays_on_https() {
    let bench = Bench::new();
    bench.registry.host("ghcr.io", Access::Basic, Some(("bot", "s3cret")));
    bench.registry.host("cdn.test", Access::Open, None);
    let digest = bench.registry.push("cdn.test", "x", "1", "one");
    let to = "https://cdn.test/v2/x/manifests/1".to_owned();
    bench.registry.fail("ghcr.io", RegistryFault::Redirect(to.clone()), 1);
    assert_eq!(bench.find("ghcr.io/acme/web:1").await, Found::There { digest });
    // Also after the login, which the first answer asked for.
    bench.registry.host("ghcr.io", Access::Basic, Some(("bot", "another")));
    assert_eq!(bench.find("ghcr.io/acme/web:1").await, Found::Missing(Missing::Denied));
    let with: Vec<String> =
        bench.asked().into_iter().filter(|one| one.ends_with("Basic")).collect();
    assert_eq!(with, ["HEAD https://ghcr.io/v2/acme/web/manifests/1 Basic"]);
    for to in
        ["http://cdn.test/v2/x/manifests/1", "//cdn.test/x", "ftp://x/", "https://u@cdn.test/"]
    {
        bench.registry.fail("ghcr.io", RegistryFault::Redirect(to.into()), 1);
        let found = bench.find("ghcr.io/acme/web:1").await;
        assert!(matches!(found, Found::Refused(_)), "{to}: {found:?}");
    }
    bench.registry.fail("cdn.test", RegistryFault::Redirect(to), 99);
    let round = bench.find("cdn.test/x:1").await;
    assert!(matches!(round, Found::Refused(_)), "{round:?}");
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_is_told_from_what_does_not() {
    let bench = Bench::new();
    bench.registry.host("quay.io", Access::Basic, Some(("somebody", "else")));
    assert_eq!(bench.find("quay.io/acme/web:1").await, Found::Missing(Missing::Denied));
    for (fault, expected) in [
        (RegistryFault::Status(503), "quay.io answers 503"),
        (RegistryFault::Status(429), "quay.io answers 429"),
        (RegistryFault::Unreached(Unreached::TimedOut), "quay.io: no answer in time"),
    ] {
        bench.registry.fail("quay.io", fault, 1);
        assert_eq!(bench.find("quay.io/acme/web:1").await, Found::Trouble(expected.into()));
    }
    bench.registry.fail("quay.io", RegistryFault::Unreached(Unreached::AddressRefused), 1);
    assert!(matches!(bench.find("quay.io/acme/web:1").await, Found::Refused(_)));
}
