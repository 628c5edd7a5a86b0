//! Files of what the store holds: ours, and a real Redis's.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use redis::{Connection, TypedCommands};
use reference::client::Stack;
use scenarios::Scenario;
use tempfile::TempDir;

use crate::room::{eventually, shop, start};
use crate::store_conformance::{connect, figure, real};

/// A store of ours that runs alone.
struct Alone {
    process: Child,
    address: SocketAddr,
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Alone {
    /// Filled from this file, and saved there.
    fn start(dump: &Path) -> Self {
        let text = shop("", "workers = 4", &["wait = \"1ms\""], &[]).source.text;
        let text = text.replace("max_memory = \"1MiB\"\n", "").replace("eviction = \"volatile-lru\"\n", "");
        let scenario = dump.with_extension("toml");
        std::fs::write(&scenario, text).expect("a file can be written");
        let mut process = Command::new(env!("CARGO_BIN_EXE_reference"))
            .args(["store", &scenario.to_string_lossy(), "objects", "--listen", "127.0.0.1:0", "--dump"])
            .arg(dump)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        Self { process, address: address.unwrap_or_else(|| panic!("where it listens: {line:?}")) }
    }

    fn client(&self) -> Connection {
        connect(self.address)
    }
}

/// A directory, and the file in it.
fn place() -> (TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dump = directory.path().join("dump.rdb");
    (directory, dump)
}

fn ask<T: redis::FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    redis::cmd(words[0])
        .arg(&words[1..])
        .query(connection)
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn names(connection: &mut Connection) -> BTreeSet<String> {
    ask::<Vec<String>>(connection, &["KEYS", "*"]).into_iter().collect()
}

/// Keys of all kinds.
fn write(connection: &mut Connection) {
    let mut pipe = redis::pipe();
    for n in 0..2000 {
        pipe.cmd("SET").arg(format!("key:{n}")).arg(format!("value {n} ").repeat(n % 90));
        match n % 4 {
            0 => pipe.arg("PX").arg(1_000_000 + n).ignore(),
            _ => pipe.ignore(),
        };
    }
    for number in ["0", "-1", "100", "-30000", "1000000", "123456789012345678", "007"] {
        pipe.cmd("SET").arg(format!("number:{number}")).arg(number).ignore();
        pipe.cmd("HSET").arg("small").arg(format!("number:{number}")).arg(number).ignore();
    }
    pipe.cmd("HSET").arg(&["small", "name", "Ann", "long", &"x".repeat(60)]).ignore();
    for n in 0..300 {
        pipe.cmd("HSET").arg("large").arg(n).arg(format!("field {n} ").repeat(20)).ignore();
    }
    pipe.cmd("PEXPIRE").arg(&["small", "500000"]).ignore();
    pipe.cmd("SET").arg(&["brief", "1", "PX", "1"]).ignore();
    let _: () = pipe.query(connection).expect("writes");
}

fn assert_same(here: &mut Connection, there: &mut Connection) {
    let all = names(here);
    assert_eq!(all, names(there));
    assert!(all.len() > 2000);
    for name in all.iter().filter(|name| !["small", "large"].contains(&name.as_str())) {
        assert_eq!(here.get(name).expect("GET"), there.get(name).expect("GET"), "{name}");
    }
    for name in ["key:0", "key:1", "key:1996", "small", "large"] {
        let left = |connection: &mut Connection| ask::<i64>(connection, &["PTTL", name]);
        let (here, there) = (left(here), left(there));
        // Both clocks run on while we ask.
        assert!((here < 0) == (there < 0) && (here - there).abs() < 30_000, "{name}: {here} and {there}");
    }
    for name in ["small", "large"] {
        assert_eq!(here.hgetall(name).expect("HGETALL"), there.hgetall(name).expect("HGETALL"), "{name}");
    }
}

#[test]
fn a_store_that_was_saved_is_filled_again() {
    let (_directory, dump) = place();
    let (first, copy) = (Alone::start(&dump), place());
    let mut client = first.client();
    assert_eq!(
        client.get("carts:7").expect("GET").map(|v| v.len()),
        Some(100),
        "it is filled as the file says"
    );
    write(&mut client);
    let before: i64 = ask(&mut client, &["LASTSAVE"]);
    assert_eq!(ask::<String>(&mut client, &["SAVE"]), "OK");
    assert!(ask::<i64>(&mut client, &["LASTSAVE"]) >= before);
    assert_eq!(figure(&mut client, "rdb_changes_since_last_save"), 0);
    std::fs::copy(&dump, &copy.1).expect("it was written");
    let again = Alone::start(&copy.1);
    let mut other = again.client();
    eventually("it is filled", || figure(&mut other, "loading") == 0);
    assert_same(&mut client, &mut other);
    // Nothing but the file is left.
    let left: Vec<_> =
        std::fs::read_dir(dump.parent().expect("a directory")).expect("it can be read").collect();
    assert_eq!(left.len(), 2, "the scenario and the file: {left:?}");
}

#[test]
fn what_changes_during_a_save_is_saved_as_it_was() {
    const KEYS: usize = 100_000;
    let (_directory, dump) = place();
    let first = Alone::start(&dump);
    let mut client = first.client();
    assert_eq!(figure(&mut client, "rdb_last_load_milliseconds"), 0, "there was no file");
    let all = |value: &str, client: &mut Connection| {
        for from in (0..KEYS).step_by(10_000) {
            let mut pipe = redis::pipe();
            (from..from + 10_000).for_each(|n| {
                pipe.cmd("SET").arg(format!("key:{n}")).arg(value).ignore();
            });
            let _: () = pipe.query(client).expect("writes");
        }
    };
    all("old", &mut client);
    // In one go, so that hardly anything is written before it changes.
    let mut pipe = redis::pipe();
    pipe.cmd("BGSAVE").ignore();
    pipe.cmd("BGSAVE").ignore();
    let twice: redis::RedisResult<()> = pipe.query(&mut client);
    assert!(twice.expect_err("one at a time").to_string().contains("already in progress"));
    all("new", &mut client);
    for command in
        [&["DEL", "key:99999", "carts:49"][..], &["SET", "late", "1"], &["RENAME", "key:99998", "moved"]]
    {
        let _: redis::Value = ask(&mut client, command);
    }
    eventually("it is saved", || figure(&mut client, "rdb_bgsave_in_progress") == 0);
    assert!(figure(&mut client, "rdb_changes_since_last_save") > 0);
    drop(first);
    let again = Alone::start(&dump);
    let mut client = again.client();
    let mut was_told_to_wait = false;
    eventually("it is filled", || {
        match redis::cmd("GET").arg("key:1").query::<Option<String>>(&mut client) {
            Ok(_) => true,
            Err(error) => {
                assert!(error.to_string().to_lowercase().contains("loading"), "{error}");
                was_told_to_wait = true;
                false
            }
        }
    });
    assert!(was_told_to_wait, "clients wait while it is filled");
    assert!(figure(&mut client, "rdb_last_load_milliseconds") > 0, "it takes its time to start");
    let values: Vec<Option<String>> = {
        let mut command = redis::cmd("MGET");
        (0..KEYS).for_each(|n| {
            command.arg(format!("key:{n}"));
        });
        command.query(&mut client).expect("MGET")
    };
    let other = values.iter().position(|value| value.as_deref() != Some("old"));
    assert_eq!(other, None, "{:?}", other.map(|n| &values[n]));
    assert_eq!(client.get("carts:49").expect("GET").map(|v| v.len()), Some(100));
    assert!(!client.exists("late").expect("EXISTS") && !client.exists("moved").expect("EXISTS"));
}

#[test]
fn a_real_redis_is_filled_from_our_file_and_we_from_its() {
    let (directory, dump) = place();
    let ours = Alone::start(&dump);
    let mut client = ours.client();
    write(&mut client);
    assert_eq!(ask::<String>(&mut client, &["SAVE"]), "OK");
    let Some(theirs) = real(&["--dir", &directory.path().to_string_lossy()]) else { return };
    let mut other = connect(theirs.address);
    eventually("it is filled", || figure(&mut other, "loading") == 0);
    assert_same(&mut client, &mut other);
    // Packed and compressed, as it does by default.
    assert_eq!(ask::<String>(&mut other, &["SAVE"]), "OK");
    let again = Alone::start(&dump);
    let mut third = again.client();
    eventually("it is filled", || figure(&mut third, "loading") == 0);
    assert_same(&mut other, &mut third);
}

#[test]
fn a_file_that_is_broken_ends_the_store_instead_of_filling_it() {
    let (_directory, dump) = place();
    let first = Alone::start(&dump);
    let mut client = first.client();
    write(&mut client);
    assert_eq!(ask::<String>(&mut client, &["SAVE"]), "OK");
    let mut bytes = std::fs::read(&dump).expect("it was written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&dump, bytes).expect("a file can be written");
    let mut again = Alone::start(&dump);
    eventually("it ends", || {
        again.process.try_wait().expect("it can be asked").is_some_and(|s| s.code() == Some(1))
    });
}

#[test]
fn a_save_that_fails_is_told_and_stops_writes_where_saves_are_a_rule() {
    let (directory, dump) = place();
    let first = Alone::start(&dump);
    let mut client = first.client();
    let _: String = ask(&mut client, &["SET", "a", "1"]);
    drop(directory);
    let failed: redis::RedisResult<String> = redis::cmd("SAVE").query(&mut client);
    assert!(failed.is_err());
    let _: String = ask(&mut client, &["SET", "a", "2"]);
    let _: String = ask(&mut client, &["CONFIG", "SET", "save", "3600 1"]);
    let refused: redis::RedisResult<String> = redis::cmd("SET").arg(&["a", "3"]).query(&mut client);
    assert!(refused.expect_err("no save, no write").to_string().contains("MISCONF"));
    assert_eq!(client.get("a").expect("GET").as_deref(), Some("2"));
    std::fs::create_dir(dump.parent().expect("a directory")).expect("it can be made again");
    assert_eq!(ask::<String>(&mut client, &["SAVE"]), "OK");
    let _: String = ask(&mut client, &["SET", "a", "3"]);
    std::fs::remove_dir_all(dump.parent().expect("a directory")).expect("it is ours");
}

#[test]
fn no_client_can_have_files_written_where_it_wants() {
    let (_directory, dump) = place();
    let alone = Alone::start(&dump);
    let mut client = alone.client();
    for (name, value) in [("dir", "/tmp"), ("dbfilename", "other")] {
        let refused: redis::RedisResult<String> =
            redis::cmd("CONFIG").arg(&["SET", name, value]).query(&mut client);
        assert!(refused.is_err(), "{name}");
    }
    let shown: Vec<String> = ask(&mut client, &["CONFIG", "GET", "dbfilename"]);
    assert_eq!(shown, ["dbfilename", "dump.rdb"]);
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let mut client = connect(stack.entry("objects")[0]);
    let refused: redis::RedisResult<String> = redis::cmd("SAVE").query(&mut client);
    assert!(refused.is_err(), "a store of a stack has no file");
}

/// A stack whose store is saved every second, further lines of it, and the faults that can begin there.
fn with_snapshots(more: &str, faults: &[&str]) -> Stack {
    let text = shop("", "workers = 4", &["wait = \"1ms\""], &[]).source.text.clone();
    let text = text.replace(
        "max_memory = \"1MiB\"\neviction = \"volatile-lru\"\n",
        &format!("snapshot = {{ every = \"1s\", fork_per_gb = \"1ms\" }}\n{more}\n"),
    );
    let faults: String =
        faults.iter().map(|f| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\n{f}\n")).collect();
    let scenario = Scenario::parse(Path::new("test.toml"), text + &faults);
    start(&scenario.unwrap_or_else(|problems| panic!("{problems}")))
}

/// Kills the store by a fault and starts it again; a client of it when it is filled.
fn started_again(stack: &Stack, fault: usize) -> Connection {
    stack.begin_fault(fault).expect("killed");
    stack.end_fault(fault).expect("started again");
    let mut client = connect(stack.entry("objects")[0]);
    eventually("it is filled", || figure(&mut client, "loading") == 0);
    client
}

#[test]
fn a_store_of_a_stack_that_was_killed_is_filled_from_its_last_snapshot() {
    let stack = with_snapshots("", &["kill = \"component:objects[1]\""]);
    let mut client = connect(stack.entry("objects")[0]);
    write(&mut client);
    let _: String = ask(&mut client, &["SET", "carts:1", "written"]);
    eventually("all of it is saved", || figure(&mut client, "rdb_changes_since_last_save") == 0);
    // Those that were filled in at the start expire one after the other.
    let parts = |client: &mut Connection| -> (BTreeSet<String>, BTreeSet<String>) {
        names(client).into_iter().partition(|name| name.starts_with("items:"))
    };
    let (_, before) = parts(&mut client);
    let fields = client.hgetall("large").expect("HGETALL");
    assert!(before.len() > 2000 + 50, "what was written, and what stands");
    // The second time it is filled from what it saved since, or from the same.
    for _ in 0..2 {
        let mut client = started_again(&stack, 0);
        let (items, after) = parts(&mut client);
        assert!(items.len() > 50, "{} of a hundred are there", items.len());
        assert_eq!(before.symmetric_difference(&after).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(client.get("carts:1").expect("GET").as_deref(), Some("written"));
        assert_eq!(client.get("carts:7").expect("GET").map(|v| v.len()), Some(100), "it stands there");
        assert_eq!(client.hgetall("large").expect("HGETALL"), fields);
        let left: i64 = ask(&mut client, &["PTTL", "key:0"]);
        assert!((900_000..=1_000_000).contains(&left), "{left} ms are left of 1,000 s");
    }
}

#[test]
fn what_a_full_disk_refuses_is_lost_with_the_process_and_what_was_saved_before_is_not() {
    let stack = with_snapshots("", &["disk_full = \"component:objects\"", "kill = \"component:objects[1]\""]);
    let mut client = connect(stack.entry("objects")[0]);
    let _: String = ask(&mut client, &["SET", "early", "1"]);
    eventually("it is saved", || figure(&mut client, "rdb_changes_since_last_save") == 0);
    stack.begin_fault(0).expect("it is full");
    // Taken or refused, as a save has failed already or not.
    let _: redis::RedisResult<String> = redis::cmd("SET").arg(&["late", "1"]).query(&mut client);
    eventually("a save has failed", || {
        ask::<String>(&mut client, &["INFO", "persistence"]).contains("rdb_last_bgsave_status:err")
    });
    assert!(client.exists("early").expect("EXISTS"), "it goes on serving");
    let mut client = started_again(&stack, 1);
    assert!(client.exists("early").expect("EXISTS") && !client.exists("late").expect("EXISTS"));
}

#[test]
fn a_copy_follows_a_store_that_was_filled_from_its_snapshot() {
    let stack = with_snapshots("replicas = 1", &["kill = \"component:objects[1]\""]);
    let mut client = connect(stack.entry("objects")[0]);
    eventually("it has a copy", || figure(&mut client, "connected_slaves") == 1);
    write(&mut client);
    eventually("all of it is saved", || figure(&mut client, "rdb_changes_since_last_save") == 0);
    let mut client = started_again(&stack, 0);
    assert!(client.exists("key:1999").expect("EXISTS"), "nobody took over: it has its own");
    eventually("its copy is back", || figure(&mut client, "connected_slaves") == 1);
    let _: String = ask(&mut client, &["SET", "after", "1"]);
    assert_eq!(ask::<i64>(&mut client, &["WAIT", "1", "20000"]), 1, "the copy has it");
}
