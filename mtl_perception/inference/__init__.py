"""From a picture to detections and a label map; needs neither torch nor ROS."""

from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.results import Detections, Perception, Timings
from mtl_perception.inference.runtime import open_runtime, RawOutputs, Runtime

__all__ = ['Detections', 'Perception', 'Pipeline', 'PipelineOptions', 'RawOutputs', 'Runtime',
           'Timings', 'open_runtime']
