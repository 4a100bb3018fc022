# MAR in PyTorch with the official structure and names: the benchmark's native peer.
# Section 3 of the paper; encoder over known tokens only, guidance as one batch, head rows only for the tokens sampled.

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sampling
from weights import Shape

EPSILON = 1e-6


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, seq, width = x.shape
        qkv = self.qkv(x).view(batch, seq, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, seq, width))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A plain ViT block, pre-norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=EPSILON)
        self.attn = Attention(shape.width, shape.heads)
        self.norm2 = nn.LayerNorm(shape.width, eps=EPSILON)
        self.mlp = Mlp(shape.width, shape.hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


class ResBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(y).chunk(3, dim=-1)
        return x + gate * self.mlp(modulate(self.in_ln(x), shift, scale))


class FinalLayer(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, eps=EPSILON, elementwise_affine=False)
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(y).chunk(2, dim=-1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class TimeEmbed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))


class Head(nn.Module):
    """The denoising MLP; the time embedding is kept out of it, since it depends on the schedule alone."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.head_width
        self.input_proj = nn.Linear(shape.dim, width)
        self.time_embed = TimeEmbed(width)
        self.cond_embed = nn.Linear(shape.width, width)
        self.res_blocks = nn.ModuleList(ResBlock(width) for _ in range(shape.head_depth))
        self.final_layer = FinalLayer(width, 2 * shape.dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = self.input_proj(x)
        for block in self.res_blocks:
            x = block(x, y)
        return self.final_layer(x, y)


class DiffLoss(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.net = Head(shape)


class Mar(nn.Module):
    """The whole network, without what only training needs."""

    def __init__(self, shape: Shape, tensors: dict[str, np.ndarray], steps: int, clip: float) -> None:
        super().__init__()
        self.shape, self.clip = shape, float(clip)
        width, positions = shape.width, shape.buffer + shape.tokens
        self.class_emb = nn.Embedding(shape.classes, width)
        self.z_proj = nn.Linear(shape.dim, width)
        self.z_proj_ln = nn.LayerNorm(width, eps=EPSILON)
        self.encoder_blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.encoder_norm = nn.LayerNorm(width, eps=EPSILON)
        self.decoder_embed = nn.Linear(width, width)
        self.decoder_blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.decoder_norm = nn.LayerNorm(width, eps=EPSILON)
        self.diffloss = DiffLoss(shape)
        for name, rows in (
            ("fake_latent", (1, width)),
            ("mask_token", (1, 1, width)),
            ("encoder_pos_embed_learned", (1, positions, width)),
            ("decoder_pos_embed_learned", (1, positions, width)),
            ("diffusion_pos_embed_learned", (1, shape.tokens, width)),
        ):
            self.register_parameter(name, nn.Parameter(torch.empty(rows)))
        self.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
        self.schedule = sampling.schedule(steps)
        with torch.inference_mode():
            features = torch.from_numpy(sampling.time_features(self.schedule.timesteps))
            self.time = self.diffloss.net.time_embed.mlp(features)

    def to(self, device: str) -> Mar:
        self.time = self.time.to(device)
        return super().to(device)

    def condition(self, tokens: Tensor, labels: Tensor, known: Tensor, rows: Tensor) -> Tensor:
        """tokens [images, L, C], labels [images], known and rows [images, ..] positions, ascending, to the embedded
        condition of the rows, [2 images rows, head width]: the images with their class, then those without."""
        images, buffer = len(tokens), self.shape.buffer
        classes = torch.cat([self.class_emb(labels), self.fake_latent.expand(images, -1)])
        tokens, known, rows = (torch.cat([part, part]) for part in (tokens, known, rows))
        branch = torch.arange(2 * images, device=tokens.device)[:, None]
        x = self.z_proj(tokens[branch, known])
        x = torch.cat([classes[:, None].expand(-1, buffer, -1), x], dim=1)
        buffers = torch.arange(buffer, device=tokens.device).expand(2 * images, -1)
        places = torch.cat([buffers, known + buffer], dim=1)
        x = self.z_proj_ln(x + self.encoder_pos_embed_learned[0, places])
        for block in self.encoder_blocks:
            x = block(x)
        x = self.decoder_embed(self.encoder_norm(x))
        everywhere = self.mask_token.repeat(2 * images, buffer + self.shape.tokens, 1)
        everywhere[branch, places] = x
        x = everywhere + self.decoder_pos_embed_learned
        for block in self.decoder_blocks:
            x = block(x)
        z = self.decoder_norm(x)[:, buffer:] + self.diffusion_pos_embed_learned
        return self.diffloss.net.cond_embed(z[branch, rows].flatten(0, 1))

    def denoise(self, condition: Tensor, noise: Tensor, cfg: Tensor | float) -> Tensor:
        """The reverse process: condition [2 rows, head width] and noise [1 + steps, rows, C] to tokens [rows, C]."""
        x, plan = noise[0], self.schedule
        for step in range(len(plan.timesteps)):
            x = self.step(x, condition, noise[step + 1], step, cfg)
        return x

    def step(self, x: Tensor, condition: Tensor, noise: Tensor, step: int, cfg: Tensor | float) -> Tensor:
        """One guided step, the noisiest being step 0."""
        plan = self.schedule
        out = self.diffloss.net(torch.cat([x, x]), condition + self.time[step])
        predicted, v = out.chunk(2, dim=-1)
        given, free = predicted.chunk(2)
        predicted = free + cfg * (given - free)
        clean = float(plan.x_scale[step]) * x - float(plan.noise_scale[step]) * predicted
        if self.clip:
            clean = clean.clamp(-self.clip, self.clip)
        mean = float(plan.mean_clean[step]) * clean + float(plan.mean_x[step]) * x
        if step + 1 == len(plan.timesteps):
            return mean
        deviation = torch.exp(v.chunk(2)[0] * float(plan.v_scale[step]) + float(plan.log_deviation[step]))
        return mean + deviation * noise
