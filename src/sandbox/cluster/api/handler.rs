//! One request → one answer: who asks, may he, what does he want; then the store. Waits only for faults and bodies.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::seams::{self, Body};

use super::audit::AuditEvent;
use super::auth::authn;
use super::auth::rbac::{Attributes, User};
use super::faults::Fate;
use super::path::{self, Query, Target};
use super::status::{ApiError, GroupResource};
use super::{Shared, body, resources, roots};

/// An answer before it is bytes.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) content: Content,
    pub(crate) headers: Vec<(&'static str, String)>,
}

pub(crate) enum Content {
    Json(Value),
    /// Text with its content type.
    Text(String, &'static str),
    Stream(Body),
    Empty,
}

impl Answer {
    pub(crate) fn json(code: u16, value: Value) -> Self {
        Self { code, content: Content::Json(value), headers: Vec::new() }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { code: 200, content: Content::Text(text.into(), "text/plain"), headers: Vec::new() }
    }
}

/// A request whose sender is known.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) user: User,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The prefix by which a kubeconfig without TLS says who it is: kubectl sends no token over plain HTTP.
const USER_PREFIX: &str = "/user/";

/// Answers `request`.
pub(crate) async fn handle(shared: Arc<Shared>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let whole = parts.uri.path();
    let (token, path) = match whole.strip_prefix(USER_PREFIX) {
        Some(rest) => {
            let (token, path) = rest.split_once('/').unwrap_or((rest, ""));
            (Some(token.to_owned()), format!("/{path}"))
        }
        None => (None, whole.to_owned()),
    };
    let query = Query::parse(parts.uri.query());
    let target = path::parse(&path);
    let named = matches!(&target, Target::Resource(found) if !found.name.is_empty());
    let watch = query.flag("watch");
    let verb = match &target {
        Target::Resource(_) => {
            path::verb(&parts.method, named, watch && parts.method == Method::GET)
        }
        Target::Path(_) => path::path_verb(&parts.method),
    };
    let uri = parts.uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let mut event = AuditEvent {
        at: shared.clock.now(),
        user: String::new(),
        impersonated: None,
        verb: verb.to_owned(),
        group: String::new(),
        resource: String::new(),
        subresource: String::new(),
        namespace: String::new(),
        name: String::new(),
        dry_run: query.get("dryRun").is_some(),
        field_manager: query.get("fieldManager").unwrap_or_default().to_owned(),
        uri,
        code: 0,
    };
    if let Target::Resource(found) = &target {
        event.group.clone_from(&found.group);
        event.resource.clone_from(&found.resource);
        event.subresource.clone_from(&found.subresource);
        event.namespace.clone_from(&found.namespace);
        event.name.clone_from(&found.name);
    }
    let mut asked = Asked {
        method: parts.method,
        query,
        headers: parts.headers,
        user: User::default(),
        body: Bytes::new(),
    };
    let answer =
        serve(&shared, &mut asked, token.as_deref(), &target, verb, body, &mut event).await;
    let answer = answer.unwrap_or_else(|error| refusal(&error));
    event.code = answer.code;
    shared.lock().audit.add(event);
    into_response(answer)
}

async fn serve(
    shared: &Arc<Shared>,
    asked: &mut Asked,
    token: Option<&str>,
    target: &Target,
    verb: &'static str,
    incoming: Body,
    event: &mut AuditEvent,
) -> Result<Answer, ApiError> {
    let now = shared.clock.now();
    let sender = {
        let state = shared.lock();
        authn::authenticate(&asked.headers, token, &state.tokens, &state.store, now)?
    };
    event.user.clone_from(&sender.name);
    let fate = shared.fate(&sender.name, verb);
    if !fate.delay.is_zero() {
        shared.clock.sleep(fate.delay).await;
    }
    if let Some(refusal) = fate.refusal {
        return Err(refusal);
    }
    asked.user = acting_user(shared, &asked.headers, sender, event)?;
    asked.body = read(incoming).await?;
    authorise(shared, asked, target, verb)?;
    let Fate { lost, cut_after, .. } = fate;
    let answer = match target {
        Target::Path(path) => roots::answer(shared, asked, path),
        Target::Resource(found) => resources::answer(shared, asked, found, cut_after),
    };
    if lost && answer.is_ok() {
        return Err(ApiError::new(
            504,
            "Timeout",
            "Timeout: request did not complete within the allotted timeout",
        ));
    }
    answer
}

fn acting_user(
    shared: &Shared,
    headers: &HeaderMap,
    sender: User,
    event: &mut AuditEvent,
) -> Result<User, ApiError> {
    let Some(wanted) = authn::impersonation(headers)? else { return Ok(sender) };
    event.impersonated = Some(wanted.user.name.clone());
    let rbac = shared.lock().rbac(shared.clock.now());
    for need in &wanted.needs {
        if !rbac.allows(&sender, need) {
            let resource = GroupResource::new(&need.group, &need.combined());
            return Err(ApiError::forbidden(&resource, &need.name, &need.refusal(&sender)));
        }
    }
    Ok(wanted.user)
}

async fn read(mut incoming: Body) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame
            .map_err(|_| ApiError::bad_request("the body of the request could not be read"))?;
        if let Ok(data) = frame.into_data() {
            if read.len() + data.len() > body::LIMIT {
                return Err(ApiError::too_large(body::LIMIT));
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

fn authorise(shared: &Shared, asked: &Asked, target: &Target, verb: &str) -> Result<(), ApiError> {
    let mut attributes = Attributes { verb: verb.to_owned(), ..Attributes::default() };
    match target {
        Target::Path(path) => attributes.path = Some(path.clone()),
        Target::Resource(found) => {
            attributes.group.clone_from(&found.group);
            attributes.resource.clone_from(&found.resource);
            attributes.subresource.clone_from(&found.subresource);
            attributes.namespace.clone_from(&found.namespace);
            attributes.name.clone_from(&found.name);
            // Who asks for one object by a selector needs the right for that one.
            if matches!(verb, "list" | "watch" | "deletecollection") && found.name.is_empty() {
                let one = asked.query.get("fieldSelector").and_then(|text| {
                    text.split(',').find_map(|part| {
                        part.strip_prefix("metadata.name=").map(|name| name.trim_start_matches('='))
                    })
                });
                one.unwrap_or_default().clone_into(&mut attributes.name);
            }
        }
    }
    let rbac = shared.lock().rbac(shared.clock.now());
    if rbac.allows(&asked.user, &attributes) {
        return Ok(());
    }
    let resource = match target {
        Target::Path(_) => GroupResource::default(),
        Target::Resource(_) => GroupResource::new(&attributes.group, &attributes.resource),
    };
    Err(ApiError::forbidden(&resource, &attributes.name, &attributes.refusal(&asked.user)))
}

fn refusal(error: &ApiError) -> Answer {
    if error.plain {
        let text = format!("{}\n", error.message);
        return Answer {
            code: error.code,
            content: Content::Text(text, "text/plain; charset=utf-8"),
            headers: Vec::new(),
        };
    }
    let mut answer = Answer::json(error.status_code().as_u16(), error.to_value());
    if let Some(seconds) = error.retry_after {
        answer.headers.push(("retry-after", seconds.to_string()));
    }
    answer
}

fn into_response(answer: Answer) -> Response<Body> {
    let (body, content_type) = match answer.content {
        Content::Json(value) => (seams::body(value.to_string()), "application/json"),
        Content::Text(text, content_type) => (seams::body(text), content_type),
        Content::Stream(body) => (body, "application/json"),
        Content::Empty => (seams::body(Bytes::new()), ""),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(answer.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if !content_type.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert("cache-control", HeaderValue::from_static("no-cache, private"));
    for (name, value) in answer.headers {
        // Warnings carry text of the request; what cannot stand in a header is left out.
        if let Ok(value) = HeaderValue::from_str(&value) {
            if name == "content-type" {
                headers.insert(name, value);
            } else {
                headers.append(name, value);
            }
        }
    }
    response
}
