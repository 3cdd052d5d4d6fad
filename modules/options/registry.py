"""From the rows of the tables to descriptions of settings, and the order of the pages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modules.options.choices import ChoiceProviders
from modules.options.option_info import OptionHTML, OptionInfo
from modules.options.tables import GROUPS
from modules.options.tables.row import DisplayText, Group, Setting


def default_labels(
    providers: ChoiceProviders, data_dir: Path | None, hide_dirs: bool
) -> tuple[dict[str, OptionInfo], frozenset[str]]:
    """All settings of the tables, and the keys that ``--hide-ui-dir-config`` protects."""
    labels: dict[str, OptionInfo] = {}
    restricted = set()
    for group in GROUPS:
        for row in group.rows:
            if isinstance(row, DisplayText):
                labels[row.key] = _placed(OptionHTML(row.text), group)
                continue
            labels[row.key] = _placed(_described(row, providers, data_dir, hide_dirs), group)
            if row.restricted:
                restricted.add(row.key)
    return labels, frozenset(restricted)


def callback_priority(category: str, choices: Callable[[], list[str]]) -> tuple[str, OptionInfo]:
    """Key and description of the setting that orders the callbacks of ``category``.

    Such a setting exists for each category that has at least one callback.
    """
    info = OptionInfo(
        [],
        f"{category} callback priority",
        "DropdownMulti",
        lambda: {"choices": choices()},
        section=("callbacks", "Callbacks"),
        category_id="system",
    )
    return f"prioritized_callbacks_{category}", info.needs_restart()


def _placed(info: OptionInfo, group: Group) -> OptionInfo:
    info.section = (group.section.id, group.section.label)
    info.category_id = group.section.category
    return info


def _described(
    row: Setting, providers: ChoiceProviders, data_dir: Path | None, hide_dirs: bool
) -> OptionInfo:
    default = _default(row, data_dir)
    info = OptionInfo(
        default,
        row.label,
        row.component,
        _arguments(row, providers, hide_dirs),
        infotext=row.infotext,
        restrict_api=row.restrict_api,
    )
    info.checked = True
    if row.refresh and isinstance(row.choices, str):
        name = row.choices
        info.refresh = lambda: providers.refresh(name)
    if row.info:
        info.info(row.info)
    if row.restart:
        info.needs_restart()
    if row.reload_ui:
        info.needs_reload_ui()
    return info


def _default(row: Setting, data_dir: Path | None) -> Any:
    if isinstance(row.default, tuple):
        return list(row.default)
    if row.in_data_dir and data_dir is not None:
        return _near(data_dir / row.default)
    return row.default


def _near(path: Path) -> str:
    """``path`` relative to the working directory when it lies inside, else absolute."""
    absolute = path.absolute()
    try:
        return str(absolute.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return os.path.normpath(absolute)


def _arguments(
    row: Setting, providers: ChoiceProviders, hide_dirs: bool
) -> dict[str, Any] | Callable[[], dict[str, Any]]:
    args: dict[str, Any] = {}
    if row.limits is not None:
        args.update(zip(("minimum", "maximum", "step"), row.limits, strict=True))
    if row.precision is not None:
        args["precision"] = row.precision
    if row.hidden_with_dirs:
        args["visible"] = not hide_dirs
    if isinstance(row.choices, tuple):
        args["choices"] = list(row.choices)
    if not isinstance(row.choices, str):
        return args
    name = row.choices
    return lambda: {**args, "choices": providers.choices(name)}


def page_order(labels: Mapping[str, OptionInfo], categories: Mapping[str, str]) -> dict[str, OptionInfo]:
    """The settings as the pages show them.

    Categories come in their order, sections alphabetically inside a category, those without a
    category last. A section belongs to the category of its first setting.
    """
    rank = {category: number for number, category in enumerate(categories)}
    owner: dict[Any, str | None] = {}
    for info in labels.values():
        owner.setdefault(info.section, info.category_id)

    def place(item: tuple[str, OptionInfo]) -> tuple[int, str]:
        section = item[1].section
        return rank.get(owner[section] or "", len(rank)), str(section[1]) if section else ""

    ordered = dict(sorted(labels.items(), key=place))
    for info in ordered.values():
        info.category_id = owner[info.section]
    return ordered


def page_headings(labels: Mapping[str, OptionInfo], categories: Mapping[str, str]) -> list[list[str]]:
    """[label of the first section, heading above it] for each category that has a visible section."""
    first: dict[str, str] = {}
    for info in labels.values():
        if info.section and info.section[0] is not None:
            first.setdefault(categories.get(info.category_id or "", "Uncategorized"), info.section[1])
    return [[section, heading] for heading, section in first.items()] + [["Defaults", "Other"]]
