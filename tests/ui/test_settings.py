"""The pages of settings are those of the reference, and keep what they are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.errors import EaselError
from modules.options.flags import parse_flags
from modules.options.settings import default_options
from modules.ui import create_page
from modules.ui.assets import ROOT
from modules.ui.program_settings import ProgramSettings
from modules.ui.settings_extra import licences_html
from tests.paths import CONTRACT
from tests.ui.fake_services import FakeServices, settings_program


@pytest.fixture
def services(tmp_path: Path) -> FakeServices:
    services = FakeServices(tmp_path)
    services.every_setting = True
    return services


def props_of(services: FakeServices) -> dict[str, dict[str, Any]]:
    config = create_page(services).get_config_file()
    return {
        c["props"]["elem_id"]: {**c["props"], "type": c["type"]}
        for c in config["components"]
        if c["props"].get("elem_id")
    }


@pytest.mark.skipif(not (CONTRACT / "ui.json").exists(), reason="the contract is not here")
def test_sections_are_those_of_the_reference(services: FakeServices) -> None:
    rows = json.loads((CONTRACT / "ui.json").read_text())["tabs"]["Settings"]["components"]
    wanted = [
        (row["elem_id"], row["label"])
        for row in rows
        if row["type"] == "tabitem" and not row["elem_id"].startswith("settings_tab_")
    ]
    sections = [(f"settings_{one.id}", one.label) for one in services.settings_sections()]
    assert sections == wanted


def test_inputs_have_the_value_range_and_choices_of_the_tables(services: FakeServices) -> None:
    props = props_of(services)
    assert props["setting_jpeg_quality"]["type"] == "slider"
    assert (props["setting_jpeg_quality"]["minimum"], props["setting_jpeg_quality"]["maximum"]) == (1, 100)
    assert props["setting_save_to_dirs"]["value"] is True
    assert props["setting_hide_samplers"]["type"] == "checkboxgroup"
    assert ("Euler a", "Euler a") in [tuple(c) for c in props["setting_hide_samplers"]["choices"]]


def test_quick_settings_move_above_the_tabs(services: FakeServices) -> None:
    services.options.set("quicksettings_list", ["CLIP_stop_at_last_layers", "gone", "sd_vae"])
    page = create_page(services)
    by_number = {c["id"]: c["props"].get("elem_id") for c in page.get_config_file()["components"]}

    def below(node: dict[str, Any]) -> list[str]:
        return [by_number.get(node["id"]) or "", *(n for c in node.get("children", []) for n in below(c))]

    def find(node: dict[str, Any], name: str) -> dict[str, Any] | None:
        if by_number.get(node["id"]) == name:
            return node
        return next((f for c in node.get("children", []) if (f := find(c, name))), None)

    layout = page.get_config_file()["layout"]
    row = [name for name in below(find(layout, "quicksettings") or {}) if name.startswith("setting_")]
    assert row == ["setting_CLIP_stop_at_last_layers", "setting_sd_vae"]
    assert "setting_sd_model_checkpoint" in below(find(layout, "tab_settings") or {})
    assert "setting_sd_vae" not in below(find(layout, "tab_settings") or {})


def test_locked_settings_cannot_be_edited_and_hidden_ones_are_not_seen(services: FakeServices) -> None:
    flags = parse_flags(["--freeze-specific-settings", "jpeg_quality", "--hide-ui-dir-config"], {}, ROOT)
    services._program.options = default_options(flags, data_dir=services.folder)
    props = props_of(services)
    assert props["setting_jpeg_quality"]["interactive"] is False
    assert "setting-locked" in props["setting_jpeg_quality"]["elem_classes"]
    assert "setting-hidden" in props["setting_outdir_samples"]["elem_classes"]


def test_file_of_defaults_keeps_what_others_wrote(tmp_path: Path) -> None:
    settings = ProgramSettings(settings_program(tmp_path))
    assert settings.defaults() == {}
    settings.save_defaults({"a/b/value": 1})
    settings.save_defaults({"txt2img/Width/value": "ö"})
    assert settings.defaults() == {"a/b/value": 1, "txt2img/Width/value": "ö"}
    path = settings._program.paths.ui_config_file
    path.write_text("{broken")
    assert settings.defaults() == {}
    with pytest.raises(EaselError, match="cannot be read"):
        settings.save_defaults({"c": 1})
    assert path.read_text() == "{broken"


def test_damaged_file_of_defaults_does_not_stop_the_page(tmp_path: Path) -> None:
    services = FakeServices(tmp_path)

    def refuse(values: Any) -> None:
        raise EaselError("ui-config.json cannot be read.")

    services.save_defaults = refuse  # type: ignore[method-assign]
    assert create_page(services) is not None


def test_one_bad_value_does_not_stop_the_others(services: FakeServices) -> None:
    change = services.change_settings({"jpeg_quality": "high", "samples_format": "jpg", "no_such": 1})
    assert change.changed == ("samples_format",)
    assert set(change.problems) == {"jpeg_quality", "no_such"}
    assert "jpeg_quality" in change.problems["jpeg_quality"]


def test_licences_are_text(services: FakeServices) -> None:
    text = licences_html(services)
    assert "<h3>Easel</h3>" in text and "gradio" in text
