import pytest

from tests.unit.datasets.dropworld import drop_world


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture
def aws(tmp_path):
    with drop_world() as made:
        made.publish(tmp_path)
        yield made
