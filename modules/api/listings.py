"""Endpoints that list what there is, and look for what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.api.fields import PNG_INFO, build_model
from modules.api.pictures import open_picture
from modules.api.replies import Reply
from modules.api.services import ApiServices

if TYPE_CHECKING:

    class PngInfoBody:
        """A picture to be asked for its text."""

        image: str
else:
    PngInfoBody = build_model("PNGInfoRequest", PNG_INFO)


class Listings:
    """Tables, files and pictures' texts. Plain functions: they may touch the disk, so they run in threads."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    def samplers(self) -> Reply:
        """The samplers; values of options are text."""
        return Reply(
            [
                {**row, "options": {key: str(value) for key, value in row.get("options", {}).items()}}
                for row in self._services.samplers()
            ]
        )

    def schedulers(self) -> Reply:
        """The schedule types."""
        return Reply(self._services.schedulers())

    def upscalers(self) -> Reply:
        """The upscalers."""
        return Reply(self._services.upscalers())

    def latent_upscale_modes(self) -> Reply:
        """The ways to enlarge a latent."""
        return Reply(self._services.latent_upscale_modes())

    def checkpoints(self) -> Reply:
        """The checkpoints. Hashes are null until they are computed."""
        return Reply([_checkpoint_item(info) for info in self._services.checkpoints.infos])

    def refresh_checkpoints(self) -> Reply:
        """Look for new checkpoints."""
        self._services.checkpoints.refresh()
        return Reply(None)

    def vaes(self) -> Reply:
        """The autoencoders that can be chosen."""
        return Reply(self._services.vaes())

    def refresh_vaes(self) -> Reply:
        """Look for new autoencoders."""
        self._services.refresh_vaes()
        return Reply(None)

    def styles(self) -> Reply:
        """The stored styles."""
        return Reply(self._services.styles())

    def scripts(self) -> Reply:
        """Names of the scripts of both tabs, in lower case."""
        return Reply(self._services.scripts())

    def script_info(self) -> Reply:
        """The scripts with their arguments."""
        return Reply(self._services.script_info())

    def memory(self) -> Reply:
        """Memory of the machine and of the device, in bytes."""
        return Reply(self._services.memory())

    def startup(self) -> Reply:
        """How long the parts of the start took, in seconds."""
        return Reply({"total": 0.0, "records": {}, **self._services.startup_profile()})

    def png_info(self, body: PngInfoBody) -> Reply:
        """The generation text of a picture, and its entries."""
        services = self._services
        with open_picture(services.picture_text(body.image, "image"), "image", services.max_pixels) as image:
            text, items = services.read_picture_text(image)
        entries = services.parse_infotext(text or "", services.options.view())
        return Reply({"info": text or "", "items": items, "parameters": entries})


def _checkpoint_item(info: Any) -> dict[str, Any]:
    config = getattr(info, "config", None)
    return {
        "title": info.title,
        "model_name": info.model_name,
        "hash": info.shorthash,
        "sha256": info.sha256,
        "filename": str(info.filename),
        "config": str(config) if config else None,
    }
