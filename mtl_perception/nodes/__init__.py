"""The ROS 2 nodes: the only room that knows rclpy and messages."""
