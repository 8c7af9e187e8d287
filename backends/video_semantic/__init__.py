"""Room for whole-scene video: every pixel of every frame gets a class, and the answer holds still (STT)."""
