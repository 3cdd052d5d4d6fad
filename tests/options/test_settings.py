from __future__ import annotations

import inspect
import json
import threading
from argparse import Namespace
from typing import Any

import pytest

from modules.errors import EaselError, Forbidden, InvalidInput
from modules.options.registry import callback_priority
from modules.options.settings import OptionHTML, OptionInfo, Options, default_options, options_section
from tests.paths import CONTRACT, DATA, HAVE_CONTRACT

ROWS = json.loads((DATA / "settings_in_page_order.json").read_text(encoding="utf-8"))


def stored(opts: Options) -> dict[str, OptionInfo]:
    return {key: info for key, info in opts.data_labels.items() if not info.do_not_save}


def test_all_settings_with_defaults_in_page_order() -> None:
    opts = default_options()
    opts.reorder()
    assert [row[0] for row in ROWS] == list(stored(opts))
    assert {row[0]: row[1] for row in ROWS} == opts.data
    assert all(type(opts.data[row[0]]) is type(row[1]) for row in ROWS)


def test_page_label_component_and_infotext_name_of_every_setting() -> None:
    labels = default_options().data_labels
    for key, _, component, section, infotext in ROWS:
        assert labels[key].component == component.split(" ")[0]
        assert labels[key].section[1] == section
        assert labels[key].infotext == infotext


@pytest.mark.skipif(not HAVE_CONTRACT, reason="the contract is not beside the checkout")
def test_every_fact_of_the_contract() -> None:
    contract = json.loads((CONTRACT / "settings.json").read_text(encoding="utf-8"))
    opts = default_options()
    assert list(stored(opts)) == [row["key"] for row in contract["settings"]]
    assert opts.restricted_opts == set(contract["restricted_options"])
    for row in contract["settings"]:
        info, key = opts.data_labels[row["key"]], row["key"]
        args = info.arguments()
        if row["label"] is not None:
            assert info.label == row["label"]
        assert info.section == (row["section"], row["section_label"]), key
        assert info.category_id == row["category"], key
        assert [args.get(n) for n in ("minimum", "maximum", "step")] == [
            row.get(n) for n in ("min", "max", "step")
        ], key
        assert args.get("precision") == row.get("precision"), key
        assert info.reload_ui == row.get("needs_reload_ui", False), key
        assert info.restrict_api == row.get("restrict_api", False), key
        assert (info.refresh is not None) == ("refresh_button" in row), key
        assert ("visible" in args) == ("hidden_and_locked_by" in row), key
        if "choices" in row:
            assert args["choices"] == row["choices"], key
        assert callable(info.component_args) == ("choices_from" in row), key
    for entry in contract["display_only"]:
        info = opts.data_labels[entry["key"]]
        assert isinstance(info, OptionHTML)
        assert info.section[0] == entry["section"]


def test_signatures_of_the_extension_interface() -> None:
    names = list(inspect.signature(OptionInfo).parameters)
    assert names == [
        "default", "label", "component", "component_args", "onchange", "section",
        "refresh", "comment_before", "comment_after", "infotext", "restrict_api", "category_id",
    ]  # fmt: skip
    assert list(inspect.signature(Options.set).parameters)[1:] == ["key", "value", "is_api", "run_callbacks"]
    assert list(inspect.signature(Options.onchange).parameters)[1:] == ["key", "func", "call"]
    assert Options.typemap == {int: float}


def test_chain_methods_return_the_same_object() -> None:
    info = OptionInfo(1, "x")
    chained = info.info("a").html("<b>b</b>").link("l", "http://h").js("j", "f").needs_restart()
    assert chained.needs_reload_ui() is info
    assert "(a)" in info.comment_after
    assert "<b>b</b>" in info.comment_after
    assert "requires restart" in info.comment_after
    assert "requires Reload UI" in info.comment_after
    assert "http://h" in info.comment_before
    assert "f()" in info.comment_before


def test_options_section_sets_section_and_category() -> None:
    options = {"a": OptionInfo(1), "b": OptionInfo(2)}
    assert options_section(("sec", "Section", "ui"), options) is options
    assert options["a"].section == ("sec", "Section")
    assert options["b"].category_id == "ui"


def test_reading_and_writing_as_attributes() -> None:
    opts = default_options()
    assert opts.randn_source == "GPU"
    opts.randn_source = "CPU"
    assert opts.data["randn_source"] == "CPU"
    with pytest.raises(AttributeError, match="no_such_setting"):
        opts.no_such_setting  # noqa: B018


def test_default_lists_are_not_shared() -> None:
    first, second = default_options(), default_options()
    first.quicksettings_list.append("sd_vae")
    first.get_default("quicksettings_list").append("tiling")
    assert second.quicksettings_list == ["sd_model_checkpoint"]
    assert first.get_default("quicksettings_list") == ["sd_model_checkpoint"]


def test_set_tells_whether_something_changed() -> None:
    opts = default_options()
    assert opts.set("jpeg_quality", 80) is False
    assert opts.set("jpeg_quality", 70) is True
    assert opts.set("infotext_explanation", "x") is False
    assert opts.set("api_enable_requests", False, is_api=True) is False
    assert opts.api_enable_requests is True
    assert opts.set("api_enable_requests", False) is True
    with pytest.raises(InvalidInput) as caught:
        opts.set("nonsense", 1)
    assert caught.value.field == "nonsense"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("jpeg_quality", 70.0, 70),
        ("jpeg_quality", "70", 70),
        ("s_min_uncond", 3, 3),
        ("s_noise", "1.05", 1.05),
        ("tiling", "true", True),
        ("tiling", 1, True),
        ("samples_format", 5, "5"),
        ("hidden_tabs", ("Train",), ["Train"]),
        ("sd_model_checkpoint", "model", "model"),
        ("samples_format", None, "png"),
        ("quicksettings_list", None, ["sd_model_checkpoint"]),
    ],
)
def test_values_are_brought_to_their_type(key: str, value: Any, expected: Any) -> None:
    opts = default_options()
    opts.set(key, value)
    assert getattr(opts, key) == expected
    assert type(getattr(opts, key)) is type(expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("jpeg_quality", "high"),
        ("jpeg_quality", float("nan")),
        ("s_noise", float("inf")),
        ("s_noise", "nan"),
        ("s_noise", 10**400),
        ("eta_noise_seed_delta", "9" * 5000),
        ("jpeg_quality", [80]),
        ("tiling", {}),
        ("samples_format", {"a": 1}),
        ("samples_format", True),
        ("hidden_tabs", [1]),
        ("hidden_tabs", {"a": 1}),
        ("sd_model_checkpoint", ["a"]),
    ],
)
def test_values_of_a_wrong_kind_are_refused_with_a_sentence(key: str, value: Any) -> None:
    opts = default_options()
    before = getattr(opts, key)
    with pytest.raises(InvalidInput) as caught:
        opts.set(key, value)
    assert caught.value.field == key
    assert key in str(caught.value)
    assert "expected" in str(caught.value)
    assert getattr(opts, key) == before


def test_onchange_is_called_after_a_change_only() -> None:
    opts = default_options()
    calls: list[Any] = []
    opts.onchange("tiling", lambda: calls.append(opts.tiling))
    opts.set("tiling", False)
    opts.set("tiling", True)
    opts.set("tiling", False, run_callbacks=False)
    assert calls == [False, True]


def test_a_failing_onchange_restores_the_old_value() -> None:
    opts = default_options()

    def broken() -> None:
        raise RuntimeError("extension defect")

    opts.onchange("tiling", broken, call=False)
    assert opts.set("tiling", True) is False
    assert opts.tiling is False


def test_an_expected_error_of_onchange_reaches_the_caller_and_restores() -> None:
    opts = default_options()

    def no_model() -> None:
        raise EaselError("There is no such model.")

    opts.onchange("sd_model_checkpoint", no_model, call=False)
    with pytest.raises(EaselError, match="no such model"):
        opts.set("sd_model_checkpoint", "x")
    assert opts.sd_model_checkpoint is None


def test_readers_are_not_blocked_while_onchange_works() -> None:
    opts = default_options()
    working, finish = threading.Event(), threading.Event()

    def slow() -> None:
        working.set()
        assert finish.wait(20)

    opts.onchange("tiling", slow, call=False)
    thread = threading.Thread(target=opts.set, args=("tiling", True))
    thread.start()
    assert working.wait(20)
    assert opts.view().tiling is True  # would never return if the lock were held
    finish.set()
    thread.join()


def test_hidden_directories_cannot_be_changed() -> None:
    opts = default_options(Namespace(hide_ui_dir_config=True))
    for key in ("outdir_samples", "temp_dir", "save_images_add_number"):
        old = getattr(opts, key)
        new = (not old) if isinstance(old, bool) else "/etc"
        assert opts.set(key, new) is False
        with pytest.raises(Forbidden, match="hide-ui-dir-config"):
            setattr(opts, key, new)
        with pytest.raises(Forbidden, match="hide-ui-dir-config"):
            opts.view({key: new})
        assert getattr(opts, key) == old
    assert opts.data_labels["outdir_samples"].arguments()["visible"] is False
    assert default_options().set("outdir_samples", "pictures") is True


@pytest.mark.parametrize(
    "flags",
    [
        {"freeze_settings": True},
        {"freeze_settings_in_sections": "training, sd"},
        {"freeze_settings_in_sections": "Stable Diffusion"},
        {"freeze_specific_settings": "jpeg_quality,tiling"},
    ],
)
def test_frozen_settings(flags: dict[str, Any]) -> None:
    opts = default_options(Namespace(**flags))
    with pytest.raises(Forbidden, match="freeze"):
        opts.set("tiling", True)
    with pytest.raises(Forbidden, match="freeze"):
        opts.view({"tiling": True})
    assert opts.set("tiling", False) is False  # unchanged: clients that send everything back go on working
    assert opts.view({"tiling": False}).tiling is False
    if "freeze_settings" not in flags:
        assert opts.set("hidden_tabs", ["Train"]) is True


def test_cast_value() -> None:
    opts = default_options()
    assert opts.cast_value("tiling", "False") is False
    assert opts.cast_value("tiling", "false") is True
    assert opts.cast_value("CLIP_stop_at_last_layers", "2") == 2
    assert opts.cast_value("s_noise", "1") == 1.0
    assert opts.cast_value("face_restoration", "CodeFormer") is True
    assert opts.cast_value("sd_model_checkpoint", "x") is None
    opts.sd_model_checkpoint = "a"
    assert opts.cast_value("sd_model_checkpoint", "x") == "x"
    for text in ("soft", "nan", "inf", "1e999"):
        with pytest.raises(InvalidInput):
            opts.cast_value("s_noise", text)


def test_same_type() -> None:
    opts = default_options()
    assert opts.same_type(1, 2.5)
    assert opts.same_type(None, "x")
    assert not opts.same_type(True, 1)
    assert not opts.same_type("1", 1)


def test_options_of_extensions() -> None:
    opts = default_options()
    opts.add_option("my_option", OptionInfo(5, "Mine", section=("mine", "Mine")))
    assert opts.my_option == 5
    assert opts.set("my_option", "their own affair") is True
    assert opts.my_option == "their own affair"
    with pytest.raises(InvalidInput, match="expected a value like 5"):
        opts.view({"my_option": "x"})
    opts.reorder()
    assert list(opts.data_labels)[-1] == "my_option"
    key, info = callback_priority("script_process", lambda: ["a", "b"])
    opts.add_option(key, info)
    assert key == "prioritized_callbacks_script_process"
    assert info.arguments()["choices"] == ["a", "b"]
    assert info.restart


def test_dynamic_choices_and_their_refresh() -> None:
    opts = default_options()
    found = ["one"]
    opts.choice_providers.register("checkpoints", lambda: found, lambda: found.append("two"))
    info = opts.data_labels["sd_model_checkpoint"]
    assert info.arguments()["choices"] == ["one"]
    assert info.refresh is not None
    info.refresh()
    assert info.arguments()["choices"] == ["one", "two"]
    assert opts.data_labels["hide_samplers"].arguments()["choices"] == []
    assert "tiling" in opts.data_labels["quicksettings_list"].arguments()["choices"]


def test_dumpjson_for_the_browser() -> None:
    opts = default_options()
    opts.add_option("w", OptionInfo("", "W").info("hint").link("l", "http://h"))
    dumped = json.loads(opts.dumpjson())
    assert dumped["jpeg_quality"] == 80
    assert "hint" in dumped["_comments_after"]["w"]
    assert "http://h" in dumped["_comments_before"]["w"]
    assert ["Paths for saving", "Saving images"] in dumped["_categories"]
    assert dumped["_categories"][-1] == ["Defaults", "Other"]


def test_api_values_hand_numbers_out_as_floats() -> None:
    opts = default_options()
    values = opts.api_values()
    assert isinstance(values["jpeg_quality"], float)
    assert isinstance(values["img_downscale_threshold"], float)
    assert isinstance(values["eta_noise_seed_delta"], int)
    assert values["tiling"] is False
    assert values["samples_save"] is True
    assert values["infotext_explanation"]
    for key, value in values.items():  # a client may send back all it got
        opts.set(key, value, is_api=True)
    assert opts.data == default_options().data
    assert type(opts.jpeg_quality) is int


def test_paths_lie_below_the_data_directory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = default_options(data_dir=tmp_path)
    assert inside.outdir_txt2img_samples.replace("\\", "/") == "outputs/txt2img-images"
    outside = default_options(data_dir=tmp_path.parent / "else where")
    assert outside.outdir_save == str(tmp_path.parent / "else where" / "log" / "images")


def test_flag_sets_the_default_of_console_prompts() -> None:
    assert default_options(Namespace(enable_console_prompts=True)).enable_console_prompts is True
