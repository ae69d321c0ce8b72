//! The client against the sandbox's registries: which requests go out, with what.

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
        let registry =
            Registry::new(Clock::simulated(chrono::DateTime::UNIX_EPOCH), Rng::seeded(1));
        let client = Registries::new(registry.transport());
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

#[test]
fn one_owner_has_one_registrable_domain() {
    let may = |registry, realm| may_have_credentials(registry, realm, &[]);
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
