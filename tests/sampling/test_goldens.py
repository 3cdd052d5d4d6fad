"""From a prompt to the latent of the reference, through the real checkpoints, encoders and networks."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from modules.checkpoints.catalogue import CheckpointInfo
from modules.checkpoints.loading import load_model
from modules.checkpoints.model import DiffusionModel
from modules.devices.policy import DevicePolicy
from modules.prompts.comments import strip_comments
from modules.prompts.conditioning import Pass, PromptConditioner
from modules.prompts.text_options import TextOptions
from modules.sampling.guidance import LatentBlend
from modules.sampling.monitor import NullMonitor
from modules.sampling.noise import ImageNoise
from modules.sampling.planning import SamplingPlan
from modules.sampling.run import SamplingResult, sample_img2img, sample_txt2img
from modules.sampling.samplers import find_sampler, resolve_sampler_names
from modules.sampling.settings import SamplerSettings
from tests.paths import GOLDENS, HAVE_GOLDENS

pytestmark = pytest.mark.skipif(not HAVE_GOLDENS, reason="the reference data is not beside the checkout")

# Tags of cases that need a room above this one (networks, a second model, scripts, pixels).
ELSEWHERE = {
    "hires",
    "refiner",
    "lora",
    "embedding",
    "hypernetwork",
    "script",
    "token-merging",
    "extras",
    "soft-inpainting",
    "tiling",
    "sdxl-refiner",
    "inpaint-full-res",
}
FAST = ("basic-euler", "sampler-", "cfg-", "nv-sde", "eta-ddim", "ensd", "s-churn", "subseed-batch")
# Cases that amplify rounding: the step control of the adaptive sampler, and one prompt and seed where a
# change of the noise by 1e-6 or a second thread moves the latent by 0.04.
AMPLIFIED = {"sampler-dpm-adaptive": 2.0, "override-checkpoint": 0.1}
REQUEST = ("eta", "s_churn", "s_tmin", "s_tmax", "s_noise", "s_min_uncond")


@dataclass(frozen=True)
class View:
    """Settings of a request as attributes."""

    values: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


def read(name: str) -> dict[str, Any]:
    return json.loads((GOLDENS / "cases" / f"{name}.json").read_text(encoding="utf-8"))


def usable(case: dict[str, Any]) -> bool:
    tags = {tag.split(":")[0] for tag in case["features"]}
    request = case["request"]
    return (
        bool(case.get("tensors"))
        and not tags & ELSEWHERE
        and not request.get("styles")
        and "sd_vae" not in request.get("override_settings", {})
        and "<" not in case["info"]["prompt"]
        and "infotext" not in request
    )


def cases() -> list[Any]:
    if not HAVE_GOLDENS:
        return []
    names = sorted(path.stem for path in (GOLDENS / "cases").glob("*.json"))
    chosen = [name for name in names if usable(read(name))]
    return [pytest.param(name, marks=[] if name.startswith(FAST) else [pytest.mark.slow]) for name in chosen]


@lru_cache(maxsize=2)
def model_of(name: str) -> tuple[DiffusionModel, PromptConditioner]:
    folder = GOLDENS / "models" / "Stable-diffusion"
    policy = DevicePolicy(
        device=torch.device("cpu"),
        unet_dtype=torch.float32,
        vae_dtype=torch.float32,
        text_dtype=torch.float32,
        compute_dtype=torch.float32,
        autocast=False,
        upcast_sampling=False,
        check_finite=True,
        attention="Automatic",
    )
    model = load_model(CheckpointInfo.for_file(folder / f"{name}.safetensors", folder), policy)
    return model, PromptConditioner(model)


def text_options(case: dict[str, Any], settings: dict[str, Any]) -> TextOptions:
    request = case["request"]
    return TextOptions(
        emphasis=settings.get("emphasis", "Original"),
        clip_skip=settings.get("CLIP_stop_at_last_layers", 1),
        comma_padding_backtrack=settings.get("comma_padding_backtrack", 20),
        use_old_emphasis=settings.get("use_old_emphasis_implementation", False),
        sdxl_clip_l_skip=settings.get("sdxl_clip_l_skip", False),
        width=request["width"],
        height=request["height"],
        crop_top=settings.get("sdxl_crop_top", 0),
        crop_left=settings.get("sdxl_crop_left", 0),
    )


class Painter:
    """One batch of one case."""

    def __init__(self, name: str) -> None:
        self.case = read(name)
        self.tensors = np.load(GOLDENS / "tensors" / f"{name}.npz")
        self.request = self.case["request"]
        self.settings = self.request.get("override_settings", {})
        checkpoint = self.settings.get("sd_model_checkpoint", self.case["checkpoint"])
        self.model, self.conditioner = model_of(checkpoint.split(" ")[0].removesuffix(".safetensors"))

    def plan(self, batch: slice) -> SamplingPlan:
        names = self.request.get("sampler_name") or self.request.get("sampler_index")
        sampler, scheduler = resolve_sampler_names(names, self.request.get("scheduler"), fold_automatic=False)
        plan = SamplingPlan(
            self.model,
            find_sampler(sampler),
            self.request["steps"],
            self.request["cfg_scale"],
            tuple(self.case["info"]["all_seeds"][batch]),
            scheduler,
            SamplerSettings.from_view(View(self.settings)),
            empty_conditioning=self.empty,
            **{key: self.request.get(key) for key in REQUEST},
        )
        if self.model.spec.is_inpainting:
            plan = replace(plan, image_conditioning=self.image_conditioning(plan))
        if "latent_mask_0" in self.tensors.files:
            mask = torch.from_numpy(self.tensors["latent_mask_0"])
            init = torch.from_numpy(self.tensors["init_latent_0"])
            plan = replace(plan, blend=LatentBlend(mask, 1 - mask, init))
        return plan

    def image_conditioning(self, plan: SamplingPlan) -> torch.Tensor:
        if "image_conditioning_0" in self.tensors.files:
            return torch.from_numpy(self.tensors["image_conditioning_0"])
        pytest.skip("the masked picture of this case is made by the room above")

    def empty(self) -> torch.Tensor:
        schedule = self.conditioner.uncond([""], Pass(1), text_options(self.case, {}))
        return schedule.at(0).crossattn

    def noise(self, plan: SamplingPlan, batch: slice) -> ImageNoise:
        request = self.request
        return ImageNoise(
            (4, request["height"] // 8, request["width"] // 8),
            plan.seeds,
            self.case["info"]["all_subseeds"][batch],
            request.get("subseed_strength", 0.0),
            seed_resize_from_h=request.get("seed_resize_from_h", -1),
            seed_resize_from_w=request.get("seed_resize_from_w", -1),
            source=self.settings.get("randn_source", "CPU"),
            eta_noise_seed_delta=self.settings.get("eta_noise_seed_delta", 0),
        )

    def paint(self, iteration: int) -> SamplingResult:
        size = self.request.get("batch_size", 1)
        batch = slice(iteration * size, (iteration + 1) * size)
        plan = self.plan(batch)
        options = text_options(self.case, self.settings)
        which = Pass(
            plan.sampler.total_steps(plan.steps),
            old_scheduling=self.settings.get("use_old_scheduling", False),
        )
        prompts = [strip_comments(text) for text in self.case["info"]["all_prompts"][batch]]
        negative = [strip_comments(text) for text in self.case["info"]["all_negative_prompts"][batch]]
        cond = self.conditioner.cond(prompts, which, options)
        uncond = self.conditioner.uncond(negative, which, options)
        noise = self.noise(plan, batch)
        if not self.case["endpoint"].endswith("img2img"):
            return sample_txt2img(plan, noise, cond, uncond, NullMonitor())
        result = sample_img2img(
            plan,
            torch.from_numpy(self.tensors["init_latent_0"]),
            noise,
            cond,
            uncond,
            monitor=NullMonitor(),
            denoising_strength=self.request.get("denoising_strength", 0.75),
            noise_multiplier=self.request.get("initial_noise_multiplier", 1.0),
        )
        return replace(result, latent=plan.blend(result.latent)) if plan.blend else result


def check_against(result: SamplingResult, painter: Painter, iteration: int) -> None:
    tensors = painter.tensors
    for key in (f"sigmas_{iteration}", f"timesteps_{iteration}"):
        if key in tensors.files and len(result.levels):
            np.testing.assert_allclose(result.levels, tensors[key], rtol=1e-5)
    expected = tensors[f"latent_{iteration}"]
    # Zero terminal SNR has latents of thousands.
    scale = max(1.0, float(expected.std()) / 3.5)
    tolerance = AMPLIFIED.get(painter.case["name"], 5e-3 * scale)
    np.testing.assert_allclose(result.latent, expected, atol=tolerance, rtol=0)


def check_infotext(result: SamplingResult, case: dict[str, Any]) -> None:
    """Every entry stands in the reference's text, in the same order."""
    line = case["infotexts"][0].split("\n")[-1]
    extra = {key: value for key, value in result.extra.items() if key != "Schedule type"}
    places = [line.find(f", {key}: {value},") for key, value in extra.items()]
    assert -1 not in places, (result.extra, line)
    assert places == sorted(places)
    shown = result.extra.get("Schedule type", "Automatic")
    assert f"Schedule type: {shown}," in line or "Schedule type" not in result.extra


@pytest.mark.parametrize("name", cases())
def test_latent_of_the_reference(name: str) -> None:
    painter = Painter(name)
    last = [key for key in painter.tensors.files if key.startswith("latent_") and "mask" not in key]
    for iteration in range(min(painter.request.get("n_iter", 1), len(last))):
        result = painter.paint(iteration)
        check_against(result, painter, iteration)
        check_infotext(result, painter.case)


@pytest.mark.parametrize("name", ["basic-euler", "sampler-unipc", "sampler-restart", "prompt-and"])
def test_every_step_of_the_reference(name: str) -> None:
    """The input and the guided output of the first twelve model calls."""
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    painter = Painter(name)
    plan = painter.plan

    def watched(batch: slice) -> SamplingPlan:
        made = plan(batch)
        hooks = replace(
            made.hooks,
            before_model=(lambda given: seen.append((given.x, given.sigma, torch.empty(0))),),
            after_guidance=(lambda given: seen.append((*seen.pop()[:2], given.x)),),
        )
        return replace(made, hooks=hooks)

    painter.plan = watched  # type: ignore[method-assign]
    painter.paint(0)
    tensors = painter.tensors
    calls = sum(key.endswith("_denoised") for key in tensors.files)
    assert 0 < calls <= len(seen)
    for call, (x, sigma, denoised) in enumerate(seen[:calls]):
        np.testing.assert_allclose(x, tensors[f"unet{call:02}_x"], atol=5e-3)
        np.testing.assert_allclose(sigma, tensors[f"unet{call:02}_sigma"], rtol=1e-4)
        np.testing.assert_allclose(denoised, tensors[f"unet{call:02}_denoised"], atol=5e-3)
