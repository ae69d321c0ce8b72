//! Validating admission policies: (request, policies and bindings in force) → admitted, warned of or denied, in the words
//! of the real server. A policy is in force from the moment when it is stored. Pure, no I/O.

mod compile;
mod matching;
mod params;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::Value as Cel;
use serde_json::{Value, json};

use self::compile::Policy;
pub(crate) use self::request::{Operation, Review};
use super::cel::{Authorizer, Bindings};
use super::state::{Call, State};
use super::status::{ApiError, Cause, GroupResource};

const GROUP: &str = "admissionregistration.k8s.io";
const POLICIES: &str = "validatingadmissionpolicies";
const BINDINGS: &str = "validatingadmissionpolicybindings";
/// Longer messages are not shown.
const MESSAGE_LIMIT: usize = 5 * 1024;

/// The policies and bindings that are stored, compiled.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    policies: BTreeMap<String, Arc<Policy>>,
    bindings: BTreeMap<String, Arc<Value>>,
}

impl Policies {
    /// Takes note of a stored or (`None`) removed object, if it is a policy or a binding.
    pub(crate) fn update(
        &mut self,
        resource: &GroupResource,
        name: &str,
        object: Option<&Arc<Value>>,
    ) {
        if resource.group != GROUP {
            return;
        }
        match (resource.resource.as_str(), object) {
            (POLICIES, Some(object)) => {
                let (policy, _) = compile::compile(object);
                self.policies.insert(name.to_owned(), Arc::new(policy));
            }
            (POLICIES, None) => {
                self.policies.remove(name);
            }
            (BINDINGS, Some(object)) => {
                self.bindings.insert(name.to_owned(), Arc::clone(object));
            }
            (BINDINGS, None) => {
                self.bindings.remove(name);
            }
            _ => {}
        }
    }
}

/// What is wrong with a policy or a binding.
pub(crate) fn problems(resource: &GroupResource, object: &Value) -> Vec<Cause> {
    match (resource.group.as_str(), resource.resource.as_str()) {
        (GROUP, POLICIES) => compile::compile(object).1,
        (GROUP, BINDINGS) => compile::binding_problems(object),
        _ => Vec::new(),
    }
}

/// Policies do not judge themselves, so that a wrong one can be taken back; neither do they judge questions.
fn is_exempt(call: &Call) -> bool {
    let kind = &call.served.kind;
    match kind.group.as_str() {
        GROUP => matches!(
            kind.plural.as_str(),
            POLICIES | BINDINGS | "mutatingadmissionpolicies" | "mutatingadmissionpolicybindings"
        ),
        "authentication.k8s.io" | "authorization.k8s.io" => true,
        _ => false,
    }
}

/// What a policy decides about one request through one binding.
struct Decision {
    message: String,
    reason: &'static str,
}

/// Asks every policy that has a binding. Gives the warnings that the answer is to carry, or the first denial.
pub(crate) fn review(state: &State, call: &Call, review: &Review) -> Result<Vec<String>, ApiError> {
    let Policies { policies, bindings } = &state.policies;
    if policies.is_empty() || bindings.is_empty() || is_exempt(call) {
        return Ok(Vec::new());
    }
    let mut warnings = Vec::new();
    let mut denied: Option<(String, &'static str)> = None;
    for (name, policy) in policies {
        let own: Vec<_> = bindings
            .iter()
            .filter(|(_, binding)| binding["spec"]["policyName"] == name.as_str())
            .collect();
        if own.is_empty() {
            continue;
        }
        let Some(matched) = matching::matches(state, call, review, &policy.constraints) else {
            continue;
        };
        let subject = Subject::new(state, call, review, &matched);
        for (binding_name, binding) in own {
            let narrowed = &binding["spec"]["matchResources"];
            if !narrowed.is_null() && matching::matches(state, call, review, narrowed).is_none() {
                continue;
            }
            let intro = format!("ValidatingAdmissionPolicy '{name}' with binding '{binding_name}'");
            let decisions = match params::collect(state, policy, binding, call.namespace()) {
                Err(text) if policy.fails => vec![Decision {
                    message: format!("failed to configure binding: {text}"),
                    reason: "Invalid",
                }],
                Err(_) => Vec::new(),
                Ok(params) => {
                    params.iter().flat_map(|params| subject.decide(policy, params)).collect()
                }
            };
            let actions = binding["spec"]["validationActions"].as_array();
            let wants = |action: &str| actions.is_some_and(|all| all.iter().any(|a| a == action));
            for decision in decisions {
                if wants("Warn") {
                    warnings.push(format!("Validation failed for {intro}: {}", decision.message));
                }
                if wants("Deny") && denied.is_none() {
                    let text = format!("{intro} denied request: {}", decision.message);
                    denied = Some((text, decision.reason));
                }
            }
        }
    }
    match denied {
        None => Ok(warnings),
        Some((message, reason)) => Err(denial(call, review, &message, reason)),
    }
}

fn denial(call: &Call, review: &Review, message: &str, reason: &'static str) -> ApiError {
    let mut error = ApiError::forbidden(&call.resource(), review.shown_name(), message);
    error.reason = reason;
    error.code = match reason {
        "Unauthorized" => 401,
        "Forbidden" => 403,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    error.details.insert("causes".into(), json!([{"message": message}]));
    error
}

/// A request as expressions see it; its variables are bound when the first expression needs them.
struct Subject<'s> {
    state: &'s State,
    call: &'s Call,
    review: &'s Review<'s>,
    matched: &'s matching::Matched,
    request: Value,
}

impl<'s> Subject<'s> {
    fn new(
        state: &'s State,
        call: &'s Call,
        review: &'s Review<'s>,
        matched: &'s matching::Matched,
    ) -> Self {
        Self { state, call, review, matched, request: request::value(call, review, matched) }
    }

    /// Binds variables of the environment.
    fn bind(&self, names: &[String], params: &Value, bindings: &mut Bindings) {
        let object = |object: Option<&Value>| {
            object.map_or(Value::Null, |object| self.matched.present(self.call, object))
        };
        for name in names {
            match name.as_str() {
                "request" => bindings.bind(name, &self.request),
                "object" => bindings.bind(name, &object(self.review.object)),
                "oldObject" => bindings.bind(name, &object(self.review.old)),
                "namespaceObject" => {
                    bindings.bind(name, &request::namespace(self.state, self.call));
                }
                "params" => bindings.bind(name, params),
                "authorizer" => bindings.bind_value(name, self.authorizer().value()),
                "authorizer.requestResource" => {
                    let asked = request::attributes(self.call, self.review);
                    bindings.bind_value(name, self.authorizer().about(asked));
                }
                _ => {}
            }
        }
    }

    fn authorizer(&self) -> Authorizer {
        Authorizer { user: self.call.user.clone(), roles: Arc::clone(&self.call.rbac) }
    }

    /// The validations of a policy that do not hold.
    fn decide(&self, policy: &Policy, params: &Value) -> Vec<Decision> {
        let error = |message: String| {
            let decision = Decision { message, reason: "Invalid" };
            policy.fails.then_some(decision)
        };
        let mut bindings = Bindings::new();
        self.bind(&policy.first, params, &mut bindings);
        match policy.applies(&bindings) {
            Err(text) => return error(text).into_iter().collect(),
            Ok(false) => return Vec::new(),
            Ok(true) => {}
        }
        self.bind(&policy.then, params, &mut bindings);
        let mut known = Vec::new();
        let mut decisions = Vec::new();
        for validation in &policy.validations {
            policy.provide(&validation.expression, &mut bindings, &mut known);
            match validation.expression.run(&bindings) {
                Err(text) => decisions.extend(error(text)),
                Ok(Cel::Bool(true)) => {}
                Ok(_) => {
                    let made = validation.message_expression.as_ref().and_then(|expression| {
                        policy.provide(expression, &mut bindings, &mut known);
                        expression.run(&bindings).ok()
                    });
                    let message = validation.message(made.as_ref());
                    decisions.push(Decision { message, reason: validation.reason });
                }
            }
        }
        decisions
    }
}
