//! `authorizer`: what the sender of a request may do besides, by RBAC as it is in force.

use std::sync::Arc;

use cel::objects::Opaque;
use cel::{DeclarationError, Env, ExecutionError, Value as Cel};

use super::super::super::auth::authn;
use super::super::super::auth::rbac::{Attributes, Snapshot, User};
use super::{downcast, methods, no_overload, opaque, string};

/// Who asks, and by which roles he is judged.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    pub(crate) user: User,
    pub(crate) roles: Arc<Snapshot>,
}

impl PartialEq for Authorizer {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && Arc::ptr_eq(&self.roles, &other.roles)
    }
}

impl Eq for Authorizer {}

impl Opaque for Authorizer {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.authorization.Authorizer"
    }
}

/// A question that is being put together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    who: Authorizer,
    asked: Attributes,
}

impl Opaque for Question {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.authorization.ResourceCheck"
    }
}

/// Its answer.
#[derive(Debug, PartialEq, Eq)]
struct Decision(bool);

impl Opaque for Decision {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.authorization.Decision"
    }
}

impl Authorizer {
    /// As the value of the variable `authorizer`.
    pub(crate) fn value(self) -> Cel {
        opaque(self)
    }

    /// As the value of `authorizer.requestResource`: the question about the request's own resource.
    pub(crate) fn about(self, asked: Attributes) -> Cel {
        opaque(Question { who: self, asked })
    }
}

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    methods!(env,
        "serviceAccount" / 2 => service_account,
        "path" / 1 => path,
        "group" / 1 => group,
        "resource" / 1 => resource,
        "subresource" / 1 => subresource,
        "namespace" / 1 => namespace,
        "name" / 1 => name,
        "check" / 1 => check,
        "allowed" / 0 => allowed,
        "reason" / 0 => reason,
        "errored" / 0 => errored,
        "error" / 0 => reason,
    );
    Ok(())
}

fn this(arguments: &[Cel]) -> Result<&Authorizer, ExecutionError> {
    arguments.first().and_then(downcast::<Authorizer>).ok_or_else(|| no_overload(arguments))
}

fn service_account(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [_, Cel::String(namespace), Cel::String(name)] = arguments else {
        return Err(no_overload(arguments));
    };
    let user = authn::service_account(namespace, name, "");
    Ok(opaque(Authorizer { user, roles: Arc::clone(&this(arguments)?.roles) }))
}

fn path(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [_, Cel::String(path)] = arguments else { return Err(no_overload(arguments)) };
    let asked = Attributes { path: Some(path.to_string()), ..Attributes::default() };
    Ok(opaque(Question { who: this(arguments)?.clone(), asked }))
}

fn group(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [_, Cel::String(group)] = arguments else { return Err(no_overload(arguments)) };
    let asked = Attributes { group: group.to_string(), ..Attributes::default() };
    Ok(opaque(Question { who: this(arguments)?.clone(), asked }))
}

fn with(
    arguments: &[Cel],
    set: impl FnOnce(&mut Attributes, String),
) -> Result<Cel, ExecutionError> {
    let [question, Cel::String(word)] = arguments else { return Err(no_overload(arguments)) };
    let question = downcast::<Question>(question).ok_or_else(|| no_overload(arguments))?;
    let mut question = question.clone();
    set(&mut question.asked, word.to_string());
    Ok(opaque(question))
}

fn resource(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    with(arguments, |asked, word| asked.resource = word)
}

fn subresource(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    with(arguments, |asked, word| asked.subresource = word)
}

fn namespace(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    with(arguments, |asked, word| asked.namespace = word)
}

fn name(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    with(arguments, |asked, word| asked.name = word)
}

fn check(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [question, Cel::String(verb)] = arguments else { return Err(no_overload(arguments)) };
    let question = downcast::<Question>(question).ok_or_else(|| no_overload(arguments))?;
    let asked = Attributes { verb: verb.to_string(), ..question.asked.clone() };
    Ok(opaque(Decision(question.who.roles.allows(&question.who.user, &asked))))
}

fn decision(arguments: &[Cel]) -> Result<&Decision, ExecutionError> {
    arguments.first().and_then(downcast::<Decision>).ok_or_else(|| no_overload(arguments))
}

fn allowed(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(decision(arguments)?.0))
}

/// RBAC gives no reason that expressions could compare; neither does it fail.
fn reason(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    decision(arguments).map(|_| string(""))
}

fn errored(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    decision(arguments).map(|_| Cel::Bool(false))
}
