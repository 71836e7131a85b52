"""
Which extra of this package brings a missing module, and how it is installed.

Imports nothing but the standard library: it is asked where other packages are missing.
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
"""Extra of setup.py -> the modules that its requirements file brings."""

_TARGETS = {'run': 'setup', 'train': 'setup-train', 'openvino': 'setup-openvino',
            'tensorrt': 'setup-tensorrt'}
"""Extra -> target of the Makefile that installs the same."""

_ROS = ('ament_index_python', 'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs', 'launch',
        'launch_ros', 'lifecycle_msgs', 'rcl_interfaces', 'rclpy', 'sensor_msgs', 'std_msgs',
        'vision_msgs', 'visualization_msgs')


def remedy(module: str) -> str | None:
    """
    Return how to install what brings `module`, as a phrase such as `pip install ...`.

    The module may be one inside of a package. None: this package does not ask for it.
    """
    name = module.partition('.')[0]
    if name in _ROS:
        return _ros_remedy(name)
    # On a Jetson; the extra leaves these out there.
    if name in ('tensorrt', 'tensorrt_rtx') and platform.machine() == 'aarch64':
        return 'JetPack brings it: apt-get install python3-libnvinfer'
    for extra, modules in _EXTRAS.items():
        if name in modules:
            pip = f"pip install 'mtl_perception[{extra}]'"
            return f'make {_TARGETS[extra]}, or {pip}' if _in_source_tree() else pip
    return None


def missing_package(error: ImportError) -> str | None:
    """
    Return the one line to tell a user about an import that failed.

    None: nothing is missing that this package asks for, so the error is a defect. So is a module
    that is missing inside of an installed package: to install that again would change nothing.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package, _, inside = error.name.partition('.')
    # Of `cuda`, several distributions have a part each: it has no file of its own.
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
