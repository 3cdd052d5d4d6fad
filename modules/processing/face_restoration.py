"""Whether a job restores faces, and with which model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.faces.registry import FaceRestorers
    from modules.processing.request import GenerationRequest


def face_restorer(request: GenerationRequest, settings: Any) -> str | None:
    """Name of the model that restores the faces of a job, or ``None``.

    A request without a wish leaves it to the setting ``face_restoration``.
    """
    wanted = settings.face_restoration if request.restore_faces is None else request.restore_faces
    return str(settings.face_restoration_model) if wanted else None


def check_face_restorer(request: GenerationRequest, settings: Any, faces: FaceRestorers) -> None:
    """Raise ``ModelFileError`` for a missing file of a wanted restorer, ``NotFound`` for no such one."""
    name = face_restorer(request, settings)
    if name is not None:
        faces.check(name)
