"""Reads /metrics on PINYON_METRICS_PORT with Prometheus' own parsers, in both formats, and holds the two against each other."""

import os
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

URL = f"http://127.0.0.1:{os.environ['PINYON_METRICS_PORT']}/metrics"
EVIL = os.environ["PINYON_EVIL_LABEL"]


def samples(accept, parse):
    request = urllib.request.Request(URL, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith(accept.split(";")[0]), answer.headers
        families = list(parse(answer.read().decode("utf-8")))
    assert all(family.documentation for family in families)
    return {(s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples if "cmd" not in s.labels}


strict = samples("application/openmetrics-text; version=1.0.0", openmetrics)
older = samples("text/plain; version=0.0.4", plain)
assert strict == older, strict ^ older
assert ("pinyon_prefix_keys", (("prefix", EVIL),)) in strict, [labels for name, labels in strict if name == "pinyon_prefix_keys"]
assert len(strict) > 200, len(strict)
