"""Scripts and style sheets of the page: where they are, in which order, and how they are served.

Every address carries a hash of the content, so a browser may keep a file for good and still never
shows an old one.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from starlette.datastructures import Headers
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

ROOT = Path(__file__).resolve().parent.parent.parent
FOREVER = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
FIRST_SCRIPT = "core.js"
MEDIA_TYPES = MappingProxyType({".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"})


@dataclass(frozen=True)
class PageAssets:
    """Files by the name they are served under, in loading order.

    ``prefix`` is the address of the files, relative to the page.
    """

    files: Mapping[str, Path]
    prefix: str = "easel-assets"

    @classmethod
    def of(cls, root: Path = ROOT, user_css: Path | None = None) -> PageAssets:
        """The program's own files; ``user_css`` comes last, when it exists."""
        scripts = sorted((root / "javascript").glob("*.js"), key=lambda p: (p.name != FIRST_SCRIPT, p.name))
        files = {f"javascript/{path.name}": path for path in scripts}
        files["style.css"] = root / "style.css"
        if user_css is not None and user_css.is_file():
            files["user.css"] = user_css
        return cls(MappingProxyType(files))

    def head_html(self) -> str:
        """Tags for the head of the page. Read at each request, so that an edited file shows at once."""
        return "".join(self._tags())

    def _tags(self) -> Iterator[str]:
        for name, path in self.files.items():
            if not path.is_file():
                continue
            address = html.escape(f"{self.prefix}/{name}?{content_hash(path)}", quote=True)
            if path.suffix == ".css":
                yield f'<link rel="stylesheet" href="{address}">\n'
            elif path.suffix == ".mjs":
                yield f'<script type="module" src="{address}"></script>\n'
            else:
                yield f'<script src="{address}"></script>\n'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one file. Only names of the table exist, so no path can lead out of it."""
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        path = self.files.get(name)
        if path is None or not path.is_file():
            return PlainTextResponse("Not found", status_code=404)
        lasting = scope.get("query_string", b"").decode("ascii", "replace") == content_hash(path)
        headers = {"Cache-Control": FOREVER if lasting else REVALIDATE}
        return FileResponse(path, media_type=MEDIA_TYPES.get(path.suffix), headers=headers)


class FixedContent:
    """One file from memory, which browsers ask about each time and fetch only when it changed."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self.content = content
        self.media_type = media_type
        self.tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the content, or with 304 when the browser has it."""
        headers = {"ETag": self.tag, "Cache-Control": "max-age=0, must-revalidate"}
        if Headers(scope=scope).get("if-none-match") == self.tag:
            response = Response(status_code=304, headers=headers)
        else:
            response = Response(self.content, media_type=self.media_type, headers=headers)
        await response(scope, receive, send)


def content_hash(path: Path) -> str:
    """Short hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
