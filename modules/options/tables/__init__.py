"""All settings of the program, in the order in which they are registered.

One file holds one category (the largest one is spread over three files). The order of ``GROUPS`` decides the
order of the settings inside a page and in ``config.json``; the order of pages is computed from the
categories and the labels of the sections.
"""

from __future__ import annotations

from modules.options.tables import (
    extra_networks,
    postprocessing,
    sampling,
    saving,
    stable_diffusion,
    system,
    training,
    uncategorized,
    user_interface,
)
from modules.options.tables.row import Category, Group

CATEGORIES = (
    Category("saving", "Saving images"),
    Category("sd", "Stable Diffusion"),
    Category("ui", "User Interface"),
    Category("system", "System"),
    Category("postprocessing", "Postprocessing"),
    Category("training", "Training"),
)

GROUPS: tuple[Group, ...] = (
    saving.SAVING_IMAGES,
    saving.SAVING_PATHS,
    saving.SAVING_TO_DIRS,
    postprocessing.UPSCALING,
    postprocessing.FACE_RESTORATION,
    system.SYSTEM,
    system.PROFILER,
    system.API,
    system.CALLBACKS,
    training.TRAINING,
    stable_diffusion.SD,
    stable_diffusion.SDXL,
    stable_diffusion.SD3,
    stable_diffusion.VAE,
    stable_diffusion.IMG2IMG,
    sampling.OPTIMIZATIONS,
    sampling.COMPATIBILITY,
    uncategorized.INTERROGATE,
    extra_networks.EXTRA_NETWORKS,
    user_interface.UI_PROMPT_EDITING,
    user_interface.UI_GALLERY,
    user_interface.UI_ALTERNATIVES,
    user_interface.UI,
    user_interface.INFOTEXT,
    user_interface.LIVE_PREVIEWS,
    sampling.SAMPLER_PARAMS,
    postprocessing.POSTPROCESSING,
    uncategorized.HIDDEN,
    extra_networks.EXTRA_NETWORKS_LORA,
    sampling.COMPATIBILITY_LORA,
    uncategorized.CANVAS_HOTKEY,
    user_interface.SETTINGS_IN_UI,
    stable_diffusion.SD_PROMPT,
    postprocessing.UPSCALING_LDSR,
    postprocessing.UPSCALING_SCUNET,
    postprocessing.UPSCALING_SWINIR,
    uncategorized.HYPERTILE,
)
