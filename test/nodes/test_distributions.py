"""
What the nodes ask of rclpy is there in Humble too, for which there are no wheels to test on.

`humble_rclpy.json` lists what the sources of Humble's rclpy offer: names by module; by class, and
of `rclpy` itself, functions with their parameters, or `property` (attributes too); and the private
names that its nodes use themselves.
"""

import ast
import json
from pathlib import Path

import pytest
from rclpy.clock import Clock
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.time import Time
from rclpy.topic_endpoint_info import TopicEndpointInfo

import mtl_perception.nodes

HUMBLE = json.loads((Path(__file__).parent / 'humble_rclpy.json').read_text(encoding='utf-8'))
NODES = Path(mtl_perception.nodes.__file__).parent
FILES = [*sorted(NODES.glob('*.py')), NODES.parent / 'demo' / 'monitor.py']
TREES = {path.name: ast.parse(path.read_text(encoding='utf-8')) for path in FILES}
INSTALLED = (LifecycleNode, Publisher, Subscription, QoSProfile, TopicEndpointInfo, Clock, Time,
             Duration, Parameter, SingleThreadedExecutor)

# Not in all distributions, and used only if available.
OPTIONAL = {'CallbackType'}
# In Humble the imported names are in `rclpy.qos_event`, which is the fallback.
NEWER_MODULES = {'rclpy.event_handler'}

# Methods of the nodes' own classes that have the name of one of rclpy's.
OURS = {'publish'}


def nodes_of(kind):
    return [(name, node) for name, tree in TREES.items()
            for node in ast.walk(tree) if isinstance(node, kind)]


def test_names_exist_in_all_distributions():
    missing = [
        f'{name}: {node.module}.{alias.name}' for name, node in nodes_of(ast.ImportFrom)
        if (node.module or '').partition('.')[0] == 'rclpy'
        and node.module not in NEWER_MODULES for alias in node.names
        if alias.name not in HUMBLE['modules'].get(node.module, [])]
    missing += [
        f'{name}: rclpy.{node.attr}' for name, node in nodes_of(ast.Attribute)
        if isinstance(node.value, ast.Name) and node.value.id == 'rclpy'
        and node.attr not in HUMBLE['modules']['rclpy']]
    assert missing == []


def test_methods_and_properties_exist_in_all_distributions():
    of_humble = {name for methods in HUMBLE['classes'].values() for name in methods}
    of_installed = {name for kind in INSTALLED for name in dir(kind) if name[0] != '_'}
    ours = {node.name for _, node in nodes_of((ast.FunctionDef, ast.ClassDef))}
    used = {node.attr for _, node in nodes_of(ast.Attribute)}
    assert 'create_subscription' in used & of_installed & of_humble
    assert (used & of_installed) - of_humble - ours - OPTIONAL == set()


def test_arguments_exist_in_all_distributions():
    signatures = {}
    for methods in HUMBLE['classes'].values():
        for name, parameters in methods.items():
            if parameters != 'property':
                signatures.setdefault(name, []).append(parameters)
    seen = 0
    for name, call in nodes_of(ast.Call):
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ''
        if method in signatures and method not in OURS:
            seen += 1
            assert any(accepts(parameters, call) for parameters in signatures[method]), \
                f'{name}:{call.lineno}: {ast.unparse(call)}'
    assert seen > 30


def accepts(parameters, call):
    """Return whether a method with these parameters can be called like this."""
    names = [name for name in parameters if name[0] != '*']
    stars = [index for index, name in enumerate(parameters) if name[0] == '*']
    by_position = stars[0] if stars else len(parameters)
    anything = any(name.startswith('**') for name in parameters)
    return len(call.args) <= by_position and (anything or all(
        word.arg in names for word in call.keywords))


@pytest.mark.parametrize(('parameters', 'call', 'good'), [
    (['a', '*', 'b'], 'f(1, b=2)', True), (['a', '*', 'b'], 'f(1, 2)', False),
    (['a'], 'f(c=1)', False), (['a', '**k'], 'f(1, c=1)', True), ([], 'f()', True)])
def test_argument_check_itself(parameters, call, good):
    assert accepts(parameters, ast.parse(call).body[0].value) == good


def test_nodes_do_not_override_rclpy_names(idle_node):
    taken = {*HUMBLE['private'], *vars(idle_node()), *dir(LifecycleNode)}
    callbacks = {'__init__', 'on_configure', 'on_activate', 'on_deactivate', 'on_cleanup',
                 'on_shutdown', 'on_error'}
    # Changed intentionally, by AcceptsSameValues.
    callbacks.add('set_parameters_atomically')
    found = 0
    for name, kind in nodes_of(ast.ClassDef):
        bases = {ast.unparse(base) for base in kind.bases}
        if not {'Node', 'LifecycleNode', 'AcceptsSameValues'} & bases:
            continue
        found += 1
        own = {node.name for node in kind.body if isinstance(node, ast.FunctionDef)}
        own |= {node.attr for node in ast.walk(kind) if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == 'self'}
        assert own & taken - callbacks == set(), name
    assert found == 4


def test_no_code_spins_until_future_complete():
    # Humble's executor goes on until the next callback after that; Jazzy's keeps something for
    # each callback until then.
    avoided = ('spin_until_future_complete', 'spin_once_until_future_complete')
    assert [name for name, node in nodes_of(ast.Attribute) if node.attr in avoided] == []
