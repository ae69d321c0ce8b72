//! What a camp is fenced in with: it is there before the bundle, it stays, and it decides what goes in and out.

use std::time::Duration;

use bivouac::app::stage::{NAMESPACE, REPOSITORY, STRANGER};
use bivouac::crd::Phase;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::{World, one};

/// Kinds of guardrails, with the beginning of their paths.
const KINDS: [(&str, &str, &str); 7] = [
    ("v1", "ConfigMap", "/api/v1|configmaps"),
    ("v1", "LimitRange", "/api/v1|limitranges"),
    ("v1", "ResourceQuota", "/api/v1|resourcequotas"),
    ("v1", "Secret", "/api/v1|secrets"),
    ("v1", "ServiceAccount", "/api/v1|serviceaccounts"),
    ("networking.k8s.io/v1", "NetworkPolicy", "/apis/networking.k8s.io/v1|networkpolicies"),
    (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "/apis/rbac.authorization.k8s.io/v1|rolebindings",
    ),
];

impl World {
    fn in_camp<K>(&self, number: u64) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.stage.admin.clone(), &self.stage.namespace_of(number))
    }

    fn at_home<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.stage.admin.clone(), NAMESPACE)
    }

    /// A Secret in the service's own namespace, written by the platform team.
    async fn secret(&self, name: &str, password: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"password": password},
        });
        let parameters = PatchParams::apply("kubectl").force();
        self.at_home::<Secret>()
            .patch(name, &parameters, &Patch::Apply(&secret))
            .await
            .expect("a Secret");
    }

    /// The templates of the platform team.
    async fn templates(&self, data: Value) {
        let name = "bivouac-guardrails";
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        let parameters = PatchParams::apply("kubectl").force();
        self.at_home::<k8s_openapi::api::core::v1::ConfigMap>()
            .patch(name, &parameters, &Patch::Apply(&map))
            .await
            .expect("a ConfigMap");
    }

    /// Somebody wants the pull request to be looked at again.
    pub(crate) async fn hint(&self, number: u64, hint: &str) {
        let name = format!("{}-pr-{number}", bivouac::app::stage::NAME);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"bivouac.dev/hint": hint}}}));
        let hinted = self.stage.environments().patch(&name, &PatchParams::default(), &patch).await;
        hinted.expect("a hint");
    }

    /// All guardrails of a camp, as they stand.
    async fn guardrails(&self, number: u64) -> Vec<Value> {
        let namespace = self.stage.namespace_of(number);
        let mut all = Vec::new();
        for (api_version, kind, _) in KINDS {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.stage.admin.clone(), &namespace, &resource);
            let ours = kube::api::ListParams::default().labels("bivouac.dev/guardrail");
            for object in api.list(&ours).await.expect("a list").items {
                let mut object = serde_json::to_value(object).expect("JSON");
                object["apiVersion"] = api_version.into();
                object["kind"] = kind.into();
                all.push(object);
            }
        }
        all
    }

    /// What a bundle brought, by version: what is touched gets another.
    async fn versions_of_the_bundle(&self, number: u64) -> Vec<Option<String>> {
        let namespace = self.stage.namespace_of(number);
        let mut versions = Vec::new();
        for (group, kind, name) in [
            ("", "ConfigMap", "page"),
            ("", "Service", "web"),
            ("networking.k8s.io", "Ingress", "web"),
        ] {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.stage.admin.clone(), &namespace, &resource);
            versions.push(api.get(name).await.expect("it is there").metadata.resource_version);
        }
        versions
    }

    /// Everybody may do everything in the camp as its deployer, as far as RBAC goes.
    pub(crate) async fn widen(&self, number: u64) {
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "wide"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "bivouac-deployer",
                "namespace": self.stage.namespace_of(number)}],
        }))
        .expect("a binding");
        self.in_camp(number).create(&PostParams::default(), &binding).await.expect("bound");
        // The authoriser's cache.
        self.sleep(Duration::from_secs(5)).await;
    }

    /// A pull request of a stranger's fork, approved.
    pub(crate) async fn approved_fork(&self) -> (u64, String) {
        let github = &self.stage.github;
        github.fork(REPOSITORY, STRANGER).expect("a fork");
        let fork = format!("{STRANGER}/campfire");
        let head = github
            .commit(&fork, "embers", &one("CHANGES.md", "embers"), "Add embers\n", STRANGER)
            .expect("a commit");
        let number = self.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);
        self.told(number, "waits for approval").await;
        let base = self.status(number).await.expect("a status").head.expect("a head").base;
        let at = self.stage.clock.now().to_rfc3339();
        let approval = json!({"revision": head, "base": base, "by": "marshal", "at": at});
        self.ask(number, json!({ "approved": approval })).await;
        self.ready(number, &head).await;
        (number, head)
    }

    async fn there<K>(&self, number: u64, name: &str) -> Option<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        <K as Resource>::DynamicType: Default,
    {
        self.in_camp::<K>(number).get_opt(name).await.expect("an answer")
    }
}

fn password(secret: &Secret) -> String {
    let data = secret.data.as_ref().and_then(|data| data.get("password"));
    String::from_utf8_lossy(&data.expect("a password").0).into_owned()
}

/// Takes out what differs from run to run.
fn settled(mut object: Value) -> Value {
    let uid = "bivouac.dev/environment-uid";
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
            metadata.remove(key);
        }
    }
    if object["metadata"]["labels"].get(uid).is_some() {
        object["metadata"]["labels"][uid] = json!("{uid}");
    }
    // Of the record's UID too.
    object["metadata"]["annotations"]["bivouac.dev/guardrail-digest"] = json!("{digest}");
    // A count of what runs is not what is asked for.
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
        object.remove("data");
    }
    object
}

#[tokio::test(start_paused = true)]
async fn a_fresh_camp_has_every_guardrail_before_the_first_object_of_its_bundle() {
    let world = World::new(1).await;
    let (number, head) = world.camp("sparks").await;
    let space = world.namespace(number).await.expect("a namespace");
    let mut all = vec![serde_json::to_value(space).expect("JSON")];
    all[0]["apiVersion"] = json!("v1");
    all[0]["kind"] = json!("Namespace");
    all.extend(world.guardrails(number).await);
    let mut text = String::new();
    for object in all {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&settled(object)).expect("YAML"));
    }
    crate::support::golden("guardrails", &text, &head);

    let namespace = world.stage.namespace_of(number);
    let audit = world.stage.cluster.audit();
    let inside: Vec<_> = audit
        .iter()
        .filter(|event| {
            event.user == crate::support::SERVICE
                && event.namespace == namespace
                && event.verb == "patch"
                && event.code < 300
        })
        .collect();
    let first = inside.iter().position(|event| event.impersonated.is_some()).expect("a bundle");
    assert!(inside[first..].iter().all(|event| event.impersonated.is_some()), "{inside:#?}");
    assert_eq!(first, 8, "each guardrail is written once: {inside:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_can_neither_change_nor_delete_a_guardrail() {
    let world = World::anywhere(2).await;
    world.secret("preview-db", "hearth").await;
    world
        .policy(json!({
            "secrets": [{"name": "db", "fromSecret": "preview-db"}],
            "isolation": {"access": [{"group": "team", "role": "view"}]},
        }))
        .await;
    let (number, _) = world.camp("sparks").await;
    world.widen(number).await;
    let namespace = world.stage.namespace_of(number);
    let deployer = format!("system:serviceaccount:{namespace}:bivouac-deployer");
    let guardrails = world.guardrails(number).await;
    assert_eq!(guardrails.len(), 10);
    for object in guardrails {
        let kind = object["kind"].as_str().expect("a kind");
        let name = object["metadata"]["name"].as_str().expect("a name");
        let path = KINDS.iter().find(|(_, known, _)| *known == kind).expect("known").2;
        let (base, plural) = path.split_once('|').expect("two parts");
        let at = format!("{base}/namespaces/{namespace}/{plural}/{name}");
        let change = json!({
            "apiVersion": object["apiVersion"], "kind": kind,
            "metadata": {"name": name, "labels": {"bivouac.dev/guardrail": "false"}},
        });
        for (method, body) in [("PATCH", &change), ("DELETE", &Value::Null)] {
            let answer = world.as_user(&deployer, method, &at, body).await;
            let message = answer.body["message"].as_str().unwrap_or_default();
            assert_eq!(answer.code, 403, "{method} {kind} {name}: {message}");
            let policy = "ValidatingAdmissionPolicy 'bivouac-deployer'";
            assert!(message.contains(policy), "{method} {kind} {name}: {message}");
        }
    }
    // And it can't read those that are not for it.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "thief"}, "spec": {"containers": [
        {"name": "c", "image": "nginx:1", "envFrom": [{"secretRef": {"name": "bivouac-pull-x"}}]}]}});
    let at = format!("/api/v1/namespaces/{namespace}/pods/thief");
    let answer = world.as_user(&deployer, "PATCH", &at, &pod).await;
    let message = answer.body["message"].as_str().unwrap_or_default();
    assert!(message.contains("may not read Secrets of the service (env)"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_does_to_a_guardrail_is_put_back_and_the_bundle_is_not_touched() {
    let world = World::new(3).await;
    let (number, head) = world.camp("sparks").await;
    let before: Vec<_> = world.guardrails(number).await.into_iter().map(settled).collect();
    let bundle = world.versions_of_the_bundle(number).await;
    let quotas: Api<ResourceQuota> = world.in_camp(number);
    let networks: Api<NetworkPolicy> = world.in_camp(number);
    let bindings: Api<RoleBinding> = world.in_camp(number);
    let accounts: Api<ServiceAccount> = world.in_camp(number);
    let merge = |patch: Value| Patch::Merge(patch);
    let plain = PatchParams::default();
    quotas.delete("bivouac-quota", &DeleteParams::default()).await.expect("deleted");
    let open = merge(json!({"spec": {"egress": [{}], "podSelector": {"matchLabels": {"a": "b"}}}}));
    networks.patch("bivouac-network", &plain, &open).await.expect("opened");
    bindings.delete("bivouac-guardian", &DeleteParams::default()).await.expect("deleted");
    let token = merge(json!({"automountServiceAccountToken": true}));
    accounts.patch("default", &plain, &token).await.expect("changed");
    let limits: Api<LimitRange> = world.in_camp(number);
    let unmarked = merge(json!({"metadata": {"labels": {"bivouac.dev/guardrail": null}}}));
    limits.patch("bivouac-limits", &plain, &unmarked).await.expect("changed");
    world.sleep(Duration::from_secs(15)).await;

    let since = world.stage.clock.now();
    world.hint(number, "look").await;
    world
        .within(Duration::from_secs(30), "every guardrail is back", async || {
            let now: Vec<_> = world.guardrails(number).await.into_iter().map(settled).collect();
            (now == before).then_some(())
        })
        .await;
    world.ready(number, &head).await;
    assert_eq!(world.versions_of_the_bundle(number).await, bundle);
    let by_the_deployer = world
        .writes_since(since)
        .into_iter()
        .filter(|event| event.impersonated.is_some() && !event.resource.contains("reviews"));
    assert_eq!(by_the_deployer.count(), 0);

    // Nobody asks: the next look comes by itself.
    quotas.delete("bivouac-quota", &DeleteParams::default()).await.expect("deleted");
    world
        .within(Duration::from_secs(400), "the quota is back", async || {
            world.there::<ResourceQuota>(number, "bivouac-quota").await.map(|_| ())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_granted_secret_is_copied_and_copied_again_within_a_minute_and_goes_with_its_grant() {
    let world = World::new(4).await;
    world.secret("preview-db", "hearth").await;
    world.policy(json!({"secrets": [{"name": "db", "fromSecret": "preview-db"}]})).await;
    let (number, _) = world.camp("sparks").await;
    let copy = world.there::<Secret>(number, "db").await.expect("a copy");
    assert_eq!(password(&copy), "hearth");
    let bundle = world.versions_of_the_bundle(number).await;

    world.sleep(Duration::from_secs(100)).await;
    world.secret("preview-db", "embers").await;
    world
        .within(Duration::from_secs(60), "the copy is new", async || {
            let copy = world.there::<Secret>(number, "db").await?;
            (password(&copy) == "embers").then_some(())
        })
        .await;
    assert_eq!(world.versions_of_the_bundle(number).await, bundle);

    world.policy(json!({"secrets": []})).await;
    world
        .until("the copy is gone", async || {
            world.there::<Secret>(number, "db").await.is_none().then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_fork_gets_no_secret_and_no_internet_unless_the_repository_says_so() {
    let world = World::anywhere(5).await;
    for name in ["own", "everybodys", "regcred"] {
        world.secret(name, name).await;
    }
    world.policy(json!({
        "secrets": [{"name": "own", "fromSecret": "own"}, {"name": "shared", "fromSecret": "everybodys", "forks": true}],
        "isolation": {"imagePullSecrets": [{"name": "regcred"}]},
    })).await;
    let (trusted, _) = world.camp("sparks").await;
    let (fork, _) = world.approved_fork().await;
    for (number, is_fork) in [(trusted, false), (fork, true)] {
        assert_eq!(world.there::<Secret>(number, "own").await.is_none(), is_fork);
        assert!(world.there::<Secret>(number, "shared").await.is_some());
        let pull = world.there::<Secret>(number, "bivouac-pull-regcred").await;
        assert_eq!(pull.is_none(), is_fork);
        let account = world.there::<ServiceAccount>(number, "default").await.expect("there");
        assert_eq!(account.image_pull_secrets.unwrap_or_default().is_empty(), is_fork);
        assert_eq!(account.automount_service_account_token, Some(false));
        let network = world.there::<NetworkPolicy>(number, "bivouac-network").await.expect("there");
        let egress = serde_json::to_string(&network.spec).expect("JSON");
        assert_eq!(egress.contains("0.0.0.0/0"), !is_fork, "{egress}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_can_not_be_granted_is_told_and_a_bundle_may_not_take_its_name() {
    let world = World::anywhere(6).await;
    world.policy(json!({"secrets": [{"name": "db", "fromSecret": "preview-db"}]})).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let comment = world.told(number, "preview-db").await;
    assert!(comment.contains("it is not there"), "{comment}");
    assert!(world.namespace(number).await.is_none(), "nothing was made");
    world.secret("preview-db", "hearth").await;
    world.ready(number, &head).await;

    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: mine}\n";
    world.push("sparks", &one("deploy/preview/db.yaml", secret));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(comment.contains("put into the preview by the platform team"), "{comment}");
    let copy = world.there::<Secret>(number, "db").await.expect("the copy");
    assert_eq!(password(&copy), "hearth");
}

#[tokio::test(start_paused = true)]
async fn a_team_gets_its_role_in_each_camp_and_loses_it_with_the_entry() {
    let world = World::new(7).await;
    let access = json!([{"group": "acme:shop", "role": "view"}]);
    world.policy(json!({"isolation": {"access": access}})).await;
    let (number, _) = world.camp("sparks").await;
    let bound = async || {
        let bindings: Api<RoleBinding> = world.in_camp(number);
        let all = bindings.list(&kube::api::ListParams::default()).await.expect("a list");
        all.items.into_iter().find(|one| one.role_ref.name == "view")
    };
    let binding = bound().await.expect("a binding");
    let subjects = binding.subjects.expect("subjects");
    assert_eq!((subjects[0].kind.as_str(), subjects[0].name.as_str()), ("Group", "acme:shop"));
    let namespace = world.stage.namespace_of(number);
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": "ember", "groups": ["acme:shop"],
        "resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "pods"}}});
    let at = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    world.sleep(Duration::from_secs(5)).await;
    let answer = world.as_admin("POST", at, &review).await;
    assert_eq!(answer.body["status"]["allowed"], true);

    world.policy(json!({"isolation": {"access": []}})).await;
    world.until("the binding is gone", async || bound().await.is_none().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_over_quota_is_refused_whole_with_the_figure_and_fits_when_the_quota_is_raised() {
    let world = World::new(8).await;
    world.policy(json!({"isolation": {"quota": {"requests.cpu": "5m"}}})).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let comment = world.told(number, "### Preview is refused").await;
    let figure = "requests.cpu: the preview needs 10m, quota bivouac-quota allows 5m";
    assert!(comment.contains(figure), "{comment}");
    assert!(comment.contains("deploy/preview/web.yaml.hbs"), "{comment}");
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Refused));
    assert!(status.inventory.is_empty(), "{:?}", status.inventory);
    let by_the_deployer = |world: &World| {
        let audit = world.stage.cluster.audit().into_iter();
        let theirs = audit.filter(|event| {
            event.impersonated.is_some()
                && !matches!(event.verb.as_str(), "get" | "list" | "watch")
                && !event.resource.contains("reviews")
        });
        theirs.count()
    };
    assert_eq!(by_the_deployer(&world), 0, "nothing of the bundle was sent");

    // It stays so without a write.
    world.sleep(crate::support::SWEEP).await;
    let since = world.stage.clock.now();
    world.sleep(Duration::from_secs(700)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());

    world.policy(json!({"isolation": {"quota": {"requests.cpu": "1"}}})).await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn the_platform_teams_templates_stand_in_the_place_of_ours_in_camps_that_stand_too() {
    let world = World::new(9).await;
    let (number, head) = world.camp("sparks").await;
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: bivouac-quota}\nspec:\n  hard: {pods: '7', services.nodeports: '5'}\n";
    world.templates(json!({"resource-quota.yaml.hbs": quota})).await;
    let quota = world
        .within(Duration::from_secs(60), "the quota is theirs", async || {
            let quota = world.there::<ResourceQuota>(number, "bivouac-quota").await?;
            let hard = quota.spec?.hard?;
            (hard["pods"].0 == "7").then_some(hard)
        })
        .await;
    assert_eq!(quota.len(), 3, "{quota:?}");
    assert_eq!(
        (quota["services.nodeports"].0.as_str(), quota["services.loadbalancers"].0.as_str()),
        ("0", "0")
    );

    // One that opens what must stay shut is refused with its reason, and what stands goes on.
    world.templates(json!({"resource-quota.yaml.hbs": "# none\n"})).await;
    let comment = world.told(number, "ResourceQuota bivouac-quota is missing").await;
    assert!(comment.contains("resource-quota.yaml.hbs"), "{comment}");
    let (code, _) = world.page(number).await.expect("a page");
    assert_eq!(code, 200);
    world.templates(json!({})).await;
    world.ready(number, &head).await;
    world
        .until("the quota is ours", async || {
            let quota = world.there::<ResourceQuota>(number, "bivouac-quota").await?;
            (quota.spec?.hard?.len() == 9).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_right_that_the_service_lacks_is_told_in_one_sentence_before_anything_is_made() {
    let world = World::new(10).await;
    let roles: Api<ClusterRole> = Api::all(world.stage.admin.clone());
    let whole = roles.get("bivouac-guardian").await.expect("the role");
    let mut less = whole.clone();
    for rule in less.rules.as_mut().expect("rules") {
        if rule.resources.as_ref().is_some_and(|all| all.iter().any(|one| one == "networkpolicies"))
        {
            rule.verbs.retain(|verb| verb != "create" && verb != "patch");
        }
    }
    roles.replace("bivouac-guardian", &PostParams::default(), &less).await.expect("less");
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let comment = world.told(number, "the service may not create networkpolicies").await;
    let rule = r#"add to ClusterRole bivouac-guardian the rule {apiGroups: ["networking.k8s.io"], resources: [networkpolicies], verbs: [create, patch]}"#;
    assert!(comment.contains(rule), "{comment}");
    assert!(world.namespace(number).await.is_none(), "nothing was made");

    let mut whole = whole;
    whole.metadata.resource_version = None;
    roles.replace("bivouac-guardian", &PostParams::default(), &whole).await.expect("whole");
    world.hint(number, "again").await;
    world.ready(number, &head).await;
}
