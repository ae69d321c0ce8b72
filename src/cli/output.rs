//! What commands say: results on stdout, everything else on stderr. I/O: both, and nothing that is closed is an error.

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;

use crate::seams::Clock;

/// Work that takes longer says that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether there are colours.
#[derive(Args, Clone, Debug)]
pub(super) struct Colours {
    /// No colours; also when `NO_COLOR` is set, or the output is no terminal
    #[arg(long)]
    no_color: bool,
    /// The variable in its own words: anything but nothing means yes
    #[arg(long = "no-color-variable", env = "NO_COLOR", hide = true, default_value = "")]
    variable: OsString,
}

impl Colours {
    fn wanted(&self) -> bool {
        !self.no_color && self.variable.is_empty()
    }

    pub(super) fn on_stdout(&self) -> bool {
        self.wanted() && io::stdout().is_terminal()
    }

    pub(super) fn on_stderr(&self) -> bool {
        self.wanted() && io::stderr().is_terminal()
    }
}

/// Writes the result. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes to stderr; when nobody reads that, nothing is lost.
pub(super) fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Does `work` and says after a second that it goes on, when somebody looks.
pub(super) fn with_patience<T: Send + 'static>(
    what: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    super::runtime()?.block_on(async {
        let clock = Clock::system();
        let mut task = tokio::spawn(work);
        let done = tokio::select! {
            biased;
            done = &mut task => done,
            () = clock.sleep(PATIENCE) => {
                if io::stderr().is_terminal() {
                    say(&format!("bivouac: {what} …\n"));
                }
                task.await
            }
        };
        done.map_err(io::Error::other)
    })
}
