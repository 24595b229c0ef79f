"""A process that has imported the libraries once and forks a child for each program that tests start.

`python tests/support/fork_server.py SOCKET`, started and used by tests/support/program.py. A forked program starts
as `python ARGUMENTS` does: own pid and session, the given environment, folder and standard streams, a fresh
`__main__`, exit handlers and exit code. Only the imports are already done, so nothing of
mmdpo may be imported here.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import multiprocessing.process
import os
import runpy
import select
import signal
import socket
import sys
import types
from typing import Any, NoReturn

LIBRARIES = (
    "datasets hydra hydra.core.plugins hydra.main jinja2 matplotlib.pyplot numpy omegaconf peft PIL.Image psutil "
    "pyarrow.parquet rich.console rich.table safetensors.torch scipy.stats submitit tenacity torch transformers trl "
    "trl.trainer.dpo_trainer trl.trainer.sft_trainer transformers.models.auto.modeling_auto "
    "transformers.models.auto.processing_auto transformers.models.clip.modeling_clip "
    "transformers.models.llama.modeling_llama transformers.models.llava.modeling_llava "
    "transformers.models.llava.processing_llava"
).split()
READ_AT_IMPORT = tuple("CUDA DS_ HF_ KMP_ LD_ MKL_ MPL OMP_ PYTHON TORCH TRANSFORMERS_ WANDB_".split())
SET_LATER = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "DS_ACCELERATOR")  # read at import, too, but a child can follow
PASSIVE = {"OMP_WAIT_POLICY": "passive"}  # launch.py sets it before torch is imported
MESSAGE_BYTES = 1 << 18


def fits(environment: dict[str, str], own: dict[str, str]) -> bool:
    """Check that a child of a server with the environment `own` behaves as a program started in `environment`.

    Libraries read some variables while they are imported; if one of these differs, a child would not see it.
    """

    def read(variables: dict[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in variables.items()
            if name.startswith(READ_AT_IMPORT) and name not in SET_LATER
        }

    return read(PASSIVE | environment) == read(PASSIVE | own)


def serve(path: str) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request until standard input closes. Returns in the children only: request and streams."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(16)
    waiting: list[Any] = [listener, 0]
    while True:
        ready, _, _ = select.select(waiting, [], [])
        if 0 in ready:  # the tests have ended, or were killed
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return supervise(connection)
        connection.close()
        reap()


def reap() -> None:
    """Collect the children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def supervise(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork the program, send its pid and later its exit code. Returns in the program's process only."""
    data, streams, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 3)
    if not data:
        os._exit(0)
    begun, begin = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for own in (begun, begin, connection.detach()):
            os.close(own)
        return json.loads(data), streams
    for stream in (*streams, begin):
        os.close(stream)
    os.read(begun, 1)  # returns when the program has its own session, which may then be killed
    try:
        connection.send(str(pid).encode())
        ended = os.pidfd_open(pid)
        waiting: list[Any] = [ended, connection]
        ready, _, _ = select.select(waiting, [], [])
        if ended not in ready:  # whoever started it is gone
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    except OSError:
        pass  # nobody listens any more
    os._exit(0)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Reset this process to the state of a freshly started interpreter."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the server's own has read its pipe)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    multiprocessing.process.ORIGINAL_DIR = request["cwd"]  # type: ignore[attr-defined]
    sys.orig_argv = [sys.executable, *request["arguments"]]
    if threads := os.environ.get("OMP_NUM_THREADS"):
        sys.modules["torch"].set_num_threads(int(threads))
    sys.modules["numpy"].random.seed()
    gc.enable()


def run(arguments: list[str]) -> None:
    """Run `python ARGUMENTS`: a script, `-m MODULE` or `-c CODE`."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = list(arguments)
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


class Ending:
    """The program's exit code, for an end that does not take the libraries apart, which would take 0.4 s."""

    code = 0

    def note(self, error: BaseException) -> None:
        """Note the code that the interpreter would end with after this error."""
        if isinstance(error, SystemExit):
            self.code = error.code & 0xFF if isinstance(error.code, int) else int(error.code is not None)
        else:
            self.code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1

    def leave(self) -> NoReturn:
        """End, after threads have been joined and all other exit handlers have run."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self.code < 0:
            signal.signal(-self.code, signal.SIG_DFL)
            os.kill(os.getpid(), -self.code)
        os._exit(self.code)


def main(path: str) -> None:
    """Import, serve, and run the program that this process becomes."""
    ending = Ending()
    atexit.register(ending.leave)  # the first to be registered runs last
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()  # children share the libraries' memory
    request, streams = serve(path)
    become(request, streams)
    try:
        run(request["arguments"])
    except BaseException as error:
        ending.note(error)
        raise


if __name__ == "__main__":
    main(sys.argv[1])
