"""What is settled of one session at one destination, as a value that journal lines change. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tracehoused.upload.batch import Bounds
from tracehoused.upload.facts import ENDS, sensible
from tracehoused.upload.intervals import Intervals

__all__ = ["ENDS", "SENSELESS", "State", "cursor_list"]

# what reading a value raises that nobody wrote who knows the format
SENSELESS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass
class State:
    """``done``: settled in all lanes, by epoch; ``lanes``: settled beyond that, by (epoch, lane); ``cursors``: by epoch and segment
    number, the offset before which all is settled; ``in_flight``: journalled, not settled, with the times the server failed at each;
    ``facts``: small named values; ``strange``: what was journalled and makes no sense."""

    done: dict[str, Intervals] = field(default_factory=dict)
    lanes: dict[tuple[str, str], Intervals] = field(default_factory=dict)
    cursors: dict[str, dict[int, int]] = field(default_factory=dict)
    in_flight: dict[Bounds, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    strange: list[Any] = field(default_factory=list, compare=False)

    def is_settled(self, epoch: str, lane: str, seq: int) -> bool:
        done = self.done.get(epoch)
        if done is not None and seq in done:
            return True
        settled = self.lanes.get((epoch, lane))
        return settled is not None and seq in settled

    @property
    def forgotten(self) -> int:
        """Records that were deleted here after their acknowledgement, and that the server has forgotten since."""
        return sum((self.facts.get("forgotten") or {}).values())

    @property
    def generation(self) -> int:
        """How often the server forgot the session."""
        return int(self.facts.get("generation") or 0)

    @property
    def dropped(self) -> int:
        """How many records its jobs could not write."""
        return sum(count for count, _ in dict(self.facts.get("dropped") or {}).values())

    def is_partly_settled(self, bounds: Bounds) -> bool:
        """Some of what a batch covers is settled: it cannot be sent as it was."""
        return any(known is not None and known.meets(bounds.first, bounds.last) for known in self._known(bounds))

    def apply(self, entry: dict[str, Any]) -> None:
        """One journal line; what makes no sense raises ValueError, KeyError or TypeError."""
        op = entry["op"]
        if op == "batch":
            self.in_flight.setdefault(_bounds(entry["bounds"]), int(entry.get("strikes", 0)))
        elif op == "cut":
            self.in_flight.pop(_bounds(entry["bounds"]), None)
        elif op == "strike":
            bounds = _bounds(entry["bounds"])
            if bounds in self.in_flight:  # else it was settled meanwhile, by another agent
                self.in_flight[bounds] += 1
        elif op == "settle":
            self._settle(str(entry["epoch"]), str(entry["lane"]), entry["ranges"])
        elif op == "done":
            self._done(str(entry["epoch"]), entry["ranges"], _cursors(entry.get("cursors", entry.get("cursor"))))
        elif op == "fact":
            self.learn({str(entry["name"]): entry["value"]})
        elif op == "state":
            self.merge(State.from_dict(entry))
            self.learn(entry["facts"])

    def learn(self, facts: dict[str, Any]) -> None:
        """Newer facts. Of how a writer ended the one from its later record stays: an agent that was stopped may note late what it knew.
        What makes no sense under its name is left out."""
        facts = sensible(facts)
        known, news = self.facts.get(ENDS), facts.get(ENDS)
        self.facts.update(facts)
        if known and news:
            self.facts[ENDS] = {**known, **{epoch: _later(known.get(epoch, {}), end) for epoch, end in news.items()}}

    def _settle(self, epoch: str, lane: str, ranges: list[list[int]]) -> None:
        settled = self.lanes.setdefault((epoch, lane), Intervals())
        for first, last in ranges:
            settled.add(first, last)
        for bounds in [b for b in self.in_flight if (b.epoch, b.lane) == (epoch, lane)]:
            if settled.covers(bounds.first, bounds.last):
                del self.in_flight[bounds]

    def _done(self, epoch: str, ranges: list[list[int]], cursors: dict[int, int]) -> None:
        done = self.done.setdefault(epoch, Intervals())
        for first, last in ranges:
            done.add(first, last)
        for bounds in [b for b in self.in_flight if b.epoch == epoch and done.covers(b.first, b.last)]:
            del self.in_flight[bounds]
        for key in [key for key in self.lanes if key[0] == epoch]:
            kept = Intervals(pair for pair in self.lanes[key] if not done.covers(*pair))
            if len(kept):
                self.lanes[key] = kept
            else:
                del self.lanes[key]
        known = self.cursors.setdefault(epoch, {})
        for n, offset in cursors.items():
            known[n] = max(known.get(n, 0), offset)

    def merge(self, other: State) -> None:
        """The union of what both know to be settled; facts are left alone."""
        for epoch, ranges in other.done.items():
            self._done(epoch, ranges.to_list(), other.cursors.get(epoch, {}))
        for (epoch, lane), ranges in other.lanes.items():
            self._settle(epoch, lane, ranges.to_list())
        for bounds, strikes in other.in_flight.items():
            if not any(known is not None and known.covers(bounds.first, bounds.last) for known in self._known(bounds)):
                self.in_flight[bounds] = max(strikes, self.in_flight.get(bounds, 0))
        self.strange += other.strange

    def _known(self, bounds: Bounds) -> tuple[Intervals | None, Intervals | None]:
        return self.done.get(bounds.epoch), self.lanes.get((bounds.epoch, bounds.lane))

    def forget_settled(self) -> None:
        """The server has nothing of this session any more: all is to be sent again."""
        self.done, self.lanes, self.cursors, self.in_flight = {}, {}, {}, {}

    def to_dict(self) -> dict[str, Any]:
        return {
            "done": {epoch: ranges.to_list() for epoch, ranges in self.done.items()},
            "lanes": [[epoch, lane, ranges.to_list()] for (epoch, lane), ranges in self.lanes.items()],
            "cursors": {epoch: cursor_list(cursors) for epoch, cursors in self.cursors.items()},
            "in_flight": [[*bounds, strikes] for bounds, strikes in self.in_flight.items()],
            "facts": self.facts,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> State:
        state = cls(facts=sensible(dict(fields["facts"])))
        for epoch, ranges in fields["done"].items():
            state.done[epoch] = Intervals(ranges)
        for epoch, lane, ranges in fields["lanes"]:
            state.lanes[epoch, lane] = Intervals(ranges)
        state.cursors = {epoch: _cursors(cursors) for epoch, cursors in fields["cursors"].items()}
        for values in fields["in_flight"]:
            try:
                state.in_flight[_bounds(values[:7])] = int(values[7])
            except SENSELESS:
                state.strange.append({"op": "batch", "bounds": values})  # all else of it holds
        return state


def _later(known: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    """How a writer ended, as its later record tells, with the latest time of any of its records."""
    end = news if news.get("seq", 0) >= known.get("seq", 0) else known
    last_at = max(known.get("last_at", ""), news.get("last_at", ""), key=lambda at: at.rstrip("Z"))
    return {**end, "last_at": last_at} if last_at else end


def _bounds(values: list[Any]) -> Bounds:
    lane, epoch, *numbers = values
    return Bounds(str(lane), str(epoch), *(int(number) for number in numbers)).check()


def cursor_list(cursors: dict[int, int]) -> list[list[int]]:
    """As a journal has them."""
    return [[n, offset] for n, offset in sorted(cursors.items())]


def _cursors(told: list[Any] | None) -> dict[int, int]:
    """Of a journal before it had one for each segment, the one pair that it had: the segments before that are read again."""
    pairs = [told] if told and not isinstance(told[0], list) else told or []
    places = {int(n): int(offset) for n, offset in pairs}
    if any(min(place) < 0 for place in places.items()):
        raise ValueError(f"no places in segments: {told}")
    return places
