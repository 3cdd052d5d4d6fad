"""The one place where Gradio is imported first: quiet, and without a word to other hosts."""

from __future__ import annotations

import os
from typing import Any

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def load_gradio() -> Any:
    """The ``gradio`` module, with telemetry switched off before its first import (seconds)."""
    for name, value in QUIET.items():
        os.environ[name] = value
    import gradio

    return gradio


def create_theme() -> Any:
    """Colours and spacing of the page. System fonts only: a web font would be a request elsewhere."""
    gr = load_gradio()
    fonts = [gr.themes.Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Consolas", "monospace")]
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        secondary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=fonts,
        font_mono=mono,
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#0f1218",
        background_fill_primary_dark="#171b23",
        background_fill_secondary_dark="#12161d",
        block_background_fill_dark="#171b23",
        block_border_color="*neutral_200",
        block_border_color_dark="#262c38",
        border_color_primary_dark="#262c38",
        input_background_fill="*neutral_50",
        input_background_fill_dark="#10141b",
        input_border_color_dark="#2b3240",
        input_border_width="1px",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="500",
        block_title_text_size="*text_sm",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="*spacing_lg",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="#212734",
        button_secondary_background_fill_hover_dark="#2b3240",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="#2f3747",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )
