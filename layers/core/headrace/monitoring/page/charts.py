"""Charts as inline SVG: filled is the baseline, the line is the window, in print as on a screen.

Plots stretch with the page, so they hold no text; labels are HTML around them.
"""

from collections.abc import Sequence

from headrace.monitoring.page import words
from headrace.monitoring.page.html import Html, el, head, named, together
from headrace.monitoring.report import Bucket, TrendPoint

_HEIGHT = 100.0
_MOST_ROWS = 14
_MOST_STEPS = 32  # of a shape alone
_FEW = 8  # numbers, which are told apart more easily as rows
_SPARK = (168, 40)
Shares = tuple[float, float]  # of the baseline's rows, of the window's
_PAD = 5


def distribution(buckets: Sequence[Bucket], name: str) -> Html:
    """Draw a column on both sides: a histogram of numbers, then bars of values with a name."""
    shares = _shares(buckets)
    ranged = [i for i, b in enumerate(buckets) if b.lower is not None or b.upper is not None]
    rest = [i for i in range(len(buckets)) if i not in set(ranged)]
    if len(ranged) <= _FEW:
        ranged, rest = [], list(range(len(buckets)))
    parts = []
    if ranged:
        parts.append(_histogram([buckets[i] for i in ranged], [shares[i] for i in ranged], name))
    if rest:
        parts.append(_bars([buckets[i] for i in rest], [shares[i] for i in rest], name))
    return together(parts)


def small(buckets: Sequence[Bucket], name: str) -> Html:
    """Draw the same as a shape alone, for a page of many columns."""
    shares = _shares(buckets)
    if len(shares) > _MOST_STEPS:
        shares = [each for _, each in _folded([b.label for b in buckets], shares)]
    return _plot(shares, f"{name}: both distributions", _said(buckets), "plot small")


def sparkline(points: Sequence[TrendPoint], limit: float | None, title: str, measure: str) -> Html:
    """Draw a number over windows, with its limit; windows that drifted are marked by triangles."""
    known = [p.value for p in points if p.value is not None]
    if len(known) <= 1:
        return el("span", "first window" if known else "nothing yet", class_="soft")
    wide, high = _SPARK
    low, top = min([*known, *_some(limit)]), max([*known, *_some(limit)])
    low = 0.0 if 0 <= low < top / 2 else low
    scale = (high - 2 * _PAD) / ((top - low) or 1.0)
    step = (wide - 2 * _PAD) / max(1, len(points) - 1)

    def y(value: float) -> str:
        return f"{high - _PAD - (value - low) * scale:.1f}"

    places = [(f"{_PAD + i * step:.1f}", p) for i, p in enumerate(points)]
    line, pen = "", "M"
    for x, p in places:
        line += f"{pen}{x} {y(p.value)}" if p.value is not None else ""
        pen = "L" if p.value is not None else "M"
    marks = [_mark(float(x), float(y(p.value)), p) for x, p in places if p.value is not None]
    over = sum(p.verdict == "drifted" for p in points)
    said = (
        f"{words.called(measure)} in {words.count(len(points), 'window')}, "
        f"from {words.number(known[0], measure)} to {words.number(known[-1], measure)}; "
        f"drifted in {over}."
    )
    ruled = el("path", d=f"M0 {y(limit)}H{wide}", class_="limit") if limit is not None else None
    return el(
        "svg",
        el("title", title),
        el("desc", said + (f" The limit is {words.number(limit, measure)}." if ruled else "")),
        ruled,
        el("path", d=line, class_="line"),
        [mark for mark in marks if mark],
        viewBox=f"0 0 {wide} {high}",
        width=wide,
        height=high,
        role="img",
        class_="spark",
    )


def gauge(share: float, title: str, least: float | None = None) -> Html:
    """Draw a share of a whole as a bar, with the least that is asked for as a line."""
    wide = max(0.0, min(1.0, share)) * 100
    return el(
        "svg",
        el("title", title),
        el("desc", words.share(share)),
        el("rect", width=100, height=10, class_="base"),
        el("rect", width=wide, height=10, class_="live"),
        el("path", d=f"M{least * 100:.1f} 0V10", class_="limit") if least else None,
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
        class_="gauge",
    )


def pair(baseline: float, window: float, top: float) -> Html:
    """Draw two numbers over one another: the baseline as a block, the window as a bar in it."""
    a, b = (max(0.0, v) / top * 100 if top > 0 else 0.0 for v in (baseline, window))
    return el(
        "svg",
        el("rect", width=round(a, 1), height=10, class_="base"),
        el("rect", y=3, width=round(b, 1), height=4, class_="live"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="pair",
    )


def _histogram(buckets: Sequence[Bucket], shares: Sequence[Shares], name: str) -> Html:
    top = max(max(pair) for pair in shares)
    ends = _ticks(buckets)
    return el(
        "div",
        el("div", el("span", f"{words.share(top)} of rows"), class_="scale", aria_hidden="true"),
        _plot(shares, f"Distribution of {name}", _said(buckets), "plot"),
        el(
            "div",
            [el("span", label, style=f"--at:{place:.1f}%") for place, label in ends],
            class_="axis",
            aria_hidden="true",
        ),
        class_="histogram",
    )


def _plot(shares: Sequence[Shares], title: str, said: str, class_: str) -> Html:
    top = max((max(pair) for pair in shares), default=0.0) or 1.0
    scale = _HEIGHT / top
    filled, line = "M0 100", ""
    for i, (a, b) in enumerate(shares):
        filled += f"V{_HEIGHT - a * scale:.1f}H{i + 1}"
        line += f"{'V' if line else 'M0 '}{_HEIGHT - b * scale:.1f}H{i + 1}"
    return el(
        "svg",
        el("title", title),
        el("desc", said),
        el("path", d=f"{filled}V100Z", class_="base"),
        el("path", d=line, class_="line"),
        viewBox=f"0 -3 {max(1, len(shares))} 103",
        preserveAspectRatio="none",
        role="img",
        class_=class_,
    )


def _bars(buckets: Sequence[Bucket], shares: Sequence[Shares], name: str) -> Html:
    rows = _folded([b.label for b in buckets], shares)
    top = max((max(s) for _, s in rows), default=0.0)
    return el(
        "table",
        el("caption", f"Shares of the values of {name}", class_="unseen"),
        head(["Value", "Shares", ">Baseline", ">Window"]),
        el(
            "tbody",
            [
                el(
                    "tr",
                    el("th", named(label or "(empty text)", 48), scope="row"),
                    el("td", pair(a, b, top), class_="bar"),
                    el("td", words.share(a), class_="number soft"),
                    el("td", words.share(b), class_="number"),
                )
                for label, (a, b) in rows
            ],
        ),
        class_="bars",
    )


def _folded(labels: Sequence[str], shares: Sequence[Shares]) -> list[tuple[str, Shares]]:
    """Return labels with their shares; of too many those that differ the most, and the rest."""
    rows = list(zip(labels, shares, strict=True))
    if len(rows) <= _MOST_ROWS:
        return rows
    by_change = sorted(range(len(rows)), key=lambda i: -abs(shares[i][1] - shares[i][0]))
    kept = set(by_change[: _MOST_ROWS - 1])
    others = [each for i, each in enumerate(shares) if i not in kept]
    rest = (sum(a for a, _ in others), sum(b for _, b in others))
    return [*(row for i, row in enumerate(rows) if i in kept), (f"{len(others):,} others", rest)]


def _ticks(buckets: Sequence[Bucket]) -> list[tuple[float, str]]:
    """Return places in percent and labels of a few inner edges."""
    places = [(float(i), b.lower) for i, b in enumerate(buckets)]
    if all(b.lower == b.upper for b in buckets):
        places = [(i + 0.5, value) for i, value in places]
    else:
        places.append((float(len(buckets)), buckets[-1].upper))
    labels = {b.lower: b.label.removeprefix("from ").partition(" … ")[0] for b in buckets}
    known = [(i, v) for i, v in places if v is not None]
    every = max(1, round(len(known) / 4))
    return [
        # Only the last edge starts no bucket: its label is the end of the one before.
        (i / len(buckets) * 100, labels.get(v) or buckets[-1].label.rpartition(" … ")[2])
        for i, v in known[::every]
    ]


def _said(buckets: Sequence[Bucket]) -> str:
    """Say in words where the sides differ most."""
    shares = _shares(buckets)
    if not shares:
        return "There are no values."
    i = max(range(len(shares)), key=lambda i: abs(shares[i][1] - shares[i][0]))
    a, b = shares[i]
    where = buckets[i].label[:60] or "empty text"
    return f"Largest difference at {where}: {words.share(a)} of the baseline, {words.share(b)} now."


def _shares(buckets: Sequence[Bucket]) -> list[Shares]:
    was, now = sum(b.baseline for b in buckets), sum(b.window for b in buckets)
    return [(b.baseline / was if was else 0.0, b.window / now if now else 0.0) for b in buckets]


def _mark(x: float, y: float, point: TrendPoint) -> Html | None:
    if point.verdict == "drifted":
        return el("path", d=f"M{x:g} {y - 4:.1f}l3.6 6.4h-7.2z", class_="bad")
    if point.verdict == "unsure":
        return el("circle", cx=x, cy=y, r=2.4, class_="hollow")
    return None


def _some(value: float | None) -> list[float]:
    return [] if value is None else [value]
