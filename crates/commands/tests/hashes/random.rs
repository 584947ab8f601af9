//! Fields picked at random.

use super::{ask, script, shown};
use resp::{Proto, Reply};
use std::collections::BTreeSet;
use testkit::Cluster;

fn filled(fields: usize) -> Cluster {
    let mut cluster = Cluster::new(2);
    for number in 0..fields {
        ask(&mut cluster, &format!("hset h f{number} v{number}"));
    }
    cluster
}

fn elements(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(elements) => elements,
        other => panic!("{other:?} is no array"),
    }
}

#[test]
fn so_many_fields_are_picked_each_once() {
    for fields in [1, 10, 400, 2000] {
        let mut cluster = filled(fields);
        assert!(ask(&mut cluster, "hrandfield h").starts_with("\"f"));
        for count in [0, 1, 3, fields / 2, fields, 10 * fields] {
            let wanted = count.min(fields);
            let picked = elements(cluster.ask(&format!("hrandfield h {count}")));
            let distinct: BTreeSet<_> = picked.iter().map(shown).collect();
            assert_eq!((picked.len(), distinct.len()), (wanted, wanted));
            let pairs = elements(cluster.ask(&format!("hrandfield h {count} withvalues")));
            assert_eq!(pairs.len(), 2 * wanted);
            for pair in pairs.chunks(2) {
                let (field, value) = (shown(&pair[0]), shown(&pair[1]));
                assert_eq!(field.replace('f', "v"), value);
            }
        }
        let all = elements(cluster.ask("hrandfield h 9223372036854775807"));
        assert_eq!(all.len(), fields);
    }
}

#[test]
fn a_negative_count_may_pick_a_field_twice() {
    for fields in [2, 400, 2000] {
        let mut cluster = filled(fields);
        let picked = elements(cluster.ask("hrandfield h -9000"));
        assert_eq!(picked.len(), 9000);
        let distinct: BTreeSet<_> = picked.iter().map(shown).collect();
        assert!(distinct.len() <= fields && distinct.len() > fields * 9 / 10);
        let pairs = elements(cluster.ask("hrandfield h -1000 WITHVALUES"));
        assert_eq!(pairs.len(), 2000);
    }
}

#[test]
fn under_resp3_fields_come_with_their_values_in_arrays_of_two() {
    let mut cluster = filled(1);
    cluster.speak(Proto::Resp3);
    for count in [1, 5] {
        let command = format!("hrandfield h {count} withvalues");
        assert_eq!(ask(&mut cluster, &command), r#"[["f0", "v0"]]"#);
    }
    let twice = r#"[["f0", "v0"], ["f0", "v0"]]"#;
    assert_eq!(ask(&mut cluster, "hrandfield h -2 withvalues"), twice);
    assert_eq!(ask(&mut cluster, "hrandfield nok"), "nil");
}

#[test]
fn bad_counts_and_options_are_refused() {
    script(
        r#"
        hrandfield nok => nil
        hrandfield nok 3 => []
        hrandfield nok -3 withvalues => []
        hrandfield nok x => (ERR value is not an integer or out of range)
        hset h f v => 1
        hrandfield h 1 nosuch => (ERR syntax error)
        hrandfield h 1 withvalues x => (ERR syntax error)
        hrandfield h -9223372036854775808 => (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        hrandfield h -4611686018427387904 withvalues => (ERR value is out of range)
        hrandfield h 4611686018427387904 withvalues => (ERR value is out of range)
        hrandfield h -9223372036854775807 => (ERR value is out of range)
        hrandfield h -4611686018427387903 withvalues => (ERR value is out of range)
        "#,
    );
}

#[test]
fn a_reply_of_repeated_fields_has_a_limit() {
    let mut cluster = Cluster::new(1);
    cluster.cores_mut()[0].config.proto_max_bulk_len = 100_000;
    cluster.run(&["hset", "h", "f", &"v".repeat(1000)]);
    let refused = "(ERR value is out of range)";
    assert_eq!(
        elements(cluster.ask("hrandfield h -90 withvalues")).len(),
        180
    );
    assert_eq!(
        ask(&mut cluster, "hrandfield h -100 withvalues"),
        "(ERR reply exceeds maximum allowed size (proto-max-bulk-len))"
    );
    assert_eq!(elements(cluster.ask("hrandfield h -10000")).len(), 10_000);
    assert_eq!(ask(&mut cluster, "hrandfield h -20000"), refused);
}
