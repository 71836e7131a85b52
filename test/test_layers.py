"""The layers of the package: imports go downwards only."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / 'mtl_perception'

LAYERS = [
    {'main'},
    {'commands', 'nodes'},
    {'demo'},
    {'training'},
    {'evaluation', 'benchmark', 'quantization', 'deployment', 'prediction'},
    {'data'},
    {'bags'},
    {'drawing'},
    {'inference'},
    {'models'},
    {'images'},
]
"""Packages from top to bottom; all other modules are leaves, below them."""

MAX_LINES = 350

ALLOWED = {
    # The reports of a quantised model's scores.
    ('quantization', 'evaluation'),
}
"""Imports within a layer."""

ROS = {'rclpy', 'sensor_msgs', 'std_msgs', 'vision_msgs', 'diagnostic_msgs', 'lifecycle_msgs',
       'builtin_interfaces', 'rcl_interfaces', 'geometry_msgs'}
TORCH = {'torch', 'torchvision', 'lightning_fabric'}


def room_of(module: str) -> str:
    """Return the top-level folder or file of the package that contains `module`."""
    return module.split('.')[1]


def layer_of(room: str) -> int:
    """Return the number of the layer from the top."""
    return next((number for number, rooms in enumerate(LAYERS) if room in rooms), len(LAYERS))


def imports(path: Path) -> set[str]:
    """Return the modules imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == 'mtl_perception':
            found |= {f'mtl_perception.{alias.name}' for alias in node.names
                      if alias.name != '__version__'}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f'{path}: relative import'
            found.add(node.module)
    return found


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob('*.py')) if path != PACKAGE / '__init__.py']


def name(path: Path) -> str:
    return '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)


def test_imports_go_downwards():
    upwards = []
    for path in files():
        room = room_of(name(path))
        for module in imports(path):
            if not module.startswith('mtl_perception.'):
                continue
            other = room_of(module)
            are_leaves = layer_of(room) == layer_of(other) == len(LAYERS)
            if not (other == room or (room, other) in ALLOWED or are_leaves
                    or layer_of(room) < layer_of(other)):
                upwards.append(f'{name(path)} imports {module}')
    assert not upwards


def test_every_folder_has_a_layer():
    folders = {path.name for path in PACKAGE.iterdir() if (path / '__init__.py').is_file()}
    assert folders <= set().union(*LAYERS)
    assert set().union(*LAYERS) <= folders | {'main', 'drawing'}


def test_only_nodes_and_monitor_import_ros():
    for path in files():
        if room_of(name(path)) != 'nodes' and path != PACKAGE / 'demo' / 'monitor.py':
            found = {module.partition('.')[0] for module in imports(path)}
            assert not found & ROS, f'{path}: {found & ROS}'


def test_only_models_training_and_torch_runtime_import_torch():
    for path in files():
        found = {module.partition('.')[0] for module in imports(path)}
        if found & TORCH:
            assert room_of(name(path)) in ('models', 'training', 'benchmark') or path in (
                PACKAGE / 'inference' / 'torch_runtime.py',), f'{path}: {found & TORCH}'


def test_files_are_small():
    long = {name(path): lines for path in files()
            if (lines := len(path.read_text(encoding='utf-8').splitlines())) > MAX_LINES}
    assert not long
