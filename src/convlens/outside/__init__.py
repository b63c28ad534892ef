"""A trained model on photos from outside its data set: `convlens evaluate`."""
