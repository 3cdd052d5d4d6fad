"""Command line: ``python -m tools.default_checkpoint <command> --help``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tools.default_checkpoint.presets import PRESETS, STAGES, Preset

RUN = Path("tmp/default-checkpoint")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 3 when training stopped because its time was up."""
    arguments = _parser().parse_args(argv)
    return int(arguments.run_command(arguments) or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.default_checkpoint", description=__doc__)
    commands = parser.add_subparsers(required=True)

    render = commands.add_parser("render", help="draw training pictures with their captions on one sheet")
    render.add_argument("target", type=Path)
    render.add_argument("--count", type=int, default=48)
    render.add_argument("--seed", type=int, default=1)
    render.set_defaults(run_command=_render)

    judge = commands.add_parser("judge", help="check the judge on the renderer's own pictures")
    judge.add_argument("--count", type=int, default=400)
    judge.set_defaults(run_command=_judge)

    train = commands.add_parser("train", help="run stages of the training, from where they stand")
    train.add_argument("stages", nargs="+", choices=STAGES)
    _training_options(train)
    train.set_defaults(run_command=_train)

    everything = commands.add_parser("all", help="run all stages, then export, in parts that travel")
    _training_options(everything)
    everything.set_defaults(run_command=_all)

    sample = commands.add_parser(
        "sample", help="paint and judge held-out prompts directly, without the program"
    )
    sample.add_argument("target", type=Path)
    sample.add_argument("--count", type=int, default=48)
    _training_options(sample)
    sample.set_defaults(run_command=_sample)

    export = commands.add_parser("export", help="write the files that are shipped")
    export.add_argument("--parts", action="store_true", help="also cut into parts of 15 MiB")
    _training_options(export)
    export.set_defaults(run_command=_export)

    join = commands.add_parser("join", help="put the parts of a file together")
    join.add_argument("folder", type=Path)
    join.add_argument("name")
    join.add_argument("target", type=Path)
    join.set_defaults(run_command=_join)

    evaluate = commands.add_parser("evaluate", help="paint held-out prompts with the program and measure")
    evaluate.add_argument("checkpoint", type=Path)
    evaluate.add_argument("--count", type=int, default=240)
    evaluate.add_argument("--side-count", type=int, default=40)
    evaluate.add_argument("--page", type=Path, default=Path("docs/default-checkpoint.md"))
    evaluate.add_argument("--scratch", type=Path, default=RUN / "evaluation")
    evaluate.set_defaults(run_command=_evaluate)

    words = commands.add_parser("words", help="make words.json anew, after captions were changed")
    words.set_defaults(run_command=_words)
    return parser


def _training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=tuple(PRESETS), default="gpu")
    parser.add_argument("--run", type=Path, default=RUN, help="folder of states, logs and curves")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--minutes", type=float, help="stop after so long; the same command goes on")
    parser.add_argument("--workers", type=int, default=0, help="processes that render; 0: none")
    parser.add_argument("--threads", type=int, help="threads of PyTorch on the CPU")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="this many times the steps of the preset")
    parser.add_argument("--compile", action="store_true", help="compile the UNet (torch.compile)")


def _session(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    import torch

    from tools.default_checkpoint.stage import Session

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    deadline = None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    return Session(
        folder=arguments.run,
        preset=_scaled(PRESETS[arguments.preset], arguments.scale),
        device=torch.device(device),
        seed=arguments.seed,
        workers=arguments.workers,
        deadline=deadline,
        compile=arguments.compile,
        say=lambda text: print(text, flush=True),
    )


def _scaled(preset: Preset, scale: float) -> Preset:
    stages = {
        name: replace(row, steps=max(1, round(row.steps * scale))) for name, row in preset.stages.items()
    }
    return replace(preset, stages=MappingProxyType(stages))


def _render(arguments: argparse.Namespace) -> None:
    from tools.default_checkpoint.captions import caption
    from tools.default_checkpoint.drawing import render
    from tools.default_checkpoint.report import contact_sheet
    from tools.default_checkpoint.scenes import scene_rng, training_scene

    rows = []
    for number in range(arguments.count):
        rng = scene_rng(arguments.seed, number)
        scene = training_scene(rng)
        rows.append((render(scene, seed=arguments.seed, number=number), caption(scene, rng)))
        print(f"{number}: {rows[-1][1]}")
    contact_sheet(rows).save(arguments.target)


def _judge(arguments: argparse.Namespace) -> None:
    from tools.default_checkpoint.evaluate import check_judge, table

    print("\n".join(table(check_judge(arguments.count))))


def _train(arguments: argparse.Namespace) -> int:
    from tools.default_checkpoint.training import train

    return 0 if train(_session(arguments), tuple(arguments.stages)) else 3


def _all(arguments: argparse.Namespace) -> int:
    from tools.default_checkpoint.training import train

    if not train(_session(arguments)):
        return 3
    arguments.parts = True
    _export(arguments)
    return 0


def _export(arguments: argparse.Namespace) -> None:
    from tools.default_checkpoint.export import export, split

    for path in export(_session(arguments), arguments.run / "export").values():
        print(f"{path}: {path.stat().st_size} bytes")
        if arguments.parts:
            split(path, arguments.run / "parts")


def _join(arguments: argparse.Namespace) -> None:
    from tools.default_checkpoint.export import join

    print(join(arguments.folder, arguments.name, arguments.target))


def _sample(arguments: argparse.Namespace) -> None:
    from tools.default_checkpoint.captions import plain_caption
    from tools.default_checkpoint.evaluate import held_out_scenes, score, table
    from tools.default_checkpoint.painters import DirectPainter, Order
    from tools.default_checkpoint.report import contact_sheet

    scenes = held_out_scenes(arguments.count)
    texts = [plain_caption(scene) for scene in scenes]
    painter = DirectPainter(_session(arguments))
    pictures = painter.paint([Order(text, seed=number, guidance=5.0) for number, text in enumerate(texts)])
    contact_sheet(list(zip(pictures, texts, strict=True))).save(arguments.target)
    print("\n".join(table(score(scenes, pictures))))


def _evaluate(arguments: argparse.Namespace) -> None:
    from tools.default_checkpoint.painters import EnginePainter
    from tools.default_checkpoint.report import markdown, measure, write_report

    painter = EnginePainter(arguments.checkpoint.absolute(), arguments.scratch)
    figures = measure(painter, arguments.count, arguments.side_count)
    print(markdown(figures))
    write_report(figures, arguments.page)


def _words(_: argparse.Namespace) -> None:
    from tools.default_checkpoint.tokens import write_words

    write_words()


if __name__ == "__main__":
    sys.exit(main())
