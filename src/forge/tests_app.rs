//! Logging in as a GitHub App, against the sandbox GitHub in process.
#[cfg(test)]
use std::time::Duration;

use futures::future::join_all;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::{ApiUrl, Apis, AppLogin, Forge, ForgeError, Login};
use crate::domain::id::RepoName;
use crate::sandbox::github::GitHub;
use crate::seams::{Clock, Rng};

const KEY: &str = include_str!("../sandbox/github/testdata/app.pem");
const OTHER_KEY: &str = include_str!("../sandbox/github/testdata/app-2.pem");
const NEEDED: &[(&str, &str)] =
    &[("metadata", "read"), ("contents", "read"), ("pull_requests", "write")];

struct World {
    github: GitHub,
    apis: Apis,
    clock: Clock,
    app: u64,
    installation: u64,
    _folder: TempDir,
}

impl World {
    /// An organisation with two private repositories, and an App that is installed for the first.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::simulated("2026-03-02T09:00:00Z".parse().unwrap());
        let github =
            GitHub::new(folder.path(), "http://github.test", clock.clone(), Rng::seeded(1));
        github.create_user("ada").unwrap();
        github.create_org("acme", "ada").unwrap();
        for name in ["acme/shop", "acme/blog"] {
            github.create_private_repo(name).unwrap();
        }
        let mut granted = NEEDED.to_vec();
        granted.extend([("checks", "write"), ("administration", "write")]);
        let app = github.register_app("bivouac", "acme", Some(KEY), &granted).unwrap();
        let installation = github.install_app(app, "acme", Some(&["acme/shop"])).unwrap();
        let apis = Apis::new(github.transport(), clock.clone());
        Self { github, apis, clock, app, installation, _folder: folder }
    }

    fn try_login(id: &str, key: &str, installation: Option<&str>) -> Login {
        Login::App(AppLogin::parse(id, &key.into(), installation).unwrap())
    }

    fn login(&self) -> Login {
        Self::try_login(&self.app.to_string(), KEY, None)
    }

    fn forge_of(&self, login: &Login, name: &str, id: Option<u64>) -> Forge {
        let url = ApiUrl::parse("http://github.test/api/v3", true).unwrap();
        self.apis.forge(&url, login, RepoName::parse("acme", name).unwrap(), id).unwrap()
    }

    fn forge(&self) -> Forge {
        self.forge_of(&self.login(), "shop", None)
    }

    /// Requests from number `first` on, as `METHOD path status`.
    fn asked(&self, first: usize) -> Vec<String> {
        let requests = self.github.requests().into_iter().skip(first);
        requests.map(|r| format!("{} {} {}", r.method, r.path, r.status)).collect()
    }

    fn minted(&self, first: usize) -> usize {
        self.asked(first).iter().filter(|line| line.contains("access_tokens")).count()
    }

    fn count(&self) -> usize {
        self.github.requests().len()
    }
}

fn words<T>(result: Result<T, ForgeError>) -> (&'static str, String) {
    result.map_or_else(|error| (error.category(), error.to_string()), |_| ("ok", String::new()))
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_once_kept_and_renewed_before_it_ends() {
    let world = World::new();
    let forge = world.forge();
    forge.repository().await.unwrap();
    let path = format!("/app/installations/{}/access_tokens", world.installation);
    assert_eq!(
        world.asked(0),
        [
            "GET /repos/acme/shop/installation 200".to_owned(),
            format!("POST {path} 201"),
            "GET /repos/acme/shop 200".to_owned(),
        ]
    );
    let minutes = |n: u64| tokio::time::sleep(Duration::from_secs(60 * n));
    let first = forge.fetch_token().await.unwrap();
    minutes(54).await;
    forge.repository().await.unwrap();
    assert_eq!((world.count(), world.minted(0)), (4, 1), "54 minutes: the same");
    minutes(2).await;
    forge.repository().await.unwrap();
    assert_eq!(world.minted(0), 2, "4 minutes before its end there is a new one");
    let second = forge.fetch_token().await.unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
    // Whoever makes the client anew gets the tokens that are there.
    world.forge().repository().await.unwrap();
    minutes(600).await;
    world.forge().repository().await.unwrap();
    assert_eq!(world.minted(0), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_reaches_one_repository_and_may_what_is_needed() {
    let world = World::new();
    world.github.choose_repositories(world.installation, None).unwrap();
    let forge = world.forge();
    let permissions = forge.app_permissions().await.unwrap().unwrap();
    let shown: Vec<String> = permissions.iter().map(|(a, b)| format!("{a}={b}")).collect();
    let expected = ["checks=write", "contents=read", "metadata=read", "pull_requests=write"];
    assert_eq!(shown, expected, "no administration, though the installation has it");
    forge.repository().await.unwrap();
    let blog = forge.named(RepoName::parse("acme", "blog").unwrap());
    assert_eq!(
        words(blog.repository().await).0,
        "NotFound",
        "the installation covers it, the token does not"
    );
    world.forge_of(&world.login(), "blog", None).repository().await.unwrap();
    let me = forge.viewer().await.unwrap();
    assert_eq!((me.login.as_str(), me.bot), ("bivouac[bot]", true));
}

#[tokio::test(start_paused = true)]
async fn many_that_ask_at_once_share_one_renewal_and_its_failure() {
    let world = World::new();
    let forge = world.forge();
    let all = join_all((0..20).map(|_| forge.repository())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.minted(0), 1);

    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.github.fail_next("POST", "access_tokens", 502, 1);
    let before = world.count();
    let all = join_all((0..20).map(|_| forge.repository())).await;
    let categories: Vec<_> = all.into_iter().map(|one| words(one).0).collect();
    assert_eq!(categories, ["Unavailable"; 20]);
    assert_eq!(world.minted(before), 1, "one asked for all");
    forge.repository().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_gives_no_new_token_now_still_takes_the_old_one() {
    let world = World::new();
    let forge = world.forge();
    forge.repository().await.unwrap();
    world.github.fail_next("*", "/installation", 503, u32::MAX);
    tokio::time::sleep(Duration::from_secs(57 * 60)).await;
    forge.repository().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2 * 60 + 30)).await;
    assert_eq!(
        words(forge.repository().await).0,
        "Unavailable",
        "30 s before its end it is not used"
    );
    world.github.fail_no_more();
    forge.repository().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_and_the_call_is_sent_once_more() {
    let world = World::new();
    let forge = world.forge();
    let token = forge.fetch_token().await.unwrap();
    world.github.revoke_token(token.expose_secret());
    let before = world.count();
    let both = join_all([forge.repository(), forge.repository()]).await;
    assert!(both.iter().all(Result::is_ok), "{both:?}");
    let asked = world.asked(before);
    assert_eq!(world.minted(before), 1, "{asked:#?}");
    assert_eq!(asked.iter().filter(|line| line.ends_with("401")).count(), 2, "{asked:#?}");

    // For git the same.
    let token = forge.fetch_token().await.unwrap();
    let other = forge.fetch_token_instead_of(&token).await.unwrap().unwrap();
    assert_ne!(token.expose_secret(), other.expose_secret());
    let again = forge.fetch_token_instead_of(&token).await.unwrap().unwrap();
    assert_eq!(other.expose_secret(), again.expose_secret(), "somebody has renewed it already");

    // A new one that is refused, too, is no reason to go on for ever.
    world.github.fail_next("GET", "/collaborators/", 401, u32::MAX);
    let before = world.count();
    let (category, text) = words(forge.permission("ada").await);
    assert_eq!(category, "AppRefused", "{text}");
    assert_eq!(world.count() - before, 4, "{:#?}", world.asked(before));
}

#[tokio::test(start_paused = true)]
async fn what_keeps_an_app_out_is_said_with_what_to_do() {
    let world = World::new();
    let (github, id) = (&world.github, world.app.to_string());
    let installation = world.installation;
    let ask = async |login: &Login, name: &str| {
        words(world.forge_of(login, name, None).repository().await)
    };
    let (category, text) = ask(&world.login(), "blog").await;
    assert_eq!(category, "AppNotInstalled");
    assert!(text.contains(&format!("the GitHub App {id} is not installed on acme/blog")), "{text}");

    let (category, text) = ask(&World::try_login(&id, KEY, Some("7")), "shop").await;
    assert_eq!(category, "AppNotInstalled");
    assert!(text.contains("has no installation 7: correct installationId"), "{text}");

    let written = World::try_login(&id, KEY, Some(&installation.to_string()));
    assert_eq!(ask(&written, "shop").await.0, "ok");
    let (category, text) = ask(&written, "blog").await;
    assert_eq!(category, "AppNotInstalled");
    assert!(text.contains("does not cover acme/blog: add the repository"), "{text}");
    assert!(text.contains(&format!("/settings/installations/{installation}")), "{text}");

    let (category, text) = ask(&World::try_login(&id, OTHER_KEY, None), "shop").await;
    assert_eq!(category, "AppRefused");
    assert!(text.contains("appId and privateKey must belong together"), "{text}");
    let (category, text) = ask(&World::try_login("99", KEY, None), "shop").await;
    assert_eq!(category, "AppRefused");
    assert!(text.contains("Integration not found"), "{text}");

    github.suspend_app(installation, true).unwrap();
    let (category, text) = ask(&world.login(), "shop").await;
    assert_eq!(category, "AppSuspended");
    assert!(text.contains("is suspended: the owner of the account"), "{text}");
    github.suspend_app(installation, false).unwrap();

    github
        .accept_permissions(installation, &[("metadata", "read"), ("pull_requests", "read")])
        .unwrap();
    let (category, text) = ask(&world.login(), "shop").await;
    assert_eq!(category, "AppPermissionMissing");
    let expected =
        "lacks the permission \"Contents: read\" and \"Pull requests: write (it has read)\"";
    assert!(text.contains(expected), "{text}");

    github.accept_permissions(installation, NEEDED).unwrap();
    assert_eq!(ask(&world.login(), "shop").await.0, "ok");
    github.uninstall_app(installation).unwrap();
    assert_eq!(ask(&world.login(), "shop").await.0, "AppNotInstalled");
    // Each of them ends the telling at a teardown, and waits for a person.
    let error = world.forge().repository().await.unwrap_err();
    assert!(error.ends_the_telling() && !error.is_about_the_secret());
    assert_eq!(error.class(), super::Class::UserMustAct);
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_a_token_is_good_is_noticed_before_it_ends() {
    let world = World::new();
    let (github, installation) = (&world.github, world.installation);
    let forge = world.forge();
    let ask = async || words(forge.repository().await).0;
    let pulls = async || words(forge.open_pull_requests().await).0;
    assert_eq!(ask().await, "ok");
    github.suspend_app(installation, true).unwrap();
    assert_eq!(ask().await, "AppSuspended");
    github.suspend_app(installation, false).unwrap();
    assert_eq!(ask().await, "ok");

    github.accept_permissions(installation, &NEEDED[..2]).unwrap();
    let before = world.count();
    assert_eq!(pulls().await, "Forbidden", "a new token would hardly get more");
    assert_eq!(world.count(), before + 1);
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(pulls().await, "AppPermissionMissing");
    github.accept_permissions(installation, NEEDED).unwrap();
    assert_eq!(pulls().await, "ok");

    tokio::time::sleep(Duration::from_secs(301)).await;
    github.choose_repositories(installation, Some(&["acme/blog"])).unwrap();
    assert_eq!(ask().await, "AppNotInstalled");
    github.choose_repositories(installation, Some(&["acme/shop"])).unwrap();
    assert_eq!(ask().await, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_renamed_repository_is_found_by_its_number() {
    let world = World::new();
    let id = world.forge().repository().await.unwrap().id;
    world.github.rename_repository("acme/shop", "store", "ada").unwrap();
    // Who was there goes on, …
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.forge().repository().await.unwrap().name.name(), "store");
    // … and who starts anew knows the number from the status.
    let apis = Apis::new(world.github.transport(), world.clock.clone());
    let world = World { apis, ..world };
    let found = world.forge_of(&world.login(), "shop", Some(id)).repository().await.unwrap();
    assert_eq!((found.id, found.name.name()), (id, "store"));
    // Another one under the old name is not reached.
    world.github.create_private_repo("acme/shop").unwrap();
    world.github.choose_repositories(world.installation, Some(&["acme/shop"])).unwrap();
    let apis = Apis::new(world.github.transport(), world.clock.clone());
    let world = World { apis, ..world };
    let (category, text) =
        words(world.forge_of(&world.login(), "shop", Some(id)).repository().await);
    assert_eq!(category, "AppNotInstalled");
    assert!(text.contains(&format!("acme/shop (number {id})")), "{text}");
}

#[tokio::test(start_paused = true)]
async fn repositories_of_one_installation_share_its_rate_and_others_do_not() {
    let world = World::new();
    world.github.choose_repositories(world.installation, None).unwrap();
    let (shop, blog) = (world.forge(), world.forge_of(&world.login(), "blog", None));
    shop.repository().await.unwrap();
    blog.repository().await.unwrap();
    world.github.fail_next("GET", "/repos/acme/shop", 429, 1);
    assert_eq!(words(shop.repository().await).0, "RateLimited");
    assert_eq!(words(blog.repository().await).0, "RateLimited");
    let other = world.github.register_app("second", "acme", Some(OTHER_KEY), NEEDED).unwrap();
    world.github.install_app(other, "acme", None).unwrap();
    let second = World::try_login(&other.to_string(), OTHER_KEY, None);
    world.forge_of(&second, "blog", None).repository().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_token_and_no_key_is_in_words() {
    let world = World::new();
    let forge = world.forge();
    let token = forge.fetch_token().await.unwrap().expose_secret().to_owned();
    world.github.suspend_app(world.installation, true).unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let error = forge.repository().await.unwrap_err();
    let shown = format!("{error} {error:?} {forge:?} {:?} {:?}", world.apis, world.login());
    assert!(!shown.contains(&token) && !shown.contains("ghs_"), "{shown}");
    assert!(!shown.contains("PRIVATE") && !shown.contains("eyJ"), "{shown}");
}
