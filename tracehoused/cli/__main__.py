"""``python -m tracehoused.cli`` is ``tracehouse``, for environments whose scripts are not on the path."""

from tracehoused.cli.main import tracehouse

tracehouse(prog_name="tracehouse")
