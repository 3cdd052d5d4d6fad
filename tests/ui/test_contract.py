"""The components of the page are those of the reference: ids, labels, defaults, ranges, order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.ui import create_page
from modules.ui.components import HIDDEN
from tests.paths import DATA
from tests.ui.fake_services import SAMPLERS, SCHEDULERS, FakeServices

ROWS: list[dict[str, Any]] = json.loads((DATA / "ui_txt2img.json").read_text(encoding="utf-8"))["components"]
CONTAINERS = {"row", "column", "group", "tabs", "tabitem", "accordion"}


def components_of(services: FakeServices) -> dict[str, dict[str, Any]]:
    """Properties of the components by element id, in page order."""
    config = create_page(services).get_config_file()
    by_number = {c["id"]: c for c in config["components"]}
    found: dict[str, dict[str, Any]] = {}

    def walk(node: dict[str, Any]) -> None:
        component = by_number.get(node["id"])
        if component and component["props"].get("elem_id"):
            found[component["props"]["elem_id"]] = {**component["props"], "type": component["type"]}
        for child in node.get("children") or []:
            walk(child)

    walk(config["layout"])
    return found


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return components_of(FakeServices(tmp_path_factory.mktemp("page")))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["elem_id"])
def test_component_is_as_in_the_reference(row: dict[str, Any], components: dict[str, Any]) -> None:
    props = components[row["elem_id"]]
    if row["type"] not in CONTAINERS:
        assert props["type"] == row["type"]
    if "label" in row:
        assert props["label"] == row["label"]
    if "text" in row:
        assert props["value"] == row["text"]
    if "default" in row:
        assert props["value"] == row["default"]
    for ours, theirs in (("minimum", "min"), ("maximum", "max"), ("step", "step")):
        if theirs in row:
            assert props[ours] == row[theirs]
    assert set(row.get("classes", [])) <= set(props["elem_classes"])
    assert ("tool" in props["elem_classes"]) == row.get("tool_button", False)


def test_order_is_that_of_the_reference(components: dict[str, Any]) -> None:
    wanted = [row["elem_id"] for row in ROWS if row["elem_id"] != "footer"]
    ours = [name for name in components if name in wanted]
    wanted.remove("change_checkpoint")
    ours.remove("change_checkpoint")
    assert ours == wanted


def test_every_component_stays_in_the_dom(components: dict[str, Any]) -> None:
    assert [name for name, props in components.items() if props.get("visible", True) is not True] == []
    assert HIDDEN in components["txt2img_restore_progress"]["elem_classes"]


def test_choices_come_from_the_services(components: dict[str, Any]) -> None:
    assert [value for _, value in components["txt2img_sampling"]["choices"]] == list(SAMPLERS)
    assert [value for _, value in components["txt2img_scheduler"]["choices"]] == list(SCHEDULERS)
    assert components["txt2img_gallery"]["format"] == "png"


def test_no_event_is_a_public_endpoint_or_waits_for_another(tmp_path: Path) -> None:
    page = create_page(FakeServices(tmp_path))
    for event in page.fns.values():
        assert event.api_visibility == "private"
        if event.fn is not None:
            assert event.concurrency_limit is None


def test_stored_values_replace_defaults_unless_they_cannot_be_shown(tmp_path: Path) -> None:
    services = FakeServices(tmp_path)
    services.stored = {
        "txt2img/Width/value": 640,
        "txt2img/Width/maximum": 4096,
        "txt2img/Sampling steps/value": 1000,
        "txt2img/CFG Scale/value": "seven",
        "txt2img/Sampling method/value": "Euler a",
        "txt2img/Schedule type/value": "gone",
        "txt2img/Prompt/value": "a lighthouse",
    }
    components = components_of(services)
    assert (components["txt2img_width"]["value"], components["txt2img_width"]["maximum"]) == (640, 4096)
    assert components["txt2img_steps"]["value"] == 150
    assert components["txt2img_cfg_scale"]["value"] == 7.0
    assert components["txt2img_sampling"]["value"] == "Euler a"
    assert components["txt2img_scheduler"]["value"] == "Automatic"
    assert components["txt2img_prompt"]["value"] == "a lighthouse"
