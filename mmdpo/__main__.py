"""The command `python -m mmdpo`, for studies, their jobs and data; it never trains."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmdpo.cli.parser import make_parser
from mmdpo.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (a failed point, missing data) or 2 (a wrong command)."""
    options = make_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except UserError as error:
        from mmdpo.console import printable

        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
