"""The names of tensors in network files, in the dialects of the trainers, brought to one form.

    kohya-ss, LyCORIS, OneTrainer   lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight
    kohya-ss for SDXL               lora_unet_input_blocks_4_1_proj_in.lora_down.weight
    diffusers with PEFT             unet.down_blocks.0.attentions.0.proj_in.lora_A.weight
    early diffusers                 unet.….attn1.processor.to_q_lora.down.weight
    original layout (SGM)           diffusion_model.input_blocks.4.1.proj_in.lora_down.weight

The one form is (place, module, role): which network, the path of the layer with underscores, and what the
tensor is for its adapter. ``network_targets`` knows the same paths of a loaded model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNET, TE, TE1, TE2 = "unet", "te", "te1", "te2"

PREFIXES: tuple[tuple[str, str], ...] = (
    ("lora_unet_", UNET),
    ("lora_te1_", TE1),
    ("lora_te2_", TE2),
    ("lora_te_", TE),
    ("lycoris_unet_", UNET),
    ("lycoris_te1_", TE1),
    ("lycoris_te2_", TE2),
    ("lycoris_te_", TE),
    ("lycoris_", UNET),
    ("model.diffusion_model.", UNET),
    ("diffusion_model.", UNET),
    ("diffusion_model_", UNET),
    ("unet.", UNET),
    ("text_encoder_2.", TE2),
    ("text_encoder.", TE1),
    ("clip_l.transformer.", TE1),
    ("clip_l.", TE1),
    ("clip_g.transformer.", TE2),
    ("clip_g.", TE2),
    ("conditioner.embedders.0.transformer.", TE1),
    ("conditioner.embedders.1.model.", TE2),
    ("cond_stage_model.transformer.", TE),
    ("cond_stage_model.model.", TE),
)
"""Beginning of a name → place, in the order in which they are tried."""

BARE_UNET = ("down_blocks.", "mid_block.", "up_blocks.", "conv_in.", "conv_out.", "time_embedding.")
"""Beginnings of names without any prefix: attention processors as early diffusers saved them."""

ROLES: tuple[tuple[str, str], ...] = (
    (".lora_down.weight", "down"),
    (".lora_up.weight", "up"),
    (".lora_mid.weight", "mid"),
    (".lora_A.weight", "down"),
    (".lora_B.weight", "up"),
    (".lora_A.default.weight", "down"),
    (".lora_B.default.weight", "up"),
    ("_lora.down.weight", "down"),
    ("_lora.up.weight", "up"),
    (".lora.down.weight", "down"),
    (".lora.up.weight", "up"),
    (".lora_linear_layer.down.weight", "down"),
    (".lora_linear_layer.up.weight", "up"),
    (".lora_magnitude_vector", "dora_scale"),
    (".lora_magnitude_vector.weight", "dora_scale"),
    (".lora_magnitude_vector.default.weight", "dora_scale"),
    *((f".{name}.weight", name) for name in ("a1", "a2", "b1", "b2")),
    *(
        (f".{name}", name)
        for name in (
            *("alpha", "scale", "dora_scale", "rescale", "on_input", "weight"),
            *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
            *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_t1"),
            *("lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
            *("oft_blocks", "oft_diag", "diff", "diff_b", "w_norm", "b_norm"),
            *("bias_indices", "bias_values", "bias_size"),
        )
    ),
)
"""End of a name → role of the tensor. The longest that fits is meant."""

_ROLES = tuple(sorted(ROLES, key=lambda row: len(row[0]), reverse=True))

RESPELLED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"_processor(?=_)"), ""),
    (re.compile(r"self_attn_to_([qkv])$"), r"self_attn_\1_proj"),
    (re.compile(r"self_attn_to_out(_0)?$"), "self_attn_out_proj"),
    (re.compile(r"(attn[12])_to_out$"), r"\1_to_out_0"),
    (re.compile(r"^(?=encoder_layers_|embeddings_|final_layer_norm)"), "text_model_"),
)
"""Spellings of layers that are brought to the usual one."""

_WRAPPERS = ("base_model.model.", "_orig_mod.")


@dataclass(frozen=True)
class TensorName:
    """A tensor of a network file: ``place`` is unet, te, te1 or te2; ``module`` a path with underscores."""

    place: str
    module: str
    role: str


def parse_name(name: str) -> TensorName | None:
    """The meaning of the name of a tensor; None when no dialect has such a name."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    ending = next((row for row in _ROLES if name.endswith(row[0])), None)
    if ending is None:
        return None
    path, role = name[: -len(ending[0])], ending[1]
    place = next(((prefix, place) for prefix, place in PREFIXES if path.startswith(prefix)), None)
    if place is None:
        if not path.startswith(BARE_UNET):
            return None
        place = ("", UNET)
    module = path[len(place[0]) :].replace(".", "_")
    for pattern, replacement in RESPELLED:
        module = pattern.sub(replacement, module)
    return TensorName(place[1], module, role)
