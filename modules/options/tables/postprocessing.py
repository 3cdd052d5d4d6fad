"""Upscaling, face restoration and the chain of the Extras tab."""

from __future__ import annotations

from modules.options.tables.row import Group, Section, check, checks, dropdown, multi, radio, slider

UPSCALING = Group(
    Section("upscaling", "Upscaling", "postprocessing"),
    (
        slider(
            "ESRGAN_tile",
            192,
            "Tile size for ESRGAN upscalers.",
            (0, 512, 16),
            info="0 works on the whole picture at once",
        ),
        slider(
            "ESRGAN_tile_overlap",
            8,
            "Tile overlap for ESRGAN upscalers.",
            (0, 48, 1),
            info="small values may show seams",
        ),
        checks(
            "realesrgan_enabled_models",
            ("R-ESRGAN 4x+", "R-ESRGAN 4x+ Anime6B"),
            "Select which Real-ESRGAN models to show in the web UI.",
            "realesrgan_models",
        ),
        checks(
            "dat_enabled_models",
            ("DAT x2", "DAT x3", "DAT x4"),
            "Select which DAT models to show in the web UI.",
            "dat_models",
        ),
        slider(
            "DAT_tile",
            192,
            "Tile size for DAT upscalers.",
            (0, 512, 16),
            info="0 works on the whole picture at once",
        ),
        slider(
            "DAT_tile_overlap",
            8,
            "Tile overlap for DAT upscalers.",
            (0, 48, 1),
            info="small values may show seams",
        ),
        dropdown("upscaler_for_img2img", None, "Upscaler for img2img", "upscalers"),
        check(
            "set_scale_by_when_changing_upscaler",
            False,
            "Automatically set the Scale by factor based on the name of the selected Upscaler.",
        ),
    ),
)

FACE_RESTORATION = Group(
    Section("face-restoration", "Face restoration", "postprocessing"),
    (
        check("face_restoration", False, "Restore faces", infotext="Face restoration"),
        radio("face_restoration_model", "CodeFormer", "Face restoration model", "face_restorers"),
        slider(
            "code_former_weight",
            0.5,
            "CodeFormer weight",
            (0, 1, 0.01),
            info="0 changes the face most, 1 least",
        ),
        check(
            "face_restoration_unload",
            False,
            "Move face restoration model from VRAM into RAM after processing",
        ),
    ),
)

POSTPROCESSING = Group(
    Section("postprocessing", "Postprocessing", "postprocessing"),
    (
        multi(
            "postprocessing_enable_in_main_ui",
            (),
            "Enable postprocessing operations in txt2img and img2img tabs",
            "postprocessing_scripts",
        ),
        multi(
            "postprocessing_disable_in_extras",
            (),
            "Disable postprocessing operations in extras tab",
            "postprocessing_scripts",
        ),
        multi(
            "postprocessing_operation_order",
            (),
            "Postprocessing operation order",
            "postprocessing_scripts",
            info="those that are not named come last",
        ),
        slider(
            "upscaling_max_images_in_cache",
            5,
            "Maximum number of images in upscaling cache",
            (0, 10, 1),
            info="repeated upscaling with other parameters then starts at once",
        ),
        radio(
            "postprocessing_existing_caption_action",
            "Ignore",
            "Action for existing captions",
            ("Ignore", "Keep", "Prepend", "Append"),
        ),
    ),
)

UPSCALING_LDSR = Group(
    Section("upscaling", "Upscaling", "postprocessing"),
    (
        slider("ldsr_steps", 100, "LDSR processing steps. Lower = faster", (1, 200, 1)),
        check("ldsr_cached", False, "Cache LDSR model in memory"),
    ),
    source="LDSR",
)

UPSCALING_SCUNET = Group(
    Section("upscaling", "Upscaling", "postprocessing"),
    (
        slider(
            "SCUNET_tile",
            256,
            "Tile size for SCUNET upscalers.",
            (0, 512, 16),
            info="0 works on the whole picture at once",
        ),
        slider(
            "SCUNET_tile_overlap",
            8,
            "Tile overlap for SCUNET upscalers.",
            (0, 64, 1),
            info="small values may show seams",
        ),
    ),
    source="ScuNET",
)

UPSCALING_SWINIR = Group(
    Section("upscaling", "Upscaling", "postprocessing"),
    (
        slider("SWIN_tile", 192, "Tile size for all SwinIR.", (16, 512, 16)),
        slider(
            "SWIN_tile_overlap",
            8,
            "Tile overlap, in pixels for SwinIR. Low values = visible seam.",
            (0, 48, 1),
        ),
        check("SWIN_torch_compile", False, "Use torch.compile to accelerate SwinIR."),
    ),
    source="SwinIR",
)
