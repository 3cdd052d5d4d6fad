"""What the endpoints need of the program: one frozen object, made in webui.py, faked in the tests."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image

from modules.api.fetching import PictureFetcher
from modules.api.middleware import MAX_BODY_BYTES
from modules.api.pictures import MAX_PIXELS, ImageEncoder, encode_picture, is_address, to_base64
from modules.errors import Forbidden
from modules.extensions.arguments import ScriptNotFound
from modules.images.metadata import read_info
from modules.jobs.history import History
from modules.jobs.queue import JobQueue
from modules.jobs.spool import Spool
from modules.jobs.state import State
from modules.processing.request import GenerationRequest
from modules.processing.validation import validate

Rows = Sequence[Mapping[str, Any]]
"""Plain data for a listing: one mapping an entry, with the field names of the reply."""


class SettingsAccess(Protocol):
    """The live settings, as ``modules.options`` keeps them."""

    @property
    def data_labels(self) -> Mapping[str, Any]:
        """Key → description of the setting."""

    @property
    def restricted_opts(self) -> Iterable[str]:
        """Keys that ``--hide-ui-dir-config`` protects."""

    def api_values(self) -> Mapping[str, Any]:
        """All values as the settings endpoint shows them."""

    def view(self, overrides: Mapping[str, Any] | None = None) -> Any:
        """A frozen copy. InvalidInput for unknown keys and unfit values, Forbidden for locked keys."""

    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool:
        """Change one setting; True when it is different now."""

    def cast_value(self, key: str, value: Any) -> Any:
        """``value``, mostly text, in the type of the setting."""


class CheckpointAccess(Protocol):
    """The known checkpoints, as ``modules.checkpoints`` keeps them."""

    @property
    def infos(self) -> Iterable[Any]:
        """The known files: objects with title, model_name, shorthash, sha256, filename, config."""

    def find(self, identifier: str) -> Any | None:
        """The checkpoint of that title, name, file or hash."""

    def refresh(self) -> Any:
        """Read the folders again."""


def _nothing() -> None:
    return None


def no_scripts() -> Mapping[str, Any]:
    """What ``/sdapi/v1/scripts`` says where no extension runs."""
    return {"txt2img": [], "img2img": []}


def refuse_scripts(_kind: str, values: Mapping[str, Any]) -> None:
    """Raises ``ScriptNotFound`` for the first script that a request names."""
    names = [name for name in (values["script_name"],) if name and name.lower() != "none"]
    names += list(values["alwayson_scripts"] or {})
    if names:
        raise ScriptNotFound(
            f"Script {names[0]!r:.100} not found; /sdapi/v1/scripts lists those that are there."
        )


def _no_rows() -> Rows:
    return ()


def _no_embeddings() -> Mapping[str, Any]:
    return {"loaded": {}, "skipped": {}}


def _check(request: GenerationRequest, _settings: Any) -> None:
    validate(request)


def _check_nothing(_arguments: Mapping[str, Mapping[str, Any]], _settings: Any) -> None:
    return None


def _no_report(_model: str, _weights: bool, _hash: bool) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class ApiServices:
    """Everything that an endpoint may touch.

    ``parse_infotext(text, settings)`` gives the entries of a generation text; ``read_picture_text``
    the text and the other metadata of a picture; ``check(request, settings)`` raises for a request
    that must not be queued, and ``check_extras(arguments, settings)`` for arguments of the Extras chain;
    ``encode_image`` makes the file that goes out. Functions may block, and may
    import what takes long: they are called in threads, never while the application is made.
    ``settings_of`` makes settings for a job of stored values; files of ``output_folders`` may be served.
    ``unload_checkpoint`` and ``reload_checkpoint`` are called by the worker, in turn with the pictures.
    """

    queue: JobQueue
    state: State
    options: SettingsAccess
    checkpoints: CheckpointAccess
    flags: Namespace
    parse_infotext: Callable[[str, Any], Mapping[str, Any]]
    read_picture_text: Callable[[Image], tuple[str | None, Mapping[str, Any]]] = read_info
    encode_image: ImageEncoder = encode_picture
    check: Callable[[GenerationRequest, Any], None] = _check
    save_settings: Callable[[], None] = _nothing
    vaes: Callable[[], Rows] = _no_rows
    refresh_vaes: Callable[[], None] = _nothing
    samplers: Callable[[], Rows] = _no_rows
    schedulers: Callable[[], Rows] = _no_rows
    upscalers: Callable[[], Rows] = _no_rows
    latent_upscale_modes: Callable[[], Rows] = _no_rows
    realesrgan_models: Callable[[], Rows] = _no_rows
    face_restorers: Callable[[], Rows] = _no_rows
    check_extras: Callable[[Mapping[str, Mapping[str, Any]], Any], None] = _check_nothing
    check_merge: Callable[[Mapping[str, Any]], Any] = dict
    merge_models: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    inspect_model: Callable[[str, bool, bool], Mapping[str, Any]] = _no_report
    styles: Callable[[], Rows] = _no_rows
    embeddings: Callable[[], Mapping[str, Any]] = _no_embeddings
    refresh_embeddings: Callable[[], None] = _nothing
    hypernetworks: Callable[[], Rows] = _no_rows
    loras: Callable[[], Rows] = _no_rows
    refresh_loras: Callable[[], None] = _nothing
    memory: Callable[[], Mapping[str, Any]] = dict
    startup_profile: Callable[[], Mapping[str, Any]] = dict
    unload_checkpoint: Callable[[], None] = _nothing
    reload_checkpoint: Callable[[], None] = _nothing
    restartable: bool = False
    kill: Callable[[int], Any] = field(default=os._exit)
    max_body_bytes: int = MAX_BODY_BYTES
    max_pixels: int = MAX_PIXELS
    extensions: Callable[[], Rows] = _no_rows
    scripts: Callable[[], Mapping[str, Any]] = no_scripts
    script_info: Callable[[], Rows] = _no_rows
    check_scripts: Callable[[str, Mapping[str, Any]], None] = refuse_scripts
    sysinfo: Callable[[], Mapping[str, Any]] = dict
    worker_alive: Callable[[], bool] = lambda: True
    interrogators: Mapping[str, Callable[[Image], str]] = field(default_factory=dict)
    spool: Spool | None = None
    history: History | None = None
    settings_of: Callable[[Mapping[str, Any]], Any] = dict
    output_folders: Callable[[], Iterable[Path]] = tuple
    fetcher: PictureFetcher = field(default_factory=PictureFetcher)

    def picture_text(self, text: str, field: str) -> str:
        """``text`` of a picture as it came; an address is replaced by the base64 of what lies there.

        Raises ``Forbidden`` unless flag and settings allow addresses, and what ``PictureFetcher`` raises.
        """
        if not is_address(text):
            return text
        settings = self.options.view()
        if not getattr(self.flags, "api_image_urls", False) or not settings["api_enable_requests"]:
            raise Forbidden(
                f"{field} is an address; send base64, or start the server with --api-image-urls "
                "(and leave the setting api_enable_requests on)."
            )
        fetcher = replace(
            self.fetcher,
            forbid_local=bool(settings["api_forbid_local_requests"]),
            user_agent=str(settings["api_useragent"]),
        )
        return to_base64(fetcher.fetch(text, field))
