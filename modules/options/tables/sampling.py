"""Samplers, noise schedules, speed of sampling, reproduction of old pictures."""

from __future__ import annotations

from modules.options.tables.row import Group, Section, check, checks, dropdown, number, radio, slider

OPTIMIZATIONS = Group(
    Section("optimizations", "Optimizations", "sd"),
    (
        dropdown(
            "cross_attention_optimization",
            "Automatic",
            "Cross attention optimization",
            "attention_optimizations",
        ),
        slider(
            "s_min_uncond",
            0.0,
            "Negative Guidance minimum sigma",
            (0.0, 15.0, 0.01),
            infotext="NGMS",
            info="below this noise level every second step goes without the negative prompt; 0 never",
        ),
        check(
            "s_min_uncond_all",
            False,
            "Negative Guidance minimum sigma all steps",
            infotext="NGMS all steps",
            info="every step instead of every second",
        ),
        slider(
            "token_merging_ratio",
            0.0,
            "Token merging ratio",
            (0.0, 0.9, 0.1),
            infotext="Token merging ratio",
            info="faster and less exact; 0 switches it off",
        ),
        slider(
            "token_merging_ratio_img2img",
            0.0,
            "Token merging ratio for img2img",
            (0.0, 0.9, 0.1),
            info="0 takes the value above",
        ),
        slider(
            "token_merging_ratio_hr",
            0.0,
            "Token merging ratio for high-res pass",
            (0.0, 0.9, 0.1),
            infotext="Token merging ratio hr",
            info="0 takes the value above",
        ),
        check(
            "pad_cond_uncond",
            False,
            "Pad prompt/negative prompt",
            infotext="Pad conds",
            info="lets prompts of unequal length share one pass",
        ),
        check("pad_cond_uncond_v0", False, "Pad prompt/negative prompt (v0)", infotext="Pad conds v0"),
        check(
            "persistent_cond_cache",
            True,
            "Persistent cond cache",
            info="keeps the encoded prompt between jobs",
        ),
        check(
            "batch_cond_uncond",
            True,
            "Batch cond/uncond",
            info="one pass for both prompts; needs more memory",
        ),
        radio("fp8_storage", "Disable", "FP8 weight", ("Disable", "Enable for SDXL", "Enable")),
        check("cache_fp16_weight", False, "Cache FP16 weight for LoRA"),
    ),
)

COMPATIBILITY = Group(
    Section("compatibility", "Compatibility", "sd"),
    (
        check(
            "auto_backcompat",
            True,
            "Automatic backward compatibility",
            info="a pasted text of an older version switches that version's behaviour on",
        ),
        check(
            "use_old_emphasis_implementation",
            False,
            "Use old emphasis implementation. Can be useful to reproduce old seeds.",
        ),
        check("use_old_karras_scheduler_sigmas", False, "Use old karras scheduler sigmas (0.1 to 10)."),
        check(
            "no_dpmpp_sde_batch_determinism",
            False,
            "Do not make DPM++ SDE deterministic across different batch sizes.",
        ),
        check(
            "use_old_hires_fix_width_height",
            False,
            "For hires fix, use width/height sliders to set final resolution rather than "
            "first pass (disables Upscale by, Resize width/height to).",
        ),
        check(
            "hires_fix_use_firstpass_conds",
            False,
            "For hires fix, calculate conds of second pass using extra networks of first pass.",
        ),
        check(
            "use_old_scheduling",
            False,
            "Use old prompt editing timelines.",
            infotext="Old prompt editing timelines",
        ),
        check(
            "use_downcasted_alpha_bar",
            False,
            "Downcast model alphas_cumprod to fp16 before sampling. For reproducing old seeds.",
            infotext="Downcast alphas_cumprod",
        ),
        check(
            "refiner_switch_by_sample_steps",
            False,
            "Switch to refiner by sampling steps instead of model timesteps. Old behavior for refiner.",
            infotext="Refiner switch by sampling steps",
        ),
    ),
)

SAMPLER_PARAMS = Group(
    Section("sampler-params", "Sampler parameters", "sd"),
    (
        checks(
            "hide_samplers",
            (),
            "Hide samplers in user interface",
            "samplers",
            reload_ui=True,
            info="they stay available to other programs",
        ),
        slider(
            "eta_ddim",
            0.0,
            "Eta for DDIM",
            (0.0, 1.0, 0.01),
            infotext="Eta DDIM",
            info="noise added in each step of DDIM; 0 adds none",
        ),
        slider(
            "eta_ancestral",
            1.0,
            "Eta for k-diffusion samplers",
            (0.0, 1.0, 0.01),
            infotext="Eta",
            info="noise added in each step of the ancestral samplers; 0 adds none",
        ),
        radio("ddim_discretize", "uniform", "img2img DDIM discretize", ("uniform", "quad")),
        slider(
            "s_churn",
            0.0,
            "sigma churn",
            (0.0, 100.0, 0.01),
            infotext="Sigma churn",
            info="Euler, Heun, DPM2 only",
        ),
        slider("s_tmin", 0.0, "sigma tmin", (0.0, 10.0, 0.01), infotext="Sigma tmin"),
        slider(
            "s_tmax",
            0.0,
            "sigma tmax",
            (0.0, 999.0, 0.01),
            infotext="Sigma tmax",
            info="0 means without limit",
        ),
        slider("s_noise", 1.0, "sigma noise", (0.0, 1.1, 0.001), infotext="Sigma noise"),
        number(
            "sigma_min",
            0.0,
            "sigma min",
            infotext="Schedule min sigma",
            info="0 takes the value of the model",
        ),
        number(
            "sigma_max",
            0.0,
            "sigma max",
            infotext="Schedule max sigma",
            info="0 takes the value of the model",
        ),
        number("rho", 0.0, "rho", infotext="Schedule rho", info="0 takes the value of the schedule"),
        number(
            "eta_noise_seed_delta",
            0,
            "Eta noise seed delta",
            precision=0,
            infotext="ENSD",
            info="added to the seed of the noise of the steps; 31337 reproduces pictures of another program",
        ),
        check(
            "always_discard_next_to_last_sigma",
            False,
            "Always discard next-to-last sigma",
            infotext="Discard penultimate sigma",
        ),
        check("sgm_noise_multiplier", False, "SGM noise multiplier", infotext="SGM noise multiplier"),
        radio(
            "uni_pc_variant", "bh1", "UniPC variant", ("bh1", "bh2", "vary_coeff"), infotext="UniPC variant"
        ),
        radio(
            "uni_pc_skip_type",
            "time_uniform",
            "UniPC skip type",
            ("time_uniform", "time_quadratic", "logSNR"),
            infotext="UniPC skip type",
        ),
        slider(
            "uni_pc_order",
            3,
            "UniPC order",
            (1, 50, 1),
            infotext="UniPC order",
            info="must be below the number of steps",
        ),
        check(
            "uni_pc_lower_order_final", True, "UniPC lower order final", infotext="UniPC lower order final"
        ),
        radio(
            "sd_noise_schedule",
            "Default",
            "Noise schedule for sampling",
            ("Default", "Zero Terminal SNR"),
            infotext="Noise Schedule",
            info="for models trained down to pure noise",
        ),
        slider(
            "skip_early_cond",
            0.0,
            "Ignore negative prompt during early sampling",
            (0.0, 1.0, 0.01),
            infotext="Skip Early CFG",
            info="part of all steps, from the first; faster",
        ),
        slider(
            "beta_dist_alpha",
            0.6,
            "Beta scheduler - alpha",
            (0.01, 1.0, 0.01),
            infotext="Beta scheduler alpha",
        ),
        slider(
            "beta_dist_beta", 0.6, "Beta scheduler - beta", (0.01, 1.0, 0.01), infotext="Beta scheduler beta"
        ),
    ),
)

COMPATIBILITY_LORA = Group(
    Section("compatibility", "Compatibility", "sd"),
    (
        check(
            "lora_functional",
            False,
            "Lora/Networks: use old method that takes longer when you have multiple Loras "
            "active and produces same results as kohya-ss/sd-webui-additional-networks "
            "extension",
            info="only for pictures made with that extension",
        ),
    ),
    source="Lora",
)
