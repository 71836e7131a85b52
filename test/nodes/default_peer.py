"""
A foreign ROS process: plain rclpy on the default transports, without this package.

publish RELIABILITY HZ NUMBER   images of 1280x720 bgr8, as soon as somebody subscribes
watch                           counts what the perception node publishes, until stdin closes
parameters NUMBER               gets and sets a parameter of the perception node so often

Each prints one JSON object at its end.
"""

import array
import json
import sys
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

WIDTH, HEIGHT = 1280, 720
NODE = '/perception_node'


def publish(node, reliability, rate, number):
    publisher = node.create_publisher(
        Image, 'image', QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability]))
    wait_until(publisher.get_subscription_count)
    time.sleep(1)
    data = array.array('B', bytes(3 * WIDTH * HEIGHT))
    due = time.monotonic()
    for index in range(int(number)):
        message = Image(width=WIDTH, height=HEIGHT, encoding='bgr8', step=3 * WIDTH, data=data)
        message.header.stamp = node.get_clock().now().to_msg()
        message.header.frame_id = str(index)
        publisher.publish(message)
        due += 1 / float(rate)
        time.sleep(max(0.0, due - time.monotonic()))
    # Wait for messages in transit, and keep the publisher discoverable.
    time.sleep(2)
    return {'sent': int(number)}


def watch(node):
    counts = {'detections': 0, 'segmentation': 0, 'overlay': 0}
    said = {'messages': [], 'values': {}}

    def count(name):
        counts[name] += 1

    def read(message):
        for status in message.status:
            said['values'].update({pair.key: pair.value for pair in status.values})
            if status.level != b'\x00':
                said['messages'].append(status.message)

    for name in counts:
        kind = Detection2DArray if name == 'detections' else Image
        node.create_subscription(kind, f'{NODE}/{name}', lambda _, name=name: count(name), 10)
    node.create_subscription(DiagnosticArray, '/diagnostics', read, 10)
    wait_until(lambda: all(node.count_publishers(f'{NODE}/{name}') for name in counts))
    time.sleep(0.5)
    print('watching', flush=True)
    end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), end.set()), daemon=True).start()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not end.is_set():
        executor.spin_once(timeout_sec=0.1)
    return counts | said


def parameters(node, number):
    seconds = []

    def call(client, request):
        begin = time.monotonic()
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=10)
        seconds.append(time.monotonic() - begin if future.done() else 10.0)
        return future.result()

    get = node.create_client(GetParameters, f'{NODE}/get_parameters')
    put = node.create_client(SetParameters, f'{NODE}/set_parameters')
    for client in (get, put):
        assert client.wait_for_service(20)
    kept = 0
    for index in range(int(number)):
        wanted = 0.2 + 0.01 * (index % 50)
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=wanted)
        call(put, SetParameters.Request(
            parameters=[Parameter(name='score_threshold', value=value)]))
        answer = call(get, GetParameters.Request(names=['score_threshold']))
        kept += answer is not None and abs(answer.values[0].double_value - wanted) < 1e-9
    return {'kept': kept, 'slowest': max(seconds)}


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


if __name__ == '__main__':
    job, *arguments = sys.argv[1:]
    rclpy.init()
    peer = rclpy.create_node(f'somebody_{job}')
    result = {'publish': publish, 'watch': watch, 'parameters': parameters}[job](peer, *arguments)
    peer.destroy_node()
    rclpy.shutdown()
    print(json.dumps(result), flush=True)
