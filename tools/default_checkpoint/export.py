"""From a finished run to the files that are shipped, and these in parts that travel."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from modules.checkpoints.network_targets import unet_blocks
from modules.nets.clip_text import CLIPTextModel
from tools.default_checkpoint.scenes import CHALK
from tools.default_checkpoint.stage import Session, load_state
from tools.default_checkpoint.tokens import clip_rows
from tools.default_checkpoint.train_autoencoder import finished_vae
from tools.default_checkpoint.train_diffusion import finished_networks
from tools.default_checkpoint.train_examples import RANK

TITLE = "Easel Picture Book"
CHECKPOINT_FILE = "easel-picture-book.safetensors"
TAESD_FILE = "taesd-easel-picture-book.safetensors"
LORA_FILE = f"easel-{CHALK}.safetensors"
EMBEDDING_FILE = "easel-lime.safetensors"

CLIP_VOCABULARY = 49408
MAX_CHECKPOINT_BYTES = 40_000_000
PART_BYTES = 15 * 1024 * 1024

METADATA: Mapping[str, str] = {
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": "stable-diffusion-v1",
    "modelspec.implementation": "https://github.com/CompVis/stable-diffusion",
    "modelspec.title": TITLE,
    "modelspec.author": "Easel",
    "modelspec.description": "A small model of simple scenes, trained on pictures drawn by a program.",
    "modelspec.license": "Apache-2.0",
    "modelspec.resolution": "256x256",
    "modelspec.prediction_type": "epsilon",
    "format": "pt",
}


def export(session: Session, target: Path) -> dict[str, Path]:
    """Write the checkpoint and whatever of the small files is trained. Returns them by stage.

    Raises ``FileNotFoundError`` without trained networks, ``ValueError`` for a checkpoint over 40 MB.
    """
    target.mkdir(parents=True, exist_ok=True)
    written = {"diffusion": target / CHECKPOINT_FILE}
    _save(checkpoint_tensors(session), written["diffusion"], METADATA)
    size = written["diffusion"].stat().st_size
    if size > MAX_CHECKPOINT_BYTES:
        raise ValueError(f"The checkpoint has {size} bytes; at most {MAX_CHECKPOINT_BYTES} are allowed.")
    for stage, name, write in (
        ("taesd", TAESD_FILE, _write_taesd),
        ("lora", LORA_FILE, _write_lora),
        ("embedding", EMBEDDING_FILE, _write_embedding),
    ):
        if (session.folder / f"{stage}.state.pt").is_file():
            written[stage] = target / name
            write(session, written[stage])
    return written


def checkpoint_tensors(session: Session) -> dict[str, Tensor]:
    """All tensors under the names that SD1 checkpoints give them."""
    unet, text = finished_networks(session)
    parts = {
        "model.diffusion_model.": unet.state_dict(),
        "first_stage_model.": finished_vae(session).state_dict(),
        "cond_stage_model.transformer.": _full_text(text),
    }
    return {prefix + name: tensor for prefix, part in parts.items() for name, tensor in part.items()}


def _full_text(text: CLIPTextModel) -> dict[str, Tensor]:
    """The text tower with one row for each token of CLIP; tokens that no caption uses are zero."""
    state = text.state_dict()
    name = "text_model.embeddings.token_embedding.weight"
    table = torch.zeros(CLIP_VOCABULARY, state[name].shape[1])
    for row, clip in enumerate(clip_rows()):
        if clip >= 0:
            table[clip] = state[name][row].cpu()
    return {**state, name: table}


def _write_taesd(session: Session, path: Path) -> None:
    _save(load_state(session, "taesd")["decoder"], path, {"modelspec.title": f"{TITLE}: small decoder"})


def _write_lora(session: Session, path: Path) -> None:
    factors = load_state(session, "lora")["factors"]
    names = dict(unet_blocks(session.preset.measures.unet))
    tensors: dict[str, Tensor] = {}
    for key, tensor in factors.items():
        number, _, path_here = key.partition(".")
        module = f"lora_unet_{_diffusers_path(path_here.replace('/', '.'), names).replace('.', '_')}"
        is_conv = module.endswith(("proj_in", "proj_out"))
        tensors[f"{module}.lora_{'down' if number == '0' else 'up'}.weight"] = (
            tensor[:, :, None, None] if is_conv else tensor
        )
        tensors[f"{module}.alpha"] = torch.tensor(float(RANK))
    tags = {CHALK: {f"{CHALK} drawing": 1}}
    _save(
        tensors,
        path,
        {
            "ss_base_model_version": "sd_v1",
            "ss_network_module": "networks.lora",
            "ss_network_dim": str(RANK),
            "ss_network_alpha": str(RANK),
            "ss_sd_model_name": CHECKPOINT_FILE,
            "ss_tag_frequency": json.dumps(tags),
            "modelspec.title": f"{TITLE}: {CHALK}",
        },
    )


def _diffusers_path(path: str, names: Mapping[str, str]) -> str:
    """The name that trainers give to a layer of the UNet."""
    block = next(here for here in names if path.startswith(f"{here}."))
    return names[block] + path[len(block) :]


def _write_embedding(session: Session, path: Path) -> None:
    vector = load_state(session, "embedding")["vector"]
    _save({"emb_params": vector[None]}, path, {"modelspec.title": f"{TITLE}: the colour lime"})


def _save(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    halves = {name: tensor.detach().cpu().half().contiguous() for name, tensor in tensors.items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in halves.values()):
        raise ValueError(f"{path.name} would hold values that 16 bits cannot.")
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(_as_safetensors(halves, metadata))
    temporary.replace(path)


def _as_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The format as ``modules.checkpoints.header`` describes it; the header is filled up to 8 bytes."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    data = bytearray()
    for name, tensor in tensors.items():
        raw = tensor.numpy().tobytes()
        header[name] = {
            "dtype": "F16",
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(data)


def split(path: Path, target: Path, part_bytes: int = PART_BYTES) -> list[Path]:
    """Cut a file into numbered parts and write its SHA-256 beside them."""
    target.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    parts = []
    for number, start in enumerate(range(0, len(content), part_bytes)):
        parts.append(target / f"{path.name}.part{number:02}")
        parts[-1].write_bytes(content[start : start + part_bytes])
    (target / f"{path.name}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}\n")
    return parts


def join(folder: Path, name: str, target: Path) -> Path:
    """Put the parts of ``name`` together again. Raises ``ValueError`` when the result is not the same."""
    content = b"".join(part.read_bytes() for part in sorted(folder.glob(f"{name}.part*")))
    expected = (folder / f"{name}.sha256").read_text().strip()
    if hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(f"The parts of {name} in {folder} are damaged or not complete: fetch them again.")
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_bytes(content)
    return target / name
