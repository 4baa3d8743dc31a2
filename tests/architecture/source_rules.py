"""Rules on Python files: who may import whom, and what no file of ours does."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FILE_LINES = 400
OURS = frozenset(
    {
        "headrace",
        "headrace_profiling",
        "headrace_cli",
        "headrace_tabular",
        "local",
        "functions",
        "tests",
        "tools",
    }
)
"""The packages of this repository."""

MAY_IMPORT = {
    # Only functions with the profiling layer import these two.
    "layers/core/headrace/monitoring": {"headrace", "headrace_profiling"},
    "layers/core/headrace/aws/monitoring": {"headrace", "headrace_profiling"},
    "layers/core/headrace": {"headrace"},
    "layers/profiling/headrace_profiling": {"headrace_profiling"},
    "functions": {"headrace", "headrace_profiling"},
    "cli": {"headrace", "headrace_cli"},
    "containers": {"headrace_tabular", "headrace_profiling"},
    "models": set[str](),
    "local": {"local"},
    "tools": {"headrace", "headrace_cli", "local", "tools"},  # what pages are generated from
    "benchmarks": set(OURS - {"local"}),
}
"""Which of our packages the files of a folder may import; a folder that is missing here may not be.
The first that matches counts.

`local` and `containers` know neither `headrace` nor each other: what joins them is the SageMaker
API and the container contract."""

_AWS = {"boto3", "botocore", "headrace.aws"}
_PURE = {"layers/core/headrace", "layers/profiling/headrace_profiling"}
_ADAPTERS = "layers/core/headrace/aws"
_EMULATOR = "local/ministack"
_REASON = re.compile(r"#.*[A-Za-z]{2,}.*\s[A-Za-z]{2,}")
_NOQA = re.compile(r"#\s*noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(?P<reason>.*)")
_IGNORE = re.compile(r"#\s*type:\s*ignore(?P<code>\[[\w, -]+\])?")
_WORDS = re.compile(r"[A-Za-z]{2,}")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    """Return the modules a file imports, wherever in it; `from a import b` gives a and a.b."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level > 0:
            found.add(".")
    return found


def imports_stay_in_their_layer(root: Path, path: Path) -> list[str]:
    """Find imports of our packages that the layout does not allow."""
    name = path.relative_to(root).as_posix()
    folder = next((f for f in MAY_IMPORT if name.startswith(f"{f}/")), None)
    if folder is None:
        return [f"{name}: MAY_IMPORT does not say what this folder may import"]
    modules = imported(path)
    findings = [
        f"{name}: imports {module}, which {folder} may not"
        for module in sorted({m.partition(".")[0] for m in modules} & OURS - MAY_IMPORT[folder])
    ]
    if "." in modules:
        findings.append(f"{name}: imports relatively; say the package's name")
    if any(m.partition(".")[0] == "ministack" for m in modules) and _EMULATOR not in name:
        findings.append(f"{name}: only {_EMULATOR} knows MiniStack")
    return findings


def decisions_know_no_aws(root: Path, path: Path) -> list[str]:
    """Find decisions that import boto3 or an adapter: only `headrace.aws` talks to AWS."""
    name = path.relative_to(root).as_posix()
    if not name.startswith(tuple(_PURE)) or name.startswith(_ADAPTERS):
        return []
    known = {module for module in imported(path) if _is_one_of(module, _AWS)}
    return [f"{name}: imports {module}" for module in sorted(known)]


def _is_one_of(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def nothing_prints(root: Path, path: Path) -> list[str]:
    """Find calls of print: there are loggers, and the CLI's console; benchmarks print tables."""
    if path.is_relative_to(root / "benchmarks"):
        return []
    return [
        f"{path.relative_to(root)}:{node.lineno}: prints"
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def broad_catches_have_a_reason(root: Path, path: Path) -> list[str]:
    """Find `except Exception` and bare `except` that neither raise again nor say why.

    The reason is a comment on the line, above it, or first below it.
    """
    lines = ["", *path.read_text().splitlines()]
    findings = []
    for node in ast.walk(_tree(path)):
        if not isinstance(node, ast.ExceptHandler) or not _is_broad(node.type):
            continue
        beside = _NOQA.sub(r"# \g<reason>", lines[node.lineno])
        near = [line.strip() for line in (lines[node.lineno - 1], lines[node.lineno + 1])]
        said = [beside, *(line for line in near if line.startswith("#"))]
        raises = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        if not raises and not any(_REASON.search(line) for line in said):
            findings.append(f"{path.relative_to(root)}:{node.lineno}: catches all, unsaid why")
    return findings


def _is_broad(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"})
        for name in names
    )


def suppressions_have_a_reason(root: Path, path: Path) -> list[str]:
    """Find `noqa` without a reason beside or above, and `type: ignore` without a code."""
    findings = []
    above = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        noqa, ignore = _NOQA.search(line), _IGNORE.search(line)
        said = above.startswith("#") or (noqa and _WORDS.search(noqa["reason"]))
        if (noqa and not said) or (ignore and not ignore["code"]):
            findings.append(f"{path.relative_to(root)}:{number}: suppressed, unsaid why")
        above = line.strip()
    return findings


def is_short(root: Path, path: Path) -> list[str]:
    """Find files nobody reads in one sitting: when one is this long, it is two things."""
    lines = len(path.read_text().splitlines())
    return [f"{path.relative_to(root)}: {lines} lines"] if lines > FILE_LINES else []


def handlers_do_nothing_at_import(root: Path, path: Path) -> list[str]:
    """Find handlers that do more at import than make their clients and loggers."""
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    return [
        f"{path.relative_to(root)}:{node.lineno}: does something at import"
        for node in _tree(path).body
        if not isinstance(node, allowed) and not _is_docstring(node)
    ]


def handlers_log_as_their_stage(root: Path, path: Path) -> list[str]:
    """Find handlers whose log lines do not say their stage: `headrace logs --stage` goes by it."""
    wanted = f'logger = Logger(service="{path.parent.name}")'
    return [] if wanted in path.read_text() else [f"{path.relative_to(root)}: no {wanted}"]


HANDLER_RULES = (handlers_do_nothing_at_import, handlers_log_as_their_stage)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


_INDEX_HOSTS = [
    ".".join(host)
    for host in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("anaconda", "org"),
        ("rubygems", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
    )
]
"""Hosts of package indexes, in pieces: this file names none either."""

_INDEX_OPTIONS = re.compile(r"^\s*(--(extra-)?index-url|--find-links|-i\s|-f\s|index-url\s*=)")


def no_index_is_named(root: Path, path: Path) -> list[str]:
    """Find addresses of package indexes: whoever installs says where from."""
    findings = []
    for number, line in enumerate(_text_lines(path), 1):
        named = [host for host in _INDEX_HOSTS if host in line]
        is_option = path.suffix in {".txt", ".in", ".toml", ".cfg"} and _INDEX_OPTIONS.search(line)
        if named or is_option or (path.name == "package-lock.json" and '"resolved"' in line):
            findings.append(f"{path.relative_to(root)}:{number}: names a package index")
    return findings


def _text_lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text().splitlines()
    except UnicodeDecodeError:  # parquet, images: nothing a person wrote
        return


PRODUCT_RULES = (
    imports_stay_in_their_layer,
    decisions_know_no_aws,
    nothing_prints,
    broad_catches_have_a_reason,
    suppressions_have_a_reason,
)
PYTHON_RULES = (is_short,)
