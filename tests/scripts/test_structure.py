"""Each rule of `scripts/structure.py` finds what it forbids, and lets pass what merely looks like it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def structure() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "structure.py"
    spec = importlib.util.spec_from_file_location("structure", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "file,source",
    [
        ("tracehoused/upload/wire.py", "from tracehouse.run import Run"),
        ("tracehoused/upload/wire.py", "from tracehouse import session"),
        ("tracehoused/upload/wire.py", "def f():\n    import tracehouse"),
        ("tracehoused/service/agent.py", "import httpx"),
        ("tracehoused/service/agent.py", "from httpx import Client"),
        ("tracehoused/upload/checkpoint.py", "import os\nos.fsync(3)"),
        ("tracehoused/upload/checkpoint.py", "import os as system\nsystem.replace('a', 'b')"),
        ("tracehoused/upload/checkpoint.py", "from os import fdatasync"),
        ("tracehouse/media.py", "path.rename(other)"),
        ("tracehouse/media.py", "path.replace(other)"),
        ("tracehouse/spool/record.py", "import os\nos.link('a', 'b')"),
        ("tracehoused/upload/reader.py", "from tracehouse.spool.record import _crc"),
        ("tracehoused/upload/reader.py", "from .wire import _body"),
        ("tracehoused/upload/reader.py", "from tracehoused import _hidden"),
    ],
)
def test_structure_finds(structure: ModuleType, file: str, source: str) -> None:
    assert len(structure.findings(file, source)) == 1


@pytest.mark.parametrize(
    "file,source",
    [
        ("tracehoused/upload/wire.py", "from tracehouse import spool\nfrom tracehouse.exceptions import SpoolError"),
        ("tracehoused/upload/wire.py", "import tracehouse.spool.record"),
        ("tracehoused/http/client.py", "import httpx"),
        ("tracehouse/spool/durable.py", "import os\nos.fsync(3)\nos.replace('a', 'b')"),
        ("tracehoused/house/blobs.py", "import os\nos.link('a', 'b')"),
        ("tracehouse/media.py", "'a'.replace('a', 'b')\nwhen.replace(tzinfo=None)\nreplace(value, step=1)"),
        ("tracehouse/media.py", "def f():\n    import numpy"),
        ("tracehouse/media.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy"),
        ("tracehouse/media.py", "from __future__ import annotations\nfrom . import run\nimport os.path"),
    ],
)
def test_structure_lets_pass(structure: ModuleType, file: str, source: str) -> None:
    assert structure.findings(file, source) == []


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the list of the standard library's modules is of Python 3.10")
def test_structure_finds_an_emitter_that_needs_more_than_the_standard_library(structure: ModuleType) -> None:
    assert len(structure.findings("tracehouse/media.py", "import numpy")) == 1
