//! PURE · the buttons of a check run, within GitHub's limits: three, label 20, description 40, identifier 20 characters.

use serde::Serialize;

use super::{Row, Standing};

/// GitHub's limit for a label and for an identifier, in characters.
const SHORT: usize = 20;

/// A button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// What stands on it.
    pub label: String,
    /// What it does.
    pub description: &'static str,
    /// What comes back when somebody presses it: verb and number of the pull request.
    pub identifier: String,
}

const REDEPLOY: (&str, &str) = ("Redeploy", "Render and apply this commit again");
const EXTEND: (&str, &str) = ("Extend", "Let the preview live longer");
const DESTROY: (&str, &str) = ("Destroy", "Take the preview down");

/// Those of the first Environment that can be acted on: GitHub shows three in all. With several Environments the label
/// names the one.
pub(super) fn of(rows: &[&Row]) -> Vec<Action> {
    let Some((row, verbs)) = rows
        .iter()
        .filter(|row| row.branch.is_none())
        .find_map(|row| Some((row, verbs(row.standing))).filter(|(_, v)| !v.is_empty()))
    else {
        return Vec::new();
    };
    let action = |(verb, description): &(&str, &'static str)| Action {
        label: if rows.len() > 1 { format!("{verb} #{}", row.number) } else { (*verb).to_owned() },
        description,
        identifier: format!("{}:{}", verb.to_ascii_lowercase(), row.number),
    };
    let fits = |action: &Action| {
        action.label.chars().count() <= SHORT && action.identifier.chars().count() <= SHORT
    };
    verbs.iter().map(action).filter(fits).collect()
}

fn verbs(standing: Standing) -> &'static [(&'static str, &'static str)] {
    match standing {
        standing if standing.has_camp() => &[REDEPLOY, EXTEND, DESTROY],
        Standing::Failed | Standing::Refused => &[REDEPLOY, DESTROY],
        _ => &[],
    }
}
