"""``python -m modules.checkpoints.merge_command``: merge checkpoints without the web interface."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modules.checkpoints.merge_recipe import CONFIG_SOURCES, MergeRequest, Method
from modules.checkpoints.merging import merge
from modules.errors import EaselError, InvalidInput

METHODS = {"none": Method.NONE, "sum": Method.SUM, "difference": Method.DIFFERENCE}


def _block(text: str) -> tuple[str, float]:
    pattern, equals, number = text.rpartition("=")
    try:
        return pattern, float(number) if equals else float("nan")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not PATTERN=NUMBER") from None


def build_parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m modules.checkpoints.merge_command",
        description="Merge one to three checkpoints, one tensor at a time.",
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="files A, B and C")
    parser.add_argument("--output", "-o", required=True, type=Path, help="file to write; must not exist")
    parser.add_argument(
        "--method",
        choices=sorted(METHODS),
        default="sum",
        help="none: A; sum: A*(1-M) + B*M; difference: A + (B-C)*M",
    )
    parser.add_argument("--multiplier", "-m", type=float, default=0.3, help="M (default %(default)s)")
    parser.add_argument(
        "--block",
        action="append",
        default=[],
        type=_block,
        metavar="PATTERN=M",
        help="another M for the tensors whose name the regular expression is found in; may be repeated",
    )
    parser.add_argument("--half", action="store_true", help="save 16-bit floats")
    parser.add_argument("--vae", type=Path, help="VAE to put in")
    parser.add_argument("--discard", default="", metavar="PATTERN", help="leave tensors of such names out")
    parser.add_argument("--config-source", choices=CONFIG_SOURCES, default=CONFIG_SOURCES[0])
    parser.add_argument("--no-recipe", action="store_true", help="do not write how it was made")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 1 with a sentence on the error stream."""
    given = build_parser().parse_args(arguments)
    request = MergeRequest(
        tuple(given.models),
        given.output,
        METHODS[given.method],
        given.multiplier,
        tuple(given.block),
        half=given.half,
        vae=given.vae,
        discard=given.discard,
        config_source=given.config_source,
        add_recipe=not given.no_recipe,
    )
    try:
        if len(given.models) > request.method.models:
            raise InvalidInput(
                f"The method {given.method} takes {request.method.models} model(s); "
                f"{len(given.models)} given."
            )
        result = merge(request)
    except EaselError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{result.path}: {result.tensors} tensors, {result.nbytes} bytes")
    for name in result.nonfinite:
        print(f"{name} holds NaN or infinity.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
