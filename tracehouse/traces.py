"""What is read back of a spool: rows, and chat traces made of them."""

from __future__ import annotations

from tracehouse import late

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    _Rows = list[dict[str, Any]]
else:
    _Rows = list


class Rows(_Rows):
    """A list of dicts, which also is a table.

    >>> run = cm.init_run(client_run_id="night-7")
    >>> run.log({"loss": 0.5}, step=3)
    >>> rows = cm.read()["night-7"].metrics("loss")
    >>> rows[0]["key"], rows[0]["step"], rows[0]["value"]
    ('loss', 3, 0.5)
    """

    def to_pandas(self) -> Any:
        """As a pandas.DataFrame; ImportError, which says what to install, without pandas."""
        try:
            pd = late.outside("pandas")
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error
        return pd.DataFrame(list(self))


class RecordedTrace:
    """A chat trace: ``id`` (its session_id), ``fields`` (what its creation and finish said, merged), ``spans`` (Rows).

    >>> run = cm.init(session_id="run-001")
    >>> said = cm.log_user("2 + 2?")
    >>> saved = cm.finish(outcome="good", metadata={"reward": 1.0})
    >>> [trace] = cm.read()["run-001"].traces()
    >>> trace.id, trace.outcome, trace.metadata, trace.spans[0]["attributes"]
    ('run-001', 'good', {'reward': 1.0}, {'text': '2 + 2?'})
    """

    def __init__(self, trace_id: str) -> None:
        self.id = trace_id
        self.fields: dict[str, Any] = {}
        self.spans = Rows()

    @property
    def step(self) -> Any:
        """Of a rollout: the run's step it belongs to."""
        return self.fields.get("rollout_step")

    @property
    def outcome(self) -> str | None:
        """good, bad or neutral; None where nothing was said."""
        return self.fields.get("outcome")

    @property
    def metadata(self) -> dict[str, Any]:
        """What its creation and finish said as ``metadata``, merged by key."""
        found = self.fields.get("metadata")
        return found if isinstance(found, dict) else {}

    def add_fields(self, fields: dict[str, Any]) -> None:
        """Later values win; metadata merges by key."""
        merged = {**self.metadata, **(fields.get("metadata") or {})}
        self.fields.update(fields)
        if merged:
            self.fields["metadata"] = merged

    def __repr__(self) -> str:
        return f"<RecordedTrace {self.id!r}: {len(self.spans)} spans, outcome {self.outcome}>"
