"""ConvLens: from a folder of photos to a convolutional network that can be trusted and understood."""

__version__ = "0.1.0"
