"""Loading script files: order, imports between files, and extensions that are broken."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.extensions.host import ExtensionHost
from modules.extensions.ledger import Ledger
from modules.extensions.loading import clean_up
from tests.extensions.folders import host_of, write_extension

SCRIPT = """
from modules.scripts import AlwaysVisible, Script, basedir
BASE = basedir()
class Mine(Script):
    def title(self): return {title!r}
    def show(self, is_img2img): return AlwaysVisible
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path / "extensions"
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.endswith(".py") or name.split(".")[0] in ("scripts", "extensions"):
            del sys.modules[name]


def loaded(home: Path) -> ExtensionHost:
    host = host_of(home)
    host.load_scripts()
    host.initialize_scripts()
    return host


def titles(host: ExtensionHost) -> list[str]:
    return [script.title() for script in host.txt2img.scripts]


def test_scripts_of_extensions_and_of_the_program_load_in_order(home: Path) -> None:
    write_extension(home, "bb", {"scripts/x.py": SCRIPT.format(title="bb x"), "scripts/a.txt": "no"})
    write_extension(home, "aa", {"scripts/y.py": SCRIPT.format(title="aa y"), "scripts/b.py": "print"})
    write_extension(home.parent / "builtin", "zz", {"scripts/z.py": SCRIPT.format(title="zz")})
    write_extension(home.parent, "program", {"scripts/own.py": SCRIPT.format(title="own")})
    host = loaded(home)
    assert titles(host) == ["own", "zz", "aa y", "bb x"] and not host.ledger.failures
    assert [Path(row.path).name for row in host.scripts_data] == ["own.py", "z.py", "y.py", "x.py"]
    assert host.img2img.scripts[0].is_img2img and host.txt2img.scripts[0].tabname == "txt2img"


def test_a_file_sees_its_own_base_and_imports_its_own_files(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "from scripts.helper_of_a import VALUE\nimport lib_a\nfrom scripts import helper_of_a\n"
    files = {
        "scripts/main.py": body + "from pathlib import Path\n",
        "scripts/helper_of_a.py": "VALUE = 1",
        "lib_a.py": "",
        "scripts/__init__.py": "",
    }
    write_extension(home, "a", files)
    late = "def later():\n    from scripts.other_of_b import WORD\n    return WORD\n"
    write_extension(
        home, "b-c", {"scripts/main_b.py": late, "scripts/other_of_b.py": "WORD = 'b'", "tool.py": "T = 1"}
    )
    reach = "import importlib\nT = importlib.import_module('extensions.b-c.tool').T\n"
    write_extension(home, "d", {"scripts/reach.py": reach})
    before = list(sys.path)
    host = loaded(home)
    assert not host.ledger.failures, [str(one) for one in host.ledger.failures]
    assert sys.modules["main_b.py"].later() == "b", "imports inside functions work after loading, too"
    assert sys.path == [*before, str(home.parent)]
    assert host.loader.basedir() == str(home.parent / "program")


def test_basedir_is_right_while_a_file_is_imported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modules.extensions import current

    folder = write_extension(home, "a", {"scripts/main.py": SCRIPT.format(title="a")})
    host = host_of(home)
    monkeypatch.setattr(current.HOST, "loader", host.loader)
    host.load_scripts()
    assert str(folder) == sys.modules["main.py"].BASE


def test_a_broken_extension_is_named_and_off_and_the_rest_runs(home: Path) -> None:
    callback = "from modules import script_callbacks\nscript_callbacks.on_ui_tabs(lambda: [])\n"
    write_extension(
        home, "broken", {"scripts/a.py": callback + SCRIPT.format(title="never"), "scripts/b.py": "def ("}
    )
    write_extension(home, "lacking", {"scripts/l.py": "import not_a_module_at_all"})
    write_extension(home, "leaving", {"scripts/q.py": "raise SystemExit(0)"})
    write_extension(home, "fine", {"scripts/f.py": SCRIPT.format(title="fine")})
    host = loaded(home)
    assert titles(host) == ["fine"]
    assert set(host.catalogue.off) == {"broken", "lacking", "leaving"}
    assert "No module named 'not_a_module_at_all'" in host.catalogue.off["lacking"]
    assert "load b.py" in host.catalogue.off["broken"] and "SyntaxError" in host.catalogue.off["broken"]
    assert [row.name for row in host.catalogue.active()] == ["fine"]
    summary = host.summary()
    assert set(summary["disabled"]) == {"broken", "lacking", "leaving"} and len(summary["failures"]) == 3
    assert "load f.py" in summary["seconds"]["fine"]


def test_scripts_that_fail_to_be_made_or_shown_are_left_out(home: Path) -> None:
    bad = SCRIPT.format(title="x") + "    def __init__(self): raise RuntimeError('no')\n"
    shy = SCRIPT.format(title="y").replace("return AlwaysVisible", "1 / 0")
    hidden = SCRIPT.format(title="z").replace("return AlwaysVisible", "return is_img2img")
    write_extension(home, "a", {"scripts/bad.py": bad, "scripts/shy.py": shy, "scripts/hidden.py": hidden})
    host = loaded(home)
    assert titles(host) == [] and [one.title() for one in host.img2img.selectable_scripts] == ["z"]
    assert {one.hook for one in host.ledger.failures} == {"show (bad.py)", "show (shy.py)"}


def test_wishes_of_metadata_are_followed_and_missing_requirements_named(home: Path) -> None:
    write_extension(
        home, "aa", {"scripts/a.py": SCRIPT.format(title="a"), "metadata.ini": "[scripts]\nAfter = cc"}
    )
    write_extension(home, "bb", {"scripts/b.py": SCRIPT.format(title="b")})
    first = "[scripts/c.py]\nBefore = bb/b.py"
    write_extension(home, "cc", {"scripts/c.py": SCRIPT.format(title="c"), "metadata.ini": first})
    needy = "[Extension]\nRequires = nothing-like-it"
    write_extension(home, "dd", {"scripts/d.py": SCRIPT.format(title="d"), "metadata.ini": needy})
    host = loaded(home)
    assert titles(host) == ["c", "a", "b"]
    assert "requires nothing-like-it" in str(host.ledger.failures[0])


def test_scripts_can_be_unloaded_and_loaded_again(home: Path) -> None:
    path = write_extension(home, "a", {"scripts/main.py": SCRIPT.format(title="one")}) / "scripts" / "main.py"
    host = loaded(home)
    host.unload()
    assert titles(host) == [] and "main.py" not in sys.modules
    path.write_text(SCRIPT.format(title="number two"))
    host.load_scripts()
    host.initialize_scripts()
    assert titles(host) == ["number two"]
    clean_up(host.loader.modules)


def test_one_that_hangs_at_the_start_is_named() -> None:
    told = threading.Event()
    said: list[str] = []

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            told.set()

    handler = Tell()
    log = logging.getLogger("modules.extensions.ledger")
    log.addHandler(handler)
    try:
        with Ledger().watched("slow", "load x.py", patience=0.0):
            assert told.wait(10)
    finally:
        log.removeHandler(handler)
    assert "The extension slow has been in load x.py" in said[0]
