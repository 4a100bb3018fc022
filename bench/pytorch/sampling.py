# What a decoding needs besides the network: order, mask schedule, guidance, noise and the tables of the reverse process.
# Sections 3.2 and 3.4 of the paper; the same numbers as crate/core/src/{random,sampler,diffusion}, so that pictures can be compared.

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

TRAIN_STEPS = 1000
WORD = np.uint64(0xFFFF_FFFF)


def philox(seed: int, counter: np.ndarray) -> np.ndarray:
    """Philox 4x32-10: the 128 random bits at every `counter` [n, 4], as uint64 words below 2^32."""
    c = [counter[:, i].astype(np.uint64) for i in range(4)]
    key = [seed & 0xFFFF_FFFF, seed >> 32 & 0xFFFF_FFFF]
    shift = np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [p1 >> shift ^ c[1] ^ np.uint64(key[0]), p1 & WORD, p0 >> shift ^ c[3] ^ np.uint64(key[1]), p0 & WORD]
        key = [key[0] + 0x9E3779B9 & 0xFFFF_FFFF, key[1] + 0xBB67AE85 & 0xFFFF_FFFF]
    return np.stack(c, 1)


def noise(seed: int, iteration: int, steps: int, tokens: list[int], dim: int) -> np.ndarray:
    """[1 + steps, tokens, C]: where the reverse process starts, then what each step adds, the noisiest first."""
    blocks = math.ceil(dim / 4)
    step, token, i = np.meshgrid(np.arange(1 + steps), tokens, np.arange(blocks), indexing="ij")
    counter = np.stack([i.ravel(), token.ravel(), step.ravel(), np.full(i.size, iteration)], 1)
    unit = (philox(seed, counter).astype(np.float64) + 1.0) / 2.0**32
    radius, angle = np.sqrt(-2.0 * np.log(unit[:, 0::2])), math.tau * unit[:, 1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2)
    return pairs.astype(np.float32).reshape(1 + steps, len(tokens), 4 * blocks)[:, :, :dim]


def random_order(seed: int, length: int) -> list[int]:
    """order[rank] is a position: a shuffle (Fisher-Yates) with numbers below a bound by Lemire's method."""
    words = iter(philox(seed, np.array([[i, 0, 0xFFFF_FFFF, 0] for i in range(length)])).ravel().tolist())
    items = list(range(length))
    for i in range(length - 1, 0, -1):
        bound = i + 1
        wide = next(words) * bound
        while wide & 0xFFFF_FFFF < (2**32 - bound) % bound:
            wide = next(words) * bound
        at = wide >> 32
        items[i], items[at] = items[at], items[i]
    return items


def mask_lengths(length: int, iterations: int) -> list[int]:
    """Masked tokens after each iteration: a cosine, at least one token an iteration."""
    masked, lengths = length, []
    for k in range(1, iterations + 1):
        cosine = math.floor(length * math.cos(math.pi / 2 * k / iterations))
        masked = 0 if k == iterations else max(1, min(cosine, masked - 1))
        lengths.append(masked)
    return lengths


def guidance(cfg: float, length: int, masked: int) -> float:
    """The linear schedule's scale in the iteration that leaves `masked` tokens."""
    return 1.0 + (cfg - 1.0) * (length - max(masked, 1)) / length


@dataclass(frozen=True)
class Iteration:
    """One iteration of a decoding, known beforehand but for the tokens themselves."""

    known: list[int]  # positions, ascending
    rows: list[int]  # positions sampled, ascending
    cfg: float
    noise: np.ndarray  # [1 + steps, rows, C]


def iteration(
    seed: int, order: list[int], at: int, known: int, left: int, cfg: float, steps: int, dim: int
) -> Iteration:
    """Iteration `at` with the first `known` tokens of `order` known before it and `left` masked after it."""
    rows = sorted(order[known : len(order) - left])
    scale = guidance(cfg, len(order), left)
    return Iteration(sorted(order[:known]), rows, scale, noise(seed, at, steps, rows, dim))


def decoding(
    seed: int, length: int, iterations: int, cfg: float, steps: int, dim: int
) -> tuple[list[int], list[Iteration]]:
    """The order of `seed` and all iterations of a decoding that starts with every token masked."""
    order, known, done = random_order(seed, length), 0, []
    for at, left in enumerate(mask_lengths(length, iterations)):
        done.append(iteration(seed, order, at, known, left, cfg, steps, dim))
        known = length - left
    return order, done


@dataclass(frozen=True)
class Schedule:
    """Tables of a respaced reverse process, the noisiest step first: what each step multiplies and adds."""

    timesteps: np.ndarray
    x_scale: np.ndarray  # clean = x * x_scale - noise * noise_scale
    noise_scale: np.ndarray
    mean_clean: np.ndarray  # mean = clean * mean_clean + x * mean_x
    mean_x: np.ndarray
    log_deviation: np.ndarray  # deviation = exp(log_deviation + v * v_scale)
    v_scale: np.ndarray


def schedule(steps: int) -> Schedule:
    """`steps` of the 1,000, evenly spread, both ends included. The last step adds nothing: its deviation is 0."""

    def curve(t: np.ndarray) -> np.ndarray:
        return np.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    t = np.arange(TRAIN_STEPS) / TRAIN_STEPS
    full = np.cumprod(1.0 - np.minimum(1.0 - curve(t + 1 / TRAIN_STEPS) / curve(t), 0.999))
    timesteps, at = [], 0.0
    for _ in range(steps):
        timesteps.append(round(at))
        at += (TRAIN_STEPS - 1) / (steps - 1)
    alpha_bar = full[timesteps]
    before = np.concatenate([[1.0], alpha_bar[:-1]])
    betas = 1.0 - alpha_bar / before
    variance = betas * (1.0 - before) / (1.0 - alpha_bar)
    variance[0] = variance[1]
    least, most = np.log(variance), np.log(betas)
    log_deviation, v_scale = 0.25 * (least + most), 0.25 * (most - least)
    log_deviation[0], v_scale[0] = -1e4, 0.0
    tables = (
        np.sqrt(1.0 / alpha_bar),
        np.sqrt(1.0 / alpha_bar - 1.0),
        betas * np.sqrt(before) / (1.0 - alpha_bar),
        (1.0 - before) * np.sqrt(1.0 - betas) / (1.0 - alpha_bar),
        log_deviation,
        v_scale,
    )
    return Schedule(np.array(timesteps)[::-1], *(table[::-1].astype(np.float32) for table in tables))


def time_features(timesteps: np.ndarray) -> np.ndarray:
    """[timesteps, 256]: cosines, then sines."""
    frequencies = np.exp(-math.log(10_000) * np.arange(128) / 128).astype(np.float32)
    angles = timesteps[:, None].astype(np.float32) * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
