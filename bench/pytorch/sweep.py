# Weights folders for the question how time grows: random weights, one size changed at a time; and the batch, timed natively.
# `python sweep.py --out DIR`; ../browser/sweep.mjs times the folders in the browser, fits and plots.

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import weights as weights_folder
from export_onnx import plan
from ours import Marscope
from weights import Shape

ROOT = Path(__file__).resolve().parents[2]
BASE = Shape(7, 16, 128, 4, 4, 512, 10, 8, 3, 192)
STEPS = 50
GRIDS, WIDTHS, STEP_COUNTS, BATCHES = (5, 7, 10, 14, 20), (64, 128, 256, 512), (10, 25, 50, 100, 250), (1, 4, 16, 64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ROOT / "target/bench/sweep", help="folder for the folders")
    parser.add_argument("--marscope", type=Path, default=ROOT / "target/release/marscope", help="marscope's binary")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    points = []

    def point(axis: str, value: int, shape: Shape, steps: int = STEPS) -> None:
        folder = args.out / f"{axis}-{value}"
        config = weights_folder.config_of(shape, 16, steps)
        weights_folder.write(folder, config, weights_folder.random(shape))
        shape_entry = {**vars(shape), "tokens": shape.tokens}
        entry = {"shape": shape_entry, **plan(shape, config["defaults"], 7, folder)}
        (folder / "plan.json").write_text(json.dumps(entry) + "\n")
        points.append({"axis": axis, "value": value, "folder": folder.name})

    for grid in GRIDS:
        point("tokens", grid * grid, replace(BASE, grid=grid))
    for width in WIDTHS:
        point("width", width, replace(BASE, width=width, hidden=4 * width, head_width=3 * width // 2))
    for steps in STEP_COUNTS:
        point("steps", steps, BASE, steps)
    ours = Marscope(args.marscope, args.out / f"steps-{STEPS}", label=9, seed=7)
    for images in BATCHES:
        ms = [ours.batch(1, images)[0] for _ in range(args.rounds)]
        points.append({"axis": "images", "value": images, "ms": {"all images, natively, 1 thread": ms}})
    (args.out / "points.json").write_text(json.dumps(points, indent=2) + "\n")


if __name__ == "__main__":
    main()
