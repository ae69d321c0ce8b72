//! What becomes of a container that nobody runs: decided from its image, its command and annotations of its pod. Pure.

use std::time::Duration;

use serde_json::Value;

use super::super::controllers::kit::json;

/// Annotation: when containers get ready after their start: `never`, or a time such as `500ms`, `5s`, `1m`.
pub const READY: &str = "sandbox.bivouac.dev/ready";
/// Annotation: the first container fails this many times before it runs, or `always`.
pub const CRASH: &str = "sandbox.bivouac.dev/crash";
/// Annotation: the exit code of such a failure; 1 when it is missing.
pub const EXIT_CODE: &str = "sandbox.bivouac.dev/exit-code";
/// Annotation: what the log of the pod says. The node writes it, unless the pod came with one. What the run before said is
/// in `sandbox.bivouac.dev/previous-log`, when the pod came with that.
pub const LOG: &str = "sandbox.bivouac.dev/log";

/// What becomes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its image can't be had.
    NoImage,
    /// Its image's name is none.
    BadImage,
    /// It runs until it is stopped.
    Runs,
    /// It ends by itself.
    Ends {
        /// Exit code.
        code: i64,
        /// After this time; `None` says as soon as usual.
        after: Option<Duration>,
    },
}

/// The fate of a container at its `restarts`-th restart.
pub(super) fn fate(pod: &Value, container: &Value, first: bool, restarts: i64) -> Fate {
    let image = json::text(container, "/image");
    if image.is_empty() || image.contains(char::is_whitespace) || image.contains("://") {
        return Fate::BadImage;
    }
    if image.contains("does-not-exist") || tag(image) == Some("missing") {
        return Fate::NoImage;
    }
    if first && let Some(crashes) = json::annotation(pod, CRASH) {
        let fails = crashes == "always" || crashes.parse::<i64>().is_ok_and(|n| restarts < n);
        if fails {
            let code = json::annotation(pod, EXIT_CODE).and_then(|c| c.parse().ok()).unwrap_or(1);
            return Fate::Ends { code, after: None };
        }
    }
    if let Some(ends) = script_end(&script(container)) {
        return ends;
    }
    match json::text(pod, "/spec/restartPolicy") {
        "Never" | "OnFailure" => Fate::Ends { code: 0, after: None },
        _ => Fate::Runs,
    }
}

/// The fate of an init container: it ends well when nothing says otherwise.
pub(super) fn init_fate(pod: &Value, container: &Value) -> Fate {
    let is_sidecar = json::text(container, "/restartPolicy") == "Always";
    match fate(pod, container, false, 0) {
        Fate::Runs if !is_sidecar => Fate::Ends { code: 0, after: None },
        Fate::Ends { code: 0, .. } if is_sidecar => Fate::Runs,
        other => other,
    }
}

/// The tag of an image's name.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').map(|(_, tag)| tag)
}

fn script(container: &Value) -> String {
    words(json::list(container, "/command").iter().chain(json::list(container, "/args")))
}

fn words<'a>(parts: impl Iterator<Item = &'a Value>) -> String {
    parts.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

/// How a script ends, when its last statement says so: `exit 3`, `false`, `true`, `sleep 5`.
fn script_end(script: &str) -> Option<Fate> {
    let statements: Vec<&str> = script
        .split([';', '\n'])
        .flat_map(|s| s.split("&&"))
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .collect();
    let bare = |statement: &str| -> Vec<String> {
        let words = statement.split_whitespace();
        // `sh -c "exit 1"` arrives as three words of a list.
        words
            .skip_while(|w| {
                matches!(w.rsplit('/').next(), Some("sh" | "bash" | "ash")) || w.starts_with('-')
            })
            .map(str::to_owned)
            .collect()
    };
    let code = match bare(statements.last()?).iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["exit", code] => code.parse().ok()?,
        ["exit" | "true" | "/bin/true"] => 0,
        ["false" | "/bin/false"] => 1,
        ["sleep", time] => {
            seconds(time)?;
            0
        }
        _ => return None,
    };
    let slept: Duration = statements
        .iter()
        .filter_map(|s| match bare(s).iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["sleep", time] => seconds(time),
            _ => None,
        })
        .sum();
    Some(Fate::Ends { code, after: (!slept.is_zero()).then_some(slept) })
}

/// A time as `sleep` takes it; `infinity` is none.
fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last()),
        None => (text, None),
    };
    let factor = match unit {
        Some('m') => 60.0,
        Some('h') => 3600.0,
        Some('d') => 86_400.0,
        _ => 1.0,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * factor).ok()
}

/// How long after its start a container gets ready; `None` says never.
pub(super) fn ready_after(pod: &Value, container: &Value, usual: Duration) -> Option<Duration> {
    match json::annotation(pod, READY) {
        Some("never" | "false") => return None,
        Some(text) => {
            let millis = text.strip_suffix("ms").and_then(|t| t.parse().ok());
            return Some(
                millis.map(Duration::from_millis).or_else(|| seconds(text)).unwrap_or(usual),
            );
        }
        None => {}
    }
    let probe = words(json::list(container, "/readinessProbe/exec/command").iter());
    match script_end(&probe) {
        Some(Fate::Ends { code, .. }) if code != 0 => None,
        _ => Some(usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(image: &str, command: &[&str], policy: &str) -> Fate {
        let pod = json!({ "spec": { "restartPolicy": policy } });
        fate(&pod, &json!({ "image": image, "command": command }), true, 0)
    }

    #[test]
    fn images_decide_first() {
        for (image, expected) in [
            ("nginx", Fate::Runs),
            ("nginx:1.27", Fate::Runs),
            ("registry:5000/nginx", Fate::Runs),
            ("nginx:missing", Fate::NoImage),
            ("ghcr.io/acme/does-not-exist:1", Fate::NoImage),
            ("registry:5000/a/missing", Fate::Runs),
            ("", Fate::BadImage),
            ("https://x/y", Fate::BadImage),
        ] {
            assert_eq!(of(image, &[], "Always"), expected, "{image}");
        }
    }

    #[test]
    fn the_last_statement_decides_how_a_script_ends() {
        let ends =
            |code, secs| Fate::Ends { code, after: (secs > 0).then(|| Duration::from_secs(secs)) };
        for (command, expected) in [
            (&["sh", "-c", "exit 1"][..], ends(1, 0)),
            (&["/bin/sh", "-ec", "echo a; sleep 5; exit 3"], ends(3, 5)),
            (&["false"], ends(1, 0)),
            (&["/bin/true"], ends(0, 0)),
            (&["sleep", "2m"], ends(0, 120)),
            (&["sleep", "infinity"], Fate::Runs),
            (&["sh", "-c", "test -f x || exit 1"], Fate::Runs),
            (&["sh", "-c", "if true; then exit 1; fi; nginx"], Fate::Runs),
            (&["nginx", "-g", "daemon off;"], Fate::Runs),
        ] {
            assert_eq!(of("nginx", command, "Always"), expected, "{command:?}");
        }
        assert_eq!(of("nginx", &[], "Never"), ends(0, 0));
    }

    #[test]
    fn annotations_crash_a_number_of_times() {
        let pod = json!({ "metadata": { "annotations": { (CRASH): "2", (EXIT_CODE): "7" } }, "spec": {} });
        let container = json!({ "image": "nginx" });
        let crash = Fate::Ends { code: 7, after: None };
        assert_eq!(fate(&pod, &container, true, 1), crash);
        assert_eq!(fate(&pod, &container, true, 2), Fate::Runs);
        assert_eq!(fate(&pod, &container, false, 0), Fate::Runs);
    }

    #[test]
    fn readiness_follows_annotation_and_probe() {
        let usual = Duration::from_millis(200);
        let pod = |value: &str| json!({ "metadata": { "annotations": { (READY): value } } });
        assert_eq!(ready_after(&pod("never"), &json!({}), usual), None);
        assert_eq!(ready_after(&pod("5s"), &json!({}), usual), Some(Duration::from_secs(5)));
        assert_eq!(ready_after(&pod("50ms"), &json!({}), usual), Some(Duration::from_millis(50)));
        let failing =
            json!({ "readinessProbe": { "exec": { "command": ["sh", "-c", "exit 1"] } } });
        assert_eq!(ready_after(&json!({}), &failing, usual), None);
        assert_eq!(ready_after(&json!({}), &json!({}), usual), Some(usual));
    }
}
