"""Settings: flag > environment > config.toml > default, each with its source; what is wrong is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracehoused.config import SETTINGS, Settings, config_path, resolve
from tracehoused.exceptions import ConfigError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"TRACEHOUSE_CONFIG_DIR": str(tmp_path), "HOME": "/home/u"}


def write(environ: dict[str, str], text: str) -> str:
    path = config_path(environ)
    Path(path).write_text(text)
    return path


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(environ: dict[str, str]) -> None:
    def jobs(flag: int | None = None) -> tuple[int, str]:
        settings = resolve({"jobs": flag}, environ=environ)
        return settings.jobs, settings.sources["jobs"]

    assert jobs() == (4, "default")
    path = write(environ, "jobs = 5")
    assert jobs() == (5, path)
    environ["TRACEHOUSE_JOBS"] = "6"
    assert jobs() == (6, "TRACEHOUSE_JOBS")
    assert jobs(7) == (7, "--jobs")
    environ["TRACEHOUSE_JOBS"] = ""
    assert jobs() == (5, path)


def test_every_setting_has_a_default_a_source_and_a_help(environ: dict[str, str]) -> None:
    settings = resolve(environ=environ)
    assert set(settings.sources) == set(SETTINGS) == set(Settings.__dataclass_fields__) - {"sources"}
    assert set(settings.sources.values()) == {"default"}
    assert all(setting.help for setting in SETTINGS.values())
    assert (settings.batch_points, settings.batch_spans, settings.batch_bytes) == (1000, 1000, 1 << 20)
    assert (settings.retention_grace, settings.stall_after, settings.dead_after) == (86400, 600, 3600)


def test_every_setting_can_be_said_everywhere(environ: dict[str, str]) -> None:
    said = {
        "spools": ("~/a", '["~/a"]', ("/home/u/a",)),
        "state_dir": ("/s", '"/s"', "/s"),
        "api_base": ("http://H:80/", '"http://H:80/"', "http://h"),
        "jobs": ("8", "8", 8),
        "batch_points": ("10", "10", 10),
        "batch_spans": ("10", "10", 10),
        "batch_bytes": ("64KiB", '"64KiB"', 65536),
        "timeout": ("1m", '"1m"', 60.0),
        "ca_file": ("/ca.pem", '"/ca.pem"', "/ca.pem"),
        "limit_rate": ("500k/s", '"500k/s"', 500_000.0),
        "allow_plain_http": ("yes", "true", True),
        "rescan_every": ("30", "30", 30.0),
        "retention_grace": ("3d", '"3d"', 259_200.0),
        "stall_after": ("0.5h", '"0.5h"', 1800.0),
        "dead_after": ("2h", '"2h"', 7200.0),
        "spool_max_bytes": ("1.5G", '"1.5G"', 1_500_000_000),
        "spool_max_files": ("100000", "100_000", 100_000),
        "metrics_port": ("9100", "9100", 9100),
        "metrics_file": ("/m.prom", '"/m.prom"', "/m.prom"),
        "on_stall": ("notify 'a b'", '["notify", "a b"]', ("notify", "a b")),
        "log_file": ("/l", '"/l"', "/l"),
        "log_level": ("DEBUG", '"debug"', "debug"),
        "log_max_bytes": ("1M", "1_000_000", 1_000_000),
        "log_keep": ("2", "2", 2),
    }
    assert set(said) == set(SETTINGS)
    home = os.environ["HOME"]
    os.environ["HOME"] = "/home/u"
    try:
        for name, (variable, toml, value) in said.items():
            path = write(environ, f"{name} = {toml}\n")
            settings = resolve(environ=environ)
            assert (getattr(settings, name), settings.sources[name]) == (value, path)
            write(environ, "")
            settings = resolve(environ={**environ, SETTINGS[name].env: variable})
            assert (getattr(settings, name), settings.sources[name]) == (value, SETTINGS[name].env)
            settings = resolve({name: variable}, environ=environ)
            assert (getattr(settings, name), settings.sources[name]) == (value, "--" + name.replace("_", "-"))
    finally:
        os.environ["HOME"] = home


@pytest.mark.parametrize(
    "name,toml",
    [
        ("jobs", "0"),
        ("jobs", "-1"),
        ("jobs", "1.5"),
        ("jobs", "true"),
        ("jobs", '"many"'),
        ("timeout", '"soon"'),
        ("timeout", "-1"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        pytest.param("timeout", "9" * 400, id="timeout-endless"),
        pytest.param("timeout", f'"{"9" * 400}s"', id="timeout-endless-text"),
        pytest.param("batch_bytes", "9" * 400, id="batch_bytes-endless"),
        ("batch_bytes", '"1 parsec"'),
        ("batch_bytes", "0"),
        ("limit_rate", "0"),
        ("allow_plain_http", '"perhaps"'),
        ("allow_plain_http", "2"),
        ("spools", "[]"),
        ("spools", "[1]"),
        ("api_base", '"tracehouse.ai"'),
        ("api_base", "7"),
        ("metrics_port", "65536"),
        ("ca_file", '""'),
        ("on_stall", "[]"),
        ("on_stall", '"unclosed \'quote"'),
        ("log_level", '"loud"'),
        ("log_level", "{ a = 1 }"),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_what_would_be_right(
    environ: dict[str, str], name: str, toml: str
) -> None:
    path = write(environ, f"{name} = {toml}\n")
    with pytest.raises(ConfigError, match=name) as caught:
        resolve(environ=environ)
    assert caught.value.name == name
    assert caught.value.source == path
    assert path in str(caught.value)


def test_an_unknown_key_is_named_with_the_file_and_the_nearest_valid_one(environ: dict[str, str]) -> None:
    path = write(environ, "limit-rate = 3\n")
    with pytest.raises(ConfigError) as caught:
        resolve(environ=environ)
    assert (caught.value.name, caught.value.source) == ("limit-rate", path)
    assert "did you mean 'limit_rate'?" in str(caught.value)
    write(environ, "[xyz]\na = 1\n")
    with pytest.raises(ConfigError, match="unknown setting 'xyz'") as caught:
        resolve(environ=environ)
    assert "known are spools" in caught.value.hint


@pytest.mark.parametrize("text", ["jobs =", "jobs = 1\njobs = 2", "\x00", "= 3"])
def test_a_file_that_is_not_toml_is_named(environ: dict[str, str], text: str) -> None:
    path = write(environ, text)
    with pytest.raises(ConfigError, match="TOML") as caught:
        resolve(environ=environ)
    assert path in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(environ: dict[str, str]) -> None:
    os.mkdir(config_path(environ))
    with pytest.raises(ConfigError, match="cannot read"):
        resolve(environ=environ)


def test_the_log_lies_in_the_state_directory(environ: dict[str, str]) -> None:
    assert resolve({"state_dir": "/elsewhere"}, environ=environ).log_file == "/elsewhere/tracehoused.log"
    assert resolve({"state_dir": "/elsewhere", "log_file": "/l"}, environ=environ).log_file == "/l"


def test_several_spools_can_be_given(environ: dict[str, str]) -> None:
    assert resolve({"spools": ()}, environ=environ).spools == ("/home/u/.local/state/tracehouse/spool",)
    assert resolve({"spools": ("/a", "/b/*")}, environ=environ).spools == ("/a", "/b/*")
