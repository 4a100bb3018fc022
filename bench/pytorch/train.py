# Training speed: marscope's trainer against PyTorch eager on the same network, recipe and images, interleaved.
# `python train.py --help` lists what it takes; it writes raw times, of which ../report.mjs makes the table.

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import weights as weights_folder
from mar import Mar
from run import MAR_BASE, ROOT, group

# Diffusion steps of training; images a step and times each token is noised, of the shipped network and of mar-base.
STEPS = 1000
FASHION, BASE = (64, 2), (4, 4)


def schedule() -> dict[str, Tensor]:
    """The training schedule (cosine alpha-bar, 1,000 steps) and what the variational bound takes of it."""
    bar = [math.cos((t / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(STEPS + 1)]
    betas = np.array([min(1 - bar[t + 1] / bar[t], 0.999) for t in range(STEPS)])
    alpha_bar = np.cumprod(1 - betas)
    before = np.append(1.0, alpha_bar[:-1])
    posterior = betas * (1 - before) / (1 - alpha_bar)
    posterior[0] = posterior[1]
    tables = {
        "signal": np.sqrt(alpha_bar),
        "spread": np.sqrt(1 - alpha_bar),
        "least": np.log(posterior),
        "most": np.log(betas),
        "error": betas * np.sqrt(before) / (1 - alpha_bar) * np.sqrt(1 / alpha_bar - 1),
    }
    return {name: torch.from_numpy(table.astype(np.float32))[:, None] for name, table in tables.items()}


def time_features(t: Tensor) -> Tensor:
    angles = t[:, None].float() * torch.exp(-math.log(10_000) * torch.arange(128) / 128)
    return torch.cat([angles.cos(), angles.sin()], 1)


def loss(mar: Mar, tables: dict[str, Tensor], tokens: Tensor, labels: Tensor, repeats: int) -> Tensor:
    """The Diffusion Loss as the official script has it: error of the noise, and the bound for the learned variance. The
    likelihood at t = 0, a thousandth of the rows, is left out."""
    images, length, dim = tokens.shape
    buffer = mar.shape.buffer
    ratio = next(r for r in iter(lambda: 1 + 0.25 * torch.randn(()).item(), None) if 0.7 <= r <= 1)
    masked = math.ceil(length * ratio)
    orders = torch.rand(images, length).argsort(1)
    rows, known = orders[:, :masked].sort(1).values, orders[:, masked:].sort(1).values
    branch = torch.arange(images)[:, None]
    dropped = (torch.rand(images, 1) < 0.1).float()
    classes = dropped * mar.fake_latent + (1 - dropped) * mar.class_emb(labels)
    places = torch.cat([torch.arange(buffer).expand(images, -1), known + buffer], 1)
    x = torch.cat([classes[:, None].expand(-1, buffer, -1), mar.z_proj(tokens[branch, known])], 1)
    x = mar.z_proj_ln(x + mar.encoder_pos_embed_learned[0, places])
    for block in mar.encoder_blocks:
        x = block(x)
    x = mar.decoder_embed(mar.encoder_norm(x))
    everywhere = mar.mask_token.repeat(images, buffer + length, 1).index_put((branch, places), x)
    x = everywhere + mar.decoder_pos_embed_learned
    for block in mar.decoder_blocks:
        x = block(x)
    z = mar.decoder_norm(x)[:, buffer:] + mar.diffusion_pos_embed_learned
    net = mar.diffloss.net
    condition = net.cond_embed(z[branch, rows].flatten(0, 1)).repeat(repeats, 1)
    x0 = tokens[branch, rows].flatten(0, 1).repeat(repeats, 1)
    t = torch.randint(STEPS, (len(x0),))
    noise = torch.randn_like(x0)
    table = {name: column[t] for name, column in tables.items()}
    out = net(table["signal"] * x0 + table["spread"] * noise, condition + net.time_embed.mlp(time_features(t)))
    predicted, v = out.chunk(2, dim=1)
    error = predicted - noise
    log_variance = (v + 1) / 2 * (table["most"] - table["least"]) + table["least"]
    apart = log_variance - table["least"]
    bound = 0.5 * (apart + torch.exp(-apart) - 1 + (error.detach() * table["error"]) ** 2 * torch.exp(-log_variance))
    return (error**2).mean() + bound.mean() / math.log(2)


class Trainer:
    """AdamW in the official groups, clipping, EMA."""

    def __init__(self, mar: Mar, repeats: int) -> None:
        self.mar, self.tables, self.repeats = mar, schedule(), repeats
        named = [(name, p) for name, p in mar.named_parameters()]
        plain = [p for name, p in named if p.ndim == 1 or name.endswith(".bias") or "diffloss" in name]
        decayed = [p for name, p in named if not (p.ndim == 1 or name.endswith(".bias") or "diffloss" in name)]
        groups = [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.02}]
        self.optimizer = torch.optim.AdamW(groups, lr=1.2e-3, betas=(0.9, 0.95))
        self.parameters = plain + decayed
        self.ema = [p.detach().clone() for p in self.parameters]

    def step(self, tokens: Tensor, labels: Tensor) -> float:
        self.optimizer.zero_grad()
        value = loss(self.mar, self.tables, tokens, labels, self.repeats)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 3.0)
        self.optimizer.step()
        torch._foreach_mul_(self.ema, 0.999)
        torch._foreach_add_(self.ema, [p.detach() for p in self.parameters], alpha=0.001)
        return value.item()


def images(folder: Path, patch: int) -> tuple[Tensor, Tensor]:
    """Fashion-MNIST as tokens [n, 49, 16] in [-1, 1], and its labels."""
    pixels = np.frombuffer(gzip.open(folder / "train-images-idx3-ubyte.gz").read(), np.uint8, offset=16)
    labels = np.frombuffer(gzip.open(folder / "train-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
    grid = 28 // patch
    tokens = pixels.reshape(-1, grid, patch, grid, patch).transpose(0, 1, 3, 2, 4).reshape(-1, grid * grid, patch**2)
    return torch.from_numpy(tokens.astype(np.float32) / 127.5 - 1), torch.from_numpy(labels.astype(np.int64))


def latents(folder: Path) -> tuple[Tensor, Tensor]:
    """Random latents of KL-16's shape as `marscope cache` leaves them, of variance 1 and no spread, in `folder`; and as tokens
    [n, 256, 16] with their labels. What they show does not matter to the time that they take."""
    count, channels, side = 64, MAR_BASE.dim, MAR_BASE.grid
    random = np.random.default_rng(0)
    mean = random.standard_normal((count, 1, channels, side, side)).astype(np.float32)
    moments = np.concatenate([mean, np.full_like(mean, -30.0)], 2)
    labels = random.integers(MAR_BASE.classes, size=count)
    origin = {"split": "train", "images": count, "image_side": 16 * side, "kl": "none", "channels": channels}
    origin |= {"side": side, "flips": False, "precision": "f32", "per_shard": count}
    contents = {"origin": origin, "first": 0, "unreadable": [], "sums": {"numbers": 1.0, "mean": 0.0, "square": 1.0}}
    end = 8 * count
    header = {
        "__metadata__": {"marscope": json.dumps(contents)},
        "labels": {"dtype": "I64", "shape": [count], "data_offsets": [0, end]},
        "moments": {"dtype": "F32", "shape": list(moments.shape), "data_offsets": [end, end + moments.nbytes]},
    }
    text = json.dumps(header).encode()
    file = "latents-00000.safetensors"
    body = labels.astype(np.int64).tobytes() + moments.tobytes()
    (folder / file).write_bytes(len(text).to_bytes(8, "little") + text + body)
    names = [str(label) for label in range(MAR_BASE.classes)]
    index = {"source": "random", "origin": origin, "classes": names, "count": count, "scale": 1.0, "measured_scale": 1.0}
    index |= {"shards": [{"file": file, "rows": count}], "unreadable": []}
    (folder / "index.json").write_text(json.dumps(index))
    tokens = mean[:, 0].reshape(count, channels, -1).transpose(0, 2, 1)
    return torch.from_numpy(np.ascontiguousarray(tokens)), torch.from_numpy(labels)


def ours(binary: Path, data: Path, threads: int, steps: int, batch: int, *more: str) -> float:
    """Milliseconds of a step of `marscope train`, by its own log, the first quarter left out."""
    with tempfile.TemporaryDirectory() as out:
        command = [binary, "train", "--data", data, "--out", f"{out}/run", "--plain", "--batch", str(batch)]
        command += ["--steps", str(steps), "--log-every", str(steps // 4), "--workers", "1", "--no-roof"]
        command += ["--save-every", "100000", *more]
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"marscope train failed: {done.stderr.strip()}")
        lines = [json.loads(line) for line in Path(out, "run", "log.jsonl").read_text().splitlines()]
    return batch * 1e3 * np.mean([1 / line["images_per_second"] for line in lines[1:]])


def theirs(trainer: Trainer, tokens: Tensor, labels: Tensor, steps: int, batch: int) -> float:
    """Milliseconds of a step in PyTorch, the first quarter left out."""
    times = []
    for _ in range(steps):
        picked = torch.randint(len(tokens), (batch,))
        begin = time.perf_counter()
        value = trainer.step(tokens[picked], labels[picked])
        times.append((time.perf_counter() - begin) * 1e3)
    assert math.isfinite(value), "PyTorch's loss is no number"
    return float(np.mean(times[steps // 4 :]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder of Fashion-MNIST's idx files")
    parser.add_argument("--marscope", type=Path, default=ROOT / "target/release/marscope", help="marscope's binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24, help="steps of a round")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--mar-base", action="store_true", help="mar-base too, with all threads, a few steps of four images")
    parser.add_argument("--out", type=Path, default=ROOT / "target/bench/train.json", help="raw times as JSON")
    args = parser.parse_args()

    config, tensors = weights_folder.read(ROOT / "weights/fashion")
    tokens, labels = images(args.data, config["model"]["patch_size"])
    groups = []

    def compete(
        name: str, threads: int, trainer: Trainer, data: tuple[Path, Tensor, Tensor], batch: int, steps: int, *more: str
    ) -> None:
        (folder, tokens, labels), found = data, []
        task = f"training step, {batch} images"
        for number in range(args.rounds):
            print(f"{name}, {threads} threads: round {number + 1} of {args.rounds}", flush=True)
            found.append({"engine": "marscope", "task": task, "ms": ours(args.marscope, folder, threads, steps, batch, *more)})
            found.append({"engine": "PyTorch eager", "task": task, "ms": theirs(trainer, tokens, labels, steps, batch)})
        groups.append(group(f"native, CPU, {threads} threads, {name}", "cpu", found, None))

    for threads in dict.fromkeys(args.threads):
        torch.set_num_threads(threads)
        trainer = Trainer(Mar(weights_folder.shape_of(config), tensors, 50, clip=True), FASHION[1])
        # Small networks are trained fastest on devices of one core each, as the command's help says.
        more = ["--preset", "fashion", "--devices", str(threads)]
        compete("training", threads, trainer, (args.data, tokens, labels), FASHION[0], args.steps, *more)
    if args.mar_base:
        # What the peer's network does not have is left out here too.
        more = ["--preset", "mar-base", "--compute", "f32", "--attention-dropout", "0", "--projection-dropout", "0"]
        trainer = Trainer(Mar(MAR_BASE, weights_folder.random(MAR_BASE), 100, clip=False), BASE[1])
        with tempfile.TemporaryDirectory() as folder:
            data = (Path(folder), *latents(Path(folder)))
            compete("training mar-base", max(args.threads), trainer, data, BASE[0], 4, *more)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(groups, indent=2) + "\n")


if __name__ == "__main__":
    main()
