//! What is lacking closes, and says so in a sentence; what changes counts at once.

use super::*;

async fn closed(world: &World, words: &str) {
    for url in [SHOP.to_owned(), format!("{SHOP}/.bivouac/sign-in")] {
        let page = Browser::default().open(world, &url).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{url}");
        assert!(page.text.contains(words), "{words}: {}", page.text);
        assert_eq!(page.headers[header::RETRY_AFTER], "60");
    }
    let mut asset =
        Browser { more: vec![("sec-fetch-mode", "no-cors".into())], ..Browser::default() };
    assert!(app(&asset.open(world, SHOP).await).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_set_up_closes_and_says_what_is_lacking() {
    let world = World::with(None, &all_ways());
    closed(&world, "the gate has no address of its own").await;
    let world = World::with(Some("https://gate.preview.example.com"), &all_ways());
    closed(&world, "is within the domain of previews").await;

    let world = World::new();
    world.change(|setting| setting.key = None);
    closed(&world, "the gate has no key yet").await;
    let page = Browser::default().open(&world, &format!("{GATE}/.bivouac/sign-in?with=x")).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);

    let world = World::new();
    world.change_repository("shop", |shop| shop.spec.url.scheme = "http".into());
    closed(&world, "is plain http").await;

    let world = World::with(Some(GATE), &json!({"signIn": "GitHub"}));
    world.change_repository("shop", |shop| shop.status = None);
    closed(&world, "was not reached at GitHub yet").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_missing_short_or_unread_never_opens() {
    let only_password = json!({"password": {"secretName": "doors", "key": "password"}});
    for (value, words) in [
        (None, "the Secret by which people would be let in is missing"),
        (Some(""), "is missing"),
        (Some("\n"), "is missing"),
        (Some("short\n"), "too short"),
    ] {
        let world = World::with(Some(GATE), &only_password);
        world.set_secret("password", value);
        closed(&world, words).await;
    }
    let world = World::with(Some(GATE), &only_password);
    world.change(|setting| setting.secrets = Err("down".into()));
    closed(&world, "can&#39;t be found out right now").await;
    let world = World::with(Some(GATE), &json!({"signIn": "GitHub"}));
    world.change(|setting| _ = setting.secrets.as_mut().expect("there").remove("app"));
    closed(&world, "is missing").await;

    // While there is another way in, that one works.
    let world = World::new();
    world.change(|setting| _ = setting.secrets.as_mut().expect("there").remove("app"));
    let mut somebody = Browser::default();
    let ways = somebody.ways(&world, SHOP).await;
    assert!(!ways.text.contains("GitHub"));
    assert!(app(&somebody.submit(&world, &ways, PASSWORD).await).is_some());
    // A short token of programs is none, also for who knows it.
    world.set_secret("bypass", Some("nineteen characters"));
    later(5).await;
    let mut test =
        Browser { more: vec![(BYPASS, "nineteen characters".into())], ..Browser::default() };
    assert_eq!(test.open(&world, SHOP).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_ends_what_the_old_one_opened() {
    let world = World::new();
    let (mut by_password, mut by_token, mut rita) =
        (Browser::default(), Browser::default(), Browser::of("rita"));
    by_password.type_in(&world, SHOP, PASSWORD).await;
    by_token.open(&world, &format!("{SHOP}/?bivouac-bypass={TOKEN}")).await;
    rita.sign_in(&world, SHOP).await;
    for browser in [&mut by_password, &mut by_token, &mut rita] {
        assert!(app(&browser.open(&world, SHOP).await).is_some());
    }
    world.set_secret("password", Some("another horse"));
    world.set_secret("bypass", Some("another-token-for-end-to-end-tests"));
    later(5).await;
    assert!(app(&by_password.open(&world, SHOP).await).is_none());
    assert!(app(&by_token.open(&world, SHOP).await).is_none());
    assert!(app(&rita.open(&world, SHOP).await).is_some(), "hers is another way");
    let mut late = Browser::default();
    let ways = late.ways(&world, SHOP).await;
    assert_eq!(late.submit(&world, &ways, PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert!(app(&late.submit(&world, &ways, "another horse").await).is_some());

    // A way that is no longer offered ends what came by it.
    world.change_repository("shop", |shop| {
        shop.spec.url.protect.as_mut().expect("protected").sign_in = None;
    });
    assert!(app(&rita.open(&world, SHOP).await).is_none());
    // So does another key of the gate.
    assert!(app(&late.open(&world, SHOP).await).is_some());
    world.change(|setting| setting.key = Key::new(&[3; 32]));
    assert!(app(&late.open(&world, SHOP).await).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_at_github_lets_nobody_in_and_is_said() {
    let world = World::with(Some(GATE), &json!({"signIn": "GitHub"}));
    let mut rita = Browser::of("rita");
    rita.sign_in_directly(&world).await;
    let good = rita.jar[host_of(SHOP)].contains_key("__Host-bivouac");
    assert!(good);
    // The App's secret was made anew at GitHub, and not here.
    world.change(|setting| {
        let app = setting.secrets.as_mut().expect("there").get_mut("app").expect("there");
        app.insert("clientSecret", "old".into());
    });
    later(5).await;
    let mut rita = Browser::of("rita");
    let page = rita.sign_in_directly(&world).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.text.contains("client secret"), "{}", page.text);

    // She called it off.
    let world = World::with(Some(GATE), &json!({"signIn": "GitHub"}));
    let mut rita = Browser::of("rita");
    rita.sign_in_directly(&world).await;
    let back = rita.seen.iter().find(|url| url.contains("/callback")).expect("it was there");
    let (_, state) = back.split_once("state=").expect("a state");
    let url = format!("{GATE}/.bivouac/callback?error=access_denied&state={state}");
    let page = rita.open(&world, &url).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("called off") && page.text.contains("Begin again"));
}

impl Browser {
    /// Where GitHub is the only way.
    async fn sign_in_directly(&mut self, world: &World) -> Page {
        let closed = self.open(world, SHOP).await;
        let to = link(&closed);
        self.open(world, &to).await
    }
}
