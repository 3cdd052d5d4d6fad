"""The manager of a running program: settings file, real install.py, real repositories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.errors import Forbidden
from modules.extensions.repository import ExtensionError
from modules.jobs.extension_manager import extension_manager
from modules.jobs.program import assemble
from modules.options.flags import parse_flags
from modules.options.paths import Paths
from tests.launcher.repositories import make_source
from tests.paths import ROOT


def test_install_runs_install_py_and_disabling_is_stored(tmp_path: Path) -> None:
    flags = parse_flags(["--data-dir", str(tmp_path)], {}, ROOT)
    program = assemble(flags, Paths.from_flags(flags, ROOT))
    program.worker.start()
    try:
        manager = extension_manager(program)
        good, bad = make_source(tmp_path / "s" / "good"), make_source(tmp_path / "s" / "bad", "install.py")
        (bad.folder / "install.py").write_text("raise SystemExit('no compiler here')\n")
        bad.git("commit", "-q", "-a", "-m", "Fail")
        manager.install(good.url)
        with pytest.raises(ExtensionError, match=r"install\.py failed: no compiler here"):
            manager.install(bad.url)
        assert [path.name for path in program.paths.extensions_dir.iterdir()] == ["good"]
        manager.set_disabled(["good"])
        assert json.loads(program.paths.config_file.read_text())["disabled_extensions"] == ["good"]
        assert manager.catalogue.active() == []
    finally:
        program.close()


def test_listening_without_the_flag_refuses(tmp_path: Path) -> None:
    flags = parse_flags(["--data-dir", str(tmp_path), "--listen"], {}, ROOT)
    program = assemble(flags, Paths.from_flags(flags, ROOT))
    program.worker.start()
    try:
        with pytest.raises(Forbidden, match="--listen"):
            extension_manager(program).install(make_source(tmp_path / "s" / "x").url)
    finally:
        program.close()
