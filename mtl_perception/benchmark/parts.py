"""
Time of each part of the network, from the runtime's profile.

Exported files name each value by its part (``models.onnx_graph.name_parts``), and so do the
profiles. For other files, the profile is divided by the outputs that need a node: `both tasks`,
`detection` or `segmentation`. Profiling takes time itself, so the sum slightly exceeds the time of
a frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
import json
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from mtl_perception.benchmark.onnx_nodes import Node, read_nodes
from mtl_perception.errors import MtlError, one_line, StartError
from mtl_perception.graph_contract import INPUT, input_of, output_names
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import usable_cores
from mtl_perception.spec import ModelSpec

PARTS = ('normalization', 'backbone', 'pyramid', 'detection', 'decoding', 'segmentation',
         'label_map')
"""Parts of the architecture `lean`, in order of execution; others have other names in between."""
RUNTIMES = ('onnxruntime', 'openvino')
"""The runtimes with supported profiles, on the CPU."""
REST = 'other'

WARM_UPS = 3
_KERNEL = '_kernel_time'
"""Suffix of the names of operator events in a profile of ONNX Runtime."""
TIMEOUT = 300.0
"""Timeout of a profile in seconds."""


@dataclass(frozen=True)
class Asked:
    """Parameters of a profile."""

    path: str
    runtime: str
    precision: str
    threads: int
    runs: int


def time_parts(path: Path, runtime: str, precision: str, threads: int = 0, runs: int = 20
               ) -> dict[str, float]:
    """
    Return milliseconds of each part of the ONNX file `path`, in the order in which they run.

    Each is the sum of the medians of its operators over `runs` runs with noise, measured in a new
    process. Raises StartError if this runtime has no profile, or it fails.
    """
    if runtime not in RUNTIMES or path.suffix != '.onnx':
        raise StartError(f'there is no profile of {runtime} for {path.name}')
    asked = json.dumps([str(path), runtime, precision, threads or usable_cores(), runs])
    try:
        ended = subprocess.run([sys.executable, '-m', __name__, asked], capture_output=True,
                               text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise StartError(f'the profile of {runtime} took more than {TIMEOUT:.0f} s') from None
    answer = ended.stdout.strip().rpartition('\n')[2]
    if ended.returncode or not answer:
        reason = ended.stderr.strip().rpartition('\n')[2] or f'exit code {ended.returncode}'
        raise StartError(f'{runtime} gives no profile of {path.name} ({reason})')
    parts: dict[str, float] = json.loads(answer)
    return parts


def part_names(nodes: Iterable[Node], spec: ModelSpec) -> dict[str, str]:
    """
    Return the part of each node, by the names of nodes, or else by the outputs that need the node.

    `nodes` are in the order of execution, and may be those of an optimised graph.
    """
    nodes = list(nodes)
    outputs = {name: 'label_map' if name == 'label_map' else 'decoding'
               for name in output_names(spec)}
    if not any(_prefix(node.name) for node in nodes):
        return _by_task(nodes, outputs)
    made: dict[str, str] = {}
    found = {}
    for node in nodes:
        # Nodes inserted by a runtime, such as a change of layout, belong to the part of their
        # inputs.
        part = _prefix(node.name) or next(filter(None, (
            made.get(value) or _prefix(value) or outputs.get(value)
            for value in (*node.inputs, *node.outputs))), REST)
        found[node.name] = part
        made.update(dict.fromkeys(node.outputs, part))
    return found


def _by_task(nodes: list[Node], outputs: dict[str, str]) -> dict[str, str]:
    """Return which tasks need each node."""
    needs: dict[str, set[str]] = defaultdict(set)
    for value, part in outputs.items():
        needs[value].add('segmentation' if part == 'label_map' else 'detection')
    found = {}
    for node in reversed(nodes):
        wanted = set().union(*(needs[value] for value in node.outputs))
        found[node.name] = 'both tasks' if len(wanted) > 1 else next(iter(wanted), REST)
        for value in node.inputs:
            needs[value] |= wanted
    return found


def _prefix(name: str) -> str:
    """Return the part with which a name starts; '' if none."""
    part, slash, rest = name.partition('/')
    # Runtimes also append to the exporter's names after a slash.
    return part if slash and rest and part.isidentifier() and part[:5] != 'node_' else ''


def _profile_onnxruntime(asked: Asked, images: np.ndarray, spec: ModelSpec) -> dict[str, float]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = asked.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, 'profile'))
        # The profile names the nodes of the graph optimised by ONNX Runtime.
        optimized = Path(folder, 'optimized.onnx')
        options.optimized_model_filepath = str(optimized)
        session = onnxruntime.InferenceSession(
            asked.path, options, providers=['CPUExecutionProvider'])
        for _ in range(WARM_UPS + asked.runs):
            session.run(None, {INPUT: images})
        events = json.loads(Path(session.end_profiling()).read_text('utf-8'))
        nodes = read_nodes(optimized)
    part_of = part_names(nodes, spec)
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        name = str(event.get('name', ''))
        if event.get('cat') == 'Node' and name.endswith(_KERNEL):
            times[name.removesuffix(_KERNEL)].append(event['dur'] / 1e3)
    return _sums({name: (part_of.get(name, REST), values[WARM_UPS:])
                  for name, values in times.items()})


def _profile_openvino(asked: Asked, images: np.ndarray, spec: ModelSpec) -> dict[str, float]:
    import openvino

    core = openvino.Core()
    graph = core.read_model(asked.path)
    graph.reshape({INPUT: [1, *input_of(spec).shape[1:]]})
    compiled = core.compile_model(graph, 'CPU', {
        'PERF_COUNT': True, 'PERFORMANCE_HINT': 'LATENCY', 'ENABLE_CPU_PINNING': False,
        'INFERENCE_NUM_THREADS': asked.threads,
        'INFERENCE_PRECISION_HINT': {'bf16': 'bf16'}.get(
            asked.precision.rpartition('/')[2], 'f32')})
    request = compiled.create_infer_request()
    part_of = part_names(read_nodes(Path(asked.path)), spec)
    found: dict[str, tuple[str, list[float]]] = {}
    for run in range(WARM_UPS + asked.runs):
        request.infer({INPUT: images})
        if run < WARM_UPS:
            continue
        last = REST
        for info in request.profiling_info:
            if info.status != info.Status.EXECUTED:
                continue
            name = info.node_name
            # It names a node by its original name with a suffix for the fused operation.
            node = name.partition('/WithoutBiases')[0].removesuffix('_original')
            last = part_of.get(node) or _prefix(name) or last
            seconds = info.real_time.total_seconds()
            found.setdefault(name, (last, []))[1].append(seconds * 1e3)
    return _sums(found)


def _sums(found: dict[str, tuple[str, list[float]]]) -> dict[str, float]:
    """Return the sum of the medians of the operators of each part."""
    sums: dict[str, float] = defaultdict(float)
    for part, values in found.values():
        if values:
            sums[part] += float(np.median(values))
    order = [part for part in PARTS if part in sums]
    return {part: round(sums[part], 4) for part in (*order, *sorted(set(sums) - set(order)))}


def _main(text: str) -> dict[str, float]:
    asked = Asked(*json.loads(text))
    spec = read_onnx_header(Path(asked.path)).spec
    shape: list[Any] = [1, *input_of(spec).shape[1:]]
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    profile = _profile_onnxruntime if asked.runtime == 'onnxruntime' else _profile_openvino
    return profile(asked, images, spec)


if __name__ == '__main__':
    try:
        print(json.dumps(_main(sys.argv[1])))
    except MtlError as error:
        sys.exit(str(error))
    except Exception as error:  # the exceptions of runtimes have no common base class
        sys.exit(one_line(error))
