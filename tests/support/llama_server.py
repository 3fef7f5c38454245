"""Stands in for the `llama-server` that Ollama 0.30 and newer start once per model.

xllamacpp is llama.cpp's own HTTP server in a library, so all that is left to do is to read the
command line that Ollama writes. Asked for the machine's devices, it answers that there are none.
"""

import argparse
import sys
import threading

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
    for flag, default in {"-c": 4096, "-np": 1, "-b": 512, "-ub": 512, "-t": 1}.items():
        parser.add_argument(flag, type=int, default=default)
    return parser.parse_known_args(arguments)[0]


def parameters(options: argparse.Namespace) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames = [options.host]
    params.port = options.port
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


def main() -> None:
    options = read(sys.argv[1:])
    if options.model is None:
        print("Available devices:")
        print("system_info: none", file=sys.stderr)
        return
    server = xllamacpp.Server(parameters(options))
    print("listening on", server.listening_address, file=sys.stderr)
    threading.Event().wait()  # Ollama ends this process with a signal


if __name__ == "__main__":
    main()
