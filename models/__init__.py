"""PyTorch side: upsampling blocks, encoders, networks, checkpoint reading."""
