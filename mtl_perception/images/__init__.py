"""Listing, measuring and reading images on disk; no other package opens image files."""
