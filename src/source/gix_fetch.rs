//! One commit over the network into a bare repository, by gix. I/O: network and disk, on a blocking thread.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gix::remote::Direction;
use gix::remote::fetch::{Shallow, Tags};
use secrecy::ExposeSecret as _;

use super::boxed;
use super::cache::bytes_on_disk;
use crate::seams::{Fetch, FetchError, FetchRequest};

/// How often the size on disk is looked at while a pack comes in.
const WATCH: Duration = Duration::from_millis(100);
/// After the interrupt a fetch that still reads is given this long to end by itself.
const GRACE: Duration = Duration::from_millis(500);

/// Which schemes besides `https://` may be fetched from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schemes {
    /// `http://`: tokens travel in clear text.
    pub http: bool,
    /// `file://`: starts `git-upload-pack` of this machine.
    pub file: bool,
}

/// Fetches by gix: no global configuration, no credential helper, no hook, no `insteadOf`, no redirect.
#[derive(Clone, Copy, Debug)]
pub struct GixFetch {
    schemes: Schemes,
}

impl GixFetch {
    /// `https://` always, further schemes as `schemes` says.
    #[must_use]
    pub fn new(schemes: Schemes) -> Self {
        // gix builds its HTTP client itself and would panic without a provider. `main` has installed the same one
        // already; a second time does nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { schemes }
    }

    fn allowed(self, url: &str) -> Result<(), FetchError> {
        let not_allowed = |reason: &str| FetchError::NotAllowed {
            url: without_user(url),
            reason: reason.to_owned(),
        };
        let rest = match url.split_once("://") {
            Some(("https", rest)) => rest,
            Some(("http", rest)) if self.schemes.http => rest,
            Some(("file", rest)) if self.schemes.file => rest,
            Some(("http", _)) => {
                return Err(not_allowed("http:// is refused unless the service allows it"));
            }
            Some(("file", _)) => {
                return Err(not_allowed("file:// is refused unless the service allows it"));
            }
            _ => return Err(not_allowed("only https:// is fetched")),
        };
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err(not_allowed("a URL may not hold a user or password"));
        }
        if url.chars().any(|c| c.is_control() || c == ' ') {
            return Err(not_allowed("a URL may not hold blanks or control characters"));
        }
        Ok(())
    }
}

impl Fetch for GixFetch {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<(), FetchError>> {
        run(*self, request).boxed()
    }
}

async fn run(fetch: GixFetch, request: FetchRequest) -> Result<(), FetchError> {
    fetch.allowed(&request.url)?;
    let stop = Arc::new(AtomicBool::new(false));
    let request = Arc::new(request);
    let timed_out = || FetchError::TimedOut {
        revision: request.revision.clone(),
        url: request.url.clone(),
        seconds: request.timeout.as_secs(),
    };
    let too_big = || FetchError::TooBig { url: request.url.clone(), limit: request.max_bytes };

    // Dropped when this future is: a caller that gives up ends the fetch too.
    let _ender = Ender(Arc::clone(&stop));
    let mut work = {
        let (request, stop) = (Arc::clone(&request), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || attempt(&request, &stop))
    };
    let deadline = tokio::time::sleep(request.timeout);
    tokio::pin!(deadline);
    let mut watch = tokio::time::interval(WATCH);
    let ended = loop {
        tokio::select! {
            biased;
            result = &mut work => break result,
            () = &mut deadline => {
                stop.store(true, Ordering::Relaxed);
                // A read that hangs ends by its socket's own time-out; nobody waits for it.
                let _ = tokio::time::timeout(GRACE, &mut work).await;
                return Err(timed_out());
            }
            _ = watch.tick() => {
                // Twice: `attempt` itself throws an old cache away and begins again.
                if bytes_on_disk(&request.into) > request.max_bytes.saturating_mul(2) {
                    stop.store(true, Ordering::Relaxed);
                    let _ = tokio::time::timeout(GRACE, &mut work).await;
                    let _ = fs::remove_dir_all(&request.into);
                    return Err(too_big());
                }
            }
        }
    };
    match ended {
        Ok(result) => result,
        Err(error) => Err(FetchError::Failed {
            revision: request.revision.clone(),
            url: request.url.clone(),
            source: error.into(),
        }),
    }
}

/// Sets the flag when it goes.
struct Ender(Arc<AtomicBool>);

impl Drop for Ender {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Fetches into the cache, and once more into an empty one when the cache is too big or broken.
fn attempt(request: &FetchRequest, stop: &AtomicBool) -> Result<(), FetchError> {
    let size = bytes_on_disk(&request.into);
    if size > request.max_bytes {
        let _ = fs::remove_dir_all(&request.into);
    }
    let had_old = request.into.join("HEAD").exists();
    let first = one(request, stop);
    let fits = bytes_on_disk(&request.into) <= request.max_bytes;
    let again = match &first {
        Ok(()) if fits => return Ok(()),
        Ok(()) | Err(Problem::Broken(_)) => had_old,
        Err(Problem::Final(_)) => false,
    };
    let last = if again && !stop.load(Ordering::Relaxed) {
        let _ = fs::remove_dir_all(&request.into);
        one(request, stop)
    } else {
        first
    };
    match last {
        Ok(()) if bytes_on_disk(&request.into) > request.max_bytes => {
            let _ = fs::remove_dir_all(&request.into);
            Err(FetchError::TooBig { url: request.url.clone(), limit: request.max_bytes })
        }
        Ok(()) => Ok(()),
        Err(Problem::Broken(error) | Problem::Final(error)) => Err(error),
    }
}

enum Problem {
    /// The repository on disk can't be used.
    Broken(FetchError),
    /// Another try with an empty cache would not help.
    Final(FetchError),
}

fn one(request: &FetchRequest, stop: &AtomicBool) -> Result<(), Problem> {
    let failed = |error: &gix::Error| FetchError::Failed {
        revision: request.revision.clone(),
        url: request.url.clone(),
        source: boxed(error),
    };
    let repo = open(request).map_err(|e| Problem::Broken(failed(&e)))?;
    let name = format!("refs/bivouac/{}", request.revision);
    if repo.try_find_reference(&name).map_err(|e| Problem::Broken(failed(&e)))?.is_some() {
        return Ok(());
    }
    let spec = format!("+{}:{name}", request.revision);
    let by_hash = match receive(&repo, request, &spec, stop) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let kind = Answer::of(&by_hash, &request.url);
    if kind == Answer::Denied {
        return Err(Problem::Final(FetchError::Denied { url: request.url.clone() }));
    }
    if kind == Answer::Other || stop.load(Ordering::Relaxed) {
        return Err(Problem::Final(failed(&by_hash)));
    }
    let gone = || {
        Problem::Final(FetchError::CommitGone {
            revision: request.revision.clone(),
            url: request.url.clone(),
        })
    };
    let Some(fallback) = &request.fallback_ref else { return Err(gone()) };
    let temporary = format!("refs/bivouac-fallback/{}", request.revision);
    let spec = format!("+{fallback}:{temporary}");
    match receive(&repo, request, &spec, stop) {
        Ok(()) => {}
        Err(error) if Answer::of(&error, &request.url) == Answer::Other => {
            return Err(Problem::Final(failed(&error)));
        }
        Err(_) => return Err(gone()),
    }
    let found =
        repo.find_reference(&temporary).map_err(|e| Problem::Broken(failed(&e)))?.id().detach();
    if !gix::ObjectId::from_hex(request.revision.as_bytes()).is_ok_and(|wanted| wanted == found) {
        return Err(gone());
    }
    let previous = gix::refs::transaction::PreviousValue::Any;
    repo.reference(name, found, previous, "fetched").map_err(|e| Problem::Broken(failed(&e)))?;
    Ok(())
}

fn open(request: &FetchRequest) -> Result<gix::Repository, gix::Error> {
    let mut settings = vec![
        "http.followRedirects=false".to_owned(),
        "protocol.allow=never".to_owned(),
        "protocol.https.allow=always".to_owned(),
        "gc.auto=0".to_owned(),
        "core.logAllRefUpdates=false".to_owned(),
    ];
    if let Some((scheme @ ("http" | "file"), _)) = request.url.split_once("://") {
        settings.push(format!("protocol.{scheme}.allow=always"));
    }
    if let Some(token) = &request.credential {
        let pair = STANDARD.encode(format!("x-access-token:{}", token.expose_secret()));
        settings.push(format!("http.extraHeader=Authorization: Basic {pair}"));
    }
    let options = gix::open::Options::isolated().open_path_as_is(true).config_overrides(settings);
    if Path::new(&request.into).join("HEAD").exists() {
        return gix::open_opts(&request.into, options);
    }
    // What is there without a HEAD is what an interrupted making left.
    let _ = fs::remove_dir_all(&request.into);
    fs::create_dir_all(&request.into).map_err(gix::Error::from_error)?;
    let kind = gix::create::Kind::Bare;
    let made = gix::ThreadSafeRepository::init_opts(
        &request.into,
        kind,
        gix::create::Options::default(),
        options,
    )?;
    Ok(made.to_thread_local())
}

fn receive(
    repo: &gix::Repository,
    request: &FetchRequest,
    spec: &str,
    stop: &AtomicBool,
) -> Result<(), gix::Error> {
    let remote = repo
        .remote_at_without_url_rewrite(request.url.as_str())?
        .with_fetch_tags(Tags::None)
        .with_refspecs([spec], Direction::Fetch)?;
    remote
        .connect(Direction::Fetch)?
        .with_credentials(|_| Ok(None))
        .prepare_fetch(gix::progress::Discard, gix::remote::ref_map::Options::default())?
        .with_shallow(Shallow::DepthAtRemote(NonZeroU32::MIN))
        .receive(gix::progress::Discard, stop)?;
    Ok(())
}

/// What a failure tells about the server.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It does not have the commit or ref, or does not give it by hash.
    NoSuchObject,
    /// No repository for this caller.
    Denied,
    /// Anything else.
    Other,
}

impl Answer {
    fn of(error: &gix::Error, url: &str) -> Self {
        let text = boxed(error).to_string().to_ascii_lowercase();
        let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
        if has(&["http status 401", "http status 403", "http status 404", "repository not found"])
            || has(&["credentials", "does not appear to be a git repository"])
        {
            Self::Denied
        } else if has(&["not our ref", "couldn't find remote ref", "matched any of the"])
            || has(&["unadvertised object", "no such remote ref", "not a valid object"])
            // Over file:// `git-upload-pack` may have ended before its last words were read.
            || (url.starts_with("file://") && has(&["broken pipe"]))
        {
            Self::NoSuchObject
        } else {
            Self::Other
        }
    }
}

/// The URL without what stands before an `@`, and without what could break a line.
pub(super) fn without_user(url: &str) -> String {
    let url: String = url.chars().filter(|c| !c.is_control()).take(200).collect();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url,
    }
}
