//! Owns the findings about clients: all of them together, and the one that holds most.
//! Never happens here: closing one.
//! Source: Redis' MEMORY DOCTOR warns of clients in the mean; a single one is what takes a server down.

use super::{Amount, Finding, Insight, Limits, Severity, WASTE_BYTES_MIN, exceeds};
use crate::report::MemoryReport;

/// Clients that hold more than this part of the total, in percent, crowd out data.
pub const CLIENTS_PERCENT_MAX: u64 = 20;
/// One that alone holds more than this part does.
pub const CLIENT_PERCENT_MAX: u64 = 5;

pub(super) fn large_clients(
    report: &MemoryReport,
    limits: &Limits,
    insight: &Insight,
) -> Option<Finding> {
    let merged = report.merged();
    let bytes = merged.clients_normal_bytes + merged.clients_replicas_bytes;
    let total = report.total_bytes();
    let is_large = bytes >= WASTE_BYTES_MIN && exceeds(bytes, CLIENTS_PERCENT_MAX, total);
    is_large.then(|| {
        let mean = bytes.checked_div(merged.clients).unwrap_or(bytes);
        let mut evidence = vec![
            ("clients.bytes", Amount::Bytes(bytes)),
            ("total.allocated", Amount::Bytes(total)),
            ("clients", Amount::Count(merged.clients)),
            ("bytes.per.client", Amount::Bytes(mean)),
        ];
        if let Some(client) = &insight.largest_client {
            evidence.push(("largest.client.id", Amount::Count(client.id)));
            evidence.push(("largest.client.bytes", Amount::Bytes(client.bytes)));
        }
        Finding {
            id: "large-clients",
            severity: Severity::Warning,
            evidence,
            cause: format!(
                "The buffers of {} clients take a large part of the memory: some read slower than \
                 they ask, or send requests of great size.",
                merged.clients
            ),
            // A share is of the limit.
            remedy: if limits.maxmemory_bytes > 0 {
                "CONFIG SET maxmemory-clients 10%".to_owned()
            } else {
                "CLIENT LIST".to_owned()
            },
        }
    })
}

pub(super) fn large_client(report: &MemoryReport, insight: &Insight) -> Option<Finding> {
    let client = insight.largest_client.as_ref()?;
    let total = report.total_bytes();
    let is_large =
        client.bytes >= WASTE_BYTES_MIN && exceeds(client.bytes, CLIENT_PERCENT_MAX, total);
    is_large.then(|| Finding {
        id: "large-client",
        severity: Severity::Warning,
        evidence: vec![
            ("client.id", Amount::Count(client.id)),
            ("client.bytes", Amount::Bytes(client.bytes)),
            ("total.allocated", Amount::Bytes(total)),
        ],
        cause: format!(
            "Client {} alone holds this much: a request or a reply of great size, or one that it \
             does not go on with.",
            client.id
        ),
        remedy: format!("CLIENT KILL ID {}", client.id),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{MIB, ROOMY, ids, ids_with, process, report, shards};
    use super::super::{ClientFigures, findings};
    use super::*;

    fn of_client(bytes: u64) -> Insight {
        Insight {
            largest_client: Some(ClientFigures { id: 77, bytes }),
            ..Insight::default()
        }
    }

    #[test]
    fn clients_that_take_a_large_part_are_told() {
        let mut crowded = shards();
        crowded[0].clients_normal_bytes = 39 * MIB;
        let insight = of_client(MIB);
        assert_eq!(
            ids(crowded.clone(), process(), ROOMY, &insight),
            Vec::<&str>::new()
        );
        crowded[0].clients_normal_bytes = 40 * MIB;
        assert_eq!(
            ids(crowded.clone(), process(), ROOMY, &insight),
            ["large-clients"]
        );
        let report = MemoryReport::new(crowded, process());
        let evidence = &findings(&report, &ROOMY, &insight)[0].evidence;
        assert!(evidence.contains(&("largest.client.id", Amount::Count(77))));
    }

    #[test]
    fn one_client_that_holds_much_is_told_by_its_id() {
        let insight = of_client(10 * MIB + 1);
        assert_eq!(ids_with(&insight), ["large-client"]);
        let found = &findings(&report(), &ROOMY, &insight)[0];
        assert_eq!(found.remedy, "CLIENT KILL ID 77");
        assert_eq!(found.evidence[0], ("client.id", Amount::Count(77)));
        assert_eq!(ids_with(&of_client(10 * MIB)), Vec::<&str>::new());
    }
}
