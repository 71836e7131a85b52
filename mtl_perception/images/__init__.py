"""Images on disk: how they are found, measured and read. No other room opens an image file."""
