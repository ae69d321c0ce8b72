//! PURE · the gate's cookies: their names, how they are found in a request, written into an answer, and kept out of what is
//! passed on in either direction.
//!
//! Over https they have the prefix `__Host-`, by which a browser takes them only from the host itself, over TLS and for all
//! paths: no neighbour can plant one. Over plain http, which is for localhost only, browsers would not take that prefix.

use chrono::TimeDelta;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// A request with more cookies of one name is answered as if it had these only.
const MOST: usize = 4;

/// One of the gate's cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// On a preview: who was let in.
    Session,
    /// On a preview: ties a sign-in under way to this browser.
    Begin,
    /// On the gate's host: ties a sign-in under way to this browser.
    SignIn,
}

const ALL: [Cookie; 3] = [Cookie::Session, Cookie::Begin, Cookie::SignIn];
const PREFIX: &str = "__Host-";

impl Cookie {
    fn plain(self) -> &'static str {
        match self {
            Self::Session => "bivouac",
            Self::Begin => "bivouac-begin",
            Self::SignIn => "bivouac-signin",
        }
    }

    fn name(self, secure: bool) -> String {
        let prefix = if secure { PREFIX } else { "" };
        format!("{prefix}{}", self.plain())
    }

    /// Its values in a request. There may be several when somebody planted one: whichever is ours counts.
    pub(super) fn values(self, headers: &HeaderMap, secure: bool) -> Vec<String> {
        let name = self.name(secure);
        let all = headers.get_all(COOKIE).iter().flat_map(|value| pairs(value.as_bytes()));
        let named = all.filter_map(|pair| {
            let (found, value) = pair.split_at_checked(pair.iter().position(|b| *b == b'=')?)?;
            (found == name.as_bytes()).then(|| String::from_utf8_lossy(&value[1..]).into_owned())
        });
        named.take(MOST).collect()
    }

    /// The header that sets it.
    pub(super) fn set(self, value: &str, life: TimeDelta, secure: bool) -> Option<HeaderValue> {
        let name = self.name(secure);
        let seconds = life.num_seconds();
        let more = if secure { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{more}");
        HeaderValue::from_str(&text).ok()
    }

    /// The header that takes it away.
    pub(super) fn clear(self, secure: bool) -> Option<HeaderValue> {
        self.set("", TimeDelta::zero(), secure)
    }
}

/// The cookies of a header, as servers read them: whatever is between semicolons, without blanks around it.
fn pairs(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// Is it the name of a cookie of ours, in any case of letters and with or without the prefix? Servers differ in what they
/// take for the same name; an app has no use for a name that is nearly ours.
fn is_ours(name: &[u8]) -> bool {
    let name = name.trim_ascii();
    let plain = match name.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX.as_bytes()) => rest,
        _ => name,
    };
    ALL.iter().any(|cookie| plain.eq_ignore_ascii_case(cookie.plain().as_bytes()))
}

/// The name of a cookie as a browser and a server may understand it: a cookie without a name whose value looks like
/// `name=value` is sent like one that has that name.
fn name_of(pair: &[u8]) -> &[u8] {
    let start = pair.iter().position(|b| *b != b'=' && !b.is_ascii_whitespace());
    let pair = &pair[start.unwrap_or(pair.len())..];
    let end = pair.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(pair.len());
    &pair[..end]
}

/// Takes our cookies out of a request; all others stay as they are.
pub(super) fn leave_out_of_request(headers: &mut HeaderMap) {
    if !headers
        .get_all(COOKIE)
        .iter()
        .any(|value| pairs(value.as_bytes()).any(|p| is_ours(name_of(p))))
    {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| {
            let kept: Vec<&[u8]> =
                pairs(value.as_bytes()).filter(|pair| !is_ours(name_of(pair))).collect();
            let value = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok();
            value.filter(|value| !value.is_empty())
        })
        .collect();
    headers.remove(COOKIE);
    for value in kept {
        headers.append(COOKIE, value);
    }
}

/// Takes out of an app's answer what would set, overwrite or delete a cookie of ours.
pub(super) fn leave_out_of_answer(headers: &mut HeaderMap) {
    if headers.contains_key(SET_COOKIE) {
        let kept: Vec<HeaderValue> = headers
            .get_all(SET_COOKIE)
            .iter()
            .filter(|value| !is_ours(name_of(value.as_bytes())))
            .cloned()
            .collect();
        headers.remove(SET_COOKIE);
        for value in kept {
            headers.append(SET_COOKIE, value);
        }
    }
    // With its cookies a browser would throw away those of all hosts of the domain, the neighbours' too.
    let clears = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.contains("cookies") || text.contains('*')
    };
    if headers.get_all("clear-site-data").iter().any(clears) {
        headers.remove("clear-site-data");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &http::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn left(headers: &HeaderMap, name: http::HeaderName) -> Vec<&str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn a_cookie_is_of_this_host_only_and_no_script_reads_it() {
        let life = TimeDelta::hours(8);
        assert_eq!(
            Cookie::Session.set("x.y", life, true).unwrap(),
            "__Host-bivouac=x.y; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            Cookie::Begin.set("x", life, false).unwrap(),
            "bivouac-begin=x; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            Cookie::SignIn.clear(true).unwrap(),
            "__Host-bivouac-signin=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(Cookie::Session.set("a\r\nb", life, true).is_none());
    }

    #[test]
    fn a_value_is_found_under_its_whole_name_only() {
        let values =
            |cookies: &[&str], secure| Cookie::Session.values(&with(&COOKIE, cookies), secure);
        assert_eq!(
            values(&["a=b; __Host-bivouac=one", "__Host-bivouac=two;c=d"], true),
            ["one", "two"]
        );
        assert_eq!(
            values(&["bivouac=planted; __Host-bivouac-begin=x; x__Host-bivouac=y"], true),
            [""; 0]
        );
        assert_eq!(values(&["__Host-bivouac=planted; bivouac=one"], false), ["one"]);
        let many = "__Host-bivouac=x; ".repeat(50);
        assert_eq!(values(&[&many], true).len(), MOST);
    }

    #[test]
    fn no_app_is_sent_a_cookie_of_ours_under_any_spelling() {
        for (sent, kept) in [
            (&["__Host-bivouac=s"][..], &[][..]),
            (&["a=1; __Host-bivouac=s; b=2"], &["a=1; b=2"]),
            (&["a=1;__host-BIVOUAC=s;b=\"x y\""], &["a=1; b=\"x y\""]),
            (&["__Host-bivouac=s", "a=1", "bivouac-begin=x; c"], &["a=1", "c"]),
            (&["=__Host-bivouac=s; a=1"], &["a=1"]),
            (&[" =  bivouac=s;a=1"], &["a=1"]),
            (&["__Host-bivouac; a=1"], &["a=1"]),
            (&["__Host-bivouac =s; a=1"], &["a=1"]),
            (&["my-bivouac=1; bivouac2=2"], &["my-bivouac=1; bivouac2=2"]),
            (&["a=1;;b=2"], &["a=1;;b=2"]),
        ] {
            let mut headers = with(&COOKIE, sent);
            leave_out_of_request(&mut headers);
            assert_eq!(left(&headers, COOKIE), kept, "{sent:?}");
        }
        let mut headers = with(&COOKIE, &["a=\u{e9}; bivouac=s"]);
        leave_out_of_request(&mut headers);
        assert_eq!(headers[COOKIE].as_bytes(), "a=\u{e9}".as_bytes());
    }

    #[test]
    fn no_app_sets_overwrites_or_deletes_a_cookie_of_ours() {
        let mut headers = with(
            &SET_COOKIE,
            &[
                "__Host-bivouac=forged; Path=/; Secure",
                "theirs=1; Path=/",
                "__HOST-Bivouac=; Max-Age=0",
                "=__Host-bivouac=forged",
                "  = bivouac-begin=forged",
                "bivouac=x; Domain=example.com",
                "bivouac-signin",
                "mine=__Host-bivouac=1",
            ],
        );
        leave_out_of_answer(&mut headers);
        assert_eq!(left(&headers, SET_COOKIE), ["theirs=1; Path=/", "mine=__Host-bivouac=1"]);

        let name = http::HeaderName::from_static("clear-site-data");
        for (sent, stays) in [
            ("\"cookies\"", false),
            ("\"cache\", \"Cookies\"", false),
            ("\"*\"", false),
            ("\"cache\"", true),
        ] {
            let mut headers = with(&name, &[sent]);
            leave_out_of_answer(&mut headers);
            assert_eq!(headers.contains_key(&name), stays, "{sent}");
        }
    }
}
