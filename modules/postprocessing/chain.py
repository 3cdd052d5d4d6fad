"""The chain: steps in their order over one picture, and over the pictures that steps add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from modules.postprocessing.picture import PostprocessedImage
from modules.postprocessing.steps import Bench, Step, Values
from modules.processing.infotext import quote


def ordered(steps: Sequence[Step], settings: Any) -> list[Step]:
    """The steps in the order of the settings; those that these do not name come last, by their order."""
    named = list(settings.postprocessing_operation_order)
    disabled = set(settings.postprocessing_disable_in_extras)

    def place(step: Step) -> tuple[int, int, str]:
        return (named.index(step.name) if step.name in named else len(named), step.order, step.name)

    return sorted((step for step in steps if step.name not in disabled), key=place)


def complete(step: Step, arguments: Mapping[str, Values]) -> dict[str, Any]:
    """Every value of a step: the given one, else the default."""
    return {**step.defaults, **arguments.get(step.name, {})}


def check_arguments(steps: Sequence[Step], arguments: Mapping[str, Values], bench: Bench) -> None:
    """Raise ``InvalidInput`` or ``NotFound`` for arguments that some step cannot work with."""
    for step in ordered(steps, bench.settings):
        step.check(complete(step, arguments), bench)


def run_chain(
    image: Image.Image, steps: Sequence[Step], arguments: Mapping[str, Values], bench: Bench
) -> list[PostprocessedImage]:
    """``image`` through all steps; the first result is the picture itself, others were added by steps.

    ``arguments``: name of a step → its values; missing ones have their defaults. ``image`` is not changed.
    """
    first = PostprocessedImage(image if image.mode in ("RGB", "RGBA") else image.convert("RGB"))
    work = [(step, complete(step, arguments)) for step in ordered(steps, bench.settings)]
    for step, values in work:
        step.first_pass(first, values, bench)
    pictures = [first]
    for step, values in work:
        bench.monitor.check()
        for picture in list(pictures):
            if not picture.disable_processing:
                step.process(picture, values, bench)
            added, picture.extra_images = picture.extra_images, []
            pictures += [
                one if isinstance(one, PostprocessedImage) else picture.create_copy(one) for one in added
            ]
    return pictures


def info_text(info: Mapping[str, Any]) -> str:
    """The postprocessing text: ``key: value`` with commas between; a value equal to its key stands alone."""
    return ", ".join(
        key if key == value else f"{key}: {quote(value)}" for key, value in info.items() if value is not None
    )
