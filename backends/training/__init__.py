"""What every room's training shares: settings, the learner, the resumable loop, the curves."""
