"""What a run is told of itself: its config, summary and links. Of a run that is not new they are read back from the spool."""

from __future__ import annotations

from tracehouse.clock import now
from tracehouse.exceptions import NotActiveError
from tracehouse.mapping import RecordedDict
from tracehouse.metrics import MetricLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINKS = ("hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision")


class _Fact:
    """An attribute that a run reads back when it is first asked for. Not by ``__getattr__``, which makes every attribute dearer."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: RunFacts | None, owner: type[RunFacts]) -> Any:
        if run is None:
            return self
        if "_told" not in vars(run):
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}")
        return run._read_back(self._name)  # noqa: SLF001 - a part of that class


class RunFacts(MetricLog):
    """``config``, ``summary`` and the links of a run whose session is begun.

    Of a resumed run, and of one that is attached to, they are looked up in its segments when they are first asked for: its beginning waits
    for no disk. What an agent has removed after its upload is not there any more.
    """

    config: RecordedDict
    summary: RecordedDict
    hf_dataset: str | None
    hf_dataset_split: str | None
    hf_model: str | None
    hf_model_revision: str | None
    _told: dict[str, Any]

    def _begin_facts(self, config: dict[str, Any], links: dict[str, str | None]) -> None:
        self._told = {**links, "config": config}
        if not self._session.resumed:
            self._hold({})
            self.summary = RecordedDict({}, self._log_summary)

    def _hold(self, fields: dict[str, Any]) -> None:
        """What was told here comes before what was read back, and what was set since before both."""
        told, held = self._told, vars(self)
        for name in LINKS:
            held.setdefault(name, told[name] if told.get(name) is not None else fields.get(name))
        held.setdefault("config", RecordedDict({**fields.get("config", {}), **told["config"]}, self._patch_config))

    def _read_back(self, name: str) -> Any:
        from tracehouse import history
        from tracehouse.recorded import plain

        directory = self._session.directory
        if name == "summary":
            self.summary = RecordedDict(plain(history.last_values(directory)), self._log_summary)
        else:
            self._hold(plain(history.run_fields(directory)))
        return vars(self)[name]

    def _record(self, kind: str, payload: dict[str, Any]) -> None:
        if not self._is_active:
            raise NotActiveError("run is not active")
        self._session.record(kind, payload)

    def _patch_config(self, changes: dict[str, Any]) -> None:
        self._record("config_patch", self._cleaned(changes))

    def _log_summary(self, values: dict[str, Any]) -> None:
        self._record("metrics", {"step": self._next_step(), "wall_time": now(), "values": self._cleaned(values)})

    def link_dataset(self, hf_slug: str, *, split: str | None = None) -> None:
        """Name the Hugging Face dataset that is trained on, and its split."""
        self._link({"hf_dataset": hf_slug, "hf_dataset_split": split})

    def link_model(self, hf_repo: str, *, revision: str | None = None) -> None:
        """Name the Hugging Face model that comes of it, and its revision."""
        self._link({"hf_model": hf_repo, "hf_model_revision": revision})

    def _link(self, links: dict[str, str | None]) -> None:
        told = {name: text for name, text in links.items() if text is not None}
        self._record("run_patch", {name: self._cleaned(text) for name, text in told.items()})
        vars(self).update(told)


for _name in (*LINKS, "config", "summary"):
    setattr(RunFacts, _name, _Fact(_name))
