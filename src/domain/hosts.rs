//! PURE · which app has which host. Assigned once, recorded, and kept as long as the camp stands.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::naming::host_label;
use super::policy::Url;

/// Name under which the camp's own host is listed as long as no app has it.
pub const WHOLE_CAMP: &str = "preview";

/// Hosts that one camp has at most.
const MAX_HOSTS: usize = 20;

/// Host and URL of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppHost {
    /// The host.
    pub host: String,
    /// The address that people open.
    pub url: String,
}

/// One host of a camp, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The app that answers; [`WHOLE_CAMP`] for the camp's own host when no app has it.
    pub app: String,
    /// The host.
    pub host: String,
    /// The address that people open.
    pub url: String,
}

/// The camp's own host, before anything is known of its apps.
#[must_use]
pub fn first(environment: &str, url: &Url) -> Assigned {
    assigned(WHOLE_CAMP, host_label(environment, None).as_str(), url)
}

/// Hosts for the apps that expose something, in the order of the preview file. What is in `kept` stays as it is; the
/// first app without a host gets the camp's own, if nobody has that, and every other one a host of its own.
#[must_use]
pub fn assign(environment: &str, url: &Url, exposed: &[&str], kept: &[Assigned]) -> Vec<Assigned> {
    let mut all = kept.to_vec();
    if all.is_empty() {
        all.push(first(environment, url));
    }
    for app in exposed {
        if all.iter().any(|one| one.app == *app) {
            continue;
        }
        let whole_is_wanted = exposed.contains(&WHOLE_CAMP);
        match all.first_mut().filter(|own| own.app == WHOLE_CAMP && !whole_is_wanted) {
            Some(own) => (*app).clone_into(&mut own.app),
            None => {
                all.push(assigned(app, host_label(environment, Some(app)).as_str(), url));
            }
        }
    }
    // Names that commits of long ago brought must not crowd out those of today. The camp's own host always stays.
    let wanted: BTreeSet<&str> = exposed.iter().copied().collect();
    while all.len() > MAX_HOSTS {
        match all.iter().skip(1).position(|one| !wanted.contains(one.app.as_str())) {
            Some(index) => drop(all.remove(index + 1)),
            None => all.truncate(MAX_HOSTS),
        }
    }
    all
}

/// The same by the name of the app; the camp's own host is not in it while no app has it.
#[must_use]
pub fn by_app(assigned: &[Assigned]) -> BTreeMap<String, AppHost> {
    assigned
        .iter()
        .filter(|one| one.app != WHOLE_CAMP)
        .map(|Assigned { app, host, url }| {
            (app.clone(), AppHost { host: host.clone(), url: url.clone() })
        })
        .collect()
}

fn assigned(app: &str, label: &str, url: &Url) -> Assigned {
    let host = format!("{label}.{}", url.host);
    Assigned { app: app.to_owned(), url: url.of(&host), host }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Tls;

    fn url() -> Url {
        Url {
            host: "x.test".into(),
            scheme: "https".into(),
            port: None,
            ingress_class: None,
            gateway: None,
            tls: Tls::default(),
            probe: true,
        }
    }

    fn hosts(all: &[Assigned]) -> Vec<(&str, &str)> {
        all.iter().map(|one| (one.app.as_str(), one.host.as_str())).collect()
    }

    #[test]
    fn the_first_app_has_the_camps_own_host_and_the_others_their_own() {
        let all = assign("shop-pr-7", &url(), &["web", "api"], &[first("shop-pr-7", &url())]);
        let wanted = [("web", "shop-pr-7.x.test"), ("api", "shop-pr-7-api.x.test")];
        assert_eq!(hosts(&all), wanted);
        assert_eq!(all[1].url, "https://shop-pr-7-api.x.test");
        assert_eq!(by_app(&all).keys().collect::<Vec<_>>(), ["api", "web"]);
        assert_eq!(
            hosts(&assign("shop-pr-7", &url(), &[], &[])),
            [("preview", "shop-pr-7.x.test")]
        );
    }

    #[test]
    fn what_stands_stays_whatever_the_next_commit_says() {
        let before = assign("e", &url(), &["web", "api"], &[]);
        let other = Url { host: "y.test".into(), ..url() };
        let after = assign("e", &other, &["new", "api", "web"], &before);
        let wanted = [("web", "e.x.test"), ("api", "e-api.x.test"), ("new", "e-new.y.test")];
        assert_eq!(hosts(&after), wanted);
        assert_eq!(assign("e", &other, &[], &after), after);
    }

    #[test]
    fn an_app_called_like_the_whole_has_the_camps_own_host_and_keeps_it() {
        let one = assign("e", &url(), &["web", "preview"], &[]);
        assert_eq!(hosts(&one), [("preview", "e.x.test"), ("web", "e-web.x.test")]);
        assert_eq!(assign("e", &url(), &["preview", "web"], &one), one);
    }

    #[test]
    fn apps_that_left_make_room() {
        let names: Vec<String> = (0..30).map(|n| format!("a{n}")).collect();
        let mut all = Vec::new();
        for chunk in names.chunks(10) {
            let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
            all = assign("e", &url(), &chunk, &all);
            assert!(chunk.iter().all(|app| all.iter().any(|one| one.app == *app)));
        }
        assert_eq!((all.len(), all[0].host.as_str()), (20, "e.x.test"));
    }
}
