"""Loops that others train with, re-created in plain PyTorch to compare with: see bench/training.py."""
