# The network as ONNX graphs for the benchmark's browser peer: `python export_onnx.py --weights weights/fashion --out DIR`.
# Written node by node in the form ONNX Runtime is fastest with: encoder over known tokens only, constants folded, no host work.

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import sampling
import weights as weights_folder
from weights import Shape

OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
EPSILON = 1e-6
BRANCHES = 2  # with the class, and without


class Graph:
    """A graph under construction. Values are known by their names."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes) -> str | list[str]:
        """Adds a node; the name of its output, or a list where there are several."""
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def fused(self, kind: str, *inputs: str, **attributes) -> str:
        """Adds one of ONNX Runtime's own operators."""
        return self.op(kind, *inputs, domain="com.microsoft", **attributes)

    def constant(self, name: str, value: np.ndarray) -> str:
        """`value` as an initializer, once a name."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def shape(self, *dims: int) -> str:
        return self.constant("shape_" + "_".join(map(str, dims)), np.array(dims, np.int64))

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{float(value)!r}", np.array([value], np.float32))

    def parameter(self, name: str, edit=lambda array: array) -> str:
        return self.constant(name, edit(self.tensors[name]))

    def linear(self, name: str, x: str) -> str:
        """[rows, inputs] to [rows, outputs]."""
        return self.op("Gemm", x, self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias"), transB=1)

    def linear_3d(self, name: str, x: str) -> str:
        """[batch, rows, inputs] to [batch, rows, outputs]."""
        weight = self.constant(f"{name}.weight.T", self.tensors[f"{name}.weight"].T)
        return self.op("Add", self.op("MatMul", x, weight), self.parameter(f"{name}.bias"))

    def norm(self, name: str, x: str) -> str:
        scale, bias = self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, epsilon=EPSILON)

    def attention(self, name: str, x: str, heads: int, fused: bool) -> str:
        """Self-attention before its last projection: one operator, or written out."""
        weight = self.tensors[f"{name}.qkv.weight"]
        if fused:
            qkv = self.constant(f"{name}.qkv.weight.T", weight.T)
            return self.fused("Attention", x, qkv, self.parameter(f"{name}.qkv.bias"), num_heads=heads)
        width = weight.shape[1]
        each = width // heads
        qkv = self.op("Reshape", self.linear_3d(f"{name}.qkv", x), self.shape(BRANCHES, -1, 3, heads, each))
        parts = split(self, self.op("Transpose", qkv, perm=[2, 0, 3, 1, 4]), 3, 0)
        q, k, v = (self.op("Squeeze", part, self.shape(0)) for part in parts)
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        shares = self.op("Softmax", self.op("Mul", scores, self.scalar(each**-0.5)), axis=-1)
        out = self.op("Transpose", self.op("MatMul", shares, v), perm=[0, 2, 1, 3])
        return self.op("Reshape", out, self.shape(BRANCHES, -1, width))

    def block(self, name: str, x: str, heads: int, fused: bool) -> str:
        """A transformer block."""
        h = self.attention(f"{name}.attn", self.norm(f"{name}.norm1", x), heads, fused)
        x = self.op("Add", x, self.linear_3d(f"{name}.attn.proj", h))
        h = self.op("Gelu", self.linear_3d(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x)))
        return self.op("Add", x, self.linear_3d(f"{name}.mlp.fc2", h))

    def silu(self, x: str) -> str:
        return self.fused("QuickGelu", x, alpha=1.0)

    def save(self, path: Path, inputs: dict[str, tuple[int, list]], output: tuple[str, str, list]) -> None:
        """Writes the graph. Inputs are name to type and shape; the output is what to call which value, and its shape."""
        value, name, dims = output
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)],
            list(self.initializers.values()),
        )
        onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=9), path)


def backbone(shape: Shape, tensors: dict[str, np.ndarray], fused: bool, path: Path) -> None:
    """Tokens [L, C] and a class to the embedded condition [2n, head width] of n positions, guided: both branches.

    `seen` are the places (buffer first) the encoder sees, `sources` says which of its rows, the one after the last being
    the mask token, stands at every place of the decoder, `rows` are the positions whose condition is wanted. ONNX
    Runtime's fused attention is the faster one, but gives wrong numbers on some WebGPU adapters (seen with 1.30 on
    SwiftShader), where attention has to be written out.
    """
    g = Graph(tensors)
    width, length, buffer = shape.width, shape.tokens, shape.buffer
    positions = tensors["encoder_pos_embed_learned"][0]
    table = np.concatenate([tensors["class_emb.weight"], tensors["fake_latent"]])
    label = g.op("Unsqueeze", g.op("Gather", g.constant("classes", table), "labels"), g.shape(1))
    in_buffer = g.op("Add", label, g.constant("buffer_positions", positions[None, :buffer]))
    known = g.op("Add", g.linear("z_proj", "tokens"), g.constant("token_positions", positions[buffer:]))
    known = g.op("Expand", known, g.shape(BRANCHES, length, width))
    x = g.norm("z_proj_ln", g.op("Gather", g.op("Concat", in_buffer, known, axis=1), "seen", axis=1))
    for i in range(shape.depth):
        x = g.block(f"encoder_blocks.{i}", x, shape.heads, fused)
    x = g.linear_3d("decoder_embed", g.norm("encoder_norm", x))
    mask = g.constant("mask_tokens", np.repeat(tensors["mask_token"], BRANCHES, 0))
    x = g.op("Gather", g.op("Concat", x, mask, axis=1), "sources", axis=1)
    x = g.op("Add", x, g.parameter("decoder_pos_embed_learned"))
    for i in range(shape.depth):
        x = g.block(f"decoder_blocks.{i}", x, shape.heads, fused)
    place = g.op("Add", "rows", g.constant("buffer", np.array([buffer], np.int32)))
    z = g.norm("decoder_norm", g.op("Gather", x, place, axis=1))
    z = g.op("Add", z, g.op("Gather", g.parameter("diffusion_pos_embed_learned"), "rows", axis=1))
    z = g.op("Reshape", z, g.shape(-1, width))
    inputs = {
        "tokens": (TensorProto.FLOAT, [length, shape.dim]),
        "labels": (TensorProto.INT32, [BRANCHES]),
        "seen": (TensorProto.INT32, ["seen"]),
        "sources": (TensorProto.INT32, [buffer + length]),
        "rows": (TensorProto.INT32, ["n"]),
    }
    g.save(path, inputs, (g.linear("diffloss.net.cond_embed", z), "condition", ["rows2", shape.head_width]))


def split(g: Graph, x: str, parts: int, axis: int) -> list[str]:
    return g.op("Split", x, outputs=parts, axis=axis, num_outputs=parts)


def denoise(g: Graph, shape: Shape, x: str, modulations: list[str], noise: str, table: list[str], clip: float) -> str:
    """One guided reverse step from x [n, C]. `modulations` are those of the blocks and of the final layer, [2n, ..];
    `table` are the step's numbers, in the order of `sampling.Schedule`."""
    net = "diffloss.net"
    h = g.linear(f"{net}.input_proj", x)
    h = g.op("Concat", h, h, axis=0)
    for i, modulation in enumerate(modulations[:-1]):
        shift, scale, gate = split(g, modulation, 3, 1)
        inner = g.norm(f"{net}.res_blocks.{i}.in_ln", h)
        inner = g.op("Add", g.op("Mul", inner, scale), shift)
        inner = g.silu(g.linear(f"{net}.res_blocks.{i}.mlp.0", inner))
        h = g.op("Add", h, g.op("Mul", gate, g.linear(f"{net}.res_blocks.{i}.mlp.2", inner)))
    shift, scale = split(g, modulations[-1], 2, 1)
    ones, zeros = np.ones(shape.head_width, np.float32), np.zeros(shape.head_width, np.float32)
    h = g.op("LayerNormalization", h, g.constant("ones", ones), g.constant("zeros", zeros), epsilon=EPSILON)
    h = g.linear(f"{net}.final_layer.linear", g.op("Add", g.op("Mul", h, scale), shift))
    noise_hat, v = split(g, h, 2, 1)
    given, free = split(g, noise_hat, 2, 0)
    v = split(g, v, 2, 0)[0]
    predicted = g.op("Add", free, g.op("Mul", g.op("Sub", given, free), "cfg"))
    x_scale, noise_scale, mean_clean, mean_x, log_deviation, v_scale = table
    clean = g.op("Sub", g.op("Mul", x, x_scale), g.op("Mul", predicted, noise_scale))
    if clip:
        bounds = [g.constant(f"bound_{value}", np.array(value, np.float32)) for value in (-clip, clip)]
        clean = g.op("Clip", clean, *bounds)
    mean = g.op("Add", g.op("Mul", clean, mean_clean), g.op("Mul", x, mean_x))
    deviation = g.op("Exp", g.op("Add", g.op("Mul", v, v_scale), log_deviation))
    return g.op("Add", mean, g.op("Mul", deviation, noise))


def modulation_names(shape: Shape) -> list[str]:
    net = "diffloss.net"
    blocks = [f"{net}.res_blocks.{i}.adaLN_modulation.1" for i in range(shape.head_depth)]
    return [*blocks, f"{net}.final_layer.adaLN_modulation.1"]


def modulate(g: Graph, shape: Shape, name: str, y: str) -> str:
    """A modulation of silu(y), its scale with the 1 that the network adds to it."""

    def plus_one(bias: np.ndarray) -> np.ndarray:
        bias = bias.copy()
        bias[shape.head_width : 2 * shape.head_width] += 1.0
        return bias

    return g.op("Gemm", y, g.parameter(f"{name}.weight"), g.parameter(f"{name}.bias", plus_one), transB=1)


def time_embedding(tensors: dict[str, np.ndarray], timesteps: np.ndarray) -> np.ndarray:
    """[timesteps, head width], in f64: it depends on the schedule alone."""
    name = "diffloss.net.time_embed.mlp"
    weight = {key: tensors[f"{name}.{key}"].astype(np.float64) for key in ("0.weight", "0.bias", "2.weight", "2.bias")}
    h = sampling.time_features(timesteps) @ weight["0.weight"].T + weight["0.bias"]
    return (h / (1.0 + np.exp(-h)) @ weight["2.weight"].T + weight["2.bias"]).astype(np.float32)


def head_inputs(shape: Shape, steps: int) -> dict:
    return {
        "condition": (TensorProto.FLOAT, ["rows2", shape.head_width]),
        "noise": (TensorProto.FLOAT, [steps + 1, "n", shape.dim]),
        "cfg": (TensorProto.FLOAT, [1]),
    }


def head_step(shape: Shape, tensors: dict[str, np.ndarray], steps: int, clip: float, path: Path) -> None:
    """One guided step: x [n, C] before step `step` to x after it."""
    g = Graph(tensors)
    plan = sampling.schedule(steps)
    time = g.op("Gather", g.constant("time", time_embedding(tensors, plan.timesteps)), "step", axis=0)
    y = g.silu(g.op("Add", "condition", time))
    tables = list(vars(plan).values())[1:]
    row = g.op("Gather", g.constant("tables", np.stack(tables, 1)), "step", axis=0)
    numbers = split(g, row, len(tables), 1)
    after = g.op("Add", "step", g.constant("one", np.array([1], np.int32)))
    noise = g.op("Squeeze", g.op("Gather", "noise", after, axis=0), g.shape(0))
    modulations = [modulate(g, shape, name, y) for name in modulation_names(shape)]
    x = denoise(g, shape, "x", modulations, noise, numbers, clip)
    inputs = {"x": (TensorProto.FLOAT, ["n", shape.dim]), "step": (TensorProto.INT32, [1])}
    g.save(path, inputs | head_inputs(shape, steps), (x, "next", ["n", shape.dim]))


def head_process(shape: Shape, tensors: dict[str, np.ndarray], steps: int, clip: float, path: Path) -> None:
    """The whole reverse process, unrolled; the modulations of all steps are one product each."""
    g = Graph(tensors)
    plan = sampling.schedule(steps)
    time = g.constant("time", time_embedding(tensors, plan.timesteps)[:, None])
    y = g.op("Reshape", g.silu(g.op("Add", "condition", time)), g.shape(-1, shape.head_width))
    modulations = []
    for name in modulation_names(shape):
        outputs = tensors[f"{name}.bias"].size
        # [steps, 2n, outputs]: n is not known here, so it is left to the runtime.
        modulations.append(g.op("Reshape", modulate(g, shape, name, y), g.shape(steps, -1, outputs)))
    at = [g.constant(f"at_{i}", np.array(i, np.int64)) for i in range(steps + 1)]
    x = g.op("Gather", "noise", at[0], axis=0)
    for step in range(steps):
        numbers = [g.scalar(table[step]) for table in list(vars(plan).values())[1:]]
        current = [g.op("Gather", modulation, at[step], axis=0) for modulation in modulations]
        noise = g.op("Gather", "noise", at[step + 1], axis=0)
        x = denoise(g, shape, x, current, noise, numbers, clip)
    g.save(path, head_inputs(shape, steps), (x, "token", ["n", shape.dim]))


def plan(shape: Shape, defaults: dict, seed: int, out: Path) -> dict:
    """What the page runs: every iteration of the image, and the single one that is timed; their noise in noise.bin."""
    steps, cfg = defaults["steps"], defaults["cfg"]
    order, iterations = sampling.decoding(seed, shape.tokens, defaults["iterations"], cfg, steps, shape.dim)
    # Half the tokens known: the iteration in the middle, its share of the schedule scaled to what is left (sampler/mask.rs).
    at, known = defaults["iterations"] // 2, shape.tokens // 2
    lengths, left = sampling.mask_lengths(shape.tokens, defaults["iterations"]), shape.tokens - known
    after = min(max(1, lengths[at] * left // lengths[at - 1]), left - 1)
    middle = sampling.iteration(seed, order, at, known, after, cfg, steps, shape.dim)
    with (out / "noise.bin").open("wb") as file:
        for one in (*iterations, middle):
            file.write(one.noise.tobytes())

    def entry(one: sampling.Iteration) -> dict:
        return {"known": one.known, "rows": one.rows, "cfg": one.cfg}

    settings = {"seed": seed, "iterations": defaults["iterations"], "steps": steps, "cfg": cfg}
    entries = [entry(one) for one in iterations]
    return {"settings": settings, "order": order, "iterations": entries, "middle": {"iteration": at, **entry(middle)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the graphs")
    parser.add_argument("--seed", type=int, default=7, help="of the order and the noise")
    args = parser.parse_args()
    config, tensors = weights_folder.read(args.weights)
    shape, steps, clip = weights_folder.shape_of(config), config["defaults"]["steps"], float(config["clip_denoised"])
    args.out.mkdir(parents=True, exist_ok=True)
    backbone(shape, tensors, True, args.out / "backbone_fused.onnx")
    backbone(shape, tensors, False, args.out / "backbone_plain.onnx")
    head_step(shape, tensors, steps, clip, args.out / "head_step.onnx")
    head_process(shape, tensors, steps, clip, args.out / "head_process.onnx")
    shape_entry = {**vars(shape), "tokens": shape.tokens}
    text = json.dumps({"shape": shape_entry, **plan(shape, config["defaults"], args.seed, args.out)})
    (args.out / "plan.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
