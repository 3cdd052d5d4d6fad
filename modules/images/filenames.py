"""Names of pictures from patterns such as ``[date]`` or ``[seed]-[prompt_spaces]``.

A token is a name in square brackets, optionally with arguments: ``[prompt_hash<6>]``. Each token
is one row of ``TOKENS``. Names are case-insensitive; an unknown token stays as it is written.
"""

from __future__ import annotations

import hashlib
import logging
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from PIL import Image

from modules.images.sanitize import DEFAULT_RULES, NameRules, sanitize_filename_part

_log = logging.getLogger(__name__)

_PIECE = re.compile(r"([^\[]*)(?:\[([^\[\]]+)\]|(\[)|$)")
_ARGUMENT = re.compile(r"<([^>]*)>$")
_NOT_LETTERS = re.compile(rf"[\s{re.escape(string.punctuation)}]+")
_DEFAULT_TIME = "%Y%m%d%H%M%S"

DEFAULT_DIRECTORY_PATTERN = "[prompt_words]"
DEFAULT_ZIP_PATTERN = "[datetime]_[[model_name]]_[seed]-[seed_last]"


class _Drop:
    """What a token gives when it and the text before it are to be left out."""


DROP = _Drop()


@dataclass(frozen=True)
class NameFields:
    """Everything a name can tell about a picture. None: unknown, the token stays as written.

    ``scheduler`` is the label of the request; ``default_scheduler`` is the one that ``Automatic``
    means for this sampler (None when the sampler has none of its own). ``batch_index`` and
    ``iteration`` count from 0. ``style_prompts`` are the prompt texts of the styles in use.
    ``clock`` returns the current time, in the zone of the argument (None: local).
    """

    seed: int | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    all_seeds: Sequence[int] = ()
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    default_scheduler: str | None = None
    model_hash: str | None = None
    model_name: str | None = None
    vae_filename: str | None = None
    styles: Sequence[str] | None = None
    style_prompts: Sequence[str] = ()
    batch_size: int = 1
    n_iter: int = 1
    batch_index: int = 0
    iteration: int = 0
    clip_skip: int | None = None
    denoising: float | None = None
    user: str | None = None
    job_timestamp: str | None = None
    basename: str = ""
    image: Image.Image | None = None
    for_zip: bool = False
    max_prompt_words: int = 8
    rules: NameRules = DEFAULT_RULES
    clock: Callable[[tzinfo | None], datetime] = field(default=datetime.now)


Token = Callable[..., "str | int | float | _Drop | None"]


def expand(pattern: str, fields: NameFields) -> str:
    """``pattern`` with its tokens replaced. Values of tokens hold no path separators."""
    result, text = [], ""
    for before, token, lone_bracket in _PIECE.findall(pattern):
        text += before + lone_bracket
        if not token:
            continue
        value = _value(token, fields)
        if value is not DROP:
            result += [text, f"[{token}]" if value is None else str(value)]
        text = ""
    return "".join(result) + text


def _value(token: str, fields: NameFields) -> str | int | float | _Drop | None:
    name = token
    arguments: list[str] = []
    while match := _ARGUMENT.search(name):
        arguments.insert(0, match.group(1))
        name = name[: match.start()]
    function = TOKENS.get(name.lower())
    if function is None:
        return None
    try:
        return function(fields, *arguments)
    except (TypeError, ValueError) as error:
        _log.warning("The token [%s] of a file name pattern could not be filled in: %s", token, error)
        return None


def _clean(fields: NameFields, text: str | None, replace_spaces: bool = False) -> str | None:
    return sanitize_filename_part(text, replace_spaces, fields.rules)


def _length(arguments: Sequence[str], default: int | None) -> int | None:
    text = arguments[0] if arguments else ""
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def _text_hash(text: str | None, *arguments: str) -> str | None:
    if text is None:
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: _length(arguments, 8)]


def _seed_first(f: NameFields) -> int | None:
    return f.seed if f.batch_size == 1 or not f.all_seeds else f.all_seeds[0]


def _seed_last(f: NameFields) -> int | _Drop:
    return DROP if f.batch_size == 1 or not f.all_seeds else f.all_seeds[-1]


def _styles(f: NameFields) -> str | None:
    if f.styles is None:
        return None
    return _clean(f, ", ".join(style for style in f.styles if style != "None") or "None")


def scheduler_text(f: NameFields) -> str | None:
    """The scheduler that is really used, with only its first letter upper case."""
    if f.scheduler is None:
        return None
    label = (f.default_scheduler or f.scheduler) if f.scheduler == "Automatic" else f.scheduler
    return label.capitalize()


def _sampler_scheduler(f: NameFields) -> str | None:
    if f.sampler is None or f.scheduler is None:
        return None
    return _clean(f, f"{f.sampler} {scheduler_text(f)}")


def _datetime(f: NameFields, *arguments: str) -> str:
    layout = arguments[0] if arguments and arguments[0] else _DEFAULT_TIME
    zone: tzinfo | None = None
    if len(arguments) > 1:
        try:
            zone = ZoneInfo(arguments[1])
        except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            _log.warning(
                "The time zone %r of a file name pattern is unknown; local time is used.", arguments[1]
            )
    now = f.clock(zone)
    try:
        text = now.strftime(layout)
    except ValueError:
        text = now.strftime(_DEFAULT_TIME)
    return _clean(f, text) or ""


def _prompt_no_styles(f: NameFields) -> str | None:
    if f.prompt is None:
        return None
    prompt = f.prompt
    for style in f.style_prompts:
        for part in style.split("{prompt}") if style else ():
            # A style joins its parts with commas; a part that was cut out leaves two behind.
            prompt = (prompt.replace(part, "") if part else prompt).replace(", ,", ",").strip().strip(",")
    return _clean(f, prompt)


def _prompt_words(f: NameFields) -> str | None:
    words = [word for word in _NOT_LETTERS.split(f.prompt or "") if word] or ["empty"]
    return _clean(f, " ".join(words[: f.max_prompt_words]))


def _has_prompt(f: NameFields, *arguments: str) -> str | None:
    if f.prompt is None or not arguments:
        return None
    prompt, result = f.prompt.lower(), ""
    for argument in arguments:
        expected, _, rest = argument.partition("|")
        found = expected and expected.lower() in prompt
        result += expected.lower() if found else rest.partition("|")[0]
    return _clean(f, result)


def _batch_number(f: NameFields) -> int | _Drop:
    return DROP if f.batch_size == 1 or f.for_zip else f.batch_index + 1


def _generation_number(f: NameFields) -> int | _Drop:
    if (f.n_iter == 1 and f.batch_size == 1) or f.for_zip:
        return DROP
    return f.iteration * f.batch_size + f.batch_index + 1


def _image_hash(f: NameFields, *arguments: str) -> str | None:
    if f.image is None:
        return None
    return hashlib.sha256(f.image.tobytes()).hexdigest()[: _length(arguments, None)]


TOKENS: Mapping[str, Token] = {
    "seed": lambda f: "" if f.seed is None else f.seed,
    "seed_first": _seed_first,
    "seed_last": _seed_last,
    "steps": lambda f: f.steps,
    "cfg": lambda f: f.cfg,
    "width": lambda f: f.image and f.image.width,
    "height": lambda f: f.image and f.image.height,
    "styles": _styles,
    "sampler": lambda f: _clean(f, f.sampler),
    "sampler_scheduler": _sampler_scheduler,
    "scheduler": lambda f: _clean(f, scheduler_text(f)),
    "model_hash": lambda f: _clean(f, f.model_hash),
    "model_name": lambda f: _clean(f, f.model_name),
    "date": lambda f: f.clock(None).strftime("%Y-%m-%d"),
    "datetime": _datetime,
    "job_timestamp": lambda f: _clean(f, f.job_timestamp),
    "prompt_hash": lambda f, *args: _text_hash(f.prompt, *args),
    "negative_prompt_hash": lambda f, *args: _text_hash(f.negative_prompt, *args),
    "full_prompt_hash": lambda f, *args: _text_hash(f"{f.prompt} {f.negative_prompt}", *args),
    "prompt": lambda f: _clean(f, f.prompt, True),
    "prompt_no_styles": _prompt_no_styles,
    "prompt_spaces": lambda f: _clean(f, f.prompt),
    "prompt_words": _prompt_words,
    "batch_number": _batch_number,
    "batch_size": lambda f: f.batch_size,
    "generation_number": _generation_number,
    "hasprompt": _has_prompt,
    "clip_skip": lambda f: f.clip_skip,
    "denoising": lambda f: f.denoising or DROP,
    "user": lambda f: _clean(f, f.user),
    "vae_filename": lambda f: _clean(f, f.vae_filename or "NoneType"),
    "none": lambda f: "",
    "image_hash": _image_hash,
    "basename": lambda f: _clean(f, f.basename) or "img",
}
