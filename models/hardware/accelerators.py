"""The one table of what differs between accelerators: each choice with its reason.

`models.hardware.device` finds out which row a machine needs and applies it. No card but the CPU has run these
choices yet (docs/gpu.md); each fact that was not measured here has its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Backend = Literal["cpu", "cuda", "rocm"]
CompileMode = Literal["default"]
Attention = Literal["flash", "efficient", "math", "cudnn"]

ATTENTION_SOURCE = "aten/src/ATen/native/transformers/cuda/sdp_utils.cpp of PyTorch 2.13"


@dataclass(frozen=True, kw_only=True)
class Choice(Generic[T]):
    """A choice and its reason."""

    value: T
    reason: str


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What a build of torch for one kind of device needs, on any card.

    Attributes
    ----------
    environment : mapping of str to Choice[str]
        Variables set before the accelerator is first used, unless the user has set them.
    attention : Choice
        Kernels that `scaled_dot_product_attention` may take, in the order in which torch tries them; empty
        where the network spells attention out.
    collectives : Choice[str]
        Backend of `torch.distributed`.
    metrics : Choice[str]
        Package that reads utilisation, memory, power and the driver's version.
    """

    environment: Mapping[str, Choice[str]]
    attention: Choice[tuple[Attention, ...]]
    collectives: Choice[str]
    metrics: Choice[str]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What cards of one architecture need.

    Attributes
    ----------
    name : str
    backend : str
    prefixes : tuple of str
        Beginnings of the architectures that belong here, such as `sm_90` or `gfx942`.
    bfloat16 : Choice[bool]
        Whether matrix products in bfloat16 run on the matrix units.
    flash_attention : Choice[bool]
        Whether torch has a flash kernel for it.
    compile_mode : Choice
        Mode of `torch.compile` where compilation is requested; None where the network runs uncompiled.
    """

    name: str
    backend: Backend
    prefixes: tuple[str, ...]
    bfloat16: Choice[bool]
    flash_attention: Choice[bool]
    compile_mode: Choice[CompileMode | None]


_ONE_GRAPH_PER_SHAPE = (
    "the worlds come in 13 batch shapes and a panel brings its own: reduce-overhead would record a graph for "
    "each, and max-autotune would time kernels for each"
)

PLATFORMS: Mapping[Backend, Platform] = MappingProxyType(
    {
        "cpu": Platform(
            environment=MappingProxyType({}),
            attention=Choice(
                value=(),
                reason="spelled out: the fused kernel's bfloat16 backward pass takes 4 to 9 times as long "
                "for short sequences (torch 2.13, AVX-512; models.network.transformer.attend)",
            ),
            collectives=Choice(value="gloo", reason="the only one of torch's backends that needs no GPU"),
            metrics=Choice(value="psutil", reason="there is no accelerator to read"),
        ),
        "cuda": Platform(
            environment=MappingProxyType(
                {
                    "PYTORCH_CUDA_ALLOC_CONF": Choice(
                        value="expandable_segments:True",
                        reason="batch shapes change from step to step; segments that grow leave no holes "
                        "that end in an out-of-memory error (PyTorch, CUDA semantics, memory management)",
                    ),
                    "TORCH_NCCL_ASYNC_ERROR_HANDLING": Choice(
                        value="3",
                        reason="a collective that passes its time-out ends the process, so that the "
                        "scheduler can restart it; torch's own default, pinned (PyTorch, "
                        "ProcessGroupNCCL variables)",
                    ),
                }
            ),
            attention=Choice(
                value=("flash", "efficient", "math"),
                reason="cuDNN, which torch tries first on sm_90 and sm_100 with cuDNN above 9.15 "
                f"({ATTENTION_SOURCE}), is left out: it makes a plan for every shape, and sequences are "
                "of 12 to 144 tokens",
            ),
            collectives=Choice(
                value="nccl", reason="NCCL: reduces between GPUs without going through the host"
            ),
            metrics=Choice(value="nvidia-ml-py", reason="NVIDIA's own binding, which MLflow reads too"),
        ),
        "rocm": Platform(
            environment=MappingProxyType(
                {
                    "HIP_FORCE_DEV_KERNARG": Choice(
                        value="1",
                        reason="kernel arguments lie in device memory, which shortens each launch, and a "
                        "small network is bound by launches; AMD's own images (ROCm/vllm) set it",
                    ),
                    "TORCH_NCCL_ASYNC_ERROR_HANDLING": Choice(
                        value="3",
                        reason="as on CUDA: torch gives RCCL the same variables. PYTORCH_HIP_ALLOC_CONF is "
                        "left alone, as wheels for ROCm do not know expandable segments and say so at each "
                        "start; so is HSA_NO_SCRATCH_RECLAIM, with which long runs ran out of queues",
                    ),
                }
            ),
            attention=Choice(
                value=("flash", "efficient", "math"),
                reason=f"the first two are both AOTriton's ({ATTENTION_SOURCE}); there is no cuDNN",
            ),
            collectives=Choice(value="nccl", reason="RCCL, which torch knows by the name of NCCL"),
            metrics=Choice(
                value="amdsmi",
                reason="comes with ROCm; NVML knows no AMD card (pipelines.runtime.tracking.amd_metrics)",
            ),
        ),
    }
)

_CUDA_COMPILE: Choice[CompileMode | None] = Choice(value="default", reason=_ONE_GRAPH_PER_SHAPE)
_ROCM_COMPILE: Choice[CompileMode | None] = Choice(
    value="default", reason=f"{_ONE_GRAPH_PER_SHAPE}; Triton's kernels are the same code as on CUDA"
)
_CUDA_FLASH = Choice(value=True, reason=f"torch takes it from sm_80 to sm_121 ({ATTENTION_SOURCE})")
_AOTRITON = Choice(value=True, reason="among the architectures that AOTriton is built for")
_MATRIX_UNITS = Choice(value=True, reason="its matrix units take bfloat16")

FAMILIES: tuple[Family, ...] = (
    Family(
        name="CPU",
        backend="cpu",
        prefixes=("",),
        bfloat16=Choice(
            value=True, reason="oneDNN has kernels for it on every x86-64 and Arm, fast from AVX-512 on"
        ),
        flash_attention=Choice(value=False, reason="attention is spelled out, see the platform"),
        compile_mode=Choice(
            value="default",
            reason="C++ by the system's own compiler, which must be there; max-autotune is for GPUs",
        ),
    ),
    Family(
        name="NVIDIA Ampere and Ada",
        backend="cuda",
        prefixes=("sm_8",),
        bfloat16=_MATRIX_UNITS,
        flash_attention=_CUDA_FLASH,
        compile_mode=_CUDA_COMPILE,
    ),
    Family(
        name="NVIDIA Hopper",
        backend="cuda",
        prefixes=("sm_90",),
        bfloat16=_MATRIX_UNITS,
        flash_attention=_CUDA_FLASH,
        compile_mode=_CUDA_COMPILE,
    ),
    Family(
        name="NVIDIA Blackwell",
        backend="cuda",
        prefixes=("sm_10", "sm_12"),
        bfloat16=_MATRIX_UNITS,
        flash_attention=_CUDA_FLASH,
        compile_mode=_CUDA_COMPILE,
    ),
    Family(
        name="NVIDIA before Ampere",
        backend="cuda",
        prefixes=("sm_7",),
        bfloat16=Choice(value=False, reason="no bfloat16 in its matrix units: torch emulates it"),
        flash_attention=Choice(value=False, reason=f"torch takes it from sm_80 on ({ATTENTION_SOURCE})"),
        compile_mode=_CUDA_COMPILE,
    ),
    Family(
        name="AMD CDNA 2",
        backend="rocm",
        prefixes=("gfx90a",),
        bfloat16=_MATRIX_UNITS,
        flash_attention=_AOTRITON,
        compile_mode=_ROCM_COMPILE,
    ),
    Family(
        name="AMD CDNA 3",
        backend="rocm",
        prefixes=("gfx94",),
        bfloat16=_MATRIX_UNITS,
        flash_attention=_AOTRITON,
        compile_mode=_ROCM_COMPILE,
    ),
    Family(
        name="AMD CDNA 4",
        backend="rocm",
        prefixes=("gfx95",),
        bfloat16=_MATRIX_UNITS,
        flash_attention=Choice(
            value=True,
            reason="AOTriton is built for it; a release that calls it experimental falls back and says so",
        ),
        compile_mode=_ROCM_COMPILE,
    ),
)


def _unknown(backend: Literal["cuda", "rocm"]) -> Family:
    why = "nothing is known of this architecture: "
    return Family(
        name=f"unknown to this table ({backend})",
        backend=backend,
        prefixes=("",),
        bfloat16=Choice(value=False, reason=f"{why}torch is asked"),
        flash_attention=Choice(value=False, reason=f"{why}torch decides call by call"),
        compile_mode=Choice(value=None, reason=f"{why}uncompiled code runs wherever torch does"),
    )


UNKNOWN: Mapping[Backend, Family] = MappingProxyType({"cuda": _unknown("cuda"), "rocm": _unknown("rocm")})


def family(backend: Backend, architecture: str) -> Family:
    """Row of an architecture such as `sm_90`, `gfx942` or `x86_64`, or the one of the unknown."""
    fitting = (row for row in FAMILIES if row.backend == backend and architecture.startswith(row.prefixes))
    return next(fitting, None) or UNKNOWN[backend]
