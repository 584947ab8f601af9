//! Options of what those who look see: the port of metrics and the page.
//! Nothing here listens; the server reads the fields.
//! The names are ours: Redis has no such port.

use super::{Kind, Setting, When};

pub(super) const PORT: Setting = Setting {
    name: "metrics-port",
    group: "Network",
    kind: Kind::Integer {
        min: 0,
        max: 65535,
        read: |config| config.metrics_port.into(),
        write: |config, port| config.metrics_port = port as u16,
    },
    default: "0",
    when: When::Start,
    summary: "Port of the page and of /metrics, over HTTP on the addresses of bind: whoever reaches it may read, without a password, and change nothing; 0 opens none.",
};

pub(super) const PREFIXES: Setting = Setting {
    name: "metrics-prefixes",
    group: "Network",
    kind: Kind::Integer {
        min: 0,
        max: 4096,
        read: |config| config.metrics_prefixes.into(),
        write: |config, prefixes| config.metrics_prefixes = prefixes as u32,
    },
    default: "50",
    when: When::Anytime,
    summary: "Key prefixes, largest first, that have metrics of their own in /metrics.",
};

pub(super) const HOSTS: Setting = Setting {
    name: "metrics-hosts",
    group: "Network",
    kind: Kind::Hosts,
    default: "",
    when: When::Anytime,
    summary: "Names under which the metrics port is asked, besides localhost and addresses; a request to another name is refused, as any page of the web can have one stand for this machine; * takes all.",
};
