# marscope's command line as the native contender: one decoding's times, from the trace that `marscope sample` writes.
# Its process is started anew for every image; a trace's times hold neither the start nor the loading.

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import weights as weights_folder


@dataclass(frozen=True)
class Times:
    """Milliseconds of the iterations' parts, and the tokens [images, L, C] that came of them."""

    backbone: list[float]
    head: list[float]
    tokens: np.ndarray


@dataclass(frozen=True)
class Marscope:
    binary: Path
    weights: Path
    label: int
    seed: int

    def _run(self, threads: int, *more: str) -> float:
        command = [self.binary, "sample", "--model", self.weights, "--label", str(self.label), "--seed", str(self.seed)]
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        begin = time.perf_counter()
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"marscope sample failed: {done.stderr.strip()}")
        return (time.perf_counter() - begin) * 1e3

    def image(self, threads: int) -> Times:
        """One image."""
        with tempfile.TemporaryDirectory() as folder:
            trace, latents = Path(folder) / "trace.json", Path(folder) / "latents.safetensors"
            self._run(threads, "--out", f"{folder}/x.png", "--trace", str(trace), "--latents", str(latents))
            parts = [iteration["ms"] for iteration in json.loads(trace.read_text())["iterations"]]
            tokens = weights_folder.tensors(latents)["latents"]
        return Times([part["backbone"] for part in parts], [part["head"] for part in parts], tokens)

    def batch(self, threads: int, images: int) -> tuple[float, np.ndarray]:
        """Milliseconds of `images` images at once, less those of a process that does next to nothing; and their tokens."""
        with tempfile.TemporaryDirectory() as folder:
            latents = Path(folder) / "latents.safetensors"
            least = self._run(threads, "--out", f"{folder}/x.png", "--iterations", "1", "--steps", "2")
            whole = self._run(threads, "--out", f"{folder}/x.png", "--latents", str(latents), "--count", str(images))
            return whole - least, weights_folder.tensors(latents)["latents"]
