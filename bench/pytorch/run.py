# The benchmark natively: marscope's command line against PyTorch eager, interleaved, same weights, order and noise.
# `python run.py --help` lists what it takes; it writes raw times, of which ../report.mjs makes the table.

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import sampling
import weights as weights_folder
from mar import Mar
from ours import Marscope
from weights import Shape

ROOT = Path(__file__).resolve().parents[2]
LABEL, SEED = 9, 7
# Table 1 of the paper's appendix; random weights, so only times mean anything.
MAR_BASE = Shape(16, 16, 768, 12, 12, 3072, 1000, 64, 6, 1024)


@dataclass(frozen=True)
class Settings:
    iterations: int
    steps: int
    cfg: float


class Captured:
    """A function whose CUDA work is recorded once and then replayed on the same memory."""

    def __init__(self, work: Callable[..., Tensor], *example: Tensor) -> None:
        self.inputs = [tensor.clone() for tensor in example]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work(*self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = work(*self.inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        return self.output


class Decoding:
    """What a batch of images is decoded from, on its device: image i takes seed + i."""

    def __init__(self, mar: Mar, settings: Settings, images: int, device: str, only: range | None = None) -> None:
        shape = mar.shape
        arguments = (shape.tokens, settings.iterations, settings.cfg, settings.steps, shape.dim)
        plans = [sampling.decoding(SEED + i, *arguments)[1] for i in range(images)]
        self.mar, self.images, self.device = mar, images, device
        self.labels = torch.full((images,), LABEL, device=device)
        # What the arithmetic of an image follows from.
        rows = [{"known": len(one.known), "rows": len(one.rows)} for one in plans[0]]
        self.plan = {"shape": vars(shape) | {"tokens": shape.tokens}, "settings": {"steps": settings.steps}, "iterations": rows}
        self.iterations = []
        for at in only or range(settings.iterations):
            each = [plan[at] for plan in plans]
            known = torch.tensor([one.known for one in each], dtype=torch.long, device=device)
            rows = torch.tensor([one.rows for one in each], device=device)
            noise = torch.from_numpy(np.concatenate([one.noise for one in each], 1)).to(device)
            self.iterations.append((known, rows, noise, torch.tensor(each[0].cfg, device=device)))
        self.captured: dict[tuple, Captured] = {}

    def _call(self, work: Callable[..., Tensor], graphs: bool, *inputs: Tensor) -> Tensor:
        if not graphs:
            return work(*inputs)
        key = (work, *(tuple(tensor.shape) for tensor in inputs))
        if key not in self.captured:
            self.captured[key] = Captured(work, *inputs)
        return self.captured[key](*inputs)

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() * 1e3

    @torch.inference_mode()
    def run(self, graphs: bool = False) -> tuple[list[float], list[float], np.ndarray]:
        """Milliseconds of every iteration's backbone and head, and the tokens [images, L, C]."""
        shape = self.mar.shape
        tokens = torch.zeros(self.images, shape.tokens, shape.dim, device=self.device)
        image = torch.arange(self.images, device=self.device)[:, None]
        backbone, head = [], []
        for known, rows, noise, cfg in self.iterations:
            begin = self._now()
            condition = self._call(self.mar.condition, graphs, tokens, self.labels, known, rows)
            between = self._now()
            sampled = self._call(self.mar.denoise, graphs, condition, noise, cfg)
            tokens[image, rows] = sampled.view(self.images, -1, shape.dim)
            backbone.append(between - begin)
            head.append(self._now() - between)
        return backbone, head, tokens.cpu().numpy()


def samples(engine: str, steps: int, backbone: list[float], head: list[float]) -> list[dict]:
    """One decoding's times as the report takes them."""
    entries = {
        "backbone pass, mean of the image": sum(backbone) / len(backbone),
        "diffusion step, mean of the image": sum(head) / len(head) / steps,
        "whole image": sum(backbone) + sum(head),
    }
    return [{"engine": engine, "task": task, "ms": ms} for task, ms in entries.items()]


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def largest(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def machine(device: str) -> dict[str, str]:
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"pytorch": f"PyTorch {torch.__version__}", "device": name}


def roof(binary: Path, threads: int) -> dict[str, float]:
    """What the processor can do at all right now: billions of sums and products a second, and of bytes copied."""
    done = subprocess.run([binary, str(threads)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"marscope-roof failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def higher(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {key: max(one[key], other[key]) for key in one}


def one_image(
    mar: Mar, ours: Marscope, roof_binary: Path, settings: Settings, rounds: int, threads: int, of: str = ""
) -> dict:
    """A single image on the CPU."""
    torch.set_num_threads(threads)
    decoding = Decoding(mar, settings, 1, "cpu")
    _, _, theirs = decoding.run()
    tokens, found, roofs = ours.image(threads).tokens, [], []
    for number in range(rounds):
        say(f"one image, {threads} threads: round {number + 1} of {rounds}")
        before = roof(roof_binary, threads)
        times = ours.image(threads)
        # A shared machine gains and loses speed within a round: its roof is the higher one.
        roofs.append(higher(before, roof(roof_binary, threads)))
        found += samples("marscope", settings.steps, times.backbone, times.head)
        found += samples("PyTorch eager", settings.steps, *decoding.run()[:2])
    done = group(f"native, CPU, {threads} threads, one image{of}", "cpu", found, largest(theirs, tokens))
    return done | {"roofs": roofs, "plan": decoding.plan}


def many_images(mar: Mar, ours: Marscope, settings: Settings, rounds: int, threads: int, images: int) -> dict:
    """A batch of images on the CPU."""
    torch.set_num_threads(threads)
    decoding = Decoding(mar, settings, images, "cpu")
    theirs, found = decoding.run()[2], []
    for number in range(rounds):
        say(f"{images} images, {threads} threads: round {number + 1} of {rounds}")
        ms, tokens = ours.batch(threads, images)
        backbone, head, _ = decoding.run()
        found.append({"engine": "marscope", "task": f"whole image, {images} at once", "ms": ms})
        found.append(
            {"engine": "PyTorch eager", "task": f"whole image, {images} at once", "ms": sum(backbone) + sum(head)}
        )
    return group(f"native, CPU, {threads} threads, {images} images", "cpu", found, largest(theirs, tokens))


def group(name: str, device: str, found: list[dict], difference: float | None, notes: list[str] | None = None) -> dict:
    roles = dict.fromkeys(sample["engine"] for sample in found)
    engines = [
        {
            "name": engine,
            "role": "ours" if engine == "marscope" else "peer",
            "difference": None if engine == "marscope" else difference,
        }
        for engine in roles
    ]
    return {"group": name, "machine": machine(device), "notes": notes or [], "engines": engines, "samples": found}


def peer_alone(
    mar: Mar, settings: Settings, name: str, device: str, images: int, rounds: int, only: range | None
) -> dict:
    """PyTorch by itself: on a GPU, eager and as CUDA graphs."""
    decoding, found = Decoding(mar, settings, images, device, only), []
    kinds = {"PyTorch eager": False} | ({"PyTorch, CUDA graphs": True} if device == "cuda" else {})
    for graphs in kinds.values():
        decoding.run(graphs)
    for number in range(rounds):
        say(f"{name}, {images} images: round {number + 1} of {rounds}")
        for engine, graphs in kinds.items():
            found += samples(engine, settings.steps, *decoding.run(graphs)[:2])
    count = len(decoding.iterations)
    notes = [] if only is None else [f"whole image here means {count} of its {settings.iterations} iterations"]
    return group(f"{name}, {images} image(s)", device, found, None, notes)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path, default=ROOT / "weights/fashion", help="weights folder")
    parser.add_argument("--marscope", type=Path, default=ROOT / "target/release/marscope", help="marscope's binary")
    parser.add_argument(
        "--roof", type=Path, default=ROOT / "target/release/marscope-roof", help="program that measures the machine's peak"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1], help="numbers of CPU threads"
    )
    parser.add_argument("--images", type=int, default=64, help="images of the batch; 0 leaves it out")
    parser.add_argument("--size", choices=["weights", "mar-base"], default="weights", help="of the network")
    parser.add_argument("--out", type=Path, default=ROOT / "target/bench/native.json", help="raw times as JSON")
    args = parser.parse_args()

    groups = []
    if args.size == "mar-base":
        # Few iterations of few steps: the network is a hundred times the shipped one.
        settings, random = Settings(4, 25, 3.0), weights_folder.random(MAR_BASE)
        mar, threads = Mar(MAR_BASE, random, settings.steps, clip=True), max(args.threads)
        with tempfile.TemporaryDirectory() as folder:
            config = weights_folder.config_of(MAR_BASE, settings.iterations, settings.steps)
            weights_folder.write(Path(folder), config, random)
            ours, of = Marscope(args.marscope, Path(folder), LABEL, SEED), " of mar-base (4 iterations, 25 steps)"
            groups.append(one_image(mar, ours, args.roof, settings, min(args.rounds, 3), threads, of))
        if torch.cuda.is_available():
            settings, some = Settings(64, 100, 3.0), range(30, 34)
            mar = Mar(MAR_BASE, random, settings.steps, clip=False)
    else:
        config, tensors = weights_folder.read(args.weights)
        defaults = config["defaults"]
        settings = Settings(defaults["iterations"], defaults["steps"], defaults["cfg"])
        mar = Mar(weights_folder.shape_of(config), tensors, settings.steps, config["clip_denoised"])
        ours, some = Marscope(args.marscope, args.weights, LABEL, SEED), None
        for threads in dict.fromkeys(args.threads):
            groups.append(one_image(mar, ours, args.roof, settings, args.rounds, threads))
        if args.images > 0:
            groups.append(many_images(mar, ours, settings, min(args.rounds, 3), max(args.threads), args.images))
    if torch.cuda.is_available():
        mar = mar.to("cuda")
        for images in (1, 64):
            groups.append(peer_alone(mar, settings, f"native, CUDA, {args.size}", "cuda", images, args.rounds, some))
    else:
        groups[-1]["notes"].append("PyTorch on CUDA, eager and as CUDA graphs: skipped, PyTorch sees no GPU")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(groups, indent=2) + "\n")


if __name__ == "__main__":
    main()
