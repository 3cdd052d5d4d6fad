"""The base class of scripts: what an extension author fills in. Every method may stay as it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from modules.extensions.hook_args import (
    MaskBlendArgs,
    OnComponent,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
    ScriptInfo,
)

AlwaysVisible = object()
"""Returned by ``show`` of a script that takes part in every job."""


class Script:
    """A script of one tab. Arguments ``*args`` of its hooks are the values of what ``ui`` returned.

    ``p`` is the job as an object that hooks may change, and to which they may add attributes.
    """

    name: str | None = None
    section: str | None = None
    filename: str | None = None
    args_from: int | None = None
    args_to: int | None = None
    alwayson: bool = False
    is_txt2img: bool = False
    is_img2img: bool = False
    tabname: str | None = None
    group: Any = None
    create_group: bool = True
    infotext_fields: list[Any] | None = None
    paste_field_names: list[str] | None = None
    api_info: ScriptInfo | None = None
    on_before_component_elem_id: list[tuple[str, Callable[[OnComponent], Any]]] | None = None
    on_after_component_elem_id: list[tuple[str, Callable[[OnComponent], Any]]] | None = None
    setup_for_ui_only: bool = False
    controls: list[Any] | None = None

    def title(self) -> str:
        """The name in the list of scripts; in lower case its name in the JSON interface."""
        raise NotImplementedError

    def ui(self, is_img2img: bool) -> Any:
        """Build the inputs and return them in the order of the arguments, or ``None``."""

    def show(self, is_img2img: bool) -> Any:
        """``AlwaysVisible``, or whether the script can be chosen in this tab."""
        return True

    def run(self, p: Any, *args: Any) -> Any:
        """A chosen script does the job itself and returns a ``Processed``; ``None`` for the usual way."""

    def setup(self, p: Any, *args: Any) -> None:
        """The job and its arguments are known."""

    def before_process(self, p: Any, *args: Any) -> None:
        """First of all; settings and texts may still be changed."""

    def process(self, p: Any, *args: Any) -> None:
        """Texts and seeds of all pictures stand in ``p.all_prompts`` and the like."""

    def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """A batch begins. kwargs: batch_number, prompts, seeds, subseeds."""

    def after_extra_networks_activate(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Extra networks are active. kwargs: as above and extra_network_data."""

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Right before a sampler runs. kwargs: x, noise, c, uc."""

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Prompts are free of tags. kwargs: batch_number, prompts, seeds, subseeds."""

    def postprocess_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The batch is decoded. kwargs: images [B, 3, H, W] in 0..1, batch_number."""

    def postprocess_batch_list(self, p: Any, pp: PostprocessBatchListArgs, *args: Any, **kwargs: Any) -> None:
        """The same with a list of pictures that may be changed. kwargs: batch_number."""

    def on_mask_blend(self, p: Any, mba: MaskBlendArgs, *args: Any) -> None:
        """Kept and painted parts are laid over each other."""

    def post_sample(self, p: Any, ps: PostSampleArgs, *args: Any) -> None:
        """The latents are there."""

    def postprocess_image(self, p: Any, pp: PostprocessImageArgs, *args: Any) -> None:
        """A picture is there, before overlays."""

    def postprocess_maskoverlay(self, p: Any, ppmo: PostProcessMaskOverlayArgs, *args: Any) -> None:
        """A picture is about to be laid into its surroundings."""

    def postprocess_image_after_composite(self, p: Any, pp: PostprocessImageArgs, *args: Any) -> None:
        """A picture is complete and about to be saved."""

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """The job is done."""

    def before_component(self, component: Any, **kwargs: Any) -> None:
        """A component of the tab is about to be made; kwargs are its arguments."""

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """A component of the tab was made."""

    def on_before_component(self, callback: Callable[[OnComponent], Any], *, elem_id: str) -> None:
        """Call ``callback`` before the component of that id is made. For ``show`` or early in ``ui``."""
        self.on_before_component_elem_id = [*(self.on_before_component_elem_id or []), (elem_id, callback)]

    def on_after_component(self, callback: Callable[[OnComponent], Any], *, elem_id: str) -> None:
        """Call ``callback`` after the component of that id was made."""
        self.on_after_component_elem_id = [*(self.on_after_component_elem_id or []), (elem_id, callback)]

    def describe(self) -> str:
        """Not used."""
        return ""

    def elem_id(self, item_id: Any) -> str:
        """An element id for an input: ``script_[tab_]<title>_<item>``; the tab only when shown on both."""
        words = "_".join(re.split(r"\s", self.title().lower()))
        return f"script_{self._tab_prefix()}{re.sub('[^a-z0-9_]', '', words)}_{item_id}"

    def _tab_prefix(self) -> str:
        if self.show(True) != self.show(False):
            return ""
        return "img2img_" if self.is_img2img else "txt2img_"

    def before_hr(self, p: Any, *args: Any) -> None:
        """The second pass of hires fix is about to begin."""


class ScriptBuiltinUI(Script):
    """A part of the page that is written as a script."""

    setup_for_ui_only = True

    def elem_id(self, item_id: Any) -> str:
        """``[tab_]<item>``; the tab only when shown on both."""
        return f"{self._tab_prefix()}{item_id}"

    def show(self, is_img2img: bool) -> Any:
        """In every tab."""
        return AlwaysVisible


HOST_CLASSES: tuple[type, ...] = (Script, ScriptBuiltinUI)
"""Classes that a script file may import without being taken for their author."""
