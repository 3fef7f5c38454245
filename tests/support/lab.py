"""JupyterLab in a real browser, for a test: a server and a home of its own, and a notebook to use.

    with LabServer(tmp_path, OLLAMA_HOST=host) as lab, open_page(chromium, lab) as page:
        notebook = Notebook(page, lab, "Asking", ["%load_ext mirador_magic", "1 + 1"])
        notebook.run(0)

What a reader clicks and types is clicked and typed here; what stands in menus goes by its command,
through the application that JupyterLab shows to tests. Every wait is for a condition.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.support.patience import PATIENCE

STOP_SECONDS = 10.0
WAIT_MS = PATIENCE * 1000  # the most that any wait in the page takes
expect.set_options(timeout=WAIT_MS)

_FLAGS = [
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
_NUMBERED = re.compile(r"\[\d+\]:")
_CURRENT = ".jp-NotebookPanel:not(.lm-mod-hidden)"
READY = """async () => {
    const context = jupyterapp.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""
_NO_KERNEL = "() => jupyterapp.shell.currentWidget.sessionContext.hasNoKernel"
_TRUSTED = "number => jupyterapp.shell.currentWidget.content.model.cells.get(number).trusted"
_SHOWS = """([panel, number, text]) => {
    const cell = document.querySelector(panel).querySelectorAll('.jp-Cell')[number];
    return cell.querySelector('.jp-Cell-outputArea').textContent.includes(text);
}"""
# Its own panel, wherever that stands: another notebook may be the one that is seen.
_OWN = "path => [...jupyterapp.shell.widgets('main')].find(each => each.context?.path === path)"
_CLOSE = f"path => ({_OWN})(path).dispose()"
_IS_CLOSED = f"path => !({_OWN})(path)"
_DISCARD = f"""async path => {{
    const panel = ({_OWN})(path);
    await panel?.sessionContext.shutdown();
    panel?.dispose();
}}"""
_RECORD = """selector => {
    const painted = window.painted = [];
    const look = () => document.querySelectorAll(selector).forEach((element, number) => {
        const texts = painted[number] ??= [];
        if (texts.at(-1) !== element.textContent) texts.push(element.textContent);
    });
    let due = false;
    const observer = new MutationObserver(() => {
        if (!due) requestAnimationFrame(() => { due = false; look(); });
        due = true;
    });
    observer.observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


class LabServer:
    """`jupyter lab` with its home in `folder`; more of its environment as keywords.

    Notebooks lie in `notebooks`. Kernels are those of this environment.
    """

    url: str

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        self.log = folder / "lab.log"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.notebooks.mkdir()
        for name, settings in _SETTINGS.items():
            file = self.folder / f"config/lab/user-settings/@jupyterlab/{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings))
        try:
            self.url = self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server, its kernels and all else that it started."""
        if self._process is None:
            return
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._process.kill()
        self._process.wait()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _start(self) -> str:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": "0",
            "ServerApp.root_dir": str(self.notebooks),
            "IdentityProvider.token": "",
            "LabApp.expose_app_in_browser": "True",
            "JupyterNotebookApp.expose_app_in_browser": "True",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *(f"--{name}={value}" for name, value in options.items())],
                cwd=self.folder,
                env=self._full_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._wait_for_url(self._process)

    def _full_environment(self) -> dict[str, str]:
        foreign = ("JUPYTER", "IPYTHON", "MIRADOR_", "OLLAMA_", "PYTEST_", "XDG_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        own = {
            "HOME": str(self.folder),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
        }
        return kept | own | self._environment

    def _wait_for_url(self, process: subprocess.Popen[bytes]) -> str:
        """The address in the file that the server writes when its socket is open."""
        file = self.folder / "runtime" / f"jpserver-{process.pid}.json"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(FileNotFoundError, ValueError):  # ValueError: half written
                return str(json.loads(file.read_text())["url"])
            time.sleep(0.02)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text(errors='replace')}")


@contextlib.contextmanager
def browse(chromium: Path) -> Iterator[Page]:
    """An empty page of Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1000, "height": 1000})
            page.set_default_timeout(WAIT_MS)
            page.on("dialog", lambda dialog: dialog.accept())  # to leave a page with unsaved work
            yield page
        finally:
            browser.close()


@contextlib.contextmanager
def open_page(chromium: Path, lab: LabServer) -> Iterator[Page]:
    """A page of Chromium in which JupyterLab stands ready."""
    with browse(chromium) as page:
        page.goto(f"{lab.url}lab", timeout=PATIENCE * 1000)
        page.wait_for_selector(".jp-Launcher", timeout=PATIENCE * 1000)
        page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
        yield page


@contextlib.contextmanager
def dark(page: Page) -> Iterator[None]:
    """JupyterLab in its dark theme."""
    change = "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
    body = page.locator("body")
    page.evaluate(change, "JupyterLab Dark")
    expect(body).to_have_attribute("data-jp-theme-light", "false")
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)
    try:
        yield
    finally:
        page.evaluate(change, "JupyterLab Light")
        expect(body).to_have_attribute("data-jp-theme-light", "true")


def record(page: Page, selector: str) -> None:
    """From now on, note every text in which an element of this selector is painted."""
    page.evaluate(_RECORD, selector)


def painted(page: Page) -> list[list[str]]:
    """For each element of the recorded selector, in order, the texts in which it was painted."""
    texts: list[list[str]] = page.evaluate("() => window.painted")
    return texts


class Notebook:
    """A new notebook of these cells, open in the page and with a running kernel."""

    def __init__(self, page: Page, lab: LabServer, name: str, cells: Sequence[str]) -> None:
        self.page = page
        self.path = lab.notebooks / f"{name}.ipynb"
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=metadata)
        nbformat.write(notebook, self.path)
        self.open()
        self.wait_for_kernel()

    def open(self) -> None:
        """Open its file, with a kernel if one for its language is there."""
        self._command("docmanager:open", path=self.path.name)
        expect(self.cell(0)).to_be_visible(timeout=WAIT_MS)

    def open_without_kernel(self) -> None:
        """Open its file as one that came by mail: for an unknown kernel, and so not trusted."""
        notebook = nbformat.read(self.path, 4)
        unknown = {"name": "elsewhere", "display_name": "Elsewhere", "language": "elsewhere"}
        notebook.metadata = {"kernelspec": unknown}
        nbformat.write(notebook, self.path)
        self.open()
        self.page.locator(".jp-Dialog").get_by_role("button", name="No Kernel").click()
        self.page.wait_for_function(_NO_KERNEL)

    def reload(self) -> None:
        """Load the page again, as the browser's button does, and wait until the kernel answers."""
        self.page.reload()
        expect(self.cell(0)).to_be_visible(timeout=WAIT_MS)
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Until the kernel answers; a cell that is run before that is forgotten."""
        self.page.evaluate(READY)

    def cell(self, number: int) -> Locator:
        return self._panel.locator(".jp-Cell").nth(number)

    def output(self, number: int) -> Locator:
        """All that stands below a cell."""
        return self.cell(number).locator(".jp-Cell-outputArea")

    def prompt(self, number: int) -> Locator:
        """'[ ]:' before the cell was run, '[*]:' while it is."""
        return self.cell(number).locator(".jp-InputPrompt")

    def is_trusted(self, number: int) -> bool:
        """Whether JupyterLab shows the cell's outputs as they are, or only what its sanitiser leaves."""
        return bool(self.page.evaluate(_TRUSTED, number))

    def start(self, number: int) -> None:
        """Run a cell as a reader does, and do not wait for it."""
        self.prompt(number).click()
        self.page.keyboard.press("Control+Enter")

    def wait(self, number: int, ms: float = WAIT_MS) -> None:
        """Until the cell has been run."""
        expect(self.prompt(number)).to_have_text(_NUMBERED, timeout=ms)

    def wait_for_text(self, number: int, text: str) -> None:
        """Until this stands below the cell; looked for at every frame."""
        self.page.wait_for_function(_SHOWS, arg=[_CURRENT, number, text])

    def run(self, number: int, ms: float = WAIT_MS) -> None:
        self.start(number)
        self.wait(number, ms)

    def run_all(self) -> None:
        """Start all cells, and do not wait for them."""
        self.page.evaluate("() => void jupyterapp.commands.execute('notebook:run-all-cells')")

    def interrupt(self) -> None:
        """Press the toolbar's button."""
        self._panel.locator('[data-jp-item-name="interrupt"]').click()

    def save(self) -> None:
        self._command("docmanager:save")

    def close(self) -> None:
        """Close it, saved as it is; its kernel goes on."""
        # Not by its command, which asks whether to save what came behind the last save.
        self.page.evaluate(_CLOSE, self.path.name)
        self.page.wait_for_function(_IS_CLOSED, arg=self.path.name)

    def shut_down(self) -> None:
        """End its kernel."""
        self._command("notebook:shutdown-kernel")

    def discard(self) -> None:
        """End its kernel and close it, saved or not."""
        self.page.evaluate(_DISCARD, self.path.name)

    @property
    def _panel(self) -> Locator:
        return self.page.locator(_CURRENT)

    def _command(self, name: str, **arguments: Any) -> None:
        script = "([name, given]) => jupyterapp.commands.execute(name, given).then(() => null)"
        self.page.evaluate(script, [name, arguments])
