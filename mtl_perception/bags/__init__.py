"""Bags without ROS: written so that they can be read after a power cut."""
