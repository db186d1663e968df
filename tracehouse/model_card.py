"""A run as a Hugging Face model card: YAML front matter, then Markdown. Made from what lies here; nothing is asked of a network."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.session import NoSession, Session
    from tracehouse.training import TrainingRun

_LONGEST = 200


def of(run: TrainingRun, session: Session | NoSession) -> str:
    """The card of a run, with the last values that its segments on this disk hold."""
    from tracehouse import history

    return render(run, history.last_values(session.directory))


def render(run: TrainingRun, values: dict[str, Any]) -> str:
    """The card's text. ``values`` are the last of each metric, of which numbers become results."""
    numbers = {key: value for key, value in values.items() if isinstance(value, (int, float))}
    title = run.hf_model.rpartition("/")[2] if run.hf_model else run.name
    parts = [_front_matter(run, title, numbers), f"# {title}", _about(run)]
    if numbers:
        parts.append("## Results\n\n" + _table(("metric", "last value"), numbers))
    if run.config:
        parts.append("## Configuration\n\n" + _table(("name", "value"), run.config))
    return "\n\n".join(parts) + "\n"


def _front_matter(run: TrainingRun, title: str, numbers: dict[str, Any]) -> str:
    lines = ["---", "library_name: tracehouse", "tags:", "- tracehouse"]
    if run.hf_dataset:
        lines += ["datasets:", f"- {_quoted(run.hf_dataset)}"]
    if numbers and run.hf_dataset:
        lines += ["model-index:", f"- name: {_quoted(title)}", "  results:", "  - task:", "      type: other"]
        lines += ["    dataset:", f"      name: {_quoted(run.hf_dataset)}", f"      type: {_quoted(run.hf_dataset)}"]
        if run.hf_dataset_split:
            lines.append(f"      split: {_quoted(run.hf_dataset_split)}")
        lines.append("    metrics:")
        for key, value in numbers.items():
            lines += [f"    - type: {_quoted(key)}", f"      name: {_quoted(key)}", f"      value: {_number(value)}"]
    return "\n".join([*lines, "---"])


def _about(run: TrainingRun) -> str:
    lines = [f"Trained in the run **{_inline(run.name)}** (`{_inline(run.client_run_id)}`), recorded with tracehouse."]
    facts = {
        "Project": run.project,
        "Model": _with(run.hf_model, run.hf_model_revision),
        "Dataset": _with(run.hf_dataset, run.hf_dataset_split),
    }
    lines += [f"- {name}: {_inline(fact)}" for name, fact in facts.items() if fact]
    return "\n\n".join([lines[0], "\n".join(lines[1:])]) if lines[1:] else lines[0]


def _with(name: str | None, part: str | None) -> str | None:
    return f"{name} ({part})" if name and part else name


def _table(head: tuple[str, str], rows: dict[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    lines += [f"| {_inline(key)} | {_inline(value)} |" for key, value in rows.items()]
    return "\n".join(lines)


def _quoted(text: object) -> str:
    """A JSON text is a YAML text."""
    from json import dumps

    return dumps(str(text), ensure_ascii=False)


def _number(value: float) -> str:
    from json import dumps

    return dumps(value)


def _inline(value: object) -> str:
    """One cell: no line breaks, no bars, no HTML."""
    text = " ".join(str(value).split())
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return text.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
