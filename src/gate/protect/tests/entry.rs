//! Who gets in, and what is left of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn who_can_read_the_repository_signs_in_and_the_app_gets_nothing_of_the_gates() {
    let world = World::new();
    let mut rita = Browser::of("rita");
    let page = rita.sign_in(&world, &format!("{SHOP}/basket?item=3&x=%2F")).await;
    let told = app(&page).expect("the app");
    assert_eq!(told["visitor"], "rita");
    assert_eq!(told["program"], false);
    assert_eq!(told["path"], "/basket?item=3&x=%2F");
    assert!(!told["headers"].to_string().contains("bivouac"), "{told}");
    // The app tried to set our cookie, and could not.
    assert_eq!(page.headers.get_all(header::SET_COOKIE).iter().collect::<Vec<_>>(), ["theirs=1"]);
    assert_eq!(page.headers["x-robots-tag"], "noindex, nofollow");
    assert_eq!(page.headers[header::VARY], "Cookie");
    // Neither here nor there is anything left of the token, and of the sign-in one cookie.
    assert_eq!(world.github.visitors_tokens(), 0);
    let kept: Vec<&String> = rita.jar[host_of(SHOP)].keys().collect();
    assert_eq!(kept, ["__Host-bivouac", "theirs"]);

    let again = rita.open(&world, &format!("{SHOP}/other")).await;
    assert_eq!(app(&again).expect("the app")["visitor"], "rita");
    let signed_in_for = async |seconds: u64| {
        later(seconds).await;
        let mut rita = rita.clone();
        app(&rita.open(&world, SHOP).await).is_some()
    };
    assert!(signed_in_for(8 * 3600 - 1).await);
    assert!(!signed_in_for(1).await, "a working day is over");
}

#[tokio::test(start_paused = true)]
async fn who_can_not_read_the_repository_is_told_so_and_stays_out() {
    let world = World::new();
    let mut mallory = Browser::of("mallory");
    let page = mallory.sign_in(&world, SHOP).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("You are mallory at GitHub, who may not see this preview"));
    assert_eq!(world.github.visitors_tokens(), 0);
    assert!(app(&mallory.open(&world, SHOP).await).is_none());
    // Rita reads the shop, not the blog.
    let mut rita = Browser::of("rita");
    assert_eq!(rita.sign_in(&world, BLOG).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn the_password_lets_in_and_its_tries_are_counted() {
    let world = World::new();
    let mut somebody = Browser {
        more: vec![("x-forwarded-for", "10.0.0.1, 203.0.113.5".into())],
        ..Browser::default()
    };
    let ways = somebody.ways(&world, &format!("{SHOP}/a")).await;
    for wrong in ["", "correct horse ", "Correct horse", "x", "y"] {
        let page = somebody.submit(&world, &ways, wrong).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{wrong}");
        assert!(page.text.contains("That is not the password."));
    }
    let page = somebody.submit(&world, &ways, PASSWORD).await;
    let told = app(&page).expect("the app");
    assert_eq!((&told["visitor"], &told["path"]), (&Value::Null, &"/a".into()));

    // The right one was forgiven; one more wrong one, and nothing of this address is looked at for a minute.
    let mut other = Browser { more: somebody.more.clone(), ..Browser::default() };
    let ways = other.ways(&world, SHOP).await;
    assert_eq!(other.submit(&world, &ways, "z").await.status, StatusCode::UNAUTHORIZED);
    // What stands before the last address anybody can have written.
    other.more = vec![("x-forwarded-for", "198.51.100.1, 203.0.113.5".into())];
    let page = other.submit(&world, &ways, PASSWORD).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(page.headers[header::RETRY_AFTER], "60");
    let mut elsewhere = other.clone();
    elsewhere.more = vec![("x-forwarded-for", "203.0.113.6".into())];
    assert!(app(&elsewhere.submit(&world, &ways, PASSWORD).await).is_some());
    later(61).await;
    assert!(app(&other.submit(&world, &ways, PASSWORD).await).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_program_with_the_token_gets_in_by_a_header_or_by_a_cookie() {
    let world = World::new();
    let mut test = Browser { more: vec![(BYPASS, TOKEN.into())], ..Browser::default() };
    let page = test.ask(&world, &Method::POST, &format!("{SHOP}/api"), "x").await;
    let told = app(&page).expect("the app");
    assert_eq!((&told["program"], &told["visitor"]), (&true.into(), &Value::Null));
    assert!(!told["headers"].to_string().contains(TOKEN), "the app never sees the token");
    assert!(!test.jar[host_of(SHOP)].contains_key("__Host-bivouac"), "a header sets no cookie");
    for wrong in ["", "a-token-for-end-to-end-test", "a-token-for-end-to-end-tests\u{fffd}x"] {
        test.more = vec![(BYPASS, wrong.replace('\u{fffd}', "."))];
        let page = test.open(&world, SHOP).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{wrong}");
        assert!(app(&page).is_none());
    }
    test.more.clear();
    let page = test.open(&world, &format!("{SHOP}/a?x=1&bivouac-bypass={TOKEN}&y=2")).await;
    assert_eq!(app(&page).expect("the app")["path"], "/a?x=1&y=2");
    assert_eq!(app(&test.open(&world, SHOP).await).expect("the app")["program"], true);
    let page = Browser::default().open(&world, &format!("{SHOP}/a?bivouac-bypass=wrong")).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);

    // Where no token is set, neither header nor field means anything.
    world.change_repository("shop", |shop| {
        shop.spec.url.protect.as_mut().expect("protected").bypass = None;
    });
    assert!(app(&test.open(&world, SHOP).await).is_none(), "its sessions end with it");
    test.more = vec![(BYPASS, TOKEN.into())];
    assert!(app(&test.open(&world, &format!("{SHOP}/?bivouac-bypass={TOKEN}")).await).is_none());
}

#[tokio::test(start_paused = true)]
async fn two_pages_of_one_browser_sign_in_side_by_side() {
    let world = World::new();
    let mut rita = Browser::of("rita");
    let one = rita.ways(&world, &format!("{SHOP}/one")).await;
    let two = rita.ways(&world, &format!("{SHOP_8}/two")).await;
    let page = rita.open(&world, &link(&one)).await;
    assert_eq!(app(&page).expect("the app")["path"], "/one");
    let page = rita.open(&world, &link(&two)).await;
    assert_eq!(app(&page).expect("the app")["path"], "/two");
}

#[tokio::test(start_paused = true)]
async fn signing_out_takes_the_cookie_and_no_other_page_can_do_it() {
    let world = World::new();
    let mut rita = Browser::of("rita");
    rita.sign_in(&world, SHOP).await;
    let url = format!("{SHOP}/.bivouac/sign-out");
    assert!(rita.open(&world, &url).await.text.contains("Sign out of this preview"));
    rita.more = vec![("sec-fetch-site", "same-site".into())];
    assert_eq!(rita.ask(&world, &Method::POST, &url, "").await.status, StatusCode::FORBIDDEN);
    rita.more.clear();
    assert!(app(&rita.open(&world, SHOP).await).is_some());
    rita.ask(&world, &Method::POST, &url, "").await;
    assert!(app(&rita.open(&world, SHOP).await).is_none());
}

#[tokio::test(start_paused = true)]
async fn where_github_is_the_only_way_one_click_is_enough() {
    let world = World::with(Some(GATE), &json!({"signIn": "GitHub"}));
    let mut rita = Browser::of("rita");
    let closed = rita.open(&world, SHOP).await;
    assert_eq!(app(&rita.open(&world, &link(&closed)).await).expect("the app")["visitor"], "rita");
}

#[tokio::test(start_paused = true)]
async fn on_this_machine_it_works_over_plain_http() {
    let world = World::with(Some("http://gate.localhost:8080"), &json!({"signIn": "GitHub"}));
    let here = "http://shop-pr-7.preview.localhost:8081";
    world.change(|setting| {
        let mut shop = (*setting.sites[host_of(SHOP)].repository).clone();
        shop.spec.url.host = "preview.localhost".into();
        shop.spec.url.scheme = "http".into();
        shop.spec.url.port = Some(8081);
        setting.sites.insert(host_of(here).to_owned(), site(host_of(here), &Arc::new(shop)));
    });
    let mut rita = Browser::of("rita");
    let closed = rita.open(&world, here).await;
    let page = rita.open(&world, &link(&closed)).await;
    assert_eq!(app(&page).expect("the app")["visitor"], "rita");
    assert_eq!(page.url, format!("{here}/"));
    assert!(rita.jar[host_of(here)].contains_key("bivouac"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_protected_is_open_and_still_gets_nothing_of_the_gates() {
    let world = World::new();
    world.change_repository("shop", |shop| {
        shop.spec.url.protect = None;
        shop.spec.url.noindex = true;
    });
    let more = vec![("cookie", "__Host-bivouac=x; a=1".into()), (BYPASS, TOKEN.into())];
    let mut anybody = Browser { more, ..Browser::default() };
    let page = anybody.open(&world, SHOP).await;
    let told = app(&page).expect("the app")["headers"].to_string();
    assert!(told.contains("cookie: a=1") && !told.contains("bivouac"), "{told}");
    assert_eq!(page.headers["x-robots-tag"], "noindex, nofollow");
    assert!(!page.headers.contains_key(header::VARY));
    world.change_repository("shop", |shop| shop.spec.url.noindex = false);
    assert!(!anybody.open(&world, SHOP).await.headers.contains_key("x-robots-tag"));
}
