"""The one place that states the version to the running code."""

from __future__ import annotations

VERSION = "1.0.0.dev0"
