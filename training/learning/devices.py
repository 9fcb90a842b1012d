"""Where to compute, and how precisely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import torch

from vitrine.runtime.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

_FP16_FACTOR: Final = 1024.0


@dataclass(frozen=True)
class Arithmetic:
    """A device, and the type that convolutions and products are computed in; weights and losses stay float32."""

    device: torch.device
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """For people, such as "cuda (bfloat16)"."""
        return f"{self.device.type} ({str(self.dtype).removeprefix('torch.')})"

    @property
    def loss_factor(self) -> float:
        """What to multiply the loss by before going backwards.

        Keeps small gradients from vanishing in float16. AdamW divides a gradient by its own size, so that a constant
        factor changes no step.
        """
        return _FP16_FACTOR if self.dtype == torch.float16 else 1.0

    def autocast(self) -> torch.autocast:
        """Mixed precision, where the type is not float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def arithmetic(device: Device, precision: Precision) -> Arithmetic:
    """What "auto" means on this machine: a GPU if there is one, bfloat16 where it is native, else float32.

    Raises ConfigError (`device`, `precision`).
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device", "no GPU that PyTorch can use was found; say auto or cpu")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if precision == "fp16" and chosen.type == "cpu":
        raise ConfigError("precision", "fp16 needs a GPU; on a CPU say auto, bf16 or fp32")
    return Arithmetic(chosen, _dtype(chosen, precision))


@contextmanager
def repeatable(device: torch.device, seed: int) -> Iterator[None]:
    """Random numbers that depend on `seed` alone, and cuDNN's repeatable algorithms; afterwards all is as before."""
    indices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=indices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


def _dtype(device: torch.device, precision: Precision) -> torch.dtype:
    if precision == "auto":
        return torch.bfloat16 if _bf16_is_native(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _bf16_is_native(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Measured on such a CPU: 1.7 times as fast as float32.
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
