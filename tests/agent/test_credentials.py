"""A5, A9, A11: which key goes with which session, and which never does."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.servers import reply, serving
from tracehouse.spool import keys
from tracehouse.spool.layout import fingerprint
from tracehoused.http.client import Client
from tracehoused.identities import anonymous as public
from tracehoused.identities.credentials import Credential, NoCredential, anonymous, find

HOSTED = "https://tracehouse.ai"
HOUSE = "http://127.0.0.1:8765"
FAR = "http://house.example"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"TRACEHOUSE_CONFIG_DIR": str(tmp_path / "config"), "HOME": str(tmp_path)}


def keep(environ: dict[str, str], key: str, api_base: str = HOSTED, profile: str | None = None) -> None:
    keys.save_key(key, api_base, profile, config_dir=environ["TRACEHOUSE_CONFIG_DIR"])


def found(api_base: str, credential: str | None, environ: dict[str, str], **options: object) -> tuple[str, str] | None:
    """(token, identity)"""
    result = find(api_base, credential, environ=environ, **options)  # type: ignore[arg-type]
    if isinstance(result, NoCredential):
        assert result.reason
        assert result.hint
        return None
    assert result.api_base == keys.normalise_api_base(api_base)
    return result.token, result.identity


def test_a9_a_session_without_a_key_waits_and_says_how_to_go_on(environ: dict[str, str]) -> None:
    result = find(HOSTED, None, environ=environ)
    assert isinstance(result, NoCredential)
    assert HOSTED in result.reason
    assert "tracehouse login" in result.hint
    assert "--anonymous" in result.hint


def test_a_key_of_the_environment_is_for_the_default_server(environ: dict[str, str]) -> None:
    environ["TRACEHOUSE_API_KEY"] = "ba_env"
    own = ("ba_env", f"key-{fingerprint('ba_env')}")
    assert found(HOSTED, None, environ) == own
    assert found(HOSTED + "/", fingerprint("ba_env"), environ) == own
    assert found(HOUSE, None, environ) is None


def test_a_key_of_the_environment_is_for_the_server_named_beside_it(environ: dict[str, str]) -> None:
    environ.update(TRACEHOUSE_API_KEY="ba_env", TRACEHOUSE_API_BASE=HOUSE + "/")
    assert found(HOUSE, None, environ) is not None
    assert found(HOSTED, None, environ) is None
    assert found(HOSTED, None, environ, told_api_base=HOSTED) is not None
    assert found(HOUSE, None, environ, told_api_base=HOSTED) is None


def test_a11_a_manifest_that_names_another_server_gets_no_key_even_with_the_right_fingerprint(
    environ: dict[str, str],
) -> None:
    environ["TRACEHOUSE_API_KEY"] = "ba_env"
    keep(environ, "ba_kept", profile="default")
    for key in ("ba_env", "ba_kept"):
        for evil in ("https://evil.example", "https://tracehouse.ai.evil.example", "https://tracehouse.ai:444"):
            assert found(evil, fingerprint(key), environ) is None
            assert found(evil, None, environ) is None


@given(st.text(), st.none() | st.text() | st.just(fingerprint("ba_env")))
def test_a11_no_manifest_moves_a_key_or_raises(api_base: str, credential: str | None) -> None:
    environ = {"TRACEHOUSE_API_KEY": "ba_env", "TRACEHOUSE_CONFIG_DIR": "/nonexistent"}
    for base in (api_base, "https://" + api_base, HOSTED + api_base):
        result = find(base, credential, environ=environ)
        assert isinstance(result, NoCredential) or result.api_base == HOSTED


def test_a_manifests_fingerprint_finds_its_key(environ: dict[str, str]) -> None:
    keep(environ, "ba_one")
    keep(environ, "ba_two", profile="default")
    keep(environ, "ba_one", HOUSE)
    assert found(HOSTED, fingerprint("ba_one"), environ) == ("ba_one", f"key-{fingerprint('ba_one')}")
    assert found(HOSTED, fingerprint("ba_two"), environ) == ("ba_two", "default")
    assert found(HOUSE, fingerprint("ba_two"), environ) is None


def test_a5_a_rotated_key_is_found_by_its_former_fingerprint_under_the_same_identity(environ: dict[str, str]) -> None:
    keep(environ, "ba_old", profile="work")
    keep(environ, "ba_new", profile="work")
    assert found(HOSTED, fingerprint("ba_old"), environ) == ("ba_new", "work")
    environ["TRACEHOUSE_API_KEY"] = "ba_old"
    assert found(HOSTED, fingerprint("ba_old"), environ) == ("ba_new", "work")


def test_a5_a_key_of_the_environment_has_the_identity_of_its_profile(environ: dict[str, str]) -> None:
    keep(environ, "ba_env", profile="work")
    environ["TRACEHOUSE_API_KEY"] = "ba_env"
    assert found(HOSTED, None, environ) == ("ba_env", "work")


def test_a5_the_names_an_identity_had_are_told(environ: dict[str, str]) -> None:
    keep(environ, "ba_one")
    keep(environ, "ba_one", profile="work")
    result = find(HOSTED, fingerprint("ba_one"), environ=environ)
    assert isinstance(result, Credential)
    assert result.formerly == (f"key-{fingerprint('ba_one')}",)


def test_a5_a_login_with_a_key_of_the_environment_tells_the_name_that_the_key_had(environ: dict[str, str]) -> None:
    environ["TRACEHOUSE_API_KEY"] = "ba_env"
    assert found(HOSTED, None, environ) == ("ba_env", f"key-{fingerprint('ba_env')}")
    keep(environ, "ba_env", profile="work")
    keep(environ, "ba_new", profile="work")
    result = find(HOSTED, fingerprint("ba_env"), environ=environ)
    assert isinstance(result, Credential)
    assert f"key-{fingerprint('ba_env')}" in result.formerly


def test_a9_a_session_of_another_key_is_not_uploaded_with_the_one_at_hand(environ: dict[str, str]) -> None:
    environ["TRACEHOUSE_API_KEY"] = "ba_env"
    keep(environ, "ba_kept", profile="default")
    assert found(HOSTED, fingerprint("ba_unknown"), environ) is None
    assert found(HOSTED, fingerprint("ba_unknown"), environ, profile="default") == ("ba_kept", "default")


def test_a9_a_session_without_a_key_gets_the_default_profile_and_no_other(environ: dict[str, str]) -> None:
    keep(environ, "ba_code")
    keep(environ, "ba_work", profile="work")
    assert found(HOSTED, None, environ) is None
    keep(environ, "ba_default", profile="default")
    assert found(HOSTED, None, environ) == ("ba_default", "default")
    environ["TRACEHOUSE_API_KEY"] = "ba_env"
    assert found(HOSTED, None, environ) == ("ba_env", f"key-{fingerprint('ba_env')}")


def test_a_profile_is_found_by_its_name_at_that_server_only(environ: dict[str, str]) -> None:
    keep(environ, "ba_work")
    keep(environ, "ba_work", profile="work")
    assert found(HOSTED, None, environ, profile="work") == ("ba_work", "work")
    assert found(HOSTED, None, environ, profile=f"key-{fingerprint('ba_work')}") == ("ba_work", "work")
    assert found(HOUSE, None, environ, profile="work") is None
    refused = find(HOSTED, None, environ=environ, profile="nobody")
    assert isinstance(refused, NoCredential)
    assert "work" in refused.reason


def test_a11_plain_http_needs_a_flag_but_for_this_machine(environ: dict[str, str]) -> None:
    keep(environ, "ba_far", FAR, "default")
    keep(environ, "ba_here", HOUSE, "default")
    assert found(FAR, None, environ) is None
    assert found(FAR, None, environ, profile="default") is None
    assert found(FAR, None, environ, allow_plain_http=True) == ("ba_far", "default")
    assert found(HOUSE, None, environ) == ("ba_here", "default")


def test_a_house_on_this_machine_gets_its_key_only_if_one_was_given(environ: dict[str, str]) -> None:
    assert found(HOUSE, None, environ) is None


def test_a9_no_key_goes_with_a_public_session(environ: dict[str, str]) -> None:
    environ["TRACEHOUSE_API_KEY"] = "ba_env"
    assert found(HOSTED, "anon", environ) is None


@pytest.mark.parametrize(
    "variables", [{"TRACEHOUSE_API_KEY": "sk-1"}, {"TRACEHOUSE_API_KEY": "ba_x", "TRACEHOUSE_API_BASE": "nowhere"}]
)
def test_a_wrong_environment_is_told_and_not_raised(environ: dict[str, str], variables: dict[str, str]) -> None:
    assert found(HOSTED, None, {**environ, **variables}) is None


def test_a_damaged_key_file_is_told_and_not_raised(environ: dict[str, str]) -> None:
    keep(environ, "ba_one")
    path = Path(keys.credentials_path(environ["TRACEHOUSE_CONFIG_DIR"]))
    path.write_text("{")
    refused = find(HOSTED, None, environ=environ)
    assert isinstance(refused, NoCredential)
    assert str(path) in refused.reason


def test_e6_no_key_shows_in_a_repr() -> None:
    assert "ba_secret" not in repr(Credential("ba_secret", "work", HOSTED))


ANON = {"token": "anon_t", "read_token": "anon_r", "claim_token": "c/1", "web_url": "https://web.example/"}


def test_a9_one_anonymous_identity_covers_a_server_and_is_kept_private(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    second = {**ANON, "token": "anon_other"}
    with serving(reply(200, json.dumps(ANON).encode()), reply(200, json.dumps(second).encode())) as server:
        sender = Client(server.url, token=None, machine_id="m")
        assert isinstance(anonymous(server.url, state, None), NoCredential)
        results: list[object] = []
        threads = [
            threading.Thread(target=lambda: results.append(anonymous(server.url + "/", state, sender)))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(server.received) == 1
        assert anonymous(server.url, state, None) in results
    (result,) = set(results)
    assert isinstance(result, Credential)
    assert (result.token, result.api_base) == ("anon_t", server.url)
    assert result.identity.startswith("anon-")
    assert "anon_t" not in result.identity + repr(result)
    directory = os.path.join(state, "anonymous")
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) for name in os.listdir(directory)} == {0o600}


def fail(damaged: OSError) -> None:
    raise damaged


def kept(tmp_path: Path, state: str) -> str:
    with serving(reply(200, json.dumps(ANON).encode())) as server:
        anonymous(server.url, state, Client(server.url, token=None, machine_id="m"))
    return server.url


def test_a9_its_links_are_those_of_the_wire_protocol(tmp_path: Path) -> None:
    state = str(tmp_path)
    assert public.anonymous_identities(state, fail) == []
    url = kept(tmp_path, state)
    (identity,) = public.anonymous_identities(state, fail)
    assert identity.api_base == url
    assert identity.claim_link == "https://web.example/claim?token=c%2F1"
    assert identity.view_link("trace", "t 1") == "https://web.example/t/t%201?t=anon_r"
    assert identity.view_link("run", "r1") == "https://web.example/r/r1?t=anon_r"


def test_a9_an_expired_identity_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    state = str(tmp_path)
    url = kept(tmp_path, state)
    assert public.forget_anonymous(url, state) is not None
    assert public.forget_anonymous(url, state) is None
    assert isinstance(anonymous(url, state, None), NoCredential)
    assert public.anonymous_identities(state, fail) == []


@pytest.mark.parametrize(
    "answer",
    [
        reply(403, b'{"reason":"anonymous uploads are off"}'),
        reply(503),
        reply(200, b"<html>hotel</html>"),
        reply(200, b'{"token":"anon_t"}'),
        reply(200, json.dumps({**ANON, "token": ""}).encode()),
        reply(200, json.dumps({**ANON, "token": "a\r\nb"}).encode()),
    ],
)
def test_a9_where_no_identity_is_to_be_had_the_session_waits(tmp_path: Path, answer: object) -> None:
    with serving(answer) as server:  # type: ignore[arg-type]
        result = anonymous(server.url, str(tmp_path), Client(server.url, token=None, machine_id="m"))
    assert isinstance(result, NoCredential)
    assert public.anonymous_identities(str(tmp_path), fail) == []


def test_a11_a_public_identity_needs_the_flag_for_plain_http_as_well(tmp_path: Path) -> None:
    assert isinstance(anonymous(FAR, str(tmp_path), None), NoCredential)
    refused = anonymous("nonsense", str(tmp_path), None, allow_plain_http=True)
    assert isinstance(refused, NoCredential)
