//! The store and its clients: passwords, lists, channels, transactions, versions of the protocol, tools.

use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use redis::{Connection, TypedCommands};

use crate::room::{eventually, shop, start};
use crate::store_conformance::{figure, is_required};

fn open(stack: &reference::client::Stack, query: &str) -> Connection {
    let address = stack.entry("objects")[0];
    let client = redis::Client::open(format!("redis://{address}/{query}")).expect("an address");
    client.get_connection().expect("a connection")
}

fn room() -> reference::client::Stack {
    start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]))
}

fn ask<T: redis::FromRedisValue>(connection: &mut Connection, command: &str) -> redis::RedisResult<T> {
    let mut words = command.split(' ');
    let mut call = redis::cmd(words.next().expect("a name"));
    words.for_each(|word| {
        call.arg(word);
    });
    call.query(connection)
}

#[test]
fn strangers_are_let_in_with_the_password_only() {
    let stack = room();
    let mut known = open(&stack, "");
    let _: () = ask(&mut known, "CONFIG SET requirepass secret").expect("CONFIG SET");
    let address = stack.entry("objects")[0];
    let strange = redis::Client::open(format!("redis://{address}/")).expect("an address");
    let mut stranger = strange.get_connection().expect("connected");
    let refused = ask::<String>(&mut stranger, "GET a").expect_err("no password was given");
    assert_eq!(refused.code(), Some("NOAUTH"));
    assert_eq!(ask::<String>(&mut stranger, "AUTH wrong").expect_err("wrong").code(), Some("WRONGPASS"));
    let _: String = ask(&mut stranger, "AUTH secret").expect("right");
    assert_eq!(ask::<Option<String>>(&mut stranger, "GET a").expect("let in"), None);
    for query in ["", "?protocol=resp3"] {
        let client = redis::Client::open(format!("redis://:secret@{address}/{query}")).expect("an address");
        assert_eq!(client.get_connection().expect("let in").ping().expect("PING"), "PONG");
    }
}

#[test]
fn both_versions_of_the_protocol_say_the_same() {
    let stack = room();
    for query in ["", "?protocol=resp3"] {
        let mut connection = open(&stack, query);
        let _: i64 = ask(&mut connection, "HSET session user 7 name Ann").expect("HSET");
        let all: std::collections::BTreeMap<String, String> =
            ask(&mut connection, "HGETALL session").expect("HGETALL");
        assert_eq!(all["name"], "Ann");
        assert_eq!(ask::<Option<String>>(&mut connection, "GET nothing").expect("GET"), None);
        let wrong = ask::<String>(&mut connection, "GET session").expect_err("a hash");
        assert_eq!(wrong.code(), Some("WRONGTYPE"));
        let policy: std::collections::BTreeMap<String, String> =
            ask(&mut connection, "CONFIG GET maxmemory-policy").expect("CONFIG GET");
        assert_eq!(policy["maxmemory-policy"], "volatile-lru");
    }
}

#[test]
fn messages_reach_who_listens_and_dead_listeners_are_forgotten() {
    let stack = room();
    let (mut listener, mut publisher) = (open(&stack, ""), open(&stack, ""));
    let mut listening = listener.as_pubsub();
    listening.subscribe("purge").expect("SUBSCRIBE");
    listening.psubscribe("tag:*").expect("PSUBSCRIBE");
    assert_eq!(ask::<i64>(&mut publisher, "PUBLISH purge /a").expect("PUBLISH"), 1);
    assert_eq!(ask::<i64>(&mut publisher, "PUBLISH tag:7 all").expect("PUBLISH"), 1);
    assert_eq!(ask::<i64>(&mut publisher, "PUBLISH other x").expect("PUBLISH"), 0);
    let first = listening.get_message().expect("a message");
    assert_eq!(
        (first.get_channel_name(), first.get_payload::<String>().expect("text")),
        ("purge", "/a".to_owned())
    );
    let second = listening.get_message().expect("a message");
    assert_eq!(second.get_pattern::<String>().expect("text"), "tag:*");
    drop(listening);
    drop(listener);
    eventually("nobody listens", || ask::<i64>(&mut publisher, "PUBLISH purge /b").expect("PUBLISH") == 0);
}

#[test]
fn a_listener_that_does_not_read_is_cut_off_at_the_limit_and_one_that_reads_is_not() {
    const LENGTH: usize = 64 << 10;
    let stack = room();
    let (mut reader, mut publisher) = (open(&stack, ""), open(&stack, ""));
    let mut reading = reader.as_pubsub();
    reading.subscribe("news").expect("SUBSCRIBE");
    let message = format!("PUBLISH news {}", "x".repeat(LENGTH));
    for (limit, least) in [("pubsub 1mb 0 0", Duration::ZERO), ("pubsub 0 256kb 1", Duration::from_secs(1))] {
        let _: () = redis::cmd("CONFIG")
            .arg(&["SET", "client-output-buffer-limit", limit])
            .query(&mut publisher)
            .expect("CONFIG SET");
        let mut deaf = open(&stack, "");
        let mut listening = deaf.as_pubsub();
        listening.subscribe("news").expect("SUBSCRIBE");
        let (start, mut sent) = (Instant::now(), 0);
        eventually("it is cut off", || {
            let listeners = ask::<i64>(&mut publisher, &message).expect("PUBLISH");
            let heard = reading.get_message().expect("it reads").get_payload::<String>();
            assert_eq!(heard.expect("text").len(), LENGTH);
            sent += 1;
            listeners == 1
        });
        assert!(start.elapsed() >= least, "{limit}: after {:?}", start.elapsed());
        // The kernel takes some of it.
        assert!(!least.is_zero() || sent * LENGTH < 64 << 20, "{limit}: after {sent} messages");
    }
    assert_eq!(figure(&mut publisher, "client_output_buffer_limit_disconnections"), 2);
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut_off_at_the_limit_of_its_class() {
    // More than the kernel takes of it, and less than a value may have.
    const LENGTH: usize = 60 << 20;
    let stack = room();
    let mut client = open(&stack, "");
    let _: () = ask(&mut client, "CONFIG SET maxmemory 0").expect("CONFIG SET");
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "client-output-buffer-limit", "normal 4mb 0 0"])
        .query(&mut client)
        .expect("CONFIG SET");
    let _: () = redis::cmd("SET").arg("big").arg(vec![b'x'; LENGTH]).query(&mut client).expect("SET");
    let mut deaf = crate::room::connect(stack.entry("objects")[0]).expect("accepted");
    deaf.write_all(b"GET big\r\n").expect("sent");
    eventually("it is cut off", || figure(&mut client, "client_output_buffer_limit_disconnections") == 1);
    assert_eq!(figure(&mut client, "connected_clients"), 1);
    let mut came = Vec::new();
    if let Err(error) = deaf.read_to_end(&mut came) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    assert!(came.len() < LENGTH, "{} bytes came", came.len());
}

#[test]
fn clients_are_listed_and_killed() {
    let stack = room();
    let (mut one, mut other) = (open(&stack, ""), open(&stack, ""));
    let _: String = ask(&mut other, "CLIENT SETNAME victim").expect("CLIENT SETNAME");
    let list: String = ask(&mut one, "CLIENT LIST").expect("CLIENT LIST");
    let line = list.lines().find(|line| line.contains("name=victim")).expect("it is listed");
    let id = line.split(' ').next().and_then(|word| word.strip_prefix("id=")).expect("ids come first");
    assert_eq!(ask::<i64>(&mut one, &format!("CLIENT KILL ID {id}")).expect("CLIENT KILL"), 1);
    assert!(ask::<String>(&mut other, "PING").is_err(), "it is gone");
    let list: String = ask(&mut one, "CLIENT LIST").expect("CLIENT LIST");
    assert_eq!(list.lines().count(), 1);
}

#[test]
fn transactions_are_carried_out_at_once_or_not_at_all() {
    let stack = room();
    let mut connection = open(&stack, "");
    let (first, second): (String, i64) = redis::pipe()
        .atomic()
        .cmd("SET")
        .arg(&["n", "41"])
        .cmd("INCR")
        .arg("n")
        .query(&mut connection)
        .expect("EXEC");
    assert_eq!((first.as_str(), second), ("OK", 42));
    // What it rests on changed meanwhile.
    let mut other = open(&stack, "");
    for (key, is_carried_out) in [("n", false), ("m", true)] {
        let _: String = ask(&mut connection, "WATCH n").expect("WATCH");
        let _: String = ask(&mut other, &format!("SET {key} 1")).expect("SET");
        let _: String = ask(&mut connection, "MULTI").expect("MULTI");
        let _: String = ask(&mut connection, "SET n 7").expect("queued");
        let done: Option<Vec<String>> = ask(&mut connection, "EXEC").expect("EXEC");
        assert_eq!(done.is_some(), is_carried_out, "{key}");
    }
    let _: String = ask(&mut connection, "MULTI").expect("MULTI");
    assert!(ask::<String>(&mut connection, "NOSUCH").is_err());
    let refused = ask::<String>(&mut connection, "EXEC").expect_err("one was not understood");
    assert_eq!(refused.code(), Some("EXECABORT"));
}

#[test]
fn slow_commands_are_remembered_with_their_arguments() {
    let stack = room();
    let mut connection = open(&stack, "");
    let _: () = ask(&mut connection, "CONFIG SET slowlog-log-slower-than 0").expect("CONFIG SET");
    let _: Option<String> = ask(&mut connection, "GET a").expect("GET");
    let slow: Vec<(i64, i64, i64, Vec<String>, String, String)> =
        ask(&mut connection, "SLOWLOG GET 1").expect("SLOWLOG");
    assert_eq!(slow[0].3, ["GET", "a"]);
}

#[test]
fn scans_find_all_keys_while_others_come_and_go() {
    let stack = room();
    let mut connection = open(&stack, "");
    for n in 0..1000 {
        connection.set(format!("scan:{n}"), n).expect("SET");
    }
    let (mut cursor, mut found) = (0_u64, std::collections::BTreeSet::new());
    for round in 0.. {
        connection.set(format!("other:{round}"), 1).expect("SET");
        connection.del(format!("other:{}", round / 2)).expect("DEL");
        let (next, keys): (u64, Vec<String>) =
            ask(&mut connection, &format!("SCAN {cursor} MATCH scan:* COUNT 50")).expect("SCAN");
        found.extend(keys);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(found.len(), 1000);
    let carts: Vec<String> = ask(&mut connection, "KEYS carts:*").expect("KEYS");
    assert_eq!(carts.len(), 50, "those that only stand are there too");
}

#[test]
fn redis_benchmark_runs_against_it() {
    let stack = room();
    let address = stack.entry("objects")[0];
    let output = Command::new("redis-benchmark")
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args([
            "-t",
            "ping,set,get,incr,hset,mset",
            "-n",
            "2000",
            "-c",
            "20",
            "-P",
            "4",
            "-r",
            "1000",
            "--csv",
        ])
        .output();
    match output {
        Ok(output) => {
            let (out, complaints) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{complaints}");
            assert!(!complaints.contains("WARNING"), "{complaints}");
            assert!(out.contains("\"SET\"") && out.contains("\"HSET\""), "{out}");
        }
        Err(error) => {
            assert!(!is_required("redis-cli"), "redis-benchmark: {error}");
            println!("SKIPPED: redis-benchmark: {error}");
        }
    }
}
