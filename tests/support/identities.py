"""A fixed table of identities, and the files that its lines name."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.points.identity import Role, identity

IDENTITIES = {
    "method=dpo": "0b54bda0134be286",
    "data_scale=0": "5e05e380c4c70faa",
    "data_scale=0 bench.split=dev": "fdfc82a3ebd5c39d",
    "beta=0.3": "6f7589d7182f586e",
    "lr=0.001": "2605079d738488cf",
    "logprob_avg=true": "96a06d8a0c9c19df",
    "data_scale=0.5": "9989e7e909c4e595",
    "data_limit=100": "e925a00d1d138705",
    "label_noise=0.25": "eda3afd6ced46a5d",
    "seed=1": "3b94f51a032578d3",
    "method=ipo": "519eae1c53b3345b",
    "method=hinge": "c4913e8ed16e03b5",
    "method=robust": "5285066ff4cb060a",
    "method=apo_zero": "a9a507d749ebae3e",
    "method=sft": "a87585bfb4317658",
    "method=rejection_sampling": "c9ef6d1a6d43fe3a",
    "method=steerlm": "32b279b6dd358565",
    "method=steerlm method.attributes.verbosity=1": "8d15b4939a46aad1",
    "method.fine_grained=true": "e0af06815569aea6",
    "model.lora.r=8": "8014c05cc89a7679",
    "model.train_projector=true": "a9c104e78be3a6af",
    "model.dtype=bfloat16": "c418f46f41aa7384",
    "model=auto model.path=model": "34bd6534714dd388",
    "model.path=model model.before_visual_tuning=null data_scale=0": "54f2bc6849cd76ac",
    "train.num_train_epochs=2": "69f4060073ac70b5",
    "train=paper": "9028e742a4455645",
    "pairs.margin=3": "dbe265cfe54bd0ce",
    "judge=longer": "62b52eed23a5bd8b",
    "judge=openai judge.model=m": "412086da6862186e",
    "data.seed=1": "52ea337007f4cb97",
    "data.sampling.temperature=1": "3a45763dc9ebda8b",
    "generator=openai generator.model=m generator.base_url=http://localhost:1/v1": "68af1802c9157d9a",
    "generator.adapter=adapter": "31f26653a5a3d00c",
    "model.adapter=adapter": "60bbefdda6bf9afa",
    "model.adapter=adapter model.adapter_use=merge": "881f63e96473dbc6",
    "model.adapter=adapter method.reference=base": "5a458fe861da3913",
    "round=2": "df17e680d6abe440",
    "round=2 model.adapter_use=sample": "e6b17107bf85c1e5",
    "bench.tasks=[text]": "7dd28cf8d6944a85",
    "bench.items=16": "82d35f13d550128e",
    "data=pairs data.path=text.jsonl": "6e483187ca517fc4",
    "data=pairs data.path=pairs.jsonl data.image_root=images": "70077aefc5f37881",
    "data=prompts judge=gemini data.sources.prompts.path=llava.json data.sources.prompts.image_root=images": "6043b352969a03d8",  # noqa: E501
    "cluster=slurm_zero3": "0830fe46a398b2d5",
    "method=mpo": "6076814c1e701398",
    "method=dpo_sft method.losses.sft=0.5": "29a08c5586da6771",
    "method=kto": "9539ea8c39d45bb3",
    "method=kto pairs.desirable=9 method.desirable_weight=2": "7a99e09f9909521f",
    "model.lora.use_dora=true": "f4ae1dc2d8c4a1ed",
    "train.trl.adam_beta2=0.95": "698c89e47702d30c",
}
"""Overrides of `python launch.py`, and the identity of the point."""


def own_files(folder: Path) -> None:
    """Write a model, an adapter, pairs, prompts and images of fixed content."""
    images = folder / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        (images / name).write_bytes(name.encode())
    rows = [
        {"prompt": "what is it", "chosen": "a circle", "rejected": "a square", "image": "a.png"},
        {"prompt": "and this", "chosen": "a square", "rejected": "a circle", "image": "b.png"},
        {"prompt": "hello", "chosen": "hello", "rejected": "what"},
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "text.jsonl").write_text(lines[-1] + "\n")
    prompts = [
        {"id": str(index), "image": name, "conversations": _turns("<image>\nwhat is it", "a circle")}
        for index, name in enumerate(("a.png", "b.png"))
    ]
    (folder / "llava.json").write_text(json.dumps(prompts))
    model, adapter = folder / "model", folder / "adapter"
    model.mkdir()
    adapter.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (model / name).write_bytes(name.encode())
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_bytes(name.encode())


def _turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def hex_of(config: Config, role: Role | None = None) -> str:
    """Return the identity of a point, by default of the base or the trained point that the config describes."""
    return identity(config, role or (Role.base if config.is_base else Role.trained)).hex


@functools.cache
def composed(*overrides: str) -> Config:
    """Return the config of overrides."""
    return compose_config(overrides)


def identity_of(*overrides: str) -> str:
    """Return the identity of the point of overrides."""
    return hex_of(composed(*overrides))
