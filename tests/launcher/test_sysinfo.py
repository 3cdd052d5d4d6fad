"""The description of the system: complete, and without secrets."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from modules.launcher import sysinfo
from modules.options.flags import parse_flags
from tests.launcher.repositories import make_source
from tests.paths import DATA, ROOT

KEYS = [
    *("Platform", "Python", "Version", "Commit", "Git status", "Script path", "Data path", "Extensions dir"),
    *("Checksum", "Commandline", "Torch env info", "Exceptions", "CPU", "RAM", "Extensions"),
    *("Inactive extensions", "Environment", "Config", "Startup", "Packages"),
]


def test_description(tmp_path: Path) -> None:
    make_source(tmp_path / "extensions" / "cloned")
    (tmp_path / "extensions" / "off").mkdir()
    settings = {
        "disabled_extensions": ["off"],
        "civitai_api_key": "SECRET",
        "nested": {"hf_token": "SECRET"},
        "n": 3,
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    flags = parse_flags(["--data-dir", str(tmp_path)], {}, ROOT, preload=False)
    argv = [
        "webui.py",
        "--api-auth",
        "me:SECRET",
        "--gradio-auth=me:SECRET",
        "--port",
        "1",
        "--ngrok",
        "SECRET",
    ]
    environ = {
        "COMMANDLINE_ARGS": "--api-auth me:SECRET --listen",
        "INDEX_URL": "https://me:SECRET@host/simple",
        "AWS_KEY": "SECRET",
    }
    facts = sysinfo.collect(ROOT, flags, argv, environ, {"Startup": {"total": 1.0}})
    text = json.dumps(facts)
    assert set(KEYS) <= set(facts)
    assert "SECRET" not in text
    assert facts["Commandline"] == [
        "webui.py", "--api-auth", "<hidden>", "--gradio-auth=<hidden>", "--port", "1", "--ngrok", "<hidden>",
    ]  # fmt: skip
    assert facts["Environment"] == {
        "COMMANDLINE_ARGS": "--api-auth '<hidden>' --listen",
        "INDEX_URL": "https://host/simple",
    }
    assert facts["Extensions"][0]["name"] == "cloned"
    assert len(facts["Extensions"][0]["commit"]) == 40
    assert [entry["name"] for entry in facts["Inactive extensions"]] == ["off"]
    assert (facts["Config"]["n"], facts["Startup"]) == (3, {"total": 1.0})
    assert any(line.startswith("pytest==") for line in facts["Packages"])


def test_checksum_tells_whether_it_was_edited(tmp_path: Path) -> None:
    path = sysinfo.dump(sysinfo.with_checksum({"a": 1, "Ä": "画"}), tmp_path)
    assert sysinfo.is_intact(path.read_text(encoding="utf-8"))
    assert not sysinfo.is_intact(path.read_text(encoding="utf-8").replace("1", "2"))
    assert not sysinfo.is_intact("{")
    assert not sysinfo.is_intact("[]")


def test_file_name() -> None:
    moment = datetime(2026, 3, 4, 5, 6, tzinfo=timezone.utc)
    assert sysinfo.file_name(moment) == "sysinfo-2026-03-04-05-06.json"


def test_names_of_the_environment_are_those_of_the_contract() -> None:
    facts = json.loads((DATA / "environment.json").read_text())
    assert sorted(sysinfo.ENVIRONMENT_NAMES) == sorted(facts["sysinfo_environment_whitelist"])


def test_damaged_settings_are_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert "cannot be read" in sysinfo.read_config(tmp_path / "config.json")
    assert sysinfo.environment_facts({"COMMANDLINE_ARGS": "--api-auth 'x"})["COMMANDLINE_ARGS"] == "<hidden>"


def test_status_of_a_checkout(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    (source.folder / "proof.py").write_text("changed")
    assert " M proof.py" in sysinfo.git_status(source.folder)
    assert sysinfo.git_status(tmp_path) == "<none>"
