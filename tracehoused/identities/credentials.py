"""Which key goes with a session: none that was given for another server, none by accident.

- A key is bound to one api_base: a kept one to that of its login, TRACEHOUSE_API_KEY to the api_base of the command line, else
  to TRACEHOUSE_API_BASE, else to the default. What a manifest says never moves a key to another server, for anyone can
  write a manifest, with anyone's fingerprint in it.
- A manifest that names a key by its fingerprint gets that key, or the one that replaced it in its profile; no other unless
  a profile is asked for by name.
- A manifest that names none gets TRACEHOUSE_API_KEY or the profile ``default`` of its api_base.
- Plain http goes to this machine only, unless it is allowed.
- A public (anonymous) identity is made when a caller asks for it, once for each api_base, and never made anew silently.

The identity is the profile's name: it stays when the key changes. A key in no profile has the name that it would get if it
were kept from code, ``key-<fingerprint>``.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracehouse.exceptions import ArgumentError
from tracehouse.spool import keys
from tracehouse.spool.keys import StoredKey
from tracehouse.spool.layout import fingerprint
from tracehoused.identities.anonymous import anonymous
from tracehoused.identities.identity import Credential, NoCredential, refuse_plain_http
from tracehoused.text import argument, printable

__all__ = ["Credential", "NoCredential", "anonymous", "find"]


def find(
    manifest_api_base: str,
    manifest_credential: str | None,
    *,
    environ: Mapping[str, str],
    profile: str | None = None,
    allow_plain_http: bool = False,
    told_api_base: str | None = None,
) -> Credential | NoCredential:
    """The key for sessions of an api_base whose manifest names this credential (a fingerprint, "anon" or None).

    ``profile`` asks for one by name, whatever the manifest says. ``told_api_base`` is an api_base that the user named on the
    command line, and with it the server that TRACEHOUSE_API_KEY is for. Raises nothing.
    """
    try:
        api_base = keys.normalise_api_base(manifest_api_base)
        stored = [entry for entry in keys.load(keys.default_config_dir(environ)) if entry.api_base == api_base]
        given = _from_environment(environ, api_base, told_api_base)
    except ArgumentError as error:
        return NoCredential(printable(str(error)), "correct it, or name a server with --api-base")
    except keys.KeyFileError as error:
        return NoCredential(str(error), "see the file; `tracehouse doctor` looks at it too")
    refused = refuse_plain_http(api_base, allowed=allow_plain_http)
    if refused is not None:
        return refused
    if profile is not None:
        return _named(stored, api_base, profile)
    if manifest_credential == "anon":
        return NoCredential("it is to be uploaded anonymously", "no key is used for it")
    if manifest_credential is None:
        return _default(stored, api_base, given, environ)
    return _by_fingerprint(stored, api_base, given, manifest_credential)


def _from_environment(environ: Mapping[str, str], api_base: str, told_api_base: str | None) -> str | None:
    """TRACEHOUSE_API_KEY, if it is for that api_base."""
    key = environ.get("TRACEHOUSE_API_KEY")
    if not key:
        return None
    bound = told_api_base or environ.get("TRACEHOUSE_API_BASE") or keys.DEFAULT_API_BASE
    return keys.check_key(key) if keys.normalise_api_base(bound) == api_base else None


def _of(entry: StoredKey) -> Credential:
    # each of its keys may have come from the environment before a login kept it
    names = dict.fromkeys((*entry.formerly, *map(_unnamed, entry.fingerprints)))
    names.pop(entry.profile, None)
    return Credential(entry.key, entry.profile, entry.api_base, tuple(names))


def _unnamed(mark: str) -> str:
    """The identity of a key in no profile."""
    return f"key-{mark}"


def _given(stored: list[StoredKey], api_base: str, key: str) -> Credential:
    """A key from the environment; if a profile has it, or had it before its present one, that profile."""
    mark = fingerprint(key)
    entry = _holder(stored, mark)
    return Credential(key, _unnamed(mark), api_base) if entry is None else _of(entry)


def _holder(stored: list[StoredKey], mark: str) -> StoredKey | None:
    """The profile whose key has this fingerprint, else one whose former key had."""
    present = (entry for entry in stored if entry.fingerprints[0] == mark)
    former = (entry for entry in stored if mark in entry.fingerprints)
    return next(present, None) or next(former, None)


def _named(stored: list[StoredKey], api_base: str, profile: str) -> Credential | NoCredential:
    entry = next((e for e in stored if e.profile == profile), None)
    entry = entry or next((e for e in stored if profile in e.formerly), None)
    if entry is not None:
        return _of(entry)
    hint = f"tracehouse login --api-base {argument(api_base)} --profile {argument(profile)}"
    return NoCredential(f"there is no profile {profile!r} for {api_base}{_others(stored)}", hint)


def _default(
    stored: list[StoredKey], api_base: str, given: str | None, environ: Mapping[str, str]
) -> Credential | NoCredential:
    if given is not None:
        return _given(stored, api_base, given)
    entry = next((e for e in stored if e.profile == keys.DEFAULT_PROFILE), None)
    if entry is not None:
        return _of(entry)
    elsewhere = bool(environ.get("TRACEHOUSE_API_KEY"))
    aside = "; TRACEHOUSE_API_KEY is for another server (see TRACEHOUSE_API_BASE)" if elsewhere else ""
    reason = f"there is no key for {printable(api_base)}{_others(stored)}{aside}"
    hint = f"`tracehouse login --api-base {argument(api_base)}`, or set TRACEHOUSE_API_KEY"
    hint = (
        f"{hint}; or upload it elsewhere: `tracehouse sync --api-base URL`, or publicly: `tracehouse sync --anonymous`"
    )
    return NoCredential(reason, hint)


def _by_fingerprint(stored: list[StoredKey], api_base: str, given: str | None, mark: str) -> Credential | NoCredential:
    if given is not None and fingerprint(given) == mark:
        return _given(stored, api_base, given)
    entry = _holder(stored, mark)
    if entry is not None:
        return _of(entry)
    reason = (
        f"it was logged with a key (fingerprint {printable(mark, 20)}) that is not kept here for {printable(api_base)}"
    )
    hint = f"`tracehouse login --api-base {argument(api_base)}` with that key, or choose another by --profile"
    return NoCredential(reason + _others(stored), hint)


def _others(stored: list[StoredKey]) -> str:
    if not stored:
        return ""
    return f" (profiles there: {', '.join(printable(entry.profile, 40) for entry in stored)})"
