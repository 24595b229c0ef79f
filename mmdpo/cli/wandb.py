"""The command wandb: a study's runs, workspace and report in Weights & Biases."""

from __future__ import annotations

import argparse

from mmdpo.cli.arguments import Commands, add_study

WANDB = """\
Bring a study in W&B up to date: upload what was kept offline, give every run its scores with
intervals, its gain over the base and the verdict, log tables of answers and the figures, and
build a workspace and a report. Running the command again updates them.
Without a key the same dashboard is written as a page that needs no server."""
WANDB_EPILOG = """\
exit code: 0 done, 1 no key, or an error of W&B: then the page is written, 2 a wrong command

examples:
  WANDB_API_KEY=... python -m mmdpo wandb nano-data_scaling
  python -m mmdpo wandb nano --adapters     adapters as artifacts, too
  python -m mmdpo wandb nano --offline      the page alone
"""


def wandb(options: argparse.Namespace) -> int:
    """Upload a study to W&B, or write its dashboard as a page. Returns 1 if W&B could not be used."""
    from mmdpo.analysis.find import find_study
    from mmdpo.dashboard.publish import publish_study

    done = publish_study(find_study(options.study), adapters=options.adapters, offline=options.offline)
    return 0 if done else 1


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command wandb."""
    command = commands.add_parser(
        "wandb",
        help="upload a study to W&B and build its workspace and report, or write them as a page",
        description=WANDB,
        epilog=WANDB_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_study(command)
    command.add_argument("--adapters", action="store_true", help="upload adapters as artifacts")
    command.add_argument("--offline", action="store_true", help="write the page and use no network")
    command.set_defaults(run=wandb)
