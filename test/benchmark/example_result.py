"""Example values in the format of `mtl benchmark`, for a fictitious machine; none is measured."""

from typing import Any


def example_result() -> dict[str, Any]:
    subjects = []

    def add(name, what, target, median, peak, **more):
        runtime, precision = target.split()
        subjects.append({
            'name': name, 'what': what, 'target': target, 'runtime': runtime, 'version': '1.0',
            'device': 'cpu', 'precision': precision, 'threads': 2, 'input_size': [640, 640],
            'milliseconds': {'median': median, 'low': 0.97 * median, 'high': 1.04 * median,
                             'p95': 1.2 * median},
            'stages': {'preprocess': 2.0, 'network': median - 4, 'postprocess': 2.0},
            'rounds': [median] * 5, 'weights_bytes': 9_000_000, 'peak_bytes': peak,
            'start_seconds': 0.7, 'networks': [
                {'file': 'model.onnx', 'file_bytes': 9_400_000,
                 'tasks': ['detection', 'segmentation'], 'parameters': 2_300_000,
                 'gmac': 4.2}], **more})

    by_runtime = {}
    for target, time in (('onnxruntime fp32', 63.0), ('openvino fp32', 79.0),
                         ('openvino bf16', 36.0), ('torch fp32', 129.0)):
        peak = int(150e6 + time * 1e6)
        add(f'multitask, {target}', 'multitask', target, time, peak)
        add(f'detection, {target}', 'detection', target, 0.9 * time, peak)
        add(f'segmentation, {target}', 'segmentation', target, 0.66 * time, peak)
        add(f'sequential, {target}', 'sequential', target, 1.57 * time, int(1.4 * peak))
        add(f'parallel, {target}', 'parallel', target, 1.66 * time, int(1.9 * peak))
        by_runtime[target] = {
            'single_sequential_over_multitask': {'median': 1.57, 'low': 1.55, 'high': 1.6},
            'single_parallel_over_multitask': {'median': 1.66, 'low': 1.6, 'high': 1.7},
            'weights_memory': {'median': 1.7, 'low': 1.7, 'high': 1.7},
            'peak_memory': {'median': 1.4, 'low': 1.4, 'high': 1.4},
            'torch_eager_over_best_runtime': None, 'peers_over_multitask': None}
    add('SSDlite320 + LR-ASPP, own sizes', 'peers mobile kind', 'openvino bf16', 52.0, 300_000_000)
    add('SSD300-VGG16 + FCN-ResNet50, own sizes', 'peers thesis kind', 'openvino bf16', 620.0,
        900_000_000)
    ratios = {**by_runtime['openvino bf16'],
              'torch_eager_over_best_runtime': {'median': 3.6, 'low': 3.5, 'high': 3.7},
              'peers_over_multitask': {'median': 17.2, 'low': 16.9, 'high': 17.6}}
    sweep = []
    for runtime, precision, factor in (('onnxruntime', 'fp32', 1.0), ('openvino', 'bf16', 0.57)):
        for axis, values in (('input_size', (256, 320, 416, 512, 640, 960, 1280)),
                             ('batch', (1, 2, 4, 8)), ('threads', (1, 2)),
                             ('classes', (4, 20, 80, 254))):
            for value in values:
                time = factor * {'input_size': 63 * (value / 640)**2, 'batch': 63 * value,
                                 'threads': 120 / value**0.9,
                                 'classes': 60 + value / 20}[axis]
                gmac = 4.2 * (value / 640)**2 if axis == 'input_size' else None
                sweep.append({
                    'axis': axis, 'value': value, 'target': f'{runtime} {precision}',
                    'runtime': runtime, 'precision': precision,
                    'milliseconds': {'median': time, 'low': 0.95 * time, 'high': 1.06 * time},
                    'peak_bytes': 200_000_000, 'gmac': gmac,
                    'least_milliseconds': gmac and gmac * 2 / 0.2})
    return {
        'format': 1, 'date': '2026-01-01T00:00:00+00:00', 'mtl_perception': '0.1.0',
        'interrupted': False, 'warnings': [],
        'model': {'file': 'model.onnx', 'sha256': 64 * '0', 'architecture': 'lean',
                  'backbone': 'mobilenet_v2', 'input_size': [640, 640],
                  'detection': ['car', 'person'], 'segmentation': ['road', 'tree', 'ground']},
        'machine': {'cpu': 'Imagined CPU 3000', 'cores': 2, 'memory_bytes': 8 << 30,
                    'versions': {'python': '3.11.2', 'numpy': '2.0'}},
        'frames': {'source': 'synthetic', 'size': [1280, 720], 'count': 16}, 'rounds': 5,
        'frames_per_round': 4, 'subjects': subjects, 'ratios': ratios,
        'ratios_by_runtime': by_runtime,
        'bare_loop': {'onnxruntime fp32': {'median': 1.03, 'low': 1.01, 'high': 1.05}},
        'parts': [{'target': 'onnxruntime fp32', 'part': part, 'milliseconds': time}
                  for part, time in (
                       ('backbone', 27.0), ('pyramid', 6.0), ('detection', 21.0),
                       ('segmentation', 5.0), ('decoding', 1.4), ('label_map', 2.6))],
        'memory_limit': {'kind': 'cgroup', 'frames': 20, 'tolerance_mib': 4, 'tolerance': 0.02,
                         'runtimes': {'onnxruntime fp32': {
                             'multitask_mib': 110, 'one_process_mib': 168,
                             'two_processes_mib': 204,
                             'shown': {'limit_mib': 139, 'multitask': True, 'single': False}}}},
        'sweep': sweep}
