"""Look and behaviour of the page."""

from __future__ import annotations

from modules.options.tables.row import (
    DisplayText,
    Group,
    Section,
    check,
    checks,
    dropdown,
    editable,
    multi,
    number,
    radio,
    slider,
    text,
)

UI_PROMPT_EDITING = Group(
    Section("ui_prompt_editing", "Prompt editing", "ui"),
    (
        slider(
            "keyedit_precision_attention",
            0.1,
            "Precision for (attention:1.1) when editing the prompt with Ctrl+up/down",
            (0.01, 0.2, 0.001),
        ),
        slider(
            "keyedit_precision_extra",
            0.05,
            "Precision for <extra networks:0.9> when editing the prompt with Ctrl+up/down",
            (0.01, 0.2, 0.001),
        ),
        text(
            "keyedit_delimiters",
            ".,\\/!?%^*;:{}=`~() ",
            "Word delimiters when editing the prompt with Ctrl+up/down",
        ),
        checks(
            "keyedit_delimiters_whitespace",
            ("Tab", "Carriage Return", "Line Feed"),
            "Ctrl+up/down whitespace delimiters",
            ("Tab", "Carriage Return", "Line Feed"),
        ),
        check("keyedit_move", True, "Alt+left/right moves prompt elements"),
        check("disable_token_counters", False, "Disable prompt token counters"),
        check("include_styles_into_token_counters", True, "Count tokens of enabled styles"),
    ),
)

UI_GALLERY = Group(
    Section("ui_gallery", "Gallery", "ui"),
    (
        check("return_grid", True, "Show grid in gallery"),
        check("do_not_show_images", False, "Do not show any images in gallery"),
        check("js_modal_lightbox", True, "Full page image viewer: enable"),
        check(
            "js_modal_lightbox_initially_zoomed",
            True,
            "Full page image viewer: show images zoomed in by default",
        ),
        check("js_modal_lightbox_gamepad", False, "Full page image viewer: navigate with gamepad"),
        number("js_modal_lightbox_gamepad_repeat", 250, "Full page image viewer: gamepad repeat period"),
        slider(
            "sd_webui_modal_lightbox_icon_opacity",
            1,
            "Full page image viewer: control icon unfocused opacity",
            (0.0, 1, 0.01),
            reload_ui=True,
        ),
        slider(
            "sd_webui_modal_lightbox_toolbar_opacity",
            0.9,
            "Full page image viewer: tool bar opacity",
            (0.0, 1, 0.01),
            reload_ui=True,
        ),
        text("gallery_height", "", "Gallery height", reload_ui=True, info="a CSS length, for instance 600px"),
        radio(
            "open_dir_button_choice",
            "Subdirectory",
            "What directory the [📂] button opens",
            ("Output Root", "Subdirectory", "Subdirectory (even temp dir)"),
        ),
    ),
)

UI_ALTERNATIVES = Group(
    Section("ui_alternatives", "UI alternatives", "ui"),
    (
        check("compact_prompt_box", False, "Compact prompt layout", reload_ui=True),
        check(
            "samplers_in_dropdown",
            True,
            "Use dropdown for sampler selection instead of radio group",
            reload_ui=True,
        ),
        check(
            "dimensions_and_batch_together",
            True,
            "Show Width/Height and Batch sliders in same row",
            reload_ui=True,
        ),
        check("sd_checkpoint_dropdown_use_short", False, "Checkpoint dropdown: use filenames without paths"),
        check(
            "hires_fix_show_sampler",
            False,
            "Hires fix: show hires checkpoint and sampler selection",
            reload_ui=True,
        ),
        check(
            "hires_fix_show_prompts",
            False,
            "Hires fix: show hires prompt and negative prompt",
            reload_ui=True,
        ),
        check(
            "txt2img_settings_accordion", False, "Settings in txt2img hidden under Accordion", reload_ui=True
        ),
        check(
            "img2img_settings_accordion", False, "Settings in img2img hidden under Accordion", reload_ui=True
        ),
        check(
            "interrupt_after_current",
            True,
            "Don't Interrupt in the middle",
            info="the running picture is finished first",
        ),
    ),
)

UI = Group(
    Section("ui", "User interface", "ui"),
    (
        dropdown("localization", "None", "Localization", "localizations", refresh=True, reload_ui=True),
        multi(
            "quicksettings_list",
            ("sd_model_checkpoint",),
            "Quicksettings list",
            "setting_keys",
            reload_ui=True,
            info="settings that are always visible on top of the page",
        ),
        multi(
            "ui_tab_order",
            (),
            "UI tab order",
            "ui_tabs",
            reload_ui=True,
            info="tabs that are not named come last",
        ),
        multi("hidden_tabs", (), "Hidden UI tabs", "ui_tabs", reload_ui=True),
        multi("ui_reorder_list", (), "UI item order for txt2img/img2img tabs", "ui_items", reload_ui=True),
        editable("gradio_theme", "Default", "Gradio theme", "themes", reload_ui=True),
        check("gradio_themes_cache", True, "Cache gradio themes locally"),
        check("show_progress_in_title", True, "Show generation progress in window title."),
        check("send_seed", True, "Send seed when sending prompt or image to other interface"),
        check(
            "send_size",
            True,
            "Send size when sending prompt or image to another interface",
            info="the size of the picture goes with it",
        ),
        check("enable_reloading_ui_scripts", False, "Reload UI scripts when using Reload UI option"),
    ),
)

INFOTEXT = Group(
    Section("infotext", "Infotext", "ui"),
    (
        DisplayText(
            "infotext_explanation",
            "Infotext is the description of a picture that is stored inside its file: "
            "the prompts, and every parameter that is needed to paint it again.",
        ),
        check("enable_pnginfo", True, "Write infotext to metadata of the generated image"),
        check("save_txt", False, "Create a text file with infotext next to every generated image"),
        check("add_model_name_to_info", True, "Add model name to infotext"),
        check("add_model_hash_to_info", True, "Add model hash to infotext"),
        check("add_vae_name_to_info", True, "Add VAE name to infotext"),
        check("add_vae_hash_to_info", True, "Add VAE hash to infotext"),
        check(
            "add_user_name_to_info",
            False,
            "Add user name to infotext when authenticated",
            info="only with a login",
        ),
        check("add_version_to_infotext", True, "Add program version to infotext"),
        check(
            "disable_weights_auto_swap",
            True,
            "Disregard checkpoint information from pasted infotext",
            info="a pasted text then never changes the checkpoint",
        ),
        multi(
            "infotext_skip_pasting",
            (),
            "Disregard fields from pasted infotext",
            "infotext_names",
            info="names as they appear in the text",
        ),
        radio(
            "infotext_styles",
            "Apply if any",
            "Infer styles from prompts of pasted infotext",
            ("Ignore", "Apply", "Discard", "Apply if any"),
            info="Ignore: leave the prompt; Apply: take style texts out and select the styles; "
            "Discard: take them out only; Apply if any: like Apply, but keep the selection if "
            "none was found",
        ),
    ),
)

LIVE_PREVIEWS = Group(
    Section("ui", "Live previews", "ui"),
    (
        check("show_progressbar", True, "Show progressbar"),
        check("live_previews_enable", True, "Show live previews of the created image"),
        radio("live_previews_image_format", "png", "Live preview file format", ("jpeg", "png", "webp")),
        check("show_progress_grid", True, "Show previews of all images generated in a batch as a grid"),
        slider(
            "show_progress_every_n_steps",
            10,
            "Live preview display period",
            (-1, 32, 1),
            info="steps; -1 shows only the picture of the whole batch at its end",
        ),
        radio(
            "show_progress_type",
            "Approx NN",
            "Live preview method",
            ("Full", "Approx NN", "Approx cheap", "TAESD"),
            info="Full is exact and slow; Approx cheap costs nothing",
        ),
        check(
            "live_preview_allow_lowvram_full", False, "Allow Full live preview method with lowvram/medvram"
        ),
        radio(
            "live_preview_content",
            "Prompt",
            "Live preview subject",
            ("Combined", "Prompt", "Negative prompt"),
        ),
        number(
            "live_preview_refresh_period", 1000, "Progressbar and preview update period", info="milliseconds"
        ),
        check(
            "live_preview_fast_interrupt", False, "Return image with chosen live preview method on interrupt"
        ),
        check("js_live_preview_in_modal_lightbox", False, "Show Live preview in full page image viewer"),
        check("prevent_screen_sleep_during_generation", True, "Prevent screen sleep during generation"),
    ),
)

SETTINGS_IN_UI = Group(
    Section("settings_in_ui", "Settings in UI", "ui"),
    (
        DisplayText(
            "settings_in_ui",
            "Settings chosen here also appear in the tabs txt2img and img2img, "
            "where they apply to the next picture without being stored.",
        ),
        multi("extra_options_txt2img", (), "Settings for txt2img", "setting_keys", reload_ui=True),
        multi("extra_options_img2img", (), "Settings for img2img", "setting_keys", reload_ui=True),
        slider("extra_options_cols", 1, "Number of columns for added settings", (1, 20, 1), reload_ui=True),
        check("extra_options_accordion", False, "Place added settings into an accordion", reload_ui=True),
    ),
    source="extra-options-section",
)
