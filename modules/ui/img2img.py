"""The img2img tab: a picture, or a picture under a mask, painted anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from PIL import Image, ImageChops

from modules.errors import InvalidInput
from modules.ui.components import HIDDEN, PageDefaults, TabBuilder
from modules.ui.generation import Generation, connect_generation
from modules.ui.hires import create_refiner
from modules.ui.overrides import create_overrides
from modules.ui.paste import PasteTarget, connect_paste
from modules.ui.results import create_results
from modules.ui.sampling import create_sampling, create_sizes
from modules.ui.seed import connect_seed_row, create_seed_row, seed_values
from modules.ui.services import PageServices
from modules.ui.toprow import TopRow, connect_prompt_tools, create_toprow

IMG2IMG, INPAINT, INPAINT_UPLOAD = 0, 2, 4
"""Numbers of the sub-tabs, as scripts of the page know them."""

RESIZE_MODES = ("Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)")
MASKED_CONTENT = ("fill", "original", "latent noise", "latent nothing")
MASK_FIELDS = (
    "mask_blur",
    "inpainting_mask_invert",
    "inpainting_fill",
    "inpaint_full_res",
    "inpaint_full_res_padding",
)


@dataclass(frozen=True)
class Img2ImgTab:
    """The row whose lists the page refreshes, and the way in for texts of pictures."""

    top: TopRow
    target: PasteTarget


def create_img2img(gr: Any, services: PageServices, defaults: PageDefaults) -> Img2ImgTab:
    """Build the tab inside the present ``gr.Tab``; returns what other parts of the page need."""
    ui = TabBuilder(gr, "img2img", defaults)
    top = create_toprow(ui, services)
    mode = gr.Number(IMG2IMG, elem_id=ui.id("mode"), elem_classes=[HIDDEN], show_label=False, precision=0)
    with gr.Row(elem_id=ui.id("generation"), elem_classes=["generation"], equal_height=False):
        with gr.Column(elem_id=ui.id("settings"), elem_classes=["settings"], scale=1, min_width=320):
            pictures = _create_pictures(ui)
            resize = _index_radio(ui, "Resize mode", "resize_mode", RESIZE_MODES, RESIZE_MODES[0])
            masking = _create_masking(ui)
            sampling = create_sampling(ui, services)
            refiner = create_refiner(ui, services)
            sizes = create_sizes(ui)
            cfg_scale = ui.slider("CFG Scale", "cfg_scale", (1.0, 30.0, 0.5), 7.0)
            strength = ui.slider("Denoising strength", "denoising_strength", (0.0, 1.0, 0.01), 0.75)
            seeds = create_seed_row(ui)
            overrides = create_overrides(ui)
        panel = create_results(ui)
    texts = {"prompt": top.prompt, "negative_prompt": top.negative_prompt, "styles": top.styles}
    plain = {
        **texts, **sampling, **refiner, **sizes, "cfg_scale": cfg_scale, "denoising_strength": strength,
        **seed_values(seeds),
    }  # fmt: skip
    inputs = {
        "mode": mode, **plain, **pictures, "resize_mode": resize, **masking, "override_texts": overrides
    }  # fmt: skip
    connect_prompt_tools(top, services)
    connect_seed_row(seeds, panel.generation_info)

    def submit(values: Mapping[str, Any], task_id: str) -> Any:
        return services.submit_img2img(request_fields(values), task_id)

    actions = Generation(gr, services, submit, tuple(inputs))
    connect_generation(ui, top, panel, inputs, actions, submit_js="submit_img2img")
    target = PasteTarget(plain, overrides, panel.log_html, top.prompt, "recalculate_prompts_img2img")
    connect_paste(gr, services, top.paste.click, top.prompt, target)
    return Img2ImgTab(top, target)


def _create_pictures(ui: TabBuilder) -> dict[str, Any]:
    gr = ui.gr
    common: dict[str, Any] = {"type": "pil", "sources": ["upload", "clipboard"], "height": 400}
    with gr.Tabs(elem_id="mode_img2img"):
        with gr.Tab("img2img", elem_id="img2img_img2img_tab"):
            plain = gr.Image(
                label="Image for img2img", elem_id="img2img_image", image_mode="RGBA", buttons=[], **common
            )
        with gr.Tab("Inpaint", elem_id="img2img_inpaint_tab"):
            drawn = gr.ImageEditor(
                label="Image for inpainting with mask",
                elem_id="img2maskimg",
                image_mode="RGBA",
                brush=gr.Brush(default_size=40, colors=["#ffffff"], color_mode="fixed"),
                layers=False,
                transforms=(),
                **common,
            )
        with gr.Tab("Inpaint upload", elem_id="img2img_inpaint_upload_tab"):
            base = gr.Image(label="Image for img2img", elem_id="img_inpaint_base", buttons=[], **common)
            mask = gr.Image(label="Mask", elem_id="img_inpaint_mask", image_mode="RGBA", buttons=[], **common)
    return {"picture": plain, "drawn": drawn, "base": base, "base_mask": mask}


def _create_masking(ui: TabBuilder) -> dict[str, Any]:
    """The inputs of a mask; style.css shows them while a sub-tab with a mask is selected."""
    masked, area = ("Inpaint masked", "Inpaint not masked"), ("Whole picture", "Only masked")
    with ui.gr.Column(elem_id="inpaint_controls", elem_classes=["inpaint-controls"]):
        blur = ui.slider("Mask blur", "mask_blur", (0, 64, 1), 4)
        with ui.gr.Row():
            invert = _index_radio(ui, "Mask mode", "img2img_mask_mode", masked, masked[0])
            fill = _index_radio(ui, "Masked content", "img2img_inpainting_fill", MASKED_CONTENT, "original")
        with ui.gr.Row():
            whole = _index_radio(ui, "Inpaint area", "img2img_inpaint_full_res", area, area[0])
            padding = ui.slider("Only masked padding, pixels", "inpaint_full_res_padding", (0, 256, 4), 32)
    return dict(zip(MASK_FIELDS, (blur, invert, fill, whole, padding), strict=True))


def _index_radio(ui: TabBuilder, label: str, elem_id: str, choices: tuple[str, ...], value: str) -> Any:
    return ui.radio(label, elem_id, choices, value, elem_id=elem_id, type="index")


def request_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """From the inputs of the tab to the fields of a request, by the sub-tab that is open."""
    fields = dict(values)
    mode = int(fields.pop("mode", IMG2IMG))
    picture, drawn = fields.pop("picture", None), fields.pop("drawn", None)
    base, base_mask = fields.pop("base", None), fields.pop("base_mask", None)
    if mode == IMG2IMG:
        for name in MASK_FIELDS:
            fields.pop(name, None)
    elif mode == INPAINT:
        picture, fields["mask"] = (drawn or {}).get("background"), drawn_mask(drawn or {})
    else:
        picture, fields["mask"] = base, base_mask
    if "inpaint_full_res" in fields:
        fields["inpaint_full_res"] = bool(fields["inpaint_full_res"])
    if picture is None:
        raise InvalidInput(
            "There is no picture to start from. Drop one into the frame on the left.", "picture"
        )
    if "mask" in fields and fields["mask"] is None:
        raise InvalidInput("There is no mask. Paint over what is to change, or give a mask.", "mask")
    return {**fields, "init_images": [picture]}


def drawn_mask(drawn: Mapping[str, Any]) -> Image.Image | None:
    """White where something was drawn over the picture; None when nothing was."""
    strokes = [layer.getchannel("A") for layer in drawn.get("layers") or [] if layer.mode == "RGBA"]
    if not strokes:
        return None
    union = reduce(ImageChops.lighter, strokes).point(lambda alpha: 255 if alpha > 127 else 0)
    return union if union.getbbox() else None
