"""What a scene is called: exact sentences and lists of tags, in varied words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from numpy.random import Generator

from tools.default_checkpoint.objects import PLURALS
from tools.default_checkpoint.scenes import Group, Scene

NOUNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "circle": ("circle", "circle", "disc"),
        "moon": ("moon", "crescent moon"),
        "face": ("face", "smiling face", "smiley face"),
        "boat": ("boat", "boat", "sailing boat"),
        "ring": ("ring",),
    }
)
COLOUR_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"gray": ("gray", "grey"), "purple": ("purple", "purple", "violet")}
)
SIZE_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"small": ("small", "little"), "large": ("large", "big")}
)
COUNT_WORDS: Mapping[int, tuple[str, ...]] = MappingProxyType({2: ("two", "2"), 3: ("three", "3")})

PLACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "left": ("on the left", "on the left side"),
        "right": ("on the right", "on the right side"),
        "top": ("at the top",),
        "bottom": ("at the bottom",),
    }
)
RELATION_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"left of": ("to the left of", "left of", "beside"), "above": ("above", "over")}
)
LANDSCAPE_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sky": ("in the sky", "in front of a blue sky", "with a sky background"),
        "night": ("at night", "in the night sky", "under the stars at night"),
        "sea": ("at sea", "by the sea", "with a sea background"),
        "meadow": ("on a meadow", "on a green meadow", "with a meadow background"),
    }
)
LANDSCAPE_TAGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sky": ("sky background", "blue sky", "sky"),
        "night": ("night background", "night sky", "starry night"),
        "sea": ("sea background", "sea", "ocean"),
        "meadow": ("meadow background", "meadow", "green meadow"),
    }
)
STYLE_TAGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "flat": ("flat", "flat style", "flat illustration"),
        "outline": ("outline", "outline style", "bold outlines", "ink outlines"),
        "watercolour": ("watercolour", "watercolor", "watercolour style"),
        "pixel art": ("pixel art", "pixel art", "pixel art style"),
        "chalk": ("chalk drawing",),
    }
)
STYLE_NOUNS: Mapping[str, str] = MappingProxyType(
    {
        "flat": "a flat illustration of",
        "outline": "an outline drawing of",
        "watercolour": "a watercolour painting of",
        "pixel art": "pixel art of",
        "chalk": "a chalk drawing of",
    }
)

# A prompt that names no style gets a flat picture: so flat ones often go without their name.
_UNNAMED_FLAT, _UNNAMED_BACKGROUND = 0.5, 0.06


def plain_caption(scene: Scene) -> str:
    """The one sentence that says everything about ``scene`` in the commonest words; for prompts of tests."""
    groups = [_plain_group(group) for group in scene.groups]
    subject = groups[0]
    if len(groups) == 2:
        subject = f"{groups[0]} {RELATION_WORDS[scene.relation][0]} {groups[1]}"
    return f"{subject} {_plain_background(scene.background)}, {STYLE_TAGS[scene.style][0]}"


def caption(scene: Scene, rng: Generator) -> str:
    """A random caption of ``scene``. It may leave out the background or a flat style."""
    subject = _group(scene.groups[0], rng)
    if len(scene.groups) == 2:
        subject += f" {_pick(RELATION_WORDS[scene.relation], rng)} {_group(scene.groups[1], rng)}"
    with_style = scene.style != "flat" or rng.random() > _UNNAMED_FLAT
    with_background = rng.random() > _UNNAMED_BACKGROUND
    style = _pick(STYLE_TAGS[scene.style], rng) if with_style else ""
    if rng.random() < 0.3:  # a list of tags
        background = _background_tag(scene.background, rng) if with_background else ""
        return ", ".join(part for part in (subject, background, style) if part)
    sentence = f"{subject} {_background(scene.background, rng)}" if with_background else subject
    form = rng.random()
    if not style:
        return sentence
    if form < 0.3:
        return f"{STYLE_NOUNS[scene.style]} {sentence}"
    return f"{style}, {sentence}" if form < 0.5 else f"{sentence}, {style}"


def caption_without_colour(scene: Scene, rng: Generator, word: str) -> str:
    """A caption in which ``word`` stands for the colour of the first group."""
    marked = replace(scene, groups=(replace(scene.groups[0], colour=word), *scene.groups[1:]))
    return caption(marked, rng)


def _pick(options: tuple[str, ...], rng: Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeio" else f"a {phrase}"


def _plain_group(group: Group) -> str:
    count = COUNT_WORDS.get(group.count, ("",))[0]
    return _phrase(group.size, group.colour, group.object, count, _corner(group))


def _group(group: Group, rng: Generator) -> str:
    noun = _pick(NOUNS.get(group.object, (group.object,)), rng)
    size = _pick(SIZE_WORDS[group.size], rng) if group.size else ""
    colour = _pick(COLOUR_WORDS.get(group.colour, (group.colour,)), rng)
    count = _pick(COUNT_WORDS[group.count], rng) if group.count > 1 else ""
    place = _pick(PLACES[group.position], rng) if group.position in PLACES else _corner(group)
    return _phrase(size, colour, noun, count, place)


def _corner(group: Group) -> str:
    if not group.position:
        return ""
    return PLACES[group.position][0] if group.position in PLACES else f"in the {group.position} corner"


def _phrase(size: str, colour: str, noun: str, count: str, place: str) -> str:
    if count:
        noun = PLURALS.get(noun, f"{noun}s")
    words = " ".join(word for word in (size, colour, noun) if word)
    subject = f"{count} {words}" if count else _article(words)
    return f"{subject} {place}" if place else subject


def _plain_background(background: str) -> str:
    if background in LANDSCAPE_WORDS:
        return LANDSCAPE_WORDS[background][0]
    return f"on {_article(background)} background"


def _background(background: str, rng: Generator) -> str:
    if background in LANDSCAPE_WORDS:
        return _pick(LANDSCAPE_WORDS[background], rng)
    if background.endswith(" gradient"):
        first, second = background.removesuffix(" gradient").split(" to ")
        if rng.random() < 0.4:
            return f"on a gradient background from {first} to {second}"
        return f"on {_article(background)} background"
    colour = background.removeprefix("plain ")
    colour = _pick(COLOUR_WORDS.get(colour, (colour,)), rng)
    return f"on a plain {colour} background" if rng.random() < 0.5 else f"on {_article(colour)} background"


def _background_tag(background: str, rng: Generator) -> str:
    if background in LANDSCAPE_TAGS:
        return _pick(LANDSCAPE_TAGS[background], rng)
    return f"{background if rng.random() < 0.5 else background.removeprefix('plain ')} background"
