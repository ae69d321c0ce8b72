//! A policy object → compiled policy, and what is wrong with it, as the real server finds it at creation. Pure, no I/O.

use cel::Value as Cel;
use serde_json::{Value, json};

use super::super::cel::{Bindings, Program, Wanted};
use super::super::status::Cause;
use super::MESSAGE_LIMIT;
use super::request::{namespace_schema, request_schema};

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Policy {
    /// `spec.matchConstraints`.
    pub(super) constraints: Value,
    /// `spec.paramKind`.
    pub(super) param_kind: Value,
    /// An error denies.
    pub(super) fails: bool,
    conditions: Vec<Program>,
    variables: Vec<Variable>,
    pub(super) validations: Vec<Validation>,
    /// The variables of the environment that its conditions use; most requests are not its business and need no other.
    pub(super) first: Vec<String>,
    /// Those that only its other expressions use.
    pub(super) then: Vec<String>,
}

#[derive(Debug)]
struct Variable {
    /// As expressions name it: `variables.x`.
    name: String,
    program: Program,
}

#[derive(Debug)]
pub(super) struct Validation {
    pub(super) expression: Program,
    pub(super) message_expression: Option<Program>,
    text: String,
    said: String,
    pub(super) reason: &'static str,
}

impl Validation {
    /// What is said when it does not hold; `made` is what the message expression gave.
    pub(super) fn message(&self, made: Option<&Cel>) -> String {
        if let Some(Cel::String(made)) = made {
            let made = made.trim();
            if !made.is_empty() && !made.contains('\n') && made.len() <= MESSAGE_LIMIT {
                return made.to_owned();
            }
        }
        match self.said.trim() {
            "" => format!("failed expression: {}", self.text.trim()),
            said => said.to_owned(),
        }
    }
}

const PREFIX: &str = "variables.";

impl Policy {
    /// Whether all match conditions hold. One that is false ends it, whatever goes wrong in the others.
    pub(super) fn applies(&self, bindings: &Bindings) -> Result<bool, String> {
        let mut errors = Vec::new();
        for condition in &self.conditions {
            match condition.run(bindings) {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(text) => errors.push(text),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    /// Evaluates the variables that an expression needs, and those that they need, once.
    pub(super) fn provide(
        &self,
        program: &Program,
        bindings: &mut Bindings,
        known: &mut Vec<String>,
    ) {
        for name in program.uses(PREFIX) {
            if known.contains(&name) {
                continue;
            }
            known.push(name.clone());
            let Some(variable) = self.variables.iter().find(|v| v.name == name) else { continue };
            self.provide(&variable.program, bindings, known);
            match variable.program.run(bindings) {
                Ok(value) => bindings.bind_value(&name, value),
                Err(why) => {
                    let short = name.trim_start_matches(PREFIX);
                    let why = format!("composited variable {short:?} fails to evaluate: {why}");
                    bindings.fail(&name, why);
                }
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

const ENVIRONMENT: [&str; 4] = ["object", "oldObject", "request", "namespaceObject"];
const AUTHORIZER: [&str; 2] = ["authorizer", "authorizer.requestResource"];

/// What the expressions of one policy may use.
struct Compiler {
    request: Value,
    namespace: Value,
    has_params: bool,
    /// `variables.x`, in order; an expression knows those before it.
    variables: Vec<String>,
    causes: Vec<Cause>,
}

impl Compiler {
    /// Compiles one expression; a problem is noted as the field's.
    fn expression(
        &mut self,
        text: &str,
        field: &str,
        wanted: Wanted,
        (composed, authorizer): (bool, bool),
    ) -> Option<Program> {
        let mut declared: Vec<(&str, Option<&Value>)> = ENVIRONMENT
            .iter()
            .map(|name| match *name {
                "request" => (*name, Some(&self.request)),
                "namespaceObject" => (*name, Some(&self.namespace)),
                name => (name, None),
            })
            .collect();
        if self.has_params {
            declared.push(("params", None));
        }
        if authorizer {
            declared.extend(AUTHORIZER.iter().map(|name| (*name, None)));
        }
        if composed {
            declared.extend(self.variables.iter().map(|name| (name.as_str(), None)));
        }
        match Program::new(text, &declared, wanted) {
            Ok(program) => Some(program),
            Err(error) => {
                self.causes.push(Cause::invalid(field, &json!(text), &error.to_string()));
                None
            }
        }
    }
}

/// Compiles a policy. What can't be compiled is left out and noted.
pub(super) fn compile(object: &Value) -> (Policy, Vec<Cause>) {
    let spec = &object["spec"];
    let mut compiler = Compiler {
        request: request_schema(),
        namespace: namespace_schema(),
        has_params: spec["paramKind"].is_object(),
        variables: Vec::new(),
        causes: Vec::new(),
    };
    compiler.causes.extend(shape_problems(spec));
    let conditions = conditions(spec, &mut compiler);
    let variables = variables(spec, &mut compiler);
    let validations = validations(spec, &mut compiler);
    let first = names(conditions.iter());
    let mut then = names(variables.iter().map(|variable| &variable.program).chain(
        validations.iter().flat_map(|validation| {
            std::iter::once(&validation.expression).chain(&validation.message_expression)
        }),
    ));
    then.retain(|name| !first.contains(name));
    let policy = Policy {
        constraints: spec["matchConstraints"].clone(),
        param_kind: spec["paramKind"].clone(),
        fails: spec["failurePolicy"] != "Ignore",
        conditions,
        variables,
        validations,
        first,
        then,
    };
    (policy, compiler.causes)
}

/// The variables of the environment that these use.
fn names<'p>(programs: impl Iterator<Item = &'p Program>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in programs.flat_map(|program| program.uses("")) {
        if !name.starts_with(PREFIX) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn conditions(spec: &Value, compiler: &mut Compiler) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, condition) in spec["matchConditions"].as_array().into_iter().flatten().enumerate() {
        let at = format!("spec.matchConditions[{index}]");
        let name = text(&condition["name"]);
        if name.is_empty() {
            compiler.causes.push(Cause::required(&format!("{at}.name"), ""));
        } else if seen.contains(&name) {
            compiler.causes.push(Cause {
                reason: "FieldValueDuplicate".into(),
                field: format!("{at}.name"),
                message: format!("Duplicate value: {name:?}"),
            });
        }
        seen.push(name);
        let expression = text(&condition["expression"]).trim();
        if expression.is_empty() {
            compiler.causes.push(Cause::required(&format!("{at}.expression"), ""));
            continue;
        }
        // Conditions know no variables: whether the policy applies is asked before anything is computed.
        let field = format!("{at}.expression");
        programs.extend(compiler.expression(expression, &field, Wanted::Bool, (false, true)));
    }
    programs
}

fn variables(spec: &Value, compiler: &mut Compiler) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (index, variable) in spec["variables"].as_array().into_iter().flatten().enumerate() {
        let at = format!("spec.variables[{index}]");
        let (name, expression) = (text(&variable["name"]), text(&variable["expression"]));
        let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.trim().is_empty() {
            compiler.causes.push(Cause::required(&format!("{at}.name"), "name is not specified"));
        } else if !identifier {
            let field = format!("{at}.name");
            let words = "name is not a valid CEL identifier";
            compiler.causes.push(Cause::invalid(&field, &json!(name), words));
        }
        let field = format!("{at}.expression");
        if expression.trim().is_empty() {
            compiler.causes.push(Cause::required(&field, "expression is not specified"));
            continue;
        }
        let program = compiler.expression(expression, &field, Wanted::Anything, (true, true));
        let name = format!("{PREFIX}{name}");
        compiler.variables.push(name.clone());
        variables.extend(program.map(|program| Variable { name, program }));
    }
    variables
}

const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

fn validations(spec: &Value, compiler: &mut Compiler) -> Vec<Validation> {
    let mut validations = Vec::new();
    for (index, validation) in spec["validations"].as_array().into_iter().flatten().enumerate() {
        let at = format!("spec.validations[{index}]");
        let expression = text(&validation["expression"]);
        let field = format!("{at}.expression");
        let compiled = if expression.trim().is_empty() {
            compiler.causes.push(Cause::required(&field, "expression is not specified"));
            None
        } else {
            compiler.expression(expression, &field, Wanted::Bool, (true, true))
        };
        let message = text(&validation["messageExpression"]);
        let field = format!("{at}.messageExpression");
        let message_expression = if message.trim().is_empty() {
            if !message.is_empty() {
                let words = "must be non-empty if specified";
                compiler.causes.push(Cause::invalid(&field, &json!(message), words));
            }
            None
        } else {
            compiler.expression(message, &field, Wanted::String, (true, false))
        };
        let said = text(&validation["message"]);
        let field = format!("{at}.message");
        if !said.is_empty() && said.trim().is_empty() {
            let words = "message must be non-empty if specified";
            compiler.causes.push(Cause::invalid(&field, &json!(said), words));
        } else if said.trim().contains(['\n', '\r']) {
            let words = "message must not contain line breaks";
            compiler.causes.push(Cause::invalid(&field, &json!(said), words));
        }
        let reason = match validation["reason"].as_str() {
            None => Some("Invalid"),
            Some(word) => REASONS.iter().find(|reason| **reason == word).copied(),
        };
        if reason.is_none() {
            let field = format!("{at}.reason");
            compiler.causes.push(Cause::not_supported(&field, &validation["reason"], &REASONS));
        }
        validations.extend(compiled.map(|compiled| Validation {
            expression: compiled,
            message_expression,
            text: expression.to_owned(),
            said: said.to_owned(),
            reason: reason.unwrap_or("Invalid"),
        }));
    }
    validations
}

/// What is wrong with the parts of a policy that are no expressions.
fn shape_problems(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let failure = &spec["failurePolicy"];
    if !failure.is_null() && !matches!(failure.as_str(), Some("Fail" | "Ignore")) {
        causes.push(Cause::not_supported("spec.failurePolicy", failure, &["Fail", "Ignore"]));
    }
    if spec["paramKind"].is_object() {
        for key in ["apiVersion", "kind"] {
            if text(&spec["paramKind"][key]).is_empty() {
                causes.push(Cause::required(&format!("spec.paramKind.{key}"), ""));
            }
        }
    }
    if spec["matchConstraints"].is_null() {
        causes.push(Cause::required("spec.matchConstraints", ""));
    } else {
        causes.extend(resources_problems(&spec["matchConstraints"], "spec.matchConstraints"));
        if is_empty(&spec["matchConstraints"]["resourceRules"]) {
            causes.push(Cause::required("spec.matchConstraints.resourceRules", ""));
        }
    }
    if is_empty(&spec["validations"]) && is_empty(&spec["auditAnnotations"]) {
        for key in ["validations", "auditAnnotations"] {
            causes.push(Cause::required(
                &format!("spec.{key}"),
                "validations or auditAnnotations must contain at least one item",
            ));
        }
    }
    causes
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn resources_problems(resources: &Value, at: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let policy = &resources["matchPolicy"];
    if !policy.is_null() && !matches!(policy.as_str(), Some("Exact" | "Equivalent")) {
        let field = format!("{at}.matchPolicy");
        causes.push(Cause::not_supported(&field, policy, &["Equivalent", "Exact"]));
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in resources[key].as_array().into_iter().flatten().enumerate() {
            let at = format!("{at}.{key}[{index}]");
            for key in ["apiGroups", "apiVersions", "operations", "resources"] {
                if is_empty(&rule[key]) {
                    causes.push(Cause::required(&format!("{at}.{key}"), ""));
                }
            }
            for (index, operation) in
                rule["operations"].as_array().into_iter().flatten().enumerate()
            {
                let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
                if !known.iter().any(|known| operation == known) {
                    let field = format!("{at}.operations[{index}]");
                    causes.push(Cause::not_supported(&field, operation, &known));
                }
            }
            if let Some(scope) = rule["scope"].as_str()
                && !matches!(scope, "*" | "Cluster" | "Namespaced")
            {
                let field = format!("{at}.scope");
                let known = ["*", "Cluster", "Namespaced"];
                causes.push(Cause::not_supported(&field, &rule["scope"], &known));
            }
        }
    }
    causes
}

/// What is wrong with a binding.
pub(super) fn binding_problems(object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut causes = Vec::new();
    if text(&spec["policyName"]).is_empty() {
        causes.push(Cause::required("spec.policyName", ""));
    }
    let param = &spec["paramRef"];
    if param.is_object() {
        match (text(&param["name"]).is_empty(), param["selector"].is_object()) {
            (true, false) => causes.push(Cause::required(
                "spec.paramRef",
                "one of name or selector must be specified",
            )),
            (false, true) => {
                for key in ["name", "selector"] {
                    causes.push(Cause::forbidden(
                        &format!("spec.paramRef.{key}"),
                        "name and selector are mutually exclusive",
                    ));
                }
            }
            _ => {}
        }
        let action = &param["parameterNotFoundAction"];
        let field = "spec.paramRef.parameterNotFoundAction";
        match action.as_str() {
            None | Some("") => causes.push(Cause::required(field, "")),
            Some("Deny" | "Allow") => {}
            Some(_) => causes.push(Cause::not_supported(field, action, &["Deny", "Allow"])),
        }
    }
    if spec["matchResources"].is_object() {
        // The real server misspells the field in this place.
        causes.extend(resources_problems(&spec["matchResources"], "spec.matchResouces"));
    }
    let mut seen: Vec<&Value> = Vec::new();
    for (index, action) in spec["validationActions"].as_array().into_iter().flatten().enumerate() {
        let field = format!("spec.validationActions[{index}]");
        if !matches!(action.as_str(), Some("Deny" | "Warn" | "Audit")) {
            causes.push(Cause::not_supported(&field, action, &["Audit", "Deny", "Warn"]));
        }
        if seen.contains(&action) {
            causes.push(Cause {
                reason: "FieldValueDuplicate".into(),
                field,
                message: format!("Duplicate value: {action}"),
            });
        }
        seen.push(action);
    }
    if seen.is_empty() {
        causes.push(Cause::required(
            "spec.validationActions",
            "at least one validation action is required",
        ));
    }
    if seen.iter().any(|a| *a == "Deny") && seen.iter().any(|a| *a == "Warn") {
        causes.push(Cause::invalid(
            "spec.validationActions",
            &spec["validationActions"],
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
        ));
    }
    causes
}
