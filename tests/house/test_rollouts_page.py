"""Rollouts by step, group and reward, from pages that stay small however many there are."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.house import new_run, new_trace, post, span

DATABASES = ("sqlite", "postgres")


def add(
    client: httpx.Client, run: str, step: int | None, rewards: list[object], group: object = None, name: str = ""
) -> list[str]:
    """Rollouts of one step and group; their ids."""
    made = []
    for at, reward in enumerate(rewards):
        session = f"{run}-{step}-{group}-{name}-{at}"
        trace = new_trace(client, session, run_id=run, **({} if step is None else {"rollout_step": step}))
        spans = [span(0, session, attributes={"text": f"said in {session}"})]
        assert post(client, "/v1/spans", {"traces": [], "spans": spans}).is_success
        metadata = {
            "sample": at,
            **({} if group is None else {"group": group}),
            **({} if reward is None else {"reward": reward}),
        }
        assert client.patch(f"/v1/traces/{trace}", json={"metadata": metadata}).is_success
        made.append(trace)
    return made


def listed(page: str) -> list[str]:
    return re.findall(r'<a class="sample" href="[^"]*open=([0-9a-f]+)', page)


def test_samples_are_sorted_by_reward_within_their_groups(client: httpx.Client) -> None:
    run = new_run(client)
    first = add(client, run, 3, [0.2, 0.9, None, -1], "a")
    second = add(client, run, 3, [0.5], {"prompt": 2})
    third = add(client, run, 3, [7, "much", True])
    add(client, run, 4, [1], "a")
    page = client.get(f"/r/{run}/rollouts", params={"step": 3}).text
    assert listed(page) == [first[1], first[0], first[3], first[2], *second, *third]
    assert "8 rollouts in 3 groups" in page
    assert "(no group)" in page
    assert "{&#34;prompt&#34;: 2}" in page


def test_the_last_step_is_shown_first_and_steps_lead_to_their_neighbours(client: httpx.Client) -> None:
    run = new_run(client)
    made = {step: add(client, run, step, [step / 10]) for step in (2, 5, 9)}
    assert listed(client.get(f"/r/{run}/rollouts").text) == made[9]
    page = client.get(f"/r/{run}/rollouts", params={"step": 5}).text
    assert listed(page) == made[5]
    assert re.findall(r'rel="(?:prev|next)"[^>]*step=(\d+)', page) == ["2", "9"]
    empty = client.get(f"/r/{run}/rollouts", params={"step": 4}).text
    assert "No rollouts at this step" in empty
    assert re.findall(r'rel="(?:prev|next)"[^>]*step=(\d+)', empty) == ["2", "5"]


def test_a_changed_reward_changes_the_order_and_a_deleted_rollout_is_gone(client: httpx.Client) -> None:
    run = new_run(client)
    low, high, gone = add(client, run, 0, [0.1, 0.2, 0.3])
    client.patch(f"/v1/traces/{low}", json={"metadata": {"reward": 5}})
    client.patch(f"/v1/traces/{high}", json={"metadata": {"note": "its reward stays"}})
    assert client.delete(f"/v1/traces/{gone}").is_success
    assert listed(client.get(f"/r/{run}/rollouts").text) == [low, high]


def test_two_rollouts_are_read_side_by_side(client: httpx.Client) -> None:
    run = new_run(client)
    one, other = add(client, run, 0, [1, 2])
    page = client.get(f"/r/{run}/rollouts", params={"open": one, "with": other}).text
    assert page.count('<section class="pane card"') == 2
    assert page.count("said in") == 2
    assert client.get(f"/r/{run}/rollouts", params={"open": "nothing"}).status_code == 404


def test_many_rollouts_of_a_step_come_in_pages_and_none_is_left_out(client: httpx.Client) -> None:
    run = new_run(client)
    names = [f"{run}-{at}" for at in range(450)]
    traces = [
        {"session_id": name, "started_at": "2026-01-01T00:00:00Z", "run_id": run, "rollout_step": 1} for name in names
    ]
    spans = [span(0, name) for name in names]
    assert post(client, "/v1/spans", {"traces": traces, "spans": spans}).is_success
    seen: list[str] = []
    for skip in (0, 200, 400):
        seen += listed(client.get(f"/r/{run}/rollouts", params={"skip": skip}).text)
    assert len(seen) == len(set(seen)) == 450


def test_many_groups_of_a_step_are_counted_and_come_in_pages(client: httpx.Client) -> None:
    run = new_run(client)
    names = [f"{run}-{at}" for at in range(410)]
    time = "2026-01-01T00:00:00Z"
    traces = [{"session_id": name, "started_at": time, "run_id": run, "rollout_step": 1} for name in names]
    in_groups = [{"session_id": name, "metadata": {"group": name}} for name in names[5:]]
    assert post(client, "/v1/spans", {"traces": traces, "spans": [], "patches": in_groups}).is_success
    pages = [client.get(f"/r/{run}/rollouts", params={"groups": skip}).text for skip in (0, 200, 400)]
    assert ["410 rollouts in 406 groups" in page for page in pages] == [True] * 3
    shown = [re.findall(r"<h3>(?:<a[^>]*>)?([^<]+)<", page) for page in pages]
    assert [name for page in shown for name in page] == ["(no group)", *names[5:]]
    assert [f"groups={at}" in page for page, at in zip(pages, (200, 400, 600), strict=True)] == [True, True, False]


def test_rollouts_at_the_first_and_at_the_last_step_that_there_can_be_are_shown(client: httpx.Client) -> None:
    run = new_run(client)
    steps = [-(1 << 63), -1, 0, (1 << 63) - 1]
    for step in steps:
        add(client, run, step, [0.5])
    answer = client.get(f"/r/{run}/rollouts", params={"step": steps[0]})
    assert answer.status_code == 200
    columns = re.findall(r"<title>Step (-?\d+)(?: to (-?\d+))?: (\d) rollout", answer.text)
    assert columns == [(str(steps[0]), "", "1"), ("-1", "0", "2"), (str(steps[3]), "", "1")]


def test_rollouts_without_a_step_are_counted(client: httpx.Client) -> None:
    run = new_run(client)
    add(client, run, None, [1, 2])
    assert "2 name no step" in client.get(f"/r/{run}/rollouts").text


_MOST = 1.7976931348623157e308
_EXTREMES: dict[str, list[object]] = {
    "beyond where a half is nothing": [1e16, 1e16],
    "squares are beyond a double": [1e200, 3e200, 1e200],
    "sums are beyond a double": [1.7e308] * 3,
    "differences are beyond a double": [1.7e308, -1.7e308, 1.7e308, 0.5, 5e-324],
    "the last double there is": [_MOST, _MOST],
    "the first": [-_MOST, -_MOST],
    "hardly different": [5e-324, 0.0],
    "neighbours": [1.0, 1.0000000000000002],
    "no numbers": [{"_type": "number", "value": "NaN"}, {"_type": "number", "value": "-Infinity"}, 10**400],
}


def _shown(page: str) -> tuple[list[tuple[int, int]], list[float]]:
    """The picture: its cells (x, y), and the heights of its line."""
    cells = re.findall(r'<rect class="c[1-8]" x="(\d+)" y="(\d+)"', page)
    line = re.search(r'<polyline points="([^"]*)"', page)
    return [(int(x), int(y)) for x, y in cells], [float(y) for y in re.findall(r",(\S+)", line[1])] if line else []


@pytest.mark.parametrize("rewards", _EXTREMES.values(), ids=_EXTREMES)
def test_rewards_of_any_size_are_shown(client: httpx.Client, rewards: list[object]) -> None:
    run = new_run(client)
    made: list[str] = []
    for step, reward in [(1, rewards[0]), *((2, reward) for reward in rewards)]:
        trace = new_trace(client, f"{run}-{len(made)}", run_id=run, rollout_step=step)
        metadata = {"reward": reward, "group": "a"}
        assert client.patch(f"/v1/traces/{trace}", json={"metadata": metadata}).is_success
        made.append(trace)
    answer = client.get(f"/r/{run}/rollouts")
    assert answer.status_code == 200
    assert sorted(listed(answer.text)) == sorted(made[1:])
    known = {float(reward) for reward in rewards if isinstance(reward, (int, float)) and abs(reward) <= _MOST}
    cells, line = _shown(answer.text)
    assert {x for x, _ in cells} == ({0, 10} if known else set())
    assert len({y for _, y in cells}) == min(len(known), 2) or len(known) > 2
    assert len(line) == (2 if known else 0)
    assert all(0 <= y <= 120 for y in line)
    bars = re.findall(r'<rect width="([^"]*)" height="6"', answer.text)
    assert all(2 <= float(bar) <= 100 for bar in bars)
    assert not re.search(r"\b(nan|inf)\b", answer.text)


def test_the_worst_come_first_where_they_are_asked_for_and_through_all_pages(client: httpx.Client) -> None:
    run = new_run(client)
    good, none, bad = add(client, run, 1, [0.9, None, 0.1], "a")
    [other] = add(client, run, 1, [0.5], "b")
    page = client.get(f"/r/{run}/rollouts", params={"step": 1, "order": "worst"}).text
    assert listed(page) == [bad, good, none, other]
    kept = re.findall(r'<a [^>]*href="([^"]*step=[^"]*)"[^>]*>', page)
    assert sum("order=worst" not in one for one in kept) == 1
    assert '<input type="hidden" name="order" value="worst">' in page
    assert listed(client.get(f"/r/{run}/rollouts", params={"order": "worst", "group": "a"}).text) == [bad, good, none]
    names = [f"{run}-{at}" for at in range(250)]
    traces = [
        {"session_id": name, "started_at": "2026-01-01T00:00:00Z", "run_id": run, "rollout_step": 2} for name in names
    ]
    assert post(client, "/v1/spans", {"traces": traces, "spans": [span(0, name) for name in names]}).is_success
    first = client.get(f"/r/{run}/rollouts", params={"order": "worst"}).text
    [following] = re.findall(r'rel="next" href="([^"]*skip=[^"]*)"', first)
    rest = client.get(following.replace("&amp;", "&")).text
    assert len({*listed(first), *listed(rest)}) == 250
    assert "Worse ones" in rest
