from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.errors import EaselError, InvalidInput, NotFound
from modules.prompts.styles import (
    DO_NOT_SAVE,
    PromptStyle,
    StyleDatabase,
    apply,
    apply_style_text,
    extract,
    extract_style_text,
)
from tests.paths import GOLDENS, HAVE_GOLDENS
from tests.prompts.support import examples

HEADER = "name,prompt,negative_prompt\n"


@pytest.mark.parametrize("example", examples("styles"))
def test_examples_of_the_contract(example: dict[str, Any]) -> None:
    assert apply_style_text(example["style"], example["prompt"]) == example["output"]


def test_styles_apply_in_order() -> None:
    assert apply("cat", ["a {prompt}", "b"]) == "a cat, b"
    assert apply("cat", ["b", "a {prompt}"]) == "a cat, b"
    assert apply("cat", ["b", "({prompt})"]) == "(cat, b)"


@pytest.mark.parametrize(
    ("style", "prompt", "expected"),
    [
        ("film", "cat, film", (True, "cat")),
        ("film", "film", (True, "")),
        ("film", "cat", (False, "cat")),
        ("best {prompt}, film", "best cat, film", (True, "cat")),
        ("best {prompt}, film", "best film", (False, "best film")),
        ("aa{prompt}aa", "aaa", (False, "aaa")),
        (" film  grain ", "cat,  film grain ", (True, "cat")),
        ("{prompt} {prompt}", "cat cat", (False, "cat cat")),
    ],
)
def test_taking_a_style_off(style: str, prompt: str, expected: tuple[bool, str]) -> None:
    assert extract_style_text(style, prompt) == expected


def test_a_style_without_text_is_never_found() -> None:
    assert extract(PromptStyle("empty", "", ""), "cat", "dog") == (False, "cat", "dog")


def test_both_texts_of_a_style_must_be_there() -> None:
    style = PromptStyle("s", "film", "blurry")
    assert extract(style, "cat, film", "ugly, blurry") == (True, "cat", "ugly")
    assert extract(style, "cat, film", "ugly") == (False, "cat, film", "ugly")


@given(st.lists(st.sampled_from(["One", "Two", "Three"]), unique=True), st.sampled_from(["cat", "", "a, b"]))
@settings(max_examples=50, deadline=None)
def test_extracting_undoes_applying(names: list[str], prompt: str) -> None:
    database = StyleDatabase([])
    for name, text in (("One", "film"), ("Two", "photo of {prompt}, sharp"), ("Three", "neon")):
        database.put(PromptStyle(name, text, "", None))
    painted = database.apply_styles_to_prompt(prompt, names)
    found, rest, negative = database.extract_styles_from_prompt(painted, "")
    assert database.apply_styles_to_prompt(rest, found) == painted
    assert negative == ""


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "styles.csv"
    database = StyleDatabase([path])
    assert database.styles == {}
    database.put(PromptStyle("Ümlaut, 日本", 'with "quotes"\nand lines, {prompt}', "blurry"))
    database.save_styles()
    assert path.read_bytes().startswith(b"\xef\xbb\xbfname,prompt,negative_prompt\r\n")
    again = StyleDatabase([path])
    style = again.styles["Ümlaut, 日本"]
    assert (style.prompt, style.negative_prompt) == ('with "quotes"\nand lines, {prompt}', "blurry")
    assert style.path == str(path)
    assert not list(path.parent.glob(".*"))


def test_saving_keeps_a_backup_and_the_rights(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_text(HEADER + "a,b,c\n", encoding="utf-8")
    path.chmod(0o640)
    database = StyleDatabase([path])
    database.delete("a")
    database.save_styles()
    assert (tmp_path / "styles.csv.bak").read_text(encoding="utf-8") == HEADER + "a,b,c\n"
    assert StyleDatabase([path]).styles == {}
    assert path.stat().st_mode & 0o777 == 0o640


def test_deleting_an_unknown_style_names_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        StyleDatabase([]).delete("nothing")


def test_old_columns_comments_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_text("name,text\n#hidden,x\nkept,y\n,z\n", encoding="utf-8-sig")
    database = StyleDatabase([path])
    assert list(database.styles) == ["kept"]
    assert database.styles["kept"].prompt == "y"
    assert database.styles["kept"].negative_prompt == ""


def test_several_files_and_patterns(tmp_path: Path) -> None:
    for name in ("b-styles.csv", "a-styles.csv", "other.csv"):
        (tmp_path / name).write_text(HEADER + f"{name},p,\n", encoding="utf-8")
    database = StyleDatabase([tmp_path / "other.csv", tmp_path / "?-styles.csv", tmp_path / "missing.csv"])
    real = [name for name, style in database.styles.items() if style.path != DO_NOT_SAVE]
    assert real == ["other.csv", "a-styles.csv", "b-styles.csv"]
    assert len(database.styles) == 6, "each file has a divider"
    database.put(PromptStyle("new", "x", ""))
    database.save_styles()
    assert "new,x" in (tmp_path / "other.csv").read_text(encoding="utf-8-sig")
    assert not (tmp_path / "missing.csv").exists()
    for name in ("a-styles.csv", "b-styles.csv"):
        lines = (tmp_path / name).read_text(encoding="utf-8-sig").splitlines()
        assert lines[1:] == [f"{name},p,"], "dividers are not saved and styles stay in their file"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00broken", b"\0\0\0\0", b"wrong,columns\na,b\n"])
def test_a_damaged_file_is_named_and_its_backup_used(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "styles.csv"
    path.write_bytes(content)
    alone = StyleDatabase([path])
    assert alone.styles == {}
    assert "styles.csv" in alone.problems[0]
    (tmp_path / "styles.csv.bak").write_text(HEADER + "a,b,c\n", encoding="utf-8")
    assert list(StyleDatabase([path]).styles) == ["a"]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.write_text("a file where a folder is expected")
    database = StyleDatabase([folder / "styles.csv"])
    database.put(PromptStyle("a", "b", "c"))
    with pytest.raises(EaselError, match="could not be saved"):
        database.save_styles()


def test_a_failure_while_replacing_leaves_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "styles.csv"
    path.write_text(HEADER + "a,b,c\n", encoding="utf-8")
    database = StyleDatabase([path])
    database.put(PromptStyle("new", "x", ""))

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(EaselError, match="No space left"):
        database.save_styles()
    assert path.read_text(encoding="utf-8") == HEADER + "a,b,c\n"
    assert [p.name for p in tmp_path.iterdir()] == ["styles.csv"]


def test_a_style_of_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    database = StyleDatabase([path])
    database.put(PromptStyle("long", "x" * 1_000_000, "\ud800"))
    database.save_styles()
    assert len(StyleDatabase([path]).styles["long"].prompt or "") == 1_000_000


def test_nul_does_not_cost_the_file(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    database = StyleDatabase([path])
    database.put(PromptStyle("a", "b\0c", ""))
    database.save_styles()
    assert StyleDatabase([path]).styles["a"].prompt == "bc"
    path.write_bytes(path.read_bytes() + b"d,e\0f,\r\n")
    assert StyleDatabase([path]).styles["d"].prompt == "ef"


@pytest.mark.parametrize("name", ["", " ", "#hidden"])
def test_a_name_that_could_not_be_read_back_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        StyleDatabase([]).put(PromptStyle(name, "a", "b"))


@pytest.mark.skipif(not HAVE_GOLDENS, reason="needs the reference data")
def test_the_styles_of_the_goldens() -> None:
    database = StyleDatabase([GOLDENS / "models" / "styles.csv"])
    assert list(database.styles) == ["Tiny Photo", "Painterly", "NegOnly"]
    names = ["Tiny Photo", "NegOnly"]
    assert database.apply_styles_to_prompt("a cat", names) == "photo of a cat, sharp focus, 50mm"
    assert database.apply_negative_styles_to_prompt("", names) == "blurry, (lowres:1.2), ugly, deformed"
