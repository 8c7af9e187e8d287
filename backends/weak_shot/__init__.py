"""Weak-shot segmentation (RETAB): classes known by image tags only, helped by the masks of other classes."""
