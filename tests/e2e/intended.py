"""Where the same script is meant to leave something else than with the published SDK: by script, each place with what
the published SDK leaves there, what ours does, and why. A place that no longer differs is an error here."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.e2e.side_by_side import ABSENT, THERE


class Row(NamedTuple):
    """`path`: the place in the output or in the house; `published` and `ours`: what is there."""

    path: str
    published: Any
    ours: Any
    why: str


def _raised(published: str, ours: str, why: str, line: int = 0) -> Row:
    return Row(f"output/{line}", f"raised {published}", f"raised {ours}" if ours else ABSENT, why)


def _medium(mime: str, size: int | str, sha256: str, step: int | None = None) -> str:
    kept = {"step": step, "caption": None, "media_type": "image", "mime": mime, "size": size, "sha256": sha256}
    return json.dumps(kept)


def _span(attributes: dict[str, Any], name: str = "user message", **status: str) -> str:
    known = {"kind": "user_msg", "name": name, **status, "attributes": attributes}
    return json.dumps({**known, "start_at": "now", "end_at": "now", "parent": None})


def _relabelled(key: str, published: str, ours: str, size: int, sha256: str) -> Row:
    path = f"runs/media-format/media/{key}"
    return Row(
        path, _medium(published, size, sha256), _medium(ours, size, sha256), "media are labelled as what they are"
    )


_TREE = "all errors of ours are one tree; the built-in class is kept as a base"
_NOT_LOST = "a call that the published SDK refuses or cannot send costs neither itself nor its neighbours"
_STATUS = "a status tells how the process ended: the exit code decides, and exit 0 is no failure"
_KNOWN_STATUS = "a span's status is ok or error; another is told at once"
_IN_ADDITION = "told in addition"
_GREY = "00050a0f14191e23282d32373c41464b50555a5f64696e73787d82878c91969ba0a5aaafb4b9bec3c8cdd2d7dce1e6eb"
_STRETCHED = "00050a10151b20252b30363b41464b51565c61676c71777c82878d92979da2a8adb3b8bdc3c8ced3d9dee3e9eef4f9ff"
_VIDEO = "cm.Video: pass a file path or raw bytes."
_IMAGE = "cm.Image: unsupported data <class 'int'> — pass a file path, raw bytes, a PIL Image, or a numpy array."


def _environment(run: str) -> list[Row]:
    data = f"runs/{run}/artifacts/environment/data"
    more = {"cpu/usable": "int", "cpu/limit": "NoneType", "memory_limit_bytes": "NoneType", "cuda/torch": "NoneType"}
    return [Row(f"{data}/{path}", ABSENT, kind, _IN_ADDITION) for path, kind in more.items()]


INTENDED: dict[str, list[Row]] = {
    "media": [
        Row("output/3", f"TypeError: {_VIDEO}", f"TypeError: {_VIDEO} Got <class 'int'>.", "an error names what it got")
    ],
    "arrays": [
        Row(
            "runs/arrays/media/int64",
            _medium("image/png", "any", f"(4, 4) RGB {_STRETCHED}", 2),
            _medium("image/png", "any", f"(4, 4) RGB {_GREY}", 2),
            "0…255 is black to white in every picture; the published SDK stretches each from its least to its greatest value",
        )
    ],
    "errors": [
        Row(
            "output/21",
            "attributes that are none: TypeError",
            "attributes that are none: attributes must be a mapping, got [1, 2]",
            "an error names what it got",
        ),
        Row(
            "output/22",
            "input that is none: ValueError",
            "input that is none: input must be a mapping, got 'str'",
            "an error names what it got",
        ),
        Row(
            "output/25",
            f"video: TypeError: {_VIDEO}",
            f"video: ClaudeMonitorError/TypeError: {_VIDEO} Got <class 'object'>.",
            _TREE,
        ),
        Row("output/26", f"image: TypeError: {_IMAGE}", f"image: ClaudeMonitorError/TypeError: {_IMAGE}", _TREE),
    ],
    "environment": _environment("environment"),
    "wandb_basics": [
        Row(
            "output/1",
            "0.1 8 2 True ['batch', 'depth', 'epochs', 'lr', 'nest', 'wandb_notes', 'wandb_tags']",
            "0.1 8 2 True ['batch', 'depth', 'epochs', 'lr', 'nest']",
            "config has what the user put there; tags and notes go out with it all the same",
        ),
        *_environment("wandb-1"),
        *_environment("wandb-2"),
    ],
    "exits exit-3": [Row("runs/exit-exit-3/status", "finished", "failed", _STATUS)],
    "exits with-exit-0": [Row("runs/exit-with-exit-0/status", "crashed", "finished", _STATUS)],
    "exits trace-with-exit-0": [
        Row("traces/trace-trace-with-exit-0/outcome", "bad", None, _STATUS),
        Row("traces/trace-trace-with-exit-0/metadata", '{"error": "SystemExit: 0"}', "null", _STATUS),
    ],
    "exits flushed-os-exit": [
        Row("traces/trace-flushed-os-exit/outcome", None, "bad", "a writer that died is told of"),
        Row(
            "traces/trace-flushed-os-exit/metadata",
            "null",
            '{"error": "the process ended without finishing the trace"}',
            "a writer that died is told of",
        ),
    ],
    "exits no-auto-finish": [
        Row("runs/exit-no-auto-finish/points/held", ABSENT, "[[1, 1]]", "what was logged is never held back")
    ],
    "exits forked": [
        Row(
            "runs/exit-forked/points/held",
            "[[1, 1], [1, 1]]",
            "[[1, 1]]",
            "a forked child does not send its parent's points again",
        )
    ],
    "weaknesses nan": [
        _raised("ApiError", "", _NOT_LOST),
        Row("runs/nan/points/before", ABSENT, "[[0, 1]]", _NOT_LOST),
        Row("runs/nan/points/bad", ABSENT, '[[0, {"_type": "number", "value": "NaN"}]]', _NOT_LOST),
        Row("runs/nan/points/after", ABSENT, "[[0, 2]]", _NOT_LOST),
    ],
    "weaknesses unserialisable": [
        _raised("TypeError", "", _NOT_LOST),
        Row("runs/unserialisable/points/held", ABSENT, "[[0, 1]]", _NOT_LOST),
        Row("runs/unserialisable/points/good", ABSENT, "[[1, 1]]", _NOT_LOST),
        Row("runs/unserialisable/points/when", ABSENT, '[[1, "2001-02-03"]]', _NOT_LOST),
    ],
    "weaknesses numpy": [
        _raised("TypeError", "", _NOT_LOST),
        Row("runs/numpy/points/loss", ABSENT, "[[0, 0.5]]", _NOT_LOST),
        Row("runs/numpy/points/n", ABSENT, "[[0, 3]]", _NOT_LOST),
    ],
    "weaknesses bad-image": [
        _raised("TypeError", "MediaUnreadable", _TREE),
        Row("runs/bad-image/points/loss", ABSENT, "[[0, 0.5]]", _NOT_LOST),
        Row("runs/bad-image/points/after", ABSENT, "[[0, 1]]", _NOT_LOST),
    ],
    "weaknesses same-step": [
        Row(
            "traces/same-step-step1/spans/1", _span({"text": "second"}), ABSENT, "each rollout has a session of its own"
        ),
        Row("traces/same-step-step1.1", ABSENT, THERE, "each rollout has a session of its own"),
    ],
    "weaknesses same-name": [
        Row("traces/twin-step1", THERE, ABSENT, "runs of one name do not share rollouts"),
        Row("traces/twin-0-step1", ABSENT, THERE, "runs of one name do not share rollouts"),
        Row("traces/twin-1-step1", ABSENT, THERE, "runs of one name do not share rollouts"),
    ],
    "weaknesses unreferenced": [
        Row("runs/unreferenced/status", "running", "finished", "a run is finished though nothing refers to it"),
        Row("runs/unreferenced/ended", False, True, "a run is finished though nothing refers to it"),
        Row("runs/unreferenced/points/x", ABSENT, "[[0, 1]]", _NOT_LOST),
    ],
    "weaknesses hostname": [
        _raised("UnicodeEncodeError", "", _NOT_LOST),
        Row("traces/hostname", ABSENT, THERE, _NOT_LOST),
    ],
    "weaknesses failed-init": [
        _raised("ClaudeMonitorError", "ArgumentError", _TREE),
        _raised("ClaudeMonitorError", "ArgumentError", _TREE, line=1),
        Row("runs/failed-init/status", "killed", "finished", "an init that fails leaves the run before it alone"),
    ],
    "weaknesses media-format": [
        _relabelled(
            "jpg",
            "image/jpg",
            "image/jpeg",
            24,
            "e38ebcf25144542fb3693c90c94f72c6aafed47e8de65089e520819f655cc099",
        ),
        _relabelled(
            "bmp", "image/png", "image/bmp", 55, "7f2740c1b6ce1301c85eff7048fd70144a91490ac2a9e26d7fb2f86d612a210d"
        ),
        _relabelled(
            "svg",
            "image/png",
            "image/svg+xml",
            41,
            "a87cba1d08bc5397e7f459b9339b2427c42d824e223839840731f0a2cdd42f69",
        ),
    ],
    "weaknesses too-large": [_raised("ClaudeMonitorError", "MediaTooLarge", "told when it is logged, before a copy")],
    "weaknesses list-of-images": [
        _raised("TypeError", "", _NOT_LOST),
        Row("runs/list-of-images/points/loss", ABSENT, "[[0, 1]]", _NOT_LOST),
        Row(
            "runs/list-of-images/media/grid",
            ABSENT,
            _medium("image/png", 16, "02a3e298f1533f62558c58e4c70edcab9af5a50d62d925fd5390942020fb0fb8", 0),
            _NOT_LOST,
        ),
        Row(
            "runs/list-of-images/media/grid #2",
            ABSENT,
            _medium("image/png", 17, "e015f4defdb2ced6aabeffc6e4aa1b93cf027557e1665a62862d8472965dc727", 0),
            _NOT_LOST,
        ),
    ],
    "weaknesses disable-autofinish-0": [
        Row("runs/disable-autofinish-0/status", "running", "finished", "0 says no"),
        Row("runs/disable-autofinish-0/ended", False, True, "0 says no"),
    ],
    "weaknesses surrogate": [
        _raised("TypeError", "", _NOT_LOST),
        Row(
            "traces/surrogate/spans/2",
            ABSENT,
            _span({"nan": {"_type": "number", "value": "NaN"}, "set": [1]}, name="n"),
            _NOT_LOST,
        ),
    ],
    "weaknesses span-status": [
        Row("output/0", ABSENT, "raised ArgumentError", _KNOWN_STATUS),
        Row(
            "traces/span-status/spans/0",
            _span({"text": "x"}, status="great"),
            ABSENT,
            _KNOWN_STATUS,
        ),
    ],
    "weaknesses server-down": [
        Row("exit code", 1, 0, "a server that is down does not stop the job"),
        Row("traces/server-down", ABSENT, THERE, "a server that is down does not stop the job"),
    ],
    "weaknesses system-samples": [
        Row("runs/system/points/mine", "[[1, 1]]", "[[0, 1]]", "samples of the machine take none of the user's steps")
    ],
}
