"""Checkpoints, VAE, conditioning, img2img."""

from __future__ import annotations

from modules.options.tables.row import Group, Section, check, color, dropdown, number, radio, slider

SD = Group(
    Section("sd", "Stable Diffusion", "sd"),
    (
        dropdown(
            "sd_model_checkpoint",
            None,
            "Stable Diffusion checkpoint",
            "checkpoints",
            infotext="Model hash",
            refresh=True,
        ),
        slider(
            "sd_checkpoints_limit",
            1,
            "Maximum number of checkpoints loaded at the same time",
            (1, 10, 1),
            info="each takes as much memory as its file",
        ),
        check("sd_checkpoints_keep_in_cpu", True, "Only keep one model on device"),
        slider(
            "sd_checkpoint_cache",
            0,
            "Checkpoints to cache in RAM",
            (0, 10, 1),
            info="kept as tensors, ready to move to the device",
        ),
        dropdown("sd_unet", "Automatic", "SD Unet", "unets", refresh=True),
        check(
            "enable_quantization",
            False,
            "Enable quantization in K samplers for sharper and cleaner results. This may "
            "change existing seeds",
            reload_ui=True,
        ),
        radio(
            "emphasis",
            "Original",
            "Emphasis mode",
            ("None", "Ignore", "Original", "No norm"),
            infotext="Emphasis",
            info="None: brackets are text; Ignore: brackets are removed without effect; Original: "
            "the usual weights; No norm: weights without restoring the mean",
        ),
        check(
            "enable_batch_seeds",
            True,
            "Make K-diffusion samplers produce same images in a batch as when making a single image",
        ),
        slider(
            "comma_padding_backtrack",
            20,
            "Prompt word wrap length limit",
            (0, 74, 1),
            info="tokens; a chunk of 75 is cut at the last comma within this distance",
        ),
        check(
            "sdxl_clip_l_skip",
            False,
            "Clip skip SDXL",
            info="apply the value above to the first text encoder of SDXL too",
        ),
        slider(
            "CLIP_stop_at_last_layers",
            1,
            "Clip skip",
            (1, 12, 1),
            infotext="Clip skip",
            info="1 takes the last layer, 2 the one before it",
        ),
        check(
            "upcast_attn",
            False,
            "Upcast cross attention layer to float32",
            info="slower; helps against black pictures with half precision",
        ),
        radio(
            "randn_source",
            "GPU",
            "Random number generator source.",
            ("GPU", "CPU", "NV"),
            infotext="RNG",
            info="CPU gives the same picture on every machine; NV gives the noise of an NVIDIA "
            "card on any device",
        ),
        check(
            "tiling",
            False,
            "Tiling",
            infotext="Tiling",
            info="the picture continues seamlessly at its borders",
        ),
        radio(
            "hires_fix_refiner_pass",
            "second pass",
            "Hires fix: which pass to enable refiner for",
            ("first pass", "second pass", "both passes"),
            infotext="Hires refiner",
        ),
    ),
)

SDXL = Group(
    Section("sdxl", "Stable Diffusion XL", "sd"),
    (
        number("sdxl_crop_top", 0, "crop top coordinate"),
        number("sdxl_crop_left", 0, "crop left coordinate"),
        number("sdxl_refiner_low_aesthetic_score", 2.5, "SDXL low aesthetic score"),
        number("sdxl_refiner_high_aesthetic_score", 6.0, "SDXL high aesthetic score"),
    ),
)

SD3 = Group(
    Section("sd3", "Stable Diffusion 3", "sd"),
    (check("sd3_enable_t5", False, "Enable T5"),),
)

VAE = Group(
    Section("vae", "VAE", "sd"),
    (
        slider("sd_vae_checkpoint_cache", 0, "VAE Checkpoints to cache in RAM", (0, 10, 1)),
        dropdown(
            "sd_vae",
            "Automatic",
            "SD VAE",
            "vaes",
            infotext="VAE",
            refresh=True,
            info="Automatic takes a VAE beside the checkpoint if there is one",
        ),
        check(
            "sd_vae_overrides_per_model_preferences",
            True,
            "Selected VAE overrides per-model preferences",
            info="otherwise the choice stored with a checkpoint wins",
        ),
        check("auto_vae_precision_bfloat16", False, "Automatically convert VAE to bfloat16"),
        check("auto_vae_precision", True, "Automatically revert VAE to 32-bit floats"),
        radio(
            "sd_vae_encode_method",
            "Full",
            "VAE type for encode",
            ("Full", "TAESD"),
            infotext="VAE Encoder",
            info="TAESD is fast and less exact",
        ),
        radio(
            "sd_vae_decode_method",
            "Full",
            "VAE type for decode",
            ("Full", "TAESD"),
            infotext="VAE Decoder",
            info="TAESD is fast and less exact",
        ),
    ),
)

IMG2IMG = Group(
    Section("img2img", "img2img", "sd"),
    (
        slider(
            "inpainting_mask_weight",
            1.0,
            "Inpainting conditioning mask strength",
            (0.0, 1.0, 0.01),
            infotext="Conditional mask weight",
        ),
        slider(
            "initial_noise_multiplier",
            1.0,
            "Noise multiplier for img2img",
            (0.0, 1.5, 0.001),
            infotext="Noise multiplier",
        ),
        slider(
            "img2img_extra_noise",
            0.0,
            "Extra noise multiplier for img2img and hires fix",
            (0.0, 1.0, 0.01),
            infotext="Extra noise",
            info="0 adds none",
        ),
        check(
            "img2img_color_correction",
            False,
            "Apply color correction to img2img results to match original colors.",
        ),
        check(
            "img2img_fix_steps",
            False,
            "With img2img, do exactly the amount of steps the slider specifies.",
            info="otherwise a lower denoising strength also means fewer steps",
        ),
        color(
            "img2img_background_color",
            "#ffffff",
            "With img2img, fill transparent parts of the input image with this color.",
        ),
        slider("img2img_editor_height", 720, "Height of the image editor", (80, 1600, 1), reload_ui=True),
        color("img2img_sketch_default_brush_color", "#ffffff", "Sketch initial brush color", reload_ui=True),
        color("img2img_inpaint_mask_brush_color", "#ffffff", "Inpaint mask brush color", reload_ui=True),
        color(
            "img2img_inpaint_sketch_default_brush_color",
            "#ffffff",
            "Inpaint sketch initial brush color",
            reload_ui=True,
        ),
        check("return_mask", False, "For inpainting, include the greyscale mask in results for web"),
        check("return_mask_composite", False, "For inpainting, include masked composite in results for web"),
        slider(
            "img2img_batch_show_results_limit",
            32,
            "Show the first N batch img2img results in UI",
            (-1, 1000, 1),
        ),
        check(
            "overlay_inpaint",
            True,
            "Overlay original for inpaint",
            info="puts the untouched part of the input back over the result",
        ),
    ),
)

SD_PROMPT = Group(
    Section("sd", "Stable Diffusion", "sd"),
    (
        check(
            "enable_prompt_comments",
            True,
            "Enable comments",
            info="text from # to the end of a line is dropped",
        ),
    ),
)
