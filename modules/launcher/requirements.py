"""Which requirements are met, asked of the installed metadata: no pip, no network, some milliseconds.

Understands what a requirement file of pins holds: names, version specifiers, markers, ``-r``. What it
does not understand counts as uncheckable, never as missing. Standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?P<rest>@.*|\(?\s*[^;]*?\)?)\s*(?:;\s*(?P<marker>.*))?\Z"
)
_CLAUSE = re.compile(r"(===|==|~=|!=|<=|>=|<|>)\s*([\w.*+!-]+)\Z")
_CONDITION = re.compile(r"\(?\s*(\w+)\s*(==|!=|<=|>=|<|>|in|not in)\s*['\"]([^'\"]*)['\"]\s*\)?\Z")


@dataclass(frozen=True)
class Requirement:
    """One line: ``name`` as written, ``clauses`` such as ``("==", "1.2")``; ``checkable`` or not."""

    name: str
    clauses: tuple[tuple[str, str], ...]
    line: str
    checkable: bool = True

    def is_met(self) -> bool:
        """Whether an installed distribution of this name has a fitting version."""
        version = installed_version(self.name)
        return version is not None and all(_fits(version, *clause) for clause in self.clauses)


@dataclass(frozen=True)
class RequirementFile:
    """The lines of a file that apply to this Python, and a digest of its text."""

    path: Path
    requirements: tuple[Requirement, ...]
    digest: str

    @property
    def missing(self) -> tuple[Requirement, ...]:
        """What is not installed, or in another version."""
        return tuple(entry for entry in self.requirements if entry.checkable and not entry.is_met())

    @property
    def uncheckable(self) -> tuple[Requirement, ...]:
        return tuple(entry for entry in self.requirements if not entry.checkable)


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, or ``None``."""
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def read_requirements(path: Path, facts: Mapping[str, str] | None = None) -> RequirementFile:
    """Read a requirement file. ``facts`` replace those of this machine in markers. Raises ``OSError``."""
    text = path.read_text(encoding="utf-8")
    entries: list[Requirement] = []
    digest = hashlib.sha256(text.encode())
    for line in _logical_lines(text):
        if line.startswith(("-r ", "--requirement ")):
            inner = read_requirements(path.parent / line.split(None, 1)[1], facts)
            entries += inner.requirements
            digest.update(inner.digest.encode())
        elif not line.startswith("-"):
            entries += _parse(line, facts or marker_facts())
    return RequirementFile(path, tuple(entries), digest.hexdigest()[:16])


def parse_requirement(line: str, facts: Mapping[str, str] | None = None) -> Requirement | None:
    """One line as a ``Requirement``, or ``None`` when its marker excludes this machine."""
    parsed = _parse(line, facts or marker_facts())
    return parsed[0] if parsed else None


def marker_facts() -> dict[str, str]:
    """What the markers of requirements may ask."""
    return {
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(),
        "sys_platform": sys.platform,
        "platform_system": platform.system(),
        "platform_machine": platform.machine(),
        "os_name": os.name,
        "implementation_name": sys.implementation.name,
    }


def _logical_lines(text: str) -> list[str]:
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _parse(line: str, facts: Mapping[str, str]) -> list[Requirement]:
    match = _REQUIREMENT.match(line.partition(" --")[0].strip())
    if match is None or "://" in line.partition("@")[0]:
        return [Requirement(line, (), line, checkable=False)]
    applies = _applies(match["marker"], facts) if match["marker"] else True
    if applies is False:
        return []
    rest = match["rest"].strip("() ")
    if applies is None or rest.startswith("@"):
        return [Requirement(match["name"], (), line, checkable=False)]
    clauses = [_CLAUSE.match(part.strip()) for part in rest.split(",") if part.strip()]
    if any(clause is None for clause in clauses):
        return [Requirement(match["name"], (), line, checkable=False)]
    return [Requirement(match["name"], tuple((c[1], c[2]) for c in clauses if c), line)]


def _applies(marker: str, facts: Mapping[str, str]) -> bool | None:
    # None: not understood.
    for alternative in re.split(r"\s+or\s+", marker):
        conditions = [_CONDITION.match(part.strip()) for part in re.split(r"\s+and\s+", alternative)]
        if any(c is None or c[1] not in facts for c in conditions):
            return None
        if all(_holds(facts[c[1]], c[2], c[3], c[1]) for c in conditions if c):
            return True
    return False


def _holds(value: str, operator: str, other: str, name: str) -> bool:
    if operator in ("in", "not in"):
        return (value in other) is (operator == "in")
    if name.startswith("python_"):
        return _fits(value, operator, other)
    return (value == other) is (operator == "==")


def _fits(version: str, operator: str, wanted: str) -> bool:
    if operator == "===":
        return version == wanted
    if wanted.endswith(".*"):
        prefix = release(wanted[:-2])
        return (_padded(release(version), prefix)[0][: len(prefix)] == prefix) is (operator == "==")
    if operator in ("==", "!="):
        public = version if "+" in wanted else version.partition("+")[0]
        return _same(public, wanted) is (operator == "==")
    left, right = _padded(release(version), release(wanted))
    if operator == "~=":
        return left >= right and left[: len(release(wanted)) - 1] == right[: len(release(wanted)) - 1]
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]


def _same(version: str, wanted: str) -> bool:
    left, right = _padded(release(version), release(wanted))
    return left == right and _suffix(version) == _suffix(wanted)


def _suffix(version: str) -> str:
    # What follows the numbers: rc1, .post1, +cpu; spelt as PEP 440 normalises it.
    return re.sub(r"^[v\d!.]*\d", "", version.lower()).strip(".-_")


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: ``2.13.0+cpu`` gives (2, 13, 0)."""
    match = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _padded(left: Sequence[int], right: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    length = max(len(left), len(right))
    return (*left, *[0] * (length - len(left))), (*right, *[0] * (length - len(right)))
