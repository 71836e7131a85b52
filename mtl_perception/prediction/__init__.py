"""Prediction on the images of a file, a folder or a video, with results written to a folder."""
