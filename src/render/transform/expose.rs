//! PURE · `expose` of an app → the route from its host to a Service of the bundle: an Ingress, or an `HTTPRoute` when the
//! Repository names a Gateway.

use serde_json::{Value, json};

use crate::domain::bundle::{BundleObject, Origin, Wave};
use crate::domain::document::{Key, Node, NodeValue, Position};
use crate::domain::policy::{Gateway, Tls};
use crate::domain::positions::Positions;
use crate::domain::preview_file::{App, Expose, Header, PREVIEW_FILE, Port};
use crate::domain::render_inputs::RenderInputs;
use crate::render::{Place, RenderError, manifest, strings};

/// The route of `app`, when it wants one. `objects` are all of the bundle.
pub(crate) fn expose(
    objects: &[BundleObject],
    app: &App,
    index: usize,
    inputs: &RenderInputs,
    context: &Value,
) -> Result<Option<BundleObject>, RenderError> {
    let Some(expose) = &app.expose else { return Ok(None) };
    let at = format!("apps[{index}].expose");
    let port = port_of(objects, expose, &at)?;
    let host = inputs.host_of(&app.name);
    let mut json = match &inputs.rules.gateway {
        None => {
            if let Some(header) = expose.headers.first() {
                let message = format!(
                    "{at}.headers needs a Gateway, which the Repository does not name; an Ingress can't set headers"
                );
                return Err(wrong(header.position, message));
            }
            ingress(app, expose, &port, host, inputs)
        }
        Some(gateway) => {
            let headers = headers(&expose.headers, context, &at)?;
            http_route(app, expose, &port, host, gateway, &headers)
        }
    };
    if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".into(), inputs.namespace.as_str().into());
    }
    manifest::label(&mut json, &app.name, inputs);
    let positions = positions(expose.position, app.position);
    Ok(Some(BundleObject {
        json,
        origin: Origin { file: PREVIEW_FILE.to_owned(), line: expose.position.line },
        app: app.name.clone(),
        wave: Wave::Routes,
        positions,
    }))
}

/// The route stands where `expose` stands, and its name where the app's does; nothing else of it was written.
fn positions(route: Position, name: Position) -> Positions {
    let member = |key: &str, position, value, below| {
        let key = Key { name: key.to_owned(), position };
        NodeValue::Mapping(vec![(key, Node { value, position: below })])
    };
    let nothing = NodeValue::Scalar(Value::Null);
    let metadata = member("name", name, nothing, name);
    let none = Position::default();
    Node { value: member("metadata", none, metadata, none), position: route }.positions()
}

fn wrong(position: Position, message: String) -> RenderError {
    RenderError::PreviewFile { place: Place::at(PREVIEW_FILE, position), message }
}

/// A port that the Service has.
struct ServicePort {
    number: u64,
    name: Option<String>,
}

fn port_of(
    objects: &[BundleObject],
    expose: &Expose,
    at: &str,
) -> Result<ServicePort, RenderError> {
    let services: Vec<(String, &Value)> = objects
        .iter()
        .map(|object| (object.identity(), &object.json))
        .filter(|(identity, _)| identity.group.is_empty() && identity.kind == "Service")
        .map(|(identity, json)| (identity.name, json))
        .collect();
    let name = &expose.service;
    let Some((_, service)) = services.iter().find(|(found, _)| found == name) else {
        let mut names: Vec<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.truncate(10);
        let there = if names.is_empty() {
            "there is none".into()
        } else {
            format!("there are {}", names.join(", "))
        };
        let message = format!("{at}.service: the preview has no Service {name:?}; {there}");
        return Err(wrong(expose.service_position, message));
    };
    let ports: Vec<ServicePort> = service
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|port| {
            let name = port.get("name").and_then(Value::as_str).map(str::to_owned);
            Some(ServicePort { number: port.get("port")?.as_u64()?, name })
        })
        .collect();
    let known: Vec<String> = ports
        .iter()
        .take(10)
        .map(|port| match &port.name {
            Some(name) => format!("{} ({name})", port.number),
            None => port.number.to_string(),
        })
        .collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let found = match &expose.port {
        None if ports.len() == 1 => ports.into_iter().next(),
        None => {
            let message =
                format!("{at}: key \"port\" is missing; the Service {name:?} has these: {known}");
            return Err(wrong(expose.port_position, message));
        }
        Some(Port::Number(wanted)) => {
            ports.into_iter().find(|port| port.number == u64::from(*wanted))
        }
        Some(Port::Name(wanted)) => {
            ports.into_iter().find(|port| port.name.as_ref() == Some(wanted))
        }
    };
    found.ok_or_else(|| {
        let message =
            format!("{at}.port: the Service {name:?} has no such port; it has these: {known}");
        wrong(expose.port_position, message)
    })
}

fn ingress(
    app: &App,
    expose: &Expose,
    port: &ServicePort,
    host: &str,
    inputs: &RenderInputs,
) -> Value {
    let rules = &inputs.rules;
    let backend_port = match &port.name {
        Some(name) => json!({"name": name}),
        None => json!({"number": port.number}),
    };
    let mut spec = json!({
        "rules": [{
            "host": host,
            "http": {"paths": [{
                "path": expose.path,
                "pathType": "Prefix",
                "backend": {"service": {"name": expose.service, "port": backend_port}},
            }]},
        }],
    });
    if let Some(class) = &rules.ingress_class {
        spec["ingressClassName"] = class.as_str().into();
    }
    let mut metadata = json!({"name": app.name});
    match &rules.tls {
        Tls::PerHost { cluster_issuer } => {
            metadata["annotations"] = json!({"cert-manager.io/cluster-issuer": cluster_issuer});
            spec["tls"] = json!([{"hosts": [host], "secretName": format!("{}-tls", app.name)}]);
        }
        // Without a Secret's name the controller takes its own certificate.
        Tls::ControllerDefault if rules.https => spec["tls"] = json!([{"hosts": [host]}]),
        Tls::ControllerDefault | Tls::Gateway => {}
    }
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec})
}

fn http_route(
    app: &App,
    expose: &Expose,
    port: &ServicePort,
    host: &str,
    gateway: &Gateway,
    headers: &[Value],
) -> Value {
    let Gateway { namespace, name, section } = gateway;
    let mut parent = json!({"namespace": namespace, "name": name});
    if let Some(section) = section {
        parent["sectionName"] = section.as_str().into();
    }
    let mut rule = json!({
        "matches": [{"path": {"type": "PathPrefix", "value": expose.path}}],
        "backendRefs": [{"name": expose.service, "port": port.number}],
    });
    if !headers.is_empty() {
        rule["filters"] =
            json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}]);
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": app.name},
        "spec": {"parentRefs": [parent], "hostnames": [host], "rules": [rule]},
    })
}

fn headers(headers: &[Header], context: &Value, at: &str) -> Result<Vec<Value>, RenderError> {
    let mut filled = Vec::new();
    for Header { name, value, position } in headers {
        let what = format!("{at}.headers[{name:?}]");
        let value = strings::fill(value, context, &what, *position)?;
        if value.is_empty() || value.len() > 4096 || value.chars().any(char::is_control) {
            let message = format!("{what} must be one line of 1 to 4096 bytes");
            return Err(wrong(*position, message));
        }
        filled.push(json!({"name": name, "value": value}));
    }
    Ok(filled)
}
