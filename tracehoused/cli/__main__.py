"""``python -m tracehoused.cli`` is ``tracehouse``, for environments whose scripts are not on the path."""

from tracehoused.cli.entry import tracehouse

tracehouse()
