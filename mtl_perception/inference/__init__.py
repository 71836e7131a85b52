"""From an image to detections and a label map; needs neither torch nor ROS."""

from mtl_perception.graph_contract import RawOutputs
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions, Request
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.results import Detections, Perception, Timings
from mtl_perception.inference.runtime import Runtime, RuntimeOptions

__all__ = ['Detections', 'Perception', 'Pipeline', 'PipelineOptions', 'RawOutputs', 'Request',
           'Runtime', 'RuntimeOptions', 'Timings', 'open_runtime']
