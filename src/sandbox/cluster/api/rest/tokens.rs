//! `/token` of service accounts, and tokens of people: (who, for how long) → bearer token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::super::auth::authn::{Token, service_account};
use super::super::auth::rbac::User;
use super::super::policy::{self, Review};
use super::super::state::{Call, State};
use super::super::status::{ApiError, Cause};

/// A token lives for an hour unless asked otherwise, and at least ten minutes.
const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;
const AUDIENCE: &str = "https://kubernetes.default.svc";

impl State {
    /// POST of a `TokenRequest`.
    pub(crate) fn token_request(
        &mut self,
        call: &mut Call,
        mut body: Value,
    ) -> Result<Value, ApiError> {
        let account = self.live(call)?;
        if !body.is_object() {
            return Err(ApiError::bad_request("the body is not an object"));
        }
        if !body["spec"].is_object() {
            body["spec"] = json!({});
        }
        let asked = Review { name: &call.path.name, ..Review::create(&body) };
        let asked = asked.of_body(["authentication.k8s.io", "v1", "TokenRequest"]);
        let warnings = policy::review(self, call, &asked)?;
        call.warnings.extend(warnings);
        let uid = account["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
        let problem = match seconds {
            s if s < LEAST_SECONDS => Some("may not specify a duration less than 10 minutes"),
            s if s > MOST_SECONDS => Some("may not specify a duration larger than 2^32 seconds"),
            _ => None,
        };
        if let Some(problem) = problem {
            let cause = Cause::invalid("spec.expirationSeconds", &json!(seconds), problem);
            return Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", &[cause]));
        }
        let audiences: Vec<String> =
            body["spec"]["audiences"].as_array().filter(|all| !all.is_empty()).map_or_else(
                || vec![AUDIENCE.to_owned()],
                |all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            );
        let end = call.now + Duration::seconds(seconds);
        let (namespace, name) = (call.path.namespace.clone(), call.path.name.clone());
        let claims = json!({
            "aud": audiences, "exp": end.timestamp(), "iat": call.now.timestamp(), "iss": AUDIENCE,
            "jti": self.rng.uuid().to_string(), "nbf": call.now.timestamp(),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
        });
        let token = Token {
            user: service_account(&namespace, &name, &uid),
            expires: Some(end),
            audiences: audiences.clone(),
            account: Some((namespace.clone(), name.clone(), uid)),
        };
        let text = self.mint(&claims, token);
        body["kind"] = json!("TokenRequest");
        body["apiVersion"] = json!("authentication.k8s.io/v1");
        body["metadata"] = json!({
            "name": name, "namespace": namespace,
            "creationTimestamp": call.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        });
        body["spec"]["audiences"] = json!(audiences);
        body["spec"]["expirationSeconds"] = json!(seconds);
        body["status"] = json!({
            "token": text, "expirationTimestamp": end.to_rfc3339_opts(SecondsFormat::Secs, true),
        });
        Ok(body)
    }

    /// A token that does not end, for a user of the sandbox.
    pub(crate) fn user_token(&mut self, user: User, now: DateTime<Utc>) -> String {
        let claims =
            json!({"sub": user.name, "iat": now.timestamp(), "jti": self.rng.uuid().to_string()});
        self.mint(
            &claims,
            Token { user, expires: None, audiences: vec![AUDIENCE.into()], account: None },
        )
    }

    /// Looks like a JWT, so that clients can read its claims; what it is worth is in our list alone.
    fn mint(&mut self, claims: &Value, token: Token) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signature: Vec<u8> = (0..4).flat_map(|_| self.rng.u64().to_be_bytes()).collect();
        let text = format!(
            "{}.{}.{}",
            part(br#"{"alg":"none","typ":"JWT"}"#),
            part(claims.to_string().as_bytes()),
            part(&signature)
        );
        self.tokens.insert(text.clone(), token);
        text
    }
}
