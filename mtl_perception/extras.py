"""
Remedies for missing modules: the extra of this package that installs them.

Imports only the standard library, since it is used when other packages are missing.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
import os
from pathlib import Path
import platform

_EXTRAS = {
    'run': ('cv2', 'lxml', 'mcap', 'numpy', 'onnxruntime', 'PIL', 'pycocotools', 'pydantic',
            'pydantic_core', 'rosbags', 'simplejpeg', 'tqdm', 'yaml'),
    'train': ('jinja2', 'lightning_fabric', 'matplotlib', 'onnx', 'onnxscript', 'tensorboard',
              'torch', 'torchmetrics', 'torchvision'),
    'openvino': ('openvino',),
    'tensorrt': ('cuda', 'tensorrt', 'tensorrt_rtx'),
}
"""Extra of setup.py -> the modules that its requirements file installs."""

_TARGETS = {'run': 'setup', 'train': 'setup-train', 'openvino': 'setup-openvino',
            'tensorrt': 'setup-tensorrt'}
"""Extra -> equivalent target of the Makefile."""

_ROS = ('ament_index_python', 'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs', 'launch',
        'launch_ros', 'lifecycle_msgs', 'rcl_interfaces', 'rclpy', 'sensor_msgs', 'std_msgs',
        'vision_msgs', 'visualization_msgs')


def remedy(module: str) -> str | None:
    """
    Return how to install the package of `module`, as a phrase such as `pip install ...`.

    The module may be inside a package. Returns None if it is not a requirement of this package.
    """
    name = module.partition('.')[0]
    if name in _ROS:
        return _ros_remedy(name)
    # On a Jetson, for which the extra omits these.
    if name in ('tensorrt', 'tensorrt_rtx') and platform.machine() == 'aarch64':
        return 'JetPack brings it: apt-get install python3-libnvinfer'
    for extra, modules in _EXTRAS.items():
        if name in modules:
            pip = f"pip install 'mtl_perception[{extra}]'"
            return f'make {_TARGETS[extra]}, or {pip}' if _in_source_tree() else pip
    return None


def missing_package(error: ImportError) -> str | None:
    """
    Return the one-line message for the user about a failed import.

    Returns None if the module is not a requirement of this package, so that the error is a defect.
    So is a missing module inside an installed package, since installing it again would not help.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package, _, inside = error.name.partition('.')
    # `cuda` is a namespace package of several distributions, without a file of its own.
    found = PathFinder.find_spec(package) if inside else None
    how = remedy(package)
    if how is None or (found and found.origin):
        return None
    return f'this needs the package {error.name}: {how}'


def _ros_remedy(name: str) -> str:
    distribution = os.environ.get('ROS_DISTRO')
    if distribution and name != 'rclpy':
        return f'apt-get install ros-{distribution}-{name.replace("_", "-")}'
    other = ', or make setup' if _in_source_tree() else ''
    return f'source a ROS 2 and use its Python{other}'


def _in_source_tree() -> bool:
    return (Path(__file__).resolve().parents[1] / 'Makefile').is_file()
