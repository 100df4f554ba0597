"""Kernels, one family a file."""
