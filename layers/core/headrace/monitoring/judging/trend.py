"""How windows followed one another: the trend of each monitor, and whether a window is news."""

from collections.abc import Iterable

from headrace.monitoring.report import Monitor, MonitorReport, Report, TrendPoint, together

MOST_WINDOWS = 30


def continue_trend(
    before: Iterable[TrendPoint], end: str, monitors: Iterable[MonitorReport], version: int
) -> list[TrendPoint]:
    """Return the trend up to a window: the earlier windows, the last of them, and this one.

    A window that is judged again replaces itself. Segments count to their monitor's verdict; the
    number is that of all rows.
    """
    earlier = [point for point in before if point.at < end]
    kept = sorted({point.at for point in earlier})[-(MOST_WINDOWS - 1) :]
    points = [point for point in earlier if point.at in kept]
    found: dict[Monitor, list[MonitorReport]] = {}
    for each in monitors:
        found.setdefault(each.monitor, []).append(each)
    for monitor, reports in found.items():
        whole = next((r for r in reports if r.segment is None), None)
        points.append(
            TrendPoint(
                at=end,
                monitor=monitor,
                verdict=together(reports),
                value=whole.numbers.get(whole.headline) if whole and whole.headline else None,
                version=version,
            )
        )
    return points


def is_news(report: Report) -> bool:
    """Tell whether people should hear: a monitor sees drift, or sees none any more.

    What it saw before is what it last knew, so a night without traffic is no news in the evening,
    and drift that goes on is none in the morning; but it is news of a version that just came.
    """
    return any(
        _is_news(point, _known_before(report, point.monitor))
        for point in report.trend
        if point.at == report.end and point.verdict != "unsure"
    )


def _is_news(now: TrendPoint, before: TrendPoint | None) -> bool:
    if before is None:
        return now.verdict == "drifted"
    goes_on = now.verdict == before.verdict
    return not goes_on or (now.verdict == "drifted" and now.version != before.version)


def _known_before(report: Report, monitor: Monitor) -> TrendPoint | None:
    known = [
        point
        for point in report.trend
        if point.monitor == monitor and point.at < report.end and point.verdict != "unsure"
    ]
    return max(known, key=lambda point: point.at, default=None)
