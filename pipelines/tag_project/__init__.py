"""A Label Studio project whose tags become masks: its configuration, its photos, and its making."""
