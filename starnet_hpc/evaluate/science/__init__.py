"""What the labels say of the stars: the figures of the paper that are about more than accuracy."""

from starnet_hpc.evaluate.science.chapters import science_sections

__all__ = ["science_sections"]
