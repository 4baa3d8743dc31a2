"""Words that the monitors share."""

MOST_TOLD = 5


def too_few(rows: int, wanted: int) -> str | None:
    """Say that a window has too few rows to tell anything (monitoring.rows)."""
    if rows >= wanted:
        return None
    return f"the window has {rows} rows, it takes {wanted} to tell (monitoring.rows)"


def listed(reasons: list[str]) -> list[str]:
    """Return the first reasons, and how many more there are."""
    more = len(reasons) - MOST_TOLD
    return reasons if more <= 0 else [*reasons[:MOST_TOLD], f"and {more} more"]
