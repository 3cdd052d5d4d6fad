"""Which addresses, branches and folder names are taken. Everything else is refused with a sentence."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modules.errors import Forbidden
from modules.extensions.repository import ExtensionError

_SCHEMES = ("http", "https", "git", "ssh", "file")
_SCP_LIKE = re.compile(r"[\w.-]+@[\w.-]+:[\w./~-]+\Z")
_BAD_BRANCH = re.compile(r"^[-/.]|\.\.|//|@\{|[\x00-\x20~^:?*\[\\\x7f]|/$|\.lock$|\.$|/\.")
_BAD_FOLDER = re.compile(r'^[.\-]|[\x00-\x1f<>:"/\\|?*]|[. ]$')


def require_access(flags: Namespace) -> None:
    """Raises ``Forbidden`` when extensions may not be changed because others can reach this program."""
    if getattr(flags, "disable_extension_access", False):
        raise Forbidden(
            "Extensions cannot be changed here because the program is open to the network: start it without "
            "--listen, --share, --ngrok and --server-name, or with --enable-insecure-extension-access."
        )


def check_url(url: str) -> str:
    """The address without surrounding blanks. Raises ``ExtensionError`` for one that git must not see."""
    text = url.strip()
    shown = text[:200]
    if not text:
        raise ExtensionError("The address of the extension is missing: give the address of its repository.")
    if text.startswith("-") or "::" in text or re.search(r"[\x00-\x20\x7f]", text):
        raise ExtensionError(f"{shown!r} is not the address of a repository, such as https://host/name.git.")
    if _SCP_LIKE.match(text):
        return text
    scheme = urlsplit(text).scheme
    if scheme == "file" or Path(text).is_absolute():
        _require_repository(local_path(text), shown)
        return text
    if scheme not in _SCHEMES or not urlsplit(text).netloc:
        raise ExtensionError(f"{shown!r} is not the address of a repository, such as https://host/name.git.")
    return text


def local_path(text: str) -> Path:
    """The folder that a file address or an absolute path names."""
    return Path(unquote(urlsplit(text).path)) if text.startswith("file:") else Path(text)


def _require_repository(folder: Path, shown: str) -> None:
    bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    if not bare and not (folder / ".git").exists():
        raise ExtensionError(f"{shown!r} is no git repository: give the folder of one, or an https address.")


def check_branch(branch: str | None) -> str | None:
    """The branch or tag without blanks around, ``None`` for the default one. Raises ``ExtensionError``."""
    text = (branch or "").strip()
    if not text:
        return None
    if _BAD_BRANCH.search(text):
        raise ExtensionError(f"{text[:100]!r} is not the name of a branch, such as main or release/1.2.")
    return text


def check_folder(name: str) -> str:
    """The folder name. Raises ``ExtensionError`` for one that leaves the extensions folder or is hidden."""
    text = name.strip()
    if not text or len(text) > 200 or _BAD_FOLDER.search(text) or text.startswith("__"):
        raise ExtensionError(f"{text[:100]!r} cannot be the folder of an extension: give a plain name.")
    return text


def folder_of(url: str) -> str:
    """The folder name that an address suggests: its last part without ``.git``."""
    last = re.split(r"[/:\\]", unquote(url.rstrip("/\\")))[-1]
    return check_folder(last.removesuffix(".git"))


def same_repository(left: str | None, right: str | None) -> bool:
    """Whether two addresses name one repository: case, ``.git``, a closing slash and logins do not count."""

    def normal(text: str) -> str:
        bare = re.sub(r"(\w+://)[^/@\s]+@", r"\1", text.strip().lower())
        return bare.rstrip("/").removesuffix(".git")

    return bool(left and right) and normal(left or "") == normal(right or "")
