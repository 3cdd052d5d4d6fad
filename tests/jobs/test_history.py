"""Finished pictures are found again, repainted, and forgotten when asked."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.errors import NotFound
from modules.jobs.history import LARGEST_RECIPE, History, NoRecipe, Search
from modules.jobs.job import Job
from modules.options.settings import default_options
from modules.processing.request import Txt2ImgRequest
from modules.processing.result import Processed

SETTINGS = default_options(Namespace()).view({"CLIP_stop_at_last_layers": 2})


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.sqlite")


def enter(history: History, prompt: str = "a kite", model: str = "m", count: int = 1, **more: Any) -> None:
    request = Txt2ImgRequest(prompt=prompt, seed=5, subseed=6, n_iter=count, **more)
    result = Processed(
        images=[Image.new("RGB", (8, 16)) for _ in range(count)],
        infotexts=[f"{prompt}\nSteps: 20, Seed: {5 + number}" for number in range(count)],
        info={
            "all_seeds": [5 + number for number in range(count)],
            "all_subseeds": [6 + number for number in range(count)],
            "sd_model_name": model,
            "sd_model_hash": "0123456789",
        },
    )
    history.add(Job(f"task({prompt})", "txt2img", request, SETTINGS, {"CLIP_stop_at_last_layers": 2}), result)


def prompts(found: list[Any]) -> list[str]:
    return [one.infotext.split("\n")[0] for one in found]


def test_pictures_are_listed_newest_first(history: History) -> None:
    for prompt in ("one", "two", "three"):
        enter(history, prompt)
    found = history.find(Search())
    assert prompts(found) == ["three", "two", "one"]
    assert (found[0].width, found[0].height, found[0].seed) == (8, 16, 5)
    assert (found[0].model, found[0].model_hash, found[0].path) == ("m", "0123456789", None)


def test_pages(history: History) -> None:
    enter(history, "many", count=7)
    first = history.find(Search(limit=3))
    second = history.find(Search(limit=3, before_id=first[-1].id))
    assert [one.seed for one in first + second] == [11, 10, 9, 8, 7, 6]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(text="kite"), ["a red kite", "a blue kite"]),
        (Search(text="kit re"), ["a red kite"]),
        (Search(text="RED"), ["a red kite"]),
        (Search(text="boat"), []),
        (Search(text='"*^ OR NEAR( kite'), []),
        (Search(text="!!! ???"), ["风筝 🪁", "a red kite", "a blue kite"]),
        (Search(text="风筝"), ["风筝 🪁"]),
        (Search(model="other"), ["a red kite"]),
        (Search(text="kite", model="m"), ["a blue kite"]),
        (Search(model="none"), []),
    ],
)
def test_search_by_words_and_model(history: History, search: Search, expected: list[str]) -> None:
    enter(history, "a blue kite")
    enter(history, "a red kite", model="other")
    enter(history, "风筝 🪁")
    assert prompts(history.find(search)) == expected


def test_search_by_date(history: History) -> None:
    enter(history, "old")
    between = time.time()
    enter(history, "new")
    assert prompts(history.find(Search(after=between))) == ["new"]
    assert prompts(history.find(Search(before=between))) == ["old"]


def test_favourites(history: History) -> None:
    enter(history, "one")
    enter(history, "two")
    number = history.find(Search(text="one"))[0].id
    assert history.set_favourite(number, True).favourite
    assert prompts(history.find(Search(favourite=True))) == ["one"]
    assert prompts(history.find(Search(favourite=False))) == ["two"]
    with pytest.raises(NotFound):
        history.set_favourite(99, True)


def test_forgotten_pictures_are_not_found_by_their_words(history: History) -> None:
    enter(history, "secret", count=2)
    for entry in history.find(Search()):
        history.delete(entry.id)
    assert history.find(Search(text="secret")) == history.find(Search()) == []
    with pytest.raises(NotFound):
        history.delete(1)
    with pytest.raises(NotFound):
        history.get(1)


def test_recipe_paints_one_picture_of_its_job(history: History) -> None:
    enter(history, "many", count=3, batch_size=2)
    recipe = history.recipe(history.find(Search())[0].id)
    request = recipe.request
    assert (request.prompt, request.seed, request.subseed) == ("many", 7, 8)
    assert (request.n_iter, request.batch_size) == (1, 1)
    assert recipe.settings == dict(SETTINGS) and recipe.model == "m"
    with pytest.raises(NotFound):
        history.recipe(99)


def test_huge_request_is_not_kept_but_its_picture_is(history: History) -> None:
    enter(history, "x" * LARGEST_RECIPE)
    entry = history.find(Search())[0]
    with pytest.raises(NoRecipe):
        history.recipe(entry.id)


def test_grid_and_empty_results_are_not_entered(history: History) -> None:
    images = [Image.new("RGB", (n, n)) for n in (30, 8, 9)]
    result = Processed(images=images, infotexts=["grid", "a", "b"], info={"seed": 3}, index_of_first_image=1)
    job = Job("a", "txt2img", Txt2ImgRequest(), SETTINGS)
    history.add(job, result)
    history.add(job, Processed())
    assert [(one.width, one.infotext) for one in history.find(Search())] == [(9, "b"), (8, "a")]


def test_models(history: History) -> None:
    for model in ("b", "a", "b", "c"):
        enter(history, model=model)
    assert history.models() == ["a", "b", "c"]


def test_oldest_make_room_but_favourites_stay(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite", max_entries=3)
    enter(history, "first")
    history.set_favourite(1, True)
    for number in range(5):
        enter(history, f"later {number}")
    assert prompts(history.find(Search())) == ["later 4", "later 3", "later 2", "first"]


def test_history_survives_and_is_closed_for_good(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite")
    enter(history, "kept")
    history.close()
    enter(history, "too late")
    assert prompts(History(tmp_path / "history.sqlite").find(Search())) == ["kept"]
