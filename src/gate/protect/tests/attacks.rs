//! Attacks: each is tried beside what it looks like and works.

use super::*;

/// A character in the middle of a word becomes another one.
fn bent(word: &str) -> String {
    let at = word.len() / 2;
    let other = if &word[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &word[..at], &word[at + 1..])
}

async fn with_session(world: &World, url: &str, session: &str) -> bool {
    let mut browser = Browser {
        more: vec![("cookie", format!("__Host-bivouac={session}"))],
        ..Browser::default()
    };
    app(&browser.open(world, url).await).is_some()
}

#[tokio::test(start_paused = true)]
async fn nobody_reaches_the_app_without_having_shown_that_he_may() {
    let world = World::new();
    for (method, path, headers) in [
        (Method::GET, "/", vec![]),
        (Method::HEAD, "/", vec![]),
        (Method::POST, "/", vec![]),
        (Method::OPTIONS, "/", vec![("access-control-request-method", "POST")]),
        (Method::GET, "/app.js", vec![("sec-fetch-mode", "no-cors")]),
        (Method::GET, "/socket", vec![("upgrade", "websocket"), ("connection", "upgrade")]),
        (Method::GET, "/", vec![("user-agent", "bivouac-probe")]),
        (Method::GET, "/.bivouac/", vec![]),
        (Method::GET, "/.bivouac/state", vec![]),
        (Method::POST, "/.bivouac/wake", vec![]),
        (Method::POST, "/.bivouac/enter", vec![]),
        (Method::GET, "//.bivouac/enter", vec![]),
        (Method::GET, "/", vec![("authorization", "Bearer x")]),
        (Method::GET, "/", vec![("cookie", "__Host-bivouac=; __Host-bivouac=.; bivouac=x")]),
    ] {
        let mut browser = Browser {
            more: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            ..Browser::default()
        };
        let page = browser.ask(&world, &method, &format!("{SHOP}{path}"), "").await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{method} {path} {headers:?}");
        assert!(app(&page).is_none());
        assert_eq!(page.headers["x-robots-tag"], "noindex, nofollow");
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    }
    let robots = Browser::default().open(&world, &format!("{SHOP}/robots.txt")).await;
    assert_eq!(robots.text, "User-agent: *\nDisallow: /\n");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_worth_nothing_elsewhere() {
    let world = World::new();
    let mut rita = Browser::of("rita");
    rita.sign_in(&world, SHOP).await;
    let session = rita.session(SHOP);
    assert!(with_session(&world, SHOP, &session).await);
    assert!(!with_session(&world, SHOP_8, &session).await, "another preview of the Repository");
    assert!(!with_session(&world, BLOG, &session).await, "another Repository");
    // The same host, taken over by another Repository, or by one made anew.
    world.change_repository("shop", |shop| shop.metadata.uid = Some("uid-new".into()));
    assert!(!with_session(&world, SHOP, &session).await, "a Repository made anew");
    world.change_repository("shop", |shop| shop.metadata.uid = Some("uid-shop".into()));
    assert!(with_session(&world, SHOP, &session).await);
    world.change_repository("shop", |shop| {
        shop.status.as_mut().and_then(|s| s.forge.as_mut()).expect("known").repository_id = 99;
    });
    assert!(!with_session(&world, SHOP, &session).await, "another repository at GitHub");
    // On the gate's own host it is no word of a sign-in.
    for path in ["sign-in", "github"] {
        let url = format!("{GATE}/.bivouac/{path}?with={session}");
        assert_eq!(Browser::default().open(&world, &url).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forged_a_bent_and_an_old_session_are_none() {
    let world = World::new();
    let mut rita = Browser::of("rita");
    rita.sign_in(&world, SHOP).await;
    let good = rita.session(SHOP);
    assert!(!with_session(&world, SHOP, &bent(&good)).await);
    let forger = Key::new(&[2; 32]).expect("a key");
    let print = word::print_of(&forger, "repository", b"x");
    let let_in = word::LetIn { by: Means::SignIn, visitor: Some("olga".into()), print };
    let session = word::Session { repository: "uid-shop".into(), let_in };
    let span = (world.protect.clock.now(), chrono::TimeDelta::hours(1));
    let forged = word::say(&forger, word::SESSION, host_of(SHOP), span, &session).expect("a word");
    assert!(!with_session(&world, SHOP, &forged).await);
    // Signed by us, and of what was never shown.
    let own = Key::new(&[1; 32]).expect("a key");
    let unshown = word::say(&own, word::SESSION, host_of(SHOP), span, &session).expect("a word");
    assert!(!with_session(&world, SHOP, &unshown).await);
    // Beside a planted one the real one counts.
    assert!(with_session(&world, SHOP, &format!("planted; __Host-bivouac={good}")).await);
    later(8 * 3600).await;
    assert!(!with_session(&world, SHOP, &good).await);
}

/// The last address that a browser was led to which has this in it.
fn seen(browser: &Browser, part: &str) -> String {
    browser.seen.iter().rev().find(|url| url.contains(part)).expect("it was there").clone()
}

/// Signs in up to the address that hands over, which is not opened.
async fn up_to_hand_over(world: &World, browser: &mut Browser, url: &str) -> String {
    let ways = browser.ways(world, url).await;
    let (_, form) = ways.text.split_once("action=\"/.bivouac/password\"").expect("a form");
    let form = format!("{}&password={}", fields_of(form), in_query(PASSWORD));
    let url = format!("{GATE}/.bivouac/password");
    let page = browser.ask(world, &Method::POST, &url, &form).await;
    page.headers[header::LOCATION].to_str().expect("an address").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_is_good_once_for_a_minute_for_its_host_and_its_browser() {
    let world = World::new();
    let mut victim = Browser::default();
    let to = up_to_hand_over(&world, &mut victim, &format!("{SHOP}/a")).await;
    assert!(to.starts_with(&format!("{SHOP}/.bivouac/enter?word=")), "{to}");

    // Another browser, also one that began a sign-in of its own there.
    let mut thief = Browser::default();
    assert_eq!(thief.open(&world, &to).await.status, StatusCode::BAD_REQUEST);
    thief.ways(&world, SHOP).await;
    assert_eq!(thief.open(&world, &to).await.status, StatusCode::BAD_REQUEST);
    assert!(!thief.jar[host_of(SHOP)].contains_key("__Host-bivouac"));
    // Another host, of the same Repository, in the same browser.
    let elsewhere = to.replace(SHOP, SHOP_8);
    victim.jar.insert(host_of(SHOP_8).to_owned(), victim.jar[host_of(SHOP)].clone());
    assert_eq!(victim.open(&world, &elsewhere).await.status, StatusCode::BAD_REQUEST);
    // Bent.
    assert_eq!(victim.open(&world, &bent(&to)).await.status, StatusCode::BAD_REQUEST);

    let mut late = victim.clone();
    assert_eq!(app(&victim.open(&world, &to).await).expect("the app")["path"], "/a");
    assert_eq!(victim.open(&world, &to).await.status, StatusCode::BAD_REQUEST, "a second time");
    later(60).await;
    assert_eq!(late.open(&world, &to).await.status, StatusCode::BAD_REQUEST, "after a minute");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_to_a_host_that_became_anothers_meanwhile() {
    let world = World::new();
    let mut somebody = Browser::default();
    let to = up_to_hand_over(&world, &mut somebody, SHOP).await;
    world.change_repository("shop", |shop| shop.metadata.uid = Some("uid-new".into()));
    assert_eq!(somebody.open(&world, &to).await.status, StatusCode::BAD_REQUEST);

    let world = World::new();
    let mut rita = Browser::of("rita");
    let ways = rita.ways(&world, SHOP).await;
    world.change(|setting| _ = setting.sites.remove(host_of(SHOP)));
    assert_eq!(rita.open(&world, &link(&ways)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(rita.submit(&world, &ways, PASSWORD).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_taken_from_the_browser_that_began_and_once() {
    let world = World::new();
    let mut rita = Browser::of("rita");
    rita.sign_in(&world, SHOP).await;
    let back = seen(&rita, "/.bivouac/callback");
    // In another browser: somebody would be signed in as another.
    let page = Browser::default().open(&world, &back).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("begun in another browser"));
    let mut mallory = Browser::of("mallory");
    mallory.sign_in(&world, SHOP).await;
    assert_eq!(mallory.open(&world, &back).await.status, StatusCode::FORBIDDEN);
    // Once more in the same: GitHub takes a code once.
    let page = rita.open(&world, &back).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.text.contains("does not take the code"));
    // That is not asked for ever; the one who may not see it had a try of these, too.
    for _ in 0..4 {
        assert_eq!(rita.open(&world, &back).await.status, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(rita.open(&world, &back).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rita.open(&world, &bent(&back)).await.status, StatusCode::BAD_REQUEST);
    later(600).await;
    assert_eq!(rita.open(&world, &back).await.status, StatusCode::BAD_REQUEST, "after ten minutes");
    let without = format!("{GATE}/.bivouac/callback?code=x&state=y");
    assert_eq!(rita.open(&world, &without).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_stolen_code_is_worth_nothing_in_a_sign_in_of_the_thief() {
    let world = World::new();
    let mut rita = Browser::of("rita");
    let ways = rita.ways(&world, SHOP).await;
    let page = rita.ask(&world, &Method::GET, &link(&ways), "").await;
    let at_github = page.headers[header::LOCATION].to_str().expect("an address").to_owned();
    let page = rita.ask(&world, &Method::GET, &at_github, "").await;
    let form = rita.agree(&page.text);
    let url = format!("{GITHUB}/login/oauth/authorize");
    let page = rita.ask(&world, &Method::POST, &url, &form).await;
    let back = page.headers[header::LOCATION].to_str().expect("an address").to_owned();
    let (_, rest) = back.split_once("code=").expect("a code");
    let stolen = rest.split('&').next().expect("a code");

    let mut mallory = Browser::of("mallory");
    mallory.sign_in(&world, SHOP).await;
    let own = seen(&mallory, "/.bivouac/callback");
    let (before, rest) = own.split_once("code=").expect("a code");
    let (_, after) = rest.split_once('&').expect("a state");
    let page = mallory.open(&world, &format!("{before}code={stolen}&{after}")).await;
    // Its PKCE challenge was made for another state.
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(app(&mallory.open(&world, SHOP).await).is_none());
    assert_eq!(world.github.visitors_tokens(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_sign_in_leads_to_another_host() {
    let world = World::new();
    for evil in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%09/evil.example",
        "\\\\evil.example",
    ] {
        let mut somebody = Browser::default();
        let begin = format!("{SHOP}/.bivouac/sign-in?to={}", in_query(evil));
        let ways = somebody.open(&world, &begin).await;
        let page = somebody.submit(&world, &ways, PASSWORD).await;
        assert!(app(&page).is_some(), "{evil}");
        assert!(page.url.starts_with(&format!("{SHOP}/")), "{evil}");
        assert!(
            somebody
                .seen
                .iter()
                .all(|url| { [SHOP, GATE].iter().any(|own| url.starts_with(&format!("{own}/"))) })
        );
    }
    // The word that says where to is the gate's own: another one is none.
    for with in ["", "x", "https://evil.example/", "eyJob3N0IjoiZXZpbC5leGFtcGxlIn0.x.y"] {
        let url = format!("{GATE}/.bivouac/sign-in?with={}", in_query(with));
        let page = Browser::default().open(&world, &url).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{with}");
    }
    // Neither does the token's field.
    let mut test = Browser::default();
    let page = test
        .ask(&world, &Method::GET, &format!("{SHOP}//evil.example/?bivouac-bypass={TOKEN}"), "")
        .await;
    assert_eq!(page.headers[header::LOCATION], "/");
}

#[tokio::test(start_paused = true)]
async fn a_word_of_a_sign_in_is_none_after_half_an_hour() {
    let world = World::new();
    let mut somebody = Browser::default();
    let ways = somebody.ways(&world, SHOP).await;
    later(30 * 60).await;
    assert_eq!(somebody.submit(&world, &ways, PASSWORD).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn no_other_page_can_post_a_password() {
    let world = World::new();
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", SHOP),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
    ] {
        let mut somebody = Browser::default();
        let ways = somebody.ways(&world, SHOP).await;
        somebody.more = vec![(name, value.into())];
        let page = somebody.submit(&world, &ways, PASSWORD).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let mut somebody = Browser::default();
    let ways = somebody.ways(&world, SHOP).await;
    let policy = ways.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains(&format!("form-action 'self' {SHOP};")), "{policy}");
    let page = somebody.submit(&world, &ways, &"x".repeat(9000)).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "a form that is too big");
}

#[tokio::test(start_paused = true)]
async fn what_a_browser_sends_is_never_part_of_a_page_as_it_came() {
    let world = World::new();
    let page = Browser::default().open(&world, &format!("{SHOP}/a?q='onload=x")).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(!page.text.contains("'onload"), "{}", page.text);
}
