"""On a slow line a page comes bit by bit, and is drawn meanwhile: what stands there already stays where it is."""

from __future__ import annotations

import re
import socket
import time

import httpx
import pytest

from tests.browser.test_charts import log
from tests.browser.test_media import upload
from tests.support.browser import WIDTHS, Visitor
from tests.support.house import House, new_run
from tests.support.pictures import png
from tests.support.proxy import Fault, Proxy, proxied, status
from tests.support.servers import Received


def _bit_by_bit(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
    """After each medium or chart, and each group of them, the rest of a page is kept waiting, for longer than it takes to draw."""
    for piece in re.split(b"(?<=</figure>)|(?<=</section>)", proxy.forward(request)):
        connection.sendall(piece)
        time.sleep(0.15)
    return True


def _slow_page(request: Received) -> Fault | None:
    if request.target.startswith("/live"):
        return status(204)  # a stream, which has no end to be waited for
    return _bit_by_bit if request.target.startswith("/r/") else None


def _arrives(visitor: Visitor, house: House, path: str, parts: str, count: int) -> None:
    with proxied(house.url, _slow_page) as slow:
        for width in WIDTHS:
            visitor.open("/signin", width)  # the window's size
            visitor.driver.get(f"{slow.url}{path}")
            visitor.wait(
                "document.readyState === 'complete' && !document.querySelector('.chart.loading .plot')?.offsetParent"
            )
            seen = f"[...document.querySelectorAll('{parts}')].filter((one) => one.checkVisibility({{ visibilityProperty: true }}))"
            visitor.wait(f"{seen}.length === {count}")
            assert visitor.run("return window.shifted") < 0.005, width
        assert visitor.troubles() == []
        visitor.open("/signin")  # who stays asks on there


@pytest.mark.parametrize("many", [(1, 1, 1), (3,)], ids=["keys", "media"])
def test_media_do_not_jump(visitor: Visitor, house: House, client: httpx.Client, many: tuple[int, ...]) -> None:
    run = new_run(client)
    for key, count in enumerate(many):
        for at in range(count):
            upload(client, run, f"key-{key}", 0, png(80 * at, 99, 40 * key), caption=f"{at}")
    _arrives(visitor, house, f"/r/{run}/media", ".shelf img", sum(many))


def test_charts_do_not_jump(visitor: Visitor, house: House, client: httpx.Client) -> None:
    run = new_run(client)
    keys = ("loss", "train/kl", "train/entropy", "train/lr", "eval/accuracy", "eval/f1")
    log(client, run, keys)
    _arrives(visitor, house, f"/r/{run}", ".chart", len(keys))
