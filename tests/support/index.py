"""A loopback package index, as pip and uv ask one, and wheels to put into it.

    with Index() as index:
        index.add(wheel(tmp_path, "tiny-model", "1.0", {"tiny_model/tiny.gguf": data}))
        monkeypatch.setenv("PIP_INDEX_URL", index.url)

With `cut` a wheel's first bytes are sent, and the rest once `go` is set; with `breaks` they are all.
"""

import base64
import contextlib
import hashlib
import html
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self, cast

_WAIT_SECONDS = 60.0


def wheel(folder: Path, package: str, version: str, files: Mapping[str, bytes | Path]) -> Path:
    """A wheel of these files, for any Python."""
    name = package.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    texts = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    whole = {**files, **{path: text.encode() for path, text in texts.items()}}
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        rows = []
        for path, given in whole.items():
            data = given if isinstance(given, bytes) else given.read_bytes()
            archive.writestr(path, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={digest},{len(data)}")
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,", ""]))
    return made


class Index:
    """Serves wheels from a thread of its own; `asked` are the paths that were requested."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cut: int | None = None
        self.breaks: int | None = None
        self.go = threading.Event()
        self._wheels: dict[str, Path] = {}

    def add(self, made: Path) -> None:
        self._wheels[made.name] = made

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.index = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}/simple"
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()

    def page(self, project: str) -> str | None:
        """The project's page of links; None for one that is not here."""
        own = [file for file in self._wheels if file.split("-")[0] == project.replace("-", "_")]
        links = [f'<a href="/files/{html.escape(file)}">{html.escape(file)}</a>' for file in own]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>" if own else None

    def file(self, name: str) -> bytes | None:
        found = self._wheels.get(name)
        return found.read_bytes() if found else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    index: Index


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        index = cast(_Server, self.server).index
        index.asked.append(self.path)
        kind, _, name = self.path.strip("/").partition("/")
        page = index.page(name) if kind == "simple" else None
        data = page.encode() if page else index.file(name) if kind == "files" else None
        self.send_response(200 if data else 404)
        self.send_header("Content-Type", "text/html" if page else "application/octet-stream")
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self._send(index, data or b"", slow=kind == "files")

    def _send(self, index: Index, data: bytes, *, slow: bool) -> None:
        if slow and index.breaks is not None:
            data = data[: index.breaks]
        if slow and index.cut is not None:
            self.wfile.write(data[: index.cut])
            self.wfile.flush()
            index.go.wait(_WAIT_SECONDS)
            data = data[index.cut :]
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""
