"""From a Label Studio project to a trained weak-shot version: reading, classes, snapshot, run."""
