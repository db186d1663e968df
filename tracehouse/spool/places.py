"""Where things lie unless told otherwise: the paths of platformdirs, computed by hand, so that no version of it moves them."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_APP = "tracehouse"


def default_config_dir(environ: Mapping[str, str] | None = None) -> str:
    """The user's directory for credentials and ``config.toml``: TRACEHOUSE_CONFIG_DIR, else the system's place for such."""
    environ = os.environ if environ is None else environ
    told = environ.get("TRACEHOUSE_CONFIG_DIR")
    if told:
        return os.path.abspath(os.path.expanduser(told))
    return _user_dir(environ, "XDG_CONFIG_HOME", ".config")


def default_state_dir(environ: Mapping[str, str] | None = None) -> str:
    """The user's directory for what programs note down between runs."""
    return _user_dir(os.environ if environ is None else environ, "XDG_STATE_HOME", ".local/state")


def default_spool_dir(environ: Mapping[str, str] | None = None) -> str:
    """TRACEHOUSE_SPOOL_DIR, else ``spool`` in the state directory."""
    environ = os.environ if environ is None else environ
    told = environ.get("TRACEHOUSE_SPOOL_DIR")
    if told:
        return os.path.abspath(os.path.expanduser(told))
    return os.path.join(default_state_dir(environ), "spool")


def _user_dir(environ: Mapping[str, str], variable: str, below_home: str) -> str:
    base = environ.get(variable, "").strip()
    # a relative path there is to be ignored, says the XDG specification
    if not os.path.isabs(base):
        home = environ.get("HOME") or os.path.expanduser("~")
        base = os.path.join(home, "Library/Application Support" if sys.platform == "darwin" else below_home)
    # of a user without a home there is no better place than where the job begins; it may go elsewhere
    return os.path.abspath(os.path.join(base, _APP))
