"""What an embedder can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from vitrine.runtime.settings import GrpcSettings


class EmbedderSettings(GrpcSettings):
    model_config = SettingsConfigDict(env_prefix="VITRINE_EMBEDDER_")

    model: Annotated[Path, Field(description="model folder: model.json and its variants")]
    variant: Annotated[str, Field(description="cpu-int8, gpu-fp16 or fp32; empty = the first this machine can run")] = (
        ""
    )
    providers: Annotated[tuple[str, ...], Field(min_length=1, description="ONNX Runtime providers, tried in order")] = (
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    )
    workers: Annotated[int, Field(ge=0, description="batches decoded and run at once; 0 = usable cores")] = 0
    model_threads: Annotated[int, Field(ge=1, description="threads of the model for one batch, on a CPU")] = 1
    max_batch_images: Annotated[int, Field(ge=1, le=1024)] = 32
    interactive_queue_images: Annotated[int, Field(ge=1, description="beyond: RESOURCE_EXHAUSTED")] = 256
    bulk_queue_images: Annotated[int, Field(ge=64, description="beyond: RESOURCE_EXHAUSTED")] = 512
    bulk_batch_ms: Annotated[float, Field(gt=0, description="longest batch that bulk images may fill")] = 50.0
    shared_batch_ms: Annotated[float, Field(gt=0, description="the same while shoppers ask: they wait for one")] = 10.0
