"""Targets, losses, the loop and its log (torch)."""
