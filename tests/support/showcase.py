"""A run with something of everything, and a conversation, as a house has them after a day of work."""

from __future__ import annotations

from typing import NamedTuple

import httpx

from tests.support.house import new_run, new_trace, point, post, span
from tests.support.pictures import png

ANSWER = """There are **two** entries, see [the list](https://example.com/list):

1. `README.md`
2. `src`

| name | size |
|:-----|-----:|
| README.md | 1200 |

> quoted

```python
def add(a: int, b: int) -> int:  # a comment
    return a + b
```
"""


class Shown(NamedTuple):
    """The server's ids."""

    run: str
    other: str
    trace: str
    rollouts: list[str]

    def pages(self) -> dict[str, str]:
        """Every kind of page, by name."""
        run, trace, first = f"/r/{self.run}", f"/t/{self.trace}", self.rollouts[0]
        return {
            "runs": "/",
            "charts": run,
            "compare": f"/compare?run={self.run}&run={self.other}",
            "media": f"{run}/media",
            "media-all": f"{run}/media?view=grid",
            "media-key": f"{run}/media?key=eval/sample",
            "rollouts": f"{run}/rollouts",
            "rollouts-two": f"{run}/rollouts?step=3&open={self.rollouts[-1]}&with={self.rollouts[-2]}",
            "config": f"{run}/config",
            "config-diff": f"{run}/config?with={self.other}",
            "environment": f"{run}/environment",
            "artifacts": f"{run}/artifacts",
            "artifacts-diff": f"{run}/artifacts?with={self.other}",
            "links": f"{run}/links",
            "empty-charts": f"/r/{self.other}",
            "empty-media": f"/r/{self.other}/media",
            "empty-rollouts": f"/r/{self.other}/rollouts",
            "traces": "/traces",
            "trace": trace,
            "trace-found": f"{trace}?q=entries",
            "timeline": f"{trace}/timeline",
            "about": f"/t/{first}/about",
            "agents": "/agents",
            "keys": "/keys",
            "shares": "/shares",
            "deleted": "/deleted",
            "disk": "/disk",
            "missing": "/r/none",
            "nowhere": "/none",
            "signin": "/signin",
        }


def fill(client: httpx.Client) -> Shown:
    """Make them."""
    config = {"lr": 3e-4, "model": {"layers": 12, "name": "base"}, "seeds": [1, 2]}
    fields = {"project": "showcase", "hf_model": "org/model", "hf_dataset": "org/data"}
    run, other = new_run(client, "showcase", config=config, **fields), new_run(client, "other", config={"lr": 1e-3})
    for attempt in (1, 2):
        keys = ("loss", "train/grad_norm", "eval/accuracy", "system/cpu.util_pct")
        points = [point(step, (step + 1) / (5 * attempt), key) for key in keys for step in range(8 * attempt)]
        points.append(point(4, {"_type": "number", "value": "NaN"}, "train/odd"))
        assert post(client, f"/v1/runs/{run}/metrics", {"points": points}, X_Tracehouse_Attempt=str(attempt)).is_success
    for step in range(3):
        for key in ("eval/sample", "eval/other"):
            params = {"key": key, "media_type": "image", "step": str(step), "caption": f"a square at {step}"}
            client.post(f"/v1/runs/{run}/media", params=params, content=png(80 * step, 99, 199))
    client.post(f"/v1/runs/{run}/media", params={"key": "raw", "media_type": "file"}, content=b"data")
    for name, data in (("environment", {"python": {"version": "3.12"}, "git": None}), ("params", {"a": [1, {"b": 2}]})):
        post(client, f"/v1/runs/{run}/artifacts", {"name": name, "kind": "json", "data": data})
    return Shown(run, other, _talk(client), [_rollout(client, run, number) for number in range(8)])


def _rollout(client: httpx.Client, run: str, number: int) -> str:
    """Two at each step."""
    name = f"rollout-{number}"
    trace = new_trace(client, name, run_id=run, rollout_step=number // 2)
    said = [span(0, name), span(1, name, kind="assistant_msg", name="assistant", attributes={"text": "It is **4**."})]
    assert post(client, "/v1/spans", {"traces": [], "spans": said}).is_success
    metadata = {"reward": number % 3 / 4, "group": f"prompt {number % 2}", "sample": number}
    client.patch(f"/v1/traces/{trace}", json={"metadata": metadata, "outcome": "good" if number % 2 else "bad"})
    return trace


def _talk(client: httpx.Client) -> str:
    trace = new_trace(client, "talk", task_name="What lies in this directory?", model="a-model", project="showcase")
    said = (
        ("user_msg", "user message", {"text": "Which files are here?"}),
        ("thinking", "thinking", {"text": "I should list the directory. " * 30}),
        ("tool_use", "Bash", {"tool_input": {"command": "ls -la", "timeout": 5}, "call_id": "c1"}),
        ("tool_result", "Bash", {"result_text": "README.md\nsrc\n" * 40, "call_id": "c1"}),
        ("tool_use", "Bash", {"tool_input": {"command": "rm"}, "call_id": "c2"}),
        ("tool_result", "Bash", {"result_text": "denied", "call_id": "c2", "is_error": True}),
        ("attachment", "notes.txt", {"size": 12}),
        ("assistant_msg", "assistant message", {"text": ANSWER}),
    )
    spans = [span(at, "talk", kind=kind, name=name, attributes=told) for at, (kind, name, told) in enumerate(said)]
    assert post(client, "/v1/spans", {"traces": [], "spans": spans}).is_success
    return trace
