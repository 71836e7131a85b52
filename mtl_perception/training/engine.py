"""
The engine of a run: Lightning Fabric, set up for one process or for those that torchrun started.

Fabric places the network on its device, runs it in the chosen precision with outputs in FP32,
scales FP16 gradients so that small ones do not vanish (arXiv:1710.03740), and averages the
gradients of several processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import contextlib
from datetime import timedelta
import logging
import os
from typing import TYPE_CHECKING

import torch
from torch import distributed

from mtl_perception.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = {'fp32': '32-true', 'bf16': 'bf16-mixed', 'fp16': '16-mixed'}
"""Precision by the names of the command line -> Fabric's name; besides them there is 'auto'."""

_TORCHRUN = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
"""Environment variables that torchrun sets in every process."""


@contextlib.contextmanager
def launched(device: str, precision: str, time_out: timedelta | None = None) -> Iterator[Fabric]:
    """
    Yield a Fabric on `device` ('cpu', 'cuda' or 'auto') in `precision` ('auto' or a key above).

    Where torchrun started this process, it joins the process group, and leaves it at the end.
    `time_out` limits the wait for another process (None: torch's default). Raises ConfigError for
    a device or precision that this machine does not support, and for an environment that is only
    in part torchrun's.
    """
    device = choose_device(device)
    precision = choose_precision(precision, device)
    size, local_size = _process_counts(os.environ)
    if device == 'cuda' and local_size > torch.cuda.device_count():
        raise ConfigError(f'{local_size} processes on this machine need a CUDA device each, '
                          f'but torch finds {torch.cuda.device_count()}; lower --nproc-per-node')
    # Not at the top: at its import, Fabric parses the environment that is checked above.
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
    from lightning_fabric.strategies import DDPStrategy

    # It reports the start of every process group.
    logging.getLogger('lightning_fabric').setLevel(logging.WARNING)
    if size == 1:
        yield Fabric(accelerator=device, devices=1, precision=PRECISIONS[precision],
                     plugins=[LightningEnvironment()])
        return
    strategy = DDPStrategy(
        process_group_backend='nccl' if device == 'cuda' else 'gloo',
        # A task that is switched off leaves parts of the network without a gradient.
        find_unused_parameters=True, **({'timeout': time_out} if time_out else {}))
    fabric = Fabric(
        accelerator=device, devices=local_size, num_nodes=size // local_size, strategy=strategy,
        precision=PRECISIONS[precision], plugins=[TorchElasticEnvironment()])
    fabric.launch()
    try:
        yield fabric
    finally:
        distributed.destroy_process_group()


def choose_device(name: str) -> str:
    """Return 'cpu' or 'cuda' for `name`; 'auto' is CUDA where there is a device. ConfigError."""
    if name == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    if name == 'cuda' and not torch.cuda.is_available():
        raise ConfigError('--device cuda: torch finds no CUDA device; use --device cpu')
    if name not in ('cpu', 'cuda'):
        raise ConfigError(f'--device {name}: choose cpu, cuda or auto')
    return name


def choose_precision(name: str, device: str) -> str:
    """
    Return a key of `PRECISIONS` for `name`: 'auto' is BF16 where a CUDA device supports it.

    Raises ConfigError for other names, and for FP16 on a CPU, where training in it is not
    supported by every torch that this package accepts.
    """
    if name == 'auto':
        return 'bf16' if device == 'cuda' and torch.cuda.is_bf16_supported() else 'fp32'
    if name not in PRECISIONS:
        raise ConfigError(f'precision {name!r} is none of auto, {", ".join(PRECISIONS)}')
    if name == 'fp16' and device == 'cpu':
        raise ConfigError('precision fp16 needs a CUDA device; use bf16 or fp32 on a CPU')
    return name


def _process_counts(environment: Mapping[str, str]) -> tuple[int, int]:
    """
    Return the numbers of processes in all and on this machine, 1 and 1 without torchrun.

    Raises ConfigError where `environment` is not what torchrun sets.
    """
    if 'WORLD_SIZE' not in environment:
        return 1, 1
    try:
        size, rank, local_rank = (
            int(environment[name]) for name in ('WORLD_SIZE', 'RANK', 'LOCAL_RANK'))
        local_size = int(environment.get('LOCAL_WORLD_SIZE', size))
        complete = size == 1 or all(environment.get(name) for name in _TORCHRUN)
    except (KeyError, ValueError):
        complete = False
    if not complete or not (0 <= rank < size and 0 <= local_rank < local_size <= size):
        raise ConfigError(f'WORLD_SIZE is set, but {", ".join(_TORCHRUN)} are not all as torchrun '
                          'sets them; start with torchrun, or unset WORLD_SIZE')
    if size % local_size:
        raise ConfigError(f'{local_size} of {size} processes run on this machine; give torchrun '
                          'the same --nproc-per-node on each')
    return size, local_size
