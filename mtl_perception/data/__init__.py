"""Data set manifest, readers, transforms and the synthetic flight; needs no torch."""
