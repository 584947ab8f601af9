//! Connections and the CLIENT family through a cluster.

use commands::clients::{Close, ReplyMode};
use commands::{Client, ClientId};
use resp::{Proto, Reply};
use testkit::Cluster;

/// The text of a reply that is one.
fn text(reply: Reply) -> String {
    match reply {
        Reply::Simple(text) | Reply::Error(text) | Reply::Bulk(text) | Reply::Verbatim(_, text) => {
            String::from_utf8(text).expect("the texts here are UTF-8")
        }
        Reply::Int(number) => number.to_string(),
        Reply::Null => "(nil)".into(),
        other => panic!("a text was expected, not {other:?}"),
    }
}

fn ask(cluster: &mut Cluster, line: &str) -> String {
    text(cluster.ask(line))
}

fn client(cluster: &Cluster, core: usize) -> &Client {
    cluster.cores()[core].clients.at(ClientId(0))
}

/// Adds a client to a core, as a copy of what its first one is.
fn connect(cluster: &mut Cluster, core: usize, place: u32, number: u64, address: &str) {
    let clients = &mut cluster.cores_mut()[core].clients;
    let first = clients.at(ClientId(0));
    let client = Client {
        number,
        descriptor: 9,
        address: address.into(),
        local_address: first.local_address.clone(),
        name: Box::default(),
        library_name: Box::default(),
        library_version: Box::default(),
        db: 0,
        proto: Proto::Resp2,
        authenticated: true,
        no_evict: false,
        no_touch: false,
        reply_mode: ReplyMode::On,
        connected: first.connected,
        last_active: first.last_active,
        last_command: None,
        query_bytes: 0,
        query_capacity_bytes: 0,
        output_bytes: 0,
        output_capacity_bytes: 0,
        total_bytes: 1000,
        input_total_bytes: 0,
        output_total_bytes: 0,
        commands: 0,
        close: None,
    };
    clients.insert(ClientId(place), client);
}

#[test]
fn hello_answers_in_the_protocol_it_chose() {
    let mut cluster = Cluster::new(1);
    let Reply::Map(fields) = cluster.ask("HELLO 3 SETNAME app") else {
        panic!("a map under RESP3")
    };
    let names: Vec<String> = fields.iter().map(|(name, _)| text(name.clone())).collect();
    assert_eq!(
        names,
        [
            "server", "version", "proto", "id", "mode", "role", "modules"
        ]
    );
    assert_eq!(fields[1].1, Reply::Bulk(b"7.4.0".to_vec()));
    assert_eq!(fields[2].1, Reply::Int(3));
    assert_eq!(
        (client(&cluster, 0).proto, &client(&cluster, 0).name[..]),
        (Proto::Resp3, &b"app"[..])
    );
    let Reply::Array(fields) = cluster.ask("HELLO 2") else {
        panic!("an array under RESP2")
    };
    assert_eq!(fields.len(), 14);
}

#[test]
fn a_refused_hello_changes_nothing() {
    let mut cluster = Cluster::new(1);
    for line in [
        "HELLO 4",
        "HELLO x",
        "HELLO 3 AUTH nobody x",
        "HELLO 3 SETNAME",
        "HELLO 3 what",
    ] {
        assert!(matches!(cluster.ask(line), Reply::Error(_)), "{line}");
        assert_eq!(client(&cluster, 0).proto, Proto::Resp2, "{line}");
    }
}

#[test]
fn a_password_is_asked_for_and_checked() {
    let mut cluster = Cluster::new(2);
    assert_eq!(ask(&mut cluster, "CONFIG SET requirepass s3cret"), "OK");
    cluster.cores_mut()[0]
        .clients
        .at_mut(ClientId(0))
        .authenticated = false;
    assert!(ask(&mut cluster, "HELLO 3").starts_with("NOAUTH HELLO must be called with"));
    assert!(ask(&mut cluster, "AUTH wrong").starts_with("WRONGPASS "));
    assert!(ask(&mut cluster, "AUTH admin s3cret").starts_with("WRONGPASS "));
    assert!(!client(&cluster, 0).authenticated);
    assert_eq!(ask(&mut cluster, "AUTH default s3cret"), "OK");
    assert!(client(&cluster, 0).authenticated);
    cluster.ask("RESET");
    assert!(!client(&cluster, 0).authenticated);
    assert!(matches!(
        cluster.ask("HELLO 3 AUTH default s3cret"),
        Reply::Map(_)
    ));
    cluster.cores_mut()[1]
        .clients
        .at_mut(ClientId(0))
        .authenticated = false;
    assert_eq!(
        cluster.run(&["CONFIG", "SET", "requirepass", ""]),
        Reply::Simple(b"OK".to_vec())
    );
    assert!(
        client(&cluster, 1).authenticated,
        "without a password nobody has to give one"
    );
}

#[test]
fn reset_makes_a_connection_new() {
    let mut cluster = Cluster::new(1);
    for line in [
        "SELECT 3",
        "CLIENT SETNAME a",
        "CLIENT NO-TOUCH ON",
        "CLIENT NO-EVICT ON",
        "HELLO 3",
    ] {
        cluster.ask(line);
    }
    assert_eq!(ask(&mut cluster, "RESET"), "RESET");
    let client = client(&cluster, 0);
    assert_eq!(
        (client.db, client.proto, client.no_touch, client.no_evict),
        (0, Proto::Resp2, false, false)
    );
    assert!(client.name.is_empty());
}

#[test]
fn quit_answers_and_closes() {
    let mut cluster = Cluster::new(1);
    assert_eq!(ask(&mut cluster, "QUIT"), "OK");
    assert_eq!(client(&cluster, 0).close, Some(Close::AfterReplies));
    assert!(cluster.cores()[0].clients.has_marked());
}

#[test]
fn client_list_shows_the_clients_of_every_core_by_number() {
    let mut cluster = Cluster::new(4);
    connect(&mut cluster, 1, 7, 90, "10.0.0.1:5");
    cluster.advance(5000);
    let list = ask(&mut cluster, "CLIENT LIST");
    let numbers: Vec<&str> = list
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(numbers, ["id=1", "id=2", "id=3", "id=4", "id=90"]);
    let line = list.lines().last().unwrap();
    let names: Vec<&str> = line
        .split(' ')
        .map(|field| field.split('=').next().unwrap())
        .collect();
    let redis_7_2 = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs \
                     rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver";
    assert_eq!(names, redis_7_2.split_whitespace().collect::<Vec<_>>());
    assert!(
        line.contains(" addr=10.0.0.1:5 ")
            && line.contains(" age=5 idle=5 flags=N ")
            && line.contains(" tot-mem=1000 ")
    );
    assert_eq!(ask(&mut cluster, "CLIENT LIST TYPE pubsub"), "");
    assert_eq!(
        ask(&mut cluster, "CLIENT LIST TYPE normal").lines().count(),
        5
    );
    let chosen = ask(&mut cluster, "CLIENT LIST ID 90 8 2 90");
    let numbers: Vec<&str> = chosen
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(numbers, ["id=90", "id=2", "id=90"]);
}

#[test]
fn client_info_is_the_callers_line() {
    let mut cluster = Cluster::new(2);
    cluster.connect_to(1);
    for line in [
        "CLIENT SETNAME web",
        "CLIENT SETINFO LIB-NAME redis-py",
        "CLIENT SETINFO lib-ver 5.0",
        "CLIENT NO-TOUCH ON",
    ] {
        assert_eq!(ask(&mut cluster, line), "OK");
    }
    let line = ask(&mut cluster, "CLIENT INFO");
    assert!(
        line.starts_with("id=2 ") && line.ends_with(" lib-name=redis-py lib-ver=5.0\n"),
        "{line}"
    );
    assert!(
        line.contains(" name=web ") && line.contains(" flags=T "),
        "{line}"
    );
    assert_eq!(ask(&mut cluster, "CLIENT GETNAME"), "web");
    assert_eq!(ask(&mut cluster, "CLIENT ID"), "2");
    assert_eq!(
        ask(&mut cluster, "CLIENT SETINFO lib-name a\nb"),
        "ERR lib-name cannot contain spaces, newlines or special characters."
    );
    assert_eq!(
        ask(&mut cluster, "CLIENT SETINFO colour red"),
        "ERR Unrecognized option 'colour'"
    );
}

#[test]
fn client_kill_reaches_every_core_and_spares_the_caller() {
    let mut cluster = Cluster::new(3);
    connect(&mut cluster, 2, 1, 50, "10.0.0.9:1");
    assert_eq!(ask(&mut cluster, "CLIENT KILL ADDR 10.0.0.9:1 ID 51"), "0");
    assert_eq!(ask(&mut cluster, "CLIENT KILL ADDR 10.0.0.9:1 ID 50"), "1");
    assert_eq!(
        cluster.cores()[2].clients.at(ClientId(1)).close,
        Some(Close::Now)
    );
    assert_eq!(
        ask(&mut cluster, "CLIENT KILL 10.0.0.9:1"),
        "ERR No such client",
        "it is going already"
    );
    assert_eq!(ask(&mut cluster, "CLIENT KILL TYPE pubsub"), "0");
    assert_eq!(ask(&mut cluster, "CLIENT KILL MAXAGE 3600"), "0");
    assert_eq!(
        ask(&mut cluster, "CLIENT KILL USER default"),
        "2",
        "all but the caller"
    );
    assert_eq!(client(&cluster, 0).close, None);
    assert_eq!(client(&cluster, 1).close, Some(Close::Now));
}

#[test]
fn a_client_that_kills_itself_hears_of_it() {
    let mut cluster = Cluster::new(2);
    assert_eq!(ask(&mut cluster, "CLIENT KILL ID 1 SKIPME no"), "1");
    assert_eq!(client(&cluster, 0).close, Some(Close::AfterReplies));
}

#[test]
fn client_reply_says_what_is_heard() {
    let mut cluster = Cluster::new(1);
    assert_eq!(ask(&mut cluster, "CLIENT REPLY ON"), "OK");
    assert_eq!(cluster.run_raw(&["CLIENT", "REPLY", "SKIP"]), b"");
    assert_eq!(client(&cluster, 0).reply_mode, ReplyMode::SkipNext);
    assert_eq!(cluster.run_raw(&["CLIENT", "REPLY", "OFF"]), b"");
    assert_eq!(cluster.run_raw(&["CLIENT", "REPLY", "SKIP"]), b"");
    assert_eq!(client(&cluster, 0).reply_mode, ReplyMode::Off);
}

const MIB: usize = 1 << 20;

/// Two cores with a client each that hold so much; together they may hold 16 MiB.
fn holding(first_bytes: usize, second_bytes: usize) -> Cluster {
    let mut cluster = Cluster::new(2);
    for (core, bytes) in cluster
        .cores_mut()
        .iter_mut()
        .zip([first_bytes, second_bytes])
    {
        core.config.set("maxmemory-clients", "16mb").unwrap();
        core.clients.settle(ClientId(0), bytes);
        core.publish_load();
    }
    cluster
}

/// The core looks at what clients hold, and the server closes what it marks; how many were closed.
fn look(cluster: &mut Cluster, core: usize) -> usize {
    let core = &mut cluster.cores_mut()[core];
    core.hold_client_memory();
    let marked = core.clients.take_marked();
    marked.iter().for_each(|id| _ = core.clients.remove(*id));
    marked.len()
}

#[test]
fn a_client_is_not_closed_while_a_larger_one_may_be_on_a_core_that_has_not_looked() {
    let mut cluster = holding(MIB, 20 * MIB);
    assert_eq!(look(&mut cluster, 0), 0);
    assert_eq!(look(&mut cluster, 1), 1);
    assert_eq!(look(&mut cluster, 0), 0);
    assert_eq!(cluster.cores()[0].clients.len(), 1);
}

#[test]
fn a_client_is_closed_at_once_where_no_other_core_can_have_a_larger_one() {
    let mut cluster = holding(20 * MIB, MIB);
    assert_eq!(look(&mut cluster, 0), 1);
    assert_eq!(look(&mut cluster, 1), 0);
}

#[test]
fn of_many_small_clients_beside_a_larger_one_the_larger_one_is_closed() {
    let mut cluster = holding(5 * MIB, 4 * MIB);
    for place in 1..3 {
        connect(&mut cluster, 1, place, 90 + u64::from(place), "10.0.0.1:5");
        let clients = &mut cluster.cores_mut()[1].clients;
        clients.settle(ClientId(place), 4 * MIB);
    }
    cluster.cores()[1].publish_load();
    assert_eq!(
        look(&mut cluster, 0),
        0,
        "the other core may hold one of 12 MiB"
    );
    assert_eq!(look(&mut cluster, 1), 0, "there is one of 5 MiB elsewhere");
    assert_eq!(look(&mut cluster, 0), 1);
    assert_eq!(look(&mut cluster, 1), 0, "12 MiB in all");
}

#[test]
fn a_core_that_closed_enough_leaves_the_clients_of_others_alone() {
    let mut cluster = holding(9 * MIB, 6 * MIB);
    connect(&mut cluster, 0, 1, 90, "10.0.0.1:5");
    let clients = &mut cluster.cores_mut()[0].clients;
    clients.settle(ClientId(1), 5 * MIB);
    cluster.cores()[0].publish_load();
    assert_eq!(look(&mut cluster, 0), 1, "9 of 20 MiB went");
    assert_eq!(look(&mut cluster, 1), 0, "11 MiB in all");
    assert_eq!(look(&mut cluster, 0), 0);
}

#[test]
fn a_client_that_asked_to_be_left_alone_does_not_keep_others_open() {
    let mut cluster = holding(20 * MIB, MIB);
    let clients = &mut cluster.cores_mut()[0].clients;
    clients.at_mut(ClientId(0)).no_evict = true;
    assert_eq!(look(&mut cluster, 0), 0);
    assert_eq!(look(&mut cluster, 1), 1);
}
