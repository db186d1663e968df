"""A run told as a model card: Markdown with the front matter that model hubs read. No I/O."""

from __future__ import annotations

import json
import re
from typing import Any

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")
_LONGEST = 200


def _plain(value: Any) -> str:
    """One line of text that Markdown shows as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return _SPECIAL.sub(r"\\\1", text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return [*lines, *(f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows), ""]


def model_card(run: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
    """`run` and `metrics` as the read interface gives them."""
    front = {"base_model": run["hf_model"], "datasets": [run["hf_dataset"]] if run["hf_dataset"] else None}
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in front.items() if value), "---", ""]
    lines += [f"# {_plain(run['name'])}", ""]
    facts = [(name, run[name]) for name in ("project", "status", "started_at", "ended_at", "machine") if run[name]]
    lines += _table(("", ""), facts)
    if run["config"]:
        lines += ["## Configuration", "", *_table(("Name", "Value"), list(run["config"].items()))]
    if metrics:
        rows = [(one["key"], one["last_step"], one["last_value"]) for one in metrics]
        lines += ["## Metrics", "", *_table(("Metric", "Step", "Last value"), rows)]
    return "\n".join(lines)
