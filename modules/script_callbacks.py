"""Functions that extensions register to be told what happens. The whole contract of callbacks is this file.

``on_<event>(function, name=...)`` registers, ``<event>_callback(...)`` calls everybody who did. An error
in a registered function is told with the name of its extension, and the others are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from modules.extensions.callbacks import CALLBACKS, ScriptCallback, calling_file
from modules.extensions.current import HOST
from modules.extensions.params import (
    AfterCFGCallbackParams,
    BeforeTokenCounterParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    ExtraNoiseParams,
    ImageGridLoopParams,
    ImageSaveParams,
    UiTrainTabParams,
)

__all__ = [
    "CALLBACKS",
    "AfterCFGCallbackParams",
    "BeforeTokenCounterParams",
    "CFGDenoisedParams",
    "CFGDenoiserParams",
    "ExtraNoiseParams",
    "ImageGridLoopParams",
    "ImageSaveParams",
    "ScriptCallback",
    "UiTrainTabParams",
]

_registry = HOST.callbacks
callback_map = _registry.callback_map
ordered_callbacks_map = _registry.ordered_by_category


def report_exception(c: ScriptCallback, job: str) -> None:
    """Tell the error that is being handled, with the extension of ``c`` and the name of the event."""
    HOST.report(c.script, job)


def add_callback(
    callbacks: list[ScriptCallback],
    fun: Any,
    *,
    name: str | None = None,
    category: str = "unknown",
    filename: str | None = None,
) -> None:
    """Append ``fun`` to a list of callbacks under a name that is unique there."""
    _registry.add(callbacks, fun, name=name, category=category, filename=filename or calling_file())


def sort_callbacks(
    category: str, unordered_callbacks: Iterable[ScriptCallback], *, enable_user_sort: bool = True
) -> list[ScriptCallback]:
    """Sort by the metadata.ini files, then by the setting of the category."""
    return _registry.sort(category, unordered_callbacks, enable_user_sort=enable_user_sort)


def ordered_callbacks(
    category: str,
    unordered_callbacks: Iterable[ScriptCallback] | None = None,
    *,
    enable_user_sort: bool = True,
) -> list[ScriptCallback]:
    """The callbacks of a category as they are called."""
    return _registry.ordered(category, unordered_callbacks, enable_user_sort=enable_user_sort)


def enumerate_callbacks() -> Any:
    """(category, callbacks) of every category."""
    for key, callbacks in callback_map.items():
        yield key.removeprefix("callbacks_"), callbacks


def clear_callbacks() -> None:
    """Forget all registrations."""
    _registry.clear()


def remove_current_script_callbacks() -> None:
    """Forget what the calling file registered."""
    _registry.remove_of_file(calling_file())


def remove_callbacks_for_function(callback_func: Callable[..., Any]) -> None:
    """Forget every registration of a function."""
    _registry.remove_function(callback_func)


def on_app_started(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(demo, app)`` when the web application exists; ``demo``: the page or ``None``."""
    _registry.register("app_started", callback, name=name)


def app_started_callback(demo: Any, app: Any) -> None:
    """Call everybody who registered with ``on_app_started``."""
    _registry.call("app_started", demo, app)


def on_before_reload(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback()`` when the page is about to be built anew."""
    _registry.register("on_reload", callback, name=name)


def app_reload_callback() -> None:
    """Call everybody who registered with ``on_before_reload``."""
    _registry.call("on_reload")


def on_model_loaded(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(sd_model)`` when a checkpoint or VAE was loaded."""
    _registry.register("model_loaded", callback, name=name)


def model_loaded_callback(sd_model: Any) -> None:
    """Call everybody who registered with ``on_model_loaded``."""
    _registry.call("model_loaded", sd_model)


def on_ui_tabs(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback()`` when the tabs are put together; returns a list of (blocks, title, element id)."""
    _registry.register("ui_tabs", callback, name=name)


def ui_tabs_callback() -> list[Any]:
    """All tabs of all extensions."""
    return [tab for tabs in _registry.call("ui_tabs") for tab in tabs or []]


def on_ui_train_tabs(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when the tabs of Train are put together."""
    _registry.register("ui_train_tabs", callback, name=name)


def ui_train_tabs_callback(params: UiTrainTabParams) -> None:
    """Call everybody who registered with ``on_ui_train_tabs``."""
    _registry.call("ui_train_tabs", params)


def on_ui_settings(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback()`` when settings can be added, with ``shared.opts.add_option``."""
    _registry.register("ui_settings", callback, name=name)


def ui_settings_callback() -> None:
    """Call those that were not called yet."""
    HOST.register_settings()


def on_before_image_saved(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when a picture is about to be saved and may be replaced."""
    _registry.register("before_image_saved", callback, name=name)


def before_image_saved_callback(params: ImageSaveParams) -> None:
    """Call everybody who registered with ``on_before_image_saved``."""
    _registry.call("before_image_saved", params)


def on_image_saved(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when a picture was saved."""
    _registry.register("image_saved", callback, name=name)


def image_saved_callback(params: ImageSaveParams) -> None:
    """Call everybody who registered with ``on_image_saved``."""
    _registry.call("image_saved", params)


def on_extra_noise(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when extra noise of img2img is about to be added."""
    _registry.register("extra_noise", callback, name=name)


def extra_noise_callback(params: ExtraNoiseParams) -> None:
    """Call everybody who registered with ``on_extra_noise``."""
    _registry.call("extra_noise", params)


def on_cfg_denoiser(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when the network is about to be called."""
    _registry.register("cfg_denoiser", callback, name=name)


def cfg_denoiser_callback(params: CFGDenoiserParams) -> None:
    """Call everybody who registered with ``on_cfg_denoiser``."""
    _registry.call("cfg_denoiser", params)


def on_cfg_denoised(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when the network was called, guidance comes next."""
    _registry.register("cfg_denoised", callback, name=name)


def cfg_denoised_callback(params: CFGDenoisedParams) -> None:
    """Call everybody who registered with ``on_cfg_denoised``."""
    _registry.call("cfg_denoised", params)


def on_cfg_after_cfg(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when guidance is done."""
    _registry.register("cfg_after_cfg", callback, name=name)


def cfg_after_cfg_callback(params: AfterCFGCallbackParams) -> None:
    """Call everybody who registered with ``on_cfg_after_cfg``."""
    _registry.call("cfg_after_cfg", params)


def on_before_component(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(component, **kwargs)`` when a component of the page is about to be made."""
    _registry.register("before_component", callback, name=name)


def before_component_callback(component: Any, **kwargs: Any) -> None:
    """Call everybody who registered with ``on_before_component``."""
    _registry.call("before_component", component, **kwargs)


def on_after_component(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(component, **kwargs)`` when a component of the page was made."""
    _registry.register("after_component", callback, name=name)


def after_component_callback(component: Any, **kwargs: Any) -> None:
    """Call everybody who registered with ``on_after_component``."""
    _registry.call("after_component", component, **kwargs)


def on_image_grid(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when a grid is about to be drawn."""
    _registry.register("image_grid", callback, name=name)


def image_grid_callback(params: ImageGridLoopParams) -> None:
    """Call everybody who registered with ``on_image_grid``."""
    _registry.call("image_grid", params)


def on_infotext_pasted(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(infotext, params)`` when a generation text was read; the dict may be changed."""
    _registry.register("infotext_pasted", callback, name=name)


def infotext_pasted_callback(infotext: str, params: dict[str, Any]) -> None:
    """Call everybody who registered with ``on_infotext_pasted``."""
    _registry.call("infotext_pasted", infotext, params)


def on_script_unloaded(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback()`` when scripts are forgotten; last registered first."""
    _registry.register("script_unloaded", callback, name=name)


def script_unloaded_callback() -> None:
    """Call everybody who registered with ``on_script_unloaded``."""
    _registry.call("script_unloaded")


def on_before_ui(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback()`` when the page is about to be built; last registered first."""
    _registry.register("before_ui", callback, name=name)


def before_ui_callback() -> None:
    """Call everybody who registered with ``on_before_ui``."""
    _registry.call("before_ui")


def on_list_optimizers(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback()`` when ways to compute attention are listed: append to the list that is given."""
    _registry.register("list_optimizers", callback, name=name)


def list_optimizers_callback() -> list[Any]:
    """What everybody appended."""
    found: list[Any] = []
    _registry.call("list_optimizers", found)
    return found


def on_list_unets(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback()`` when replacements of the network are listed: append to the list that is given."""
    _registry.register("list_unets", callback, name=name)


def list_unets_callback() -> list[Any]:
    """What everybody appended."""
    found: list[Any] = []
    _registry.call("list_unets", found)
    return found


def on_before_token_counter(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Call ``callback(params)`` when tokens of a prompt are about to be counted."""
    _registry.register("before_token_counter", callback, name=name)


def before_token_counter_callback(params: BeforeTokenCounterParams) -> None:
    """Call everybody who registered with ``on_before_token_counter``."""
    _registry.call("before_token_counter", params)
