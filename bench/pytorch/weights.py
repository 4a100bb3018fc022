# A weights folder as NumPy arrays, and random weights of any shape written as one: what every peer of the benchmark reads.
# The names are the official ones; config.json is described in crate/core/src/config.rs.

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DTYPES = {"F16": np.float16, "F32": np.float32}


@dataclass(frozen=True)
class Shape:
    """The network's shape, of config.json's `model`."""

    grid: int  # tokens a side
    dim: int  # C, numbers a token
    width: int  # of encoder, decoder and z
    depth: int  # blocks of the encoder, and of the decoder
    heads: int
    hidden: int  # of a block's MLP
    classes: int
    buffer: int
    head_depth: int
    head_width: int

    @property
    def tokens(self) -> int:
        """L."""
        return self.grid * self.grid


def shape_of(config: dict) -> Shape:
    """The shape that `config`, a parsed config.json, describes. Encoder and decoder must be alike."""
    model = config["model"]
    for part in ("embed_dim", "depth", "num_heads"):
        if model[f"encoder_{part}"] != model[f"decoder_{part}"]:
            raise ValueError(f"the benchmark wants an encoder and a decoder alike, but their {part} differ")
    width = model["encoder_embed_dim"]
    return Shape(
        grid=model["img_size"] // model["vae_stride"] // model["patch_size"],
        dim=model["vae_embed_dim"] * model["patch_size"] ** 2,
        width=width,
        depth=model["encoder_depth"],
        heads=model["encoder_num_heads"],
        hidden=int(width * model.get("mlp_ratio", 4.0)),
        classes=model["class_num"],
        buffer=model["buffer_size"],
        head_depth=model["diffloss_d"],
        head_width=model["diffloss_w"],
    )


def config_of(shape: Shape, iterations: int, steps: int) -> dict:
    """config.json of `shape`: grey pixels in patches of 4."""
    return {
        "version": 1,
        "name": "random",
        "classes": [str(i) for i in range(shape.classes)],
        "tokenizer": "pixel",
        "clip_denoised": True,
        "defaults": {"cfg": 3.0, "iterations": iterations, "steps": steps, "temperature": 1.0},
        "model": {
            "img_size": 4 * shape.grid,
            "vae_stride": 1,
            "patch_size": 4,
            "vae_embed_dim": 1,
            "encoder_embed_dim": shape.width,
            "encoder_depth": shape.depth,
            "encoder_num_heads": shape.heads,
            "decoder_embed_dim": shape.width,
            "decoder_depth": shape.depth,
            "decoder_num_heads": shape.heads,
            "mlp_ratio": shape.hidden / shape.width,
            "class_num": shape.classes,
            "buffer_size": shape.buffer,
            "diffloss_d": shape.head_depth,
            "diffloss_w": shape.head_width,
            "num_sampling_steps": str(steps),
            "diffusion_batch_mul": 1,
        },
    }


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, as f32."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + at for at in entry["data_offsets"])
            array = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
            found[name] = array.astype(np.float32)
    return found


def read(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """config.json, and the tensors of model.safetensors."""
    return json.loads((folder / "config.json").read_text()), tensors(folder / "model.safetensors")


def write(folder: Path, config: dict, tensors: dict[str, np.ndarray]) -> None:
    """Writes a weights folder, in f32."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    header, at = {}, 0
    for name, array in tensors.items():
        end = at + 4 * array.size
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array, np.float32).tobytes())


def random(shape: Shape, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors of `shape` under their official names: for timing, not for pictures."""
    draw = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def normal(name: str, *dims: int) -> None:
        tensors[name] = draw.normal(0.0, 0.02, dims).astype(np.float32)

    def linear(name: str, inputs: int, outputs: int) -> None:
        weight = draw.normal(0.0, 0.5 / math.sqrt(inputs), (outputs, inputs))
        tensors[f"{name}.weight"] = weight.astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(outputs, np.float32)

    def norm(name: str, width: int) -> None:
        tensors[f"{name}.weight"] = np.ones(width, np.float32)
        tensors[f"{name}.bias"] = np.zeros(width, np.float32)

    width, positions = shape.width, shape.buffer + shape.tokens
    normal("class_emb.weight", shape.classes, width)
    normal("fake_latent", 1, width)
    normal("mask_token", 1, 1, width)
    normal("encoder_pos_embed_learned", 1, positions, width)
    normal("decoder_pos_embed_learned", 1, positions, width)
    normal("diffusion_pos_embed_learned", 1, shape.tokens, width)
    linear("z_proj", shape.dim, width)
    linear("decoder_embed", width, width)
    for name in ("z_proj_ln", "encoder_norm", "decoder_norm"):
        norm(name, width)
    for block in (f"{half}_blocks.{i}" for half in ("encoder", "decoder") for i in range(shape.depth)):
        norm(f"{block}.norm1", width)
        norm(f"{block}.norm2", width)
        linear(f"{block}.attn.qkv", width, 3 * width)
        linear(f"{block}.attn.proj", width, width)
        linear(f"{block}.mlp.fc1", width, shape.hidden)
        linear(f"{block}.mlp.fc2", shape.hidden, width)
    net, inner = "diffloss.net", shape.head_width
    linear(f"{net}.input_proj", shape.dim, inner)
    linear(f"{net}.cond_embed", width, inner)
    linear(f"{net}.time_embed.mlp.0", 256, inner)
    linear(f"{net}.time_embed.mlp.2", inner, inner)
    for i in range(shape.head_depth):
        norm(f"{net}.res_blocks.{i}.in_ln", inner)
        linear(f"{net}.res_blocks.{i}.mlp.0", inner, inner)
        linear(f"{net}.res_blocks.{i}.mlp.2", inner, inner)
        linear(f"{net}.res_blocks.{i}.adaLN_modulation.1", inner, 3 * inner)
    linear(f"{net}.final_layer.adaLN_modulation.1", inner, 2 * inner)
    linear(f"{net}.final_layer.linear", inner, 2 * shape.dim)
    return tensors
