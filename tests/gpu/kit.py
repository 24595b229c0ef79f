"""Wheels for a machine with a GPU and without network: `make gpu-kit`.

A common CUDA image has PyTorch, transformers, the scientific packages and pytest. Everything else that mmdpo and its
tests need is downloaded in this installation's versions, as wheels for the other machine's Python, with mmdpo's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
IMAGE = (
    *("torch", "transformers", "huggingface-hub", "hf-xet", "tokenizers", "safetensors", "regex", "pyyaml", "numpy"),
    *("setuptools", "sympy", "mpmath", "networkx", "ninja", "pandas", "pyarrow", "scipy", "pillow", "matplotlib"),
    *("fonttools", "contourpy", "kiwisolver", "scikit-image", "scikit-learn", "statsmodels", "joblib", "patsy"),
    *("tifffile", "imageio", "grpcio", "pygments", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis"),
)
"""Packages that the machine keeps: those that fit its PyTorch or transformers, and large ones of any version.

Their requirements are carried, in case that the machine has older ones.
"""
SKIPPED = ("playwright", "google-generativeai")
"""Large packages that some tests need, which are skipped without them."""
BUILT = ("antlr4-python3-runtime", "deepspeed")
"""Packages that are published as source only; without compiled operations they fit any machine."""
GLIBC = range(5, 40)
"""Minor versions of glibc 2 whose tags a wheel may have; pip takes the named tags only."""
README = """\
Wheels for Python {python} on Linux x86-64. In a copy of the repository beside this folder:

    python3 -m pip install --no-index --no-deps --no-compile --target /tmp/kit/site-packages {folder}/*.whl
    export PYTHONPATH=/tmp/kit/site-packages
    make test-gpu PYTHON=python3
    CUDA_VISIBLE_DEVICES= python3 -m pytest -n 8 -m "not slurm and not browser and not long and not exhaustive"

Keep the name site-packages: by it, dill (of datasets) tells installed packages from modules that it has to pickle.
The machine itself has: {image}.
"""


def requirements(
    name: str, extras: Collection[str], python: str, requires: Callable[[str], Sequence[str]]
) -> list[str]:
    """List what a package needs, and what that needs, on Linux with a version of Python.

    Args:
        name: The package.
        extras: Its extras.
        python: The version of Python, such as `3.12`.
        requires: Function that returns the requirements of a package as its metadata lists them.

    Returns:
        Canonical names, sorted.
    """
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    found: set[str] = set()
    done: set[tuple[str, str]] = set()

    def walk(package: str, extra: str) -> None:
        if (package, extra) in done:
            return
        done.add((package, extra))
        for line in requires(package):
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
                continue
            needed = canonicalize_name(requirement.name)
            found.add(needed)
            for wanted in ("", *requirement.extras):
                walk(needed, wanted)

    for extra in ("", *extras):
        walk(name, extra)
    return sorted(found - {canonicalize_name(name)})


def installed_requires(name: str) -> Sequence[str]:
    """Return the requirements of an installed package, and those of mmdpo as pyproject.toml lists them."""
    if name == "mmdpo":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        return project["dependencies"] + [f'{line}; extra == "{extra}"' for extra in extras for line in extras[extra]]
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        raise SystemExit(f"{name} is not installed here: run `make test` once, which installs it") from None


def carried_requires(name: str) -> Sequence[str]:
    """Return the requirements of an installed package without those that tests are skipped for."""
    return [line for line in installed_requires(name) if Requirement(line).name not in SKIPPED]


def pinned(names: Collection[str]) -> Iterator[str]:
    """Return `name==version` of installed packages."""
    return (f"{name}=={metadata.version(name)}" for name in names)


def gather(folder: Path, python: str, image: Collection[str]) -> None:
    """Fill a folder with wheels and a README.

    Args:
        folder: The folder; what it holds is removed.
        python: The version of Python of the other machine.
        image: Packages that it has.
    """
    there = {canonicalize_name(name) for name in image}
    names = [name for name in requirements("mmdpo", ["test"], python, carried_requires) if name not in there]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tags = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["manylinux2014_x86_64", "manylinux2010_x86_64"]
    wheels = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    platforms = [part for tag in (*tags, "manylinux1_x86_64") for part in ("--platform", tag)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    published = [name for name in names if name not in BUILT]
    download = [*pip, "download", "--no-deps", *wheels, *platforms, "--dest", folder]
    subprocess.run([*download, *pinned(published)], check=True)
    sources = [*pinned(name for name in names if name in BUILT), str(ROOT)]
    environment = {**os.environ, "DS_BUILD_OPS": "0"}
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, *sources], check=True, env=environment)
    (folder / "README.txt").write_text(README.format(python=python, folder=folder.name, image=", ".join(image)))


def main() -> None:
    """Gather the wheels, and fail if they are larger than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for the wheels; what it holds is removed")
    parser.add_argument("--python", default="3.12", help="version of Python of the other machine")
    parser.add_argument("--image", nargs="+", default=IMAGE, help="packages that the other machine has")
    parser.add_argument("--limit", type=float, default=60, help="largest size of all wheels in MiB")
    given = parser.parse_args()
    gather(given.folder, given.python, given.image)
    wheels = sorted(given.folder.glob("*.whl"), key=lambda wheel: -wheel.stat().st_size)
    size = sum(wheel.stat().st_size for wheel in wheels) / 2**20
    print(f"{given.folder}: {len(wheels)} wheels, {size:.1f} MiB; README.txt beside them says how to install them")
    if size > given.limit:
        largest = ", ".join(f"{wheel.name.split('-')[0]} {wheel.stat().st_size / 2**20:.1f}" for wheel in wheels[:5])
        raise SystemExit(f"more than {given.limit:g} MiB; the largest: {largest}. --image names what the machine has")


if __name__ == "__main__":
    main()
