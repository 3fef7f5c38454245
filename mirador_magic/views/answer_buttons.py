"""What a click does beside a finished answer: copy, run a stage again, go deeper.

A saved notebook holds no widget, so these buttons are HTML, hidden where nobody hears them. This one
widget of the kernel is never displayed and so never saved: in each page that is open it shows the
buttons of the answers that were displayed there, hears their clicks, speaks to screen readers, and
tells when the page cannot follow. A front end without it shows plain answers without buttons.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anywidget

from mirador_magic.errors import MiradorError
from mirador_magic.views.markdown import STYLE as CODE
from mirador_magic.views.style import BUTTONS

log = logging.getLogger(__name__)

KEPT = 200  # answers whose buttons work; older ones keep what can be done without the kernel

# A copy is asked of the kernel, which has the Markdown; a busy one is not waited for, since a page may
# write to the clipboard only for some seconds after a click.
_ESM = (
    f"const STYLE = {json.dumps(BUTTONS + CODE)};"
    + """
const PATIENCE = 1000, LATE = 200, LOOK = 500;

const write = async text => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // no clipboard on a page that came over plain http
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
};

const copied = button => {
  const label = button.textContent;
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = label; }, 1500);
};

const codeOf = button => {
  const fence = button.closest('[data-fence]').dataset.fence;
  const pieces = button.closest('.mirador-text').querySelectorAll(`[data-fence="${fence}"] code`);
  return [...pieces].map(piece => piece.textContent).join('');
};

export default {
  initialize({model}) {
    const shown = new Set(), asked = new Map();
    const style = document.createElement('style');
    const spoken = document.createElement('div');
    spoken.setAttribute('role', 'status');
    spoken.className = 'mirador-status';
    spoken.style.cssText = 'position:fixed;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)';
    document.head.append(style);
    document.body.append(spoken);
    const restyle = () => {
      const of = [...shown].map(run => `.mirador-run-${run} .mirador-act`).join(',');
      style.textContent = STYLE + (of ? `${of}{display:inline-block !important}` : '');
    };
    const copyAnswer = (button, run) => {
      model.send({act: 'copy', run});
      const fallback = setTimeout(() => {
        asked.delete(run);
        write(button.closest(`.mirador-run-${run}`).innerText).then(() => copied(button));
      }, PATIENCE);
      asked.set(run, {button, fallback});
    };
    const click = event => {
      const button = event.target.closest?.('.mirador-act');
      const run = button && [...shown].find(each => button.closest(`.mirador-run-${each}`));
      if (!run) return;  // another kernel's
      event.preventDefault();
      const {act, stage} = button.dataset;
      if (act === 'copy-code') write(codeOf(button)).then(() => copied(button));
      else if (act === 'copy') copyAnswer(button, run);
      else model.send({act, run, stage});
    };
    const heard = message => {
      if (message.shown) restyle(shown.add(message.shown));
      if (message.spoken) spoken.textContent = message.spoken;
      if (message.copy && asked.has(message.copy)) {
        const {button, fallback} = asked.get(message.copy);
        asked.delete(message.copy);
        clearTimeout(fallback);
        write(message.text).then(() => copied(button));
      }
    };
    let due = performance.now() + LOOK;
    const watch = setInterval(() => {
      const late = performance.now() - due;
      due = performance.now() + LOOK;
      if (late > LATE && document.querySelector('.mirador')) model.send({act: 'late', late});
    }, LOOK);
    const leave = () => {
      clearInterval(watch);
      model.off('msg:custom', heard);
      model.off('comm_live_update', leave);
      document.removeEventListener('click', click);
      style.remove();
      spoken.remove();
    };
    restyle();
    model.on('msg:custom', heard);
    model.on('comm_live_update', leave);  // the kernel is gone
    document.addEventListener('click', click);
    return leave;
  },
};
"""
)


@dataclass(frozen=True)
class Actions:
    """What can be done with one answer; called on the kernel's loop."""

    run: Callable[[str], object]
    copy: Callable[[], str]
    late: Callable[[float], object]


class Controls(anywidget.AnyWidget):
    """The one widget that hears clicks; `show` makes an answer's buttons work."""

    def __init__(self) -> None:
        super().__init__(_esm=_ESM)
        self._deeds: OrderedDict[str, Actions] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_msg(self._hear)
        atexit.register(
            self.close
        )  # a page hears of a restart, but not of a kernel that is shut down

    def show(self, run: str, deeds: Actions) -> None:
        """The answer of this name is on the page now."""
        if threading.current_thread() is threading.main_thread():
            self._loop = asyncio.get_running_loop()
        self._deeds[run] = deeds
        self._deeds.move_to_end(run)
        if len(self._deeds) > KEPT:
            self._deeds.popitem(last=False)
        self.send({"shown": run})

    def speak(self, text: str) -> None:
        """Tell readers who listen."""
        self.send({"spoken": text})

    def _hear(self, _: object, message: dict[str, Any], buffers: object) -> None:
        # On a thread of its own with some kernels: a subshell's. Else this is the kernel's loop, which
        # outlives that of a call from another thread.
        if threading.current_thread() is threading.main_thread():
            self._loop = asyncio.get_running_loop()
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._do, message)

    def _do(self, message: dict[str, Any]) -> None:
        deeds = self._deeds.get(str(message.get("run")))
        match message.get("act"):
            case "late":
                for each in self._deeds.values():
                    each.late(float(message["late"]) / 1000)
            case "copy" if deeds:
                self.send({"copy": message["run"], "text": deeds.copy()})
            case "run" if deeds:
                try:
                    deeds.run(str(message["stage"]))
                except MiradorError as error:
                    self.speak(str(error))
            case _:
                log.info("nothing to do for %r", message)


@functools.cache
def controls() -> Controls:
    """Those of this kernel."""
    return Controls()
