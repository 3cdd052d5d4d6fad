"""Callbacks: functions that are told what happens, whichever script is chosen."""

from modules import script_callbacks
from scripts.tutorial_helper import note


def add_settings():
    from modules import shared

    section = ("tutorial", "Tutorial")
    info = shared.OptionInfo("bright", "Mood of the tutorial", section=section).info("any word")
    shared.opts.add_option("tutorial_mood", info)
    note("ui_settings")


def add_routes(demo, app):
    @app.get("/tutorial/hello")
    def hello():
        return {"hello": "world"}

    note("app_started", has_page=demo is not None)


def before_network(params):
    note("cfg_denoiser", step=params.sampling_step, of=params.total_sampling_steps, rows=len(params.x))


def after_network(params):
    note("cfg_denoised", step=params.sampling_step)


def after_guidance(params):
    params.x = params.x * 1.0
    note("cfg_after_cfg", step=params.sampling_step)


def before_saved(params):
    params.pnginfo["tutorial"] = "was here"
    note("before_image_saved", filename=params.filename)


def saved(params):
    note("image_saved", filename=params.filename)


script_callbacks.on_ui_settings(add_settings)
script_callbacks.on_app_started(add_routes)
script_callbacks.on_cfg_denoiser(before_network)
script_callbacks.on_cfg_denoised(after_network)
script_callbacks.on_cfg_after_cfg(after_guidance)
script_callbacks.on_before_image_saved(before_saved)
script_callbacks.on_image_saved(saved)
script_callbacks.on_infotext_pasted(lambda text, params: params.setdefault("Tutorial pasted", "yes"))
script_callbacks.on_script_unloaded(lambda: note("script_unloaded"))
