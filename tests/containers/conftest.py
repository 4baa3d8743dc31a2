"""Models that are trained once for all tests of the tabular image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import jobs

FIRST = sorted(jobs.SAMPLE.glob("first-*.parquet"))
WATCHED = {"facets": {"salary_range": ["0 - 20K €"]}, "segments": ["salary_range"]}
SECOND = sorted(jobs.SAMPLE.glob("second-*.parquet"))


def succeeded(job: jobs.Job) -> jobs.Job:
    assert job.code == 0, job.log
    return job


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory) -> jobs.Job:
    """The first model: trained on the loans of January 2018."""
    base = tmp_path_factory.mktemp("champion")
    return succeeded(jobs.train(base, {"v1": ("new", FIRST)}, run="run-1", monitoring=WATCHED))


@pytest.fixture(scope="session")
def challenger(champion: jobs.Job, tmp_path_factory: pytest.TempPathFactory) -> jobs.Job:
    """The second model, which also saw April 2019, compared with the first."""
    base = tmp_path_factory.mktemp("challenger")
    datasets = {"v1": ("known", FIRST), "v2": ("new", SECOND)}
    return succeeded(jobs.train(base, datasets, champion=champion.model, run="run-2"))


@pytest.fixture(scope="session")
def endpoint(challenger: jobs.Job) -> Iterator[jobs.Endpoint]:
    """The second model, served."""
    with jobs.serving(challenger.base) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minimal(tmp_path_factory: pytest.TempPathFactory) -> jobs.Job:
    """The minimal example: no code, no entity, no costs."""
    data = jobs.ROOT / "tests" / "data" / "breast-cancer" / "breast-cancer.parquet"
    return succeeded(
        jobs.train(
            tmp_path_factory.mktemp("minimal"),
            {"v1": ("new", [data])},
            project=jobs.ROOT / "models" / "breast-cancer",
            model="breast-cancer",
            data={"label": "benign"},
            features={"entrypoint": None},
            evaluation={"metric": "roc_auc"},
        )
    )


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An empty /opt/ml."""
    return tmp_path / "opt-ml"
