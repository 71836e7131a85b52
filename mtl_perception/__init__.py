"""Object detection and semantic segmentation in one forward pass, for UAVs on ROS 2."""

__version__ = '0.1.0'
