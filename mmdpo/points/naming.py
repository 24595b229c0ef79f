"""Folder names of points: what was swept, in short form, and the first digits of the identity."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from mmdpo.config.presets import default_presets, preset_values
from mmdpo.config.schema import AXES, GROUPS, Config, JudgeConfig
from mmdpo.points.identity import Identity, Role, flatten, plain

LENGTH = 100  # characters of the readable part
RUN_LENGTH = 128  # characters of a name in W&B
VALUE_LENGTH = 24  # characters of one value
SUFFIX = 6  # hexadecimal digits of the identity
LONG_SUFFIX = 12  # if another point has the same name with `SUFFIX` digits
NAMED_PATHS = ("model.path", "model.adapter", "data.path", "data.hub", "generator.adapter")
IN_CONTENT = ("model.chat_template", "model.pad_to_square")  # which a fingerprint stands for
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def readable_name(config: Config, role: Role, identity: Identity) -> str:
    """Return the readable part of a point's name.

    It names the axes, then the settings that differ from the schema's defaults and from the YAML files of the chosen
    presets. It is a function of the config and of these files, so that every command gives a point the same name.
    """
    parts = _axes(config) if role is Role.trained else [role.value]
    return _cut("-".join([*parts, *_extras(config, role, identity)]), LENGTH)


def imported_name(name: str, identity: str) -> str:
    """Return the folder name of a row that was imported under a name."""
    return f"{_cut(f'{Role.imported.value}-{_clean(name)}', LENGTH)}-{identity[:SUFFIX]}"


def run_name(config: Config, name: str, identity: Identity) -> str:
    """Return the name of a point's W&B run: that of its folder, and what else differs from the default presets.

    Folders do not name presets; they tell such points apart by the digits at their end, which a run's name lacks.

    Args:
        config: The point's config.
        name: The name of the point's folder.
        identity: The point's identity.
    """
    used = {key.partition(":")[0] for key in (*identity.settings, *identity.contents)}
    groups = {key.partition(".")[0] for key in used}
    labels = [
        f"{group}_{_clean(label)[:VALUE_LENGTH]}"
        for group, default in default_presets().items()
        if group in groups - {"method"} and (label := str(getattr(config, group).name)) != default
    ]
    paths = {key.partition(":")[0] for key in identity.contents} - set(NAMED_PATHS)
    places = [
        f"{_short(key)}_{_value(_name_of_path(Path(place)))}"
        for key in sorted(paths)
        if isinstance(place := _at(config, key), str) and place != _of_group_file(key, config)
    ]
    return _cut("-".join([name.rpartition("-")[0], *labels, *places]), RUN_LENGTH)


def without_seed(name: str, seed: Any) -> str:
    """Return the name of a run without its seed: runs that differ only in their seed share it."""
    return f"{name}-".replace(f"-seed{seed}-", "-").rstrip("-")


def _cut(text: str, length: int) -> str:
    """Cut a text in its middle: names of a sweep differ at their beginning or their end."""
    if len(text) > length:
        end = length * 2 // 5
        text = f"{text[: length - end - 1].rstrip('-_.')}_{text[-end:].lstrip('-_.')}"
    return text.rstrip("-_.")


def _axes(config: Config) -> list[str]:
    parts = [_clean(config.method.name)]
    if config.beta is not None:
        parts.append(f"beta{config.beta:g}")
    parts.append(f"lr{config.lr:g}")
    if config.logprob_avg is not None:
        parts.append("avg" if config.logprob_avg else "sum")
    parts.append(f"data{float(plain(config.data_scale))}")
    if config.data_limit is not None:
        parts.append(f"limit{config.data_limit}")
    if config.label_noise:
        parts.append(f"noise{config.label_noise:g}")
    return [*parts, f"seed{config.seed}"]


def _extras(config: Config, role: Role, identity: Identity) -> list[str]:
    """Name the settings of the point that are neither axes nor those of its groups' files."""
    keys = [key for key, value in identity.settings.items() if key not in AXES and _at(config, key) == value]
    keys = [key for key in keys if not key.startswith("bench.judge.") or key == "bench.judge.model"]
    keys += [key for key in IN_CONTENT if _at(config, key) or _of_group_file(key, config)]
    paths = {key.partition(":")[0] for key in identity.contents} & set(NAMED_PATHS)
    if role is Role.before_visual_tuning:
        paths.clear()  # the base's config names this model
    return [
        part for key in [*keys, *sorted(paths)] for part in _named(key, _at(config, key), _of_group_file(key, config))
    ]


def _named(key: str, value: Any, usual: Any) -> list[str]:
    """Return the parts of a name for one setting; none if the value is the usual one."""
    if value is None or value == usual:
        return []
    if isinstance(value, dict):
        before = usual if isinstance(usual, dict) else {}
        return [f"{_clean(name)}{_value(one)}" for name, one in value.items() if before.get(name) != one]
    if key in NAMED_PATHS:
        place = "start" if key == "model.adapter" else key.partition(".")[0]
        return [f"{place}_{_value(_name_of_path(Path(str(value))))}"]
    name = _short(key)
    if isinstance(value, bool):
        return [name if value else f"no_{name}"]
    separator = "" if isinstance(value, int | float) else "_"
    return [f"{name}{separator}{_value(value)}"]


def _name_of_path(path: Path) -> str:
    """Return a short name of a path: of a point's adapter the end of the point's name."""
    if path.name == "adapter":
        return path.parent.name[-SUFFIX:]
    return path.stem if path.suffix in (".json", ".jsonl", ".parquet") else path.name


@cache
def _short(key: str) -> str:
    """Return the last word of a key, with the word before it if other settings end with the same word."""
    parent, _, last = key.rpartition(".")
    # no point is named by its plan
    endings = [other.rpartition(".")[2] for other in flatten(Config()) if not other.startswith("plan.")]
    return last if endings.count(last) < 2 else f"{parent.rpartition('.')[2]}_{last}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return _cut(_clean("_".join(map(str, value))), VALUE_LENGTH)
    return _cut(_clean(str(value)), VALUE_LENGTH)


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_.")


def _at(config: Config, key: str) -> Any:
    """Return the value of a dotted key; None if there is none."""
    value: Any = config
    for word in key.split("."):
        value = value.get(word) if isinstance(value, dict) else getattr(value, word, None)
    if isinstance(value, JudgeConfig):
        return value.client
    return sorted(value) if key == "bench.tasks" else plain(value)


def _of_group_file(key: str, config: Config) -> Any:
    """Return the value that the chosen group's YAML file gives a setting; the point's own if it gives none.

    Settings of a group whose file cannot be found are not named.
    """
    group = key.partition(".")[0]
    if group not in GROUPS:
        return None
    values = preset_values(group, getattr(config, group).name)
    if values is None:
        return _at(config, key)
    value: Any = values
    for word in key.split(".")[1:]:
        if not isinstance(value, dict) or word not in value:
            return None
        value = value[word]
    if key == "bench.tasks":
        return sorted(value)
    if isinstance(value, str) and "${" in value:
        reference = REFERENCE.fullmatch(value)
        return _at(config, reference[1] if reference else key)
    return plain(value)
