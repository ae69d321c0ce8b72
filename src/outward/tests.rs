//! What the client refuses, over sockets and before anything is sent.
#[cfg(test)]
use http::Request;
use tower::ServiceExt as _;

use crate::controller::notices_transport;
use crate::seams::{Transport, Unreached, body};

async fn ask(transport: &Transport, url: &str) -> Option<Unreached> {
    let request = Request::post(url).body(body("x")).expect("a request");
    let error = transport.clone().oneshot(request).await.map(drop).expect_err(url);
    error.downcast_ref::<Unreached>().cloned()
}

#[tokio::test]
async fn a_notice_reaches_neither_a_name_nor_an_address_of_this_machine() {
    for (private, url) in [
        (false, "https://127.0.0.1:1/"),
        (false, "https://10.0.0.1:1/"),
        (false, "https://localhost:1/"),
        (true, "http://a.localhost:1/"),
        (true, "http://LOCALHOST.:1/"),
        (true, "http://[::1]:1/"),
        (true, "http://0x7f.1:1/"),
        (true, "http://169.254.169.254/latest"),
    ] {
        let transport = notices_transport(private).expect("a client");
        assert_eq!(ask(&transport, url).await, Some(Unreached::AddressRefused), "{url}");
    }
}

#[tokio::test]
async fn a_registry_is_neither_on_the_machine_nor_its_link_nor_without_leave_in_a_private_network()
{
    let public = crate::registry::https_transport(false).expect("a client");
    let private = crate::registry::https_transport(true).expect("a client");
    for url in [
        "https://127.0.0.1:1/v2/",
        "https://localhost:1/v2/",
        "https://registry.localhost/v2/",
        "https://[::ffff:169.254.169.254]/",
        "https://169.254.169.254/latest",
    ] {
        assert_eq!(ask(&public, url).await, Some(Unreached::AddressRefused), "{url}");
        assert_eq!(ask(&private, url).await, Some(Unreached::AddressRefused), "{url}");
    }
    assert_eq!(ask(&public, "https://10.1.2.3/v2/").await, Some(Unreached::AddressRefused));
    assert_eq!(ask(&public, "https://nothing.invalid/").await, Some(Unreached::NameNotFound));
    let plain = ask(&public, "http://8.8.8.8/").await;
    assert!(matches!(plain, Some(Unreached::Broken(_))), "{plain:?}");
}

/// `localhost` leads to the machine without a server of names where the policy says so, and nowhere else; what listens
/// there is told from what does not.
#[tokio::test]
async fn localhost_is_the_machine_for_previews_alone() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let router = axum::Router::new().fallback(async || "here");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let url = format!("http://a.preview.localhost:{port}/");
    let previews = crate::probe::https_transport(None).expect("a client");
    let request = Request::get(&url).body(body("")).expect("a request");
    assert_eq!(previews.oneshot(request).await.expect("an answer").status(), 200);
    let notices = notices_transport(true).expect("a client");
    assert_eq!(ask(&notices, &url).await, Some(Unreached::AddressRefused));
}
