//! Single requests and the words of their answers.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};

use super::*;
use crate::sandbox::cluster::api::FaultPlan;

#[tokio::test(start_paused = true)]
async fn kube_rs_creates_reads_lists_applies_and_deletes_in_process() {
    let server = server();
    let maps: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let map: ConfigMap = serde_json::from_value(config_map("one", "1")).expect("a config map");
    let made = maps.create(&PostParams::default(), &map).await.expect("created");
    assert!(made.metadata.uid.is_some() && made.metadata.resource_version.is_some());
    assert_eq!(maps.get("one").await.expect("there").data, map.data);
    let patch = Patch::Apply(config_map("two", "2"));
    maps.patch("two", &PatchParams::apply("me"), &patch).await.expect("applied");
    let all = maps.list(&ListParams::default()).await.expect("listed");
    let names: Vec<_> = all.items.iter().filter_map(|m| m.metadata.name.as_deref()).collect();
    assert_eq!(names, ["one", "two"]);
    maps.delete("one", &DeleteParams::default()).await.expect("deleted");
    assert!(maps.get_opt("one").await.expect("answered").is_none());
    let events = server.audit();
    let verbs: Vec<&str> = events.iter().map(|event| event.verb.as_str()).collect();
    assert_eq!(verbs, ["create", "get", "patch", "list", "delete", "get"]);
    assert_eq!(events.last().map(|event| event.code), Some(404));
}

#[tokio::test(start_paused = true)]
async fn refusals_have_the_real_words() {
    let server = server();
    let admin = Raw::admin(&server);
    let maps = "/api/v1/namespaces/default/configmaps";
    assert_eq!(admin.post(maps, &config_map("a", "1")).await.0, 201);
    let (_, live) = admin.get(&format!("{maps}/a")).await;
    let mut stale = live.clone();
    stale["metadata"]["resourceVersion"] = json!("1");
    for (answer, code, reason, message) in [
        (admin.get("/api/v1/namespaces/x").await, 404, "NotFound", "namespaces \"x\" not found"),
        (
            admin.post(maps, &config_map("a", "1")).await,
            409,
            "AlreadyExists",
            "configmaps \"a\" already exists",
        ),
        (
            admin.put(&format!("{maps}/a"), &stale).await,
            409,
            "Conflict",
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            admin.post("/api/v1/namespaces/x/configmaps", &config_map("a", "1")).await,
            404,
            "NotFound",
            "namespaces \"x\" not found",
        ),
        (
            Raw::user(&server, "ann", &[]).get("/apis/apps/v1/namespaces/b/deployments/web").await,
            403,
            "Forbidden",
            "deployments.apps \"web\" is forbidden: User \"ann\" cannot get resource \"deployments\" in API group \"apps\" in the namespace \"b\"",
        ),
        (
            Raw { server: server.clone(), token: "wrong".into() }.get("/api/v1/nodes").await,
            401,
            "Unauthorized",
            "Unauthorized",
        ),
        (
            admin
                .get(&format!("{maps}?resourceVersion=999&resourceVersionMatch=NotOlderThan"))
                .await,
            504,
            "Timeout",
            &format!(
                "Timeout: Too large resource version: 999, current: {}",
                live["metadata"]["resourceVersion"].as_str().unwrap_or_default()
            ),
        ),
    ] {
        assert_eq!((answer.0, answer.1["reason"].as_str()), (code, Some(reason)), "{}", answer.1);
        assert_eq!(answer.1["message"], *message);
    }
    let unknown = admin.get("/apis/nope/v1/things").await;
    assert_eq!(unknown, (404, json!("404 page not found\n")));
}

#[tokio::test(start_paused = true)]
async fn generation_counts_changes_of_the_spec_alone() {
    let server = server();
    let admin = Raw::admin(&server);
    let all = "/apis/apps/v1/namespaces/default/deployments";
    let web = format!("{all}/web");
    let (code, made) = admin.post(all, &deployment("web")).await;
    assert_eq!((code, &made["metadata"]["generation"]), (201, &json!(1)), "{made}");
    let (_, labelled) = admin.merge(&web, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(labelled["metadata"]["generation"], 1);
    let (code, status) = admin
        .merge(
            &format!("{web}/status"),
            &json!({"status": {"replicas": 1}, "spec": {"replicas": 9}}),
        )
        .await;
    assert_eq!(code, 200, "{status}");
    assert_eq!(
        (&status["metadata"]["generation"], &status["spec"]["replicas"]),
        (&json!(1), &json!(2))
    );
    let (code, scale) =
        admin.merge(&format!("{web}/scale"), &json!({"spec": {"replicas": 5}})).await;
    assert_eq!((code, &scale["kind"]), (200, &json!("Scale")), "{scale}");
    let (_, scaled) = admin.get(&web).await;
    assert_eq!(
        (&scaled["metadata"]["generation"], &scaled["spec"]["replicas"]),
        (&json!(2), &json!(5))
    );
    assert_eq!(scaled["status"]["replicas"], 1);
    let before = scaled["metadata"]["resourceVersion"].clone();
    let (_, same) = admin.merge(&web, &json!({"spec": {"replicas": 5}})).await;
    assert_eq!(same["metadata"]["resourceVersion"], before, "nothing changed, nothing was written");
    let (code, bad) =
        admin.merge(&web, &json!({"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}}}})).await;
    assert_eq!(code, 422, "{bad}");
    assert!(bad["message"].as_str().is_some_and(|m| m.ends_with("field is immutable")), "{bad}");
}

#[tokio::test(start_paused = true)]
async fn deletes_keep_preconditions_finalizers_and_propagation() {
    let server = server();
    let admin = Raw::admin(&server);
    let maps = "/api/v1/namespaces/default/configmaps";
    let a = format!("{maps}/a");
    let mut held = config_map("a", "1");
    held["metadata"]["finalizers"] = json!(["bivouac.dev/x"]);
    let (_, made) = admin.post(maps, &held).await;
    let wrong =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}});
    let (code, answer) = admin.send("DELETE", &a, "application/json", &wrong).await;
    assert_eq!(code, 409);
    assert_eq!(
        answer["message"],
        format!(
            "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (other) does not match the UID in record ({}). The object might have been deleted and then recreated",
            made["metadata"]["uid"].as_str().unwrap_or_default()
        )
    );
    let foreground = json!({"propagationPolicy": "Foreground"});
    let (code, pending) = admin.send("DELETE", &a, "application/json", &foreground).await;
    assert_eq!(code, 200);
    assert_eq!(pending["metadata"]["finalizers"], json!(["bivouac.dev/x", "foregroundDeletion"]));
    assert!(pending["metadata"]["deletionTimestamp"].is_string());
    let more = json!({"metadata": {"finalizers": ["bivouac.dev/x", "bivouac.dev/y"]}});
    assert_eq!(admin.merge(&a, &more).await.0, 422);
    let (code, last) = admin.merge(&a, &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(code, 200, "{last}");
    assert_eq!(admin.get(&a).await.0, 404);
    let (code, status) = {
        admin.post(maps, &config_map("b", "1")).await;
        admin.delete(&format!("{maps}/b")).await
    };
    assert_eq!(
        (code, &status["status"], &status["details"]["kind"]),
        (200, &json!("Success"), &json!("configmaps"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_ends_only_when_it_is_finalized() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({})).await;
    let (_, namespace) = admin.get("/api/v1/namespaces/camp").await;
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "camp");
    let (code, gone) = admin.delete("/api/v1/namespaces/camp").await;
    assert_eq!((code, &gone["status"]["phase"]), (200, &json!("Terminating")), "{gone}");
    let (code, refused) =
        admin.post("/api/v1/namespaces/camp/configmaps", &config_map("a", "1")).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "configmaps \"a\" is forbidden: unable to create new content in namespace camp because it is being terminated"
    );
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut done = gone.clone();
    done["spec"]["finalizers"] = json!([]);
    assert_eq!(admin.put("/api/v1/namespaces/camp/finalize", &done).await.0, 200);
    assert_eq!(admin.get("/api/v1/namespaces/camp").await.0, 404);
    assert_eq!(admin.delete("/api/v1/namespaces/default").await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_served_at_once_and_its_objects_go_with_it() {
    let server = server();
    let admin = Raw::admin(&server);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tents.camp.dev"},
        "spec": {
            "group": "camp.dev", "scope": "Namespaced",
            "names": {"plural": "tents", "kind": "Tent", "shortNames": ["tn"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer", "minimum": 1}},
                        "x-kubernetes-validations": [{"rule": "self.size < 9", "message": "too big a tent"}]},
                    "status": {"type": "object", "properties": {"up": {"type": "boolean"}}},
                }}},
            }],
        },
    });
    let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut broken = definition.clone();
    let schema = &mut broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["x-kubernetes-validations"][0]["rule"] = json!("self.size <");
    assert_eq!(admin.post(all, &broken).await.0, 422);
    let (code, made) = admin.post(all, &definition).await;
    assert_eq!(code, 201, "{made}");
    let established = made["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"));
    assert!(established, "{made}");
    let tents = "/apis/camp.dev/v1/namespaces/default/tents";
    let tent = |size: Value| json!({"apiVersion": "camp.dev/v1", "kind": "Tent", "metadata": {"name": "t"}, "spec": {"size": size, "extra": 1}, "status": {"up": true}});
    let (code, bad) = admin.post(tents, &tent(json!(0))).await;
    assert_eq!(code, 422, "{bad}");
    let (code, big) = admin.post(tents, &tent(json!(9))).await;
    assert_eq!(code, 422, "{big}");
    assert!(big["message"].as_str().is_some_and(|m| m.contains("too big a tent")), "{big}");
    let (code, good) = admin.post(tents, &tent(json!(3))).await;
    assert_eq!(code, 201, "{good}");
    assert_eq!(good["spec"], json!({"size": 3}), "unknown fields are pruned");
    assert!(good.get("status").is_none(), "status comes by its subresource");
    let (code, up) =
        admin.merge(&format!("{tents}/t/status"), &json!({"status": {"up": true}})).await;
    assert_eq!(
        (code, &up["status"]["up"], &up["metadata"]["generation"]),
        (200, &json!(true), &json!(1)),
        "{up}"
    );
    let (_, discovery) = admin.get("/apis/camp.dev/v1").await;
    assert_eq!(discovery["resources"][0]["shortNames"], json!(["tn"]));
    let (code, _) = admin.delete(&format!("{all}/tents.camp.dev")).await;
    assert_eq!(code, 200);
    assert_eq!(admin.get(tents).await.0, 404);
    assert_eq!(admin.get(&format!("{all}/tents.camp.dev")).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_objects() {
    let run = || async {
        let server = server();
        let admin = Raw::admin(&server);
        admin.namespace("camp", json!({})).await;
        let mut generated = pod("");
        generated["metadata"] = json!({"generateName": "p-"});
        admin.post("/api/v1/namespaces/camp/pods", &generated).await;
        admin.get("/api/v1/namespaces/camp/pods").await.1
    };
    let (one, two) = (run().await, run().await);
    assert_eq!(one.to_string(), two.to_string());
    assert!(one["items"][0]["metadata"]["uid"].is_string(), "{one}");
}

#[tokio::test(start_paused = true)]
async fn long_lists_come_in_pages_of_one_moment() {
    let server = server();
    let admin = Raw::admin(&server);
    let maps = "/api/v1/namespaces/default/configmaps";
    for name in ["a", "b", "c"] {
        admin.post(maps, &config_map(name, "1")).await;
    }
    let (_, first) = admin.get(&format!("{maps}?limit=2")).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    admin.delete(&format!("{maps}/c")).await;
    let next = first["metadata"]["continue"].as_str().expect("there is more");
    let (_, second) = admin.get(&format!("{maps}?limit=2&continue={next}")).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "c", "as it stood at the first page");
    server.compact();
    admin.post(maps, &config_map("d", "1")).await;
    let (code, expired) = admin.get(&format!("{maps}?limit=2&continue={next}")).await;
    assert_eq!((code, &expired["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn kube_rs_works_over_loopback_with_the_kubeconfig() {
    let server = server();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let serving = server.serve(listener).expect("listens");
    let text = server.kubeconfig(&serving.address().to_string(), &server.admin_token());
    let config = kube::config::Kubeconfig::from_yaml(&text).expect("a kubeconfig");
    let config =
        kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default())
            .await
            .expect("a config");
    let client = Client::try_from(config).expect("a client");
    assert_eq!(client.apiserver_version().await.expect("a version").minor, "37");
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let map: ConfigMap = serde_json::from_value(config_map("one", "1")).expect("a config map");
    maps.create(&PostParams::default(), &map).await.expect("created");
    let all = maps.list_metadata(&ListParams::default()).await.expect("listed");
    assert_eq!(all.items.len(), 1);
    serving.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_managers_field_is_a_conflict_until_forced() {
    let server = server();
    let admin = Raw::admin(&server);
    let a = "/api/v1/namespaces/default/configmaps/a";
    let (code, made) = admin.apply(a, "one", &config_map("a", "1")).await;
    assert_eq!(
        (code, &made["metadata"]["managedFields"][0]["manager"]),
        (201, &json!("one")),
        "{made}"
    );
    let (code, refused) = admin.apply(a, "two", &config_map("a", "2")).await;
    assert_eq!(code, 409);
    assert_eq!(refused["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.k");
    assert_eq!(refused["details"]["causes"][0]["field"], ".data.k");
    let (code, again) = admin.apply(a, "one", &config_map("a", "1")).await;
    assert_eq!(
        (code, &again["metadata"]["resourceVersion"]),
        (200, &made["metadata"]["resourceVersion"])
    );
    let (code, forced) = admin.apply(a, "two&force=true", &config_map("a", "2")).await;
    assert_eq!((code, &forced["data"]["k"]), (200, &json!("2")), "{forced}");
    let (code, missing) =
        admin.send("PATCH", a, "application/apply-patch+yaml", &config_map("a", "1")).await;
    assert_eq!(
        (code, &missing["message"]),
        (
            422,
            &json!(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
            )
        )
    );
}

#[tokio::test(start_paused = true)]
async fn the_fault_plan_refuses_and_loses_answers() {
    let server = server();
    let admin = Raw::admin(&server);
    let maps = "/api/v1/namespaces/default/configmaps";
    server.set_faults(FaultPlan { too_many: 1000, ..FaultPlan::default() });
    let (code, refused) = admin.get(maps).await;
    assert_eq!((code, &refused["details"]["retryAfterSeconds"]), (429, &json!(1)));
    server.set_faults(FaultPlan { lost_answers: 1000, ..FaultPlan::default() });
    assert_eq!(admin.post(maps, &config_map("a", "1")).await.0, 504);
    server.set_faults(FaultPlan::default());
    assert_eq!(admin.get(&format!("{maps}/a")).await.0, 200, "written all the same");
}

#[tokio::test(start_paused = true)]
async fn dry_runs_store_nothing_and_strict_bodies_name_what_is_wrong() {
    let server = server();
    let admin = Raw::admin(&server);
    let maps = "/api/v1/namespaces/default/configmaps";
    let (code, dry) = admin.post(&format!("{maps}?dryRun=All"), &config_map("a", "1")).await;
    assert_eq!((code, &dry["data"]["k"]), (201, &json!("1")));
    assert_eq!(admin.get(&format!("{maps}/a")).await.0, 404);
    let mut wrong = config_map("a", "1");
    wrong["datum"] = json!(1);
    let (code, refused) = admin.post(&format!("{maps}?fieldValidation=Strict"), &wrong).await;
    assert_eq!(code, 400);
    assert_eq!(
        refused["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"datum\""
    );
    for broken in [
        json!([]),
        json!("x"),
        json!({"kind": "ConfigMap"}),
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": 1, "data": []}),
    ] {
        let (code, answer) = admin.post(maps, &broken).await;
        assert!((400..=422).contains(&code), "{broken}: {answer}");
    }
    let (code, refused) = admin.get(&format!("{maps}?fieldSelector=data.k%3D1")).await;
    assert_eq!(code, 400);
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("Unable to find \"/v1, Resource=configmaps\"")
                && m.contains("\"data.k\" is not a known field selector")),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_eviction_obeys_the_disruption_budget() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.namespace("camp", json!({})).await;
    let pods = "/api/v1/namespaces/camp/pods";
    let mut labelled = pod("p");
    labelled["metadata"]["labels"] = json!({"app": "p"});
    assert_eq!(admin.post(pods, &labelled).await.0, 201);
    let target = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(admin.post(&format!("{pods}/p/binding"), &target).await.0, 201);
    admin.merge(&format!("{pods}/p/status"), &json!({"status": {"phase": "Running"}})).await;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}});
    assert_eq!(
        admin.post("/apis/policy/v1/namespaces/camp/poddisruptionbudgets", &budget).await.0,
        201
    );
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let (code, refused) = admin.post(&format!("{pods}/p/eviction"), &eviction).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["reason"]),
        (429, &json!("DisruptionBudget")),
        "{refused}"
    );
    let allow = json!({"status": {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}});
    let (code, answer) =
        admin.merge("/apis/policy/v1/namespaces/camp/poddisruptionbudgets/b/status", &allow).await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(admin.post(&format!("{pods}/p/eviction"), &eviction).await.0, 201);
    let (_, pod) = admin.get(&format!("{pods}/p")).await;
    assert_eq!(
        pod["metadata"]["deletionGracePeriodSeconds"], 30,
        "it runs on a node, so it has time to end"
    );
    let now = json!({"gracePeriodSeconds": 0});
    admin.send("DELETE", &format!("{pods}/p"), "application/json", &now).await;
    assert_eq!(admin.get(&format!("{pods}/p")).await.0, 404);
}
