"""Everything the training key covers, and nothing else: the loop, steps, augmentation, optimizers, checkpoints."""
