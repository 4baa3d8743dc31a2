import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.datasets.completeness import Manifest, completeness, read_manifest
from headrace.errors import DropError

names = st.sets(st.sampled_from(["a", "b", "c/d", "ü +"]))


@given(names, names, st.booleans())
def test_a_manifest_completes_with_all_it_names(named, there, has_manifest):
    manifest = Manifest.model_validate({"files": sorted(named)}) if has_manifest else None
    paths = there | ({"_manifest.json"} if has_manifest else set())
    verdict = completeness("manifest", paths, manifest)
    assert verdict.complete == (has_manifest and named <= there)
    expected = named - there if has_manifest else {"_manifest.json"}
    assert set(verdict.waiting_for) == expected


@given(names, st.booleans())
def test_success_completes_unless_a_manifest_names_more(named, success):
    manifest = Manifest.model_validate({"files": sorted(named)})
    paths = {"a", "b", "_manifest.json"} | ({"_SUCCESS"} if success else set())
    assert completeness("success", paths, manifest).complete == (success and named <= {"a", "b"})


def test_quiet_needs_data_and_quiet():
    assert completeness("quiet", {"a"}, None, quiet=True).complete
    assert not completeness("quiet", {"a"}, None, quiet=False).complete
    assert not completeness("quiet", {"_SUCCESS"}, None, quiet=True).complete


def test_a_manifest_that_cannot_be_read_is_waited_for_no_longer():
    assert completeness("manifest", {"_manifest.json"}, None).complete


def test_names_alone_make_a_manifest():
    manifest = read_manifest(json.dumps({"files": ["a", {"path": "b", "rows": 3}]}).encode())
    assert [file.path for file in manifest.files] == ["a", "b"]
    assert manifest.by_path["b"].rows == 3


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff", "utf-8"),
        (b"{", "Expecting"),
        (b"[]", "valid"),
        (b'{"files": ["a", "a"]}', "'a' is named twice"),
        (b'{"files": [{"path": "a", "sha256": "zz"}]}', "sha256"),
        (b'{"files": [{"path": "a", "md5": "zz"}]}', "md5"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_broken_manifest_says_what_is_wrong(content, why):
    with pytest.raises(DropError, match=why):
        read_manifest(content)
