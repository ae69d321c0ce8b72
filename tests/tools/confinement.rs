//! What a confined child can not do. The child is bash, whose own commands open files, sockets and processes.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bivouac::confine::{Bounds, Ended, KernelLimits, Network, Orders, Stop, confined};

const SHELL: &str = "/bin/bash";

fn orders(folder: &Path) -> Orders {
    let system = ["/bin", "/usr/bin", "/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache"];
    Orders {
        read: vec![folder.join("read")],
        execute: system.map(PathBuf::from).to_vec(),
        write: vec![folder.join("write")],
        network: Network::Refused,
        may_fork: false,
        limits: KernelLimits { cpu_seconds: 10, file_bytes: 1 << 20, open_files: 64 },
        environment: BTreeMap::from([("ONLY".to_owned(), "this".to_owned())]),
        directory: Some(folder.join("write")),
        parent: std::process::id(),
    }
}

fn bounds() -> Bounds {
    Bounds {
        time: Duration::from_secs(20),
        output_bytes: 1 << 20,
        memory_bytes: 1 << 30,
        scratch: None,
        alone: true,
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["read", "write", "other"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
            std::fs::write(folder.path().join(name).join("file"), "text\n").expect("a file");
        }
        Self(folder)
    }

    async fn run(&self, script: &str) -> Ended {
        self.with(&orders(self.0.path()), script).await.expect("it ends")
    }

    async fn with(&self, orders: &Orders, script: &str) -> Result<Ended, Stop> {
        let folder = self.0.path().display().to_string();
        let arguments = ["-c", script, "bash", &folder].map(str::to_owned);
        confined(super::own(), orders, Some(Path::new(SHELL)), &arguments, &bounds()).await
    }
}

fn printed(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout).trim().to_owned()
}

#[tokio::test]
async fn everything_is_in_force_here() {
    let ended = Place::new().run("echo fine").await;
    assert_eq!(printed(&ended), "fine");
    // Any Linux that develops or tests this has both.
    assert!(ended.in_force.filter && ended.in_force.landlock >= 1, "{:?}", ended.in_force);
}

#[tokio::test]
async fn only_named_files_are_read_and_written() {
    let place = Place::new();
    let read = "read -r line < \"$1/read/file\" && echo \"$line\"";
    assert_eq!(printed(&place.run(read).await), "text");
    for file in
        ["/etc/hostname", "/etc/passwd", "/proc/1/environ", "/proc/self/environ", "$1/other/file"]
    {
        let ended = place.run(&format!("read -r line < \"{file}\" && echo got")).await;
        assert_eq!(printed(&ended), "", "{file}");
        assert!(ended.stderr.contains("denied"), "{file}: {}", ended.stderr);
    }
    assert_eq!(printed(&place.run("echo x > \"$1/write/new\" && echo done").await), "done");
    for file in ["$1/other/new", "$1/read/new", "$1/read/file", "/tmp/bivouac-must-not-be-there"] {
        let ended = place.run(&format!("echo x > \"{file}\" && echo done")).await;
        assert_eq!(printed(&ended), "", "{file}");
    }
    assert!(!Path::new("/tmp/bivouac-must-not-be-there").exists());
    assert_eq!(std::fs::read(place.0.path().join("read/file")).expect("a file"), b"text\n");
    // A listing is a read too.
    assert_eq!(
        printed(&place.run("echo \"$1\"/other/*").await),
        format!("{}/other/*", place.0.path().display())
    );
}

#[tokio::test]
async fn nothing_is_reached_over_a_network() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected");
    let bare = std::process::Command::new(SHELL).args(["-c", &script]).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&bare.stdout).trim(), "connected", "the listener is there");
    let ended = Place::new().run(&script).await;
    assert_eq!(printed(&ended), "");
    assert!(ended.stderr.contains("not permitted"), "{}", ended.stderr);
    let ended = Place::new().run("exec 3<>/dev/udp/127.0.0.1/53 && echo connected").await;
    assert_eq!(printed(&ended), "");
}

#[tokio::test]
async fn a_fetch_reaches_its_port_and_no_other() {
    let place = Place::new();
    let [one, two] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let orders = Orders { network: Network::Ports(vec![port(&one)]), ..orders(place.0.path()) };
    let script = |port: u16| format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected");
    let allowed = place.with(&orders, &script(port(&one))).await.expect("it ends");
    assert_eq!(printed(&allowed), "connected", "{}", allowed.stderr);
    if allowed.in_force.landlock >= 4 {
        let refused = place.with(&orders, &script(port(&two))).await.expect("it ends");
        assert_eq!(printed(&refused), "");
    }
}

#[tokio::test]
async fn no_process_is_made_none_is_signalled_and_nothing_else_executed() {
    let place = Place::new();
    let forked = place.run("/bin/true; echo $?; (echo sub)").await;
    assert!(!printed(&forked).contains("sub"), "{forked:?}");
    assert!(forked.stderr.contains("fork"), "{}", forked.stderr);
    let signalled = place.run("kill -0 $PPID && echo reached; kill -0 $$ && echo self").await;
    assert_eq!(printed(&signalled), "self");
    std::fs::copy("/bin/true", place.0.path().join("write/program")).expect("a copy");
    let executed = place.run("exec \"$1/write/program\"").await;
    assert!(executed.stderr.contains("denied"), "{}", executed.stderr);
}

#[tokio::test]
async fn the_environment_is_what_was_ordered() {
    let ended = Place::new().run("export -p").await;
    let text = printed(&ended);
    assert!(text.contains("ONLY=\"this\""), "{text}");
    for name in ["CARGO", "HOME", "USER", "BIVOUAC"] {
        assert!(!text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn capabilities_and_new_rights_are_gone() {
    // With a shell as root these would be full. `/proc` is not readable inside, so it is looked at from outside.
    let place = Place::new();
    let own = orders(place.0.path());
    let script = "echo $$ > \"$1/write/pid\"; while :; do read -t 5 < \"$1/read/file\"; done";
    let short = Bounds { time: Duration::from_secs(2), ..bounds() };
    let folder = place.0.path().display().to_string();
    let arguments = ["-c", script, "bash", &folder].map(str::to_owned);
    let run = confined(super::own(), &own, Some(Path::new(SHELL)), &arguments, &short);
    let look = async {
        for _ in 0..150 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let pid = std::fs::read_to_string(place.0.path().join("write/pid")).unwrap_or_default();
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
            if let (false, Ok(status)) = (pid.is_empty(), status) {
                return status;
            }
        }
        String::new()
    };
    let (stopped, status) = tokio::join!(run, look);
    assert!(matches!(stopped, Err(Stop::Time(_))), "{stopped:?}");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    };
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("Seccomp:"), "2");
    assert_eq!(u64::from_str_radix(&line("CapEff:"), 16), Ok(0));
    assert_eq!(u64::from_str_radix(&line("CapPrm:"), 16), Ok(0));
}

#[tokio::test]
async fn limits_of_the_kernel_hold() {
    let place = Place::new();
    let busy = Orders {
        limits: KernelLimits { cpu_seconds: 1, ..orders(place.0.path()).limits },
        ..orders(place.0.path())
    };
    let ended = place.with(&busy, "while :; do :; done").await.expect("it ends");
    assert!(!ended.status.success() && ended.status.code().is_none(), "{ended:?}");
    let long = "x=xxxxxxxxxxxxxxxx; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do x=$x$x; done; \
                echo \"$x\" > \"$1/write/big\"; echo survived";
    let ended = place.run(long).await;
    assert_eq!(printed(&ended), "", "a file of 4 MiB was written: {ended:?}");
    let files =
        "for i in {10..90}; do eval \"exec $i< \\\"$1/read/file\\\"\" || exit 3; done; echo all";
    assert_eq!(printed(&place.run(files).await), "");
}

#[tokio::test]
async fn memory_time_and_output_end_it() {
    let place = Place::new();
    let run = |script: &str, bounds: Bounds| {
        let folder = place.0.path().display().to_string();
        let arguments = ["-c", script, "bash", &folder].map(str::to_owned);
        let orders = orders(place.0.path());
        async move { confined(super::own(), &orders, Some(Path::new(SHELL)), &arguments, &bounds).await }
    };
    let small = Bounds { memory_bytes: 64 << 20, ..bounds() };
    let stop = run("x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", small).await;
    assert!(matches!(stop, Err(Stop::Memory(_))), "{stop:?}");
    let short = Bounds { time: Duration::from_millis(500), ..bounds() };
    let stop = run("read -t 100 -u 1", short).await;
    assert!(stop.is_ok() || matches!(stop, Err(Stop::Time(_))), "{stop:?}");
    let stop =
        run("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", bounds()).await;
    assert!(matches!(stop, Err(Stop::Output(_))), "{stop:?}");
}

#[tokio::test]
async fn who_asked_for_it_must_live() {
    let place = Place::new();
    let orphan = Orders { parent: 1, ..orders(place.0.path()) };
    let stop = place.with(&orphan, "echo fine").await.expect_err("the parent is another");
    assert!(matches!(&stop, Stop::NotConfined(why) if why.contains("is gone")), "{stop}");
}

#[tokio::test]
async fn a_program_that_does_not_start_is_not_taken_for_confined_work() {
    let place = Place::new();
    let own = orders(place.0.path());
    let ended =
        confined(super::own(), &own, Some(Path::new("/no/such/tool")), &[], &bounds()).await;
    let ended = ended.expect("the child itself runs");
    assert_eq!(ended.status.code(), Some(125));
    assert!(ended.stderr.contains("failed to start the tool"), "{}", ended.stderr);
    let stop = confined(Path::new("/bin/true"), &own, None, &[], &bounds()).await;
    assert!(matches!(stop, Err(Stop::NotConfined(_))), "{stop:?}");
}
