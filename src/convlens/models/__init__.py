"""What a network is: architectures, backbones, inference, files, export, and the packaged classifier."""
