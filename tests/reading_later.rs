//! Streams, fields that expire, scans, picks at random and searches of positions, answered in steps: as `reading`, each of one moment.
//! Never measures time: what happens between two steps is left to chance, and many tries.
//! Source of what an answer may be: Redis, where nothing runs beside a command.

use resp::Reply;
use testkit::Client;

use crate::fixture::{elements, start, start_ours, text};
use crate::reading::{
    CHUNK, MANY, Question, ask_in_pipelines, beside, fill, fill_all, member, texts, words,
};

/// What `fill_all` makes, a stream, positions, and a hash of which a field expires.
fn fill_more(client: &mut Client, end: usize) {
    fill_all(client, end);
    let key = |kind: &str| format!("{kind}{end}");
    let pair = |number| vec![member(number), number.to_string()];
    fill_stream(client, &key("stream"), MANY);
    let place = |number: usize| {
        let (longitude, latitude) = (number % 170, number % 80);
        vec![longitude.to_string(), latitude.to_string(), member(number)]
    };
    fill(client, MANY, place, ["GEOADD", &key("geo")]);
    fill(client, MANY, pair, ["HSET", &key("expiring")]);
    client.ask(&format!(
        "HEXPIRE {} 1000 FIELDS 1 {}",
        key("expiring"),
        member(7)
    ));
}

/// Entries 1-1, 1-2 and so on, each with a member's name and its number.
fn fill_stream(client: &mut Client, key: &str, count: usize) {
    for start in (0..count).step_by(CHUNK) {
        let numbers = start..(start + CHUNK).min(count);
        let commands: Vec<_> = numbers
            .map(|number| {
                let (id, name, value) = (format!("1-{}", number + 1), member(number), number);
                words(&format!("XADD {key} {id} {name} {value}"))
            })
            .collect();
        client.pipeline(&commands);
    }
}

/// What a stream answers of the entries with these numbers.
fn entries(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    let entry = |number| {
        [
            format!("1-{}", number + 1),
            member(number),
            number.to_string(),
        ]
    };
    numbers.flat_map(entry).collect()
}

/// Sorted texts and one more.
fn with_first(first: &str, texts: &[String]) -> Vec<String> {
    let mut all = texts.to_vec();
    all.push(first.to_string());
    all.sort();
    all
}

fn questions(end: usize) -> Vec<Question> {
    let all: Vec<String> = (0..MANY).map(member).collect();
    let pair = |number| [member(number), number.to_string()];
    let mut fields: Vec<String> = (0..MANY).flat_map(pair).collect();
    fields.sort();
    vec![
        (format!("XRANGE stream{end} - +"), true, entries(0..MANY)),
        (
            format!("XRANGE stream{end} (1-3 1-28000 COUNT 22000"),
            true,
            entries(3..22_003),
        ),
        (
            format!("XREVRANGE stream{end} + 1-6"),
            true,
            entries((5..MANY).rev()),
        ),
        (
            format!("XREAD COUNT 21000 STREAMS stream{end} 1-9"),
            true,
            [vec![format!("stream{end}")], entries(9..21_009)].concat(),
        ),
        (
            format!("GEOSEARCH geo{end} FROMLONLAT 0 0 BYRADIUS 20100 km ASC"),
            false,
            all.clone(),
        ),
        (format!("HKEYS expiring{end}"), false, all.clone()),
        (format!("HGETALL expiring{end}"), false, fields.clone()),
        (
            format!("SSCAN set{end} 0 COUNT 40000"),
            false,
            [vec!["0".to_string()], all.clone()].concat(),
        ),
        (
            format!("HSCAN hash{end} 0 COUNT 40000"),
            false,
            with_first("0", &fields),
        ),
        (
            format!("ZSCAN zset{end} 0 COUNT 40000"),
            false,
            with_first("0", &fields),
        ),
        (format!("SRANDMEMBER set{end} 40000"), false, all.clone()),
        (
            format!("HRANDFIELD hash{end} 40000 WITHVALUES"),
            false,
            fields.clone(),
        ),
        (
            format!("ZRANDMEMBER zset{end} 40000 WITHSCORES"),
            false,
            fields.clone(),
        ),
    ]
}

#[test]
fn further_answers_are_whole_and_in_their_places_among_those_of_a_pipeline() {
    ask_in_pipelines(fill_more, questions);
}

#[test]
fn entries_are_answered_without_a_gap_while_others_come_and_the_oldest_go() {
    for shards in [1, 2, 4] {
        let server = start(shards, &[]);
        fill_stream(&mut server.client(), "stream", MANY);
        let write = |client: &mut Client, number: usize| {
            client.ask(&format!("XADD stream * one {number} two {number}"));
            if number % 4 < 2 {
                client.ask(&format!("XTRIM stream MAXLEN {MANY}"));
            }
        };
        beside(&server, write, || {
            let mut client = server.client();
            for round in 0..12 {
                let question = [
                    "XRANGE stream - +",
                    "XREVRANGE stream + -",
                    "XREAD STREAMS stream 0",
                ];
                let reply = client.ask(question[round % 3]);
                let mut answered = match round % 3 {
                    2 => match &elements(reply)[0] {
                        Reply::Array(stream) => elements(stream[1].clone()),
                        other => panic!("{other:?}"),
                    },
                    _ => elements(reply),
                };
                if round % 3 == 1 {
                    answered.reverse();
                }
                assert!(answered.len() >= MANY, "with {shards} shards");
                // One moment: what follows the oldest entry shown is there without a gap.
                let ids: Vec<(u64, u64)> = answered.iter().map(id_of).collect();
                assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
                let old: Vec<u64> = ids.iter().filter(|id| id.0 == 1).map(|id| id.1).collect();
                assert!(old.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            }
        });
    }
}

/// The ID of an entry.
fn id_of(entry: &Reply) -> (u64, u64) {
    let id = match entry {
        Reply::Array(parts) => text(&parts[0]),
        other => panic!("{other:?} is no entry"),
    };
    let (ms, seq) = id.split_once('-').expect("an ID has two halves");
    let number = |half: &str| half.parse().expect("it is a number");
    (number(ms), number(seq))
}

#[test]
fn fields_whose_time_comes_while_a_hash_is_read_are_in_all_of_the_answer_or_in_nothing_of_it() {
    let Some(server) = start_ours(2, &["--hz", "100"]) else {
        return;
    };
    let (mut filler, mut client) = (server.client(), server.client());
    for round in 0..6 {
        let pair = |number| vec![member(number), number.to_string()];
        fill(&mut filler, MANY, pair, ["HSET", "hash"]);
        // All of them end in one millisecond.
        let now: Vec<u64> = elements(client.ask("TIME"))
            .iter()
            .map(|half| text(half).parse().expect("it is a number"))
            .collect();
        let at = 1000 * now[0] + now[1] / 1000 + 300 + round;
        for start in (0..MANY).step_by(CHUNK) {
            let fields: Vec<String> = (start..start + CHUNK)
                .filter(|n| n % 3 == 0)
                .map(member)
                .collect();
            let head = format!("HPEXPIREAT hash {at} FIELDS {}", fields.len());
            filler.pipeline(&[[words(&head), fields].concat()]);
        }
        loop {
            let names = texts(&client.ask("HKEYS hash"));
            let all = MANY;
            let left = MANY - MANY.div_ceil(3);
            assert!(names.len() == all || names.len() == left, "{}", names.len());
            if names.len() == left {
                break;
            }
        }
        client.ask("DEL hash");
    }
}
