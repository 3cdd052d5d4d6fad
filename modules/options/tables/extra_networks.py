"""Cards and tags of networks that change the model."""

from __future__ import annotations

from modules.options.tables.row import Group, Section, check, checks, dropdown, number, radio, slider, text

EXTRA_NETWORKS = Group(
    Section("extra_networks", "Extra Networks", "sd"),
    (
        check("extra_networks_show_hidden_directories", True, "Show hidden directories"),
        check("extra_networks_dir_button_function", False, "Add a '/' to the beginning of directory buttons"),
        radio(
            "extra_networks_hidden_models",
            "When searched",
            "Show cards for models in hidden directories",
            ("Always", "When searched", "Never"),
        ),
        slider(
            "extra_networks_default_multiplier",
            1.0,
            "Default multiplier for extra networks",
            (0.0, 2.0, 0.01),
            info="written into the tag when a card is clicked",
        ),
        number(
            "extra_networks_card_width",
            0,
            "Card width for Extra Networks",
            info="pixels; 0 takes the default",
        ),
        number(
            "extra_networks_card_height",
            0,
            "Card height for Extra Networks",
            info="pixels; 0 takes the default",
        ),
        slider("extra_networks_card_text_scale", 1.0, "Card text scale", (0.0, 2.0, 0.01)),
        check("extra_networks_card_show_desc", True, "Show description on card"),
        check(
            "extra_networks_card_description_is_html",
            False,
            "Treat card description as HTML",
            info="descriptions come from files of others: leave this off unless you trust them",
        ),
        dropdown(
            "extra_networks_card_order_field",
            "Path",
            "Default order field for Extra Networks cards",
            ("Path", "Name", "Date Created", "Date Modified"),
            reload_ui=True,
        ),
        dropdown(
            "extra_networks_card_order",
            "Ascending",
            "Default order for Extra Networks cards",
            ("Ascending", "Descending"),
            reload_ui=True,
        ),
        radio(
            "extra_networks_tree_view_style",
            "Dirs",
            "Extra Networks directory view style",
            ("Tree", "Dirs"),
            reload_ui=True,
        ),
        check(
            "extra_networks_tree_view_default_enabled",
            True,
            "Show the Extra Networks directory view by default",
            reload_ui=True,
        ),
        number(
            "extra_networks_tree_view_default_width",
            180,
            "Default width for the Extra Networks directory tree view",
            reload_ui=True,
        ),
        text(
            "extra_networks_add_text_separator",
            " ",
            "Extra networks separator",
            info="put between the prompt and a new tag",
        ),
        text("ui_extra_networks_tab_reorder", "", "Extra networks tab order", reload_ui=True),
        check(
            "textual_inversion_print_at_load",
            False,
            "Print a list of Textual Inversion embeddings when loading model",
        ),
        check("textual_inversion_add_hashes_to_infotext", True, "Add Textual Inversion hashes to infotext"),
        dropdown("sd_hypernetwork", "None", "Add hypernetwork to prompt", "hypernetworks", refresh=True),
    ),
)

EXTRA_NETWORKS_LORA = Group(
    Section("extra_networks", "Extra Networks", "sd"),
    (
        dropdown("sd_lora", "None", "Add network to prompt", "loras", refresh=True),
        radio(
            "lora_preferred_name",
            "Alias from file",
            "When adding to prompt, refer to Lora by",
            ("Alias from file", "Filename"),
        ),
        check("lora_add_hashes_to_infotext", True, "Add Lora hashes to infotext"),
        check(
            "lora_bundled_ti_to_infotext", True, "Add Lora name as TI hashes for bundled Textual Inversion"
        ),
        check("lora_show_all", False, "Always show all networks on the Lora page"),
        checks(
            "lora_hide_unknown_for_versions",
            (),
            "Hide networks of unknown versions for model versions",
            ("SD1", "SD2", "SDXL"),
        ),
        number(
            "lora_in_memory_limit",
            0,
            "Number of Lora networks to keep cached in memory",
            precision=0,
            info="0 keeps none",
        ),
        check("lora_not_found_warning_console", False, "Lora not found warning in console"),
        check("lora_not_found_gradio_warning", False, "Lora not found warning popup in webui"),
    ),
    source="Lora",
)
