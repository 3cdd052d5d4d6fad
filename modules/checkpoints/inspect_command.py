"""``python -m modules.checkpoints.inspect_command``: say what model files are."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from modules.checkpoints.inspector import as_text, inspect_file
from modules.errors import EaselError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 1 when a file could not be read."""
    parser = argparse.ArgumentParser(
        prog="python -m modules.checkpoints.inspect_command",
        description="Say what model files are, without loading them.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--weights", action="store_true", help="read all tensors, look for NaN and infinity")
    parser.add_argument("--hash", action="store_true", help="compute the SHA-256")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file and line")
    given = parser.parse_args(arguments)
    code = 0
    for path in given.files:
        try:
            report = inspect_file(path, weights=given.weights, hashing=given.hash)
        except EaselError as error:
            print(error, file=sys.stderr)
            code = 1
        else:
            print(json.dumps(report.as_dict(), ensure_ascii=False) if given.json else as_text(report))
    return code


if __name__ == "__main__":
    sys.exit(main())
