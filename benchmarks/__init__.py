"""Measures glowpy beside other engines, and its memory plans beside recorded ones."""
