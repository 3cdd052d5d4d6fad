"""Specifiers and markers, with the library that pip itself uses as the oracle."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from modules.launcher.requirements import (
    Requirement,
    _fits,
    marker_facts,
    parse_requirement,
    read_requirements,
)
from tests.paths import ROOT

numbers = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
versions = st.tuples(numbers, st.sampled_from(["", "+cpu", "+cu130", ".post1"])).map("".join)


@given(versions, st.sampled_from(["==", "!=", ">=", "<=", "<", ">"]), numbers)
def test_comparison_agrees_with_packaging(version: str, operator: str, wanted: str) -> None:
    if operator in "<>" and (".post" in version or "+" in version):
        return  # rules for post releases that no pin uses
    if operator == "<=" and ".post" in version:
        return
    assert _fits(version, operator, wanted) == SpecifierSet(f"{operator}{wanted}").contains(version)


@given(numbers, st.lists(st.integers(0, 12), min_size=2, max_size=3).map(lambda p: ".".join(map(str, p))))
def test_compatible_release_and_prefix_agree_with_packaging(version: str, wanted: str) -> None:
    assert _fits(version, "~=", wanted) == SpecifierSet(f"~={wanted}").contains(version)
    assert _fits(version, "==", f"{wanted}.*") == SpecifierSet(f"=={wanted}.*").contains(version)


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.11", "3.13"])
@pytest.mark.parametrize(
    "marker",
    [
        "python_version < '3.11'",
        'python_version >= "3.11"',
        "sys_platform == 'linux' and python_version != '3.10'",
        "sys_platform == 'win32' or python_version in '3.9 3.10'",
        "platform_system not in 'Windows Darwin'",
    ],
)
def test_markers_agree_with_packaging(marker: str, python: str) -> None:
    facts = {**marker_facts(), "python_version": python, "sys_platform": "linux", "platform_system": "Linux"}
    applies = parse_requirement(f"name==1; {marker}", facts) is not None
    assert applies == Marker(marker).evaluate(facts)


def test_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "inner.txt").write_text("numpy>=1\n")
    file = tmp_path / "outer.txt"
    file.write_text(
        "# comment\n\n--extra-index-url https://example.org\n-r inner.txt\n"
        "uvicorn[standard]==0.1 # why\npillow >=1, \\\n  <99\n"
        "gone==1; python_version < '3'\n"
        "git+https://example.org/x.git\nnamed @ https://example.org/n.whl\nodd; extra == 'x'\n"
    )
    read = read_requirements(file)
    checkable = [(entry.name, entry.clauses) for entry in read.requirements if entry.checkable]
    assert checkable == [
        ("numpy", ((">=", "1"),)),
        ("uvicorn", (("==", "0.1"),)),
        ("pillow", ((">=", "1"), ("<", "99"))),
    ]
    assert [entry.name for entry in read.uncheckable] == ["git+https://example.org/x.git", "named", "odd"]
    assert [entry.name for entry in read.missing] == ["uvicorn"]
    digest = read.digest
    (tmp_path / "inner.txt").write_text("numpy>=2\n")
    assert read_requirements(file).digest != digest


def test_installed_packages_meet_their_own_versions() -> None:
    for name in ("pytest", "packaging", "hypothesis"):
        version = importlib.metadata.version(name)
        assert Requirement(name, (("==", version),), name).is_met()
        assert not Requirement(name, (("==", "0.0.0"),), name).is_met()
    assert not Requirement("no-such-distribution", (), "").is_met()


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_our_pins_are_exact_explained_and_unique_for_every_python(python: str) -> None:
    facts = {**marker_facts(), "python_version": python}
    for name in ("requirements_versions.txt", "requirements_nodeps.txt"):
        entries = read_requirements(ROOT / name, facts).requirements
        assert entries
        assert all(entry.checkable and [c[0] for c in entry.clauses] == ["=="] for entry in entries)
        assert len({entry.name for entry in entries}) == len(entries)


def test_every_pin_has_its_reason() -> None:
    for name in ("requirements_versions.txt", "requirements_nodeps.txt"):
        explained: set[str] = set()
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith("#"):
                package = line.partition("=")[0]
                assert "#" in line or package in explained, line
                explained.add(package)
