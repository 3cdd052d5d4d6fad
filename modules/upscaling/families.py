"""Kinds of upscaler files: folder, endings, settings, and the files that can be fetched on demand.

One row a kind. The architecture is always found in the file itself, never taken from its folder; the folder
decides only which settings hold for the tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_KAIR = "https://github.com/cszn/KAIR/releases/download/v1.0"
_DAT = "https://github.com/n0kovo/dat_upscaler_models/raw/main/DAT"
_SWINIR = "https://github.com/JingyunLiang/SwinIR/releases/download/v0.0"


@dataclass(frozen=True)
class Download:
    """A model that is fetched when it is first used. ``sha256`` is None where nobody published it."""

    name: str
    scale: int
    url: str
    sha256: str | None = None
    model_name: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the file in the folder of its kind."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Family:
    """``folder``: name of the path in ``modules.options.paths``. ``tile``, ``overlap``: names of settings.

    ``enabled``: setting with the names of the downloads to show; None shows all.
    ``placeholder``: show the downloads only while the folder has no model file of its own.
    ``averaged``: tiles are averaged where they overlap; else each fades into the next.
    """

    name: str
    folder: str
    endings: tuple[str, ...]
    tile: str = "ESRGAN_tile"
    overlap: str = "ESRGAN_tile_overlap"
    downloads: tuple[Download, ...] = ()
    enabled: str | None = None
    placeholder: bool = False
    averaged: bool = False


FAMILIES: tuple[Family, ...] = (
    Family(
        "ESRGAN",
        "esrgan_dir",
        (".pt", ".pth", ".safetensors"),
        downloads=(Download("ESRGAN_4x", 4, f"{_KAIR}/ESRGAN.pth", model_name="ESRGAN_4x"),),
        placeholder=True,
    ),
    Family(
        "RealESRGAN",
        "realesrgan_dir",
        (".pt", ".pth", ".safetensors"),
        downloads=(
            Download(
                "R-ESRGAN General 4xV3",
                4,
                f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-x4v3.pth",
                "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
            ),
            Download(
                "R-ESRGAN General WDN 4xV3",
                4,
                f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-wdn-x4v3.pth",
                "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
            ),
            Download(
                "R-ESRGAN AnimeVideo",
                4,
                f"{_REAL_ESRGAN}/v0.2.5.0/realesr-animevideov3.pth",
                "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
            ),
            Download(
                "R-ESRGAN 4x+",
                4,
                f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
                "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
            ),
            Download(
                "R-ESRGAN 4x+ Anime6B",
                4,
                f"{_REAL_ESRGAN}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
                "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
            ),
            Download(
                "R-ESRGAN 2x+",
                2,
                f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",
                "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
            ),
        ),
        enabled="realesrgan_enabled_models",
    ),
    Family(
        "DAT",
        "dat_dir",
        (".pt", ".pth", ".safetensors"),
        "DAT_tile",
        "DAT_tile_overlap",
        downloads=(
            Download("DAT x2", 2, f"{_DAT}/DAT_x2.pth"),
            Download("DAT x3", 3, f"{_DAT}/DAT_x3.pth"),
            Download("DAT x4", 4, f"{_DAT}/DAT_x4.pth"),
        ),
        enabled="dat_enabled_models",
    ),
    Family("HAT", "hat_dir", (".pt", ".pth", ".safetensors")),
    Family(
        "ScuNET",
        "scunet_dir",
        (".pt", ".pth", ".safetensors"),
        "SCUNET_tile",
        "SCUNET_tile_overlap",
        averaged=True,
        downloads=(
            Download("ScuNET GAN", 4, f"{_KAIR}/scunet_color_real_gan.pth", model_name="ScuNET GAN"),
            Download("ScuNET PSNR", 4, f"{_KAIR}/scunet_color_real_psnr.pth", model_name="ScuNET GAN"),
        ),
    ),
    Family(
        "SwinIR",
        "swinir_dir",
        (".pt", ".pth", ".safetensors"),
        "SWIN_tile",
        "SWIN_tile_overlap",
        averaged=True,
        downloads=(
            Download(
                "SwinIR 4x",
                4,
                f"{_SWINIR}/003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_GAN.pth",
                "99adfa91350a84c99e946c1eb3d8fce34bc28f57d807b09dc8fe40a316328c0a",
                model_name="SwinIR 4x",
            ),
        ),
        placeholder=True,
    ),
    Family("LDSR", "ldsr_dir", (".pth", ".safetensors")),
)


def downloadable_names(family: str) -> list[str]:
    """Names of the models of a family that can be fetched."""
    return [download.name for row in FAMILIES if row.name == family for download in row.downloads]
