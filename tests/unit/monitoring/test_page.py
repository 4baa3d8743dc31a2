"""A report's page: whole, accessible, of bounded size, and harmless whatever callers send."""

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from headrace.monitoring.page import render, words
from headrace.monitoring.page.link import report_link
from headrace.monitoring.page.top import advice
from tests.unit import world
from tests.unit.monitoring.page_world import (
    HOSTILE,
    MONITORS,
    bars,
    column,
    everything,
    monitor,
    report,
)

VOID = {"meta", "link"}
ELEMENTS = frozenset(
    "html head meta link title style body header main nav section article footer h1 h2 h3 p a ul "  # noqa: SIM905 — a line of names reads better
    "ol li dl dt dd div span i bdi code abbr details summary table caption thead tbody tr th td "
    "svg desc path rect circle".split()
)
MOST_BYTES = 300_000


class Page(HTMLParser):
    """Reads a page strictly: whatever opens is closed in its order, and no other elements exist."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in ELEMENTS
        assert len(dict(attrs)) == len(attrs)
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open  # nowhere else does `/>` close an element
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def text(self, tag: str = "body") -> str:
        said = "".join(text for inside, text in self.texts if tag in inside)
        return re.sub(r"\s+", " ", said)

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


def test_a_page_tells_everything_that_is_in_the_report():
    page = Page(render(everything(["car_value", "salary_range", "driver_tenure"])))
    assert page.text("h1") == "▲credit-risk v3 has drifted"
    assert page.text("title").startswith("▲ credit-risk v3 drifted, 22 Nov 2026, 13:00 UTC")
    said = page.text()
    for name in words.MONITORS.values():
        assert name in said
    for part in (
        "In the 24 hours to 22 Nov 2026, 13:00 UTC, data quality, feature drift",
        "Feature drift: why feature-drift",
        "3 segments too: car_value = driver_tenure, driver_tenure = car_value and",
        "5,200 of 8,460 predictions (61.5%) have an outcome, nine of ten within 8.5 days",
        "Recall61.5%70.0%−8.5 pts",
        "ROC AUC0.7000.800−0.100at least 0.75",  # 0.05 below the held-out rows
        "DPPLDifference in positive proportions of predictions.",
        "Cost per prediction64.2",
        "Mean9.50 → 12.5",
        "Missing0% → 1.0%",
        "driver_tenure0.33323 → 1",  # training, live, rank
    ):
        assert part in said


def test_hostile_names_are_shown_and_change_nothing():
    harmless = [f"column {i}" for i in range(len(HOSTILE))]
    page, plain = (Page(render(everything(names))) for names in (HOSTILE, harmless))
    assert Counter(tag for tag, _ in page.found) == Counter(tag for tag, _ in plain.found)
    assert [sorted(a) for _, a in page.found] == [sorted(a) for _, a in plain.found]
    for name in HOSTILE[:5]:
        assert name in page.text("h3")
        assert name in page.text("bdi")
    assert "\u202egnp.exe\ufffd\ufffd\ufffd" in page.text("h3")  # what no page may hold is replaced
    render(everything(HOSTILE)).encode()


def test_nothing_runs_and_nothing_is_fetched():
    document = render(everything(HOSTILE))
    page = Page(document)
    assert not page.of("script", "img", "iframe", "object", "form")
    assert all(a["href"].startswith(("#", "data:,")) for a in page.of("a", "link"))
    assert not [name for _, a in page.found for name in a if name.startswith(("on", "src"))]
    assert not re.search(r"url\(|@import|expression", page.text("style"))
    policy = page.of("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert str(policy["content"]).startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_a_page_can_be_heard_and_printed():
    document = render(everything(["car_value", "salary_range", "driver_tenure"]))
    page = Page(document)
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.found if tag in {"h1", "h2", "h3"}]
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
    charts = [a for a in page.of("svg") if a.get("aria-hidden") != "true"]
    assert len(charts) > 10
    assert all(a["role"] == "img" for a in charts)
    told = re.findall(r"<svg[^>]*><title>[^<]+</title><desc>[^<]+</desc>", document)
    assert len(told) == len(charts)
    assert len(page.of("caption")) == len(page.of("table"))
    assert all(a["scope"] in {"col", "row"} for a in page.of("th"))
    anchors = [a["id"] for _, a in page.found if "id" in a]
    assert len(set(anchors)) == len(anchors)
    assert [a["href"] for a in page.of("a")] == [f"#{anchor}" for anchor in anchors]
    assert "prefers-color-scheme: dark" in page.text("style")
    assert "@media print" in page.text("style")


@pytest.mark.parametrize("verdict", ["drifted", "unsure", "healthy"])
def test_no_verdict_is_told_by_colour_alone(verdict):
    page = Page(render(everything(["car_value"], verdict=verdict)))
    assert f"{words.GLYPHS[verdict]} {verdict}" in page.text("td")
    assert f"{words.GLYPHS[verdict]} {verdict}" in page.text("h2")


def test_a_report_of_nothing_is_a_page():
    page = Page(render(report(verdict="unsure")))
    assert "v3 cannot be judged yet" in page.text("h1")
    assert "nothing was watched" in page.text()
    quiet = [monitor(m, "unsure", rows=0, reasons=[]) for m in MONITORS]
    said = Page(render(report(*quiet, verdict="unsure"))).text()
    assert "there was too little to judge by" in said
    assert "Wait for more traffic" in said
    lost = monitor("feature-drift", "drifted", columns=[column("gone", "drifted", buckets=[])])
    assert "There is no distribution to show." in Page(render(report(lost))).text()


def test_a_page_of_many_columns_stays_small_and_names_all_of_them():
    names = [f"{i} {HOSTILE[i % 4]} {'long ' * 12}" for i in range(60)]
    found = everything(names, segments=30)
    wide = found.monitors[1].model_copy(
        update={"columns": [column(n, "drifted", buckets=bars(256)) for n in names]}
    )
    document = render(found.model_copy(update={"monitors": [wide, *found.monitors]}))
    assert len(document.encode()) < MOST_BYTES
    said = Page(document).text()
    assert all(re.sub(r"\s+", " ", name)[:50] in said for name in names)
    assert "243 others" in said


def test_what_to_do_next_follows_from_what_drifted():
    inputs, quality = monitor("feature-drift", "drifted"), monitor("model-quality", "drifted")
    steps = advice(report(quality, inputs, verdict="drifted"))
    assert [command.split()[1] for _, command in steps] == ["retrain", "rollback"]
    assert advice(report(monitor("bias", "healthy")))[0][0].startswith("Nothing.")
    waiting = report(monitor("model-quality", "unsure"), verdict="unsure").model_copy(
        update={"feedback": everything(["a"]).feedback}
    )
    assert advice(waiting)[0][1] == "headrace outcomes FILE --model credit-risk"


@pytest.mark.parametrize(
    ("value", "name", "said"),
    [
        (None, "", "–"),
        (float("nan"), "", "–"),
        (float("-inf"), "", "−∞"),
        (0.0, "psi", "0"),
        (1.002, "DI", "1.00"),
        (64.21, "", "64.2"),
        (-0.0712, "", "−0.071"),
        (0.0002, "psi", "≈ 0"),
        (0.0002, "chi_square_p", "< 0.001"),
        (0.615, "recall", "61.5%"),
        (0.0004, "nulls", "< 0.1%"),
        (1234567.8, "", "1,234,568"),
        (3e12 + 0.5, "", "3e+12"),
        (42.0, "", "42"),
    ],
)
def test_numbers_are_written_for_people(value, name, said):
    assert words.number(value, name) == said


def test_changes_and_limits_say_what_they_are_of():
    assert words.change(-0.09, "recall") == "−9.0 pts"
    assert words.change(0.1249, "log_loss") == "+0.125"
    assert words.limit(0.8, "roc_auc") == "at least 0.8"
    assert words.limit(0.05, "unseen") == "at most 5%"
    assert [words.duration(s) for s in (86400, 7 * 86400, 5400, 30)] == [
        "24 hours",
        "7 days",
        "1.5 hours",
        "30 seconds",
    ]


def test_the_link_of_a_report_is_its_page_in_the_console():
    assert report_link(world.settings(), "monitoring/m/reports/2026/report.html") == (
        "https://eu-west-1.console.aws.amazon.com/s3/object/headrace-artifacts"
        "?region=eu-west-1&prefix=monitoring%2Fm%2Freports%2F2026%2Freport.html"
    )
