"""The whole page: quick settings, tabs, footer, and what happens when a browser opens it."""

from __future__ import annotations

import html
import logging
from collections.abc import Sequence
from typing import Any

from modules.errors import EaselError
from modules.ui.components import JS_EVENT, QUIET_EVENT, PageDefaults
from modules.ui.gradio_setup import load_gradio
from modules.ui.img2img import create_img2img
from modules.ui.pnginfo import create_pnginfo
from modules.ui.quicksettings import (
    CHECKPOINT,
    RECEIVE,
    QuickSettings,
    checkpoint_updates,
    connect_checkpoint,
    connect_others,
    create_quicksettings,
)
from modules.ui.services import PageServices
from modules.ui.setting_inputs import settings_json
from modules.ui.setting_services import SettingsSection
from modules.ui.settings import SettingsTab, create_settings
from modules.ui.txt2img import create_txt2img

_log = logging.getLogger(__name__)

HINT = "Ctrl+Enter: generate · Esc: interrupt · Alt+Enter: skip"


CACHE_SECONDS = (3600, 86400)
"""How often copies of unsaved pictures are looked for, and the age at which they are removed."""


def create_page(services: PageServices, *, title: str = "Easel") -> Any:
    """Build the page as ``gr.Blocks``; imports Gradio, so call it when the API already answers."""
    gr = load_gradio()
    defaults = PageDefaults(services.defaults())
    sections = services.settings_sections()
    above = list(services.quick_settings())
    rows = {row.key: row for section in sections for row in section.rows}
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True, delete_cache=CACHE_SECONDS) as page:
        quick = create_quicksettings(gr, services, [rows[key] for key in above if key in rows])
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("txt2img", id="txt2img", elem_id="tab_txt2img"):
                txt2img = create_txt2img(gr, services, defaults)
            with gr.Tab("img2img", id="img2img", elem_id="tab_img2img"):
                img2img = create_img2img(gr, services, defaults)
            with gr.Tab("PNG Info", id="pnginfo", elem_id="tab_pnginfo"):
                create_pnginfo(gr, services, {"txt2img": txt2img.target, "img2img": img2img.target})
            with gr.Tab("Settings", id="settings", elem_id="tab_settings"):
                settings = create_settings(gr, services, sections, above, defaults)
        gr.HTML(_footer(services.version), elem_id="footer")
        _connect_settings(gr, services, quick, settings)
        _connect_load(
            gr,
            page,
            services,
            quick=quick,
            settings=settings,
            styles=[txt2img.top.styles, img2img.top.styles],
        )
    _write_missing_defaults(services, defaults)
    page.queue(default_concurrency_limit=None, api_open=False)
    return page


def _connect_settings(gr: Any, services: PageServices, quick: QuickSettings, settings: SettingsTab) -> None:
    listed = settings.inputs.get(CHECKPOINT)
    checkpoint = quick.checkpoint or (listed.component if listed else None)
    if checkpoint is not None:
        connect_checkpoint(gr, services, quick, checkpoint, settings.json_text)
    connect_others(gr, services, quick, settings.json_text)


def _connect_load(
    gr: Any,
    page: Any,
    services: PageServices,
    *,
    quick: QuickSettings,
    settings: SettingsTab,
    styles: Sequence[Any],
) -> None:
    """The page is built once; lists that change since are read again when a browser opens it."""
    built = settings.shown_values()
    outputs = [*filter(None, [quick.checkpoint]), quick.notice, *styles, settings.json_text]

    def refresh() -> list[Any]:
        checkpoint = checkpoint_updates(gr, services.checkpoints)
        stale = values_of(services.settings_sections(), list(built)) != built
        return [
            *(checkpoint if quick.checkpoint is not None else checkpoint[1:]),
            *(gr.update(choices=list(services.style_names())) for _ in styles),
            settings_json(services, _page_is_older=stale),
        ]

    page.load(fn=None, js="() => { uiMounted(); }", **JS_EVENT)
    page.load(refresh, None, outputs, queue=False, show_progress="hidden", **QUIET_EVENT).then(
        fn=None, inputs=outputs[-1:], js=RECEIVE, **JS_EVENT
    )


def values_of(sections: Sequence[SettingsSection], keys: Sequence[str]) -> dict[str, Any]:
    """The present values of some settings."""
    values = {row.key: row.value for section in sections for row in section.rows}
    return {key: values.get(key) for key in keys}


def _write_missing_defaults(services: PageServices, defaults: PageDefaults) -> None:
    """Let ui-config.json name everything that can be changed there. A file that cannot be read stays."""
    missing = defaults.missing()
    if not missing:
        return
    try:
        services.save_defaults(missing)
    except EaselError as error:
        _log.warning("%s", error)


def _footer(version: str) -> str:
    return f"<span>Easel {html.escape(version)}</span><span>{html.escape(HINT)}</span>"
