"""Names the important packages that are older than what Easel is tested with. Standard library only."""

from __future__ import annotations

from modules.launcher.requirements import installed_version, release

TESTED: tuple[tuple[str, str], ...] = (
    ("torch", "2.13.0"),
    ("xformers", "0.0.35"),
    ("gradio", "6.31.0"),
)


def version_warnings() -> list[str]:
    """One line for every installed package that is older than the tested one. Imports none of them."""
    lines = []
    for name, tested in TESTED:
        version = installed_version(name)
        if version is not None and release(version) < release(tested):
            remedy = f"--reinstall-{name} replaces it" if name != "gradio" else "deleting venv replaces it"
            lines.append(
                f"{name} {version} is older than {tested}, with which Easel is tested: {remedy}, "
                "--skip-version-check hides this line."
            )
    return lines
