//! I/O · the gate's own host: here people sign in at GitHub or write a password, and are led back to the preview that sent
//! them. Nothing is done without a word that a preview signed; so a sign-in can lead to no other place.

use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use chrono::TimeDelta;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use secrecy::ExposeSecret as _;

use super::address::{Origin, field};
use super::cookie::Cookie;
use super::oauth::{self, App, Asking, Judged, SignInError};
use super::preview::BEGIN;
use super::rule::{LEAST_PASSWORD, Rule, SignIn};
use super::secrets::Lack;
use super::word::{self, Begin, HandOver, LetIn, Means, State};
use super::{Protect, Trouble, is_from_itself, is_marked, nonce_of, page, word_of};
use crate::crd::SecretKey;
use crate::domain::plain::in_query;
use crate::gate::site::Site;
use crate::gate::words::Key;

/// So long a browser may take from here back to its preview: it is one redirect.
const HAND_OVER: TimeDelta = TimeDelta::seconds(60);
/// GitHub's codes are good for ten minutes.
const STATE: TimeDelta = TimeDelta::minutes(10);
/// A form has a word and a password.
const MOST_FORM: usize = 8 * 1024;
/// A form is here within this time.
const FORM: Duration = Duration::from_secs(10);

/// The ways in that work.
#[derive(Debug)]
pub(super) struct Open {
    app: Option<App>,
    password: bool,
}

/// A browser that a preview sent.
struct Sent<'a> {
    gate: &'a Origin,
    key: Key,
    headers: &'a HeaderMap,
    begin: Begin,
    /// The word that says so, as it came.
    with: String,
}

impl Protect {
    /// The gate's own host for this preview.
    pub(super) fn gate_for(&self, rule: &Rule<'_>) -> Result<&Origin, Trouble> {
        let gate = self.gate.as_ref().ok_or(Trouble::NoGate)?;
        // A camp could have a host beside it, and set cookies for both.
        if gate.is_within(rule.domain) { Err(Trouble::GateWithin) } else { Ok(gate) }
    }

    /// The ways in that work; when there is none, what is wrong with one.
    pub(super) async fn ways(&self, rule: &Rule<'_>) -> Result<Open, Trouble> {
        let mut wrong = None;
        let app = match rule.sign_in {
            None => None,
            Some(SignIn { repository: None, .. }) => {
                wrong = Some(Trouble::NotKnownYet);
                None
            }
            Some(sign_in) => match self.app(sign_in).await {
                Ok(app) => Some(app),
                Err(lack) => {
                    tracing::warn!(
                        repository = rule.name,
                        secret = sign_in.credentials,
                        "nobody can sign in by GitHub: clientId and clientSecret of the App are not there ({lack:?})"
                    );
                    wrong = Some(Trouble::Secret(lack));
                    None
                }
            },
        };
        let password = match rule.password {
            None => false,
            Some(wanted) => match self.secrets.value(wanted, LEAST_PASSWORD).await {
                Ok(_) => true,
                Err(lack) => {
                    wrong = wrong.or(Some(Trouble::Secret(lack)));
                    false
                }
            },
        };
        if app.is_none() && !password {
            return Err(wrong.unwrap_or(Trouble::Secret(Lack::Missing)));
        }
        Ok(Open { app, password })
    }

    async fn app(&self, sign_in: SignIn<'_>) -> Result<App, Lack> {
        let value = async |key: &str| {
            let wanted =
                SecretKey { secret_name: sign_in.credentials.to_owned(), key: key.to_owned() };
            let value = self.secrets.value(&wanted, 1).await?;
            String::from_utf8(value.expose_secret().to_vec()).map_err(|_| Lack::Missing)
        };
        Ok(App { id: value("clientId").await?, secret: value("clientSecret").await?.into() })
    }

    /// Answers on the gate's own host.
    pub(super) async fn door(&self, gate: &Origin, request: &mut Request) -> Response {
        let key = match self.key() {
            Ok(key) => key,
            Err(trouble) => {
                return page::refused(StatusCode::SERVICE_UNAVAILABLE, trouble.words(), None);
            }
        };
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let get = request.method() == Method::GET;
        match path.as_str() {
            "/.bivouac/callback" if get => {
                return self.come_back(gate, key, request.headers(), &query).await;
            }
            "/.bivouac/sign-in" | "/.bivouac/github" if get => {
                match self.sent(gate, key, request.headers(), &query) {
                    None => lost(),
                    Some(sent) if path.ends_with("/github") => self.go_to_github(&sent).await,
                    Some(sent) => self.show(&sent).await,
                }
            }
            "/.bivouac/password" if request.method() == Method::POST => {
                if !is_from_itself(request.headers(), gate) {
                    let words = "This form was not sent by this page.";
                    return page::refused(StatusCode::FORBIDDEN, words, None);
                }
                let Some(form) = read(request).await else {
                    return page::text(StatusCode::BAD_REQUEST, "the form can't be read");
                };
                match self.sent(gate, key, request.headers(), &form) {
                    None => lost(),
                    Some(sent) => {
                        let password = field(&form, "password").unwrap_or_default();
                        self.try_password(&sent, &password).await
                    }
                }
            }
            "/robots.txt" if get => page::text(StatusCode::OK, "User-agent: *\nDisallow: /"),
            _ => page::text(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    /// `None`: no preview sent this browser, or too long ago.
    fn sent<'a>(
        &self,
        gate: &'a Origin,
        key: Key,
        headers: &'a HeaderMap,
        fields: &str,
    ) -> Option<Sent<'a>> {
        let with = field(fields, "with")?;
        let begin = word::hear(&key, word::BEGIN, gate.host(), self.clock.now(), &with)?;
        Some(Sent { gate, key, headers, begin, with })
    }

    /// The preview as it is now; `None`: it is gone, or is another Repository's.
    fn site_of(&self, begin: &Begin) -> Option<Site> {
        let site = (self.sites)(&begin.host)?;
        let same = Rule::of(&site).is_of(begin);
        same.then_some(site)
    }

    async fn show(&self, sent: &Sent<'_>) -> Response {
        let Some(site) = self.site_of(&sent.begin) else { return gone() };
        let rule = Rule::of(&site);
        match self.ready_to_let_in(&rule).await {
            Err(trouble) => trouble.answer(&rule),
            // There is nothing to choose.
            Ok((_, Open { app: Some(app), password: false })) => {
                self.lead_to_github(sent, &rule, &app)
            }
            Ok((preview, open)) => ways(sent, preview, &open, None),
        }
    }

    async fn ready_to_let_in<'a>(&self, rule: &'a Rule<'a>) -> Result<(&'a Origin, Open), Trouble> {
        self.gate_for(rule)?;
        let origin = rule.origin.as_ref().ok_or(Trouble::PlainHttp)?;
        Ok((origin, self.ways(rule).await?))
    }

    async fn go_to_github(&self, sent: &Sent<'_>) -> Response {
        let Some(site) = self.site_of(&sent.begin) else { return gone() };
        let rule = Rule::of(&site);
        match self.ready_to_let_in(&rule).await {
            Err(trouble) => trouble.answer(&rule),
            Ok((_, Open { app: Some(app), .. })) => self.lead_to_github(sent, &rule, &app),
            Ok((preview, open)) => ways(sent, preview, &open, None),
        }
    }

    fn lead_to_github(&self, sent: &Sent<'_>, rule: &Rule<'_>, app: &App) -> Response {
        let Sent { gate, key, headers, begin, with: _ } = sent;
        let Some(SignIn { api, .. }) = rule.sign_in else { return gone() };
        let known = nonce_of(&Cookie::SignIn.values(headers, gate.secure()));
        let nonce = known.unwrap_or_else(|| self.nonce());
        let id = self.nonce();
        let verifier = word::verifier(key, &nonce, &id);
        let state = State { begin: begin.clone(), id, mark: word::mark_of(&nonce) };
        let span = (self.clock.now(), STATE);
        let Some(state) = word::say(key, word::STATE, gate.host(), span, &state) else {
            return Trouble::NoKey.answer(rule);
        };
        let to = oauth::authorize(api, &app.id, gate, &state, &verifier);
        page::lead(&to, [Cookie::SignIn.set(&nonce, BEGIN, gate.secure())])
    }

    /// Back from GitHub.
    async fn come_back(
        &self,
        gate: &Origin,
        key: Key,
        headers: &HeaderMap,
        query: &str,
    ) -> Response {
        let state = field(query, "state").unwrap_or_default();
        let now = self.clock.now();
        let said: Option<State> = word::hear(&key, word::STATE, gate.host(), now, &state);
        let Some(State { begin, id, mark }) = said else { return lost() };
        let nonces = Cookie::SignIn.values(headers, gate.secure());
        // Else somebody could sign another one in as himself.
        let Some(nonce) = nonce_of(&nonces).filter(|_| is_marked(&nonces, &mark)) else {
            let words = "This sign-in was begun in another browser, or too long ago.";
            return page::refused(StatusCode::FORBIDDEN, words, None);
        };
        let Some(site) = self.site_of(&begin) else { return gone() };
        let rule = Rule::of(&site);
        let preview = match self.ready_to_let_in(&rule).await {
            Err(trouble) => return trouble.answer(&rule),
            Ok((preview, Open { app: Some(app), .. })) => (preview, app),
            Ok(_) => return gone(),
        };
        let (preview, app) = preview;
        let again = format!("{preview}/.bivouac/sign-in?to={}", in_query(&begin.path));
        let Some(code) = field(query, "code") else {
            let words = "GitHub sent nobody: the sign-in was called off there.";
            return page::refused(StatusCode::FORBIDDEN, words, Some(&again));
        };
        let (Some(SignIn { api, repository: Some(repository), .. }), Some(print)) =
            (rule.sign_in, rule.print_of_sign_in(&key))
        else {
            return Trouble::NotKnownYet.answer(&rule);
        };
        // Each code is a question to GitHub, and somebody could bring thousands that are none.
        let who = (format!("{} at the forge", rule.uid), visitor(headers));
        if !self.tries.one_more(&who.0, who.1, now) {
            let words = "Too many sign-ins that failed. Wait a minute.";
            return page::refused(StatusCode::TOO_MANY_REQUESTS, words, Some(&again));
        }
        let asking = Asking { transport: &self.forge, api, app: &app, gate };
        let verifier = word::verifier(&key, &nonce, &id);
        match asking.judge(&code, &verifier, repository).await {
            Ok(Judged::Reads(login)) => {
                self.tries.forgive(&who.0, who.1);
                let let_in = LetIn { by: Means::SignIn, visitor: Some(login), print };
                self.hand_over(&key, &rule, preview, begin, let_in)
            }
            Ok(Judged::MayNot(login)) => {
                let words = format!(
                    "You are {login} at GitHub, who may not see this preview: it is for those who can read its repository."
                );
                page::refused(StatusCode::FORBIDDEN, &words, Some(&again))
            }
            Err(error) => {
                tracing::warn!(repository = rule.name, "a sign-in failed: {error}");
                let words = match error {
                    SignInError::Code(_) => {
                        "GitHub does not take the code of this sign-in any more."
                    }
                    SignInError::SetUp(_) => {
                        "GitHub does not know this gate: the platform team has to look at the App's client id, client \
                         secret and callback address."
                    }
                    SignInError::Unreached(_) => {
                        "GitHub could not be asked who you are. Try again in a minute."
                    }
                };
                page::refused(StatusCode::BAD_GATEWAY, words, Some(&again))
            }
        }
    }

    async fn try_password(&self, sent: &Sent<'_>, password: &str) -> Response {
        let Some(site) = self.site_of(&sent.begin) else { return gone() };
        let rule = Rule::of(&site);
        let (preview, open) = match self.ready_to_let_in(&rule).await {
            Err(trouble) => return trouble.answer(&rule),
            Ok((preview, open)) => (preview, open),
        };
        if !open.password {
            return ways(sent, preview, &open, None);
        }
        let who = visitor(sent.headers);
        if !self.tries.one_more(rule.uid, who, self.clock.now()) {
            let wrong = (StatusCode::TOO_MANY_REQUESTS, "Too many tries. Wait a minute.");
            let mut answer = ways(sent, preview, &open, Some(wrong));
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            return answer;
        }
        match self.is_secret(&rule, Means::Password, password.as_bytes()).await {
            Err(trouble) => trouble.answer(&rule),
            Ok(false) => {
                let wrong = (StatusCode::UNAUTHORIZED, "That is not the password.");
                ways(sent, preview, &open, Some(wrong))
            }
            Ok(true) => {
                self.tries.forgive(rule.uid, who);
                match self.print(&sent.key, &rule, Means::Password).await {
                    Err(trouble) => trouble.answer(&rule),
                    Ok(print) => {
                        let print = print.unwrap_or_default();
                        let let_in = LetIn { by: Means::Password, visitor: None, print };
                        self.hand_over(&sent.key, &rule, preview, sent.begin.clone(), let_in)
                    }
                }
            }
        }
    }

    fn hand_over(
        &self,
        key: &Key,
        rule: &Rule<'_>,
        preview: &Origin,
        begin: Begin,
        let_in: LetIn,
    ) -> Response {
        let said = HandOver { begin, let_in };
        let span = (self.clock.now(), HAND_OVER);
        match word::say(key, word::HAND_OVER, rule.host, span, &said) {
            Some(word) => {
                page::lead(&format!("{preview}/.bivouac/enter?word={}", in_query(&word)), [])
            }
            None => Trouble::NoKey.answer(rule),
        }
    }
}

fn ways(
    sent: &Sent<'_>,
    preview: &Origin,
    open: &Open,
    wrong: Option<(StatusCode, &str)>,
) -> Response {
    let Open { app, password } = open;
    let (sign_in, password) = (app.is_some(), *password);
    page::Ways { preview, with: &sent.with, sign_in, password, wrong }.page()
}

fn lost() -> Response {
    let words = "This sign-in is too old, or did not begin at a preview. Open the preview again.";
    page::refused(StatusCode::BAD_REQUEST, words, None)
}

fn gone() -> Response {
    let words =
        "The preview that this was for is not there any more, or is let in to in another way now.";
    page::refused(StatusCode::NOT_FOUND, words, None)
}

/// Who tries, as far as it is known: the last one that the ingress controller wrote down. What stands before it anybody
/// can have written.
fn visitor(headers: &HeaderMap) -> &str {
    let last = headers.get_all("x-forwarded-for").iter().next_back();
    let all = last.and_then(|value| value.to_str().ok()).or_else(|| word_of(headers, "x-real-ip"));
    all.and_then(|all| all.rsplit(',').next()).map_or("", str::trim)
}

async fn read(request: &mut Request) -> Option<String> {
    let content = std::mem::take(request.body_mut());
    let bytes = tokio::time::timeout(FORM, axum::body::to_bytes(content, MOST_FORM)).await.ok()?;
    String::from_utf8(bytes.ok()?.to_vec()).ok()
}
