//! A request for a resource → the operation on it and the form of its answer.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, header};
use serde_json::{Value, json};

use super::auth::reviews::{self, Facts, is_review};
use super::handler::{Answer, Asked, Content};
use super::negotiate::{self, Form};
use super::path::ResourcePath;
use super::policy::{self, Operation, Review};
use super::rest::{DeleteOptions, Deleted, ListOptions, Selectors};
use super::schema::{FieldValidation, duplicate_fields};
use super::state::Call;
use super::status::{ApiError, Cause, deleted};
use super::watch::{self, Watch};
use super::{Shared, body, logs, render};

/// Answers a request for a resource.
pub(crate) fn answer(
    shared: &Arc<Shared>,
    asked: &Asked,
    path: &ResourcePath,
    cut: Option<Duration>,
) -> Result<Answer, ApiError> {
    let mut call = understand(shared, asked, path)?;
    if path.subresource == "log" && asked.method == Method::GET {
        return logs::log(shared, &call);
    }
    let answer = dispatch(shared, asked, &mut call, cut);
    let warnings = std::mem::take(&mut call.warnings);
    answer.map(|mut answer| {
        answer.headers.extend(warnings.into_iter().map(|text| {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
            ("warning", format!("299 - \"{text}\""))
        }));
        answer
    })
}

fn understand(shared: &Shared, asked: &Asked, path: &ResourcePath) -> Result<Call, ApiError> {
    let now = shared.clock.now();
    let mut state = shared.lock();
    let served = state
        .kinds
        .find(&path.group, &path.version, &path.resource)
        .cloned()
        .ok_or_else(ApiError::no_such_path)?;
    let kind = &served.kind;
    if !kind.namespaced && !path.namespace.is_empty() && kind.plural != "namespaces" {
        return Err(ApiError::no_such_path());
    }
    if !path.subresource.is_empty() && !kind.has(&path.subresource) {
        return Err(ApiError::no_such_path());
    }
    let agent = asked.header(header::USER_AGENT).unwrap_or_default();
    let manager = asked.query.get("fieldManager").map_or_else(
        || agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned(),
        str::to_owned,
    );
    let invalid = |cause: Cause| ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[cause]);
    if manager.len() > 128 {
        return Err(invalid(Cause {
            reason: "FieldValueTooLong".into(),
            field: "fieldManager".into(),
            message: "Too long: may not be more than 128 bytes".into(),
        }));
    }
    let word = asked.query.get("fieldValidation").unwrap_or_default();
    let fields = FieldValidation::parse(word).ok_or_else(|| {
        invalid(Cause::not_supported(
            "fieldValidation",
            &word.into(),
            &["", "Ignore", "Strict", "Warn"],
        ))
    })?;
    let dry_run = dry_run(asked)?;
    let rbac = state.rbac(now);
    Ok(Call {
        user: asked.user.clone(),
        served,
        path: path.clone(),
        query: asked.query.clone(),
        content_type: asked.header(header::CONTENT_TYPE).map(str::to_owned),
        manager,
        fields,
        duplicates: duplicates(asked, fields),
        dry_run,
        now,
        rbac,
        warnings: Vec::new(),
    })
}

/// Patches are read by rules of their own.
fn duplicates(asked: &Asked, fields: FieldValidation) -> Vec<String> {
    let json = matches!(body::media(asked.header(header::CONTENT_TYPE)), "" | "application/json");
    if !json
        || fields == FieldValidation::Ignore
        || !matches!(asked.method, Method::POST | Method::PUT)
    {
        return Vec::new();
    }
    duplicate_fields(&asked.body).into_iter().map(|problem| problem.message).collect()
}

fn dry_run(asked: &Asked) -> Result<bool, ApiError> {
    let all = asked.query.all("dryRun");
    match all.iter().find(|word| *word != "All") {
        Some(_) => {
            let cause = Cause::not_supported("dryRun", &serde_json::json!(all), &["All"]);
            Err(ApiError::invalid("meta.k8s.io", "CreateOptions", "", &[cause]))
        }
        None => Ok(!all.is_empty()),
    }
}

fn dispatch(
    shared: &Arc<Shared>,
    asked: &Asked,
    call: &mut Call,
    cut: Option<Duration>,
) -> Result<Answer, ApiError> {
    let named = !call.path.name.is_empty();
    let kind = Arc::clone(&call.served.kind);
    let sub = call.path.subresource.clone();
    if matches!(sub.as_str(), "exec" | "attach" | "portforward" | "proxy")
        || !call.path.rest.is_empty()
    {
        connecting(shared, call)?;
        return Err(ApiError::not_implemented(&format!("{}/{sub}", kind.plural)));
    }
    if is_review(&kind.group, &kind.plural) {
        return review(shared, asked, call);
    }
    if !named
        && call.served.kind.namespaced
        && call.path.namespace.is_empty()
        && asked.method == Method::POST
    {
        return Err(ApiError::method_not_allowed(&call.resource()));
    }
    let list = !named && asked.method != Method::POST;
    let form = negotiate::form(asked.header(header::ACCEPT), list)?;
    match (asked.method.as_str(), named, sub.as_str()) {
        ("GET", _, "") if call.query.flag("watch") => watching(shared, call, form, cut),
        ("GET", true, "" | "status" | "approval") => {
            let object = shared.lock().live(call)?;
            Ok(Answer::json(200, render::object(call, form, &object)))
        }
        ("GET", true, "scale") => Ok(Answer::json(200, shared.lock().scale(call)?)),
        ("GET", false, "") => listing(shared, call, form),
        ("POST", false, "") => {
            let object = body::object(call.content_type.as_deref(), &asked.body)?;
            let mut state = shared.lock();
            if kind.plural == "bindings" {
                return Err(ApiError::not_implemented("POST of bindings; use pods/binding"));
            }
            let stored = state.create(call, object)?;
            drop(state);
            Ok(Answer::json(201, render::object(call, form, &stored)))
        }
        ("POST", true, "binding" | "eviction" | "token") => {
            let object = body::object(call.content_type.as_deref(), &asked.body)?;
            let mut state = shared.lock();
            let value = match sub.as_str() {
                "binding" => state.bind(call, &object)?,
                "eviction" => state.evict(call, &object)?,
                _ => state.token_request(call, object)?,
            };
            Ok(Answer::json(201, value))
        }
        ("PUT", true, "scale") => {
            Ok(Answer::json(200, shared.lock().set_scale(call, &asked.body, false)?))
        }
        ("PATCH", true, "scale") => {
            Ok(Answer::json(200, shared.lock().set_scale(call, &asked.body, true)?))
        }
        ("PUT", true, "finalize") => {
            let object = body::object(call.content_type.as_deref(), &asked.body)?;
            let stored = shared.lock().finalize(call, &object)?;
            Ok(Answer::json(200, render::object(call, form, &stored)))
        }
        ("PUT", true, _) => {
            let object = body::object(call.content_type.as_deref(), &asked.body)?;
            let (stored, new) = shared.lock().update(call, object)?;
            Ok(Answer::json(if new { 201 } else { 200 }, render::object(call, form, &stored)))
        }
        ("PATCH", true, _) => {
            let (stored, new) = shared.lock().patch(call, &asked.body)?;
            Ok(Answer::json(if new { 201 } else { 200 }, render::object(call, form, &stored)))
        }
        ("DELETE", _, "") => deleting(shared, asked, call, form),
        _ => Err(ApiError::method_not_allowed(&call.resource())),
    }
}

/// Admission policies judge a connection before it is made.
fn connecting(shared: &Shared, call: &mut Call) -> Result<(), ApiError> {
    let kind = match call.path.subresource.as_str() {
        "exec" => "PodExecOptions",
        "attach" => "PodAttachOptions",
        "portforward" => "PodPortForwardOptions",
        _ => "ProxyOptions",
    };
    let name = call.path.name.clone();
    let options = json!({"apiVersion": "v1", "kind": kind});
    let asked = Review {
        operation: Operation::Connect,
        object: Some(&options),
        old: None,
        name: &name,
        body: Some(["", "v1", kind]),
        whole: false,
    };
    let state = shared.lock();
    let warnings = policy::review(&state, call, &asked)?;
    call.warnings.extend(warnings);
    Ok(())
}

fn review(shared: &Shared, asked: &Asked, call: &Call) -> Result<Answer, ApiError> {
    if asked.method != Method::POST || !call.path.name.is_empty() {
        return Err(ApiError::method_not_allowed(&call.resource()));
    }
    let review = body::object(call.content_type.as_deref(), &asked.body)?;
    if !review.is_object() {
        return Err(ApiError::bad_request("the body is not an object"));
    }
    let state = shared.lock();
    let facts =
        Facts { snapshot: &call.rbac, tokens: &state.tokens, store: &state.store, now: call.now };
    let kind = &call.served.kind;
    reviews::answer(&facts, &call.user, &kind.plural, &call.path.namespace, review)
        .map(|value| Answer::json(201, value))
}

fn listing(shared: &Shared, call: &Call, form: Form) -> Result<Answer, ApiError> {
    let selectors = Selectors::parse(call, &call.query)?;
    let options = ListOptions::parse(&call.query)?;
    let page = shared.lock().list(call, &options, &selectors)?;
    Ok(Answer::json(200, render::list(call, form, &page)))
}

fn watching(
    shared: &Arc<Shared>,
    call: &Call,
    form: Form,
    cut: Option<Duration>,
) -> Result<Answer, ApiError> {
    let mut call = call.again();
    let mut query = call.query.clone();
    // A watch of one object by its path is a watch of the collection with a selector.
    if !call.path.name.is_empty() {
        query = query.with("fieldSelector", &format!("metadata.name={}", call.path.name));
        call.path.name = String::new();
    }
    let selectors = Selectors::parse(&call, &query)?;
    let options = ListOptions::parse(&query)?;
    let send_initial = query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
    let state = shared.lock();
    let from_start = matches!(options.version, None | Some(0));
    let wants_initial = send_initial.unwrap_or(from_start);
    if wants_initial {
        state.not_newer(options.version)?;
    }
    let (initial, seen) = if wants_initial {
        let page = state.list(&call, &ListOptions::default(), &selectors)?;
        (page.items, page.revision)
    } else if from_start {
        (Vec::new(), state.store.revision())
    } else {
        (Vec::new(), options.version.unwrap_or_default())
    };
    drop(state);
    let bookmarks = query.flag("allowWatchBookmarks");
    let timeout = query.number("timeoutSeconds")?.filter(|s| *s > 0).map(Duration::from_secs);
    let stream = watch::body(Watch {
        shared: Arc::clone(shared),
        call,
        selectors,
        form,
        bookmarks,
        seen,
        initial,
        marks_end: send_initial == Some(true) && bookmarks,
        timeout,
        cut,
    });
    Ok(Answer { code: 200, content: Content::Stream(stream), headers: Vec::new() })
}

fn deleting(
    shared: &Shared,
    asked: &Asked,
    call: &mut Call,
    form: Form,
) -> Result<Answer, ApiError> {
    let options = if asked.body.is_empty() {
        Value::Null
    } else {
        body::object(call.content_type.as_deref(), &asked.body)?
    };
    if options["dryRun"].as_array().is_some_and(|all| all.iter().any(|word| word == "All")) {
        call.dry_run = true;
    }
    let options = DeleteOptions::parse(&call.query, &options)?;
    let mut state = shared.lock();
    if call.path.name.is_empty() {
        let page = state.delete_collection(call, &options)?;
        drop(state);
        return Ok(Answer::json(200, render::list(call, form, &page)));
    }
    let outcome = state.delete(call, &options)?;
    drop(state);
    Ok(match outcome {
        Deleted::Pending(object) => Answer::json(200, render::object(call, form, &object)),
        Deleted::Gone(last) if returns_object(call) => {
            Answer::json(200, render::object(call, form, &last))
        }
        Deleted::Gone(last) => {
            let uid = last["metadata"]["uid"].as_str().unwrap_or_default();
            Answer::json(200, deleted(&call.resource(), &call.path.name, uid))
        }
    })
}

/// These kinds answer a delete with the object, the others with a `Status`.
fn returns_object(call: &Call) -> bool {
    let kind = &call.served.kind;
    kind.group.is_empty()
        && matches!(
            kind.plural.as_str(),
            "pods"
                | "podtemplates"
                | "serviceaccounts"
                | "services"
                | "resourcequotas"
                | "persistentvolumes"
                | "persistentvolumeclaims"
        )
}

impl Shared {
    /// What the fault plan has for a request.
    pub(crate) fn fate(&self, user: &str, verb: &str) -> super::faults::Fate {
        self.plan().fate(&self.fault_rng, user, verb)
    }
}
