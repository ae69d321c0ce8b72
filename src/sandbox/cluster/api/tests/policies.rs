//! Validating admission policies, request by request.

#![expect(clippy::too_many_lines, reason = "tables of requests")]

use super::*;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const MAPS: &str = "/api/v1/namespaces/camp/configmaps";

fn policy(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec["matchConstraints"].is_null() {
        spec["matchConstraints"] = json!({"resourceRules": [{
            "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"],
        }]});
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": spec,
    })
}

fn binding(name: &str, policy: &str, actions: &[&str]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": policy, "validationActions": actions},
    })
}

/// A policy `p`, bound by `b`.
async fn bound(admin: &Raw, spec: Value, actions: &[&str]) {
    let (code, answer) = admin.post(POLICIES, &policy("p", &spec)).await;
    assert_eq!(code, 201, "{answer}");
    let (code, answer) = admin.post(BINDINGS, &binding("b", "p", actions)).await;
    assert_eq!(code, 201, "{answer}");
}

async fn world() -> Raw {
    let admin = Raw::admin(&server());
    admin.namespace("camp", json!({"team": "red"})).await;
    admin
}

fn denial(answer: &Value) -> (&Value, &Value, &str) {
    (&answer["code"], &answer["reason"], answer["message"].as_str().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn a_denial_has_the_real_words_reason_and_code() {
    for (reason, code) in [
        (None, 422),
        (Some("Forbidden"), 403),
        (Some("Unauthorized"), 401),
        (Some("RequestEntityTooLarge"), 413),
    ] {
        let admin = world().await;
        let mut validation = json!({"expression": "object.data.k == 'good'", "message": "be good"});
        if let Some(reason) = reason {
            validation["reason"] = json!(reason);
        }
        let conditions =
            json!([{"name": "maps", "expression": "request.resource.resource == 'configmaps'"}]);
        bound(
            &admin,
            json!({"matchConditions": conditions, "validations": [validation]}),
            &["Deny"],
        )
        .await;
        assert_eq!(admin.post(MAPS, &config_map("a", "good")).await.0, 201);
        let (status, refused) = admin.post(MAPS, &config_map("b", "bad")).await;
        assert_eq!(status, code, "{refused}");
        let text = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: be good";
        assert_eq!(refused["message"], format!("configmaps \"b\" is forbidden: {text}"));
        assert_eq!(refused["reason"], reason.unwrap_or("Invalid"));
        assert_eq!(
            refused["details"],
            json!({"name": "b", "kind": "configmaps", "causes": [{"message": text}]})
        );
        assert_eq!(admin.get(&format!("{MAPS}/b")).await.0, 404, "nothing was stored");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_made_said_or_the_expression_itself() {
    for (validation, words) in [
        (json!({"messageExpression": "'no ' + object.metadata.name"}), "no x"),
        (json!({"messageExpression": "object.nothing", "message": " said "}), "said"),
        (json!({"messageExpression": "'a\\nb'", "message": "said"}), "said"),
        (json!({"messageExpression": "object.data.k + ''", "message": "said"}), "v"),
        (json!({}), "failed expression: !has(object.data)"),
    ] {
        let admin = world().await;
        let mut validation = validation;
        validation["expression"] = json!(" !has(object.data) ");
        bound(&admin, json!({"validations": [validation]}), &["Deny"]).await;
        let (_, refused) = admin.post(MAPS, &config_map("x", "v")).await;
        let message = refused["message"].as_str().expect("a message");
        assert_eq!(message.rsplit_once("denied request: ").map(|(_, words)| words), Some(words));
    }
}

/// One policy that says no with what it sees; each row is a request and what the expression gives on it.
#[tokio::test(start_paused = true)]
async fn every_operation_is_seen_as_it_is() {
    let admin = world().await;
    assert_eq!(admin.post(MAPS, &config_map("old", "v")).await.0, 201);
    let web = "/apis/apps/v1/namespaces/camp/deployments";
    assert_eq!(admin.post(web, &deployment("web")).await.0, 201);
    let pods = "/api/v1/namespaces/camp/pods";
    assert_eq!(admin.post(pods, &pod("p")).await.0, 201);
    let seen = "request.operation + ' ' + request.resource.resource + '/' + request.?subResource.orValue('-') + ' ' \
        + request.?name.orValue('-') + ' ' + request.?namespace.orValue('-') + ' ' + (object == null ? '-' : object.kind) + ' ' \
        + (oldObject == null ? '-' : oldObject.kind) + ' ' + request.kind.kind + ' ' + (namespaceObject == null ? '-' : \
        namespaceObject.metadata.labels.team) + (request.dryRun ? ' dry' : '')";
    let spec = json!({"validations": [{"expression": "request.userInfo.username != 'eve'", "messageExpression": seen}]});
    bound(&admin, spec, &["Deny"]).await;
    let eve = Raw::user(&admin.server, "eve", &["system:masters"]);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let token =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n2"}});
    let replicas = json!({"spec": {"replicas": 3}});
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let generated =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}});
    let apply = "application/apply-patch+yaml";
    let (json, merge) = ("application/json", "application/merge-patch+json");
    let map = config_map("new", "v");
    for (method, path, content, body, seen) in [
        (
            "POST",
            MAPS.to_owned(),
            json,
            &map,
            "CREATE configmaps/- new camp ConfigMap - ConfigMap red",
        ),
        (
            "POST",
            format!("{MAPS}?dryRun=All"),
            json,
            &map,
            "CREATE configmaps/- new camp ConfigMap - ConfigMap red dry",
        ),
        (
            "PATCH",
            format!("{MAPS}/new?fieldManager=m"),
            apply,
            &map,
            "CREATE configmaps/- new camp ConfigMap - ConfigMap red",
        ),
        (
            "PATCH",
            format!("{MAPS}/old"),
            merge,
            &label,
            "UPDATE configmaps/- old camp ConfigMap ConfigMap ConfigMap red",
        ),
        (
            "PATCH",
            format!("{MAPS}/old?fieldManager=m&force=true"),
            apply,
            &config_map("old", "w"),
            "UPDATE configmaps/- old camp ConfigMap ConfigMap ConfigMap red",
        ),
        (
            "PUT",
            format!("{MAPS}/old"),
            json,
            &config_map("old", "w"),
            "UPDATE configmaps/- old camp ConfigMap ConfigMap ConfigMap red",
        ),
        (
            "DELETE",
            format!("{MAPS}/old"),
            json,
            &Value::Null,
            "DELETE configmaps/- old camp - ConfigMap ConfigMap red",
        ),
        (
            "DELETE",
            format!("{MAPS}/old?dryRun=All"),
            json,
            &Value::Null,
            "DELETE configmaps/- old camp - ConfigMap ConfigMap red dry",
        ),
        (
            "DELETE",
            MAPS.to_owned(),
            json,
            &Value::Null,
            "DELETE configmaps/- - camp - ConfigMap ConfigMap red",
        ),
        (
            "PATCH",
            format!("{web}/web/scale"),
            merge,
            &replicas,
            "UPDATE deployments/scale web camp Scale Scale Scale red",
        ),
        (
            "PATCH",
            format!("{web}/web/status"),
            merge,
            &label,
            "UPDATE deployments/status web camp Deployment Deployment Deployment red",
        ),
        (
            "POST",
            format!("{pods}/p/binding"),
            json,
            &binding,
            "CREATE pods/binding p camp Binding - Binding red",
        ),
        (
            "POST",
            format!("{pods}/p/eviction"),
            json,
            &eviction,
            "CREATE pods/eviction p camp Eviction - Eviction red",
        ),
        (
            "POST",
            format!("{pods}/p/exec?command=sh"),
            json,
            &Value::Null,
            "CONNECT pods/exec p camp PodExecOptions - PodExecOptions red",
        ),
        (
            "POST",
            "/api/v1/namespaces/camp/serviceaccounts/default/token".to_owned(),
            json,
            &token,
            "CREATE serviceaccounts/token default camp TokenRequest - TokenRequest red",
        ),
        (
            "POST",
            "/api/v1/namespaces".to_owned(),
            json,
            &space,
            "CREATE namespaces/- n2 n2 Namespace - Namespace -",
        ),
        (
            "PATCH",
            "/api/v1/namespaces/camp".to_owned(),
            merge,
            &label,
            "UPDATE namespaces/- camp camp Namespace Namespace Namespace -",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/camp".to_owned(),
            json,
            &Value::Null,
            "DELETE namespaces/- camp camp - Namespace Namespace -",
        ),
    ] {
        let (code, refused) = eve.send(method, &path, content, body).await;
        let (_, reason, message) = denial(&refused);
        assert_eq!((code, reason), (422, &json!("Invalid")), "{method} {path}: {refused}");
        let said = message.rsplit_once("denied request: ").map_or("", |(_, said)| said);
        assert_eq!(said, seen, "{method} {path}");
    }
    let (_, refused) = eve.post(MAPS, &generated).await;
    let (_, _, message) = denial(&refused);
    assert!(message.contains("CREATE configmaps/- g-"), "the generated name is known: {message}");
    let (_, refused) = eve.delete(MAPS).await;
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("configmaps \"Unknown\" is forbidden")),
        "{refused}"
    );
    // Questions and the policies themselves are not judged; reading never is.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    assert_eq!(
        eve.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await.0,
        201
    );
    assert_eq!(eve.get(MAPS).await.0, 200);
    assert_eq!(eve.delete(&format!("{BINDINGS}/b")).await.0, 200);
    assert_eq!(eve.post(MAPS, &map).await.0, 201, "without its binding a policy does nothing");
}

#[tokio::test(start_paused = true)]
async fn an_impersonated_request_is_the_impersonated_users() {
    let admin = world().await;
    let spec = json!({"validations": [{"expression": "request.userInfo.username == 'x'", "messageExpression":
        "request.userInfo.username + ' ' + request.userInfo.groups.join(',') + ' ' + request.userInfo.?extra['k'].orValue([]).join(',')"}]});
    bound(&admin, spec, &["Deny"]).await;
    let request = Request::builder()
        .method(Method::POST)
        .uri(MAPS)
        .header(header::AUTHORIZATION, format!("Bearer {}", admin.token))
        .header(header::CONTENT_TYPE, "application/json")
        .header("Impersonate-User", "ann")
        .header("Impersonate-Group", "system:masters")
        .header("Impersonate-Extra-k", "v")
        .body(seams::body(config_map("a", "v").to_string()))
        .expect("a request");
    let (_, refused) = admin.request(request).await;
    let (_, _, message) = denial(&refused);
    assert!(
        message.ends_with("denied request: ann system:masters,system:authenticated v"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn rules_selectors_and_exclusions_choose_the_requests() {
    let no = json!([{"expression": "false"}]);
    let rule = |resources: &[&str]| json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": resources}]);
    let with = |key: &str, value: Value| {
        let mut constraints = json!({"resourceRules": rule(&["*"])});
        constraints[key] = value;
        constraints
    };
    let mut named = rule(&["configmaps"]);
    named[0]["resourceNames"] = json!(["a"]);
    let mut cluster = rule(&["*"]);
    cluster[0]["scope"] = json!("Cluster");
    let mut updates = rule(&["*"]);
    updates[0]["operations"] = json!(["UPDATE", "DELETE"]);
    let mut others = rule(&["*"]);
    others[0]["apiGroups"] = json!(["apps"]);
    let red = json!({"matchLabels": {"team": "red"}});
    let blue = json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["blue"]}]});
    let ours = json!({"matchLabels": {"app": "x"}});
    for (what, constraints, stopped) in [
        ("every kind", json!({"resourceRules": rule(&["*"])}), true),
        ("the kind", json!({"resourceRules": rule(&["configmaps"])}), true),
        ("another kind", json!({"resourceRules": rule(&["secrets"])}), false),
        ("a subresource", json!({"resourceRules": rule(&["configmaps/status"])}), false),
        ("the name", json!({"resourceRules": named}), true),
        ("cluster scope", json!({"resourceRules": cluster}), false),
        ("other operations", json!({"resourceRules": updates}), false),
        ("other group", json!({"resourceRules": others}), false),
        ("namespace selector", with("namespaceSelector", red), true),
        ("other namespaces", with("namespaceSelector", blue), false),
        ("labels that it lacks", with("objectSelector", ours), false),
        ("excluded", with("excludeResourceRules", rule(&["configmaps"])), false),
        ("something else excluded", with("excludeResourceRules", rule(&["secrets"])), true),
    ] {
        let admin = world().await;
        bound(&admin, json!({"matchConstraints": constraints, "validations": no}), &["Deny"]).await;
        let (code, answer) = admin.post(MAPS, &config_map("a", "v")).await;
        assert_eq!(code == 422, stopped, "{what}: {answer}");
    }
    let admin = world().await;
    bound(&admin, json!({"validations": no}), &["Deny"]).await;
    let mut narrow = binding("b", "p", &["Deny"]);
    narrow["spec"]["matchResources"] = json!({"objectSelector": {"matchLabels": {"app": "x"}}});
    let (code, answer) = admin.apply(&format!("{BINDINGS}/b"), "m", &narrow).await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(admin.post(MAPS, &config_map("a", "v")).await.0, 201, "the binding narrows it down");
}

#[tokio::test(start_paused = true)]
async fn another_version_of_the_same_kind_is_matched_and_converted() {
    let hpa = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80, "scaleTargetRef": {"kind": "Deployment", "name": "w", "apiVersion": "apps/v1"}},
    });
    let path = "/apis/autoscaling/v1/namespaces/camp/horizontalpodautoscalers";
    for (match_policy, stopped) in [("Equivalent", true), ("Exact", false)] {
        let admin = world().await;
        let constraints = json!({"matchPolicy": match_policy, "resourceRules": [{
            "apiGroups": ["autoscaling"], "apiVersions": ["v2"], "operations": ["CREATE"], "resources": ["horizontalpodautoscalers"],
        }]});
        let message = "request.resource.version + ' ' + request.requestResource.version + ' ' + object.apiVersion + ' ' + object.spec.metrics[0].type";
        bound(&admin, json!({"matchConstraints": constraints, "validations": [{"expression": "false", "messageExpression": message}]}), &["Deny"]).await;
        let (code, answer) = admin.post(path, &hpa).await;
        if stopped {
            let (_, _, message) = denial(&answer);
            assert!(
                message.ends_with("denied request: v2 v1 autoscaling/v2 Resource"),
                "{message}"
            );
        } else {
            assert_eq!(code, 201, "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn variables_are_composed_and_evaluated_only_where_they_are_needed() {
    let admin = world().await;
    let spec = json!({
        "variables": [
            {"name": "broken", "expression": "object.nothing.at.all"},
            {"name": "name", "expression": "object.metadata.name"},
            {"name": "loud", "expression": "variables.name.upperAscii()"},
        ],
        "validations": [
            {"expression": "request.name == 'fine' || variables.loud == 'OK'", "messageExpression": "'not ' + variables.loud"},
            {"expression": "object.metadata.name != 'asks' || variables.broken"},
        ],
    });
    bound(&admin, spec, &["Deny"]).await;
    assert_eq!(admin.post(MAPS, &config_map("fine", "v")).await.0, 201);
    let (_, refused) = admin.post(MAPS, &config_map("bad", "v")).await;
    assert!(denial(&refused).2.ends_with("denied request: not BAD"), "{refused}");
    let spec = json!({"variables": [{"name": "broken", "expression": "object.nothing.at.all"}], "validations": [{"expression": "variables.broken"}]});
    let admin = world().await;
    bound(&admin, spec, &["Deny"]).await;
    let (_, refused) = admin.post(MAPS, &config_map("asks", "v")).await;
    assert_eq!(
        denial(&refused).2,
        "configmaps \"asks\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: expression 'variables.broken' resulted in error: composited variable \"broken\" fails to evaluate: expression 'object.nothing.at.all' resulted in error: no such key: nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn errors_deny_or_pass_as_the_failure_policy_says() {
    let broken = "object.nothing";
    let conditions = |all: &[&str]| {
        let all: Vec<Value> = all
            .iter()
            .enumerate()
            .map(|(at, expression)| json!({"name": format!("c{at}"), "expression": expression}))
            .collect();
        json!(all)
    };
    for (what, failure, conditions, validation, stopped) in [
        ("a broken validation", "Fail", json!([]), "object.nothing == 1", true),
        ("a broken validation, ignored", "Ignore", json!([]), "object.nothing == 1", false),
        ("a denial is no error", "Ignore", json!([]), "false", true),
        ("a broken condition", "Fail", conditions(&[broken]), "true", true),
        ("a broken condition, ignored", "Ignore", conditions(&[broken]), "false", false),
        ("false ends it", "Fail", conditions(&[broken, "false"]), "false", false),
        ("conditions hold", "Fail", conditions(&["true", "request.name == 'a'"]), "false", true),
    ] {
        let admin = world().await;
        let spec = json!({"failurePolicy": failure, "matchConditions": conditions, "validations": [{"expression": validation}]});
        bound(&admin, spec, &["Deny"]).await;
        let (code, answer) = admin.post(MAPS, &config_map("a", "v")).await;
        assert_eq!(code == 422, stopped, "{what}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_warning_goes_into_a_header_and_an_audit_into_neither() {
    for (action, warned) in [("Warn", true), ("Audit", false)] {
        let admin = world().await;
        bound(
            &admin,
            json!({"validations": [{"expression": "false", "message": "mind \"it\""}]}),
            &[action],
        )
        .await;
        let request = Request::builder()
            .method(Method::POST)
            .uri(MAPS)
            .header(header::AUTHORIZATION, format!("Bearer {}", admin.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(seams::body(config_map("a", "v").to_string()))
            .expect("a request");
        let mut transport = admin.server.transport();
        let response =
            transport.ready().await.expect("ready").call(request).await.expect("answered");
        assert_eq!(response.status(), 201);
        let warning =
            response.headers().get("warning").map(|v| v.to_str().expect("text").to_owned());
        let expected = "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': mind \\\"it\\\"\"";
        assert_eq!(warning.as_deref(), warned.then_some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_may_not_be_is_refused_at_creation() {
    let admin = world().await;
    let one = |expression: &str| json!({"validations": [{"expression": expression}]});
    for (spec, field, words) in [
        (
            one("objekt.x == 1"),
            "spec.validations[0].expression",
            "compilation failed: undeclared reference to 'objekt' (in container '')",
        ),
        (
            one("object.x.frobnicate()"),
            "spec.validations[0].expression",
            "compilation failed: undeclared reference to 'frobnicate' (in container '')",
        ),
        (
            one("request.verb == 'x'"),
            "spec.validations[0].expression",
            "compilation failed: undefined field 'verb'",
        ),
        (
            one("request.userInfo.nmae == 'x'"),
            "spec.validations[0].expression",
            "compilation failed: undefined field 'nmae'",
        ),
        (
            one("namespaceObject.metadata.ownerReferences == []"),
            "spec.validations[0].expression",
            "compilation failed: undefined field 'ownerReferences'",
        ),
        (
            one("variables.x"),
            "spec.validations[0].expression",
            "compilation failed: undeclared reference to 'variables' (in container '')",
        ),
        (
            one("params.x"),
            "spec.validations[0].expression",
            "compilation failed: undeclared reference to 'params' (in container '')",
        ),
        (one("'text'"), "spec.validations[0].expression", "must evaluate to bool but got string"),
        (one("1 +"), "spec.validations[0].expression", "compilation failed: "),
        (
            json!({"variables": [{"name": "b", "expression": "variables.a"}, {"name": "a", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "spec.variables[0].expression",
            "compilation failed: undeclared reference to 'variables'",
        ),
        (
            json!({"variables": [{"name": "a", "expression": "1"}], "validations": [{"expression": "variables.b == 1"}]}),
            "spec.validations[0].expression",
            "compilation failed: undefined field 'b'",
        ),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "1 + 1"}]}),
            "spec.validations[0].messageExpression",
            "must evaluate to string but got int",
        ),
        (
            json!({"validations": [{"expression": "true", "reason": "Because"}]}),
            "spec.validations[0].reason",
            "Unsupported value: \"Because\"",
        ),
        (
            json!({"matchConditions": [{"name": "x", "expression": "'a'"}], "validations": [{"expression": "true"}]}),
            "spec.matchConditions[0].expression",
            "must evaluate to bool but got string",
        ),
        (
            json!({"matchConstraints": {}, "validations": [{"expression": "true"}]}),
            "spec.matchConstraints.resourceRules",
            "Required value",
        ),
        (
            json!({"validations": []}),
            "spec.validations",
            "validations or auditAnnotations must contain at least one item",
        ),
    ] {
        let (code, refused) = admin.post(POLICIES, &policy("p", &spec)).await;
        assert_eq!(code, 422, "{spec}: {refused}");
        let causes = refused["details"]["causes"].as_array().expect("causes");
        let cause = causes
            .iter()
            .find(|cause| cause["field"] == field)
            .unwrap_or_else(|| panic!("{field}: {refused}"));
        assert!(
            cause["message"].as_str().is_some_and(|text| text.contains(words)),
            "{spec}: {cause}"
        );
    }
    for (spec, field) in [
        (json!({"validationActions": ["Deny"]}), "spec.policyName"),
        (json!({"policyName": "p", "validationActions": []}), "spec.validationActions"),
        (
            json!({"policyName": "p", "validationActions": ["Deny", "Warn"]}),
            "spec.validationActions",
        ),
        (
            json!({"policyName": "p", "validationActions": ["Deny"], "paramRef": {"name": "x"}}),
            "spec.paramRef.parameterNotFoundAction",
        ),
    ] {
        let mut body = binding("b", "p", &["Deny"]);
        body["spec"] = spec.clone();
        let (code, refused) = admin.post(BINDINGS, &body).await;
        assert_eq!(code, 422, "{spec}: {refused}");
        assert!(
            refused["details"]["causes"]
                .as_array()
                .is_some_and(|all| all.iter().any(|c| c["field"] == field)),
            "{refused}"
        );
    }
    let (code, made) = admin.post(POLICIES, &policy("p", &one("true"))).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"]["failurePolicy"], "Fail");
    let constraints = &made["spec"]["matchConstraints"];
    assert_eq!(
        (&constraints["matchPolicy"], &constraints["namespaceSelector"]),
        (&json!("Equivalent"), &json!({}))
    );
    let (code, refused) =
        admin.merge(&format!("{POLICIES}/p"), &json!({"spec": one("nope")})).await;
    assert_eq!(code, 422, "a change is checked as well: {refused}");
}

#[tokio::test(start_paused = true)]
async fn parameters_come_from_the_object_that_the_binding_names() {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.metadata.name == 'limits' || object.data.k in params.data.allowed.split(',')", "messageExpression": "'only ' + params.data.allowed"}],
    });
    for (reference, outcome) in [
        (json!({"name": "limits", "parameterNotFoundAction": "Deny"}), Some("only a,b")),
        (
            json!({"name": "limits", "namespace": "camp", "parameterNotFoundAction": "Deny"}),
            Some("only a,b"),
        ),
        (
            json!({"selector": {"matchLabels": {"is": "limit"}}, "parameterNotFoundAction": "Deny"}),
            Some("only a,b"),
        ),
        (
            json!({"name": "none", "parameterNotFoundAction": "Deny"}),
            Some(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
            ),
        ),
        (json!({"name": "none", "parameterNotFoundAction": "Allow"}), None),
    ] {
        let admin = world().await;
        let limits = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limits", "labels": {"is": "limit"}}, "data": {"allowed": "a,b"}});
        assert_eq!(admin.post(MAPS, &limits).await.0, 201);
        assert_eq!(admin.post(POLICIES, &policy("p", &spec)).await.0, 201);
        let mut bind = binding("b", "p", &["Deny"]);
        bind["spec"]["paramRef"] = reference.clone();
        assert_eq!(admin.post(BINDINGS, &bind).await.0, 201);
        let (code, answer) = admin.post(MAPS, &config_map("x", "c")).await;
        match outcome {
            Some(words) => assert!(denial(&answer).2.ends_with(words), "{reference}: {answer}"),
            None => assert_eq!(code, 201, "{reference}: {answer}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_ask_what_the_sender_may_do_besides() {
    let admin = world().await;
    let spec = json!({"validations": [
        {"expression": "authorizer.group('').resource('secrets').namespace('camp').check('get').allowed()", "message": "no secrets"},
        {"expression": "!authorizer.requestResource.check('delete').allowed()", "message": "may delete"},
        {"expression": "authorizer.serviceAccount('camp', 'default').path('/metrics').check('get').allowed() == false"},
    ]});
    bound(&admin, spec, &["Deny"]).await;
    let (_, refused) = admin.post(MAPS, &config_map("a", "v")).await;
    assert!(denial(&refused).2.ends_with("may delete"), "{refused}");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "writer"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}],
    });
    // The administrator may delete, so the policy has to go before he may write.
    assert_eq!(admin.delete(&format!("{BINDINGS}/b")).await.0, 200);
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    assert_eq!(admin.post(roles, &role).await.0, 201);
    let bind = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "w"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "writer"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}],
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/camp/rolebindings";
    assert_eq!(admin.post(path, &bind).await.0, 201);
    assert_eq!(admin.post(BINDINGS, &binding("b", "p", &["Deny"])).await.0, 201);
    let ann = Raw::user(&admin.server, "ann", &[]);
    let (_, refused) = ann.post(MAPS, &config_map("a", "v")).await;
    assert!(denial(&refused).2.ends_with("no secrets"), "{refused}");
}
