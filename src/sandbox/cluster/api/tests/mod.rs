//! The server as its clients see it: kube-rs in process and over loopback, and the real kubectl.

mod admission;
mod kubectl;
mod policies;
mod requests;
mod watches;

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use super::{ApiServer, Options};
use crate::seams::{self, Body, Clock, Rng};

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time of our era")
}

fn server() -> ApiServer {
    ApiServer::new(Clock::simulated(start()), &Rng::seeded(7), Options::default())
}

/// A client that speaks raw HTTP in process.
struct Raw {
    server: ApiServer,
    token: String,
}

impl Raw {
    fn admin(server: &ApiServer) -> Self {
        Self { server: server.clone(), token: server.admin_token() }
    }

    fn user(server: &ApiServer, name: &str, groups: &[&str]) -> Self {
        Self { server: server.clone(), token: server.user_token(name, groups) }
    }

    async fn send(&self, method: &str, path: &str, content: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, content)
            .header(header::USER_AGENT, "tests/1")
            .body(seams::body(bytes))
            .expect("a request");
        self.request(request).await
    }

    async fn request(&self, request: Request<Body>) -> (u16, Value) {
        let mut transport = self.server.transport();
        let response =
            transport.ready().await.expect("ready").call(request).await.expect("answered");
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("whole").to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        (code, value)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "application/json", &Value::Null).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, "application/json", body).await
    }

    async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PUT", path, "application/json", body).await
    }

    async fn merge(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PATCH", path, "application/merge-patch+json", body).await
    }

    async fn apply(&self, path: &str, manager: &str, body: &Value) -> (u16, Value) {
        let path = format!("{path}?fieldManager={manager}");
        self.send("PATCH", &path, "application/apply-patch+yaml", body).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.send("DELETE", path, "application/json", &Value::Null).await
    }

    async fn namespace(&self, name: &str, labels: Value) {
        let (code, answer) = self
            .post(
                "/api/v1/namespaces",
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
            )
            .await;
        assert_eq!(code, 201, "{answer}");
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let (code, answer) =
            self.post(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &account).await;
        assert_eq!(code, 201, "{answer}");
    }
}

fn client(server: &ApiServer) -> Client {
    let token = format!("Bearer {}", server.admin_token());
    let service = tower::ServiceBuilder::new()
        .map_request(move |request: Request<kube::client::Body>| {
            let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let value = token.parse().expect("a token fits a header");
            request.headers_mut().insert(header::AUTHORIZATION, value);
            request
        })
        .service(server.transport());
    Client::new(service, "default")
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}})
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}]},
        }},
    })
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    })
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("within 30 s")
}
