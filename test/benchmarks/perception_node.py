"""
Measure the perception node as a process of its own: times of the stages, CPU share and memory.

Needs ROS 2 and Linux. The camera node flies over the synthetic town, or this process sends images
that were drawn beforehand; this process subscribes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
import itertools
import json
import os
from pathlib import Path
import re
import sys
import tempfile
import time
from typing import Any

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.demo.processes import node_environment, NodeProcesses
from mtl_perception.errors import ConfigError, MtlError
from mtl_perception.transport import choose_transport

NODE, CAMERA = 'perception_node', 'camera_node'
FLIGHT, FRAMES = 'synthetic:8', 60
PERCENTILE = re.compile(r'(?P<stage>\w+) (?P<percentile>p\d+) \[ms\]')
MEMORY = {'VmRSS': 'resident', 'VmHWM': 'peak', 'RssAnon': 'anonymous', 'RssFile': 'files',
          'RssShmem': 'shared memory'}
"""Line of /proc/PID/status -> what it is called here."""
START_WITHIN = 300.0
"""Seconds; an engine of TensorRT takes minutes."""


@dataclass
class Measured:
    """What was seen of the node; memory in MB of 2^20 bytes."""

    size: str
    rate: float
    topics: list[str]
    runtime: str = ''
    """Name, device and precision."""
    start: float = 0.0
    """Seconds from the start of the process until it subscribes to images."""
    seconds: float = 0.0
    """Time after the warm-up, which is what the rest is about."""
    images: int = 0
    """Images processed since the start."""
    received: dict[str, int] = field(default_factory=dict)
    """Messages by topic since the start."""
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    """Stage -> percentile -> milliseconds, of the node's latest window."""
    cpu: float = 0.0
    """Percent of one core."""
    memory: dict[str, float] = field(default_factory=dict)
    """At the end."""
    course: list[float] = field(default_factory=list)
    """Resident memory after the warm-up and after each tenth of the time."""
    threads: int = 0
    maps: dict[str, float] = field(default_factory=dict)
    """Resident memory by mapped file, largest first."""


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', default='640x480', metavar='WIDTHxHEIGHT',
                        help='of the images (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=10.0, help='images/s (default: %(default)s)')
    parser.add_argument('--warm-up', type=float, default=8.0, metavar='SECONDS',
                        help='with images that do not count (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=12.0,
                        help='time that counts (default: %(default)s)')
    parser.add_argument('--topics', default='detections,segmentation', metavar='NAME,...',
                        help='of the node, each gets a subscriber (default: %(default)s)')
    parser.add_argument('--drawn', action='store_true',
                        help='send ten images that were drawn beforehand, over and over: drawing '
                        'takes a core of a small machine, and with it time of the stages')
    parser.add_argument('--runtime', default='auto', help='(default: %(default)s)')
    parser.add_argument('--param', action='append', default=[], metavar='NAME:=JSON',
                        help='a parameter of the perception node')
    parser.add_argument('--maps', type=int, default=0, metavar='N',
                        help='also the N mapped files that hold most memory')
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args()
    try:
        measured = measure(args)
    except MtlError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(json.dumps(asdict(measured), indent=2) if args.json else '\n'.join(table(measured)))
    return 0


def measure(args: argparse.Namespace) -> Measured:
    """Start the nodes, fly, and return what was seen."""
    try:
        width, height = map(int, args.size.split('x'))
        parameters = {'runtime': args.runtime} | {
            name: json.loads(value)
            for name, value in (item.split(':=', 1) for item in args.param)}
    except ValueError as error:
        raise ConfigError(f'--size {args.size} or --param {args.param}: {error}') from None
    measured = Measured(args.size, args.rate, [name for name in args.topics.split(',') if name])
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(node_environment(Path(folder)))
        os.environ.update(choose_transport(os.environ).environment)
        with NodeProcesses(Path(folder)) as nodes, talking_to(measured) as (node, spin):
            begin = time.monotonic()
            nodes.start(NODE, parameters)
            while not node.count_subscribers('/image'):
                if time.monotonic() > begin + START_WITHIN:
                    raise MtlError(f'{NODE} does not subscribe: {nodes.last_words(NODE)}')
                spin(0.01)
                nodes.check()
            measured.start = time.monotonic() - begin
            if args.drawn:
                send_drawn(node, width, height, args.rate)
            else:
                nodes.start(CAMERA, {
                    'source': FLIGHT, 'width': width, 'height': height, 'rate': args.rate,
                    'frames': FRAMES, 'wait_for_subscribers': 1})

            def fly(seconds: float) -> None:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    spin(0.1)
                    nodes.check()

            fly(args.warm_up)
            pid = nodes.pid(NODE)
            measured.course.append(memory_of(pid)['resident'])
            cpu, begin = cpu_seconds(pid), time.monotonic()
            for _ in range(10):
                fly(args.seconds / 10)
                measured.course.append(memory_of(pid)['resident'])
            measured.seconds = time.monotonic() - begin
            measured.cpu = 100 * (cpu_seconds(pid) - cpu) / measured.seconds
            measured.memory = memory_of(pid)
            measured.threads = len(list(Path(f'/proc/{pid}/task').iterdir()))
            measured.maps = dict(maps_of(pid)[:args.maps])
    return measured


def send_drawn(node: Any, width: int, height: int, rate: float) -> None:
    """Have `node`, an rclpy node, publish images of the flight `rate` times a second."""
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from mtl_perception.nodes.messages import image_to_message

    flight = SyntheticFlight(int(FLIGHT.partition(':')[2]), width, height, FRAMES, 1.0)
    images = itertools.cycle([
        image_to_message(flight[index].image[..., ::-1], 'bgr8', Header(frame_id='camera'))
        for index in range(0, FRAMES, FRAMES // 10)])
    publisher = node.create_publisher(Image, 'image', 5)

    def send() -> None:
        message = next(images)
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)

    node.create_timer(1 / rate, send)


@contextmanager
def talking_to(measured: Measured) -> Iterator[tuple[Any, Callable[[float], None]]]:
    """
    Subscribe to what the node publishes and note it in `measured`.

    Yield the rclpy node of this process, and what handles its messages for so many seconds.
    """
    from diagnostic_msgs.msg import DiagnosticArray
    import rclpy
    from sensor_msgs.msg import Image
    from vision_msgs.msg import Detection2DArray

    def count(name: str) -> Callable[[Any], None]:
        def on_message(_: Any) -> None:
            measured.received[name] = measured.received.get(name, 0) + 1
        return on_message

    def on_diagnostics(message: Any) -> None:
        values = {pair.key: pair.value for status in message.status
                  if status.name.startswith(NODE) for pair in status.values}
        measured.runtime = values.get('runtime', measured.runtime)
        measured.images = int(values.get('images processed', measured.images))
        for key, value in values.items():
            if found := PERCENTILE.fullmatch(key):
                stage = measured.stages.setdefault(found['stage'], {})
                stage[found['percentile']] = float(value)

    rclpy.init()
    node = rclpy.create_node('benchmark')
    for name in measured.topics:
        # Serialized: turning it into Python objects would take this machine's time.
        node.create_subscription(
            Detection2DArray if name == 'detections' else Image, f'/{NODE}/{name}', count(name),
            5, raw=True)
    node.create_subscription(DiagnosticArray, '/diagnostics', on_diagnostics, 10)
    try:
        yield node, lambda seconds: rclpy.spin_once(node, timeout_sec=seconds)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def memory_of(pid: int) -> dict[str, float]:
    """Return the memory of a process in MB, by the names of `MEMORY`."""
    lines = (line.split() for line in Path(f'/proc/{pid}/status').read_text().splitlines())
    found = {words[0].rstrip(':'): int(words[1]) / 1024 for words in lines
             if words[0].rstrip(':') in MEMORY}
    return {name: found[key] for key, name in MEMORY.items()}


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    # `pid (name) state ...`, where the name may hold anything; the times are fields 14 and 15.
    words = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')


def maps_of(pid: int) -> list[tuple[str, float]]:
    """Return resident memory in MB by mapped file, largest first."""
    sizes: dict[str, float] = {}
    name = ''
    for line in Path(f'/proc/{pid}/smaps').read_text().splitlines():
        words = line.split()
        if not words[0].endswith(':'):  # the head of a mapping
            name = Path(words[5]).name if len(words) > 5 else '[anonymous]'
        elif words[0] == 'Rss:':
            sizes[name] = sizes.get(name, 0.0) + int(words[1]) / 1024
    return sorted(sizes.items(), key=lambda item: -item[1])


def table(measured: Measured) -> Iterator[str]:
    """Yield the lines for a reader."""
    yield (f'{measured.runtime}; {measured.size} at {measured.rate:g} Hz, subscribers of '
           f'{", ".join(measured.topics) or "nothing"}')
    yield (f'started in {measured.start:.2f} s; {measured.images} images processed; received '
           + ', '.join(f'{count} {name}' for name, count in sorted(measured.received.items())))
    percentiles = sorted({name for stage in measured.stages.values() for name in stage})
    yield '  '.join(['stage [ms] '.ljust(12), *(name.rjust(8) for name in percentiles)])
    for stage, values in measured.stages.items():
        yield '  '.join([stage.ljust(12), *(
            f'{values[name]:8.2f}' if name in values else ' ' * 8 for name in percentiles)])
    yield (f'CPU {measured.cpu:.1f} % of a core for {measured.seconds:.0f} s, '
           f'{measured.threads} threads')
    yield 'memory [MB]: ' + ', '.join(
        f'{name} {value:.1f}' for name, value in measured.memory.items())
    yield ('resident after the warm-up, then each tenth of the time: '
           + ', '.join(f'{value:.1f}' for value in measured.course))
    for name, value in measured.maps.items():
        yield f'{value:8.1f}  {name}'


if __name__ == '__main__':
    sys.exit(main())
