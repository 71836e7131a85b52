"""What a perception node publishes."""

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from mtl_perception.nodes import qos

EVERY = qos.stream('reliable', 50)


class Results:
    """What a perception node publishes, by the header of its image."""

    def __init__(self, node):
        self.detections, self.masks, self.labels, self.diagnostics = [], [], [], []
        self.node = node
        name = '/perception_node'
        self.images = node.create_publisher(Image, 'image', EVERY)
        for kind, topic, found, profile in (
                (Detection2DArray, f'{name}/detections', self.detections, EVERY),
                (Image, f'{name}/segmentation', self.masks, EVERY),
                (LabelInfo, f'{name}/detections/label_info', self.labels, qos.LATCHED),
                (DiagnosticArray, '/diagnostics', self.diagnostics, EVERY)):
            node.create_subscription(kind, topic, found.append, profile)

    def connected(self):
        return (self.images.get_subscription_count() == 1
                and self.node.count_publishers('/perception_node/segmentation') == 1)

    def of(self, header):
        """Return detections and mask with exactly this header, None unless both are received."""
        found = [next((message for message in messages if message.header == header), None)
                 for messages in (self.detections, self.masks)]
        return found if all(found) else None

    def diagnostic(self, key):
        for message in reversed(self.diagnostics):
            for status in message.status:
                for pair in status.values:
                    if pair.key == key:
                        return pair.value
        return None
