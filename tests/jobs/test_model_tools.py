"""Merging and inspecting by names: what is found, what is out of reach, what comes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from modules.api.model_tools import MERGE
from modules.errors import InvalidInput, NotFound
from modules.jobs.model_tools import ModelTools
from modules.jobs.program import assemble
from modules.options.flags import parse_flags
from modules.options.paths import Paths
from tests.paths import GOLDENS, HAVE_GOLDENS, ROOT

pytestmark = pytest.mark.skipif(not HAVE_GOLDENS, reason="needs the goldens beside the checkout")


@pytest.fixture
def tools(tmp_path: Path) -> ModelTools:
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        shutil.copyfile(
            GOLDENS / "models" / "Stable-diffusion" / "tiny-sd1.safetensors", folder / f"{name}.safetensors"
        )
        shutil.copyfile(GOLDENS / "models" / "Stable-diffusion" / "tiny-sd1.yaml", folder / f"{name}.yaml")
    (tmp_path / "secret.safetensors").write_bytes(b"secret")
    flags = parse_flags(["--data-dir", str(tmp_path)], {}, ROOT)
    program = assemble(flags, Paths.from_flags(flags, ROOT))
    return ModelTools(program.paths, program.catalogue, program.workshop.vaes, program.hashes, program.state)


def fields(**given: Any) -> dict[str, Any]:
    return {**{row.name: row.default for row in MERGE}, **given}


def test_merge_puts_the_result_among_the_checkpoints(tools: ModelTools) -> None:
    result = tools.merge(fields(models=["one", "two"], multiplier=0.5, name="both"))
    assert Path(result["path"]).parent == tools.paths.checkpoint_dirs[0]
    assert result["title"].startswith("both.safetensors")
    assert tools.catalogue.find("both") is not None
    assert Path(result["config"]).name == "both.yaml"
    with pytest.raises(InvalidInput, match="already there"):
        tools.merge_request(fields(models=["one", "two"], name="both"))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"models": ["one"]}, InvalidInput),
        ({"models": ["one", "three"]}, NotFound),
        ({"models": ["one", "two"], "method": "Magic"}, InvalidInput),
        ({"models": ["one", "two"], "format": "exe"}, InvalidInput),
        ({"models": ["one", "two"], "discard": "("}, InvalidInput),
        ({"models": ["one", "two"], "blocks": {"out": "much"}}, InvalidInput),
        ({"models": ["one", "two"], "vae": "none.safetensors"}, NotFound),
    ],
)
def test_what_cannot_be_merged_is_refused_at_the_door(
    tools: ModelTools, given: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        tools.merge_request(fields(**given))


def test_a_name_never_leads_out_of_the_folder(tools: ModelTools) -> None:
    request = tools.merge_request(fields(models=["one", "two"], name="../../escaped"))
    assert request.output.parent == tools.paths.checkpoint_dirs[0]
    for name in ("../secret.safetensors", str(tools.paths.data_dir / "secret.safetensors"), "\0", ""):
        with pytest.raises(NotFound):
            tools.file_of(name)


def test_inspect_by_title_and_by_path(tools: ModelTools) -> None:
    assert tools.inspect("one")["family"] == "sd1"
    assert tools.inspect("Stable-diffusion/two.safetensors")["family"] == "sd1"
