"""What the network sees: activations, filters, receptive fields and the arithmetic of layers; uses TensorFlow."""
