"""Detection AP, segmentation IoU, bags and reports; needs no torch."""
