//! Who may do what, and what the server adds or refuses.

use super::*;

async fn role(admin: &Raw, name: &str, rules: Value) {
    let body = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": rules,
    });
    let (code, answer) = admin.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", &body).await;
    assert_eq!(code, 201, "{answer}");
}

fn binding(name: &str, role: &str, user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    })
}

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/camp/rolebindings";

#[tokio::test(start_paused = true)]
async fn rights_are_granted_only_by_who_holds_them_or_may_bind_them() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({})).await;
    let bindings = json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"], "verbs": ["create", "get"]});
    role(
        &admin,
        "deployer",
        json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]),
    )
    .await;
    role(&admin, "other", json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]))
        .await;
    role(
        &admin,
        "granter",
        json!([bindings, {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["deployer"], "verbs": ["bind"]}]),
    )
    .await;
    assert_eq!(admin.post(BINDINGS, &binding("g", "granter", "ann")).await.0, 201);
    let ann = Raw::user(&server, "ann", &[]);
    assert_eq!(ann.post(BINDINGS, &binding("d", "deployer", "bob")).await.0, 201);
    let (code, refused) = ann.post(BINDINGS, &binding("o", "other", "bob")).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "rolebindings.rbac.authorization.k8s.io \"o\" is forbidden: user \"ann\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}"
    );
    let bob = Raw::user(&server, "bob", &[]);
    assert_eq!(bob.get("/api/v1/namespaces/camp/secrets/s").await.0, 404);
    assert_eq!(bob.get("/api/v1/namespaces/camp/configmaps/s").await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn impersonation_needs_the_right_and_acts_with_the_other_ones() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({})).await;
    role(&admin, "imp", json!([{"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["default"], "verbs": ["impersonate"]}])).await;
    admin.post(BINDINGS, &binding("i", "imp", "svc")).await;
    let svc = server.user_token("svc", &[]);
    let ask = |account: &str| {
        Request::builder()
            .uri("/api/v1/namespaces/camp/configmaps")
            .header(header::AUTHORIZATION, format!("Bearer {svc}"))
            .header("Impersonate-User", format!("system:serviceaccount:camp:{account}"))
            .body(seams::body(""))
            .expect("a request")
    };
    let (code, refused) = admin.request(ask("other")).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "serviceaccounts \"other\" is forbidden: User \"svc\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"camp\""
    );
    let (code, refused) = admin.request(ask("default")).await;
    assert_eq!(code, 403, "the account itself may not");
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|m| m.contains("User \"system:serviceaccount:camp:default\" cannot list")),
        "{refused}"
    );
    let last = server.audit().pop().expect("an event");
    assert_eq!(
        (last.user.as_str(), last.impersonated.as_deref()),
        ("svc", Some("system:serviceaccount:camp:default"))
    );
}

#[tokio::test(start_paused = true)]
async fn rbac_changes_take_their_time_when_the_lag_is_on() {
    let lags = crate::sandbox::cluster::api::Lags { authoriser: Duration::from_secs(2) };
    let options = Options { lags, ..Options::default() };
    let server = ApiServer::new(Clock::simulated(start()), &Rng::seeded(7), options);
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({})).await;
    role(
        &admin,
        "reader",
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]),
    )
    .await;
    admin.post(BINDINGS, &binding("r", "reader", "ann")).await;
    let ann = Raw::user(&server, "ann", &[]);
    let maps = "/api/v1/namespaces/camp/configmaps";
    assert_eq!(ann.get(maps).await.0, 403, "not in force yet");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ann.get(maps).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn pods_get_an_account_and_obey_pod_security_limits_and_quota() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({"pod-security.kubernetes.io/enforce": "baseline"})).await;
    let pods = "/api/v1/namespaces/camp/pods";
    let mut privileged = pod("bad");
    privileged["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let (code, refused) = admin.post(pods, &privileged).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "pods \"bad\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)"
    );
    let mut unknown = pod("who");
    unknown["spec"]["serviceAccountName"] = json!("nobody");
    let (_, refused) = admin.post(pods, &unknown).await;
    assert_eq!(
        refused["message"],
        "pods \"who\" is forbidden: error looking up service account camp/nobody: serviceaccount \"nobody\" not found"
    );
    let limits = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]},
    });
    assert_eq!(admin.post("/api/v1/namespaces/camp/limitranges", &limits).await.0, 201);
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": {"requests.cpu": "150m"}},
    });
    let quotas = "/api/v1/namespaces/camp/resourcequotas";
    assert_eq!(admin.post(quotas, &quota).await.0, 201);
    let (_, refused) = admin.post(pods, &pod("early")).await;
    assert_eq!(
        refused["message"],
        "pods \"early\" is forbidden: status unknown for quota: q, resources: requests.cpu"
    );
    let status =
        json!({"status": {"hard": {"requests.cpu": "150m"}, "used": {"requests.cpu": "0"}}});
    assert_eq!(admin.merge(&format!("{quotas}/q/status"), &status).await.0, 200);
    let (code, made) = admin.post(pods, &pod("one")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(
        made["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    let (code, refused) = admin.post(pods, &pod("two")).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "pods \"two\" is forbidden: exceeded quota: q, requested: requests.cpu=100m, used: requests.cpu=100m, limited: requests.cpu=150m"
    );
    let mut big = pod("big");
    big["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
    let (_, refused) = admin.post(pods, &big).await;
    assert_eq!(
        refused["message"],
        "pods \"big\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_of_accounts_work_and_reviews_answer() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({})).await;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
    let (code, token) =
        admin.post("/api/v1/namespaces/camp/serviceaccounts/default/token", &request).await;
    assert_eq!(code, 201, "{token}");
    let account = Raw {
        server: server.clone(),
        token: token["status"]["token"].as_str().expect("a token").to_owned(),
    };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": "camp", "verb": "get", "resource": "pods"}},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(account.post(path, &review).await.1["status"]["allowed"], false);
    assert_eq!(admin.post(path, &review).await.1["status"]["allowed"], true);
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(account.post(path, &review).await.0, 401, "the token has ended");
}
