"""Upsampling blocks, one file each."""
