"""The network and its training: architectures, optimizers, augmentation, input, fit, checkpoints."""
