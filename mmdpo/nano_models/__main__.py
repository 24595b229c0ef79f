"""Train the miniature's models again: `python -m mmdpo.nano_models build`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdpo.nano import INSTRUCT, WEIGHTS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m mmdpo.nano_models", description="Train the miniature's models again."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="train both models, evaluate them, write them with their card")
    build.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to (default: the shipped one)")
    build.add_argument("--seed", type=int, default=0, help="seed of the base model")
    build.add_argument(
        "--tuning-seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        help="seeds of visual tuning; the first one's model is kept",
    )
    build.add_argument("--steps-scale", type=float, default=1.0, help="0.01 trains a hundredth as long")
    build.add_argument("--items", type=int, default=400, help="held-out questions per benchmark of the card")
    tune = commands.add_parser("tune", help="run visual instruction tuning alone, on an existing base model")
    tune.add_argument("--base", type=Path, default=INSTRUCT, help="folder of the base model")
    tune.add_argument("--out", type=Path, required=True, help="folder to write the tuned model to")
    tune.add_argument("--seed", type=int, default=0, help="seed of the tuning")
    tune.add_argument("--steps-scale", type=float, default=1.0, help="0.01 trains a hundredth as long")
    card = commands.add_parser(
        "card", help="merge the cards of several builds; the first is that of the shipped models"
    )
    card.add_argument("cards", type=Path, nargs="+", help="card.json files")
    card.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to (default: the shipped one)")
    options = parser.parse_args(arguments)

    from mmdpo.nano_models import build as builder  # imports torch, which --help does not need
    from mmdpo.nano_models.training import NanoRecipe

    if options.command == "build":
        builder.build(options.out, options.seed, options.tuning_seeds, options.steps_scale, options.items)
    elif options.command == "tune":
        builder.save_model(
            builder.retune(options.base, NanoRecipe().scaled(options.steps_scale), options.seed), options.out
        )
        builder.print_line(f"The tuned model is in {options.out}")
    else:
        builder.merge_cards(options.out, options.cards)


if __name__ == "__main__":
    main()
