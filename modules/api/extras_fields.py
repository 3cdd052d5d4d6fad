"""Fields of the requests for Extras, merging and inspecting, and of their replies."""

from __future__ import annotations

from modules.api.fields import REQUIRED, FieldRow

_CHAIN: tuple[FieldRow, ...] = (
    FieldRow("resize_mode", "integer", 0, "0: by upscaling_resize; 1: to the size."),
    FieldRow("show_extras_results", "boolean", True, "Accepted and ignored."),
    FieldRow("gfpgan_visibility", "number", 0, "0 to 1; 0 is off."),
    FieldRow("codeformer_visibility", "number", 0, "0 to 1; 0 is off."),
    FieldRow("codeformer_weight", "number", 0, "0 changes a face most, 1 least."),
    FieldRow("upscaling_resize", "number", 2, "Factor, more than 0."),
    FieldRow("upscaling_resize_w", "integer", 512, "Pixels, with resize_mode 1."),
    FieldRow("upscaling_resize_h", "integer", 512, "Pixels, with resize_mode 1."),
    FieldRow("upscaling_crop", "boolean", True, "Cut what is beyond the size."),
    FieldRow("upscaler_1", "string", "None", "Name of an upscaler."),
    FieldRow("upscaler_2", "string", "None", "Name of an upscaler to mix in."),
    FieldRow("extras_upscaler_2_visibility", "number", 0, "0 to 1."),
    FieldRow("upscale_first", "boolean", False, "Accepted and ignored."),
)

EXTRA_SINGLE = (*_CHAIN, FieldRow("image", "string", "", "base64 or data URL."))
EXTRA_BATCH = (
    *_CHAIN,
    FieldRow("imageList", "array", REQUIRED, "Objects with data (base64 or data URL) and name."),
)
EXTRA_SINGLE_REPLY = (
    FieldRow("html_info", "string", REQUIRED, "One paragraph of HTML."),
    FieldRow("image", "string", REQUIRED, "base64."),
)
EXTRA_BATCH_REPLY = (
    FieldRow("html_info", "string", REQUIRED, "One paragraph of HTML."),
    FieldRow("images", "array of string", REQUIRED, "base64."),
)
FACE_RESTORER_ITEM = (FieldRow("name", "string"), FieldRow("cmd_dir", "string", None))
REALESRGAN_ITEM = (
    FieldRow("name", "string"),
    FieldRow("path", "string", None),
    FieldRow("scale", "integer", None),
)

UNIT_RANGE = ("gfpgan_visibility", "codeformer_visibility", "codeformer_weight")
"""Fields from 0 to 1."""
