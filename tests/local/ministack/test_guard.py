"""A MiniStack that has changed is refused at start, by name and version."""

import types

import pytest

from local.ministack import guard


def module() -> types.SimpleNamespace:
    return types.SimpleNamespace(__name__="service", act=lambda a, b: a + b)


def test_a_replacement_can_reach_what_it_replaced() -> None:
    service = module()

    def act(a: int, b: int) -> int:
        return 10 * guard.stock(act)(a, b)

    guard.replace(service, "act", "a b", act)
    assert service.act(1, 2) == 30

    def again(*numbers: int) -> int:
        return 1 + guard.stock(again)(*numbers)

    guard.replace(service, "act", "a b", again)
    assert service.act(1, 2) == 31


@pytest.mark.parametrize(("name", "parameters"), [("act", "a"), ("act", "a c"), ("gone", "a b")])
def test_another_signature_is_refused(name: str, parameters: str) -> None:
    with pytest.raises(guard.IncompatibleError, match=rf"service\.{name}.*{guard.PINNED}"):
        guard.replace(module(), name, parameters, lambda: None)


def test_the_pinned_version_is_the_required_one() -> None:
    from tests.local.conftest import ROOT

    required = (ROOT / "requirements" / "local.in").read_text()
    assert f"ministack=={guard.PINNED}\n" in required
