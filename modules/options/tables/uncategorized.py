"""Pages without a category: canvas keys, captions, Hypertile, hidden values."""

from __future__ import annotations

from modules.options.tables.row import (
    DisplayText,
    Group,
    Section,
    check,
    checks,
    hidden,
    number,
    radio,
    slider,
    text,
)

INTERROGATE = Group(
    Section("interrogate", "Interrogate", None),
    (
        check("interrogate_keep_models_in_memory", False, "Keep models in VRAM"),
        check("interrogate_return_ranks", False, "Include ranks of model tags matches in results."),
        slider("interrogate_clip_num_beams", 1, "BLIP: num_beams", (1, 16, 1)),
        slider("interrogate_clip_min_length", 24, "BLIP: minimum description length", (1, 128, 1)),
        slider("interrogate_clip_max_length", 48, "BLIP: maximum description length", (1, 256, 1)),
        number(
            "interrogate_clip_dict_limit",
            1500,
            "CLIP: maximum number of lines in text file",
            info="0 reads all",
        ),
        checks(
            "interrogate_clip_skip_categories",
            (),
            "CLIP: skip inquire categories",
            "interrogate_categories",
            refresh=True,
        ),
        slider("interrogate_deepbooru_score_threshold", 0.5, "deepbooru: score threshold", (0, 1, 0.01)),
        check("deepbooru_sort_alpha", True, "deepbooru: sort tags alphabetically"),
        check("deepbooru_use_spaces", True, "deepbooru: use spaces in tags"),
        check("deepbooru_escape", True, "deepbooru: escape (\\) brackets"),
        text("deepbooru_filter_tags", "", "deepbooru: filter out those tags"),
    ),
)

HIDDEN = Group(
    Section(None, "Hidden options", None),
    (
        hidden("disabled_extensions", (), "Disable these extensions"),
        radio(
            "disable_all_extensions",
            "none",
            "Disable all extensions (preserves the list of disabled extensions)",
            ("none", "extra", "all"),
        ),
        text(
            "restore_config_state_file",
            "",
            "Config state file to restore from, under 'config-states/' folder",
        ),
        text("sd_checkpoint_hash", "", "SHA256 hash of the current checkpoint"),
    ),
)

CANVAS_HOTKEY = Group(
    Section("canvas_hotkey", "Canvas Hotkeys", None),
    (
        radio("canvas_hotkey_zoom", "Alt", "Zoom canvas", ("Shift", "Ctrl", "Alt")),
        radio("canvas_hotkey_adjust", "Ctrl", "Adjust brush size", ("Shift", "Ctrl", "Alt")),
        text("canvas_hotkey_shrink_brush", "Q", "Shrink the brush size"),
        text("canvas_hotkey_grow_brush", "W", "Enlarge the brush size"),
        text("canvas_hotkey_move", "F", "Moving the canvas"),
        text(
            "canvas_hotkey_fullscreen",
            "S",
            "Fullscreen Mode, maximizes the picture so that it fits into the screen and "
            "stretches it to its full width ",
        ),
        text("canvas_hotkey_reset", "R", "Reset zoom and canvas position"),
        text("canvas_hotkey_overlap", "O", "Toggle overlap"),
        check("canvas_show_tooltip", True, "Enable tooltip on the canvas"),
        check(
            "canvas_auto_expand",
            True,
            "Automatically expands an image that does not fit completely in the canvas area, "
            "similar to manually pressing the S and R buttons",
        ),
        check("canvas_blur_prompt", False, "Take the focus off the prompt when working with a canvas"),
        checks(
            "canvas_disabled_functions",
            ("Overlap",),
            "Disable function that you don't use",
            (
                "Zoom",
                "Adjust brush size",
                "Hotkey enlarge brush",
                "Hotkey shrink brush",
                "Moving canvas",
                "Fullscreen",
                "Reset Zoom",
                "Overlap",
            ),
        ),
    ),
    source="canvas-zoom-and-pan",
)

HYPERTILE = Group(
    Section("hypertile", "Hypertile", None),
    (
        DisplayText(
            "hypertile_explanation",
            "Hypertile computes self-attention inside tiles: faster for large pictures, "
            "at some cost of coherence.",
        ),
        check("hypertile_enable_unet", False, "Enable Hypertile U-Net", infotext="Hypertile U-Net"),
        check(
            "hypertile_enable_unet_secondpass",
            False,
            "Enable Hypertile U-Net for hires fix second pass",
            infotext="Hypertile U-Net second pass",
        ),
        slider(
            "hypertile_max_depth_unet",
            3,
            "Hypertile U-Net max depth",
            (0, 3, 1),
            infotext="Hypertile U-Net max depth",
        ),
        slider(
            "hypertile_max_tile_unet",
            256,
            "Hypertile U-Net max tile size",
            (0, 512, 16),
            infotext="Hypertile U-Net max tile size",
            info="0 switches it off",
        ),
        slider(
            "hypertile_swap_size_unet",
            3,
            "Hypertile U-Net swap size",
            (0, 64, 1),
            infotext="Hypertile U-Net swap size",
        ),
        check("hypertile_enable_vae", False, "Enable Hypertile VAE", infotext="Hypertile VAE"),
        slider(
            "hypertile_max_depth_vae",
            3,
            "Hypertile VAE max depth",
            (0, 3, 1),
            infotext="Hypertile VAE max depth",
        ),
        slider(
            "hypertile_max_tile_vae",
            128,
            "Hypertile VAE max tile size",
            (0, 512, 16),
            infotext="Hypertile VAE max tile size",
            info="0 switches it off",
        ),
        slider(
            "hypertile_swap_size_vae",
            3,
            "Hypertile VAE swap size ",
            (0, 64, 1),
            infotext="Hypertile VAE swap size",
        ),
    ),
    source="hypertile",
)
