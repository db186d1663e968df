"""Values by step, and media among them: the part of a training run that is called most."""

from __future__ import annotations

from tracehouse.clock import now
from tracehouse.exceptions import ArgumentError, MediaError, NotActiveError
from tracehouse.spool.releasing import releasing
from tracehouse.values import MAX_DEPTH, encode_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable

    from tracehouse.redact import Redactor
    from tracehouse.session import NoLog, NoSession, Session
    from tracehouse.spool.log import SessionLog

    Media = list[tuple[str, Any]]


class MetricLog:
    """``log``, ``log_image`` and ``log_video`` of a run whose session is begun."""

    _session: Session | NoSession
    _log: SessionLog | NoLog
    _append: Callable[[str, str], None]
    _redactor: Redactor | None
    _is_active: bool

    def log(
        self,
        values: Mapping[str, Any] | None,
        *,
        step: Any = None,
        wall_time: Any = None,
        commit: bool = True,
    ) -> None:
        """Record values of one step: numbers, texts, lists, dicts, media, and lists of media.

        Without ``step`` it is the next one; a given one goes through ``int()``, and automatic steps go on after the highest.
        Nothing to record takes no step. ``wall_time`` (a text) is now by default. ``commit`` changes nothing: each call is written at
        once and, as in ``tracehouse-sdk`` 0.6, has its own step. For several calls to share a step give it to each, or use
        ``tracehouse.wandb``, whose uncommitted calls do. Raises ArgumentError for a step that is no number or values that are no
        mapping; for media what ``Image`` raises, after all else was recorded. Values: ``tracehouse.values``.

        >>> run = cm.init_run(project="rl")
        >>> run.log({"loss": 0.5, "lr": 1e-5, "sample": cm.Image(b"GIF89a...")}, step=10)
        """
        if not self._is_active:
            raise NotActiveError("run is not active")
        if type(values) is dict and values and not (wall_time or self._redactor):
            text = encode_plain(values)
            if text is not None:
                step = self._take_step(step)
                self._append("metrics", f'{{"step":{step},"wall_time":"{now()}","values":{text}}}')
                return
        rest, media = split(values)
        if rest or media:
            step = self._take_step(step)
            if rest:
                record = {"step": step, "wall_time": wall_time or now(), "values": self._cleaned(rest)}
                self._session.record("metrics", record)
            self._add_media(media, step)

    @releasing("_log.step_lock")
    def _take_step(self, step: Any) -> int:
        log = self._log
        if step is None:
            with log.step_lock:
                taken = log.next_step
                if taken is None:
                    taken = self._resumed_step()
                log.next_step = taken + 1
            return taken
        taken = as_step(step)
        with log.step_lock:
            if log.next_step is None:
                log.next_step = self._resumed_step()
            if taken >= log.next_step:
                log.next_step = taken + 1
        return taken

    @releasing("_log.step_lock")
    def _next_step(self) -> int:
        with self._log.step_lock:
            if self._log.next_step is None:
                self._log.next_step = self._resumed_step()
            return self._log.next_step

    @releasing("_log.step_lock")
    def _go_on_after_others(self) -> None:
        """In a session that this process had before: other processes may have got further since."""
        with self._log.step_lock:
            if self._session.resumed and self._log.next_step is not None:
                self._log.next_step = max(self._log.next_step, self._resumed_step())

    def _resumed_step(self) -> int:
        """Where the automatic step goes on in a session that is not new."""
        from tracehouse import history

        return history.next_step(self._session.directory)

    def log_image(
        self,
        key: str,
        data: Any,
        *,
        caption: str | None = None,
        step: Any = None,
        format: str | None = None,  # noqa: A002
    ) -> None:
        """Record a picture; ``data`` and errors as of ``Image``. Without ``step`` it has none; the automatic step is left alone.

        >>> run = cm.init_run(project="rl")
        >>> run.log_image("samples", b"GIF89a...", caption="epoch 3", step=300)
        """
        from tracehouse.media import Image

        self._add_media([(key, Image(data, caption=caption, format=format))], _optional_step(step))

    def log_video(
        self,
        key: str,
        data: Any,
        *,
        caption: str | None = None,
        step: Any = None,
        format: str | None = None,  # noqa: A002
    ) -> None:
        """Record a video; ``data`` and errors as of ``Video``. Without ``step`` it has none; the automatic step is left alone.

        >>> run = cm.init_run(project="rl")
        >>> run.log_video("episode", b"....ftypisom", step=300)
        """
        from tracehouse.media import Video

        self._add_media([(key, Video(data, caption=caption, format=format))], _optional_step(step))

    def _add_media(self, media: Media, step: int | None) -> None:
        """Each of them that can be read; then the first error, if any could not."""
        if not self._is_active:
            raise NotActiveError("run is not active")
        failure: MediaError | None = None
        for key, item in media:
            try:
                self._add_one(key, item, step)
            except MediaError as error:
                # one that fails must not cost the others
                failure = failure or error
        if failure is not None:
            raise failure

    def _add_one(self, key: str, item: Any, step: int | None) -> None:
        import os

        log = self._log
        if not self._session.directory:
            return
        directory = os.path.join(self._session.directory, "media")
        try:
            log.expect_file()
            spooled = _spooled(self._cleaned_text(item), directory)
        except MediaError:
            raise
        except OSError as error:
            log.lose(error)
            return
        log.add_file(os.path.join(directory, spooled.file))
        record = {
            "key": key if self._redactor is None else self._redactor.key(str(key)),
            "media_type": item.media_type,
            "mime": spooled.mime,
            "sha256": spooled.sha256,
            "size": spooled.size,
            "file": spooled.file,
        }
        if step is not None:
            record["step"] = step
        if item.caption:
            record["caption"] = self._cleaned(item.caption)
        self._session.record("media", record)

    def _cleaned_text(self, item: Any) -> Any:
        """Media that are text are cleaned as such; others are what they are."""
        return item.cleaned(self._redactor) if self._redactor is not None and hasattr(item, "cleaned") else item

    def _cleaned(self, value: Any) -> Any:
        return value if self._redactor is None else self._redactor.clean(value)


def _spooled(item: Any, directory: str) -> Any:
    try:
        return item.spool_into(directory)
    except FileNotFoundError:
        # an agent that had seen nobody here was deleting the session; it looks again before it goes on
        return item.spool_into(directory)


def as_step(step: Any) -> int:
    """``int(step)`` of anything that is a number; ArgumentError for the rest, NaN included."""
    if type(step) is int:
        return step
    try:
        if not isinstance(step, (str, bytes, bytearray)):
            return int(step)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ArgumentError(f"step must be a number, got {step!r:.100}")


def _optional_step(step: Any) -> int | None:
    return None if step is None else as_step(step)


def split(values: Any, inside: tuple[int, ...] = ()) -> tuple[dict[str, Any], Media]:
    """(what is no media, the media by key). Media in a list go by the list's key, those in a dict by ``key/inner key``.

    ``inside``: the ids of the dicts that these lie in.
    """
    if values is None:
        return {}, []
    if not hasattr(type(values), "keys") or not hasattr(type(values), "__getitem__"):
        raise ArgumentError(f"values must be a mapping of names to values, got {values!r:.100}")
    rest: dict[str, Any] = {}
    media: Media = []
    # a dict at once: another thread may change it meanwhile
    for key, value in list(values.items()) if isinstance(values, dict) else [(key, values[key]) for key in values]:
        others, found = _split_value(key, value, (*inside, id(values)))
        media += found
        if not found or others:
            rest[key] = others if found else value
    return rest, media


def _split_value(key: str, value: Any, inside: tuple[int, ...]) -> tuple[Any, Media]:
    if _is_media(value):
        return None, [(key, value)]
    if isinstance(value, (list, tuple)) and any(map(_is_media, value)):
        return [one for one in value if not _is_media(one)], [(key, one) for one in value if _is_media(one)]
    if isinstance(value, dict) and id(value) not in inside and len(inside) < MAX_DEPTH:
        rest, media = split(value, inside)
        return rest, [(f"{key}/{inner}", one) for inner, one in media]
    return value, []


def _is_media(value: object) -> bool:
    return hasattr(type(value), "spool_into")
