"""Markdown that strangers wrote, as HTML that does no harm: no markup of theirs, no scripts, nothing fetched from elsewhere.

Raw HTML is text. Links may lead to http, https and mailto. Images that lie in the text itself (data: PNG, JPEG, GIF,
WebP) are shown; any other image becomes a link to it, so that opening a page tells nobody.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from tracehoused.house.pages.highlight import code

LONGEST = 100_000
IMAGES = ("data:image/png;", "data:image/jpeg;", "data:image/gif;", "data:image/webp;")

_TAGS = {"a", "blockquote", "br", "code", "del", "em", "hr", "img", "li", "ol", "p", "pre", "s", "span", "strong", "ul"}
_TAGS |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"}
_ATTRIBUTES = {
    "a": {"href", "title", "target", "class"},
    "img": {"src", "alt", "title"},
    "code": {"class"},
    "span": {"class"},
    "th": {"class"},
    "td": {"class"},
    "ol": {"start"},
}


def _fence(text: str, language: str, _attributes: str) -> str:
    return str(code(text, language.split("{", maxsplit=1)[0]))


def _image(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    token = tokens[at]
    source, told = str(token.attrs.get("src", "")), token.content or "image"
    if source.lower().startswith(IMAGES):
        return f'<img src="{escape(source)}" alt="{escape(token.content)}">'
    return f'<a class="elsewhere" target="_blank" href="{escape(source)}">{escape(told)}</a>'


def _cell(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """A style attribute is against the policy of the pages; a class says the same."""
    side = str(tokens[at].attrs.pop("style", "")).removeprefix("text-align:")
    if side in ("right", "center"):
        tokens[at].attrs["class"] = side
    return self.renderToken(tokens, at, options, env)


def _link(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    tokens[at].attrs["target"] = "_blank"
    return self.renderToken(tokens, at, options, env)


def _reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True, "highlight": _fence})
    made.enable(["table", "strikethrough"])
    for name, rule in (("image", _image), ("th_open", _cell), ("td_open", _cell), ("link_open", _link)):
        made.add_render_rule(name, rule)
    made.render("*at first use*")  # it puts its rules together, which two threads must not do at once
    return made


_READER = _reader()


def _allowed(tag: str, name: str, value: str) -> str | None:
    """An image only from the text itself; a link never into a data: address."""
    if name == "src" and not value.lower().startswith(IMAGES):
        return None
    if name == "href" and value.lower().lstrip().startswith("data:"):
        return None
    return value


def rendered(text: str) -> Markup:
    """`text`, at most LONGEST characters of it read as Markdown; what is longer is escaped and kept as it is."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    if len(whole) > LONGEST:
        return Markup('<pre class="plain">{}</pre>').format(whole)
    clean = nh3.clean(
        _READER.render(whole),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_allowed,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow ugc",
    )
    return Markup(clean)


class Remembered:
    """The newest results of a function of a text, so many characters of them altogether."""

    def __init__(self, make: Callable[[str], Markup], most: int = 16_000_000) -> None:
        self._make = make
        self._most = most
        self._size = 0
        self._held: OrderedDict[str, Markup] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> Markup:
        with self._lock:
            found = self._held.get(text)
            if found is not None:
                self._held.move_to_end(text)
                return found
        made = self._make(text)
        with self._lock:
            if text not in self._held:
                self._held[text] = made
                self._size += len(text) + len(made)
            while self._size > self._most:
                key, old = self._held.popitem(last=False)
                self._size -= len(key) + len(old)
        return made


html_of = Remembered(rendered)
