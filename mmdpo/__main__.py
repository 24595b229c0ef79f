"""The command `python -m mmdpo`, for studies, their jobs and data; it never trains."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmdpo.cli.parser import parse
from mmdpo.console import printable
from mmdpo.errors import UserError
from mmdpo.output import tolerate_any_encoding
from mmdpo.points import commands
from mmdpo.storage import translate_storage_errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (a failed point, missing data) or 2 (a wrong command)."""
    tolerate_any_encoding()
    options = parse(arguments)
    try:
        with translate_storage_errors():
            code = int(options.run(options))
            commands.end("submitted" if code == 0 else f"exit code {code}")
            return code
    except UserError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
