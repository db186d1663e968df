"""What a pytest run came to, as JSON for `scripts/test`, which adds up the lanes."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest


def _skip_of(outcome: pytest.TestReport | pytest.CollectReport) -> tuple[str, str]:
    where = outcome.nodeid.split("::")[0]
    if isinstance(outcome.longrepr, tuple):
        reason = str(outcome.longrepr[2])
    else:
        reason = "expected to fail: " + str(getattr(outcome, "wasxfail", ""))
    return where, reason.removeprefix("Skipped: ")


def summary(stats: dict[str, list[pytest.TestReport]]) -> dict[str, object]:
    """Counts of tests, and the skips (expected failures among them) by file and reason."""
    # Every worker of a distributed run reports the skip of a whole module.
    reports = {report.nodeid: report for kind in ("skipped", "xfailed") for report in stats.get(kind, [])}
    skips = Counter(_skip_of(report) for report in reports.values())
    return {
        "passed": len(stats.get("passed", [])),
        "failed": sum(len(stats.get(kind, [])) for kind in ("failed", "error", "xpassed")),
        "skips": [
            {"where": where, "reason": reason, "count": count} for (where, reason), count in sorted(skips.items())
        ],
    }


def write_summary(stats: dict[str, list[pytest.TestReport]]) -> None:
    """Write the summary to the file that TRACEHOUSE_TEST_REPORT names, if it names one."""
    path = os.environ.get("TRACEHOUSE_TEST_REPORT")
    if path:
        Path(path).write_text(json.dumps(summary(stats)))
