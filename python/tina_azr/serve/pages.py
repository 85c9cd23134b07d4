"""Static files of the page. They ship inside the package and are listed once, at start."""

from importlib.abc import Traversable
from importlib.resources import files

from starlette.responses import Response

from tina_azr.serve.types import ApiError

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "mjs": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
INDEX = "index.html"


class Pages:
    """Files by their path below `serve/static`."""

    def __init__(self) -> None:
        self._files = dict(_walk(files("tina_azr.serve") / "static", ""))

    def file(self, path: str) -> Response:
        """Return one file. Browsers must revalidate it each time, because it changes with the package."""
        found = self._files.get(path)
        if found is None:
            raise ApiError(404, "there is no such file", code="not_found")
        media_type = MEDIA_TYPES[path.rpartition(".")[2]]
        return Response(found.read_bytes(), media_type=media_type, headers={"Cache-Control": "no-cache"})


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in MEDIA_TYPES:
            found.append((prefix + entry.name, entry))
    return found
