"""Faces found by facexlib's detector, restored by a network that spandrel reads, pasted back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from modules.checkpoints.pickles import load_pickle
from modules.checkpoints.tensor_file import open_safetensors
from modules.errors import ModelFileError, NonFiniteError
from modules.faces.alignment import Bytes, Floats, cut_face, face_matrix, paste_face, soft_mask
from modules.faces.registry import FaceFiles

if TYPE_CHECKING:
    from modules.devices.policy import DevicePolicy

DETECTION_SIDE = 640
"""Shorter side of the picture that is searched for faces, in pixels."""

CONFIDENCE = 0.97
SMALLEST_EYE_DISTANCE = 5
"""Faces whose eyes are nearer, in pixels, are too small or seen from the side."""


class FaceWorker:
    """Keeps the networks of one restorer. One call at a time."""

    def __init__(self, policy: Callable[[], DevicePolicy] | None, prepare: Callable[[], None]) -> None:
        self._policy = policy
        self._prepare = prepare
        self._files: FaceFiles | None = None
        self._networks: FaceNetworks | None = None

    def restore(
        self, image: Image.Image, files: FaceFiles, weight: float | None, check: Callable[[], None]
    ) -> Image.Image:
        """See ``FaceRestorers.restore``."""
        if self._files != files or self._networks is None:
            self._files = self._networks = None
            self._prepare()
            # Both restorers lose faces in 16-bit numbers, so float32 is kept.
            self._networks = load_networks(files, self._device())
            self._files = files
        return restore_faces(image, self._networks, weight, check)

    def _device(self) -> torch.device:
        if self._policy is None:
            return torch.device("cpu")
        policy = self._policy()
        names = {policy.device_for("gfpgan"), policy.device_for("codeformer")}
        return torch.device("cpu") if torch.device("cpu") in names else policy.device


@dataclasses.dataclass(frozen=True)
class FaceNetworks:
    """``detect``: BGR picture [H, W, 3] to rows [n, 15]: box, score, five landmarks.

    ``parse``: face [1, 3, 512, 512] in -1..1 to classes [512, 512]. ``repair``: face and weight to face, both
    in -1..1, RGB.
    """

    detect: Callable[[Bytes], Floats]
    parse: Callable[[Tensor], NDArray[np.int64]]
    repair: Callable[[Tensor, float | None], Tensor]
    device: torch.device


def restore_faces(
    image: Image.Image, networks: FaceNetworks, weight: float | None, check: Callable[[], None]
) -> Image.Image:
    """Every face of ``image`` restored and pasted back."""
    pixels: Bytes = np.ascontiguousarray(np.asarray(image.convert("RGB")))
    result = pixels
    for landmarks in find_landmarks(pixels, networks.detect):
        check()
        matrix = face_matrix(landmarks)
        face = _to_tensor(cut_face(pixels, matrix)).to(networks.device)
        restored = networks.repair(face, weight)
        if not torch.isfinite(restored).all():
            raise NonFiniteError(
                "The face restorer gives NaN or infinity for a face. Its file is probably damaged; "
                "download it again or choose another restorer."
            )
        restored = restored.clamp(-1, 1)
        mask = soft_mask(networks.parse(restored))
        result = paste_face(result, _to_pixels(restored), mask, matrix)
    return Image.fromarray(result)


def find_landmarks(pixels: Bytes, detect: Callable[[Bytes], Floats]) -> list[Floats]:
    """Landmarks [5, 2] of every face that is large enough, in pixels of the picture."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(height, width) / DETECTION_SIDE
    size = max(1, int(width / scale)), max(1, int(height / scale))
    small: Any = cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4)
    rows = detect(np.ascontiguousarray(small[:, :, ::-1])) * scale
    points = [np.asarray(row[5:15], dtype=np.float64).reshape(5, 2) for row in rows]
    return [one for one in points if np.linalg.norm(one[0] - one[1]) >= SMALLEST_EYE_DISTANCE]


def _to_tensor(face: Bytes) -> Tensor:
    return torch.from_numpy(face).permute(2, 0, 1)[None].float() / 127.5 - 1


def _to_pixels(face: Tensor) -> Bytes:
    scaled = ((face[0] + 1) * 127.5).round().clamp(0, 255).byte()
    return np.ascontiguousarray(scaled.permute(1, 2, 0).cpu().numpy())


def load_networks(files: FaceFiles, device: torch.device) -> FaceNetworks:
    """Read all three networks by the safe route. Raises ``ModelFileError``."""
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.parsing.parsenet import ParseNet

    detector = RetinaFace(network_name="resnet50", half=False, device=device)
    _fill(detector, files.detector, device)
    parser = ParseNet(in_size=512, out_size=512, parsing_ch=19)
    _fill(parser, files.parser, device)
    network = _read_restorer(files.network).to(device).eval()
    takes_weight = "codeformer" in type(network).__name__.lower()

    @torch.inference_mode()
    def detect(pixels: Bytes) -> Floats:
        return np.asarray(detector.detect_faces(pixels, CONFIDENCE), dtype=np.float64).reshape(-1, 15)

    @torch.inference_mode()
    def parse(face: Tensor) -> NDArray[np.int64]:
        return np.asarray(parser(face)[0].argmax(dim=1)[0].cpu().numpy(), dtype=np.int64)

    @torch.inference_mode()
    def repair(face: Tensor, weight: float | None) -> Tensor:
        if takes_weight:
            return network(face, weight=0.5 if weight is None else weight, adain=True)[0]
        return network(face, return_rgb=False)[0]

    return FaceNetworks(detect, parse, repair, device)


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a file. Raises ``ModelFileError`` for damage and for hostile pickles."""
    if path.suffix.lower() == ".safetensors":
        with open_safetensors(path) as file:
            return {name: file.read(name) for name in file.entries}
    return load_pickle(path, tolerant=True)


def _fill(network: Any, path: Path, device: torch.device) -> None:
    weights = {name.removeprefix("module."): value for name, value in read_tensors(path).items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelFileError(
            f"{path} does not fit its network: {str(error).splitlines()[0][:200]} Download it again."
        ) from error
    network.to(device).eval()


def _read_restorer(path: Path) -> Any:
    """The bare network of GFPGAN or CodeFormer."""
    from spandrel import MAIN_REGISTRY, ModelLoader, UnsupportedModelError

    try:
        from spandrel_extra_arches import EXTRA_REGISTRY
    except ImportError:
        known = MAIN_REGISTRY
    else:
        known = type(MAIN_REGISTRY)()
        known.add(*MAIN_REGISTRY, *EXTRA_REGISTRY)
    try:
        found = ModelLoader(torch.device("cpu"), registry=known).load_from_state_dict(read_tensors(path))
    except UnsupportedModelError:
        raise ModelFileError(
            f"{path} is no face restorer of a known architecture. CodeFormer needs the package "
            "spandrel-extra-arches, whose licence allows no commercial use: "
            "pip install spandrel-extra-arches."
        ) from None
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} does not fit its architecture: {str(error)[:200]}") from error
    return found.model
