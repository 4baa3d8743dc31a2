"""Markup that cannot be broken by what it shows: every text is escaped, unless it is markup."""

import re
from collections.abc import Iterable, Sequence
from html import escape

# Columns and categories are whatever callers send; control characters and halves of surrogate pairs
# have no place in HTML (WHATWG, "Preprocessing the input stream").
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_EMPTY = frozenset({"link", "meta", "path", "rect", "line", "circle"})
_ELLIPSIS = "…"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | None | Iterable["Html"]


def text(value: str) -> Html:
    """Return a text as markup that shows it."""
    if isinstance(value, Html):
        return value
    return Html(escape(_UNPRINTABLE.sub("\ufffd", value)))


def el(tag: str, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Return an element. Attributes that are None or False are left out, `class_` is `class`.

    >>> el("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    said = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_plain(value)}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _EMPTY:
        return Html(f"<{tag}{said}>" if tag in {"link", "meta"} else f"<{tag}{said}/>")
    return Html(f"<{tag}{said}>{together(*children)}</{tag}>")


def together(*children: Child) -> Html:
    """Return markup after markup; None is nothing."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, str):
            parts.append(text(child))
        elif child is not None:
            parts += [text(part) for part in child]
    return Html("".join(parts))


def table(caption: str, titles: Sequence[str], rows: Sequence[Html]) -> Html:
    """Return a table that scrolls by itself where the page is narrower, by keyboard too.

    A `>` in front of a title says that numbers are below it.
    """
    return el(
        "div",
        el(
            "table",
            el("caption", caption, class_="unseen"),
            head(titles),
            el("tbody", rows),
        ),
        class_="wide",
        tabindex="0",
        role="group",
        aria_label=caption,
    )


def head(titles: Sequence[str]) -> Html:
    """Return a table's head."""
    cells = [
        el(
            "th",
            title.removeprefix(">"),
            scope="col",
            class_="number" if title.startswith(">") else None,
        )
        for title in titles
    ]
    return el("thead", el("tr", cells))


def named(name: str, most: int = 120) -> Html:
    """Return a name that users chose: bounded, and its direction of writing its own."""
    return el("bdi", name if len(name) <= most else name[: most - 1] + _ELLIPSIS)


def _plain(value: str | float) -> str:
    return text(f"{value:.6g}" if isinstance(value, float) else str(value))
