"""Programs forked from the server behave as those that a new interpreter runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import fork_server
from tests.support.program import ROOT, program, start_program

BOTH = pytest.mark.parametrize("real", [False, True], ids=["forked", "real"])


@BOTH
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("import sys; sys.exit(75)", 75),
        ("import sys; sys.exit(None)", 0),
        ("import sys; sys.exit('no')", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_exit_codes(code: str, expected: int, real: bool) -> None:
    done = program("-c", code, real=real)
    assert done.returncode == expected
    assert ("no" in done.stderr) is ("'no'" in code)
    assert ("Traceback" in done.stderr) is ("1 / 0" in code or "raise" in code)


@BOTH
def test_streams_environment_and_folder(real: bool, tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), os.environ['NEW'], len(os.environ) < 3, repr(sys.stdin.read()))"
    code += "; print('wrong', file=sys.stderr); os.system('echo shell $NEW'); print(sys.stdout.isatty())"
    process = start_program("-c", code, cwd=tmp_path, environment={"NEW": "1"}, real=real)
    with process:
        out, err = process.communicate(60)
    assert sorted(out.splitlines()) == sorted([f"{tmp_path} 1 True ''", "shell 1", "False"])
    assert err == "wrong\n"
    merged = start_program("-c", code, cwd=tmp_path, environment={"NEW": "1"}, real=real, merge=True)
    with merged:
        assert "wrong" in merged.communicate(60)[0]


@BOTH
def test_arguments_and_import_path(real: bool, tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    lines = "import sys, __main__\nprint(sys.argv, sys.path[0], __name__, hasattr(__main__, 'here'))\nhere = 1\n"
    (folder / "script.py").write_text(lines.replace("\nprint", "\nhere = 1\nprint"))
    script = program("scripts/script.py", "a", cwd=tmp_path, real=real)
    assert script.stdout == f"['scripts/script.py', 'a'] {folder} __main__ True\n"
    module = program("-m", "script", "a", cwd=folder, real=real)
    assert module.stdout == f"['{folder / 'script.py'}', 'a'] {folder} __main__ True\n"
    code = program("-c", "import sys; print(sys.argv, repr(sys.path[0]), __name__)", "a", real=real)
    assert code.stdout == "['-c', 'a'] '' __main__\n"


@BOTH
def test_exit_handlers_run_and_threads_are_joined(real: bool) -> None:
    code = "import atexit, threading, time; atexit.register(print, 'last')\n"
    code += "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start(); print('first')"
    assert program("-c", code, real=real).stdout.split() == ["first", "thread", "last"]


@BOTH
def test_signals_reach_the_program_and_its_session(real: bool, tmp_path: Path) -> None:
    code = "import os, subprocess, time, pathlib; child = subprocess.Popen(['sleep', '60'])\n"
    code += "pathlib.Path('pid').write_text(str(child.pid)); print(os.getsid(0) == os.getpid(), flush=True)\n"
    code += "try: time.sleep(60)\nexcept KeyboardInterrupt: print('interrupted'); child.wait(); raise SystemExit(3)"
    process = start_program("-c", code, cwd=tmp_path, real=real)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    os.killpg(process.pid, signal.SIGINT)
    with process:
        assert process.communicate(30)[0].split() == ["True", "interrupted"]
        assert process.returncode == 3


def test_the_server_has_imported_libraries_and_nothing_of_the_project() -> None:
    code = "import sys; print(*sorted(name for name in sys.modules if '.' not in name))"
    modules = set(program("-c", code).stdout.split())
    assert {"torch", "transformers", "trl", "peft"} <= modules
    assert not {"mmdpo", "hydra_plugins", "tests", "deepspeed"} & modules
    assert "torch" not in program("-c", code, real=True).stdout.split()


def test_threads_and_random_numbers_are_the_programs_own() -> None:
    code = "import numpy, torch; print(torch.get_num_threads(), numpy.random.random())"
    (one, first), (three, second) = (
        program("-c", code, OMP_NUM_THREADS=threads).stdout.split() for threads in ("1", "3")
    )
    assert (one, three) == ("1", "3")
    assert first != second


def test_variables_that_libraries_read_while_imported_need_a_new_interpreter() -> None:
    own = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}
    assert fork_server.fits({**own, "MMDPO_CACHE": "/x", "OMP_NUM_THREADS": "3"}, own)
    assert fork_server.fits({"HF_HUB_OFFLINE": "1"}, own)
    assert not fork_server.fits({**own, "HF_HUB_OFFLINE": "0"}, own)
    assert not fork_server.fits({**own, "PYTHONPATH": "/x"}, own)
    assert program("-c", "import os; print(os.environ['PYTHONPATH'])", PYTHONPATH="/x").stdout == "/x\n"


@pytest.mark.exhaustive
def test_no_program_outlives_killed_tests(tmp_path: Path) -> None:
    code = (
        "import os, signal, time, pathlib; from tests.support.program import start_program\n"
        "program = start_program('-c', 'import time; time.sleep(60)', environment={**os.environ, 'A': 'b'})\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(program.pid))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    left = Path("/proc", (tmp_path / "pid").read_text())
    limit = time.monotonic() + 20
    while left.exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
