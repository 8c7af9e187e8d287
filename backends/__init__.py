"""Everything needed to answer Label Studio. Nothing in here imports ``pipelines``."""
