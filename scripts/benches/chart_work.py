"""A house's store with one long series: ``python -m benches.chart_work FOLDER``."""

from __future__ import annotations

import sys
import time
from typing import Any

from benches.measure import rss_mb
from benches.procs import serve


def work(folder: str) -> dict[str, Any]:
    from tracehoused.house.store import chart, points, runs
    from tracehoused.house.store.once import Caller, Once
    from tracehoused.house.store.store import Store
    from tracehoused.house.training import Point, Points, new_run

    store = Store(f"sqlite:///{folder}/house.db")
    caller = Caller("bench", "write", True)
    run = new_run({"name": "long", "client_run_id": "long", "started_at": "2026-01-31T12:00:00Z"})
    run_id = store.write(lambda connection: runs.put_run(connection, caller, run, 0)).result()[0]

    def fill(count: int, at_once: int) -> float:
        began = time.perf_counter()
        for first in range(0, count, at_once):
            sent: list[Point] = [(step, step * 1000, step % 997 / 7, None, 0) for step in range(first, first + at_once)]
            batch = Points({"loss": sent}, at_once, 0)

            def put(connection: Any, batch: Points = batch) -> None:
                row = runs.run_row(connection, caller, run_id, lock=True)
                points.put_points(connection, row, Once("metrics"), batch)

            store.write(put).result()
        return time.perf_counter() - began

    def look(wanted: int, times: int) -> list[float]:
        """Milliseconds of each look at the whole series, the first included, in that many buckets."""

        def read(connection: Any) -> int:
            row = runs.run_row(connection, caller, run_id)
            series = chart.find_series(connection, row.pk, ["loss"])
            return len(chart.buckets(connection, series[0].id, wanted, None, None)["buckets"])

        taken = []
        for _ in range(times):
            began = time.perf_counter()
            found = store.read(read)
            taken.append(1e3 * (time.perf_counter() - began))
            if not 0 < found <= 2 * wanted:
                raise RuntimeError(f"{found} buckets where {wanted} were asked for")
        return taken

    return {"fill": fill, "look": look, "rss": rss_mb}


if __name__ == "__main__":
    serve(work(sys.argv[1]))
