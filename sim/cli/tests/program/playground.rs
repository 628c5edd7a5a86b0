//! `sim serve`: what comes back for what is moved, who is sent away, and the page in a real browser.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use crate::browser::{PATIENCE, chromium, open};
use crate::served::{Served, say};
use crate::support::{sim, write};

fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/library/quickstart.toml")
}

/// A server of a file, by the program under test.
fn serve(file: &Path) -> Served {
    Served::start(env!("CARGO_BIN_EXE_sim"), file)
}

/// The value on a card of the page.
fn card<'a>(answer: &'a str, label: &str) -> &'a str {
    let found = answer.split_once(&format!("<dt>{label}</dt><dd>")).map(|(_, rest)| rest);
    let value = found.and_then(|rest| rest.split('<').next());
    value.unwrap_or_else(|| panic!("{label} is on a card:\n{answer}"))
}

/// A time or a share on a card, in seconds or as a fraction.
fn number(text: &str) -> f64 {
    let units = [("%", 0.01), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let (text, scale) = units
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?.trim(), *scale)))
        .unwrap_or((text, 1.0));
    text.parse::<f64>().unwrap_or_else(|e| panic!("{text:?}: {e}")) * scale
}

#[test]
fn what_is_moved_changes_the_answer_and_stands_beside_the_file() {
    let served = serve(&quickstart());
    assert!(served.address.starts_with("127.0.0.1:"), "{}", served.address);
    let page = served.get("/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("connect-src 'self'"), "{page}");
    for knob in ["hosts.app.count", "components.objects.max_memory", "load", "kill", "seed"] {
        assert!(page.contains(&format!("name=\"{knob}\"")), "{knob} can be moved:\n{page}");
    }
    assert!(page.contains("✓ Good") && !page.contains("in the file:"), "{page}");
    // A second node died in the file; where it is the only one, everything fails meanwhile.
    let one = served.get("/answer?hosts.app.count=1");
    assert!(one.contains("✗ Not good") && one.contains("in the file:"), "{one}");
    assert!(number(card(&one, "Failed")) > 0.2, "{one}");
    let more = served.get("/answer?hosts.app.count=4&kill=nothing");
    let busy = |answer: &str| number(card(answer, "Busiest, at its peak"));
    assert!(busy(&more) < busy(&served.get("/answer?kill=nothing&load=200")), "{more}");
    assert_eq!(number(card(&more, "Failed")), 0.0, "nothing breaks");
    let killed = served.get("/answer?kill=host:app[1]&at=2&for=3");
    assert!(killed.contains("kill host:app[1]"), "the chart shows it:\n{killed}");
    let whole = served.get("/?hosts.app.count=1");
    assert!(whole.contains("value=\"1\" data-file=\"2\"") && whole.contains("✗ Not good"), "{whole}");
}

#[test]
fn the_same_address_gets_the_same_answer_anywhere() {
    let target = "/answer?hosts.app.count=3&load=130&seed=7";
    let answers = [(); 2].map(|()| serve(&quickstart()).get(target));
    assert_eq!(answers[0], answers[1]);
    let other = serve(&quickstart()).get("/answer?hosts.app.count=3&load=130&seed=8");
    assert_ne!(answers[0], other, "another seed is another run");
}

#[test]
fn what_cannot_be_is_told_and_strangers_are_sent_away() {
    let served = serve(&quickstart());
    for (target, told) in [
        ("/answer?hosts.app.count=1000", "hosts.app.count: found &quot;1000&quot;"),
        ("/?load=0", "expected per cent"),
        ("/answer?window=9h", "expected a time from 100ms to 30s"),
        ("/answer?from=29s&window=20s", "does not lie in the run"),
        ("/?%3Cscript%3E=1", "&lt;script&gt;"),
        ("/answer?load=%ff", "no text"),
    ] {
        let answer = served.get(target);
        let escaped = answer.replace("&#34;", "&quot;").replace("&#60;", "&lt;").replace("&#62;", "&gt;");
        assert!(answer.starts_with("HTTP/1.1 422") && escaped.contains(told), "{target}: {answer}");
    }
    assert!(served.get("/elsewhere").starts_with("HTTP/1.1 404"));
    let ask = |head: &str| served.say(&format!("{head}\r\n\r\n"));
    let host = format!("host: {}", served.address);
    assert!(ask("GET / HTTP/1.1\r\nhost: evil.example").starts_with("HTTP/1.1 403"), "a name pointed here");
    let embedded = format!("GET / HTTP/1.1\r\n{host}\r\nsec-fetch-site: cross-site\r\nsec-fetch-dest: image");
    assert!(ask(&embedded).starts_with("HTTP/1.1 403"), "another site asks");
    assert!(ask(&format!("POST / HTTP/1.1\r\n{host}\r\ncontent-length: 0")).starts_with("HTTP/1.1 405"));
}

#[test]
fn a_file_that_cannot_be_simulated_is_refused_before_anything_is_served() {
    let here = tempfile::tempdir().expect("a temporary directory");
    write(here.path(), "bad.toml", "title = \"Nothing\"\n");
    let out = sim(here.path(), &["serve", "bad.toml"]);
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(104), b"".as_slice()));
    let out = sim(here.path(), &["serve", "nowhere.toml"]);
    assert_eq!(out.status.code(), Some(104), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Passes requests on and adds a script to pages; the address.
fn relay(to: &str, script: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let own = listener.local_addr().expect("it is bound").to_string();
    let (to, name) = (to.to_owned(), own.clone());
    // It ends with the tests' process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (to, name) = (to.clone(), name.clone());
            thread::spawn(move || pass_on(stream.ok()?, &to, &name, script));
        }
    });
    own
}

/// One request and its answer; none where one of the two sides has gone.
fn pass_on(mut stream: TcpStream, to: &str, own: &str, script: &str) -> Option<()> {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let answer = say(to, &head.replace(own, to));
    // The length is another with the script; the connection's end says where the answer does.
    let (fields, body) = answer.split_once("\r\n\r\n")?;
    let kept = fields.lines().filter(|line| !line.starts_with("content-length"));
    let fields = kept.collect::<Vec<_>>().join("\r\n");
    let body = body.replace("</body>", &format!("<script>{script}</script></body>"));
    stream.write_all(format!("{fields}\r\n\r\n{body}").as_bytes()).ok()
}

/// Moves a knob as a reader would, and writes the address down when the answer is there.
const MOVE: &str = "addEventListener('load', () => { \
    const knob = document.getElementById('hosts.app.count'); \
    new MutationObserver(() => { document.documentElement.dataset.address = location.search; }) \
        .observe(document.getElementById('answer'), { childList: true }); \
    knob.value = '1'; knob.dispatchEvent(new Event('input', { bubbles: true })); });";

#[test]
fn a_browser_shows_the_page_in_silence_and_follows_what_is_moved() {
    let Some(chromium) = chromium() else { return println!("SKIPPED: there is no chromium") };
    let served = serve(&quickstart());
    // The browser's own clock stands still while it waits for an answer.
    let arguments = ["--dump-dom", "--virtual-time-budget=20000"];
    let addresses = [
        format!("http://{}/?hosts.app.count=1", served.address),
        format!("http://{}/", relay(&served.address, MOVE)),
    ];
    for address in addresses {
        let Some(seen) = open(&chromium, &address, &arguments) else {
            return println!("SKIPPED: the browser did not come to an end in {} s", PATIENCE.as_secs());
        };
        let page = &seen.output;
        // Whatever it asks of anybody else fails, and would be said here.
        assert_eq!(seen.console, Vec::<String>::new(), "{address}");
        assert!(page.contains("✗ Not good") && page.contains("in the file:"), "{address}:\n{page}");
        assert!(page.matches("<svg").count() > 2, "charts are drawn: {address}");
        if !address.contains('?') {
            assert!(page.contains("data-address=\"?hosts.app.count=1\""), "the address follows:\n{page}");
        }
    }
}
