"""A point's merged model, as a Hugging Face folder beside its adapter."""

from __future__ import annotations

from pathlib import Path

from mmdpo.console import print_line
from mmdpo.files import write_json
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.points.point import Point
from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.results import is_exported

ORIGIN = "mmdpo.json"
"""The file of a merged model that names the adapter in it."""


def merged_folder(p: Point) -> Path:
    """Return the folder of the point's merged model; it is written first if it is missing or of another adapter."""
    assert p.adapter is not None
    adapter, folder = p.adapter.resolve(), p.folder.resolve() / "merged"
    origin = {"adapter": adapter_fingerprint(adapter)}
    if not is_exported(p.folder) or mapping_or_none(folder / ORIGIN) != origin:
        from mmdpo.training.export import export_model

        print_line(f"writing the merged model to {folder}")
        export_model(p.config.model, adapter, folder)
        write_json(folder / ORIGIN, origin)
    return folder
