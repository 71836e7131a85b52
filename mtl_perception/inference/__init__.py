"""From a picture to detections and a label map; needs neither torch nor ROS."""
