"""The steps of the program, with the orders of the reference. A new step is one row."""

from __future__ import annotations

from modules.postprocessing import face_steps, focal_crop, training_steps, upscale
from modules.postprocessing.steps import Step

STEPS: tuple[Step, ...] = (
    Step("Upscale", 1000, upscale.DEFAULTS, upscale.process, upscale.announce_size, upscale.check),
    Step("GFPGAN", 2000, face_steps.GFPGAN_DEFAULTS, face_steps.gfpgan, check=face_steps.check_gfpgan),
    Step(
        "CodeFormer",
        3000,
        face_steps.CODEFORMER_DEFAULTS,
        face_steps.codeformer,
        check=face_steps.check_codeformer,
    ),
    Step("Split oversized images", 4000, training_steps.SPLIT_DEFAULTS, training_steps.split_oversized),
    Step("Auto focal point crop", 4010, focal_crop.DEFAULTS, focal_crop.focal_crop),
    Step("Auto-sized crop", 4020, training_steps.AUTOSIZED_DEFAULTS, training_steps.autosized_crop),
    Step("Create flipped copies", 4030, training_steps.FLIP_DEFAULTS, training_steps.flipped_copies),
    Step(
        "Caption",
        4040,
        training_steps.CAPTION_DEFAULTS,
        training_steps.caption,
        check=training_steps.check_caption,
    ),
)
