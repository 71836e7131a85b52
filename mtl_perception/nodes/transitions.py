"""The lifecycle service of a node, made to answer every request."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode

from mtl_perception.errors import one_line


def reject_invalid_transitions(node: LifecycleNode) -> None:
    """
    Have the node answer a request for a transition that its state does not have with a refusal.

    In Humble and Jazzy rclpy raises RCLError instead, which ends the executor and with it the
    process; Kilted rejects them by itself. rclpy has no public hook for it.
    """
    service = node._service_change_state
    change_state = service.callback

    def reject_or_change_state(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:  # RCLError is one, and has no public name in Humble
            node.get_logger().error(
                f'transition {request.transition.label or request.transition.id} rejected: '
                f'{one_line(error)}')
            response.success = False
            return response

    service.callback = reject_or_change_state
