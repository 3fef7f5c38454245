"""Stands in for the `llama-server` that Ollama 0.30 and newer start once per model.

xllamacpp is llama.cpp's own HTTP server in a library, so all that is left to do is to read the
command line that Ollama writes. Asked for the machine's devices, it answers that there are none.

With `--pace` it hands each event of a stream on so many seconds after the one before: what a test
must see half written is so on any machine.
"""

import argparse
import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import xllamacpp


def read(arguments: list[str]) -> argparse.Namespace:
    """The options that matter here; Ollama gives many more."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--context-shift", action="store_true")
    parser.add_argument("--no-jinja", action="store_true")
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--log-verbosity", type=int, default=3)
    parser.add_argument("--pace", type=float, default=0.0)
    for flag, default in {"-c": 4096, "-np": 1, "-b": 512, "-ub": 512, "-t": 1}.items():
        parser.add_argument(flag, type=int, default=default)
    return parser.parse_known_args(arguments)[0]


def parameters(options: argparse.Namespace) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames = [options.host]
    params.port = 0 if options.pace else options.port
    params.n_ctx, params.n_parallel = options.c, options.np
    params.n_batch, params.n_ubatch = options.b, options.ub
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.t
    params.ctx_shift, params.n_keep = options.context_shift, options.keep
    # Ollama keeps its connections open, and each holds a thread: with three, the next request waits.
    params.n_threads_http = 16
    params.use_jinja = not options.no_jinja
    params.verbosity = options.log_verbosity
    params.fit_params = params.ui = False
    return params


class Relay:
    """Stands before a server at `port`, and keeps the pace of what that streams."""

    def __init__(self, host: str, port: int, server: tuple[str, int], pace: float) -> None:
        self._server, self._pace = server, pace
        self._listening = socket.create_server((host, port))

    def run(self) -> None:
        while True:
            client, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        gone = threading.Event()
        with client, socket.create_connection(self._server) as server:
            asking = threading.Thread(target=_pass_on, args=(client, server, gone), daemon=True)
            asking.start()
            with contextlib.suppress(OSError):
                for data in _events(server):
                    client.sendall(data)
                    if data.endswith(_END) and gone.wait(self._pace):
                        break
            _hang_up(client)
            _hang_up(server)
            asking.join()


_END = b"\n\n"  # of an event; no header and no JSON has it


def _events(server: socket.socket) -> Iterator[bytes]:
    """What the server sends, an event at a time."""
    while data := server.recv(65536):
        *events, rest = data.split(_END)
        yield from (event + _END for event in events)
        if rest:
            yield rest


def _pass_on(client: socket.socket, server: socket.socket, gone: threading.Event) -> None:
    """What the client asks, until it hangs up, which the server learns at once."""
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            server.sendall(data)
    gone.set()
    _hang_up(server)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def main() -> None:
    options = read(sys.argv[1:])
    if options.model is None:
        print("Available devices:")
        print("system_info: none", file=sys.stderr)
        return
    server = xllamacpp.Server(parameters(options))
    print("listening on", server.listening_address, file=sys.stderr)
    if options.pace:
        inner = urlsplit(server.listening_address)
        assert inner.hostname and inner.port
        Relay(options.host, options.port, (inner.hostname, inner.port), options.pace).run()
    threading.Event().wait()  # Ollama ends this process with a signal


if __name__ == "__main__":
    main()
