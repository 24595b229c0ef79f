"""`python -m mmdpo.nano`: make the miniature's models anew."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdpo.nano import INSTRUCT, WEIGHTS


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m mmdpo.nano", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="train both models, measure them, write them with their card")
    build.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to (default: the shipped one)")
    build.add_argument("--seed", type=int, default=0, help="seed of the base model")
    build.add_argument("--tuning-seeds", type=int, nargs="+", default=[0, 1, 2], help="the first is kept")
    build.add_argument("--steps-scale", type=float, default=1.0, help="0.01 trains a hundredth as long")
    build.add_argument("--items", type=int, default=400, help="held-out questions a benchmark of the card")
    tune = commands.add_parser("tune", help="visual instruction tuning alone, of a base that is there")
    tune.add_argument("--base", type=Path, default=INSTRUCT, help="folder of the base model")
    tune.add_argument("--out", type=Path, required=True, help="folder to write the tuned model to")
    tune.add_argument("--seed", type=int, default=0, help="seed of the tuning")
    tune.add_argument("--steps-scale", type=float, default=1.0, help="0.01 trains a hundredth as long")
    card = commands.add_parser("card", help="one card out of those of several builds; the first is the shipped one")
    card.add_argument("cards", type=Path, nargs="+", help="card.json files")
    card.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to (default: the shipped one)")
    options = parser.parse_args(arguments)

    from mmdpo.nano_models import build as making  # torch takes seconds: not for --help
    from mmdpo.nano_models.training import Recipe

    if options.command == "build":
        making.build(options.out, options.seed, options.tuning_seeds, options.steps_scale, options.items)
    elif options.command == "tune":
        making.save(making.retune(options.base, Recipe().scaled(options.steps_scale), options.seed), options.out)
        making.print_line(f"The tuned model is in {options.out}")
    else:
        making.merge_cards(options.out, options.cards)


if __name__ == "__main__":
    main()
