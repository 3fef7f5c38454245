"""The child process of the embedded engine: llama.cpp behind a unix socket, for one parent.

It is run as a script, with one argument, a JSON object:

    parent      the process to serve; when it is gone, this one goes too
    path        the parent's sys.path, so that both import the same xllamacpp
    model       the GGUF file
    socket      where to listen; its folder is removed at the end
    num_ctx     in tokens, 0 for the model's own
    threads     how many of them compute

It says one JSON line on stdout: {"ready": the version of xllamacpp}, or {"error": what happened},
where an import failed with "missing": the module that is not there, or null. llama.cpp's own words,
the reason of a failed load among them, go to stderr. Nothing that goes wrong in its C++ code, be it
a crash, an exception or a fork with its threads missing, can reach the notebook from here.
"""

import ctypes
import json
import os
import select
import signal
import sys
import threading
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1


def main() -> None:
    wishes = json.loads(sys.argv[1])
    said: dict[str, str | None]
    voice = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what C++ code prints must not get between the parent and its one line
    _die_with_parent(signal.SIGKILL)
    watch = threading.Thread(target=_watch, args=(wishes["parent"], wishes["socket"]), daemon=True)
    watch.start()
    try:
        said, server = _serve(wishes)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        said, server = {"error": str(error), "missing": missing}, None
    except (RuntimeError, ValueError, TypeError, AttributeError, OverflowError) as error:
        said, server = {"error": f"{type(error).__name__}: {error}"}, None
    print(json.dumps(said), file=voice, flush=True)
    if server is None:
        sys.exit(1)  # not os._exit: it would cut off what llama.cpp's logging thread has yet to say
    _die_with_parent(0)
    watch.join()


def _serve(wishes: dict[str, Any]) -> tuple[dict[str, str | None], object]:
    """Load the model and listen. The server runs on threads of its own until it is collected."""
    sys.path[:] = wishes["path"]
    # Beside one other busy process on 2 cores, threads that spin got 21-25 tok/s, these 90.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = wishes["model"]
    params.n_ctx = wishes["num_ctx"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wishes["threads"]
    params.hostnames = [wishes["socket"]]  # without it the server opens a TCP port, without a key
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = 64  # a batch is a step that no cancel can interrupt
    params.fit_params = params.warmup = params.ui = params.endpoint_slots = False
    params.cache_ram_mib = 0
    params.verbosity = 1  # errors only; below it the reason of a failed load is not told
    os.umask(0o177)
    return {"ready": getattr(xllamacpp, "__version__", "unknown")}, xllamacpp.Server(params)


def _watch(parent: int, socket: str) -> NoReturn:
    """End when the parent closes stdin or is gone: a fork of it may hold the pipe open."""
    while os.getppid() == parent:
        if select.select([0], [], [], 0.25)[0] and not os.read(0, 1):
            break
    for remove, path in ((os.unlink, socket), (os.rmdir, os.path.dirname(socket))):
        try:
            remove(path)
        except OSError:
            pass
    os._exit(0)


def _die_with_parent(signal_number: int) -> None:
    """On Linux, have the kernel send this signal when the parent's thread is gone; 0 is none.

    For the time of loading, in which llama.cpp holds the GIL and the watch stands still.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


if __name__ == "__main__":
    main()
