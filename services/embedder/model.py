"""A model folder, loaded, checked and warm."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from services.embedder.contract import Pixels, contract_problems
from vitrine import model_folder
from vitrine.model_folder import CPU_INT8, FP32, GPU_FP16, ModelFolder
from vitrine.runtime.errors import ConfigError
from vitrine.vectors import Vectors

CUDA: Final = "CUDAExecutionProvider"

_VARIANTS_BY_PROVIDER: Final = {CUDA: (GPU_FP16, FP32), "CPUExecutionProvider": (CPU_INT8, FP32)}
# The default, EXHAUSTIVE, times every algorithm of cuDNN for each shape not seen before, while shoppers wait: not every
# batch has one of the sizes that were warmed.
_PROVIDER_OPTIONS: Final = {CUDA: {"cudnn_conv_algo_search": "HEURISTIC"}}
_TIMING_RUNS: Final = 3


class Seen(NamedTuple):
    """All that a model says of n pictures. What it does not give is None.

    `activation` float32 (n, rows, columns) in 0..1: the share of a cell that is product; `presence` float32 (n,) in
    0..1: how likely there is one.
    """

    vectors: Vectors
    scores: Vectors
    activation: npt.NDArray[np.float32] | None
    presence: npt.NDArray[np.float32] | None


class Model:
    """One variant of a model on one execution provider. `run` may be called from several threads at once."""

    def __init__(self, facts: ModelFolder, variant: str, provider: str, session: ort.InferenceSession) -> None:
        self.facts = facts
        self.variant = variant
        self.provider = provider
        self._session = session
        self._outputs = [name for name in (facts.outputs.vector, facts.outputs.scores) if name]

    @staticmethod
    def load(folder: Path, providers: Sequence[str], variant: str = "", threads: int = 1) -> Model:
        """The first variant that the first usable provider runs. Raises ConfigError (`model`, `variant`, `providers`).

        ONNX Runtime falls back to CPU with only a log line; here the provider that is active is checked.
        """
        facts = ModelFolder.read(folder)
        provider = _usable_provider(providers)
        chosen = _chosen_variant(facts, provider, variant)
        path = model_folder.verified(folder, facts.variants[chosen])
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if provider == CUDA:
            ort.preload_dlls()  # CUDA and cuDNN from the packages beside onnxruntime-gpu, which no search path names
        try:
            session = ort.InferenceSession(path, options, providers=[(provider, _PROVIDER_OPTIONS.get(provider, {}))])
        except Exception as error:  # onnxruntime raises many types of its own for a file it cannot load
            raise ConfigError("model", f"{path.name} cannot be loaded ({error})") from error
        if session.get_providers()[0] != provider:
            raise ConfigError("providers", f"{provider} was asked for but {session.get_providers()[0]} is active")
        wrong, _ = contract_problems(session, facts, _grey(facts, 2))
        if wrong:
            raise ConfigError("model", f"{path.name}: {'; '.join(wrong)}")
        return Model(facts, chosen, provider, session)

    def run(self, pixels: Pixels) -> tuple[Vectors, Vectors]:
        """Vectors, float32 (n, dim), unit length, and scores, float32 (n, labels), of uint8 (n, height, width, 3)."""
        vectors, *scores = self._session.run(self._outputs, {self.facts.input.name: pixels})
        return vectors, scores[0] if scores else np.zeros((len(pixels), 0), np.float32)

    def look(self, pixels: Pixels) -> Seen:
        """As `run`, and where the product is."""
        outputs = self.facts.outputs
        names = [*self._outputs, *(name for name in (outputs.activation, outputs.presence) if name)]
        found = dict(zip(names, self._session.run(names, {self.facts.input.name: pixels}), strict=True))
        scores = found.get(outputs.scores, np.zeros((len(pixels), 0), np.float32))
        return Seen(found[outputs.vector], scores, found.get(outputs.activation), found.get(outputs.presence))

    def resident(self, pixels: Pixels) -> Callable[[], None]:
        """A call that runs the model on pixels that lie where it runs, say on a GPU, and leaves the answers there."""
        device = "cuda" if self.provider == CUDA else "cpu"
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self.facts.input.name, ort.OrtValue.ortvalue_from_numpy(pixels, device, 0))
        for name in self._outputs:
            binding.bind_output(name, device)
        return partial(self._session.run_with_iobinding, binding)

    def warm(self, batch_sizes: Sequence[int]) -> dict[int, float]:
        """Runs every batch size, first once unmeasured. Returns the fastest of three runs of each, in milliseconds."""
        return {size: self._best_ms(size) for size in batch_sizes}

    def _best_ms(self, size: int) -> float:
        pixels = _grey(self.facts, size)
        self.run(pixels)
        times_ms = []
        for _ in range(_TIMING_RUNS):
            started = time.perf_counter()
            self.run(pixels)
            times_ms.append((time.perf_counter() - started) * 1000)
        return min(times_ms)


def batch_sizes(max_batch_images: int) -> list[int]:
    """The few sizes that batches are formed in: powers of two up to the largest.

    A batch runs smaller where a picture in it cannot be decoded, and again with as many products as were found in it.
    """
    sizes = [1 << power for power in range(max_batch_images.bit_length()) if 1 << power <= max_batch_images]
    return sizes if sizes[-1] == max_batch_images else [*sizes, max_batch_images]


def _usable_provider(providers: Sequence[str]) -> str:
    available = ort.get_available_providers()
    for provider in providers:
        if provider in available:
            return provider
    raise ConfigError("providers", f"none of {list(providers)} is available here, only {available}")


def _chosen_variant(facts: ModelFolder, provider: str, variant: str) -> str:
    wanted = (variant,) if variant else _VARIANTS_BY_PROVIDER.get(provider, ("fp32",))
    for name in wanted:
        if name in facts.variants:
            return name
    raise ConfigError("variant", f"the model has {sorted(facts.variants)}, none of {list(wanted)} for {provider}")


def _grey(facts: ModelFolder, count: int) -> Pixels:
    return np.full((count, facts.height, facts.width, 3), 128, np.uint8)
