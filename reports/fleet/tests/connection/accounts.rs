//! Servers that know an operator: it vouches for accounts, and they for users, who show a file as `nsc` writes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet::async_nats::Subscriber;
use fleet::server::Server;
use fleet::{Link, Options, StreamExt as _};
use futures_util::future::join;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{configured, connect};

/// When all of this was vouched for, in seconds since 1970: some time ago.
const ISSUED: u64 = 1_700_000_000;
/// A message that does not come in this time does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Claims about a key as NATS writes them (JWTs of version 2), signed by who vouches for it.
fn vouched(issuer: &KeyPair, subject: &KeyPair, name: &str, mut nats: Value) -> String {
    nats["version"] = 2.into();
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": name,
        "iat": ISSUED,
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": nats,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(&claims));
    let signature = issuer.sign(text.as_bytes()).expect("it has its seed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What an operator says of an account that may do what it likes: -1 is no limit, and nothing said is none at all.
fn of_account(operator: &KeyPair, account: &KeyPair, name: &str) -> String {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    vouched(operator, account, name, json!({ "type": "account", "limits": limits }))
}

/// What an account says of a user that may do what it likes.
fn of_user(account: &KeyPair, user: &KeyPair) -> String {
    of_user_that_may(account, user, &json!({}))
}

/// What an account says of a user that may publish and subscribe to some subjects.
fn of_user_that_may(account: &KeyPair, user: &KeyPair, may: &Value) -> String {
    let nats = json!({ "type": "user", "pub": may, "sub": may, "subs": -1, "data": -1, "payload": -1 });
    vouched(account, user, "user", nats)
}

/// A file with what is said of a user, and with a key that should be the user's.
fn credentials(directory: &Path, claims: &str, key: &KeyPair) -> PathBuf {
    let seed = key.seed().expect("it has its seed");
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{claims}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\
         NKEY Seed printed below can be used to sign and prove identity.\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    let path = directory.join("user.creds");
    fs::write(&path, text).expect("it can be written");
    path
}

/// A server that knows two accounts of an operator's, and their keys; none where there is no program.
fn with_accounts(operator: &KeyPair, accounts: [&KeyPair; 2]) -> Option<(Server, TempDir)> {
    let known = accounts.map(|account| {
        let claims = of_account(operator, account, "account");
        format!("  {}: \"{claims}\"\n", account.public_key())
    });
    let of_itself = vouched(operator, operator, "operator", json!({ "type": "operator" }));
    let known = known.concat();
    configured(&format!("operator: \"{of_itself}\"\nresolver: MEMORY\nresolver_preload: {{\n{known}}}\n"))
}

/// Options with a user of this account, for whom its file was just made.
fn as_user(server: &Server, directory: &Path, account: &KeyPair) -> Options {
    let user = KeyPair::new_user();
    let path = credentials(directory, &of_user(account, &user), &user);
    Options { nats_credentials: Some(path), ..server.options() }
}

/// A connection of a user of this account.
async fn linked(server: &Server, directory: &Path, account: &KeyPair) -> Link {
    as_user(server, directory, account).connect("test").await.expect("the user is known")
}

/// The next message, which must come.
async fn heard(subscriber: &mut Subscriber) -> String {
    let message = tokio::time::timeout(PATIENCE, subscriber.next()).await.expect("it comes in time");
    fleet::read("a word", &message.expect("the subscription stands").payload).expect("it is a text")
}

#[test]
fn a_user_is_let_in_by_a_file_of_nsc_and_is_heard() {
    let (operator, account, other) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let Some((server, directory)) = with_accounts(&operator, [&account, &other]) else { return };
    fleet::runtime().expect("a runtime").block_on(async {
        let link = linked(&server, directory.path(), &account).await;
        let mut words = link.listen("rehearsal.test").await.expect("it may listen");
        link.send("a word", "rehearsal.test", &"hello").await.expect("it may speak");
        assert_eq!(heard(&mut words).await, "hello");
    });
}

#[test]
fn nobody_else_is_let_in_and_each_is_told_why() {
    let (operator, account, other) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let Some((server, directory)) = with_accounts(&operator, [&account, &other]) else { return };
    let refused = connect(&server.options()).expect_err("nobody said who we are").to_string();
    assert!(refused.contains("--nats-credentials names a file"), "{refused}");
    let place = format!("NATS at {}: ", server.place());
    let (user, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let claims = of_user(&account, &user);
    let (head, signature) = claims.rsplit_once('.').expect("claims have three parts");
    let of_another = of_user(&KeyPair::new_account(), &stranger);
    let cases = [
        ("an account that the server does not know", of_another, &stranger),
        ("a key that is not the user's", claims.clone(), &stranger),
        ("claims that nobody signed", format!("{head}.{}", "A".repeat(signature.len())), &user),
    ];
    for (case, claims, key) in cases {
        let path = credentials(directory.path(), &claims, key);
        let options = Options { nats_credentials: Some(path), ..server.options() };
        let refused = connect(&options).expect_err(case).to_string();
        assert!(refused.starts_with(&place), "{case}: {refused}");
        assert!(refused.contains("a user that this server knows"), "{case}: {refused}");
        let seed = key.seed().expect("it has its seed");
        assert!(!refused.contains(&seed) && !refused.contains(&claims), "{case}: {refused}");
    }
    connect(&as_user(&server, directory.path(), &account)).expect("the server still lets in whom it knows");
}

#[test]
fn a_file_that_is_cut_off_is_named_without_what_is_in_it() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let user = KeyPair::new_user();
    let claims = of_user(&KeyPair::new_account(), &user);
    let path = credentials(directory.path(), &claims, &user);
    let text = fs::read_to_string(&path).expect("it was just written");
    let cut = text.split("-----BEGIN USER").next().expect("a first part");
    fs::write(&path, cut).expect("it can be written");
    // Nobody is asked: the file is read before.
    let nats = Some("nats://127.0.0.1:4222".parse().expect("a place"));
    let options = Options { nats, nats_credentials: Some(path.clone()), ..Options::default() };
    let refused = connect(&options).expect_err("there is no key in it").to_string();
    assert!(refused.starts_with(&format!("{}: ", path.display())), "{refused}");
    assert!(refused.contains("a credentials file of nsc's") && !refused.contains(&claims), "{refused}");
}

#[test]
fn two_accounts_do_not_hear_each_other() {
    let (operator, account, other) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let Some((server, directory)) = with_accounts(&operator, [&account, &other]) else { return };
    fleet::runtime().expect("a runtime").block_on(async {
        let own = linked(&server, directory.path(), &account).await;
        let foreign = linked(&server, directory.path(), &other).await;
        let mut words = own.listen("rehearsal.test").await.expect("it may listen");
        foreign.send("a word", "rehearsal.test", &"from elsewhere").await.expect("it may speak");
        // The server has dealt with it before the next is said.
        foreign.flush().await.expect("the server answers");
        own.send("a word", "rehearsal.test", &"from here").await.expect("it may speak");
        assert_eq!(heard(&mut words).await, "from here");
    });
}

#[test]
fn the_permissions_that_agents_are_said_to_need_are_enough_and_no_more_is_heard() {
    let (operator, account, other) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let Some((server, directory)) = with_accounts(&operator, [&account, &other]) else { return };
    fleet::runtime().expect("a runtime").block_on(async {
        let free = linked(&server, directory.path(), &account).await;
        let user = KeyPair::new_user();
        let may = json!({ "allow": ["rehearsal.load.>", "_INBOX.>"] });
        let path = credentials(directory.path(), &of_user_that_may(&account, &user, &may), &user);
        let options = Options { nats_credentials: Some(path), ..server.options() };
        let agent = options.connect("test").await.expect("the user is known");

        let mut questions = agent.listen("rehearsal.load.question").await.expect("it may listen");
        let answering = async {
            let asked = tokio::time::timeout(PATIENCE, questions.next()).await.expect("it comes in time");
            let asked = asked.expect("the subscription stands");
            agent.answer("an answer", &asked, &"yes").await.expect("it may answer");
        };
        let asking = agent.ask::<String>("a question", "rehearsal.load.question", &"really?", PATIENCE);
        let (answer, ()) = join(asking, answering).await;
        assert_eq!(answer.expect("it may ask"), "yes");

        // The server says of the rest that it may not, which nobody waits for, and does not pass it on.
        let mut others = agent.listen("rehearsal.sim.tasks").await.expect("the connection stands");
        free.send("a word", "rehearsal.sim.tasks", &"a task").await.expect("it may speak");
        free.flush().await.expect("the server answers");
        agent.flush().await.expect("the server answers");
        let heard = tokio::time::timeout(Duration::from_millis(50), others.next()).await;
        assert!(!matches!(heard, Ok(Some(_))), "{heard:?}");
    });
}
